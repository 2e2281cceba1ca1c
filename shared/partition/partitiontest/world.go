// Package partitiontest is for tests of what works on partitions: a store of one
// partition whose state at every commit is known, under a clock that the test turns.
package partitiontest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/bobbindb/bobbin/shared/blob"
	"github.com/bobbindb/bobbin/shared/blob/blobtest"
	"github.com/bobbindb/bobbin/shared/catalog"
	"github.com/bobbindb/bobbin/shared/checkpoint"
	"github.com/bobbindb/bobbin/shared/commitlog"
	"github.com/bobbindb/bobbin/shared/partition"
	"github.com/bobbindb/bobbin/shared/store"
)

// Clock is the time in a World: the bucket's and every process's.
type Clock struct{ nanos atomic.Int64 }

// NewClock is a clock that stands at the beginning of an hour.
func NewClock() *Clock {
	c := &Clock{}
	c.nanos.Store(time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC).UnixNano())
	return c
}

// Now is the time.
func (c *Clock) Now() time.Time { return time.Unix(0, c.nanos.Load()).UTC() }

// Advance turns the clock.
func (c *Clock) Advance(d time.Duration) { c.nanos.Add(int64(d)) }

// World is a store in a bucket, and what is promised about it so far.
type World struct {
	testing.TB
	Bucket blob.Bucket // as it is, without faults
	Clock  *Clock
	Store  *catalog.Store
	Dir    string // for databases; "" keeps them in memory

	nonces atomic.Int64
	opens  atomic.Int64

	mu    sync.Mutex
	acked commitlog.Seq // the newest commit acknowledged
	seq   commitlog.Seq // of the manifest, when last seen
	floor commitlog.Seq
}

// Branch is the branch of a World.
const Branch = "main-aaaaaaaa"

// Open takes over the store that a bucket holds, or makes one.
func Open(t testing.TB, bucket blob.Bucket, clock *Clock) *World {
	t.Helper()
	w := &World{TB: t, Bucket: bucket, Clock: clock, Store: &catalog.Store{
		Format: 1, ID: "abcdefghijklmnopqrstuvwxyz", Salt: make([]byte, 32), Branch: Branch,
		Slots: []catalog.SlotRange{{From: 0, To: 1<<16 - 1}},
	}}
	if _, err := catalog.Read(t.Context(), bucket); err == nil {
		return w
	}
	if err := partition.Create(t.Context(), w.options(bucket, store.Live)); err != nil {
		t.Fatal(err)
	}
	if err := catalog.Create(t.Context(), bucket, w.Store); err != nil {
		t.Fatal(err)
	}
	return w
}

// Nonce is a new name for an upload.
func (w *World) Nonce() string { return fmt.Sprintf("nonce%08d", w.nonces.Add(1)) }

// Prefix is where the partition lies.
func (w *World) Prefix() string { return catalog.Prefix(Branch, 0) }

func (w *World) options(bucket blob.Bucket, use store.Use) partition.Options {
	o := partition.Options{
		Bucket: bucket, Store: w.Store, Branch: Branch, Use: use, BlockCache: 1 << 20,
		Now: w.Clock.Now, Release: "test", Log: slog.New(slog.DiscardHandler),
	}
	if w.Dir != "" {
		o.Dir = fmt.Sprintf("%s/%d", w.Dir, w.opens.Add(1))
	}
	return o
}

// Process opens the partition as another process would, through a bucket of its own.
func (w *World) Process(bucket blob.Bucket, use store.Use) *partition.Partition {
	w.Helper()
	p, err := partition.Open(w.Context(), w.options(bucket, use))
	if err != nil {
		w.Fatal(err)
	}
	w.Cleanup(func() { p.Close() })
	return p
}

const keys = 40

func keyOf(n int) []byte { return fmt.Appendf(nil, "\x10\x00\x00t%02d", n) }

// Ops are the ops of the commit with a seq: the same whoever makes it.
func Ops(seq commitlog.Seq) []commitlog.Op {
	n := int(seq)
	switch {
	case n%50 == 0:
		return []commitlog.Op{{Kind: commitlog.OpDeleteRange, Key: keyOf(10), Value: keyOf(20)}}
	case n%7 == 0:
		return []commitlog.Op{{Kind: commitlog.OpDelete, Key: keyOf(n * 3 % keys)}}
	}
	value := fmt.Appendf(nil, "value of %d %s", n, strings.Repeat("x", n%100))
	return []commitlog.Op{{Kind: commitlog.OpSet, Key: keyOf(n % keys), Value: value}}
}

