package janitor_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"regexp"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/bobbindb/bobbin/shared/blob"
	"github.com/bobbindb/bobbin/shared/blob/blobtest"
	"github.com/bobbindb/bobbin/shared/blob/fileblob"
	"github.com/bobbindb/bobbin/shared/blob/memblob"
	"github.com/bobbindb/bobbin/shared/catalog"
	"github.com/bobbindb/bobbin/shared/checkpoint"
	"github.com/bobbindb/bobbin/shared/commitlog"
	"github.com/bobbindb/bobbin/shared/compactor"
	"github.com/bobbindb/bobbin/shared/janitor"
	"github.com/bobbindb/bobbin/shared/partition"
	"github.com/bobbindb/bobbin/shared/partition/partitiontest"
	"github.com/bobbindb/bobbin/shared/store"
)

const (
	window = 6 * time.Hour
	grace  = 2 * time.Hour
)

type world struct{ *partitiontest.World }

func inMemory(t testing.TB) world {
	clock := partitiontest.NewClock()
	return world{partitiontest.Open(t, memblob.New(clock.Now), clock)}
}

func inFolder(t testing.TB) world {
	clock := partitiontest.NewClock()
	bucket, err := fileblob.Open(t.TempDir(), fileblob.Options{Now: clock.Now})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { bucket.Close() })
	w := world{partitiontest.Open(t, bucket, clock)}
	w.Dir = t.TempDir()
	return w
}

func (w world) options(bucket blob.Bucket) janitor.Options {
	return janitor.Options{
		Bucket: bucket, Store: w.Store, Window: window, Grace: grace,
		Now: w.Clock.Now, Nonce: w.Nonce, Release: "test",
	}
}

func (w world) clean() janitor.Report {
	w.Helper()
	report, err := janitor.Run(context.Background(), w.options(w.Bucket))
	if err != nil {
		w.Fatal(err)
	}
	return report
}

func (w world) takeOptions() compactor.Options {
	return compactor.Options{Window: window, Nonce: w.Nonce, Now: w.Clock.Now}
}

func (w world) take(p *partition.Partition) compactor.Result {
	w.Helper()
	result, err := compactor.Take(context.Background(), p, w.takeOptions())
	if err != nil {
		w.Fatal(err)
	}
	return result
}

// hours lets time pass as a busy store sees it.
func (w world) hours(p *partition.Partition, n int) {
	w.Helper()
	for range n {
		for range 2 {
			w.Commit(p, 5)
			w.Clock.Advance(30 * time.Minute)
			w.Commit(p, 3)
			w.take(p)
		}
		w.clean()
	}
}

func TestDays(t *testing.T) {
	for name, c := range map[string]struct {
		open  func(testing.TB) world
		hours int
	}{"memory": {inMemory, 60}, "folder": {inFolder, 14}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := c.open(t)
			p := w.Process(w.Bucket, store.Live)
			for hour := range c.hours {
				w.hours(p, 1)
				w.Check()
				if hour%10 == 9 {
					w.CheckHistory()
				}
			}
			w.CheckHistory()
			m := w.Manifest()
			if got, want := len(m.History), int(window/time.Hour)+1; got < want-1 || got > want+1 {
				t.Errorf("history has %d entries, want about %d", got, want)
			}
			if m.Floor != m.Seq {
				t.Errorf("floor = %d, want %d", m.Floor, m.Seq)
			}
			// Commits of the last two hours, by when the floor passed them; segments and
			// checkpoints of the window; and what waits for its grace.
			for kind, most := range map[string]int{"log/": 40, "segments/": 24, "checkpoints/": 20} {
				if got := len(w.Keys(w.Prefix() + "/" + kind)); got > most || got == 0 {
					t.Errorf("%d objects under %s, want 1 to %d", got, kind, most)
				}
			}
			w.Clock.Advance(window + 3*time.Hour)
			w.settle()
			m = w.Manifest()
			if len(m.History) != 0 || len(w.Keys(w.Prefix()+"/segments/")) != 0 || len(w.Keys(w.Prefix()+"/checkpoints/")) != 1 {
				t.Errorf("an idle store keeps %d history entries and %q", len(m.History), w.Keys(w.Prefix()))
			}
			if log := w.Keys(w.Prefix() + "/log/"); len(log) != 1 {
				t.Errorf("an idle store keeps commits %q, want the one at the floor", log)
			}
			w.Commit(p, 3)
			w.Check()
			if u := w.usage(); u.Live == 0 || u.Window != 0 || u.Condemned != 0 || u.Log == 0 {
				t.Errorf("usage = %+v, want live and log bytes only", u)
			}
		})
	}
}

