package engine_test

import (
	"context"
	"fmt"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	mathrand "math/rand/v2"

	"github.com/bobbindb/bobbin/shared/blob"
	"github.com/bobbindb/bobbin/shared/blob/blobtest"
	"github.com/bobbindb/bobbin/shared/blob/fileblob"
	"github.com/bobbindb/bobbin/shared/blob/memblob"
	"github.com/bobbindb/bobbin/shared/catalog"
	"github.com/bobbindb/bobbin/shared/chat"
	"github.com/bobbindb/bobbin/shared/checkpoint"
	"github.com/bobbindb/bobbin/shared/compactor"
	"github.com/bobbindb/bobbin/test/engine"
)

// perThread is how many messages a thread holds, however large the store is: a larger
// one has more threads.
const perThread = 90

// inMemory is how many messages of 1 KB a store in memory may hold.
const inMemory = 1_000_000

// newBucket makes a bucket for a store of so many messages.
func newBucket(b *testing.B, messages int) blob.Bucket {
	memory := memblob.New(time.Now)
	if messages <= inMemory {
		return memory
	}
	folder, err := fileblob.Open(b.TempDir(), fileblob.Options{})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { folder.Close() })
	return &halves{tables: folder, rest: memory}
}

// halves keeps tables in one bucket and everything else in another. It is no blob.Folder
// even if they are: tables are fetched, not opened in place.
type halves struct{ tables, rest blob.Bucket }

func (h *halves) half(key string) blob.Bucket {
	if strings.HasPrefix(key, "tables/") {
		return h.tables
	}
	return h.rest
}

func (h *halves) Get(ctx context.Context, key string) (blob.Object, error) {
	return h.half(key).Get(ctx, key)
}

func (h *halves) GetRange(ctx context.Context, key string, offset, size int64) (blob.Object, error) {
	return h.half(key).GetRange(ctx, key, offset, size)
}

func (h *halves) Put(ctx context.Context, key string, body []byte, when blob.Condition) (blob.Info, error) {
	return h.half(key).Put(ctx, key, body, when)
}

func (h *halves) List(ctx context.Context, opts blob.ListOptions) (blob.Listing, error) {
	return h.half(opts.Prefix).List(ctx, opts)
}

func (h *halves) Delete(ctx context.Context, key string) error {
	return h.half(key).Delete(ctx, key)
}

// filled is a store that a benchmark measures.
type filled struct {
	*testing.B
	bucket  blob.Bucket
	store   *catalog.Store
	threads []chat.ThreadID
	caller  chat.Call
	random  *mathrand.ChaCha8
	pick    *mathrand.Rand

	messages int // of the fill
	taken    int // checkpoints since, of one message a commit
}

func fill(b *testing.B, messages int) *filled {
	f := &filled{
		B: b, messages: messages, bucket: newBucket(b, messages), caller: chat.Call{Caller: chat.Owner{User: "u1"}},
		random: mathrand.NewChaCha8([32]byte{2}), pick: mathrand.New(mathrand.NewPCG(3, 4)),
	}
	began := time.Now()
	var err error
	if f.store, err = engine.Create(b.Context(), f.bucket, 1); err != nil {
		b.Fatal(err)
	}
	if f.threads, err = engine.Fill(b.Context(), f.bucket, f.store, messages, max(1000, messages/perThread)); err != nil {
		b.Fatal(err)
	}
	b.Logf("%d messages in %d threads, filled in %s", messages, len(f.threads), time.Since(began).Round(time.Second))
	return f
}

// BenchmarkFar measures a store on a far bucket: what a process with nothing local
// waits for and asks, and what checkpoints upload.
//
// Uploads are measured twice. A bulk fill leaves the levels of the database in a shape
// that small checkpoints would not have made; what they pay at first ("after the fill")
// is not what they pay for ever ("steady"). The levels above the last hold about a tenth
// of a store, so the second is measured after as much was committed, 64 commits to a
// checkpoint as before.
func BenchmarkFar(b *testing.B) {
	messages := size(b, 100_000)
	f := fill(b, messages)
	b.Run("page/after=fill", f.page)
	b.Run("upload/after=fill", f.upload)
	for range messages / 10 / commits {
		f.checkpoint()
	}
	b.Run("upload/steady", f.upload)
	b.Run("page/steady", f.page)
	b.Run("post", f.post)
	f.checkpoint()
	f.commit(commits)
	b.Run("page/tail=64", f.page)
}

// commits is how many commits go into one checkpoint.
const commits = 64

