package checkpoint_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"io"
	"os"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cockroachdb/errors/oserror"
	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/bobbindb/bobbin/shared/blob"
	"github.com/bobbindb/bobbin/shared/blob/blobtest"
	"github.com/bobbindb/bobbin/shared/blob/fileblob"
	"github.com/bobbindb/bobbin/shared/blob/memblob"
	"github.com/bobbindb/bobbin/shared/checkpoint"
	"github.com/bobbindb/bobbin/shared/commitlog"
)

// rawTables stores tables of these sizes and returns an object that names them. Their
// content is noise, for tests that only read files.
func rawTables(t testing.TB, bucket blob.Bucket, sizes ...int) (*checkpoint.Object, [][]byte) {
	t.Helper()
	object := &checkpoint.Object{Files: []checkpoint.File{{Name: "MANIFEST-000001", Body: []byte("edits")}}}
	var bodies [][]byte
	for i, size := range sizes {
		body := noise(i, size)
		table := checkpoint.Table{Name: string('1'+rune(i)) + ".sst", SHA256: sha256.Sum256(body), Nonce: "n", Size: int64(size)}
		if _, err := bucket.Put(t.Context(), table.Key(), body, blob.IfAbsent()); err != nil {
			t.Fatal(err)
		}
		object.Tables, bodies = append(object.Tables, table), append(bodies, body)
	}
	return object, bodies
}

func restoreRaw(t testing.TB, opts checkpoint.FSOptions, object *checkpoint.Object) *checkpoint.FS {
	t.Helper()
	if opts.Local == nil {
		opts.Local = vfs.NewMem()
	}
	fs := checkpoint.NewFS(opts)
	if err := fs.Restore(t.Context(), object, "db"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { fs.Close() })
	return fs
}

func open(t testing.TB, fs vfs.FS, name string, opts ...vfs.OpenOption) vfs.File {
	t.Helper()
	file, err := fs.Open(name, opts...)
	if err != nil {
		t.Fatal(err)
	}
	return file
}

func TestReadAt(t *testing.T) {
	const c = checkpoint.ChunkSize
	bucket := memblob.New(time.Now)
	object, bodies := rawTables(t, bucket, 3*c+100, c, 1, 0)
	fs := restoreRaw(t, checkpoint.FSOptions{Bucket: bucket}, object)
	for _, test := range []struct {
		table, off, len int
		err             error
	}{
		{0, 0, 10, nil}, {0, c - 5, 10, nil}, {0, c, c, nil}, {0, 5, 3 * c, nil}, {0, 3*c + 90, 10, nil},
		{0, 3*c + 90, 11, io.EOF}, {0, 0, 3*c + 100, nil}, {0, 3*c + 100, 1, io.EOF}, {0, 10, 0, nil},
		{1, 0, c, nil}, {1, 0, c + 1, io.EOF}, {2, 0, 1, nil}, {3, 0, 1, io.EOF},
	} {
		file := open(t, fs, "db/"+object.Tables[test.table].Name)
		got := make([]byte, test.len)
		n, err := file.ReadAt(got, int64(test.off))
		body := bodies[test.table]
		want := body[min(test.off, len(body)):min(test.off+test.len, len(body))]
		if !errors.Is(err, test.err) || !bytes.Equal(got[:n], want) {
			t.Errorf("table %d: ReadAt(%d bytes at %d) = %d, %v, want %d, %v", test.table, test.len, test.off, n, err, len(want), test.err)
		}
	}
	if _, err := open(t, fs, "db/1.sst").ReadAt(make([]byte, 1), -1); err == nil {
		t.Error("ReadAt(-1) succeeded")
	}
}

