package checkpoint_test

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/bobbindb/bobbin/shared/blob"
	"github.com/bobbindb/bobbin/shared/blob/blobtest"
	"github.com/bobbindb/bobbin/shared/blob/memblob"
	"github.com/bobbindb/bobbin/shared/checkpoint"
)

const (
	chatMessage = 500 // bytes of a message's value
	chatPage    = 50  // messages of a page
)

// chatKey is message n of a thread. Thread names are spread over the key space, as
// slots and random ids are.
func chatKey(thread, n int) []byte {
	return fmt.Appendf(nil, "s%016x/m/%08d", uint64(thread)*0x9e3779b97f4a7c15, n)
}

// chatEnd is the key behind all messages of a thread.
func chatEnd(thread int) []byte {
	return fmt.Appendf(nil, "s%016x/m0", uint64(thread)*0x9e3779b97f4a7c15)
}

// chatDatabase writes a store of so many threads of 200 messages: most of it once and
// in key order, the last tenth as it comes in, thread by thread at random, with a
// flush for every few hundred messages and the compactions that these cause.
func chatDatabase(t testing.TB, fs vfs.FS, dir string, threads int) *pebble.DB {
	opts := databaseOptions(t, fs)
	opts.DisableAutomaticCompactions = false
	opts.MemTableSize = 8 << 20
	opts.Experimental.MultiLevelCompactionHeuristic = pebble.NoMultiLevel{}
	db := openDatabase(t, opts, dir)
	random := rand.NewChaCha8([32]byte{1})
	value := make([]byte, chatMessage)
	set := func(thread, n int) {
		random.Read(value)
		if err := db.Set(chatKey(thread, n), value, pebble.NoSync); err != nil {
			t.Fatal(err)
		}
	}
	for _, thread := range inKeyOrder(threads) {
		for n := range 180 {
			set(thread, n)
		}
	}
	flush(t, db)
	for i := range threads * 20 {
		set(i*7919%threads, 180+i/threads)
		// The position of the log is written with every commit.
		if err := db.Set([]byte("position"), value[:50], pebble.NoSync); err != nil {
			t.Fatal(err)
		}
		if i%1000 == 999 {
			flush(t, db)
		}
	}
	flush(t, db)
	if b, ok := t.(*testing.B); ok {
		settle(b, db)
	}
	if err := db.Close(); err != nil { // It waits for the compaction under way.
		t.Fatal(err)
	}
	return openDatabase(t, databaseOptions(t, fs), dir)
}

// inKeyOrder are the threads as their keys sort.
func inKeyOrder(threads int) []int {
	order := make([]int, threads)
	for i := range order {
		order[i] = i
	}
	slices.SortFunc(order, func(a, b int) int { return bytes.Compare(chatKey(a, 0), chatKey(b, 0)) })
	return order
}

// readPage reads the latest messages of a thread.
func readPage(t testing.TB, db *pebble.DB, thread int) int {
	t.Helper()
	it, err := db.NewIter(&pebble.IterOptions{LowerBound: chatKey(thread, 0), UpperBound: chatEnd(thread)})
	if err != nil {
		t.Fatal(err)
	}
	defer it.Close()
	n := 0
	for ok := it.Last(); ok && n < chatPage; ok = it.Prev() {
		if !bytes.Equal(it.Key(), chatKey(thread, 199-n)) {
			t.Fatalf("message %d of the page is %s", n, it.Key())
		}
		n++
	}
	if err := it.Error(); err != nil {
		t.Fatal(err)
	}
	return n
}

// chatStore uploads a store of so many threads.
func chatStore(t testing.TB, bucket blob.Bucket, fs vfs.FS, dir string, threads int) *checkpoint.Uploaded {
	t.Helper()
	db := chatDatabase(t, fs, dir+"live", threads)
	defer db.Close()
	checkpointOf(t, db, dir+"cp")
	return upload(t, bucket, fs, dir+"cp", 10, nil)
}

func TestPrefetchRange(t *testing.T) {
	bucket := blobtest.NewRecorder(memblob.New(time.Now))
	up := chatStore(t, bucket, vfs.NewMem(), "", 300)
	late := 0
	for thread := 0; thread < 300; thread += 10 {
		fs, db := restore(t, checkpoint.FSOptions{Bucket: bucket}, up.Key)
		if err := fs.PrefetchRange(t.Context(), chatKey(thread, 0), chatEnd(thread), checkpoint.RangeOptions{Reverse: true}); err != nil {
			t.Fatal(err)
		}
		ahead := fs.Stats()
		if n := readPage(t, db, thread); n != chatPage {
			t.Fatalf("page of thread %d has %d messages, want %d", thread, n, chatPage)
		}
		late += int(fs.Stats().Gets - ahead.Gets)
		if ahead.Gets == 0 || ahead.Gets > 16 {
			t.Errorf("%d GETs ahead of a page, want 1 to 16", ahead.Gets)
		}
	}
	// A block at the end of a range may reach into one more chunk.
	if late > 6 {
		t.Errorf("%d GETs while 30 pages were read, want at most 6", late)
	}
}

