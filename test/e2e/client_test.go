//go:build unix

package e2e

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"testing"
	"time"
)

// client calls servers as one user.
type client struct {
	http *http.Client
	user string
}

func newClient(t *testing.T, user string) *client {
	t.Helper()
	transport := &http.Transport{MaxIdleConnsPerHost: 4}
	t.Cleanup(transport.CloseIdleConnections)
	return &client{&http.Client{Transport: transport, Timeout: 20 * time.Second}, user}
}

// answer is what a server said.
type answer struct {
	status int
	header http.Header
	body   []byte
}

// code is the stable code of an error.
func (a *answer) code() string {
	var e struct{ Code string }
	json.Unmarshal(a.body, &e) // "" for what is no error
	return e.Code
}

// text is what an error says.
func (a *answer) text() string {
	var e struct{ Error string }
	json.Unmarshal(a.body, &e) // "" for what is no error
	return e.Error
}

// key is the key of what was made.
func (a *answer) key() string {
	var k struct{ Key string }
	json.Unmarshal(a.body, &k) // "" for an error
	return k.Key
}

// call sends one request with a backend's key. Header names and values alternate.
func (c *client) call(ctx context.Context, p *process, method, path string, body []byte, header ...string) (answer, error) {
	r, err := http.NewRequestWithContext(ctx, method, p.URL+path, bytes.NewReader(body))
	if err != nil {
		return answer{}, err
	}
	r.Header.Set("Authorization", "Bearer "+p.Backend)
	r.Header.Set("X-User-ID", c.user)
	for i := 0; i < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	resp, err := c.http.Do(r)
	if err != nil {
		return answer{}, err
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	return answer{resp.StatusCode, resp.Header, b}, err
}

// must sends a request that must be answered with a status.
func (c *client) must(t *testing.T, p *process, want int, method, path string, body []byte, header ...string) answer {
	t.Helper()
	a, err := c.call(t.Context(), p, method, path, body, header...)
	if err != nil || a.status != want {
		t.Fatalf("%s %s: status %d, %v, want %d\n%.500s", method, path, a.status, err, want, a.body)
	}
	return a
}

const threadsPath = "/frontend/v1/threads"

func messagesPath(thread string) string {
	return threadsPath + "/" + url.PathEscape(thread) + "/messages"
}

// create makes a thread.
func (c *client) create(t *testing.T, p *process, title string) (thread string) {
	t.Helper()
	body := fmt.Appendf(nil, `{"title":%q}`, title)
	a := c.must(t, p, http.StatusCreated, http.MethodPost, threadsPath, body)
	return a.key()
}

// textBody is a message's payload.
func textBody(text string) []byte { return fmt.Appendf(nil, `{"body":{"text":%q}}`, text) }

// post posts a message that must be taken.
func (c *client) post(t *testing.T, p *process, thread, text string) (key string) {
	t.Helper()
	a := c.must(t, p, http.StatusCreated, http.MethodPost, messagesPath(thread), textBody(text))
	return a.key()
}

// message is a message as far as tests look at it.
type message struct {
	Key     string          `json:"key"`
	ID      string          `json:"id"`
	Author  string          `json:"author"`
	Created int64           `json:"created_ts"`
	Role    string          `json:"role"`
	Body    json.RawMessage `json:"body"`
}

// text is the text in a body that textBody made.
func (m *message) text() string {
	var b struct{ Text string }
	json.Unmarshal(m.Body, &b) // "" for another body
	return b.Text
}

// page is one page of messages.
type page struct {
	Thread     string    `json:"thread"`
	Messages   []message `json:"messages"`
	Pagination struct {
		Before    string `json:"before_anchor"`
		After     string `json:"after_anchor"`
		HasBefore bool   `json:"has_before"`
		HasAfter  bool   `json:"has_after"`
		Count     int    `json:"count"`
		Total     int    `json:"total"`
	} `json:"pagination"`
}

// list reads one page. The cursor is "", or like "before=<key>".
func (c *client) list(t *testing.T, p *process, thread string, limit int, cursor string) page {
	t.Helper()
	a := c.must(t, p, http.StatusOK, http.MethodGet, fmt.Sprintf("%s?limit=%d&%s", messagesPath(thread), limit, cursor), nil)
	var out page
	if err := json.Unmarshal(a.body, &out); err != nil {
		t.Fatalf("page: %v\n%.500s", err, a.body)
	}
	if out.Pagination.Count != len(out.Messages) {
		t.Fatalf("count = %d on a page of %d", out.Pagination.Count, len(out.Messages))
	}
	return out
}

// maxPages ends the reading of a thread whose pages never do.
const maxPages = 2000

// all reads a thread backwards, page by page, while others may post to it. The result
// is oldest first.
func (c *client) all(t *testing.T, p *process, thread string) []message {
	t.Helper()
	var pages [][]message
	cursor, total, read := "", 0, 0
	for range maxPages {
		got := c.list(t, p, thread, 1000, cursor)
		if len(pages) == 0 {
			total = got.Pagination.Total
		}
		pages = append(pages, got.Messages)
		read += len(got.Messages)
		if !got.Pagination.HasBefore {
			if total != read {
				t.Errorf("total of %s = %d, but it has %d messages", thread, total, read)
			}
			return reversed(pages, read)
		}
		cursor = "before=" + url.QueryEscape(got.Pagination.Before)
	}
	t.Fatalf("%s has no end after %d pages", thread, maxPages)
	return nil
}

func reversed(pages [][]message, total int) []message {
	out := make([]message, 0, total)
	for i := len(pages) - 1; i >= 0; i-- {
		out = append(out, pages[i]...)
	}
	return out
}
