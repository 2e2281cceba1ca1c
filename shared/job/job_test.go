package job_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/bobbindb/bobbin/shared/blob"
	"github.com/bobbindb/bobbin/shared/blob/blobtest"
	"github.com/bobbindb/bobbin/shared/blob/memblob"
	"github.com/bobbindb/bobbin/shared/chat"
	"github.com/bobbindb/bobbin/shared/job"
)

// world is a bucket in a bubble whose clock passes only while everybody waits.
type world struct {
	*testing.T
	bucket blob.Bucket
	names  atomic.Int64
	begun  atomic.Int64 // calls of the work
	gate   chan struct{}
}

func inWorld(t *testing.T, test func(*world)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		test(&world{T: t, bucket: memblob.New(time.Now), gate: make(chan struct{})})
	})
}

// runner is one process's. Its kinds are "sum", which adds what the request says,
// "wait", which waits for the gate, "fail" and "panic".
func (w *world) runner(bucket blob.Bucket, change ...func(*job.Options)) *job.Runner {
	anything := func(json.RawMessage) error { return nil }
	opts := job.Options{
		Bucket: bucket,
		Name:   fmt.Sprintf("runner%d", w.names.Add(1)),
		Now:    time.Now,
		Nonce:  func() string { return fmt.Sprintf("n%06d", w.names.Add(1)) },
		Kinds: map[job.Kind]job.Work{
			"sum":   {Check: checkNumbers, Do: w.sum},
			"wait":  {Check: anything, Do: w.wait},
			"fail":  {Check: anything, Do: func(context.Context, *job.Task) (any, error) { return nil, errors.New("out of luck") }},
			"panic": {Check: anything, Do: func(context.Context, *job.Task) (any, error) { panic("oh") }},
		},
	}
	for _, c := range change {
		c(&opts)
	}
	r := job.New(opts)
	w.Cleanup(r.Close)
	return r
}

func checkNumbers(request json.RawMessage) error {
	var numbers []int
	if json.Unmarshal(request, &numbers) != nil {
		return &chat.Error{Kind: chat.Invalid, Text: "no numbers"}
	}
	return nil
}

func (w *world) sum(_ context.Context, task *job.Task) (any, error) {
	w.begun.Add(1)
	var numbers []int
	if err := json.Unmarshal(task.Request, &numbers); err != nil {
		return nil, err
	}
	total := 0
	for i, n := range numbers {
		total += n
		task.Progress(int64(i+1), int64(len(numbers)))
	}
	return map[string]int{"sum": total}, nil
}