func TestReadThrough(t *testing.T) {
	const c = checkpoint.ChunkSize
	bucket := blobtest.NewRecorder(memblob.New(time.Now))
	object, bodies := rawTables(t, bucket, 40*c+7)
	for name, opts := range map[string][]vfs.OpenOption{"sequential": {vfs.SequentialReadsOption}, "detected": nil, "random": {vfs.RandomReadsOption}} {
		t.Run(name, func(t *testing.T) {
			fs := restoreRaw(t, checkpoint.FSOptions{Bucket: bucket}, object)
			bucket.Reset()
			var got bytes.Buffer
			if _, err := io.CopyBuffer(struct{ io.Writer }{&got}, open(t, fs, "db/1.sst", opts...), make([]byte, 32<<10)); err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(got.Bytes(), bodies[0]) {
				t.Error("bytes read differ from those stored")
			}
			fs.Close()
			var sum int64
			for _, call := range bucket.Calls() {
				sum += call.Bytes
			}
			if sum != 40*c+7 {
				t.Errorf("%d bytes fetched, want each once: %d", sum, 40*c+7)
			}
			if n := bucket.Count(blobtest.GetRange); n > 16 {
				t.Errorf("%d GETs for 41 chunks, want at most 16", n)
			}
		})
	}
}

func TestOneFetchPerChunk(t *testing.T) {
	const c = checkpoint.ChunkSize
	inner := blobtest.NewRecorder(memblob.New(time.Now))
	object, bodies := rawTables(t, inner, 2*c)
	all := make(chan struct{})
	bucket := blobtest.NewFaults(inner, func(blobtest.Call) blobtest.Fault {
		<-all // hold the fetch back until everyone asks
		return blobtest.None
	})
	fs := restoreRaw(t, checkpoint.FSOptions{Bucket: bucket}, object)
	inner.Reset()
	var asked, readers sync.WaitGroup
	for i := range 50 {
		asked.Add(1)
		readers.Go(func() {
			file, err := fs.Open("db/1.sst")
			if err != nil {
				t.Error(err)
				return
			}
			asked.Done()
			got := make([]byte, 100)
			off := int64(i%2*c + i)
			if _, err := file.ReadAt(got, off); err != nil || !bytes.Equal(got, bodies[0][off:off+100]) {
				t.Errorf("ReadAt(%d) = %v, or other bytes", off, err)
			}
		})
	}
	asked.Wait()
	close(all)
	readers.Wait()
	if n := inner.Count(blobtest.GetRange); n != 2 {
		t.Errorf("%d GETs for 2 chunks, want 2", n)
	}
}

func TestFetchTriesAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		inner := memblob.New(time.Now)
		object, bodies := rawTables(t, inner, 1000)
		var calls atomic.Int32
		var failures int32
		bucket := blobtest.NewFaults(inner, func(blobtest.Call) blobtest.Fault {
			if calls.Add(1) <= failures {
				return blobtest.PartialRead
			}
			return blobtest.None
		})
		for _, test := range []struct {
			failures int32
			want     error
		}{{3, nil}, {1000, blob.ErrUnavailable}} {
			failures = test.failures
			calls.Store(0)
			fs := restoreRaw(t, checkpoint.FSOptions{Bucket: bucket}, object)
			got := make([]byte, 1000)
			_, err := open(t, fs, "db/1.sst").ReadAt(got, 0)
			if !errors.Is(err, test.want) || err == nil && !bytes.Equal(got, bodies[0]) {
				t.Errorf("ReadAt() after %d failures = %v, want %v", test.failures, err, test.want)
			}
			if calls.Load() > 8 {
				t.Errorf("%d calls, want a bounded number", calls.Load())
			}
			if test.want != nil { // An error is not remembered.
				failures = 0
				if _, err := open(t, fs, "db/1.sst").ReadAt(got, 0); err != nil {
					t.Errorf("ReadAt() once the bucket answers = %v", err)
				}
			}
		}
	})
}

// A bucket that never answers holds nobody for ever.
func TestFetchTimesOut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		inner := memblob.New(time.Now)
		object, _ := rawTables(t, inner, 1000)
		bucket := blobtest.NewLatency(inner, blobtest.LatencyOptions{Get: time.Hour})
		fs := restoreRaw(t, checkpoint.FSOptions{Bucket: bucket, FetchTimeout: time.Second}, object)
		start := time.Now()
		_, err := open(t, fs, "db/1.sst").ReadAt(make([]byte, 10), 0)
		if err == nil || time.Since(start) > time.Minute {
			t.Errorf("ReadAt() = %v after %v, want an error within a minute", err, time.Since(start))
		}
	})
}

