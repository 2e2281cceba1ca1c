//go:build unix

package e2e

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/http"
	"path/filepath"
	"syscall"
	"testing"
	"time"
)

// TestKillRounds kills one of three processes after another, under load.
func TestKillRounds(t *testing.T) {
	db := folder(t)
	c := startCluster(t, 3, db)
	l := startLoad(t, c, 10*time.Second)
	for round := range rounds(20, 5) {
		l.more(t, 20+rand.IntN(60))
		c.at(round).kill()
		c.places[round%3].Store(start(t, db))
	}
	l.more(t, 50)
	l.finish()
	for i := range c.places {
		l.check(t, c.at(i))
	}
	want := len(l.snapshot())
	if v := verify(t, db); v.Messages != want {
		t.Errorf("verify counts %d messages beside the processes, want %d", v.Messages, want)
	}
	for i := range c.places {
		c.at(i).stop(t)
	}
	if v := verify(t, db); v.Messages != want {
		t.Errorf("verify counts %d messages, want %d", v.Messages, want)
	}
}

// position is what status says about the log.
type position struct {
	Seq        uint64 `json:"seq"`
	Checkpoint uint64 `json:"checkpoint_seq"`
	Floor      uint64 `json:"floor"`
}

func (p *process) position(t *testing.T, c *client) position {
	t.Helper()
	var s struct{ Partitions []position }
	a := c.must(t, p, http.StatusOK, http.MethodGet, "/admin/status", nil, "Authorization", "Bearer "+p.Admin)
	if err := json.Unmarshal(a.body, &s); err != nil || len(s.Partitions) != 1 {
		t.Fatalf("status: %v\n%s", err, a.body)
	}
	return s.Partitions[0]
}

// logged reports whether the log has a commit as an object of its own.
func logged(t *testing.T, db string, seq uint64) bool {
	t.Helper()
	found, err := filepath.Glob(filepath.Join(db, "branches", "*", "p000", "log", fmt.Sprintf("%020d", seq)))
	if err != nil {
		t.Fatal(err)
	}
	return len(found) > 0
}

// TestStopPastFloor stops a process for longer than its proofs are fresh and the floor
// stands, while the janitors of the others delete the log that it knew.
func TestStopPastFloor(t *testing.T) {
	db := folder(t)
	flags := []string{"--window", "2s", "--grace", "3s", "--floor-age", "2s", "--proof-age", "200ms"}
	c := startCluster(t, 3, db, flags...)
	l := startLoad(t, c, 2*time.Second)
	other := newClient(t, "bob")
	thread := other.create(t, c.at(0), "through the thawed")
	n := rounds(2, 1)
	for round := range n {
		stopped, running := c.at(round), c.at(round+1)
		l.more(t, 30+rand.IntN(30))
		stopped.signal(t, syscall.SIGSTOP)
		at := running.position(t, other)
		l.more(t, 70)
		l.finish()
		c.at(round + 2).stop(t) // with a checkpoint, which the floor follows
		c.places[(round+2)%3].Store(start(t, db, flags...))
		eventually(t, 30*time.Second, "the janitors of the others delete what the stopped process knew", func() bool {
			return !logged(t, db, at.Seq+1)
		})
		if floor := running.position(t, other).Floor; floor <= at.Seq+1 {
			t.Fatalf("a process stopped at %d; the floor is %d and the commit after is gone", at.Seq, floor)
		}
		before := l.snapshot()
		stopped.signal(t, syscall.SIGCONT)
		l.resume(t)
		if round%2 == 0 {
			l.find(t, stopped, before)
		}
		other.post(t, stopped, thread, fmt.Sprint("round ", round))
		l.find(t, stopped, before)
		l.more(t, 50)
	}
	l.finish()
	for i := range c.places {
		l.check(t, c.at(i))
		if got := other.all(t, c.at(i), thread); len(got) != n {
			t.Errorf("%d messages went through thawed processes, want %d", len(got), n)
		}
	}
	for i := range c.places {
		c.at(i).stop(t)
	}
	if v, want := verify(t, db), len(l.snapshot())+n; v.Messages != want {
		t.Errorf("verify counts %d messages, want %d", v.Messages, want)
	}
}

// find reads everything through one process, which must see all of what is given.
func (l *load) find(t *testing.T, p *process, want map[string]string) {
	t.Helper()
	found := map[string]string{}
	for _, thread := range l.threads() {
		for _, m := range l.client.all(t, p, thread) {
			found[m.text()] = m.Key
		}
	}
	for text, key := range want {
		if found[text] != key {
			t.Errorf("%s was acknowledged as %s; a strong read finds %q", text, key, found[text])
		}
	}
}

