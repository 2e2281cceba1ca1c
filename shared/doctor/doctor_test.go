package doctor_test

import (
	"bytes"
	"context"
	"errors"
	"path"
	"sync"
	"testing"
	"time"

	"github.com/bobbindb/bobbin/shared/blob"
	"github.com/bobbindb/bobbin/shared/blob/blobtest"
	"github.com/bobbindb/bobbin/shared/blob/fileblob"
	"github.com/bobbindb/bobbin/shared/blob/memblob"
	"github.com/bobbindb/bobbin/shared/doctor"
)

// found are the verdicts by check.
func found(checks []doctor.Finding) map[string]doctor.Verdict {
	verdicts := map[string]doctor.Verdict{}
	for _, f := range checks {
		verdicts[f.Check] = f.Verdict
	}
	return verdicts
}

func wantAll(t *testing.T, checks []doctor.Finding, want doctor.Verdict) {
	t.Helper()
	for _, f := range checks {
		if f.Verdict != want || f.Seen == "" {
			t.Errorf("%s: %s, %s, want %s", f.Check, f.Verdict, f.Seen, want)
		}
	}
}

func wantEmpty(t *testing.T, b blob.Bucket) {
	t.Helper()
	page, err := b.List(t.Context(), blob.ListOptions{})
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range page.Entries {
		t.Errorf("%s was left", e.Key)
	}
}

func TestBucketThatKeepsItsPromises(t *testing.T) {
	b := memblob.New(time.Now)
	for _, brief := range []bool{false, true} {
		checks := doctor.Bucket(t.Context(), doctor.Options{Handles: []blob.Bucket{b, b}, Prefix: "doctor/one", Brief: brief})
		wantAll(t, checks, doctor.OK)
		if err := doctor.Err(checks); err != nil {
			t.Errorf("Err() = %v", err)
		}
	}
	wantEmpty(t, b)
}

func TestBriefCostsFewCalls(t *testing.T) {
	r := blobtest.NewRecorder(memblob.New(time.Now))
	doctor.Bucket(t.Context(), doctor.Options{Handles: []blob.Bucket{r}, Prefix: "doctor/one", Brief: true})
	if got := len(r.Calls()); got > 45 {
		t.Errorf("%d calls, want at most 45", got)
	}
}

func TestFolderThatKeepsItsPromises(t *testing.T) {
	dir, files := t.TempDir(), t.TempDir()
	var handles []blob.Bucket
	for range 2 {
		b, err := fileblob.Open(dir, fileblob.Options{})
		if err != nil {
			t.Fatal(err)
		}
		defer b.Close()
		handles = append(handles, b)
	}
	checks := doctor.Bucket(t.Context(), doctor.Options{Handles: handles, Prefix: "doctor/one", Files: files})
	wantAll(t, checks, doctor.OK)
	for _, check := range []string{"hard links", "changes seen"} {
		if found(checks)[check] != doctor.OK {
			t.Errorf("%s was not checked", check)
		}
	}
	wantEmpty(t, handles[0])
}

// liar is a bucket that breaks one promise.
type liar struct {
	blob.Bucket
	get  func(ctx context.Context, key string) (blob.Object, error)
	rng  func(ctx context.Context, key string, offset, size int64) (blob.Object, error)
	put  func(ctx context.Context, key string, body []byte, when blob.Condition) (blob.Info, error)
	list func(ctx context.Context, opts blob.ListOptions) (blob.Listing, error)
}

func (l *liar) Get(ctx context.Context, key string) (blob.Object, error) {
	if l.get != nil {
		return l.get(ctx, key)
	}
	return l.Bucket.Get(ctx, key)
}

func (l *liar) GetRange(ctx context.Context, key string, offset, size int64) (blob.Object, error) {
	if l.rng != nil {
		return l.rng(ctx, key, offset, size)
	}
	return l.Bucket.GetRange(ctx, key, offset, size)
}

func (l *liar) Put(ctx context.Context, key string, body []byte, when blob.Condition) (blob.Info, error) {
	if l.put != nil {
		return l.put(ctx, key, body, when)
	}
	return l.Bucket.Put(ctx, key, body, when)
}

