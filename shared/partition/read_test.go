package partition_test

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/bobbindb/bobbin/shared/blob"
	"github.com/bobbindb/bobbin/shared/blob/blobtest"
	"github.com/bobbindb/bobbin/shared/chat"
	"github.com/bobbindb/bobbin/shared/checkpoint"
	"github.com/bobbindb/bobbin/shared/commitlog"
	"github.com/bobbindb/bobbin/shared/partition"
)

func session(min commitlog.Seq) partition.Freshness {
	return partition.Freshness{Consistency: chat.Session, Min: min}
}

func stale(age time.Duration) partition.Freshness {
	return partition.Freshness{Consistency: chat.Stale, MaxAge: age}
}

func TestCallsOfReads(t *testing.T) {
	inWorld(t, func(w *world) {
		q := w.open(w.bucket)
		r := blobtest.NewRecorder(w.bucket)
		p := w.open(r)
		w.commit(p, "p")
		r.Reset()
		w.reads(p, strong, "p")
		w.wants(r, getLog(2))
		w.reads(p, session(1), "p")
		w.wants(r)

		w.reads(q, strong)
		w.commit(q, "q")
		w.reads(p, session(1), "p", "-q")
		w.wants(r)
		w.reads(p, session(2), "q")
		w.wants(r, getLog(2), getLog(3))

		w.commit(q, "q2")
		time.Sleep(time.Minute)
		w.reads(p, stale(time.Minute), "-q2")
		w.wants(r)
		time.Sleep(time.Second)
		w.reads(p, stale(time.Minute), "q2")
		w.wants(r, getLog(3), getLog(4))
	})
}

// How old a picture is goes by this process's clock alone: it may be far from the
// bucket's. One that was set back proves nothing.
func TestStaleGoesByOneClock(t *testing.T) {
	inWorld(t, func(w *world) {
		var off atomic.Int64
		r := blobtest.NewRecorder(w.bucket)
		p := w.open(r, func(o *partition.Options) {
			o.Now = func() time.Time { return time.Now().Add(time.Duration(off.Load())) }
		})
		w.off.Store(int64(time.Hour))
		w.reads(p, strong)
		r.Reset()
		time.Sleep(2 * time.Minute)
		w.reads(p, stale(time.Minute))
		w.wants(r, getLog(1))
		off.Store(int64(-time.Hour))
		w.reads(p, stale(time.Minute))
		w.wants(r, getLog(1))
	})
}

// Fifty readers who come while a probe is under way share the next one.
func TestReadersShareAProbe(t *testing.T) {
	inWorld(t, func(w *world) {
		r := blobtest.NewRecorder(w.bucket)
		l := &late{Bucket: r}
		p := w.open(l)
		r.Reset()
		gate := make(chan struct{})
		l.once(blobtest.Get, w.logKey(1), func() { <-gate })
		var group sync.WaitGroup
		group.Go(func() { w.reads(p, strong) })
		synctest.Wait() // its probe is sent
		for range 49 {
			group.Go(func() { w.reads(p, strong) })
		}
		synctest.Wait()
		close(gate)
		group.Wait()
		w.wants(r, getLog(1), getLog(1))
	})
}

// A probe that was answered before a reader came says nothing to that reader: what was
// acknowledged in between it has not seen.
func TestReaderDoesNotJoinASentProbe(t *testing.T) {
	inWorld(t, func(w *world) {
		l := &late{Bucket: w.bucket}
		p, q := w.open(l), w.open(w.bucket)
		gate := make(chan struct{})
		l.once(blobtest.Get, w.logKey(1), func() { <-gate }) // it has been answered: there is nothing
		var group sync.WaitGroup
		group.Go(func() { w.reads(p, strong) })
		synctest.Wait()
		w.commit(q, "q")
		group.Go(func() { w.reads(p, strong, "q") })
		synctest.Wait()
		l.with(func(blobtest.Op, string) {})
		close(gate)
		group.Wait()
	})
}

// A bucket that does not answer costs all who wait one probe, not one each.
func TestReadersShareAFailure(t *testing.T) {
	inWorld(t, func(w *world) {
		r := blobtest.NewRecorder(w.bucket)
		f := blobtest.NewFaults(r, nil)
		p := w.open(f)
		var asked atomic.Int64
		f.Decide(func(blobtest.Call) blobtest.Fault {
			asked.Add(1)
			time.Sleep(10 * time.Second)
			return blobtest.Unavailable503
		})
		began := time.Now()
		var group sync.WaitGroup
		for range 50 {
			group.Go(func() { w.is(p.Probe(w.Context()), blob.ErrUnavailable) })
		}
		group.Wait()
		if took := time.Since(began); took > 20*time.Second || asked.Load() > 2 {
			t.Errorf("%d probes took %s", asked.Load(), took)
		}
		f.Decide(nil)
		w.reads(p, strong)
	})
}