// settle runs the janitor until nothing is left to do.
func (w world) settle() {
	w.Helper()
	for range 4 {
		w.clean()
		w.Clock.Advance(grace)
	}
	w.clean()
	w.Check()
}

func (w world) usage() janitor.Usage {
	w.Helper()
	u, err := janitor.ReadUsage(w.Context(), w.options(w.Bucket))
	if err != nil {
		w.Fatal(err)
	}
	return u
}

// An idle run reads a little and writes nothing.
func TestIdle(t *testing.T) {
	w := inMemory(t)
	recorder := blobtest.NewRecorder(w.Bucket)
	run := func() {
		t.Helper()
		recorder.Reset()
		if _, err := janitor.Run(t.Context(), w.options(recorder)); err != nil {
			t.Fatal(err)
		}
		if n := recorder.Count(blobtest.Put, blobtest.PutFile, blobtest.Delete); n != 0 {
			t.Errorf("an idle run wrote %d times: %q", n, recorder.Stored())
		}
	}
	run()
	if n := recorder.Count(blobtest.Get); n != 4 { // bobbin.json, roots.json, manifest, notes
		t.Errorf("%d GETs on an empty store, want 4", n)
	}
	p := w.Process(w.Bucket, store.Live)
	w.hours(p, 3)
	w.Clock.Advance(window + 3*time.Hour)
	w.settle()
	run()
	if gets, lists := recorder.Count(blobtest.Get), recorder.Count(blobtest.List); gets != 5 || lists != 4 {
		t.Errorf("%d GETs and %d LISTs, want 5 and 4", gets, lists)
	}
	opts := w.options(recorder)
	opts.Tables = janitor.NewTables()
	for _, want := range []int{5, 4} { // the checkpoint is read once
		recorder.Reset()
		if _, err := janitor.Run(t.Context(), opts); err != nil {
			t.Fatal(err)
		}
		if n := recorder.Count(blobtest.Get); n != want {
			t.Errorf("%d GETs, want %d", n, want)
		}
	}
	w.Clock.Advance(1000 * time.Hour)
	run()
	p2 := w.Process(recorder, store.Lazy)
	recorder.Reset()
	if result := w.take(p2); result.Taken {
		t.Errorf("a checkpoint of nothing new: %+v", result)
	}
	if recorder.Count() != 1 || recorder.Count(blobtest.Get) != 1 {
		t.Errorf("an idle compactor made the calls %v, want one GET", recorder.Calls())
	}
}

// A process that slept for hours never gets a number acknowledged that was history.
func TestZombie(t *testing.T) {
	for _, open := range []func(testing.TB) world{inMemory, inFolder} {
		w := open(t)
		p := w.Process(w.Bucket, store.Live)
		w.Commit(p, 5)
		zombie := w.Process(w.Bucket, store.Lazy)
		base, err := zombie.Base()
		if err != nil {
			t.Fatal(err)
		}
		defer base.Close()
		other := w.Process(w.Bucket, store.Lazy)
		w.hours(p, 3)
		if key := w.Prefix() + "/log/" + (base.Position().Seq + 1).String(); slices.Contains(w.Keys(key), key) {
			t.Fatal("the commit that the zombie would make is still there: the test shows nothing")
		}
		if seq, err := w.AppendOn(zombie, base); !errors.Is(err, commitlog.ErrBehind) {
			t.Fatalf("the zombie's commit %d: %v, want ErrBehind", seq, err)
		}
		w.CheckState(zombie)
		w.Check()
		// The junk it left is no history, and goes.
		if err := other.Probe(t.Context()); err != nil {
			t.Fatal(err)
		}
		w.CheckState(other)
		if got, want := other.Position(), p.Position(); got != want {
			t.Errorf("woken reader at %s, want %s", got.Seq, want.Seq)
		}
		w.clean()
		if keys := w.Keys(w.Prefix() + "/log/" + (base.Position().Seq + 1).String()); len(keys) != 0 {
			t.Errorf("junk is still there: %q", keys)
		}
		w.Commit(zombie, 1)
		w.Check()
	}
}