// Model is the state at a seq.
func Model(seq commitlog.Seq) map[string]string {
	state := map[string]string{}
	for s := commitlog.Seq(1); s <= seq; s++ {
		for _, op := range Ops(s) {
			switch op.Kind {
			case commitlog.OpSet:
				state[string(op.Key)] = string(op.Value)
			case commitlog.OpDelete:
				delete(state, string(op.Key))
			case commitlog.OpDeleteRange:
				for key := range state {
					if key >= string(op.Key) && key < string(op.Value) {
						delete(state, key)
					}
				}
			}
		}
	}
	return state
}

// Append makes the next commit once, and notes it when it is acknowledged.
func (w *World) Append(p *partition.Partition) (commitlog.Seq, error) {
	base, err := p.Base()
	if err != nil {
		return 0, err
	}
	defer base.Close()
	return w.AppendOn(p, base)
}

// AppendOn is Append on a state taken before.
func (w *World) AppendOn(p *partition.Partition, base *partition.Base) (commitlog.Seq, error) {
	var nonce commitlog.Nonce
	copy(nonce[:], w.Nonce())
	seq, err := p.Append(w.Context(), base, nonce, Ops(base.Position().Seq+1))
	if err == nil {
		w.mu.Lock()
		defer w.mu.Unlock()
		if seq <= w.acked {
			w.Errorf("commit %s was acknowledged, and so was %s before it", seq, w.acked)
		}
		w.acked = max(w.acked, seq)
	}
	return seq, err
}

// Commit makes commits until n were acknowledged.
func (w *World) Commit(p *partition.Partition, n int) {
	w.Helper()
	for range n {
		for tries := 0; ; tries++ {
			_, err := w.Append(p)
			if err == nil {
				break
			}
			lost := errors.Is(err, commitlog.ErrLost) || errors.Is(err, commitlog.ErrBehind)
			if !lost || tries > 1000 {
				w.Fatalf("append: %v", err)
			}
		}
	}
}

// Manifest reads the manifest.
func (w *World) Manifest() *checkpoint.Manifest {
	w.Helper()
	m, err := checkpoint.Read(context.Background(), w.Bucket, w.Prefix())
	if err != nil {
		w.Fatal(err)
	}
	return m
}

// Keys lists the keys that begin so.
func (w *World) Keys(prefix string) []string {
	w.Helper()
	var out []string
	for page, err := range blob.Pages(context.Background(), w.Bucket, blob.ListOptions{Prefix: prefix}) {
		if err != nil {
			w.Fatal(err)
		}
		for _, e := range page.Entries {
			out = append(out, e.Key)
		}
	}
	return out
}

// Check checks every promise: the manifest never goes back, what it reaches is there,
// segments hold the window's commits, and who opens the store finds every acknowledged
// commit and the state that belongs to it.
func (w *World) Check() {
	w.Helper()
	m := w.Manifest()
	w.mu.Lock()
	if m.Seq < w.seq || m.Floor < w.floor || m.Floor > m.Seq {
		w.Fatalf("manifest went to seq %d, floor %d, from %d, %d", m.Seq, m.Floor, w.seq, w.floor)
	}
	w.seq, w.floor = m.Seq, m.Floor
	acked := w.acked
	w.mu.Unlock()
	there := map[string]bool{}
	for _, key := range w.Keys("tables/") {
		there[key] = true
	}
	for _, past := range append(m.History, m.Past()) {
		if past.Key == "" {
			continue
		}
		object, err := checkpoint.Load(context.Background(), w.Bucket, past.Key)
		if err != nil {
			w.Fatalf("reachable checkpoint: %v", err)
		}
		for i := range object.Tables {
			if key := object.Tables[i].Key(); !there[key] {
				w.Fatalf("table %s of checkpoint %s is gone", key, past.Seq)
			}
		}
	}
	w.checkSegments(m)
	p, err := partition.Open(context.Background(), w.options(w.Bucket, store.Lazy))
	if err != nil {
		w.Fatalf("open afresh: %v", err)
	}
	defer p.Close()
	if at := p.Position().Seq; at < acked {
		w.Fatalf("opened at %s, and %s was acknowledged", at, acked)
	}
	w.CheckState(p)
}

// checkSegments reads the window's commits from segments.
func (w *World) checkSegments(m *checkpoint.Manifest) []*commitlog.Commit {
	w.Helper()
	first := append(m.History, m.Past())[0]
	if first.Seq == m.Seq {
		return nil
	}
	commits, err := commitlog.ReadSegments(context.Background(), w.Bucket, w.Prefix(), first.Seq+1, m.Seq, m.Hash)
	if err != nil {
		w.Fatalf("read the window: %v", err)
	}
	for _, c := range commits {
		want := Ops(c.Seq)[0]
		if got := c.Ops[0]; got.Kind != want.Kind || !bytes.Equal(got.Key, want.Key) || !bytes.Equal(got.Value, want.Value) {
			w.Fatalf("segment holds %q at %s, want %q", got.Key, c.Seq, want.Key)
		}
	}
	return commits
}