func TestShortObjectIsDamaged(t *testing.T) {
	bucket := memblob.New(time.Now)
	object, _ := rawTables(t, bucket, 1000)
	object.Tables[0].Size = 2000
	fs := restoreRaw(t, checkpoint.FSOptions{Bucket: bucket}, object)
	if _, err := open(t, fs, "db/1.sst").ReadAt(make([]byte, 2000), 0); !errors.Is(err, commitlog.ErrDamaged) {
		t.Errorf("ReadAt() = %v, want %v", err, commitlog.ErrDamaged)
	}
}

func TestGoneTable(t *testing.T) {
	bucket := memblob.New(time.Now)
	up := prepare(t, bucket, 4000, 300)
	var gone []string
	fs, db := restore(t, checkpoint.FSOptions{Bucket: bucket, OnGone: func(key string) { gone = append(gone, key) }}, up.Key)
	for i := range up.Object.Tables {
		if err := bucket.Delete(t.Context(), up.Object.Tables[i].Key()); err != nil {
			t.Fatal(err)
		}
	}
	for range 2 {
		_, _, err := db.Get(key(5))
		if !errors.Is(err, checkpoint.ErrTableGone) {
			t.Errorf("Get() = %v, want %v", err, checkpoint.ErrTableGone)
		}
		if oserror.IsNotExist(err) {
			t.Errorf("Get() = %v, which Pebble takes for corruption", err)
		}
	}
	if len(gone) != 1 || !fs.Gone() {
		t.Errorf("OnGone was called for %v and Gone() is %v, want one table and true", gone, fs.Gone())
	}
}

