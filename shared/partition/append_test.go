package partition_test

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/bobbindb/bobbin/shared/blob"
	"github.com/bobbindb/bobbin/shared/blob/blobtest"
	"github.com/bobbindb/bobbin/shared/commitlog"
	"github.com/bobbindb/bobbin/shared/store"
)

// noDeadline is a context that never ends.
type noDeadline struct{ context.Context }

func (noDeadline) Deadline() (time.Time, bool) { return time.Time{}, false }
func (noDeadline) Done() <-chan struct{}       { return nil }
func (noDeadline) Err() error                  { return nil }
func (noDeadline) Value(any) any               { return nil }

// first lets a fault befall the first call of a kind only.
func first(f *blobtest.Faults, op blobtest.Op, key string, fault blobtest.Fault) {
	f.Decide(on(op, key, func() blobtest.Fault {
		f.Decide(nil)
		return fault
	}))
}

func TestAppendOutcomes(t *testing.T) {
	for _, c := range []struct {
		fault blobtest.Fault
		want  error
	}{
		{blobtest.None, nil},
		{blobtest.NotStored, nil},
		{blobtest.LostReply, nil},
		{blobtest.Conflict409, nil},
		{blobtest.Unavailable503, nil},
		{blobtest.Delayed, nil}, // sent again, and the delayed one meets it
		{blobtest.Denied, blob.ErrDenied},
		{blobtest.Full, blob.ErrNotStored},
	} {
		t.Run(c.fault.String(), func(t *testing.T) {
			inWorld(t, func(w *world) {
				f := blobtest.NewFaults(w.bucket, nil)
				p, q := w.open(f), w.open(w.bucket)
				w.commit(p, "a")
				first(f, blobtest.Put, w.logKey(2), c.fault)
				seq, err := w.try(p, "b")
				if c.want != nil {
					w.is(err, c.want)
					w.reads(p, strong, "a", "-b")
					seq = w.commit(p, "b")
				} else if err != nil {
					t.Fatalf("Append() = %v", err)
				}
				if seq != 2 {
					t.Errorf("Append() = %s, want 2", seq)
				}
				f.Release()
				w.commit(p, "c")
				w.reads(q, strong, "a", "b", "c")
				w.walk(3)
			})
		})
	}
}

// A commit that lands after its deadline is one like any other: whoever meets it
// applies it, and it is acknowledged for nobody.
func TestAppendLandsLate(t *testing.T) {
	inWorld(t, func(w *world) {
		f := blobtest.NewFaults(w.bucket, nil)
		p, q := w.open(f), w.open(w.bucket)
		f.Decide(func(c blobtest.Call) blobtest.Fault {
			if c.Op == blobtest.Put {
				return blobtest.Delayed
			}
			return blobtest.None
		})
		_, err := w.try(p, "late")
		w.is(err, commitlog.ErrUnknown)
		w.reads(p, strong, "-late")
		f.Decide(nil)
		f.Release(0)

		_, err = w.try(p, "next") // its number is taken
		w.is(err, commitlog.ErrLost)
		w.reads(p, strong, "late", "-next")
		if seq := w.commit(p, "next"); seq != 2 {
			t.Errorf("Append() = %s, want 2", seq)
		}
		f.Release()
		w.reads(q, strong, "late", "next")
		w.walk(2)
	})
}

// The same when somebody else took the number meanwhile: nothing is there twice.
func TestAppendLandsTooLate(t *testing.T) {
	inWorld(t, func(w *world) {
		f := blobtest.NewFaults(w.bucket, nil)
		p, q := w.open(f), w.open(w.bucket)
		f.Decide(on(blobtest.Put, w.logKey(1), func() blobtest.Fault { return blobtest.Delayed }))
		_, err := w.try(p, "late")
		w.is(err, commitlog.ErrUnknown)
		w.commit(q, "q")
		for _, call := range f.Release() {
			w.is(call.Err, blob.ErrExists)
		}
		w.reads(p, strong, "q", "-late")
		w.commit(p, "p")
		w.walk(2)
	})
}

// The number is created, and the manifest that has to confirm it cannot be read: who
// asked is told that it is unknown, and the commit is met later.
func TestAppendUnconfirmed(t *testing.T) {
	inWorld(t, func(w *world) {
		f := blobtest.NewFaults(w.bucket, nil)
		p := w.open(f)
		time.Sleep(time.Hour)
		f.Decide(on(blobtest.Get, w.prefix()+"/manifest", func() blobtest.Fault { return blobtest.Unavailable503 }))
		_, err := w.try(p, "a")
		w.is(err, commitlog.ErrUnknown)
		if at := p.Position().Seq; at != 0 {
			t.Errorf("position = %s, want 0: nothing is applied unconfirmed", at)
		}
		w.is(p.Probe(w.Context()), blob.ErrUnavailable)
		f.Decide(nil)
		w.reads(p, strong, "a")
	})
}

// Whoever reads finds our commit before its answer reaches us.
func TestAppendMetByAProbe(t *testing.T) {
	inWorld(t, func(w *world) {
		l := &late{Bucket: w.bucket}
		p := w.open(l)
		l.once(blobtest.Put, w.logKey(1), func() { w.reads(p, strong, "a") })
		if seq := w.commit(p, "a"); seq != 1 {
			t.Errorf("Append() = %s, want 1", seq)
		}
		w.commit(p, "b")
		w.walk(2)
	})
}

func TestAppendMeetsUnknownRecord(t *testing.T) {
	inWorld(t, func(w *world) {
		p, q := w.open(w.bucket), w.open(w.bucket)
		base, err := q.Base()
		if err != nil {
			t.Fatal(err)
		}
		defer base.Close()
		op := commitlog.Op{Kind: commitlog.OpControl, Key: []byte("of the future"), Value: []byte{}}
		_, err = q.Append(w.Context(), base, w.nonce(), []commitlog.Op{op})
		w.is(err, commitlog.ErrUnknown, store.ErrUnknownRecord) // it is stored, and this release cannot go on
		_, err = w.try(p, "x")
		w.is(err, store.ErrUnknownRecord)
		w.is(p.Probe(w.Context()), store.ErrUnknownRecord)
	})
}

// Many processes commit at once, each on the state that it extends.
func TestAppendRace(t *testing.T) {
	inWorld(t, func(w *world) {
		const processes, each = 4, 50
		var group sync.WaitGroup
		for i := range processes {
			p := w.open(w.bucket)
			group.Go(func() {
				for n := range each {
					for {
						_, err := w.try(p, fmt.Sprintf("p%d-%d", i, n))
						if err == nil {
							break
						}
						w.is(err, commitlog.ErrLost)
					}
				}
			})
		}
		group.Wait()
		w.walk(processes * each)
		fresh := w.open(w.bucket)
		for i := range processes {
			for n := range each {
				w.reads(fresh, strong, fmt.Sprintf("p%d-%d", i, n))
			}
		}
	})
}