// commit makes n commits of one message of 1 KB each, in threads chosen at random, and
// returns how many bytes were committed since the last checkpoint.
func (f *filled) commit(n int) int64 {
	e, err := engine.Open(f.Context(), f.bucket, f.store)
	if err != nil {
		f.Fatal(err)
	}
	defer e.Close()
	for range n {
		ref := chat.ThreadRef{ID: f.threads[f.pick.IntN(len(f.threads))]}
		if _, err := e.Service.PostMessage(f.Context(), f.caller, ref, chat.Post{Body: engine.Text(f.random)}); err != nil {
			f.Fatal(err)
		}
	}
	return e.Partitions[0].Tail().Bytes
}

// checkpoint makes some commits and takes a checkpoint of them.
func (f *filled) checkpoint() (compactor.Result, int64) {
	committed := f.commit(commits)
	result, err := engine.Compact(f.Context(), f.bucket, f.store, 0)
	if err != nil {
		f.Fatal(err)
	}
	if f.taken++; f.taken%200 == 0 {
		if err := engine.Sweep(f.Context(), f.bucket, f.store); err != nil {
			f.Fatal(err)
		}
	}
	return result, committed
}

// upload measures the bytes of tables, and of checkpoint objects, that are uploaded for
// each byte committed. An iteration is a few checkpoints, so that as many iterations as a
// cold page needs are as many as this needs.
func (f *filled) upload(b *testing.B) {
	const few = 25
	before := f.taken
	var committed, tables, objects, puts int64
	for range few * b.N {
		result, bytes := f.checkpoint()
		committed += bytes
		tables, objects, puts = tables+result.TableBytes, objects+result.ObjectBytes, puts+int64(result.Tables)
	}
	m, err := checkpoint.Read(b.Context(), f.bucket, catalog.Prefix(f.store.Branch, 0))
	if err != nil {
		b.Fatal(err)
	}
	checkpoints := float64(few * b.N)
	b.ReportMetric(float64(before), "before")
	b.ReportMetric(checkpoints, "checkpoints")
	b.ReportMetric(float64(m.TableBytes)/float64(f.messages+commits*f.taken), "tableB/message")
	b.ReportMetric(float64(tables)/float64(committed), "tableB/B")
	b.ReportMetric(float64(objects)/float64(committed), "objectB/B")
	// Beside its tables a checkpoint puts its object, a segment and the manifest.
	b.ReportMetric(1+(float64(puts)/checkpoints+3)/commits, "puts/commit")
}

// cold measures an operation of a process that has nothing, on a bucket that is far.
func (f *filled) cold(b *testing.B, do func(e *engine.Engine, ref chat.ThreadRef) error) {
	recorder := blobtest.NewRecorder(far(f.bucket))
	calls := 0
	for i := range b.N {
		recorder.Reset()
		e, err := engine.Open(b.Context(), recorder, f.store)
		if err == nil {
			err = do(e, chat.ThreadRef{ID: f.threads[i*37%len(f.threads)]})
		}
		if err != nil {
			b.Fatal(err)
		}
		calls += recorder.Count()
		b.StopTimer()
		if err := e.Close(); err != nil {
			b.Fatal(err)
		}
		b.StartTimer()
	}
	b.ReportMetric(float64(calls)/float64(b.N), "requests/op")
	if testing.Verbose() {
		for _, c := range recorder.Calls() {
			b.Log(c.Op, c.Key, c.Bytes, c.Err)
		}
	}
}

func (f *filled) page(b *testing.B) {
	query := chat.MessageQuery{Cursor: chat.Cursor{Limit: 50}}
	f.cold(b, func(e *engine.Engine, ref chat.ThreadRef) error {
		page, _, err := e.Service.ListMessages(b.Context(), f.caller, ref, query)
		if err == nil && len(page.Messages) != query.Limit {
			err = fmt.Errorf("page of %d messages, want %d", len(page.Messages), query.Limit)
		}
		return err
	})
}

func (f *filled) post(b *testing.B) {
	f.cold(b, func(e *engine.Engine, ref chat.ThreadRef) error {
		_, err := e.Service.PostMessage(b.Context(), f.caller, ref, chat.Post{Body: engine.Text(f.random)})
		return err
	})
}

// size is how many messages of 1 KB the store holds.
func size(b *testing.B, byDefault int) int {
	s := os.Getenv("BOBBIN_BENCH_MESSAGES")
	if s == "" {
		return byDefault
	}
	n, err := strconv.Atoi(s)
	if err != nil {
		b.Fatal(err)
	}
	return n
}