// A process that meets one commit of another every few minutes still looks at the floor.
func TestProofOfFoundCommits(t *testing.T) {
	w := inMemory(t)
	p := w.Process(w.Bucket, store.Live)
	w.Commit(p, 2)
	slow := w.Process(w.Bucket, store.Lazy)
	w.Commit(p, 30)
	w.take(p)
	w.clean()
	for range 20 { // over an hour, in which the floor comes of age
		w.Clock.Advance(4 * time.Minute)
		if _, err := w.Append(slow); err != nil && !errors.Is(err, commitlog.ErrLost) && !errors.Is(err, commitlog.ErrBehind) {
			t.Fatalf("append behind the end: %v", err)
		}
		w.clean()
	}
	w.Check()
}

// A proof is good for five minutes of the bucket's dates, and no second longer.
func TestProofAge(t *testing.T) {
	w := inMemory(t)
	recorder := blobtest.NewRecorder(w.Bucket)
	p := w.Process(recorder, store.Lazy)
	looks := func() int {
		return len(slices.DeleteFunc(recorder.Calls(), func(c blobtest.Call) bool { return c.Key != w.Prefix()+"/manifest" }))
	}
	for _, c := range []struct {
		age  time.Duration
		want int
	}{{5 * time.Minute, 0}, {5*time.Minute + time.Second, 1}, {5 * time.Minute, 0}, {-5 * time.Second, 0}, {-6 * time.Second, 1}} {
		recorder.Reset()
		w.Clock.Advance(c.age)
		if err := p.Probe(t.Context()); err != nil {
			t.Fatal(err)
		}
		if got := looks(); got != c.want {
			t.Errorf("after %s: %d looks at the manifest, want %d", c.age, got, c.want)
		}
	}
}

// at runs do, once, before the nth call of a kind on keys that contain a part.
func at(op blobtest.Op, part string, do func()) func(blobtest.Call) blobtest.Fault {
	var done atomic.Bool
	return func(c blobtest.Call) blobtest.Fault {
		if c.Op == op && strings.Contains(c.Key, part) && !done.Swap(true) {
			do()
		}
		return blobtest.None
	}
}

// A compactor whose swap loses to a janitor's fence publishes what it uploaded while
// that is young, and else begins again.
func TestFenceDuringCompaction(t *testing.T) {
	for name, c := range map[string]struct {
		sleep time.Duration
		again bool
	}{"young": {time.Hour - time.Second, false}, "old": {time.Hour, true}} {
		t.Run(name, func(t *testing.T) {
			w := inMemory(t)
			p := w.Process(w.Bucket, store.Live)
			w.hours(p, 2)
			w.Clock.Advance(grace) // what was unreached is condemned
			faults := blobtest.NewFaults(w.Bucket, nil)
			p2 := w.Process(faults, store.Live)
			w.Commit(p2, 10)
			faults.Decide(at(blobtest.Put, "/manifest", func() {
				w.Clock.Advance(c.sleep)
				if report := w.clean(); report.Objects == 0 {
					t.Errorf("the janitor deleted nothing: %+v", report)
				}
			}))
			w.take(p2)
			w.Check()
			twins := 0
			for _, key := range w.Keys(w.Prefix() + "/segments/") {
				if strings.Contains(key, "-"+w.Manifest().Seq.String()+"-") {
					twins++
				}
			}
			if again := twins == 2; again != c.again {
				t.Errorf("began again = %t, want %t (%d segments)", again, c.again, twins)
			}
		})
	}
}