func (l *liar) List(ctx context.Context, opts blob.ListOptions) (blob.Listing, error) {
	if l.list != nil {
		return l.list(ctx, opts)
	}
	return l.Bucket.List(ctx, opts)
}

// force stores whatever is there.
func force(ctx context.Context, b blob.Bucket, key string, body []byte) (blob.Info, error) {
	for {
		old, err := b.Get(ctx, key)
		when := blob.IfMatch(old.ETag)
		if errors.Is(err, blob.ErrNotExist) {
			when = blob.IfAbsent()
		}
		info, err := b.Put(ctx, key, body, when)
		if !errors.Is(err, blob.ErrExists) {
			return info, err
		}
	}
}

// checkThenAct decides on what it saw before, as a bucket without atomic puts does. All
// racers look before the first of them acts.
func checkThenAct(b blob.Bucket, racers int) *liar {
	var mu sync.Mutex
	looking := map[string]*sync.WaitGroup{}
	return &liar{Bucket: b, put: func(ctx context.Context, key string, body []byte, when blob.Condition) (blob.Info, error) {
		if path.Base(path.Dir(key)) != "create" || string(body) == "late" {
			return b.Put(ctx, key, body, when)
		}
		mu.Lock()
		all := looking[key]
		if all == nil {
			all = new(sync.WaitGroup)
			all.Add(racers)
			looking[key] = all
		}
		mu.Unlock()
		_, err := b.Get(ctx, key)
		all.Done()
		all.Wait()
		if err == nil {
			return blob.Info{}, blob.ErrExists
		}
		return force(ctx, b, key, body)
	}}
}