func (w *world) wait(ctx context.Context, task *job.Task) (any, error) {
	w.begun.Add(1)
	task.Progress(1, 2)
	select {
	case <-w.gate:
		return "waited", nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

func (w *world) start(r *job.Runner, kind job.Kind) job.ID {
	w.Helper()
	started, err := r.Start(w.Context(), kind, json.RawMessage("[1,2,3]"), "req")
	if err != nil {
		w.Fatal(err)
	}
	return started.ID
}

// is wants a job to be in a state, as another process sees it that cannot take it up.
func (w *world) is(id job.ID, want job.State) *job.Record {
	w.Helper()
	synctest.Wait()
	o, err := w.bucket.Get(w.Context(), id.Key())
	if err != nil {
		w.Fatal(err)
	}
	got, err := job.Decode(id, o.Body)
	if err != nil {
		w.Fatal(err)
	}
	if got.State != want {
		w.Errorf("job is %s, want %s: %s", got.State, want, o.Body)
	}
	return got
}

func TestJobIsDone(t *testing.T) {
	inWorld(t, func(w *world) {
		r := w.runner(w.bucket)
		id := w.start(r, "sum")
		got := w.is(id, job.Done)
		if string(got.Result) != `{"sum":6}` || got.Progress != (job.Progress{Done: 3, Total: 3}) || got.RequestID != "req" || got.Attempts != 1 ||
			got.Created == 0 || got.Started < got.Created || got.Ended < got.Started || got.Error != "" {
			t.Errorf("job = %+v", got)
		}
		again, err := r.Get(w.Context(), id)
		if err != nil || again.State != job.Done {
			t.Errorf("Get() = %+v, %v", again, err)
		}
	})
}

func TestJobFails(t *testing.T) {
	for kind, want := range map[job.Kind]string{"fail": "out of luck", "panic": "the work panicked: oh"} {
		inWorld(t, func(w *world) {
			id := w.start(w.runner(w.bucket), kind)
			if got := w.is(id, job.Failed); got.Error != want || got.Ended == 0 {
				t.Errorf("%s: %+v, want %q", kind, got, want)
			}
		})
	}
}

// outcomes counts what became of jobs, and how many are under way.
type outcomes struct {
	mu      sync.Mutex
	stopped []string
	running int
}

func (o *outcomes) JobStarted(string) { o.add(1) }

func (o *outcomes) JobStopped(_, outcome string) { o.add(-1, outcome) }

func (o *outcomes) add(running int, stopped ...string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.running += running
	o.stopped = append(o.stopped, stopped...)
}

func TestOutcomesAndLog(t *testing.T) {
	for _, tt := range []struct {
		name  string
		kind  job.Kind
		ends  func(w *world, r *job.Runner, faults *blobtest.Faults)
		level string
		log   string
	}{
		{"done", "sum", nil, "INFO", "job done"},
		{"failed", "fail", nil, "WARN", "job failed"},
		{"released", "wait", func(_ *world, r *job.Runner, _ *blobtest.Faults) { r.Close() }, "INFO", "job released"},
		{"unstored", "wait", func(w *world, r *job.Runner, faults *blobtest.Faults) {
			faults.Decide(func(blobtest.Call) blobtest.Fault { return blobtest.Denied })
			close(w.gate)
			synctest.Wait()
			r.Close()
		}, "WARN", "could not be stored"},
		{"lost", "wait", func(w *world, _ *job.Runner, faults *blobtest.Faults) {
			faults.Decide(func(blobtest.Call) blobtest.Fault { return blobtest.Denied })
			time.Sleep(2 * time.Minute)
			if err := w.runner(w.bucket).Resume(w.Context()); err != nil {
				w.Fatal(err)
			}
			synctest.Wait()
			faults.Decide(nil)
			time.Sleep(time.Minute)
			close(w.gate)
		}, "WARN", "taken over"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			inWorld(t, func(w *world) {
				var log bytes.Buffer
				counted, faults := &outcomes{}, blobtest.NewFaults(w.bucket, nil)
				r := w.runner(faults, func(o *job.Options) {
					o.Metrics, o.Log = counted, slog.New(slog.NewTextHandler(&log, nil))
				})
				w.start(r, tt.kind)
				synctest.Wait()
				if tt.ends != nil {
					tt.ends(w, r, faults)
				}
				synctest.Wait()
				if !slices.Equal(counted.stopped, []string{tt.name}) || counted.running != 0 {
					t.Errorf("outcomes are %v with %d jobs running, want %s and none", counted.stopped, counted.running, tt.name)
				}
				lines := strings.Split(strings.TrimSpace(log.String()), "\n")
				last := lines[len(lines)-1]
				if !strings.Contains(last, "level="+tt.level) || !strings.Contains(last, tt.log) || strings.Contains(last, "<nil>") {
					t.Errorf("the last line of the log is %q, want %s and %q", last, tt.level, tt.log)
				}
			})
		})
	}
}

func TestStartRefuses(t *testing.T) {
	inWorld(t, func(w *world) {
		recorder := blobtest.NewRecorder(w.bucket)
		r := w.runner(recorder, func(o *job.Options) { o.Most = 1 })
		if _, err := r.Start(w.Context(), "rewind", nil, ""); !errors.Is(err, job.ErrUnknownKind) {
			t.Errorf("unknown kind: %v", err)
		}
		if _, err := r.Start(w.Context(), "sum", json.RawMessage(`"x"`), ""); chat.KindOf(err) != chat.Invalid {
			t.Errorf("bad request: %v", err)
		}
		if n := recorder.Count(); n != 0 {
			t.Errorf("%d calls of the bucket, want none", n)
		}
		id := w.start(r, "wait")
		if _, err := r.Start(w.Context(), "sum", json.RawMessage("[]"), ""); !errors.Is(err, chat.ErrBusy) {
			t.Errorf("one too many: %v", err)
		}
		close(w.gate)
		w.is(id, job.Done)
		w.is(w.start(r, "sum"), job.Done)
		for _, id := range []job.ID{"x", "../bobbin.json", "0000000000000000001-a"} {
			if _, err := r.Get(w.Context(), id); !errors.Is(err, job.ErrNotFound) {
				t.Errorf("Get(%s) = %v", id, err)
			}
		}
	})
}

// A process that ends in order gives its jobs back, and the next goes on at once.
func TestCloseReleases(t *testing.T) {
	inWorld(t, func(w *world) {
		one := w.runner(w.bucket)
		id := w.start(one, "wait")
		w.is(id, job.Running)
		one.Close()
		if got := w.is(id, job.Pending); got.Owner != "" || got.Attempts != 0 {
			t.Errorf("released: %+v", got)
		}
		if _, err := one.Start(w.Context(), "sum", json.RawMessage("[]"), ""); !errors.Is(err, chat.ErrBusy) {
			t.Errorf("Start() after Close() = %v", err)
		}
		two := w.runner(w.bucket)
		if err := two.Resume(w.Context()); err != nil {
			w.Fatal(err)
		}
		w.is(id, job.Running)
		close(w.gate)
		w.is(id, job.Done)
	})
}

// A process that dies is noticed after a lapse, by whoever looks.
func TestAbandonedJobIsTakenOver(t *testing.T) {
	inWorld(t, func(w *world) {
		var dead atomic.Bool
		faults := blobtest.NewFaults(w.bucket, func(blobtest.Call) blobtest.Fault {
			if dead.Load() {
				return blobtest.Denied
			}
			return blobtest.None
		})
		one, two := w.runner(faults), w.runner(w.bucket)
		id := w.start(one, "wait")
		time.Sleep(10 * time.Minute) // of the bubble: it lives, and nobody takes the job
		if err := two.Resume(w.Context()); err != nil {
			w.Fatal(err)
		}
		if got := w.is(id, job.Running); got.Owner != "runner1" || got.Progress.Done != 1 {
			t.Errorf("a job that is worked on: %+v", got)
		}
		dead.Store(true)
		time.Sleep(50 * time.Second)
		if _, err := two.Get(w.Context(), id); err != nil {
			w.Fatal(err)
		}
		if got := w.is(id, job.Running); got.Owner != "runner1" {
			t.Errorf("within the lapse: %+v", got)
		}
		time.Sleep(30 * time.Second)
		if _, err := two.List(w.Context(), chat.Cursor{Limit: 10}); err != nil {
			w.Fatal(err)
		}
		if got := w.is(id, job.Running); got.Owner == "runner1" || got.Attempts != 2 {
			t.Errorf("after the lapse: %+v", got)
		}
		// The first comes back to life: it loses, and its work is told to stop.
		dead.Store(false)
		time.Sleep(time.Minute)
		close(w.gate)
		if got := w.is(id, job.Done); got.Attempts != 2 || w.begun.Load() != 2 {
			t.Errorf("at the end: %+v, begun %d times", got, w.begun.Load())
		}
	})
}

func TestJobThatKillsItsProcess(t *testing.T) {
	inWorld(t, func(w *world) {
		var id job.ID
		for n := range 6 {
			faults := blobtest.NewFaults(w.bucket, nil)
			r := w.runner(faults)
			if n == 0 {
				id = w.start(r, "wait")
			} else if err := r.Resume(w.Context()); err != nil {
				w.Fatal(err)
			}
			if n == 5 {
				break
			}
			if got := w.is(id, job.Running); got.Attempts != n+1 {
				t.Errorf("attempt %d: %+v", n, got)
			}
			faults.Decide(func(blobtest.Call) blobtest.Fault { return blobtest.Denied })
			time.Sleep(2 * time.Minute)
		}
		if got := w.is(id, job.Failed); !strings.Contains(got.Error, "5 times") {
			t.Errorf("job = %+v", got)
		}
	})
}

// Whatever befalls whichever write of a record, the job is done in the end, and once.
func TestFaults(t *testing.T) {
	for fault := blobtest.NotStored; fault <= blobtest.Unavailable503; fault++ {
		for n := 1; n <= 4; n++ {
			t.Run(fmt.Sprintf("%s at write %d", fault, n), func(t *testing.T) {
				inWorld(t, func(w *world) {
					puts := 0
					faults := blobtest.NewFaults(w.bucket, func(c blobtest.Call) blobtest.Fault {
						if c.Op != blobtest.Put {
							return blobtest.None
						}
						if puts++; puts == n {
							return fault
						}
						return blobtest.None
					})
					id := w.start(w.runner(faults), "wait") // writes: create, begin, a sign of life, end
					time.Sleep(15 * time.Second)
					faults.Release()
					close(w.gate)
					time.Sleep(time.Minute)
					if got := w.is(id, job.Done); string(got.Result) != `"waited"` || w.begun.Load() != 1 {
						t.Errorf("begun %d times: %+v", w.begun.Load(), got)
					}
				})
			})
		}
	}
}

// A first write whose answer was lost may have made the job, whatever the tries after it
// meet.
func TestStartIsUnknown(t *testing.T) {
	for _, tt := range []struct {
		name  string
		puts  []blobtest.Fault // one try each
		deaf  bool             // nothing can be read back
		want  chat.Kind
		there bool
	}{
		{"refused", []blobtest.Fault{blobtest.Denied}, false, chat.KindOf(chat.ErrUnwritable), false},
		{"reply lost, nothing read, then refused", []blobtest.Fault{blobtest.LostReply, blobtest.Denied}, true, chat.Unknown, true},
		{"not stored, nothing read, then refused", []blobtest.Fault{blobtest.NotStored, blobtest.Denied}, true, chat.Unknown, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			inWorld(t, func(w *world) {
				puts := tt.puts
				faults := blobtest.NewFaults(w.bucket, func(c blobtest.Call) (f blobtest.Fault) {
					switch {
					case c.Op == blobtest.Get && tt.deaf:
						return blobtest.Unavailable503
					case c.Op == blobtest.Put && len(puts) > 0:
						f, puts = puts[0], puts[1:]
					}
					return f
				})
				if _, err := w.runner(faults).Start(w.Context(), "sum", json.RawMessage("[]"), ""); chat.KindOf(err) != tt.want {
					t.Errorf("Start() = %v, want kind %v", err, tt.want)
				}
				jobs, err := w.bucket.List(w.Context(), blob.ListOptions{Prefix: job.Prefix})
				if err != nil || (len(jobs.Entries) == 1) != tt.there {
					t.Errorf("the bucket holds %v (%v), want a job to be there: %v", jobs.Entries, err, tt.there)
				}
			})
		})
	}
}