// A compactor that slept until its uploads were deleted begins again.
func TestSleepingCompactor(t *testing.T) {
	for _, part := range []string{"/manifest", "/checkpoints/", "tables/", "/segments/"} {
		w := inMemory(t)
		p := w.Process(w.Bucket, store.Live)
		w.hours(p, 2)
		faults := blobtest.NewFaults(w.Bucket, nil)
		p2 := w.Process(faults, store.Live)
		w.Commit(p2, 10)
		faults.Decide(at(blobtest.Put, part, func() {
			for range 3 {
				w.clean()
				w.Clock.Advance(grace)
			}
			w.clean()
		}))
		w.take(p2)
		w.Check()
		w.CheckHistory()
	}
}

// The answer about an upload may come long after it was stored. Its age is that of the
// look before it.
func TestLateAnswerOfUpload(t *testing.T) {
	w := inMemory(t)
	p := w.Process(w.Bucket, store.Live)
	w.hours(p, 2)
	faults := blobtest.NewFaults(w.Bucket, nil)
	p2 := w.Process(faults, store.Lazy) // which uploads one table
	w.Commit(p2, 10)
	lost, late := false, false
	swap := at(blobtest.Put, "/manifest", func() { w.clean() })
	faults.Decide(func(c blobtest.Call) blobtest.Fault {
		switch {
		case c.Op == blobtest.Put && strings.HasPrefix(c.Key, "tables/") && !lost:
			lost = true
			return blobtest.LostReply
		case c.Op == blobtest.Get && strings.HasPrefix(c.Key, "tables/") && !late:
			late = true
			w.clean()
			w.Clock.Advance(grace)
		}
		return swap(c)
	})
	w.take(p2)
	if !late {
		t.Error("no answer was late: the test shows nothing")
	}
	w.Check()
}

// Whoever makes a root stands on what was reachable: one who slept in between loses.
func TestSleepingBranchMaker(t *testing.T) {
	w := inMemory(t)
	p := w.Process(w.Bucket, store.Live)
	w.hours(p, 2)
	roots, err := catalog.ReadRoots(t.Context(), w.Bucket, w.Store)
	if err != nil {
		t.Fatal(err)
	}
	source := w.Manifest()
	past := source.History[len(source.History)-1]
	w.hours(p, 12)
	if _, err := w.Bucket.Get(t.Context(), past.Key); !errors.Is(err, blob.ErrNotExist) {
		t.Fatalf("the source is still there: %v", err)
	}
	next := *roots
	next.Pins = append(next.Pins, catalog.Pin{Name: "late", Roots: []catalog.Root{pinned(past)}})
	if _, err := catalog.SwapRoots(t.Context(), w.Bucket, roots, next); !errors.Is(err, blob.ErrLostSwap) {
		t.Errorf("swap roots: %v, want ErrLostSwap", err)
	}
	if _, err := checkpoint.Swap(t.Context(), w.Bucket, w.Prefix(), source, *source); !errors.Is(err, blob.ErrLostSwap) {
		t.Errorf("swap manifest: %v, want ErrLostSwap", err)
	}
	w.Check()
}

func pinned(past checkpoint.Past) catalog.Root {
	return catalog.Root{Branch: partitiontest.Branch, Checkpoint: past.Key, Seq: past.Seq, End: past.Seq, Hash: past.Hash}
}

