//go:build unix

package e2e

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"sync"
	"testing"
)

// TestPagers reads a thread from both ends at once, again and again, while messages are
// posted and deleted: whoever pages sees every message that was there all the time
// exactly once, in order, and none twice.
func TestPagers(t *testing.T) {
	p := start(t, folder(t))
	c := newClient(t, "ada")
	c.http.Transport.(*http.Transport).MaxIdleConnsPerHost = 8
	thread := c.create(t, p, "busy")
	var stays, goes []string
	for i := range 300 {
		key := c.post(t, p, thread, fmt.Sprint("old ", i))
		if i%3 == 1 {
			goes = append(goes, key)
		} else {
			stays = append(stays, key)
		}
	}
	done := make(chan struct{})
	var changes sync.WaitGroup
	changes.Go(func() {
		defer close(done)
		for i, key := range goes {
			c.post(t, p, thread, fmt.Sprint("new ", i))
			c.must(t, p, http.StatusOK, "DELETE", messagesPath(thread)+"/"+url.PathEscape(key), nil)
		}
	})
	walks := 0
	for going := true; going; walks++ {
		select {
		case <-done:
			going = false // one more walk, when all is quiet
		default:
		}
		backwards := c.pagesOf(t, p, thread, 7)
		seenOnce(t, "backwards", backwards, stays)
		first := backwards[0]
		forwards := append([]message{first}, c.forwardsBy(t, p, thread, first.Key, 7)...)
		seenOnce(t, "forwards", forwards, stays)
	}
	changes.Wait()
	last := c.pagesOf(t, p, thread, 7)
	if want := len(stays) + len(goes); len(last) != want {
		t.Errorf("%d messages in the end, want %d", len(last), want)
	}
	t.Logf("%d walks there and back", walks)
}

// forwardsBy reads a thread from a message on in small pages.
func (c *client) forwardsBy(t *testing.T, p *process, thread, after string, limit int) []message {
	t.Helper()
	var out []message
	for range maxPages {
		got := c.list(t, p, thread, limit, "after="+url.QueryEscape(after))
		out = append(out, got.Messages...)
		if !got.Pagination.HasAfter {
			return out
		}
		after = got.Pagination.After
	}
	t.Fatalf("%s has no end after %d pages", thread, maxPages)
	return nil
}

// seenOnce checks that a walk is in order, shows nothing twice, and shows every key that
// was there all the time.
func seenOnce(t *testing.T, how string, walk []message, stays []string) {
	t.Helper()
	seen := map[string]bool{}
	for i, m := range walk {
		if i > 0 && walk[i-1].Key >= m.Key {
			t.Fatalf("%s: %s comes after %s", how, m.Key, walk[i-1].Key)
		}
		seen[m.Key] = true
	}
	for _, key := range stays {
		if !seen[key] {
			t.Fatalf("%s: %s was not seen, in a walk of %d", how, key, len(walk))
		}
	}
}

// threadPage is a page of threads as far as tests look at it.
type threadPage struct {
	Threads    []struct{ Key string }
	Pagination struct {
		Before    string `json:"before_anchor"`
		After     string `json:"after_anchor"`
		HasBefore bool   `json:"has_before"`
		HasAfter  bool   `json:"has_after"`
	}
}

func (c *client) threads(t *testing.T, p *process, query string) threadPage {
	t.Helper()
	a := c.must(t, p, http.StatusOK, http.MethodGet, threadsPath+"?"+query, nil)
	var out threadPage
	if err := json.Unmarshal(a.body, &out); err != nil {
		t.Fatalf("page: %v\n%.500s", err, a.body)
	}
	return out
}