// TestKillDuringStart kills a process that is not yet done with coming back from being
// killed.
func TestKillDuringStart(t *testing.T) {
	db := folder(t)
	c := startCluster(t, 1, db)
	l := startLoad(t, c, 10*time.Second)
	usual := 50 * time.Millisecond
	n := rounds(10, 4)
	for round := range n {
		l.more(t, 50+rand.IntN(100))
		c.at(0).kill()
		// The delays reach from nothing to a little more than a start takes.
		delay := time.Duration(round) * usual * 12 / time.Duration(10*n)
		half := launch(t, db)
		select {
		case <-half.exited:
			t.Fatalf("serve ended at its start: %s\n%s", half.cmd.ProcessState, half.log())
		case <-time.After(delay):
		}
		half.kill()
		began := time.Now()
		c.places[0].Store(start(t, db))
		usual = time.Since(began)
	}
	l.more(t, 50)
	l.finish()
	l.check(t, c.at(0))
	if left, err := filepath.Glob(filepath.Join(db, ".work", "*.lock")); err != nil || len(left) != 1 {
		t.Errorf("working directories %v, %v; want that of the one process there is", left, err)
	}
	c.at(0).stop(t)
	if v, want := verify(t, db), len(l.snapshot()); v.Messages != want {
		t.Errorf("verify counts %d messages, want %d", v.Messages, want)
	}
}

// TestGracefulStop ends a process under load as an operator does.
func TestGracefulStop(t *testing.T) {
	db := folder(t)
	c := startCluster(t, 1, db)
	l := startLoad(t, c, 10*time.Second)
	for range rounds(5, 2) {
		l.more(t, 100)
		c.at(0).stop(t)
		c.places[0].Store(start(t, db))
	}
	l.more(t, 10)
	l.finish()
	l.check(t, c.at(0))
	at := c.at(0).position(t, l.client)
	c.at(0).stop(t)
	c.places[0].Store(start(t, db))
	if got := c.at(0).position(t, l.client); got.Seq != at.Seq || got.Checkpoint != at.Seq {
		t.Errorf("after a stop and a start the log ends at %d with a checkpoint at %d, want both at %d", got.Seq, got.Checkpoint, at.Seq)
	}
	c.at(0).stop(t)
	verify(t, db)
}

// TestStopDrainsInBounds stops a process with a request that never ends.
func TestStopDrainsInBounds(t *testing.T) {
	db := folder(t)
	p := start(t, db, "--drain", "500ms")
	c := newClient(t, "ada")
	thread := c.create(t, p, "drained")
	key := c.post(t, p, thread, "acknowledged")
	conn := dial(t, p)
	fmt.Fprintf(conn, "POST %s HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer %s\r\nX-User-ID: ada\r\nContent-Length: 1000\r\n\r\n{",
		messagesPath(thread), p.Backend)
	p.signal(t, syscall.SIGTERM)
	began := time.Now()
	p.exit(t, 10*time.Second)
	t.Logf("ended after %s", time.Since(began))
	p = start(t, db)
	if got := c.all(t, p, thread); len(got) != 1 || got[0].Key != key {
		t.Errorf("messages %v, want %s", got, key)
	}
	p.stop(t)
	verify(t, db)
}

// TestSecondProcess has two processes on one folder see what the other does.
func TestSecondProcess(t *testing.T) {
	db := folder(t)
	c := newClient(t, "ada")
	one := start(t, db)
	thread := c.create(t, one, "of both")
	two := start(t, db)
	if one.Backend != two.Backend || one.Admin != two.Admin || one.Frontend != two.Frontend || one.Signing != two.Signing {
		t.Error("two processes on one folder have different keys")
	}
	var want []string
	both := []*process{one, two}
	for i := range 20 {
		want = append(want, c.post(t, both[i%2], thread, fmt.Sprint(i)))
		got := c.list(t, both[(i+1)%2], thread, 1, "")
		if got.Messages[0].Key != want[i] || got.Pagination.Total != i+1 {
			t.Fatalf("right after message %d the other process shows %s of %d, want %s", i, got.Messages[0].Key, got.Pagination.Total, want[i])
		}
	}
	one.stop(t)
	want = append(want, c.post(t, two, thread, "alone"))
	got := c.all(t, two, thread)
	for i, m := range got {
		if i >= len(want) || m.Key != want[i] {
			t.Errorf("message %d is %s, want it among %d", i, m.Key, len(want))
		}
	}
	two.stop(t)
	if v := verify(t, db); v.Messages != len(want) {
		t.Errorf("verify counts %d messages, want %d", v.Messages, len(want))
	}
}