// A pin keeps its checkpoint, and the commits behind it, for as long as it stands.
func TestPin(t *testing.T) {
	w := inMemory(t)
	p := w.Process(w.Bucket, store.Live)
	w.hours(p, 3)
	m := w.Manifest()
	past := m.History[len(m.History)-2]
	end, err := commitlog.ReadSegments(t.Context(), w.Bucket, w.Prefix(), past.Seq+1, past.Seq+3, hashAt(t, w, past.Seq+3))
	if err != nil {
		t.Fatal(err)
	}
	root := pinned(past)
	root.End, root.Hash = past.Seq+3, end[2].Hash()
	w.swapRoots(func(r *catalog.Roots) { r.Pins = []catalog.Pin{{Name: "kept", Roots: []catalog.Root{root}}} })
	w.hours(p, 20)
	object, err := checkpoint.Load(t.Context(), w.Bucket, root.Checkpoint)
	if err != nil {
		t.Fatalf("the pin's checkpoint: %v", err)
	}
	for i := range object.Tables {
		if _, err := w.Bucket.Get(t.Context(), object.Tables[i].Key()); err != nil {
			t.Errorf("the pin's table: %v", err)
		}
	}
	if _, err := commitlog.ReadSegments(t.Context(), w.Bucket, w.Prefix(), root.Seq+1, root.End, root.Hash); err != nil {
		t.Errorf("the pin's commits: %v", err)
	}
	if u := w.usage(); u.Pinned == 0 {
		t.Errorf("usage = %+v, want bytes that the pin keeps", u)
	}
	w.swapRoots(func(r *catalog.Roots) { r.Pins = nil })
	w.hours(p, 5)
	if _, err := w.Bucket.Get(t.Context(), root.Checkpoint); !errors.Is(err, blob.ErrNotExist) {
		t.Errorf("after the pin went, its checkpoint: %v", err)
	}
	if got := w.Keys(w.Prefix() + "/segments/" + (root.Seq + 1).String()); len(got) != 0 {
		t.Errorf("after the pin went, its segments are there: %q", got)
	}
	w.Check()
}

func hashAt(t testing.TB, w world, seq commitlog.Seq) commitlog.Hash {
	m := w.Manifest()
	commits, err := commitlog.ReadSegments(t.Context(), w.Bucket, w.Prefix(), seq, m.Seq, m.Hash)
	if err != nil {
		t.Fatal(err)
	}
	return commits[0].Hash()
}

func (w world) swapRoots(change func(*catalog.Roots)) {
	w.Helper()
	roots, err := catalog.ReadRoots(w.Context(), w.Bucket, w.Store)
	if err != nil {
		w.Fatal(err)
	}
	next := *roots
	change(&next)
	if _, err := catalog.SwapRoots(w.Context(), w.Bucket, roots, next); err != nil {
		w.Fatal(err)
	}
}

func (w world) put(key string) {
	w.Helper()
	if _, err := w.Bucket.Put(w.Context(), key, []byte("x"), blob.IfAbsent()); err != nil {
		w.Fatal(err)
	}
}

// What belongs to no branch goes after a grace, exports after a day, and what the
// janitor does not know stays.
func TestJunk(t *testing.T) {
	w := inMemory(t)
	p := w.Process(w.Bucket, store.Live)
	w.hours(p, 1)
	gone := []string{
		"branches/old-bbbbbbbb/p000/manifest", "branches/old-bbbbbbbb/p000/log/00000000000000000001",
		"branches/old-bbbbbbbb/p001/segments/x", "tables/junk", w.Prefix() + "/checkpoints/junk",
	}
	stays := []string{"keys/kek/1", "jobs/1", w.Prefix() + "/new-kind/1", w.Prefix() + "/segments/odd", "branches/made-cccccccc/p000/checkpoints/1", "tables2"}
	for _, key := range append(slices.Clone(gone), stays...) {
		w.put(key)
	}
	w.put("exports/e1")
	w.swapRoots(func(r *catalog.Roots) { r.Branches = append(r.Branches, catalog.Branch{Name: "made-cccccccc"}) })
	w.clean()
	w.Clock.Advance(grace - time.Second)
	w.clean()
	for _, key := range append(slices.Clone(gone), stays...) {
		if _, err := w.Bucket.Get(t.Context(), key); err != nil {
			t.Errorf("within the grace: %v", err)
		}
	}
	w.Clock.Advance(time.Second)
	if report := w.clean(); report.Objects < len(gone) {
		t.Errorf("report = %+v, want %d objects", report, len(gone))
	}
	for _, key := range gone {
		if _, err := w.Bucket.Get(t.Context(), key); !errors.Is(err, blob.ErrNotExist) {
			t.Errorf("%s: %v, want it gone", key, err)
		}
	}
	for _, key := range append(stays, "exports/e1") {
		if _, err := w.Bucket.Get(t.Context(), key); err != nil {
			t.Errorf("what stays: %v", err)
		}
	}
	w.Clock.Advance(22 * time.Hour)
	w.clean()
	if _, err := w.Bucket.Get(t.Context(), "exports/e1"); !errors.Is(err, blob.ErrNotExist) {
		t.Errorf("an export of a day ago: %v, want it gone", err)
	}
	w.Check()
}