// A bucket that is away for long holds a job up, and no more.
func TestOutage(t *testing.T) {
	inWorld(t, func(w *world) {
		faults := blobtest.NewFaults(w.bucket, nil)
		r := w.runner(faults)
		id := w.start(r, "wait")
		synctest.Wait()
		faults.Decide(func(blobtest.Call) blobtest.Fault { return blobtest.Unavailable503 })
		close(w.gate)
		time.Sleep(10 * time.Minute)
		if _, err := r.Get(w.Context(), id); chat.KindOf(err) != chat.Busy {
			t.Errorf("Get() = %v", err)
		}
		if _, err := r.Start(w.Context(), "sum", json.RawMessage("[]"), ""); chat.KindOf(err) != chat.Unknown {
			t.Errorf("Start() = %v", err)
		}
		faults.Decide(nil)
		time.Sleep(time.Minute)
		if got := w.is(id, job.Done); w.begun.Load() != 1 || got.Attempts != 1 {
			t.Errorf("begun %d times: %+v", w.begun.Load(), got)
		}
	})
}

func TestList(t *testing.T) {
	inWorld(t, func(w *world) {
		r := w.runner(w.bucket)
		var ids []job.ID
		for range 5 {
			ids = append(ids, w.start(r, "sum"))
			time.Sleep(time.Second)
		}
		slices.Reverse(ids)
		for _, tt := range []struct {
			c             chat.Cursor
			want          []job.ID
			before, after bool
		}{
			{chat.Cursor{Limit: 2}, ids[:2], false, true},
			{chat.Cursor{Limit: 9}, ids, false, false},
			{chat.Cursor{Limit: 2, After: string(ids[1])}, ids[2:4], true, true},
			{chat.Cursor{Limit: 2, After: string(ids[3])}, ids[4:], true, false},
			{chat.Cursor{Limit: 2, Before: string(ids[3])}, ids[1:3], true, true},
			{chat.Cursor{Limit: 2, Before: string(ids[0])}, nil, false, true},
			{chat.Cursor{Limit: 1, Anchor: string(ids[2])}, ids[1:4], true, true},
		} {
			page, err := r.List(w.Context(), tt.c)
			if err != nil {
				w.Fatal(err)
			}
			var got []job.ID
			for _, j := range page.Jobs {
				got = append(got, j.ID)
			}
			if !slices.Equal(got, tt.want) || page.HasBefore != tt.before || page.HasAfter != tt.after || page.Total != 5 {
				t.Errorf("List(%+v) = %v, %+v, want %v", tt.c, got, page.Page, tt.want)
			}
		}
		if _, err := r.List(w.Context(), chat.Cursor{Limit: 1, After: "x"}); !errors.Is(err, chat.ErrUnknownAnchor) {
			t.Errorf("List() after what is no job = %v", err)
		}
	})
}

