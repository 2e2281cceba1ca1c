package checkpoint_test

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/bobbindb/bobbin/shared/blob"
	"github.com/bobbindb/bobbin/shared/blob/blobtest"
	"github.com/bobbindb/bobbin/shared/blob/fileblob"
	"github.com/bobbindb/bobbin/shared/blob/memblob"
	"github.com/bobbindb/bobbin/shared/checkpoint"
)

// localCheckpoint makes a checkpoint directory of some tables.
func localCheckpoint(t testing.TB, fs vfs.FS, dir string, tables int) {
	t.Helper()
	db := openDatabase(t, databaseOptions(t, fs), dir+"-live")
	defer db.Close()
	for i := range tables {
		fill(t, db, i*100, i*100+100, 200)
		flush(t, db)
	}
	checkpointOf(t, db, dir)
}

// verify compares every table in the bucket with what the object says.
func verify(t testing.TB, bucket blob.Bucket, key string) {
	t.Helper()
	object, err := checkpoint.Load(t.Context(), bucket, key)
	if err != nil {
		t.Fatal(err)
	}
	for _, table := range object.Tables {
		stored, err := bucket.Get(t.Context(), table.Key())
		if err != nil {
			t.Fatal(err)
		}
		if sha256.Sum256(stored.Body) != table.SHA256 || stored.Size != table.Size {
			t.Errorf("table %s is stored with %d bytes, want %d of the same hash", table.Name, stored.Size, table.Size)
		}
	}
}

func TestUploadFaults(t *testing.T) {
	fs := vfs.NewMem()
	localCheckpoint(t, fs, "cp", 3)
	faults := []blobtest.Fault{blobtest.NotStored, blobtest.LostReply, blobtest.Delayed, blobtest.Conflict409,
		blobtest.Unavailable503, blobtest.PartialRead, blobtest.Denied, blobtest.Full}
	for _, fault := range faults {
		for from := int32(1); from <= 5; from++ {
			for _, times := range []int32{1, 3, 1000} {
				synctest.Test(t, func(t *testing.T) {
					inner := memblob.New(time.Now)
					var n atomic.Int32
					bucket := blobtest.NewFaults(inner, func(blobtest.Call) blobtest.Fault {
						if n := n.Add(1); n < from || n >= from+times {
							return blobtest.None
						}
						return fault
					})
					testUploadFault(t, inner, bucket, fs, fmt.Sprintf("%v from call %d, %d times", fault, from, times))
				})
			}
		}
	}
}

// testUploadFault uploads and, whatever comes of it, expects whole objects.
func testUploadFault(t *testing.T, inner blob.Bucket, bucket *blobtest.Faults, fs vfs.FS, name string) {
	opts := checkpoint.UploadOptions{FS: fs, Dir: "cp", Prefix: prefix, Seq: 5, Reader: databaseOptions(t, fs).MakeReaderOptions()}
	up, err := checkpoint.Upload(t.Context(), bucket, opts)
	if err == nil {
		verify(t, inner, up.Key)
	}
	bucket.Release()
	if err == nil {
		verify(t, inner, up.Key)
		return
	}
	if strings.HasSuffix(name, ", 1 times") && !errors.Is(err, blob.ErrDenied) && !errors.Is(err, blob.ErrNotStored) {
		t.Errorf("%s: Upload() = %v, want success", name, err)
	}
	bucket.Decide(nil)
	up, err = checkpoint.Upload(t.Context(), bucket, opts)
	if err != nil {
		t.Errorf("%s: second Upload() = %v", name, err)
		return
	}
	verify(t, inner, up.Key)
}

func TestUploadFaultsOnAFolder(t *testing.T) {
	dir := t.TempDir()
	localCheckpoint(t, vfs.Default, dir+"/cp", 2)
	for i, fault := range []blobtest.Fault{blobtest.NotStored, blobtest.LostReply, blobtest.Conflict409, blobtest.Unavailable503} {
		inner, err := fileblob.Open(fmt.Sprintf("%s/bucket%d", dir, i), fileblob.Options{})
		if err != nil {
			t.Fatal(err)
		}
		bucket := blobtest.NewFolderFaults(inner, func(call blobtest.Call) blobtest.Fault {
			if call.N == 1 {
				return fault
			}
			return blobtest.None
		})
		up, err := checkpoint.Upload(t.Context(), bucket, checkpoint.UploadOptions{FS: vfs.Default, Dir: dir + "/cp", Prefix: prefix, Seq: 5})
		if err != nil {
			t.Fatalf("%v: Upload() = %v, want success", fault, err)
		}
		verify(t, inner, up.Key)
		inner.Close()
	}
}

func TestUploadRefusesUnexpectedFiles(t *testing.T) {
	for name, size := range map[string]int{"notes.txt": 1, "000009.log": 100 << 10, "LOCK": 0, "000009.sst.tmp": 5} {
		t.Run(name, func(t *testing.T) {
			fs := vfs.NewMem()
			localCheckpoint(t, fs, "cp", 1)
			file, err := fs.Create("cp/"+name, vfs.WriteCategoryUnspecified)
			if err != nil {
				t.Fatal(err)
			}
			file.Write(make([]byte, size))
			file.Close()
			bucket := blobtest.NewRecorder(memblob.New(time.Now))
			_, err = checkpoint.Upload(t.Context(), bucket, checkpoint.UploadOptions{FS: fs, Dir: "cp", Prefix: prefix})
			if !errors.Is(err, checkpoint.ErrUnexpectedFile) || bucket.Count() != 0 {
				t.Errorf("Upload() = %v after %d calls, want %v and none", err, bucket.Count(), checkpoint.ErrUnexpectedFile)
			}
		})
	}
}

func TestUploadRefusesADamagedTable(t *testing.T) {
	fs := vfs.NewMem()
	localCheckpoint(t, fs, "cp", 1)
	list, err := fs.List("cp")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range list {
		if strings.HasSuffix(name, ".sst") {
			file, err := fs.Create("cp/"+name, vfs.WriteCategoryUnspecified)
			if err != nil {
				t.Fatal(err)
			}
			file.Write(bytes.Repeat([]byte("x"), 1000))
			file.Close()
		}
	}
	bucket := blobtest.NewRecorder(memblob.New(time.Now))
	if _, err := checkpoint.Upload(t.Context(), bucket, checkpoint.UploadOptions{FS: fs, Dir: "cp", Prefix: prefix}); err == nil || bucket.Count() != 0 {
		t.Errorf("Upload() = %v after %d calls, want an error and none", err, bucket.Count())
	}
}

// Every upload names its objects anew.
func TestUploadNamesAreNew(t *testing.T) {
	fs := vfs.NewMem()
	localCheckpoint(t, fs, "cp", 2)
	bucket := blobtest.NewRecorder(memblob.New(time.Now))
	one, two := upload(t, bucket, fs, "cp", 1, nil), upload(t, bucket, fs, "cp", 1, nil)
	stored := bucket.Stored()
	if len(stored) != 6 || one.Key == two.Key {
		t.Errorf("two uploads of 2 tables stored %v, want 6 objects", stored)
	}
	seen := map[string]bool{}
	for _, key := range stored {
		if seen[key] {
			t.Errorf("%s was stored twice", key)
		}
		seen[key] = true
	}
	if want := prefix + "/checkpoints/00000000000000000001-"; !strings.HasPrefix(one.Key, want) {
		t.Errorf("checkpoint is at %s, want it at %s...", one.Key, want)
	}
}
