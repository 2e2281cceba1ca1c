package engine_test

import (
	"bytes"
	"os"
	"regexp"
	"testing"
	"time"

	mathrand "math/rand/v2"

	"github.com/bobbindb/bobbin/shared/blob/blobtest"
	"github.com/bobbindb/bobbin/shared/blob/memblob"
	"github.com/bobbindb/bobbin/shared/chat"
	"github.com/bobbindb/bobbin/shared/cost"
	"github.com/bobbindb/bobbin/shared/janitor"
	"github.com/bobbindb/bobbin/shared/telemetry"
	"github.com/bobbindb/bobbin/test/engine"
)

// What `bobbin cost` reckons with is what operations ask of the bucket.
func TestCostIsOfMeasuredRequests(t *testing.T) {
	ctx := t.Context()
	recorder := blobtest.NewRecorder(memblob.New(time.Now))
	s, err := engine.Create(ctx, recorder, 1)
	if err != nil {
		t.Fatal(err)
	}
	threads, err := engine.Fill(ctx, recorder, s, 20_000, 100)
	if err != nil {
		t.Fatal(err)
	}
	call := chat.Call{Caller: chat.Owner{User: "u1"}}
	random := mathrand.NewChaCha8([32]byte{7})
	measure := func(times int, do func(i int) error) cost.Calls {
		t.Helper()
		recorder.Reset()
		for i := range times {
			if err := do(i); err != nil {
				t.Fatal(err)
			}
		}
		each := func(ops ...blobtest.Op) float64 { return float64(recorder.Count(ops...)) / float64(times) }
		got := cost.Calls{
			Get: each(blobtest.Get, blobtest.GetRange), Put: each(blobtest.Put),
			List: each(blobtest.List), Delete: each(blobtest.Delete),
		}
		if got.Get+got.Put+got.List+got.Delete != each() {
			t.Errorf("calls %v are not all counted", recorder.Calls())
		}
		return got
	}
	list := func(e *engine.Engine, thread chat.ThreadID) error {
		_, _, err := e.Service.ListMessages(ctx, call, chat.ThreadRef{ID: thread}, chat.MessageQuery{Cursor: chat.Cursor{Limit: 50}})
		return err
	}
	post := func(e *engine.Engine, thread chat.ThreadID) error {
		_, err := e.Service.PostMessage(ctx, call, chat.ThreadRef{ID: thread}, chat.Post{Body: engine.Text(random)})
		return err
	}
	cold := func(do func(*engine.Engine) error) error {
		e, err := engine.Open(ctx, recorder, s)
		if err != nil {
			return err
		}
		if err := do(e); err != nil {
			return err
		}
		return e.Close()
	}

	janitorRun := func(int) error {
		_, err := janitor.Run(ctx, janitor.Options{Bucket: recorder, Store: s, Release: "test"})
		return err
	}
	janitorRun(0) // notes what it sees for the first time
	idle := measure(3, janitorRun)
	open := measure(3, func(int) error { return cold(func(*engine.Engine) error { return nil }) })
	coldPage := measure(20, func(i int) error {
		return cold(func(e *engine.Engine) error { return list(e, threads[i*37%len(threads)]) })
	})
	e, err := engine.Open(ctx, recorder, s)
	if err != nil {
		t.Fatal(err)
	}
	if err := post(e, threads[3]); err != nil { // fetches what every post reads
		t.Fatal(err)
	}
	if err := list(e, threads[3]); err != nil { // and every page
		t.Fatal(err)
	}
	page := measure(10, func(int) error { return list(e, threads[3]) })
	commit := measure(63, func(int) error { return post(e, threads[3]) })
	if err := e.Close(); err != nil {
		t.Fatal(err)
	}
	coldFull := measure(5, func(i int) error {
		return cold(func(e *engine.Engine) error { return list(e, threads[i*37%len(threads)]) })
	})
	checkpoint := measure(1, func(int) error {
		_, err := engine.Compact(ctx, recorder, s, 0)
		return err
	})
	coldPost := measure(10, func(i int) error {
		return cold(func(e *engine.Engine) error { return post(e, threads[i*37%len(threads)]) })
	})

	for _, c := range []struct {
		name      string
		got, want cost.Calls
		exact     bool
	}{
		{"a page", page, cost.Page, true},
		{"a commit", commit, cost.Commit, true},
		{"opening a partition", open, cost.Open, false},
		{"a cold page", coldPage, cost.ColdPage, false},
		{"a cold page after a full tail", coldFull, cost.ColdPageFullTail, false},
		{"a cold post", coldPost, cost.ColdPost, false},
		{"a checkpoint", checkpoint, cost.Checkpoint, false},
		{"an idle janitor", idle, cost.IdleJanitor, false},
	} {
		for _, n := range [][2]float64{
			{c.got.Get, c.want.Get}, {c.got.Put, c.want.Put}, {c.got.List, c.want.List}, {c.got.Delete, c.want.Delete},
		} {
			if got, want := n[0], n[1]; got > want || want > 1.5*got || c.exact && got != want {
				t.Errorf("%s asks for %+v, and is reckoned with %+v", c.name, c.got, c.want)
				break
			}
		}
	}
}

func TestCostIsOfMeasuredLogs(t *testing.T) {
	m := telemetry.New(telemetry.Release{}, nil)
	var log bytes.Buffer
	emf := telemetry.NewEMF(m, &log, "bobbin-production", "v1.12.3-4-gabcdef0")
	m.HTTPRoute("post-message").Answered(201, 70*time.Millisecond)
	p := m.Partition(0)
	p.Committed(1)
	p.Tail(17)
	p.Checkpoint(1024, time.Now())
	m.KeeperCall("unwrap", nil)
	if err := emf.Flush(); err != nil {
		t.Fatal(err)
	}
	if n := log.Len(); n > cost.MetricsLine || 2*n < cost.MetricsLine {
		t.Errorf("a line of metrics has %d bytes, and is reckoned with %d: %s", n, cost.MetricsLine, log.Bytes())
	}
}

// CloudWatch's price is for each metric that exists, and for each that an alarm looks at.
func TestCostIsOfTheMetricsThereAre(t *testing.T) {
	count := func(path, pattern string) int {
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		return len(regexp.MustCompile(`(?m)`+pattern).FindAll(text, -1))
	}
	metrics := count("../../shared/telemetry/emf.go", `^\t\{"\w+", "(Count|Milliseconds|Seconds)"`) +
		count("../../infra/alarms.yaml", `MetricNamespace: Bobbin`)
	if metrics != cost.Metrics {
		t.Errorf("%d metrics, reckoned with %d", metrics, cost.Metrics)
	}
	watched := count("../../infra/alarms.yaml", `^ +MetricName: `) - count("../../infra/alarms.yaml", `MetricNamespace: `)
	if watched -= count("../../infra/alarms.yaml", `-writer-\d"`); watched != cost.AlarmMetrics {
		t.Errorf("alarms of a store with one writer look at %d metrics, reckoned with %d", watched, cost.AlarmMetrics)
	}
	if count("../../template.yaml", `Schedule: rate\(6 hours\)`) != 1 || cost.JanitorRuns != 30*4 {
		t.Errorf("the janitor's schedule is not that of %d runs a month", cost.JanitorRuns)
	}
	if count("../../template.yaml", `Schedule: rate\(1 hour\)`) != 1 || cost.RetentionRuns != 30*24 {
		t.Errorf("retention's schedule is not that of %d runs a month", cost.RetentionRuns)
	}
}
