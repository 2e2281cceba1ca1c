package httpapi

import (
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/bobbindb/bobbin/shared/chat"
)

func TestLimiter(t *testing.T) {
	now := time.Unix(1, 0)
	l := newLimiter(Rate{PerSecond: 0.25, Burst: 2}, 10)
	id := bucketID{user: "u1"}
	for n, want := range []bool{true, true, false} {
		if err := l.take(id, now); (err == nil) != want {
			t.Errorf("call %d: %v", n, err)
		}
	}
	var e *chat.Error
	if err := l.take(id, now.Add(time.Second)); !errors.As(err, &e) || e.Retry != 3*time.Second {
		t.Errorf("after a second: %#v, want to come again after 3 s", err)
	}
	if err := l.take(id, now.Add(4*time.Second)); err != nil {
		t.Errorf("after four: %v", err)
	}
}

func TestLimiterBurst(t *testing.T) {
	for _, c := range []struct {
		rate Rate
		want int
	}{{Rate{PerSecond: 0.5}, 1}, {Rate{PerSecond: 2.5}, 3}, {Rate{PerSecond: 9, Burst: 4}, 4}} {
		if got := newLimiter(c.rate, 1).burst; got != c.want {
			t.Errorf("%+v: burst %d, want %d", c.rate, got, c.want)
		}
	}
	if newLimiter(Rate{Burst: 5}, 1) != nil {
		t.Error("no rate limits something")
	}
}

// Memory is bounded: whoever was idle longest is forgotten.
func TestLimiterForgets(t *testing.T) {
	now := time.Unix(1, 0)
	l := newLimiter(Rate{PerSecond: 1, Burst: 1}, 2)
	call := func(user string) bool { return l.take(bucketID{user: user}, now) == nil }
	got := []bool{call("a"), call("b"), call("a"), call("c"), call("a"), call("b")}
	want := []bool{true, true, false, true, false, true} // c takes b's place
	for i := range want {
		if got[i] != want[i] {
			t.Errorf("call %d: %t, want %t", i, got[i], want[i])
		}
	}
	if len(l.byID) != 2 || l.recent.Len() != 2 {
		t.Errorf("%d and %d buckets, want 2", len(l.byID), l.recent.Len())
	}
}

func TestLimiterAtOnce(t *testing.T) {
	now := time.Unix(1, 0)
	l := newLimiter(Rate{PerSecond: 1, Burst: 50}, 4)
	var wg sync.WaitGroup
	passed := make(chan bool, 400)
	for range 4 {
		wg.Go(func() {
			for range 100 {
				passed <- l.take(bucketID{user: "u"}, now) == nil
			}
		})
	}
	wg.Wait()
	close(passed)
	n := 0
	for ok := range passed {
		if ok {
			n++
		}
	}
	if n != 50 {
		t.Errorf("%d calls passed, want 50", n)
	}
}

func BenchmarkLimiter(b *testing.B) {
	l := newLimiter(Rate{PerSecond: 1e6}, maxBuckets)
	ids := make([]bucketID, 1000)
	for i := range ids {
		ids[i].user = fmt.Sprint("user", i)
	}
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		for n := 0; pb.Next(); n++ {
			l.take(ids[n%len(ids)], time.Now())
		}
	})
}
