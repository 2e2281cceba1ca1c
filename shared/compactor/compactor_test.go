package compactor_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/bobbindb/bobbin/shared/blob"
	"github.com/bobbindb/bobbin/shared/blob/blobtest"
	"github.com/bobbindb/bobbin/shared/blob/fileblob"
	"github.com/bobbindb/bobbin/shared/blob/memblob"
	"github.com/bobbindb/bobbin/shared/compactor"
	"github.com/bobbindb/bobbin/shared/partition"
	"github.com/bobbindb/bobbin/shared/partition/partitiontest"
	"github.com/bobbindb/bobbin/shared/store"
)

type world struct{ *partitiontest.World }

func inMemoryOf(now func() time.Time) blob.Bucket { return memblob.New(now) }

func inMemory(t testing.TB) world {
	clock := partitiontest.NewClock()
	return world{partitiontest.Open(t, memblob.New(clock.Now), clock)}
}

func (w world) options() compactor.Options {
	return compactor.Options{Window: 6 * time.Hour, Nonce: w.Nonce, Now: w.Clock.Now}
}

func (w world) take(p *partition.Partition) compactor.Result {
	w.Helper()
	result, err := compactor.Take(context.Background(), p, w.options())
	if err != nil {
		w.Fatal(err)
	}
	return result
}

func TestTake(t *testing.T) {
	for _, use := range []store.Use{store.Live, store.Compact} {
		w := inMemory(t)
		p := w.Process(w.Bucket, use)
		for n := range 20 {
			w.Commit(p, 1+n)
			if result := w.take(p); !result.Taken || result.Seq != p.Position().Seq {
				t.Fatalf("result = %+v, want a checkpoint at %s", result, p.Position().Seq)
			}
			if tail := p.Tail(); tail.Commits != 0 {
				t.Fatalf("tail = %+v after a checkpoint", tail)
			}
			w.Check()
			w.Clock.Advance(20 * time.Minute)
		}
		w.CheckHistory()
		if result := w.take(p); result.Taken {
			t.Errorf("result = %+v, want nothing taken", result)
		}
	}
}

// In a folder the live database's files become the tables.
func TestFolder(t *testing.T) {
	clock := partitiontest.NewClock()
	bucket, err := fileblob.Open(t.TempDir(), fileblob.Options{Now: clock.Now})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { bucket.Close() })
	w := world{partitiontest.Open(t, bucket, clock)}
	w.Dir = t.TempDir()
	p := w.Process(bucket, store.Live)
	for range 5 {
		w.Commit(p, 10)
		w.take(p)
		w.Check()
		w.Clock.Advance(time.Hour)
	}
	w.CheckHistory()
}

// Of two processes the one whose checkpoint the manifest names extends it; the other
// reopens there and uploads what is new.
func TestTwoProcesses(t *testing.T) {
	w := inMemory(t)
	a, b := w.Process(w.Bucket, store.Live), w.Process(w.Bucket, store.Live)
	for range 6 {
		for _, p := range []*partition.Partition{a, b} {
			w.Commit(p, 5)
			w.take(p)
			w.Check()
		}
	}
	w.CheckHistory()
}

// A compactor that another one overtakes between its upload and its swap begins again.
func TestOvertaken(t *testing.T) {
	w := inMemory(t)
	faults := blobtest.NewFaults(w.Bucket, nil)
	slow, fast := w.Process(faults, store.Live), w.Process(w.Bucket, store.Live)
	w.Commit(slow, 5)
	once := sync.OnceFunc(func() {
		w.Commit(fast, 3)
		w.take(fast)
	})
	faults.Decide(func(c blobtest.Call) blobtest.Fault {
		if c.Op == blobtest.Put && strings.HasSuffix(c.Key, "/manifest") {
			once()
		}
		return blobtest.None
	})
	w.Clock.Advance(time.Minute)
	w.take(slow)
	if got := w.Manifest().Seq; got != 8 {
		t.Errorf("manifest at %s, want 8", got)
	}
	w.Check()
	w.CheckHistory()
	// Always overtaken, it gives up, and harms nothing.
	faults.Decide(func(c blobtest.Call) blobtest.Fault {
		if c.Op == blobtest.Put && strings.HasSuffix(c.Key, "/manifest") {
			w.Commit(fast, 1)
			w.take(fast)
			w.Commit(fast, 1)
		}
		return blobtest.None
	})
	w.Commit(slow, 1)
	if _, err := compactor.Take(t.Context(), slow, w.options()); !errors.Is(err, blob.ErrLostSwap) {
		t.Errorf("always overtaken: %v, want ErrLostSwap", err)
	}
	w.Check()
}