// older walks the caller's threads from the newest on. The result is how often each was
// seen, and the newest one, from where newer begins.
func (c *client) older(t *testing.T, p *process, sortBy string) (seen map[string]int, newest string) {
	t.Helper()
	seen = map[string]int{}
	query := "limit=7&sort_by=" + sortBy
	for page := range maxPages {
		got := c.threads(t, p, query)
		if page == 0 {
			newest = got.Pagination.Before
		}
		for _, thread := range got.Threads {
			seen[thread.Key]++
		}
		if !got.Pagination.HasAfter {
			return seen, newest
		}
		query = "limit=7&sort_by=" + sortBy + "&after=" + url.QueryEscape(got.Pagination.After)
	}
	t.Fatalf("the threads have no end after %d pages", maxPages)
	return nil, ""
}

// newer walks the caller's threads from one on to the newest.
func (c *client) newer(t *testing.T, p *process, sortBy, from string) (seen map[string]int) {
	t.Helper()
	seen = map[string]int{}
	for range maxPages {
		got := c.threads(t, p, "limit=7&sort_by="+sortBy+"&before="+url.QueryEscape(from))
		for _, thread := range got.Threads {
			seen[thread.Key]++
		}
		if !got.Pagination.HasBefore {
			return seen
		}
		from = got.Pagination.Before
	}
	t.Fatalf("the threads have no end after %d pages", maxPages)
	return nil
}

// TestThreadPagers walks a user's threads while some are made, deleted and posted to.
//
// By creation, whoever walks sees every thread that was there all the time exactly once,
// in both directions. By last update a thread moves to the front when it is updated, and
// a cursor with it. So a walk to older ones sees every thread that was not updated
// meanwhile, at least once: again when the walk's own cursor moved, as what was seen lies
// behind it then. One that was updated before the walk came to it may lie before the
// place where the walk began, and is seen by a walk from there to newer ones.
func TestThreadPagers(t *testing.T) {
	p := start(t, folder(t))
	c := newClient(t, "ada")
	c.http.Transport.(*http.Transport).MaxIdleConnsPerHost = 8
	var quiet, busy, goes []string
	for i := range 90 {
		key := c.create(t, p, fmt.Sprint("thread ", i))
		switch i % 3 {
		case 0:
			quiet = append(quiet, key)
		case 1:
			busy = append(busy, key)
		case 2:
			goes = append(goes, key)
		}
	}
	oldest := quiet[0]
	done := make(chan struct{})
	var changes sync.WaitGroup
	changes.Go(func() {
		defer close(done)
		for i, key := range goes {
			for j := range 5 {
				c.post(t, p, busy[(7*i+11*j)%len(busy)], fmt.Sprint("update ", i, j))
			}
			c.create(t, p, fmt.Sprint("new ", i))
			c.must(t, p, http.StatusOK, "DELETE", threadsPath+"/"+url.PathEscape(key), nil)
		}
	})
	walks := 0
	for going := true; going; walks++ {
		select {
		case <-done:
			going = false // one more walk, when all is quiet
		default:
		}
		seen, _ := c.older(t, p, "created_ts")
		counted(t, "older by creation", seen, slices.Concat(quiet, busy), 1)
		seen = c.newer(t, p, "created_ts", oldest)
		counted(t, "newer by creation", seen, slices.Concat(quiet[1:], busy), 1)
		seen, newest := c.older(t, p, "updated_ts")
		counted(t, "older by update", seen, quiet, maxPages)
		for key, n := range c.newer(t, p, "updated_ts", newest) {
			seen[key] += n
		}
		counted(t, "by update, both ways", seen, slices.Concat(quiet, busy), maxPages)
	}
	changes.Wait()
	t.Logf("%d walks", walks)
}

// counted checks that a walk saw each of the keys, and nothing too often.
func counted(t *testing.T, how string, seen map[string]int, keys []string, most int) {
	t.Helper()
	for _, key := range keys {
		if seen[key] == 0 {
			t.Fatalf("%s: %s was not seen among %d", how, key, len(seen))
		}
	}
	for key, n := range seen {
		if n > most {
			t.Fatalf("%s: %s was seen %d times", how, key, n)
		}
	}
}
