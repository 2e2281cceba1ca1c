// Package browser calls a store from pages in a real browser, as the JavaScript SDKs
// do: with fetch, from another origin.
package browser

import (
	"bytes"
	"context"
	_ "embed"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/spf13/pflag"

	"github.com/bobbindb/bobbin/shared/app"
	"github.com/bobbindb/bobbin/shared/httpapi"
)

//go:embed testdata/page.html
var pageText []byte

const (
	frontendKey = "of-the-pages"
	signingKey  = "signs-users"
	user        = "ada"
)

// told is what a page is told by its own origin.
type told struct {
	Store     string `json:"store"`
	Limited   string `json:"limited"` // a store that lets one call through
	Key       string `json:"key"`
	User      string `json:"user"`
	Signature string `json:"signature"`
	Allowed   bool   `json:"allowed"`
	Next      string `json:"next"` // the page to go to afterwards
}

// result is what a page could read of one answer.
type result struct {
	Name    string            `json:"name"`
	Status  int               `json:"status"`
	Headers map[string]string `json:"headers"`
	Body    json.RawMessage   `json:"body"`
	Blocked bool              `json:"blocked"`
}

// site is an origin with the page on it.
type site struct {
	*httptest.Server
	told    told
	results chan []byte
}

func newSite(t *testing.T) *site {
	t.Helper()
	s := &site{results: make(chan []byte, 1)}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		w.Write(pageText)
	})
	mux.HandleFunc("GET /told", func(w http.ResponseWriter, _ *http.Request) { json.NewEncoder(w).Encode(&s.told) })
	mux.HandleFunc("POST /result", func(_ http.ResponseWriter, r *http.Request) {
		text, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		s.results <- text
	})
	s.Server = httptest.NewServer(mux)
	t.Cleanup(s.Close)
	return s
}

// serveStore serves an empty store in this process. The result is its origin.
func serveStore(t *testing.T, args ...string) string {
	t.Helper()
	set := pflag.NewFlagSet("serve", pflag.ContinueOnError)
	app.AddFlags(set, app.StoreOptions, app.MakeOptions, app.TuningOptions, app.ServeOptions, app.LogOptions)
	args = append(args, "--db", t.TempDir(), "--addr", "127.0.0.1:0", "--frontend-keys", frontendKey, "--signing-keys", signingKey)
	if err := set.Parse(args); err != nil {
		t.Fatal(err)
	}
	cfg, err := app.Load(set, func(string) (string, bool) { return "", false })
	if err != nil {
		t.Fatal(err)
	}
	s, err := app.Start(t.Context(), cfg, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Stop(context.WithoutCancel(t.Context())); err != nil {
			t.Error(err)
		}
	})
	return s.URL
}

// browse opens a page in a browser of its own, which ends with the test.
func browse(t *testing.T, program, url string) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	args := []string{
		"--headless=new", "--user-data-dir=" + t.TempDir(), "--no-first-run", "--disable-gpu", "--disable-dev-shm-usage",
		"--disable-background-networking", "--disable-component-update", "--disable-sync", "--disable-extensions",
		"--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
	}
	if os.Geteuid() == 0 {
		args = append(args, "--no-sandbox") // which root cannot have
	}
	said := new(bytes.Buffer)
	cmd := exec.CommandContext(ctx, program, append(args, url)...)
	cmd.Stdout, cmd.Stderr, cmd.WaitDelay = said, said, 10*time.Second
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cancel()
		cmd.Wait() // it was killed
		if t.Failed() {
			t.Logf("the browser said:\n%s", said)
		}
	})
}

// await is what the page of a site found out.
func (s *site) await(t *testing.T) []result {
	t.Helper()
	var text []byte
	select {
	case text = <-s.results:
	case <-time.After(2 * time.Minute):
		t.Fatal("the page has told nothing for two minutes")
	}
	var told struct {
		Results []result `json:"results"`
		Failure string   `json:"failure"`
	}
	if err := json.Unmarshal(text, &told); err != nil {
		t.Fatalf("%v: %s", err, text)
	}
	if told.Failure != "" {
		t.Errorf("the page failed: %s", told.Failure)
	}
	return told.Results
}

// want is what a page should be able to read.
type want struct {
	name    string
	status  int    // 0 when the browser blocks the answer
	body    string // a part of it
	headers string // the exposed ones that it must have beside X-Request-Id
}

const fromStore = "Bobbin-Position Server-Timing"