func TestLiesAreFound(t *testing.T) {
	for name, c := range map[string]struct {
		lie   func(b blob.Bucket) blob.Bucket
		check string
	}{
		"create replaces": {func(b blob.Bucket) blob.Bucket {
			return &liar{Bucket: b, put: func(ctx context.Context, key string, body []byte, when blob.Condition) (blob.Info, error) {
				if when.Absent() {
					return force(ctx, b, key, body)
				}
				return b.Put(ctx, key, body, when)
			}}
		}, "create if absent"},
		"create checks, then acts": {func(b blob.Bucket) blob.Bucket { return checkThenAct(b, 16) }, "create if absent"},
		"create replaces what is there, but not in a race": {func(b blob.Bucket) blob.Bucket {
			return &liar{Bucket: b, put: func(ctx context.Context, key string, body []byte, when blob.Condition) (blob.Info, error) {
				if string(body) == "late" && when.Absent() {
					return force(ctx, b, key, body)
				}
				return b.Put(ctx, key, body, when)
			}}
		}, "create if absent"},
		"the winner of a race is not stored": {func(b blob.Bucket) blob.Bucket {
			return &liar{Bucket: b, put: func(ctx context.Context, key string, body []byte, when blob.Condition) (blob.Info, error) {
				return b.Put(ctx, key, bytes.TrimRight(body, "+"), when)
			}}
		}, "create if absent"},
		"swap does not look": {func(b blob.Bucket) blob.Bucket {
			return &liar{Bucket: b, put: func(ctx context.Context, key string, body []byte, when blob.Condition) (blob.Info, error) {
				if when.Match() != "" {
					return force(ctx, b, key, body)
				}
				return b.Put(ctx, key, body, when)
			}}
		}, "swap if unchanged"},
		"swap creates": {func(b blob.Bucket) blob.Bucket {
			return &liar{Bucket: b, put: func(ctx context.Context, key string, body []byte, when blob.Condition) (blob.Info, error) {
				info, err := b.Put(ctx, key, body, when)
				if errors.Is(err, blob.ErrExists) && when.Match() != "" {
					if _, err := b.Get(ctx, key); errors.Is(err, blob.ErrNotExist) {
						return b.Put(ctx, key, body, blob.IfAbsent())
					}
				}
				return info, err
			}}
		}, "swap of nothing"},
		"one tag for all versions": {func(b blob.Bucket) blob.Bucket {
			tags := sync.Map{} // the true tags, by key
			return &liar{Bucket: b, get: func(ctx context.Context, key string) (blob.Object, error) {
				object, err := b.Get(ctx, key)
				if err == nil {
					tags.Store(key, object.ETag)
					object.ETag = "same"
				}
				return object, err
			}, put: func(ctx context.Context, key string, body []byte, when blob.Condition) (blob.Info, error) {
				if when.Match() == "same" {
					if tag, ok := tags.LoadAndDelete(key); ok {
						when = blob.IfMatch(tag.(blob.ETag))
					} else {
						when = blob.IfMatch("none")
					}
				}
				info, err := b.Put(ctx, key, body, when)
				if err == nil {
					tags.Store(key, info.ETag)
					info.ETag = "same"
				}
				return info, err
			}}
		}, "swap if unchanged"},
		"reads are cached": {func(b blob.Bucket) blob.Bucket {
			var seen sync.Map
			return &liar{Bucket: b, get: func(ctx context.Context, key string) (blob.Object, error) {
				if object, ok := seen.Load(key); ok {
					return object.(blob.Object), nil
				}
				object, err := b.Get(ctx, key)
				if err == nil {
					seen.Store(key, object)
				}
				return object, err
			}}
		}, "access"},
		"a deleted object is listed": {func(b blob.Bucket) blob.Bucket {
			var mu sync.Mutex
			var before blob.Listing
			return &liar{Bucket: b, list: func(ctx context.Context, opts blob.ListOptions) (blob.Listing, error) {
				now, err := b.List(ctx, opts)
				if path.Base(opts.Prefix) != "list" {
					return now, err
				}
				mu.Lock()
				defer mu.Unlock()
				then := before
				before = now
				return then, err
			}}
		}, "list after write"},
		"ranges begin at the beginning": {func(b blob.Bucket) blob.Bucket {
			return &liar{Bucket: b, rng: func(ctx context.Context, key string, _, size int64) (blob.Object, error) {
				return b.GetRange(ctx, key, 0, size)
			}}
		}, "ranges"},
		"large objects are cut": {func(b blob.Bucket) blob.Bucket {
			return &liar{Bucket: b, put: func(ctx context.Context, key string, body []byte, when blob.Condition) (blob.Info, error) {
				return b.Put(ctx, key, body[:min(len(body), 1<<20)], when)
			}}
		}, "large objects"},
		"no dates": {func(b blob.Bucket) blob.Bucket {
			return &liar{Bucket: b, get: func(ctx context.Context, key string) (blob.Object, error) {
				object, err := b.Get(ctx, key)
				object.Date = time.Time{}
				return object, err
			}}
		}, "absent objects"},
	} {
		t.Run(name, func(t *testing.T) {
			inner := memblob.New(time.Now)
			b := c.lie(inner)
			checks := doctor.Bucket(t.Context(), doctor.Options{Handles: []blob.Bucket{b}, Prefix: "doctor/one"})
			for _, f := range checks {
				if f.Check == c.check && (f.Verdict != doctor.Failed || !errors.Is(f.Err, doctor.ErrBroken) || f.Advice == "") {
					t.Errorf("%s: %s, %s, want failed for a broken promise", f.Check, f.Verdict, f.Seen)
				}
			}
			if found(checks)[c.check] == "" || !errors.Is(doctor.Err(checks), doctor.ErrBroken) {
				t.Errorf("Err() = %v, want %s broken", doctor.Err(checks), c.check)
			}
			wantEmpty(t, inner)
		})
	}
}

// A brief check finds what loses commits.
func TestBriefFindsALie(t *testing.T) {
	checks := doctor.Bucket(t.Context(), doctor.Options{Handles: []blob.Bucket{checkThenAct(memblob.New(time.Now), 4)}, Prefix: "d/1", Brief: true})
	if found(checks)["create if absent"] != doctor.Failed {
		t.Errorf("found %v", found(checks))
	}
}

