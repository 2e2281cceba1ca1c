package partition_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/bobbindb/bobbin/shared/blob"
	"github.com/bobbindb/bobbin/shared/blob/blobtest"
	"github.com/bobbindb/bobbin/shared/blob/memblob"
	"github.com/bobbindb/bobbin/shared/catalog"
	"github.com/bobbindb/bobbin/shared/checkpoint"
	"github.com/bobbindb/bobbin/shared/commitlog"
	"github.com/bobbindb/bobbin/shared/partition"
	"github.com/bobbindb/bobbin/shared/store"
)

// world is a store of one partition in a bucket. Its clock is the bubble's, which
// passes only while everybody waits; the bucket's may be off by some.
type world struct {
	*testing.T
	bucket blob.Bucket // as it is, without faults
	store  *catalog.Store
	off    atomic.Int64 // what the bucket's Date is ahead of the bubble's clock
	nonces atomic.Int64
}

// inWorld runs a test in a bubble, on a bucket in memory.
func inWorld(t *testing.T, test func(*world)) {
	t.Helper()
	// What compresses keeps a channel for the process, which must not be a bubble's.
	body, err := new(checkpoint.Object).Encode()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := checkpoint.Decode(body); err != nil {
		t.Fatal(err)
	}
	synctest.Test(t, func(t *testing.T) {
		w := &world{T: t}
		w.bucket = memblob.New(w.date)
		w.create()
		test(w)
	})
}

func (w *world) date() time.Time { return time.Now().Add(time.Duration(w.off.Load())) }

func (w *world) create() {
	w.Helper()
	s, err := catalog.New(1)
	if err != nil {
		w.Fatal(err)
	}
	w.store = s
	if err := partition.Create(w.Context(), w.options(w.bucket)); err != nil {
		w.Fatal(err)
	}
}

func (w *world) options(bucket blob.Bucket) partition.Options {
	return partition.Options{
		Bucket: bucket, Store: w.store, Branch: w.store.Branch, Use: store.Lazy, BlockCache: 1 << 20,
		Now: time.Now, Release: "test", Log: slog.New(slog.DiscardHandler),
	}
}

// open opens the partition as another process would, through a bucket of its own.
func (w *world) open(bucket blob.Bucket, change ...func(*partition.Options)) *partition.Partition {
	w.Helper()
	opts := w.options(bucket)
	for _, c := range change {
		c(&opts)
	}
	p, err := partition.Open(w.Context(), opts)
	if err != nil {
		w.Fatal(err)
	}
	w.Cleanup(func() {
		if err := p.Close(); err != nil {
			w.Error(err)
		}
	})
	return p
}

func (w *world) prefix() string { return catalog.Prefix(w.store.Branch, 0) }

func (w *world) logKey(seq commitlog.Seq) string { return w.prefix() + "/log/" + seq.String() }

func (w *world) nonce() (n commitlog.Nonce) {
	copy(n[:], fmt.Sprint(w.nonces.Add(1)))
	return n
}

// try makes one commit, which says in a key of its own who made it.
func (w *world) try(p *partition.Partition, text string) (commitlog.Seq, error) {
	base, err := p.Base()
	if err != nil {
		return 0, err
	}
	defer base.Close()
	return w.tryOn(p, base, text)
}

func (w *world) tryOn(p *partition.Partition, base *partition.Base, text string) (commitlog.Seq, error) {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	return p.Append(ctx, base, w.nonce(), set(text))
}

func set(text string) []commitlog.Op {
	return []commitlog.Op{{Kind: commitlog.OpSet, Key: key(text), Value: []byte(text)}}
}

func key(text string) []byte { return append([]byte{0x10, 0, 0, 't'}, text...) }

// commit makes one commit that must succeed.
func (w *world) commit(p *partition.Partition, text string) commitlog.Seq {
	w.Helper()
	seq, err := w.try(p, text)
	if err != nil {
		w.Fatalf("Append(%s) = %v", text, err)
	}
	return seq
}

func (w *world) commits(p *partition.Partition, name string, n int) {
	w.Helper()
	for i := range n {
		w.commit(p, fmt.Sprintf("%s%d", name, i))
	}
}

// reads reads at the freshness asked for and wants each text to be there, or, where it
// begins with "-", not.
func (w *world) reads(p *partition.Partition, f partition.Freshness, texts ...string) {
	w.Helper()
	v, err := p.Read(w.Context(), f)
	if err != nil {
		w.Errorf("Read() = %v", err)
		return
	}
	defer v.Close()
	w.holds(v, texts...)
}

func (w *world) holds(v *partition.View, texts ...string) {
	w.Helper()
	for _, text := range texts {
		name, absent := strings.CutPrefix(text, "-")
		_, ok, err := v.Get(key(name))
		if err != nil || ok == absent {
			w.Errorf("at %s: Get(%s) = %t, %v", v.Position().Seq, name, ok, err)
		}
	}
}