var conversation = []want{
	{"create a thread", 201, `{"key":"t:`, "ETag Location " + fromStore},
	{"create it again", 201, `{"key":"t:`, "ETag Location " + fromStore},
	{"read it with the other key header", 200, `"title":"From a page","author":"ada"`, "ETag " + fromStore},
	{"post a message", 201, `{"key":"t:`, "ETag Location " + fromStore},
	{"read it where it was written", 200, `"body":{"text":"grüß Gott 🦀"}`, "ETag " + fromStore},
	{"read what is known", 304, "", "ETag " + fromStore},
	{"edit it", 200, `{"key":"t:`, "ETag " + fromStore},
	{"edit what it was", 412, `"error":"precondition failed"`, fromStore},
	{"patch the thread", 200, `"title":"Patched"`, "ETag " + fromStore},
	{"list the messages", 200, `"body":{"text":"edited"}`, fromStore},
	{"delete the message", 200, `{"key":"t:`, fromStore},
	{"read what was deleted", 404, `"error":"message not found"`, fromStore},
	{"list the threads", 200, `"count":1,"total":1`, fromStore},
	{"look at the head of the list", 200, "", fromStore},
}

var refusals = []want{
	{"an unknown key", 401, `"error":"unauthorized"`, ""},
	{"a wrong signature", 401, `"error":"invalid signature"`, ""},
	{"a key that is let in nowhere", 403, `"error":"forbidden"`, ""},
	{"no such route", 404, `"error":"not found"`, ""},
	{"no such thread", 403, `"error":"access denied: not thread owner or participant"`, fromStore},
	{"no body", 400, `"error":"validation errors: title: cannot be empty"`, "Server-Timing"},
	{"a header that is not allowed", 0, "", ""},
	{"often", 200, `"total":0`, fromStore},
	{"too often", 429, `"error":"rate limit exceeded"`, "Retry-After"},
}

func compare(t *testing.T, got []result, wants []want) {
	t.Helper()
	if len(got) != len(wants) {
		t.Errorf("%d results, want %d", len(got), len(wants))
	}
	for i := range min(len(got), len(wants)) {
		g, w := got[i], wants[i]
		if g.Name != w.name || g.Status != w.status || g.Blocked != (w.status == 0) || !strings.Contains(string(g.Body), w.body) {
			t.Errorf("%s: %d, blocked %t, %s, want %s: %d, %s", g.Name, g.Status, g.Blocked, g.Body, w.name, w.status, w.body)
		}
		if w.status == 0 {
			continue
		}
		readable := map[string]bool{"X-Request-Id": true}
		for name := range strings.FieldsSeq(w.headers) {
			readable[name] = true
		}
		for name := range readable {
			if g.Headers[name] == "" {
				t.Errorf("%s: %s cannot be read", g.Name, name)
			}
		}
		for name, value := range g.Headers {
			if !readable[name] {
				t.Errorf("%s: %s is %q, want none", g.Name, name, value)
			}
		}
	}
}

// A page of an allowed origin talks to a store, and may read what the contract exposes;
// a page of another origin gets nothing, and nothing that it asks for is done.
func TestPages(t *testing.T) {
	program := os.Getenv("CHROMIUM")
	if program == "" {
		t.Skip("CHROMIUM names no browser; make browser does")
	}
	good, bad := newSite(t), newSite(t)
	store := serveStore(t, "--allowed-origins", "https://elsewhere.example,"+good.URL)
	limited := serveStore(t, "--allowed-origins", "*", "--rate", "0.001", "--burst", "1")
	bad.told = told{
		Store: store, Limited: store, Key: frontendKey, User: user,
		Signature: httpapi.SignUntil([]byte(signingKey), user, time.Now().Add(time.Hour)),
	}
	good.told = bad.told
	good.told.Limited, good.told.Allowed, good.told.Next = limited, true, bad.URL

	browse(t, program, good.URL)
	got := good.await(t)
	compare(t, got, append(conversation[:len(conversation):len(conversation)], refusals...))
	if len(got) > 1 && (got[0].Headers["X-Request-Id"] != "page-1" || !bytes.Equal(got[0].Body, got[1].Body)) {
		t.Errorf("created %s as %s, and again %s", got[0].Body, got[0].Headers["X-Request-Id"], got[1].Body)
	}
	elsewhere := bad.await(t)
	if len(elsewhere) != len(refusals)+1 {
		t.Errorf("%d results from an origin that is not allowed, want %d", len(elsewhere), len(refusals)+1)
	}
	for _, r := range elsewhere {
		if !r.Blocked || r.Status != 0 || len(r.Headers) > 0 {
			t.Errorf("from an origin that is not allowed, %s: %d, %s, want it blocked", r.Name, r.Status, r.Body)
		}
	}
	if total := threads(t, store, good.told.Signature); total != 1 {
		t.Errorf("%d threads in the end, want the one of the allowed origin", total)
	}
}

// threads is how many threads the user has.
func threads(t *testing.T, store, signature string) int {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, store+"/frontend/v1/threads", nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer "+frontendKey)
	r.Header.Set("X-User-ID", user)
	r.Header.Set("X-User-Signature", signature)
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	var page struct{ Pagination struct{ Total int } }
	if err := json.NewDecoder(answer.Body).Decode(&page); err != nil {
		t.Fatal(err)
	}
	return page.Pagination.Total
}
