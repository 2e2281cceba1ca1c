package checkpoint_test

import (
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/bobbindb/bobbin/shared/blob/blobtest"
	"github.com/bobbindb/bobbin/shared/blob/fileblob"
	"github.com/bobbindb/bobbin/shared/blob/memblob"
	"github.com/bobbindb/bobbin/shared/checkpoint"
)

// tableCalls are the calls on tables.
func tableCalls(bucket *blobtest.Recorder, ops ...blobtest.Op) (n int) {
	for _, call := range bucket.Calls() {
		for _, op := range ops {
			if call.Op == op && strings.HasPrefix(call.Key, "tables/") {
				n++
			}
		}
	}
	return n
}

func TestLifecycle(t *testing.T) {
	const size = 400
	bucket := blobtest.NewRecorder(memblob.New(func() time.Time { return epoch }))
	first := prepare(t, bucket, 15000, size)
	if first.Tables != len(first.Object.Tables) || first.Tables < 2 || first.TableBytes != first.Object.TableBytes() {
		t.Fatalf("first upload: %d tables of %d bytes, the object has %d of %d", first.Tables, first.TableBytes, len(first.Object.Tables), first.Object.TableBytes())
	}

	bucket.Reset()
	fs, db := restore(t, checkpoint.FSOptions{Bucket: bucket}, first.Key)
	if n := bucket.Count(); n != 1 {
		t.Errorf("opening made %d calls, want 1: %v", n, bucket.Calls())
	}
	if n := count(t, db, size); n != 15000 {
		t.Errorf("restored database has %d records, want 15000", n)
	}

	bucket.Reset()
	fill(t, db, 15000, 15500, size)
	flush(t, db)
	checkpointOf(t, db, "cp2")
	if n := bucket.Count(); n != 0 {
		t.Errorf("DB.Checkpoint made %d calls, want 0: %v", n, bucket.Calls())
	}
	second := upload(t, bucket, fs, "cp2", 20, first.Object)
	if second.Tables != 1 || tableCalls(bucket, blobtest.Put) != 1 || bucket.Count() != 2 {
		t.Errorf("second upload stored %v, want one table and one object", bucket.Stored())
	}
	if len(second.Object.Tables) != len(first.Object.Tables)+1 {
		t.Errorf("second checkpoint has %d tables, want %d", len(second.Object.Tables), len(first.Object.Tables)+1)
	}

	bucket.Reset()
	fill(t, db, 15500, 15600, size)
	flush(t, db)
	checkpointOf(t, db, "cp3")
	third := upload(t, bucket, fs, "cp3", 30, second.Object)
	if third.Tables != 1 || bucket.Count() != 2 {
		t.Errorf("third upload stored %v, want one table and one object", bucket.Stored())
	}

	_, again := restore(t, checkpoint.FSOptions{Bucket: bucket}, third.Key)
	if n := count(t, again, size); n != 15600 {
		t.Errorf("third checkpoint has %d records, want 15600", n)
	}
}

// A compaction over remote tables replaces them by local ones, which the next
// checkpoint uploads.
func TestCompactRemote(t *testing.T) {
	const size = 400
	bucket := memblob.New(time.Now)
	first := prepare(t, bucket, 12000, size)
	fs, db := restore(t, checkpoint.FSOptions{Bucket: bucket}, first.Key)
	fill(t, db, 12000, 12100, size)
	if err := db.DeleteRange(key(12050), key(12100), pebble.NoSync); err != nil {
		t.Fatal(err)
	}
	flush(t, db)
	if err := db.Compact(t.Context(), key(0), key(99999), false); err != nil {
		t.Fatal(err)
	}
	if got := fs.Stats().Bytes; got > first.TableBytes {
		t.Errorf("a compaction of %d bytes fetched %d, want each once", first.TableBytes, got)
	}
	checkpointOf(t, db, "cp2")
	second := upload(t, bucket, fs, "cp2", 20, first.Object)
	_, again := restore(t, checkpoint.FSOptions{Bucket: bucket}, second.Key)
	if n := count(t, again, size); n != 12050 {
		t.Errorf("compacted database has %d records, want 12050", n)
	}
}

// A remote table that the base does not name is uploaded under a new name: nobody but
// the base's root keeps the old one alive.
func TestUploadOfRemoteTablesWithoutTheirBase(t *testing.T) {
	bucket := memblob.New(time.Now)
	first := prepare(t, bucket, 3000, 300)
	fs, db := restore(t, checkpoint.FSOptions{Bucket: bucket}, first.Key)
	checkpointOf(t, db, "cp2")
	second := upload(t, bucket, fs, "cp2", 10, nil)
	if second.Tables != first.Tables || second.Object.Tables[0].Key() == first.Object.Tables[0].Key() {
		t.Errorf("%d tables uploaded, want %d under new names", second.Tables, first.Tables)
	}
	verify(t, bucket, second.Key)
}

