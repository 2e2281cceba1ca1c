//go:build unix

package e2e

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// cluster is processes on one folder. Each place may get another process at any time.
type cluster struct {
	places []atomic.Pointer[process]
}

// startCluster starts n servers on a folder.
func startCluster(t *testing.T, n int, db string, flags ...string) *cluster {
	t.Helper()
	c := &cluster{places: make([]atomic.Pointer[process], n)}
	for i := range n {
		c.places[i].Store(start(t, db, flags...))
	}
	return c
}

func (c *cluster) at(i int) *process { return c.places[i%len(c.places)].Load() }

const (
	loaders     = 6
	writeWithin = 30 * time.Second // to be acknowledged, by whichever process
	maxWrites   = 5000             // of one loader
)

// load is clients that write as fast as they are answered, each one thing at a time:
// to a thread of its own and to one that all share. Every write has an Idempotency-Key
// and is repeated, anywhere, until it is acknowledged.
type load struct {
	cluster *cluster
	client  *client // the owner of all threads
	shared  string
	own     []string
	patient time.Duration // with one attempt

	acks   atomic.Int64
	stop   context.CancelFunc
	ended  sync.WaitGroup
	mu     sync.Mutex
	acked  map[string]string // text to key
	sent   map[string]string // text to thread
	wrong  []string
	others map[string]int // what was answered instead, how often
}

// startLoad makes the threads and starts to write.
func startLoad(t *testing.T, c *cluster, patient time.Duration) *load {
	t.Helper()
	l := &load{
		cluster: c,
		client:  newClient(t, "ada"),
		patient: patient,
		acked:   map[string]string{},
		sent:    map[string]string{},
		others:  map[string]int{},
	}
	l.client.http.Transport.(*http.Transport).MaxIdleConnsPerHost = loaders
	l.shared = l.client.create(t, c.at(0), "shared")
	for i := range loaders {
		l.own = append(l.own, l.client.create(t, c.at(i), fmt.Sprint("of loader ", i)))
	}
	l.resume(t)
	return l
}

// resume lets the loaders write.
func (l *load) resume(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	l.stop = cancel
	begun := l.acks.Load()
	for i := range loaders {
		l.ended.Go(func() {
			for n := 0; n < maxWrites && ctx.Err() == nil; n++ {
				thread := l.own[i]
				if n%2 == 0 {
					thread = l.shared
				}
				l.write(i, thread, fmt.Sprintf("%d-%d-%d", i, begun, n))
			}
		})
	}
	t.Cleanup(l.finish)
}

// finish lets every write that was begun come to its end.
func (l *load) finish() {
	l.stop()
	l.ended.Wait()
}

// write posts one message until it is acknowledged.
func (l *load) write(loader int, thread, text string) {
	l.mu.Lock()
	l.sent[text] = thread
	l.mu.Unlock()
	ctx, cancel := context.WithTimeout(context.Background(), writeWithin)
	defer cancel()
	for at := loader; ; at++ {
		if l.attempt(ctx, l.cluster.at(at), thread, text) {
			return
		}
		select {
		case <-ctx.Done():
			l.note(func() { l.wrong = append(l.wrong, "never acknowledged: "+text) })
			return
		case <-time.After(time.Duration(rand.IntN(5)) * time.Millisecond):
		}
	}
}

// attempt sends a write once. It reports whether there is nothing more to do for it.
func (l *load) attempt(ctx context.Context, p *process, thread, text string) bool {
	ctx, cancel := context.WithTimeout(ctx, l.patient)
	defer cancel()
	a, err := l.client.call(ctx, p, http.MethodPost, messagesPath(thread), textBody(text), "Idempotency-Key", text)
	switch {
	case err != nil:
		l.note(func() { l.others["no answer"]++ })
		return false
	case a.status == http.StatusCreated:
		l.note(func() { l.acked[text] = a.key() })
		l.acks.Add(1)
		return true
	case a.status == http.StatusServiceUnavailable:
		l.note(func() { l.others[a.code()]++ })
		return false
	}
	l.note(func() { l.wrong = append(l.wrong, fmt.Sprintf("%s: status %d, %s", text, a.status, a.body)) })
	return true
}

func (l *load) note(what func()) {
	l.mu.Lock()
	defer l.mu.Unlock()
	what()
}

// more waits until n more writes are acknowledged.
func (l *load) more(t *testing.T, n int) {
	t.Helper()
	want := l.acks.Load() + int64(n)
	eventually(t, writeWithin, fmt.Sprintf("%d acknowledgements", n), func() bool { return l.acks.Load() >= want })
}

// snapshot is what is acknowledged now.
func (l *load) snapshot() map[string]string {
	l.mu.Lock()
	defer l.mu.Unlock()
	out := make(map[string]string, len(l.acked))
	for text, key := range l.acked {
		out[text] = key
	}
	return out
}

// threads is every thread that is written to.
func (l *load) threads() []string { return append([]string{l.shared}, l.own...) }

// check reads everything through one process: each acknowledged write is there once,
// under its key and in its thread, nothing else is, and what one loader wrote is in
// the order in which it did.
func (l *load) check(t *testing.T, p *process) {
	t.Helper()
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, w := range l.wrong {
		t.Error(w)
	}
	found := map[string]bool{}
	for _, thread := range l.threads() {
		last := map[int][2]int{}
		for _, m := range l.client.all(t, p, thread) {
			text := m.text()
			switch {
			case l.sent[text] != thread:
				t.Errorf("%s in %s was not sent there", m.Body, thread)
			case found[text]:
				t.Errorf("%s is there twice", text)
			case l.acked[text] != "" && l.acked[text] != m.Key:
				t.Errorf("%s was acknowledged as %s and is %s", text, l.acked[text], m.Key)
			}
			found[text] = true
			var loader int
			var at [2]int
			if _, err := fmt.Sscanf(text, "%d-%d-%d", &loader, &at[0], &at[1]); err != nil {
				t.Errorf("text %q: %v", text, err)
			}
			if before, ok := last[loader]; ok && (at[0] < before[0] || at[0] == before[0] && at[1] <= before[1]) {
				t.Errorf("in %s %s comes after %d-%d-%d", thread, text, loader, before[0], before[1])
			}
			last[loader] = at
		}
	}
	for text := range l.acked {
		if !found[text] {
			t.Errorf("%s was acknowledged and is lost", text)
		}
	}
	t.Logf("%d acknowledged; answered instead: %v", len(l.acked), l.others)
}