func TestClock(t *testing.T) {
	for step, want := range map[time.Duration]doctor.Verdict{
		0: doctor.OK, 4 * time.Second: doctor.OK, -4 * time.Second: doctor.OK,
		6 * time.Second: doctor.Failed, -6 * time.Second: doctor.Failed, 24 * time.Hour: doctor.Failed,
	} {
		b := memblob.New(func() time.Time { return time.Now().Add(step) })
		checks := doctor.Bucket(t.Context(), doctor.Options{Handles: []blob.Bucket{b}, Prefix: "doctor/one"})
		if got := found(checks)["clock"]; got != want {
			t.Errorf("a clock that is off by %s: %s, want %s", step, got, want)
		}
	}
	hour := time.Now()
	back := memblob.New(func() time.Time { hour = hour.Add(-1100 * time.Millisecond); return hour })
	checks := doctor.Bucket(t.Context(), doctor.Options{Handles: []blob.Bucket{back}, Prefix: "doctor/one", Brief: true, Now: func() time.Time { return hour }})
	if got := found(checks)["clock"]; got != doctor.Failed {
		t.Errorf("a clock that goes back: %s, want failed", got)
	}
}

func TestPermissions(t *testing.T) {
	for name, c := range map[string]struct {
		denied func(blobtest.Call) bool
		check  string
		act    string
	}{
		"create": {func(c blobtest.Call) bool { return c.Op == blobtest.Put }, "access", "create: "},
		"list":   {func(c blobtest.Call) bool { return c.Op == blobtest.List }, "access", "list: "},
		"delete": {func(c blobtest.Call) bool { return c.Op == blobtest.Delete }, "access", "delete: "},
		"absent": {func(c blobtest.Call) bool { return path.Base(c.Key) == "absent" }, "absent objects", "read an object that is not there: "},
	} {
		t.Run(name, func(t *testing.T) {
			b := blobtest.NewFaults(memblob.New(time.Now), func(call blobtest.Call) blobtest.Fault {
				if c.denied(call) {
					return blobtest.Denied
				}
				return blobtest.None
			})
			checks := doctor.Bucket(t.Context(), doctor.Options{Handles: []blob.Bucket{b}, Prefix: "doctor/one"})
			for _, f := range checks {
				if f.Check == c.check && (!errors.Is(f.Err, blob.ErrDenied) || !bytes.HasPrefix([]byte(f.Seen), []byte(c.act))) {
					t.Errorf("%s: %s, want %s and ErrDenied", f.Check, f.Seen, c.act)
				}
			}
			want := doctor.Skipped
			if c.check != "access" {
				want = doctor.OK
			}
			if got := found(checks)["swap if unchanged"]; got != want {
				t.Errorf("swap: %s, want %s", got, want)
			}
		})
	}
}

// S3 answers 409 to some that race: nobody knows then who won.
func TestConflictsAreNoLies(t *testing.T) {
	for _, fault := range []blobtest.Fault{blobtest.Conflict409, blobtest.LostReply} {
		inner := memblob.New(time.Now)
		b := blobtest.NewFaults(inner, func(c blobtest.Call) blobtest.Fault {
			if c.Op == blobtest.Put && path.Base(path.Dir(c.Key)) == "create" && c.Bytes%3 == 0 {
				return fault
			}
			return blobtest.None
		})
		wantAll(t, doctor.Bucket(t.Context(), doctor.Options{Handles: []blob.Bucket{b}, Prefix: "doctor/one"}), doctor.OK)
		wantEmpty(t, inner)
	}
}

func TestInterrupted(t *testing.T) {
	inner := memblob.New(time.Now)
	ctx, cancel := context.WithCancel(t.Context())
	b := blobtest.NewFaults(inner, func(c blobtest.Call) blobtest.Fault {
		if path.Base(c.Key) == "swap" {
			cancel()
		}
		return blobtest.None
	})
	checks := doctor.Bucket(ctx, doctor.Options{Handles: []blob.Bucket{b}, Prefix: "doctor/one"})
	if err := doctor.Err(checks); !errors.Is(err, context.Canceled) {
		t.Errorf("Err() = %v, want it interrupted", err)
	}
	wantEmpty(t, inner)
}
