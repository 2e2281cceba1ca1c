package janitor_test

import (
	"slices"
	"testing"
	"time"

	"github.com/bobbindb/bobbin/shared/blob"
	"github.com/bobbindb/bobbin/shared/blob/blobtest"
	"github.com/bobbindb/bobbin/shared/blob/memblob"
	"github.com/bobbindb/bobbin/shared/janitor"
	"github.com/bobbindb/bobbin/shared/partition/partitiontest"
	"github.com/bobbindb/bobbin/shared/store"
)

func inMemoryOf(now func() time.Time) blob.Bucket { return memblob.New(now) }

// dirty is a store where a run has all to do that there is.
func dirty(t testing.TB) world {
	w := inMemory(t)
	p := w.Process(w.Bucket, store.Live)
	w.hours(p, 7)
	for _, key := range []string{"exports/e1", "branches/old-bbbbbbbb/p000/manifest", "branches/old-bbbbbbbb/p000/log/1"} {
		w.put(key)
	}
	w.clean()
	w.Clock.Advance(24 * time.Hour)
	w.Commit(p, 10)
	w.take(p)
	w.Clock.Advance(window + 2*time.Hour)
	w.Commit(p, 2)
	w.Check()
	return w
}

// Whatever fails in a run, all that is reachable stays, and a later run goes on.
func TestFaults(t *testing.T) {
	w := dirty(t)
	recorder := blobtest.NewRecorder(w.Clone(t, inMemoryOf).Bucket)
	report, err := janitor.Run(t.Context(), w.options(recorder))
	if err != nil || report.Floors == 0 || report.Thinned == 0 || report.Commits == 0 || report.Objects < 5 {
		t.Fatalf("report = %+v, %v, want something of all", report, err)
	}
	calls := recorder.Calls()
	done := world{w.Clone(t, inMemoryOf)}
	done.Clock.Advance(window + 24*time.Hour)
	done.settle()
	want := kinds(done)
	partitiontest.EachFault(t, calls, func(t *testing.T, decide func(blobtest.Call) blobtest.Fault) {
		w := world{w.Clone(t, inMemoryOf)}
		faults := blobtest.NewFaults(w.Bucket, decide)
		_, err := janitor.Run(t.Context(), w.options(faults))
		t.Logf("run: %v", err)
		w.Check()
		w.Clock.Advance(time.Minute)
		p := w.Process(w.Bucket, store.Live)
		w.Commit(p, 1)
		w.take(p)
		w.clean()
		w.Check()
		if len(faults.Delayed()) > 0 {
			faults.Release()
			w.Check()
		}
		w.Clock.Advance(window + 24*time.Hour)
		w.settle()
		if got := kinds(w); !slices.Equal(got, want) {
			t.Errorf("in the end there are %q, want %q", got, want)
		}
	})
}

// kinds are the kinds of what is there, but for the tables, whose number depends on when
// the database compacted, and roots.json, which only deletions make.
func kinds(w world) []string {
	var out []string
	for _, key := range w.Keys("") {
		kind := partitiontest.KindOf(key)
		if kind != "tables" && kind != "roots.json" && !slices.Contains(out, kind) {
			out = append(out, kind)
		}
	}
	return out
}

// Two janitors at once do no harm.
func TestTwoJanitors(t *testing.T) {
	first := dirty(t)
	for _, kind := range []string{"janitor", "roots.json", "manifest", "tables"} {
		for _, op := range []blobtest.Op{blobtest.Get, blobtest.Put, blobtest.Delete, blobtest.List} {
			w := world{first.Clone(t, inMemoryOf)}
			other := at(op, kind, func() { w.clean() })
			_, err := janitor.Run(t.Context(), w.options(blobtest.NewFaults(w.Bucket, other)))
			t.Logf("%s %s: %v", op, kind, err)
			w.Check()
			w.CheckHistory()
			w.settle()
		}
	}
}