func TestPrefetch(t *testing.T) {
	const c = checkpoint.ChunkSize
	bucket := blobtest.NewRecorder(memblob.New(time.Now))
	object, _ := rawTables(t, bucket, 20*c+5, 2*c)
	for _, test := range []struct {
		name string
		do   func(fs *checkpoint.FS) error
		gets int
		size int64
	}{
		{"one byte", func(fs *checkpoint.FS) error {
			return fs.Prefetch(t.Context(), []checkpoint.Request{{Name: "db/1.sst", Off: 5, Len: 1}})
		}, 1, c},
		{"across chunks", func(fs *checkpoint.FS) error {
			return fs.Prefetch(t.Context(), []checkpoint.Request{{Name: "db/1.sst", Off: c - 1, Len: 2}})
		}, 1, 2 * c},
		{"to the end", func(fs *checkpoint.FS) error {
			return fs.Prefetch(t.Context(), []checkpoint.Request{{Name: "db/1.sst", Off: 19 * c}})
		}, 1, c + 5},
		{"whole files", func(fs *checkpoint.FS) error {
			return fs.Prefetch(t.Context(), []checkpoint.Request{{Name: "db/1.sst"}, {Name: "db/2.sst"}})
		}, 7, 22*c + 5},
		{"overlapping and near", func(fs *checkpoint.FS) error {
			return fs.Prefetch(t.Context(), []checkpoint.Request{{Name: "db/1.sst", Len: 2 * c}, {Name: "db/1.sst", Off: c, Len: c}, {Name: "db/1.sst", Off: 3 * c, Len: 1}})
		}, 1, 4 * c},
		{"past the end, local and unknown", func(fs *checkpoint.FS) error {
			return fs.Prefetch(t.Context(), []checkpoint.Request{{Name: "db/1.sst", Off: 30 * c}, {Name: "db/MANIFEST-000001"}, {Name: "x"}})
		}, 0, 0},
		{"tails", func(fs *checkpoint.FS) error { return fs.TailChunks(t.Context(), []string{"db/1.sst", "db/2.sst"}) }, 2, 2*c + 5},
	} {
		t.Run(test.name, func(t *testing.T) {
			fs := restoreRaw(t, checkpoint.FSOptions{Bucket: bucket}, object)
			if err := test.do(fs); err != nil {
				t.Fatal(err)
			}
			if got := fs.Stats(); got.Gets != int64(test.gets) || got.Bytes != test.size {
				t.Errorf("%d bytes by %d GETs, want %d by %d", got.Bytes, got.Gets, test.size, test.gets)
			}
			if err := test.do(fs); err != nil {
				t.Fatal(err)
			}
			if got := fs.Stats(); got.Gets != int64(test.gets) {
				t.Errorf("the second time made %d GETs, want 0", got.Gets-int64(test.gets))
			}
		})
	}
}

func TestPrefetchOfAGoneTable(t *testing.T) {
	bucket := memblob.New(time.Now)
	object, _ := rawTables(t, bucket, 100)
	if err := bucket.Delete(t.Context(), object.Tables[0].Key()); err != nil {
		t.Fatal(err)
	}
	fs := restoreRaw(t, checkpoint.FSOptions{Bucket: bucket}, object)
	if err := fs.Prefetch(t.Context(), []checkpoint.Request{{Name: "db/1.sst"}}); err == nil || !fs.Gone() {
		t.Errorf("Prefetch() = %v and Gone() is %v, want an error and true", err, fs.Gone())
	}
}

func TestPrefetchRangeIsBounded(t *testing.T) {
	bucket := blobtest.NewRecorder(memblob.New(time.Now))
	up := chatStore(t, bucket, vfs.NewMem(), "", 100)
	fs, _ := restore(t, checkpoint.FSOptions{Bucket: bucket}, up.Key)
	if err := fs.PrefetchRange(t.Context(), nil, nil, checkpoint.RangeOptions{DataChunks: 1000, MaxChunks: 8}); err != nil {
		t.Fatal(err)
	}
	if got := fs.Stats().Bytes; got > 8*checkpoint.ChunkSize {
		t.Errorf("%d bytes fetched, want at most 8 chunks", got)
	}
}

// The tails that lookups begin with come in one round, each once; those of tables that
// hold none of the keys, or were opened before, do not come.
func TestPrefetchKeys(t *testing.T) {
	const c = checkpoint.ChunkSize
	bucket := memblob.New(time.Now)
	object, _ := rawTables(t, bucket, 4*c, 4*c, 4*c, 4*c)
	for i := range object.Tables {
		table := &object.Tables[i]
		table.Smallest, table.Largest = []byte{'a' + byte(i), '2'}, []byte{'a' + byte(i), '8'}
	}
	fs := restoreRaw(t, checkpoint.FSOptions{Bucket: bucket}, object)
	open(t, fs, "db/4.sst")
	keys := func(keys ...string) (out [][]byte) {
		for _, k := range keys {
			out = append(out, []byte(k))
		}
		return out
	}
	for _, tt := range []struct {
		name string
		keys [][]byte
		want int64 // GETs so far
	}{
		{"nothing", nil, 0},
		{"between tables", keys("a1", "a9", "b1", "z"), 0},
		{"at the ends of two, in no order", keys("b8", "c1", "a2", "a5"), 2},
		{"again", keys("a2", "b8"), 2},
		{"a table that was opened", keys("d5"), 2},
		{"another", keys("c5", "b5"), 3},
	} {
		if err := fs.PrefetchKeys(t.Context(), tt.keys); err != nil {
			t.Fatalf("%s: %v", tt.name, err)
		}
		if got := fs.Stats().Gets; got != tt.want {
			t.Errorf("%s: %d GETs so far, want %d", tt.name, got, tt.want)
		}
	}
}