func TestGoneTableOfAFolder(t *testing.T) {
	bucket, err := fileblob.Open(t.TempDir(), fileblob.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer bucket.Close()
	object, _ := rawTables(t, bucket, 1000)
	if err := bucket.Delete(t.Context(), object.Tables[0].Key()); err != nil {
		t.Fatal(err)
	}
	n := 0
	fs := restoreRaw(t, checkpoint.FSOptions{Bucket: bucket, OnGone: func(string) { n++ }}, object)
	if _, err := fs.Open("db/1.sst"); !errors.Is(err, checkpoint.ErrTableGone) || oserror.IsNotExist(err) {
		t.Errorf("Open() = %v, want %v and not not-exist", err, checkpoint.ErrTableGone)
	}
	if n != 1 || !fs.Gone() {
		t.Errorf("OnGone was called %d times and Gone() is %v, want 1 and true", n, fs.Gone())
	}
}

func TestReadAfterClose(t *testing.T) {
	bucket := memblob.New(time.Now)
	object, _ := rawTables(t, bucket, 1000)
	fs := restoreRaw(t, checkpoint.FSOptions{Bucket: bucket}, object)
	file := open(t, fs, "db/1.sst")
	fs.Close()
	if _, err := file.ReadAt(make([]byte, 10), 0); err == nil {
		t.Error("ReadAt() after Close() succeeded")
	}
}

func TestRestoreWantsAnEmptyDirectory(t *testing.T) {
	bucket := memblob.New(time.Now)
	object, _ := rawTables(t, bucket, 10)
	fs := restoreRaw(t, checkpoint.FSOptions{Bucket: bucket}, object)
	if err := fs.Restore(t.Context(), object, "db"); !errors.Is(err, os.ErrExist) {
		t.Errorf("second Restore() = %v, want %v", err, os.ErrExist)
	}
}

// names lists a directory in order.
func names(t *testing.T, fs vfs.FS, dir string) []string {
	t.Helper()
	list, err := fs.List(dir)
	if err != nil {
		t.Fatal(err)
	}
	slices.Sort(list)
	return list
}

func TestNames(t *testing.T) {
	for name, local := range map[string]func(t *testing.T) (vfs.FS, string){
		"in memory": func(*testing.T) (vfs.FS, string) { return vfs.NewMem(), "" },
		"on disk":   func(t *testing.T) (vfs.FS, string) { return vfs.Default, t.TempDir() + "/" },
		"unsynced":  func(t *testing.T) (vfs.FS, string) { return checkpoint.Disk(), t.TempDir() + "/" },
	} {
		t.Run(name, func(t *testing.T) {
			fs, root := local(t)
			testNames(t, fs, root)
		})
	}
}

func testNames(t *testing.T, local vfs.FS, root string) {
	bucket := blobtest.NewRecorder(memblob.New(time.Now))
	object, bodies := rawTables(t, bucket, 100, 200)
	fs := checkpoint.NewFS(checkpoint.FSOptions{Local: local, Bucket: bucket})
	defer fs.Close()
	if err := fs.Restore(t.Context(), object, root+"db"); err != nil {
		t.Fatal(err)
	}
	bucket.Reset()
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	wantNames := func(dir string, want ...string) {
		t.Helper()
		if got := names(t, fs, root+dir); !slices.Equal(got, want) {
			t.Errorf("List(%s) = %v, want %v", dir, got, want)
		}
	}
	wantNames("db", "1.sst", "2.sst", "MANIFEST-000001")

	must(fs.MkdirAll(root+"cp", 0o700))
	must(fs.Link(root+"db/1.sst", root+"cp/1.sst"))
	must(fs.Link(root+"db/MANIFEST-000001", root+"cp/MANIFEST-000001"))
	if err := fs.Link(root+"db/2.sst", root+"cp/1.sst"); !oserror.IsExist(err) {
		t.Errorf("Link() to a taken remote name = %v", err)
	}
	if err := fs.Link(root+"db/2.sst", root+"cp/MANIFEST-000001"); !oserror.IsExist(err) {
		t.Errorf("Link() to a taken local name = %v", err)
	}
	if err := fs.Link(root+"db/2.sst", root+"none/2.sst"); !oserror.IsNotExist(err) {
		t.Errorf("Link() into no directory = %v", err)
	}
	wantNames("cp", "1.sst", "MANIFEST-000001")

	must(fs.Remove(root + "db/1.sst"))
	wantNames("db", "2.sst", "MANIFEST-000001")
	if _, err := fs.Open(root + "db/1.sst"); !oserror.IsNotExist(err) {
		t.Errorf("Open() of a removed name = %v, want not-exist", err)
	}
	if _, err := fs.Stat(root + "db/1.sst"); !oserror.IsNotExist(err) {
		t.Errorf("Stat() of a removed name = %v, want not-exist", err)
	}
	must(fs.Rename(root+"cp/1.sst", root+"cp/3.sst"))
	must(fs.Rename(root+"cp", root+"moved"))
	wantNames("moved", "3.sst", "MANIFEST-000001")
	if err := fs.Remove(root + "moved"); err == nil {
		t.Error("Remove() of a directory with remote names succeeded")
	}
	info, err := fs.Stat(root + "moved/3.sst")
	must(err)
	if info.Size() != 100 || info.IsDir() {
		t.Errorf("Stat() = %d bytes, want 100", info.Size())
	}
	got := make([]byte, 100)
	if bucket.Count() != 0 {
		t.Errorf("names made %d calls, want 0", bucket.Count())
	}
	if _, err := open(t, fs, root+"moved/3.sst").ReadAt(got, 0); err != nil || !bytes.Equal(got, bodies[0]) {
		t.Errorf("ReadAt() under the new name = %v, or other bytes", err)
	}
	if _, err := fs.OpenReadWrite(root+"moved/3.sst", vfs.WriteCategoryUnspecified); err == nil {
		t.Error("OpenReadWrite() of a table succeeded")
	}
	file, err := fs.Create(root+"moved/3.sst", vfs.WriteCategoryUnspecified)
	must(err)
	must(file.Close())
	if info, err := fs.Stat(root + "moved/3.sst"); err != nil || info.Size() != 0 {
		t.Errorf("Stat() after Create() = %v, %v, want an empty local file", info, err)
	}
	must(fs.Rename(root+"db/2.sst", root+"moved/3.sst"))
	if info, err := fs.Stat(root + "moved/3.sst"); err != nil || info.Size() != 200 {
		t.Errorf("Stat() after Rename() over a local file = %v, %v, want the table", info, err)
	}
	must(fs.RemoveAll(root + "moved"))
	if _, err := fs.Stat(root + "moved/3.sst"); !oserror.IsNotExist(err) {
		t.Errorf("Stat() after RemoveAll() = %v, want not-exist", err)
	}
	if vfs.Root(fs) != vfs.Root(local) {
		t.Error("Unwrap() is not the local file system")
	}
}

// Who looks into one table after another has the tails of the next ones fetched; who
// looks into two has not.
func TestTailsAhead(t *testing.T) {
	const c = checkpoint.ChunkSize
	bucket := memblob.New(time.Now)
	object, _ := rawTables(t, bucket, 9*c, 9*c, 9*c, 9*c, 9*c)
	for i := range object.Tables {
		table := &object.Tables[i]
		table.Smallest, table.Largest = []byte{'a' + byte(i), '0'}, []byte{'a' + byte(i), '9'}
	}
	fs := restoreRaw(t, checkpoint.FSOptions{Bucket: bucket}, object)
	for i, want := range []int64{1, 2, 5, 5, 5} {
		if _, err := open(t, fs, "db/"+object.Tables[i].Name).ReadAt(make([]byte, 10), 9*c-10); err != nil {
			t.Fatal(err)
		}
		if i == 2 { // Waits for what is on its way.
			if err := fs.TailChunks(t.Context(), []string{"db/4.sst", "db/5.sst"}); err != nil {
				t.Fatal(err)
			}
		}
		if got := fs.Stats().Gets; got != want {
			t.Errorf("%d GETs after %d tables, want %d", got, i+1, want)
		}
	}
}

// A reader in order has what it will read fetched across the ends of tables, as far as
// those were opened before, as a compaction does; at one that was not it may end.
func TestReaderInOrderLooksPast(t *testing.T) {
	const c = checkpoint.ChunkSize
	for name, want := range map[string]struct {
		opened int // tables that were
		ahead  int // others on their way when the first byte was read
	}{
		"all were opened": {16, 12},
		"only itself was": {1, 1},
		"three were":      {3, 3},
		"itself was not":  {0, 1},
	} {
		t.Run(name, func(t *testing.T) {
			bucket := memblob.New(time.Now)
			object, _ := rawTables(t, bucket, slices.Repeat([]int{4 * c}, 16)...)
			for i := range object.Tables {
				table := &object.Tables[i]
				table.Smallest, table.Largest = []byte{'a' + byte(i), '0'}, []byte{'a' + byte(i), '9'}
			}
			held := &heldBucket{Bucket: bucket, but: object.Tables[0].Key(), release: make(chan struct{})}
			fs := restoreRaw(t, checkpoint.FSOptions{Bucket: held}, object)
			defer close(held.release)
			for i := range want.opened {
				open(t, fs, "db/"+object.Tables[i].Name)
			}
			if _, err := open(t, fs, "db/1.sst", vfs.SequentialReadsOption).ReadAt(make([]byte, 10), 0); err != nil {
				t.Fatal(err)
			}
			if err := fs.Prefetch(t.Context(), []checkpoint.Request{{Name: "db/1.sst"}}); err != nil {
				t.Fatal(err)
			}
			if got := fs.OnTheirWay(); got != want.ahead {
				t.Errorf("%d other tables were on their way, want %d", got, want.ahead)
			}
		})
	}
}

// heldBucket answers for one table only, until it is released.
type heldBucket struct {
	blob.Bucket
	but     string
	release chan struct{}
}

func (h *heldBucket) GetRange(ctx context.Context, key string, offset, size int64) (blob.Object, error) {
	if key != h.but {
		<-h.release
	}
	return h.Bucket.GetRange(ctx, key, offset, size)
}