// checkpoint takes a checkpoint of what is open and makes it the newest.
func (w *world) checkpoint(p *partition.Partition) *checkpoint.Manifest {
	w.Helper()
	m, err := checkpoint.Read(w.Context(), w.bucket, w.prefix())
	if err != nil {
		w.Fatal(err)
	}
	held, err := p.Hold()
	if err != nil {
		w.Fatal(err)
	}
	defer held.Release()
	dir := held.Dir + "-checkpoint"
	at, err := held.DB.Checkpoint(context.Background(), dir)
	if err != nil {
		w.Fatal(err)
	}
	defer held.FS.RemoveAll(dir)
	up, err := checkpoint.Upload(w.Context(), w.bucket, checkpoint.UploadOptions{
		FS: held.FS, Dir: dir, Prefix: w.prefix(), Seq: at.Seq, Hash: at.Hash, Time: at.Time,
	})
	if err != nil {
		w.Fatal(err)
	}
	next := *m
	next.Checkpoint, next.Seq, next.Hash, next.Time = up.Key, at.Seq, at.Hash, at.Time
	m, err = checkpoint.Swap(w.Context(), w.bucket, w.prefix(), m, next)
	if err != nil {
		w.Fatal(err)
	}
	p.Extended(held, up.Object, m)
	return m
}

// touch swaps the manifest for the same one, with a floor.
func (w *world) touch(floor commitlog.Seq) {
	w.Helper()
	m, err := checkpoint.Read(w.Context(), w.bucket, w.prefix())
	if err != nil {
		w.Fatal(err)
	}
	next := *m
	next.Floor = floor
	if _, err := checkpoint.Swap(w.Context(), w.bucket, w.prefix(), m, next); err != nil {
		w.Fatal(err)
	}
}

// forget raises the floor to the newest checkpoint and, when it has stood for an hour,
// deletes the log below it.
func (w *world) forget() commitlog.Seq {
	w.Helper()
	m, err := checkpoint.Read(w.Context(), w.bucket, w.prefix())
	if err != nil {
		w.Fatal(err)
	}
	w.touch(m.Seq)
	time.Sleep(time.Hour + time.Minute)
	for seq := commitlog.Seq(1); seq < m.Seq; seq++ {
		if err := w.bucket.Delete(w.Context(), w.logKey(seq)); err != nil {
			w.Fatal(err)
		}
	}
	return m.Seq
}

// walk reads the whole log and wants it to be one chain of so many commits.
func (w *world) walk(n commitlog.Seq) {
	w.Helper()
	l := commitlog.New(w.bucket, w.prefix())
	tail, err := l.Tail(w.Context(), 0, commitlog.Genesis(w.store.ID, 0))
	if err != nil || len(tail.Commits) != int(n) {
		w.Errorf("the log has %d commits, %v, want %d", len(tail.Commits), err, n)
	}
}

// wants compares the calls of a recorder, "op key" with the partition's prefix left out,
// and forgets them.
func (w *world) wants(r *blobtest.Recorder, want ...string) {
	w.Helper()
	var got []string
	for _, c := range r.Calls() {
		got = append(got, string(c.Op)+" "+strings.TrimPrefix(c.Key, w.prefix()+"/"))
	}
	r.Reset()
	if !slices.Equal(got, want) {
		w.Errorf("calls = %q, want %q", got, want)
	}
}

func getLog(seq commitlog.Seq) string { return "get log/" + seq.String() }
func putLog(seq commitlog.Seq) string { return "put log/" + seq.String() }

// late is a bucket whose answers may be held back after the call was done.
type late struct {
	blob.Bucket
	hold atomic.Pointer[func(op blobtest.Op, key string)]
}

func (l *late) after(op blobtest.Op, key string) {
	if hold := l.hold.Load(); hold != nil {
		(*hold)(op, key)
	}
}

// with makes hold be called between each call and its answer.
func (l *late) with(hold func(op blobtest.Op, key string)) { l.hold.Store(&hold) }

// once makes hold be called for the first call of a kind only.
func (l *late) once(op blobtest.Op, key string, hold func()) {
	var done atomic.Bool
	l.with(func(o blobtest.Op, k string) {
		if o == op && k == key && done.CompareAndSwap(false, true) {
			hold()
		}
	})
}

func (l *late) Get(ctx context.Context, key string) (blob.Object, error) {
	o, err := l.Bucket.Get(ctx, key)
	l.after(blobtest.Get, key)
	return o, err
}

func (l *late) Put(ctx context.Context, key string, body []byte, when blob.Condition) (blob.Info, error) {
	info, err := l.Bucket.Put(ctx, key, body, when)
	l.after(blobtest.Put, key)
	return info, err
}

// on is a decision of faults on one kind of call.
func on(op blobtest.Op, key string, decide func() blobtest.Fault) func(blobtest.Call) blobtest.Fault {
	return func(c blobtest.Call) blobtest.Fault {
		if c.Op == op && c.Key == key {
			return decide()
		}
		return blobtest.None
	}
}

// is wants an error to be each of some.
func (w *world) is(err error, want ...error) {
	w.Helper()
	for _, e := range want {
		if !errors.Is(err, e) {
			w.Errorf("error = %v, want %v", err, e)
		}
	}
}