// Whatever fails while a checkpoint is taken, nothing that was promised is lost, and the
// next one succeeds.
func TestFaults(t *testing.T) {
	w := inMemory(t)
	p := w.Process(w.Bucket, store.Live)
	for range 3 {
		w.Commit(p, 5)
		w.take(p)
		w.Clock.Advance(time.Hour)
	}
	w.Commit(p, 3)
	w.Check()
	recorder := blobtest.NewRecorder(w.Clone(t, inMemoryOf).Bucket)
	p = w.Process(recorder, store.Live)
	recorder.Reset()
	w.take(p)
	calls := recorder.Calls()
	partitiontest.EachFault(t, calls, func(t *testing.T, decide func(blobtest.Call) blobtest.Fault) {
		w := world{w.Clone(t, inMemoryOf)}
		faults := blobtest.NewFaults(w.Bucket, nil)
		p := w.Process(faults, store.Live)
		faults.Decide(decide)
		_, err := compactor.Take(t.Context(), p, w.options())
		t.Logf("take: %v", err)
		faults.Decide(nil)
		w.Check()
		w.Commit(p, 2)
		w.take(p)
		if len(faults.Delayed()) > 0 {
			w.Check()
			faults.Release()
		}
		w.Check()
		other := w.Process(w.Bucket, store.Live)
		w.Commit(other, 2)
		w.take(other)
		w.Commit(p, 1)
		w.take(p)
		w.Check()
	})
}

// A checkpoint costs one object for each new table and three more, and a GET for each
// commit that goes into the segment.
func TestRequests(t *testing.T) {
	w := inMemory(t)
	recorder := blobtest.NewRecorder(w.Bucket)
	p := w.Process(recorder, store.Live)
	w.Commit(p, 4)
	w.take(p)
	w.Commit(p, 8)
	recorder.Reset()
	result := w.take(p)
	if puts, want := recorder.Count(blobtest.Put), result.Tables+3; puts != want {
		t.Errorf("%d PUTs, want %d: %q", puts, want, recorder.Stored())
	}
	if gets := recorder.Count(blobtest.Get, blobtest.GetRange); gets != 1+8 {
		t.Errorf("%d GETs, want 9", gets)
	}
	if n := recorder.Count(blobtest.Delete, blobtest.List); n != 0 {
		t.Errorf("%d deletes and listings, want none", n)
	}
	stored := recorder.Stored()
	if last := stored[len(stored)-1]; last != w.Prefix()+"/manifest" || slices.Index(stored, last) != len(stored)-1 {
		t.Errorf("stored %q, want the manifest once, at the end", stored)
	}
}

// rest is a clock for a loop: it says what is waited for, and ends the wait.
type rest struct {
	asked chan time.Duration
	over  chan time.Time
}

func newRest() rest { return rest{make(chan time.Duration, 10), make(chan time.Time)} }

func (r rest) after(d time.Duration) <-chan time.Time {
	r.asked <- d
	return r.over
}

func TestLoop(t *testing.T) {
	w := inMemory(t)
	faults := blobtest.NewFaults(w.Bucket, nil)
	p := w.Process(faults, store.Live)
	r, taken := newRest(), make(chan error, 10)
	loop := compactor.StartLoop(p, compactor.LoopOptions{
		Options: w.options(), After: r.after,
		Taken: func(_ compactor.Result, err error) { taken <- err },
	})
	commit := func(n int) {
		for range n {
			w.Commit(p, 1)
			loop.Committed(p.Tail())
		}
	}
	seq := func(want uint64) {
		t.Helper()
		if got := w.Manifest().Seq; uint64(got) != want {
			t.Errorf("manifest at %d, want %d", got, want)
		}
	}
	commit(63)
	if len(r.asked) != 0 {
		t.Error("63 commits began a checkpoint")
	}
	commit(1)
	if err := <-taken; err != nil {
		t.Fatal(err)
	}
	if d := <-r.asked; d != 10*time.Second {
		t.Errorf("rests %s, want 10 s", d)
	}
	seq(64)
	// Under load: what was written while it rested is one checkpoint.
	commit(200)
	seq(64)
	r.over <- time.Time{}
	if err := <-taken; err != nil {
		t.Fatal(err)
	}
	seq(264)
	<-r.asked
	// What fails is tried again by itself, later and later.
	r.over <- time.Time{}
	faults.Decide(func(c blobtest.Call) blobtest.Fault {
		if c.Op == blobtest.Put && strings.Contains(c.Key, "/checkpoints/") {
			return blobtest.Denied
		}
		return blobtest.None
	})
	commit(64)
	for _, want := range []time.Duration{10, 10, 20, 40} {
		if err := <-taken; !errors.Is(err, blob.ErrDenied) {
			t.Errorf("taken: %v, want ErrDenied", err)
		}
		if got := <-r.asked; got != want*time.Second {
			t.Errorf("rests %s, want %d s", got, want)
		}
		if want == 40 {
			faults.Decide(nil)
		}
		r.over <- time.Time{}
	}
	if err := <-taken; err != nil {
		t.Fatal(err)
	}
	seq(328)
	commit(3)
	if err := loop.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	seq(331)
	<-taken
	if err := loop.Close(t.Context()); err != nil || len(taken) != 0 {
		t.Errorf("closed again: %v, %d checkpoints", err, len(taken))
	}
	w.Check()
}