// A reader who goes away does not disturb the probe, nor waits for it.
func TestReaderGoesAway(t *testing.T) {
	inWorld(t, func(w *world) {
		l := &late{Bucket: w.bucket}
		p := w.open(l)
		gate := make(chan struct{})
		l.once(blobtest.Get, w.logKey(1), func() { <-gate })
		ctx, cancel := context.WithCancel(w.Context())
		left, stays := make(chan error, 1), make(chan error, 1)
		go func() { left <- p.Probe(ctx) }()
		synctest.Wait()
		go func() { stays <- p.Probe(w.Context()) }()
		cancel()
		w.is(<-left, context.Canceled)
		close(gate)
		if err := <-stays; err != nil {
			t.Errorf("Probe() = %v", err)
		}
	})
}

// A position that nobody ever reached is waited for within a bound only.
func TestPositionNeverReached(t *testing.T) {
	inWorld(t, func(w *world) {
		p := w.open(w.bucket)
		began := time.Now()
		_, err := p.Read(noDeadline{}, session(1000))
		w.is(err, context.DeadlineExceeded)
		if took := time.Since(began); took > 15*time.Second {
			t.Errorf("Read() took %s", took)
		}
	})
}

// While the newest checkpoint is being opened, or the manifest is read again, those
// who ask for nothing newer are not held up.
func TestReadersGoOnMeanwhile(t *testing.T) {
	for _, c := range []struct {
		name string
		ask  func(*partition.Partition) error
	}{
		{"reopening", func(p *partition.Partition) error { return p.Reopen(context.Background()) }},
		{"confirming", func(p *partition.Partition) error { return p.Probe(context.Background()) }},
	} {
		t.Run(c.name, func(t *testing.T) {
			inWorld(t, func(w *world) {
				l := &late{Bucket: w.bucket}
				p := w.open(l)
				w.commit(p, "a")
				time.Sleep(time.Hour)
				gate := make(chan struct{})
				l.once(blobtest.Get, w.prefix()+"/manifest", func() { <-gate })
				asked := make(chan error)
				go func() { asked <- c.ask(p) }()
				synctest.Wait()
				w.reads(p, session(1), "a")
				w.reads(p, stale(2*time.Hour), "a")
				if base, err := p.Base(); err != nil {
					t.Errorf("Base() = %v", err)
				} else {
					base.Close()
				}
				close(gate)
				if err := <-asked; err != nil {
					t.Error(err)
				}
			})
		})
	}
}

// old is a partition on a checkpoint whose tables are gone, and one on the newest. Of
// the old one's tables it has read only the last, where the position lies.
func old(w *world) (p, q *partition.Partition) {
	w.Helper()
	q = w.open(w.bucket)
	w.commits(q, "a", 3)
	w.checkpoint(q)
	w.commits(q, "A", 3)
	first := w.checkpoint(q)
	p = w.open(w.bucket)
	w.commits(q, "b", 3)
	if w.checkpoint(q).Checkpoint == first.Checkpoint {
		w.Fatal("the checkpoint is the same")
	}
	w.removeTables(first.Checkpoint)
	return p, q
}

func (w *world) removeTables(key string) {
	w.Helper()
	object, err := checkpoint.Load(w.Context(), w.bucket, key)
	if err != nil {
		w.Fatal(err)
	}
	for i := range object.Tables {
		if err := w.bucket.Delete(w.Context(), object.Tables[i].Key()); err != nil {
			w.Fatal(err)
		}
	}
}

func TestTableGone(t *testing.T) {
	inWorld(t, func(w *world) {
		p, _ := old(w)
		uses := 0
		err := p.Answer(w.Context(), session(0), func(v *partition.View) error {
			uses++
			_, ok, err := v.Get(key("a1"))
			if err == nil && !ok {
				t.Error("a1 is not there")
			}
			return err
		})
		if err != nil || uses != 2 {
			t.Errorf("Answer() = %v after %d uses, want 2", err, uses)
		}
		w.reads(p, session(9), "a0", "A1", "b2")
	})
}

// Readers who meet it together reopen once; a table that is gone from the newest
// checkpoint as well is an error.
func TestTableGoneForGood(t *testing.T) {
	inWorld(t, func(w *world) {
		p, q := old(w)
		w.removeTables(q.Manifest().Checkpoint)
		var uses atomic.Int64
		var group sync.WaitGroup
		for range 10 {
			group.Go(func() {
				err := p.Answer(w.Context(), session(0), func(v *partition.View) error {
					uses.Add(1)
					_, _, err := v.Get(key("a1"))
					return err
				})
				w.is(err, checkpoint.ErrTableGone)
			})
		}
		group.Wait()
		if uses.Load() > 20 {
			t.Errorf("%d uses by 10 readers", uses.Load())
		}
	})
}

