//go:build unix

package e2e

import (
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// deletedConversations writes a file of deleted threads, and of as many that stay with a
// deleted message each.
func deletedConversations(t *testing.T, threads, messages int) string {
	t.Helper()
	var b strings.Builder
	for n := range 2 * threads {
		deleted := ""
		if n%2 == 0 {
			deleted = `,"deleted":1700000000000000009`
		}
		fmt.Fprintf(&b, `{"thread":{"id":"t%d","author":"user%d","title":"t","created_ts":1700000000000000000%s},"messages":[`, n, n%7, deleted)
		for m := range messages {
			dead := ""
			if m == 1 {
				b.WriteByte(',')
				dead = `,"deleted":1700000000000000009`
			} else if m > 0 {
				b.WriteByte(',')
			}
			fmt.Fprintf(&b, `{"id":"m%d","author":"ada","created_ts":%d,"body":%d%s}`, m, 1700000000000000001+m, m, dead)
		}
		b.WriteString("]}\n")
	}
	path := filepath.Join(t.TempDir(), "in.ndjson")
	if err := os.WriteFile(path, []byte(b.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// stats is what a server counts.
type stats struct {
	Threads    int
	Messages   int
	Partitions []struct {
		Deleted int `json:"deleted_threads"`
		Dead    int `json:"deleted_messages"`
	}
}

func (p *process) stats(t *testing.T, c *client) (s stats) {
	t.Helper()
	a := c.must(t, p, http.StatusOK, http.MethodGet, "/admin/stats", nil, "Authorization", "Bearer "+p.Admin)
	if err := json.Unmarshal(a.body, &s); err != nil || len(s.Partitions) != 1 {
		t.Fatalf("stats: %v\n%s", err, a.body)
	}
	return s
}

// TestKillDuringPurge kills processes that purge, two at a time, wherever they are: the
// store is whole each time, and in the end what was due is gone and nothing else.
func TestKillDuringPurge(t *testing.T) {
	const threads, messages = 40, 700 // three commands for each thread, and for its messages
	db := folder(t)
	succeed(t, "import", "--db", db, deletedConversations(t, threads, messages))
	c := newClient(t, "ada")
	total := func(p *process) int {
		s := p.stats(t, c)
		return s.Messages + s.Partitions[0].Dead
	}
	const stays = threads * (messages - 1)
	left, broken := 2*threads*messages, 0
	for range rounds(8, 3) {
		one, two := start(t, db, "--purge-every", "1ms"), start(t, db, "--purge-every", "1ms")
		now := left
		eventually(t, time.Minute, "something is purged", func() bool {
			now = total(two)
			return now < left || now == stays
		})
		if now > stays {
			broken++
		}
		one.kill()
		two.kill()
		verify(t, db)
		left = now
	}
	t.Logf("processes were killed in the middle of a purge %d times; then %d messages were left", broken, left)
	if broken == 0 {
		t.Error("no purge was broken off")
	}
	p := start(t, db, "--purge-every", "10ms")
	eventually(t, time.Minute, "all that is due is purged", func() bool {
		s := p.stats(t, c)
		return s.Partitions[0].Deleted == 0 && s.Partitions[0].Dead == 0 && s.Messages == stays
	})
	if s := p.stats(t, c); s.Threads != threads {
		t.Errorf("%d threads are left, want %d", s.Threads, threads)
	}
	p.stop(t)
	if v := verify(t, db); v.Threads != threads || v.Messages != stays {
		t.Errorf("verify counts %d threads and %d messages, want %d and %d", v.Threads, v.Messages, threads, stays)
	}
	if out := succeed(t, "purge", "--db", db, "--dry-run", "--json"); !strings.Contains(out, `"threads": 0`) || !strings.Contains(out, `"messages": 0`) {
		t.Errorf("a dry run after it: %s", out)
	}
}
