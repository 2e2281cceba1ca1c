package checkpoint_test

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/bloom"
	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/bobbindb/bobbin/shared/blob"
	"github.com/bobbindb/bobbin/shared/checkpoint"
	"github.com/bobbindb/bobbin/shared/commitlog"
)

func readTestdata(t testing.TB, name string) []byte {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// quiet says nothing, and fails the test where Pebble would end the process.
type quiet struct{ testing.TB }

func (q quiet) Infof(string, ...any)              {}
func (q quiet) Errorf(format string, args ...any) { q.TB.Logf(format, args...) }
func (q quiet) Fatalf(format string, args ...any) { panic(fmt.Sprintf(format, args...)) }

// databaseOptions are those of a store, with what checkpoint asks for.
func databaseOptions(t testing.TB, fs vfs.FS) *pebble.Options {
	opts := &pebble.Options{
		FS:                          fs,
		DisableWAL:                  true,
		DisableTableStats:           true,
		DisableAutomaticCompactions: true,
		FormatMajorVersion:          pebble.FormatTableFormatV6,
		MemTableSize:                64 << 20,
		LBaseMaxBytes:               1 << 20,
		L0CompactionThreshold:       4,
		Logger:                      quiet{t},
		MaxManifestFileSize:         1 << 20,
		EventListener: &pebble.EventListener{
			DataCorruption: func(info pebble.DataCorruptionInfo) { t.Logf("corruption: %v", info.Details) },
		},
	}
	for i := range opts.Levels {
		opts.Levels[i].FilterPolicy = bloom.FilterPolicy(10)
		opts.Levels[i].BlockSize = 16 << 10
		opts.TargetFileSizes[i] = 4 << 20
	}
	return opts
}

func openDatabase(t testing.TB, opts *pebble.Options, dir string) *pebble.DB {
	t.Helper()
	db, err := pebble.Open(dir, opts)
	if err != nil {
		t.Fatal(err)
	}
	return db
}

// noise is n bytes that do not compress, the same for every seed.
func noise(seed, n int) []byte {
	random := rand.NewChaCha8([32]byte{byte(seed), byte(seed >> 8), byte(seed >> 16), 1})
	b := make([]byte, n)
	random.Read(b)
	return b
}

func key(i int) []byte { return fmt.Appendf(nil, "thread/%06d/m/%04d", i/50, i%50) }

// fill writes messages from number from to before end.
func fill(t testing.TB, db *pebble.DB, from, end, size int) {
	t.Helper()
	batch := db.NewBatch()
	for i := from; i < end; i++ {
		if err := batch.Set(key(i), noise(i, size), nil); err != nil {
			t.Fatal(err)
		}
		if batch.Len() > 8<<20 || i == end-1 {
			if err := batch.Commit(pebble.NoSync); err != nil {
				t.Fatal(err)
			}
			batch = db.NewBatch()
		}
	}
}

func flush(t testing.TB, db *pebble.DB) {
	t.Helper()
	if err := db.Flush(); err != nil {
		t.Fatal(err)
	}
}

// count reads everything and compares it with what fill wrote.
func count(t testing.TB, db *pebble.DB, size int) int {
	t.Helper()
	it, err := db.NewIter(nil)
	if err != nil {
		t.Fatal(err)
	}
	defer it.Close()
	n := 0
	for ok := it.First(); ok; ok = it.Next() {
		if string(it.Key()) != string(key(n)) || string(it.Value()) != string(noise(n, size)) {
			t.Fatalf("record %d has key %s", n, it.Key())
		}
		n++
	}
	if err := it.Error(); err != nil {
		t.Fatal(err)
	}
	return n
}

func checkpointOf(t testing.TB, db *pebble.DB, dir string) {
	t.Helper()
	if err := db.Checkpoint(dir); err != nil {
		t.Fatal(err)
	}
}

func upload(t testing.TB, bucket blob.Bucket, fs vfs.FS, dir string, seq commitlog.Seq, base *checkpoint.Object) *checkpoint.Uploaded {
	t.Helper()
	up, err := checkpoint.Upload(t.Context(), bucket, checkpoint.UploadOptions{
		FS: fs, Dir: dir, Prefix: prefix, Base: base, Seq: seq, Hash: commitlog.Hash{byte(seq)}, Time: int64(seq),
		Reader: databaseOptions(t, fs).MakeReaderOptions(),
	})
	if err != nil {
		t.Fatal(err)
	}
	return up
}

// prepare makes a database of n messages in the bucket and returns its checkpoint.
func prepare(t testing.TB, bucket blob.Bucket, n, size int) *checkpoint.Uploaded {
	t.Helper()
	fs := vfs.NewMem()
	db := openDatabase(t, databaseOptions(t, fs), "live")
	defer db.Close()
	fill(t, db, 0, n, size)
	flush(t, db)
	if err := db.Compact(t.Context(), []byte("a"), []byte("z"), true); err != nil {
		t.Fatal(err)
	}
	checkpointOf(t, db, "cp")
	return upload(t, bucket, fs, "cp", 10, nil)
}

// restore opens a checkpoint lazily, and closes it when the test ends.
func restore(t testing.TB, opts checkpoint.FSOptions, key string) (*checkpoint.FS, *pebble.DB) {
	t.Helper()
	return restoreIn(t, opts, key, "replica")
}

func restoreIn(t testing.TB, opts checkpoint.FSOptions, key, dir string) (*checkpoint.FS, *pebble.DB) {
	t.Helper()
	object, err := checkpoint.Load(t.Context(), opts.Bucket, key)
	if err != nil {
		t.Fatal(err)
	}
	if opts.Local == nil {
		opts.Local = vfs.NewMem()
	}
	fs := checkpoint.NewFS(opts)
	if err := fs.Restore(t.Context(), object, dir); err != nil {
		t.Fatal(err)
	}
	db := openDatabase(t, databaseOptions(t, fs), dir)
	t.Cleanup(func() {
		if err := db.Close(); err != nil {
			t.Error(err)
		}
		fs.Close()
	})
	return fs, db
}

var epoch = time.Unix(1790000000, 0)