// Of a branch that is gone, what another one's fork stands on stays until that goes too.
func TestForkOfGoneBranch(t *testing.T) {
	w := inMemory(t)
	w.Commit(w.Process(w.Bucket, store.Live), 1)
	old := catalog.Prefix("old-bbbbbbbb", 0)
	segment := func(from, to commitlog.Seq) string {
		return commitlog.SegmentKey(old, commitlog.SegmentName{From: from, To: to, Nonce: "n"})
	}
	stays := []string{old + "/log/" + commitlog.Seq(1).String(), old + "/log/" + commitlog.Seq(3).String(), old + "/manifest", segment(1, 3), segment(2, 2)}
	goes := []string{old + "/log/" + commitlog.Seq(4).String(), old + "/checkpoints/1", segment(4, 6), "branches/old-bbbbbbbb/p001/manifest"}
	for _, key := range slices.Concat(stays, goes) {
		w.put(key)
	}
	w.swapRoots(func(r *catalog.Roots) {
		r.Branches = append(r.Branches, catalog.Branch{Name: "fork-cccccccc", Forks: []catalog.Root{{Branch: "old-bbbbbbbb", End: 3}}})
	})
	w.settle()
	if got := w.Keys("branches/old-bbbbbbbb/"); !slices.Equal(got, stays) {
		t.Errorf("what stays is %q, want %q", got, stays)
	}
	if report := w.clean(); report.Unreached != 0 {
		t.Errorf("report = %+v, want nothing unreached", report)
	}
	w.swapRoots(func(r *catalog.Roots) { r.Branches = r.Branches[:1] })
	w.settle()
	if got := w.Keys("branches/old-bbbbbbbb/"); len(got) != 0 {
		t.Errorf("after the fork went there is %q", got)
	}
}

// A commit whose PUT arrives hours later, below the floor, is no history.
func TestLateCommit(t *testing.T) {
	w := inMemory(t)
	faults := blobtest.NewFaults(w.Bucket, nil)
	p := w.Process(faults, store.Live)
	w.Commit(p, 5)
	var first atomic.Bool
	faults.Decide(func(c blobtest.Call) blobtest.Fault {
		if c.Op == blobtest.Put && strings.Contains(c.Key, "/log/") && !first.Swap(true) {
			return blobtest.Delayed
		}
		return blobtest.None
	})
	w.Commit(p, 1)
	w.hours(p, 3)
	if done := faults.Release(); len(done) != 1 || done[0].Err != nil {
		t.Fatalf("released %v: the test shows nothing", done)
	}
	key := w.Prefix() + "/log/" + commitlog.Seq(6).String()
	if len(w.Keys(key)) != 1 {
		t.Fatal("the late commit is not there: the test shows nothing")
	}
	w.Check()
	w.clean()
	if len(w.Keys(key)) != 0 {
		t.Error("the late commit stays")
	}
	w.Check()
	w.CheckHistory()
}