// A long tail ends a rest once it was twice as long as the checkpoint, but not the rest
// after a failure.
func TestLongTail(t *testing.T) {
	w := inMemory(t)
	faults := blobtest.NewFaults(w.Bucket, nil)
	p := w.Process(faults, store.Live)
	r, taken := newRest(), make(chan error, 10)
	took := time.Second
	loop := compactor.StartLoop(p, compactor.LoopOptions{
		Options: w.options(), After: r.after, Long: 1,
		Taken: func(_ compactor.Result, err error) {
			w.Clock.Advance(took)
			taken <- err
		},
	})
	commit := func() {
		for range 64 {
			w.Commit(p, 1)
			loop.Committed(p.Tail())
		}
	}
	wait := func(want time.Duration) {
		t.Helper()
		if got := <-r.asked; got != want {
			t.Errorf("rests %s, want %s", got, want)
		}
	}
	end := func(want error) {
		t.Helper()
		if err := <-taken; !errors.Is(err, want) {
			t.Errorf("taken: %v, want %v", err, want)
		}
	}
	commit()
	end(nil)
	wait(10 * time.Second)
	commit()
	wait(2 * time.Second)
	if len(taken) != 0 {
		t.Error("a checkpoint began before its time")
	}
	took = 0
	r.over <- time.Time{}
	end(nil)
	wait(10 * time.Second)
	faults.Decide(func(c blobtest.Call) blobtest.Fault {
		if c.Op == blobtest.Put && strings.Contains(c.Key, "/checkpoints/") {
			return blobtest.Denied
		}
		return blobtest.None
	})
	commit() // the last one took no time: the next begins at once
	end(blob.ErrDenied)
	wait(10 * time.Second)
	commit()
	if len(taken) != 0 {
		t.Error("what failed was tried again at once")
	}
	faults.Decide(nil)
	r.over <- time.Time{}
	end(nil)
	wait(10 * time.Second)
	if err := loop.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	w.Check()
}

// A loop asks at 64 commits and each further multiple, and at each 4 MiB.
func TestCommitted(t *testing.T) {
	w := inMemory(t)
	p := w.Process(w.Bucket, store.Live)
	r, taken := newRest(), make(chan bool, 10)
	loop := compactor.StartLoop(p, compactor.LoopOptions{
		Options: w.options(), After: r.after,
		Taken: func(compactor.Result, error) { taken <- true },
	})
	for _, c := range []struct {
		tail partition.Tail
		asks bool
	}{
		{partition.Tail{Commits: 63, Bytes: 4<<20 - 1}, false},
		{partition.Tail{Commits: 64}, true},
		{partition.Tail{Commits: 127}, false},
		{partition.Tail{Commits: 129}, true},
		{partition.Tail{Commits: 3}, false},
		{partition.Tail{Commits: 4, Bytes: 4 << 20}, true},
		{partition.Tail{Commits: 5, Bytes: 5 << 20}, false},
		{partition.Tail{Commits: 6, Bytes: 8 << 20}, true},
	} {
		loop.Committed(c.tail)
		if c.asks {
			<-taken
			<-r.asked
			r.over <- time.Time{}
		}
		if len(r.asked) != 0 {
			t.Errorf("%+v asked for a checkpoint", c.tail)
		}
	}
	if err := loop.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	if len(taken) != 0 {
		t.Errorf("%d checkpoints more than asked for", len(taken))
	}
}