// The database of a long-running process is local; what it uploaded once it does not
// upload again, nor after a restart, when only the content tells.
func TestLocalDatabaseExtendsItsBase(t *testing.T) {
	bucket := blobtest.NewRecorder(memblob.New(time.Now))
	fs := vfs.NewMem()
	db := openDatabase(t, databaseOptions(t, fs), "live")
	defer db.Close()
	fill(t, db, 0, 2000, 300)
	flush(t, db)
	checkpointOf(t, db, "cp1")
	first := upload(t, bucket, fs, "cp1", 1, nil)
	loaded, err := checkpoint.Load(t.Context(), bucket, first.Key)
	if err != nil {
		t.Fatal(err)
	}
	fill(t, db, 2000, 2100, 300)
	flush(t, db)
	checkpointOf(t, db, "cp2")
	for name, base := range map[string]*checkpoint.Object{"in one process": first.Object, "after a restart": loaded} {
		if up := upload(t, bucket, fs, "cp2", 2, base); up.Tables != 1 {
			t.Errorf("%s: %d tables uploaded, want 1", name, up.Tables)
		}
	}
	if up := upload(t, bucket, fs, "cp2", 2, nil); up.Tables != 2 {
		t.Errorf("without a base: %d tables uploaded, want 2", up.Tables)
	}
}

// Another database may use the same file names. They do not make its tables ours.
func TestBaseOfAnotherDatabase(t *testing.T) {
	bucket := memblob.New(time.Now)
	uploadOne := func(from int, base *checkpoint.Object) *checkpoint.Uploaded {
		fs := vfs.NewMem()
		db := openDatabase(t, databaseOptions(t, fs), "live")
		defer db.Close()
		fill(t, db, from, from+500, 300)
		flush(t, db)
		checkpointOf(t, db, "cp")
		return upload(t, bucket, fs, "cp", 1, base)
	}
	one := uploadOne(0, nil)
	other := uploadOne(100, one.Object)
	if one.Object.Tables[0].Name != other.Object.Tables[0].Name {
		t.Fatalf("tables are %s and %s, want equal names", one.Object.Tables[0].Name, other.Object.Tables[0].Name)
	}
	if other.Tables != 1 || one.Object.Tables[0].Key() == other.Object.Tables[0].Key() {
		t.Errorf("%d tables uploaded, want 1", other.Tables)
	}
}

func TestFolder(t *testing.T) {
	const size = 400
	dir := t.TempDir()
	inner, err := fileblob.Open(dir+"/bucket", fileblob.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer inner.Close()
	bucket := blobtest.NewFolderRecorder(inner)
	db := openDatabase(t, databaseOptions(t, vfs.Default), dir+"/live")
	fill(t, db, 0, 3000, size)
	flush(t, db)
	checkpointOf(t, db, dir+"/cp1")
	first := upload(t, bucket, vfs.Default, dir+"/cp1", 1, nil)
	db.Close()
	if n := bucket.Count(blobtest.PutFile); n != first.Tables || first.Tables == 0 {
		t.Errorf("%d tables linked, want %d", n, first.Tables)
	}
	if n := tableCalls(bucket.Recorder, blobtest.Put, blobtest.Get, blobtest.GetRange); n != 0 {
		t.Errorf("%d tables read or written, want 0", n)
	}

	fs := checkpoint.NewFS(checkpoint.FSOptions{Local: vfs.Default, Bucket: bucket})
	defer fs.Close()
	if err := fs.Restore(t.Context(), first.Object, dir+"/replica"); err != nil {
		t.Fatal(err)
	}
	replica := openDatabase(t, databaseOptions(t, fs), dir+"/replica")
	defer replica.Close()
	if n := bucket.Count(blobtest.OpenFile); n != 0 {
		t.Errorf("opening opened %d tables, want 0", n)
	}
	if n := count(t, replica, size); n != 3000 {
		t.Errorf("restored database has %d records, want 3000", n)
	}
	if n := bucket.Count(blobtest.GetRange); n != 0 {
		t.Errorf("%d ranges were read, want tables read in place", n)
	}
	fill(t, replica, 3000, 3100, size)
	flush(t, replica)
	checkpointOf(t, replica, dir+"/cp2")
	bucket.Reset()
	second := upload(t, bucket, fs, dir+"/cp2", 2, first.Object)
	if second.Tables != 1 || bucket.Count(blobtest.PutFile) != 1 {
		t.Errorf("second upload stored %v, want one table and one object", bucket.Stored())
	}
}