// Idle costs nothing, and to look again costs one listing.
func TestCost(t *testing.T) {
	inWorld(t, func(w *world) {
		recorder := blobtest.NewRecorder(w.bucket)
		r := w.runner(recorder)
		id := w.start(r, "sum")
		synctest.Wait()
		if got := recorder.Stored(); len(got) != 3 || got[0] != id.Key() {
			t.Errorf("a short job is written to %v, want %s three times", got, id.Key())
		}
		recorder.Reset()
		time.Sleep(time.Hour)
		for range 2 {
			if err := r.Resume(w.Context()); err != nil {
				w.Fatal(err)
			}
		}
		if list, get, all := recorder.Count(blobtest.List), recorder.Count(blobtest.Get), recorder.Count(); list != 2 || get != 1 || all != 3 {
			t.Errorf("in an idle hour and two looks: %v, want two listings and one GET", recorder.Calls())
		}
	})
}

// What another release left, or nobody can read, holds nothing up.
func TestStrangeRecords(t *testing.T) {
	inWorld(t, func(w *world) {
		for key, body := range map[string]string{
			"jobs/0000000000000000001-a":    `{"format":1,"id":"0000000000000000001-a","kind":"rewind","state":"pending"}`,
			"jobs/0000000000000000002-b":    `{"format":2,"id":"0000000000000000002-b"}`,
			"jobs/0000000000000000003-c":    `{`,
			"jobs/0000000000000000004-d":    `{"format":1,"id":"0000000000000000005-e","kind":"sum","state":"pending"}`,
			"jobs/readme":                   `x`,
			"jobs/0000000000000000006-gone": `{"format":1,"id":"0000000000000000006-gone","kind":"sum","state":"pending","request":[4]}`,
		} {
			if _, err := w.bucket.Put(w.Context(), key, []byte(body), blob.IfAbsent()); err != nil {
				w.Fatal(err)
			}
		}
		if err := w.runner(w.bucket).Resume(w.Context()); err != nil {
			w.Fatal(err)
		}
		w.is("0000000000000000001-a", job.Pending)
		if got := w.is("0000000000000000006-gone", job.Done); string(got.Result) != `{"sum":4}` {
			t.Errorf("job = %+v", got)
		}
	})
}