// CheckState compares an open partition with the model.
func (w *World) CheckState(p *partition.Partition) {
	w.Helper()
	v, err := p.View()
	if err != nil {
		w.Fatal(err)
	}
	defer v.Close()
	w.compare(v, v.Position().Seq)
}

func (w *World) compare(r store.Reader, at commitlog.Seq) {
	w.Helper()
	want := Model(at)
	for n := range keys {
		got, ok, err := r.Get(keyOf(n))
		if err != nil {
			w.Fatalf("read at %s: %v", at, err)
		}
		text, there := want[string(keyOf(n))]
		if ok != there || string(got) != text {
			w.Fatalf("key %d at %s = %q, %t, want %q, %t", n, at, got, ok, text, there)
		}
	}
}

// CheckHistory opens every checkpoint of the history, and rebuilds from each, with
// segments alone, the state at the next one.
func (w *World) CheckHistory() {
	w.Helper()
	m := w.Manifest()
	commits := w.checkSegments(m)
	all := append(m.History, m.Past())
	for i, past := range all {
		db, done := w.openPast(past)
		w.compare(db, past.Seq)
		if i+1 < len(all) {
			base := all[0].Seq
			if err := db.Apply(commits[past.Seq-base : all[i+1].Seq-base]...); err != nil {
				w.Fatal(err)
			}
			w.compare(db, all[i+1].Seq)
		}
		done()
	}
}

func (w *World) openPast(past checkpoint.Past) (*store.DB, func()) {
	w.Helper()
	fs := checkpoint.NewFS(checkpoint.FSOptions{Local: vfs.NewMem(), Bucket: w.Bucket})
	if past.Key != "" {
		object, err := checkpoint.Load(context.Background(), w.Bucket, past.Key)
		if err != nil {
			w.Fatal(err)
		}
		if err := fs.Restore(context.Background(), object, "db"); err != nil {
			w.Fatal(err)
		}
	}
	db, err := store.Open(store.Options{FS: fs, Dir: "db", Use: store.Lazy, Cache: 1 << 20})
	if err != nil {
		w.Fatal(err)
	}
	return db, func() {
		if err := errors.Join(db.Close(), fs.Close()); err != nil {
			w.Error(err)
		}
	}
}

// Clone is a World of its own, with the same objects in another bucket, at the same time.
func (w *World) Clone(t testing.TB, open func(now func() time.Time) blob.Bucket) *World {
	t.Helper()
	clock := NewClock()
	clock.nanos.Store(w.Clock.nanos.Load())
	c := &World{TB: t, Bucket: open(clock.Now), Clock: clock, Store: w.Store, acked: w.acked, seq: w.seq, floor: w.floor}
	c.nonces.Store(w.nonces.Load())
	for _, key := range w.Keys("") {
		o, err := w.Bucket.Get(context.Background(), key)
		if err == nil {
			_, err = c.Bucket.Put(context.Background(), key, o.Body, blob.IfAbsent())
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	return c
}

// KindOf is what kind of object a key names.
func KindOf(key string) string {
	for _, kind := range []string{"/manifest", "/log/", "/segments/", "/checkpoints/"} {
		if strings.Contains(key, kind) {
			return strings.Trim(kind, "/")
		}
	}
	kind, _, _ := strings.Cut(key, "/")
	return kind
}

// EachFault calls do for every fault that may befall a kind of call: once, at the first
// such call, and at every one.
func EachFault(t *testing.T, calls []blobtest.Call, do func(t *testing.T, decide func(blobtest.Call) blobtest.Fault)) {
	type kind struct {
		op  blobtest.Op
		key string
	}
	seen := map[kind]bool{}
	for _, call := range calls {
		k := kind{call.Op, KindOf(call.Key)}
		if seen[k] {
			continue
		}
		seen[k] = true
		for fault := blobtest.NotStored; fault <= blobtest.Full; fault++ {
			for _, every := range []bool{false, true} {
				if every && fault != blobtest.NotStored && fault != blobtest.LostReply && fault != blobtest.Denied {
					continue // as one of those
				}
				t.Run(fmt.Sprintf("%s %s %s every=%t", k.op, k.key, fault, every), func(t *testing.T) {
					t.Parallel()
					var hit atomic.Bool
					do(t, func(c blobtest.Call) blobtest.Fault {
						if c.Op != k.op || KindOf(c.Key) != k.key || hit.Swap(true) && !every {
							return blobtest.None
						}
						return fault
					})
				})
			}
		}
	}
}