// small makes a database give way after a few commits.
func small(o *partition.Options) { o.MaxReplay = 40 }

func checkpointOf(w *world, p *partition.Partition) string {
	w.Helper()
	held, err := p.Hold()
	if err != nil {
		w.Fatal(err)
	}
	defer held.Release()
	return held.Key
}

// A reader that replayed its share opens the newer checkpoint in the background, and
// goes on reading meanwhile.
func TestRenew(t *testing.T) {
	inWorld(t, func(w *world) {
		l := &late{Bucket: w.bucket}
		q := w.open(w.bucket)
		p := w.open(l, small)
		w.commits(q, "a", 20)
		newest := w.checkpoint(q)
		gate := make(chan struct{})
		l.once(blobtest.Get, newest.Checkpoint, func() { <-gate })
		w.reads(p, strong, "a19")
		synctest.Wait()
		w.commits(q, "b", 5)
		w.reads(p, strong, "a0", "b4") // the old one moves on while the new one is opened
		if key := checkpointOf(w, p); key != "" {
			t.Errorf("swapped to %q too early", key)
		}
		v, err := p.View()
		if err != nil {
			t.Fatal(err)
		}
		close(gate)
		synctest.Wait()
		if key := checkpointOf(w, p); key != newest.Checkpoint {
			t.Errorf("stands on %q, want %q", key, newest.Checkpoint)
		}
		if at := p.Position().Seq; at != 25 {
			t.Errorf("position = %s, want 25", at)
		}
		w.reads(p, session(25), "a0", "a19", "b4")
		w.holds(v, "a0", "b4") // a picture of the old one stays whole
		v.Close()
		if tail := p.Tail(); tail.Commits != 5 {
			t.Errorf("tail = %+v, want 5 commits", tail)
		}
		w.commit(p, "p")
		w.reads(q, strong, "p")
	})
}

// Without a newer checkpoint it looks again only when some more was replayed.
func TestRenewFindsNothing(t *testing.T) {
	inWorld(t, func(w *world) {
		q := w.open(w.bucket)
		r := blobtest.NewRecorder(w.bucket)
		p := w.open(r, func(o *partition.Options) { o.MaxReplay = 4000 })
		long := make([]byte, 990)
		for range 8 {
			long[0]++
			w.commit(q, string(long))
		}
		r.Reset()
		w.reads(p, strong)
		synctest.Wait()
		looks := 0
		for _, c := range r.Calls() {
			if c.Key == w.prefix()+"/manifest" {
				looks++
			}
		}
		if looks == 0 || looks > 16 {
			t.Errorf("looked %d times", looks)
		}
		before := r.Count()
		w.commit(p, "x")
		synctest.Wait()
		if after := r.Count(); after != before+1 {
			t.Errorf("%d calls for a small commit", after-before)
		}
	})
}

// Close waits for what works in the background, and for those who read.
func TestClose(t *testing.T) {
	inWorld(t, func(w *world) {
		l := &late{Bucket: w.bucket}
		q := w.open(w.bucket)
		p := w.open(l, small)
		w.commits(q, "a", 20)
		newest := w.checkpoint(q)
		gate := make(chan struct{})
		l.once(blobtest.Get, newest.Checkpoint, func() { <-gate })
		w.reads(p, strong)
		synctest.Wait()
		v, err := p.View()
		if err != nil {
			t.Fatal(err)
		}
		var closed atomic.Bool
		done := make(chan struct{})
		go func() {
			defer close(done)
			if err := p.Close(); err != nil {
				t.Error(err)
			}
			closed.Store(true)
		}()
		synctest.Wait()
		if closed.Load() {
			t.Error("closed while a checkpoint was being opened")
		}
		w.is(p.Probe(w.Context()), partition.ErrClosed)
		_, err = p.View()
		w.is(err, partition.ErrClosed)
		_, err = p.Base()
		w.is(err, partition.ErrClosed)
		_, err = p.Hold()
		w.is(err, partition.ErrClosed)
		close(gate)
		synctest.Wait()
		if closed.Load() {
			t.Error("closed while somebody read")
		}
		w.holds(v, "a0", "a19")
		v.Close()
		<-done
		w.is(p.Reopen(w.Context()), partition.ErrClosed)
	})
}

// Whoever waits for a probe when the partition is closed is told so, or served.
func TestCloseDuringProbes(t *testing.T) {
	inWorld(t, func(w *world) {
		p := w.open(w.bucket)
		var group sync.WaitGroup
		for range 20 {
			group.Go(func() {
				for {
					if err := p.Probe(w.Context()); err != nil {
						if !errors.Is(err, partition.ErrClosed) && !errors.Is(err, context.Canceled) {
							t.Errorf("Probe() = %v", err)
						}
						return
					}
				}
			})
		}
		if err := p.Close(); err != nil {
			t.Error(err)
		}
		group.Wait()
	})
}