func TestGoldenRecord(t *testing.T) {
	r := job.Record{
		Format: 1, Nonce: "n", ID: "1700000000000000000-abc", Kind: "purge", State: job.Running, Request: json.RawMessage(`{"dry_run":true}`),
		RequestID: "r", Created: 1, Started: 2, Updated: 3, Ended: 4, Progress: job.Progress{Done: 5, Total: 6}, Result: json.RawMessage(`{}`),
		Error: "e", Owner: "o", Beat: 7, Attempts: 8,
	}
	const want = `{"format":1,"nonce":"n","id":"1700000000000000000-abc","kind":"purge","state":"running","request":{"dry_run":true},` +
		`"request_id":"r","created_ts":1,"started_ts":2,"updated_ts":3,"ended_ts":4,"progress":{"done":5,"total":6},"result":{},` +
		`"error":"e","owner":"o","beat_ts":7,"attempts":8}`
	got, err := r.Encode()
	if err != nil || string(got) != want {
		t.Errorf("Encode() = %s, %v, want %s", got, err, want)
	}
	back, err := job.Decode(r.ID, []byte(want))
	if err != nil {
		t.Fatal(err)
	}
	if again, err := back.Encode(); err != nil || string(again) != want {
		t.Errorf("decoded and encoded: %s, %v", again, err)
	}
}