// A floor that was raised counts from the look that followed, not from the swap.
func TestFloorStands(t *testing.T) {
	w := inMemory(t)
	p := w.Process(w.Bucket, store.Live)
	w.Commit(p, 10)
	w.take(p)
	w.Clock.Advance(2 * time.Hour)
	if report := w.clean(); report.Floors != 1 || report.Commits != 0 {
		t.Errorf("report = %+v, want a floor and no deletion", report)
	}
	w.Clock.Advance(time.Hour - time.Second)
	if report := w.clean(); report.Commits != 0 {
		t.Errorf("report = %+v, want no deletion within the hour", report)
	}
	w.Clock.Advance(time.Second)
	if report := w.clean(); report.Commits != 9 {
		t.Errorf("report = %+v, want the 9 commits below the floor deleted", report)
	}
	w.Check()
}

// Without segments nothing of the log goes.
func TestMissingSegment(t *testing.T) {
	w := inMemory(t)
	p := w.Process(w.Bucket, store.Live)
	w.Commit(p, 10)
	w.take(p)
	segment := w.Keys(w.Prefix() + "/segments/")[0]
	body, err := w.Bucket.Get(t.Context(), segment)
	if err != nil {
		t.Fatal(err)
	}
	w.Bucket.Delete(t.Context(), segment)
	for range 3 {
		if report := w.clean(); report.Floors != 0 || report.Held != 1 || report.Commits != 0 {
			t.Errorf("report = %+v, want the floor held", report)
		}
		w.Clock.Advance(time.Hour)
	}
	w.Bucket.Put(t.Context(), segment, body.Body, blob.IfAbsent())
	w.clean()
	w.Bucket.Delete(t.Context(), segment) // once the floor is there
	w.Clock.Advance(time.Hour)
	if report := w.clean(); report.Commits != 0 || report.Held != 1 {
		t.Errorf("report = %+v, want the commits held", report)
	}
}

func TestDamage(t *testing.T) {
	w := inMemory(t)
	p := w.Process(w.Bucket, store.Live)
	w.hours(p, 3)
	w.Clock.Advance(grace)
	before := w.Keys("tables/")
	w.Bucket.Delete(t.Context(), w.Manifest().History[1].Key)
	if _, err := janitor.Run(t.Context(), w.options(w.Bucket)); !errors.Is(err, blob.ErrNotExist) {
		t.Errorf("a checkpoint is missing: %v, want ErrNotExist", err)
	}
	if after := w.Keys("tables/"); !slices.Equal(before, after) {
		t.Errorf("tables went from %d to %d", len(before), len(after))
	}
	w.Bucket.Delete(t.Context(), w.Prefix()+"/manifest")
	if _, err := janitor.Run(t.Context(), w.options(w.Bucket)); !errors.Is(err, janitor.ErrGone) {
		t.Errorf("the manifest is missing: %v, want ErrGone", err)
	}
}

var golden = regexp.MustCompile(`nonce[0-9]+|[0-9a-f]{64}`)

// The keys after a fixed history are those that they always were.
func TestGoldenKeys(t *testing.T) {
	w := inMemory(t)
	p := w.Process(w.Bucket, store.Lazy) // which never compacts: its tables are the same every time
	for range 4 {
		w.Commit(p, 3)
		w.take(p)
		w.clean()
		w.Clock.Advance(time.Hour)
	}
	w.put("exports/e1")
	w.put("jobs/4102444800000000000-abcdefgh")
	w.Clock.Advance(grace)
	w.clean()
	w.Clock.Advance(grace)
	w.clean()
	var b strings.Builder
	for _, key := range w.Keys("") {
		fmt.Fprintln(&b, golden.ReplaceAllStringFunc(key, func(s string) string {
			if len(s) == 64 {
				return "<sha256>"
			}
			return "<nonce>"
		}))
	}
	want, err := os.ReadFile("testdata/keys.txt")
	if err != nil {
		t.Fatal(err)
	}
	if b.String() != string(want) {
		t.Errorf("keys are\n%s\nwant\n%s", b.String(), want)
	}
	var notes struct {
		Format int
		Floors map[string][]struct{ Floor int }
	}
	o, err := w.Bucket.Get(t.Context(), "janitor/000")
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(o.Body, &notes); err != nil || notes.Format != 1 || notes.Floors[partitiontest.Branch][0].Floor != 12 {
		t.Errorf("notes are %s, %v", o.Body, err)
	}
}