func TestID(t *testing.T) {
	for nanos, want := range map[int64]job.ID{
		0: "0000000000000000000-a1", 1700000000000000000: "1700000000000000000-a1", 1<<63 - 1: "9223372036854775807-a1",
	} {
		got := job.NewID(time.Unix(0, nanos), "a1")
		if at, ok := got.Time(); got != want || !ok || at.UnixNano() != nanos {
			t.Errorf("NewID(%d) = %s of %v, %v, want %s", nanos, got, at, ok, want)
		}
	}
	for _, id := range []job.ID{
		"", "1700000000000000000", "1700000000000000000-", "170000000000000000-a", "17000000000000000000-a", "-700000000000000000-a",
		"1700000000000000000_a", "1700000000000000000-A", "1700000000000000000-a/b", "9223372036854775808-a", "1700000000000000000-a-b",
		job.ID("1700000000000000000-" + strings.Repeat("a", 65)),
	} {
		if id.Valid() {
			t.Errorf("%q is valid", id)
		}
	}
}

func FuzzID(f *testing.F) {
	f.Add("1700000000000000000-abc")
	f.Fuzz(func(t *testing.T, s string) {
		at, ok := job.ID(s).Time()
		if !ok {
			return
		}
		if again := job.NewID(at, s[20:]); string(again) != s {
			t.Errorf("%q is read as %v, which is written as %q", s, at, again)
		}
		if !blob.IsSegment(s) {
			t.Errorf("%q is valid and no segment of a key", s)
		}
	})
}

func FuzzDecode(f *testing.F) {
	f.Add([]byte(`{"format":1,"id":"1700000000000000000-abc"}`))
	f.Fuzz(func(t *testing.T, body []byte) {
		r, err := job.Decode("1700000000000000000-abc", body)
		if err == nil && r.ID != "1700000000000000000-abc" {
			t.Errorf("Decode() = %+v", r)
		}
	})
}
