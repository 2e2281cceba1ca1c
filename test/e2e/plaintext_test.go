//go:build unix

package e2e

import (
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/bobbindb/bobbin/test/plaintext"
)

// secret is in every text that this test sends, and short enough to be seen in part of one.
const secret = "s3cr3t-t3xt"

// No text is in the store's folder, in the cache, in the log at its most talkative, or in
// what a crash prints: not as it was sent over HTTP, not as it was imported, and not as it
// was refused.
func TestNoPlaintextAnywhere(t *testing.T) {
	db, cache := folder(t), t.TempDir()
	talkative := []string{"--log-level", "debug", "--cache-dir", cache}
	p := start(t, db, talkative...)
	c := newClient(t, "ada")
	const threads = "/frontend/v1/threads"
	for n := range 3 {
		body := fmt.Sprintf(`{"id":"t%d","title":"%s","slug":"%s","metadata":{"%s":"%s"},"messages":[{"id":"m","body":"%s","metadata":{"k":"%s"}}]}`,
			n, secret, secret, secret, secret, strings.Repeat(secret+" ", 200), secret)
		c.must(t, p, 201, http.MethodPost, threads, []byte(body), "Idempotency-Key", fmt.Sprint("key-", n))
		thread := threads + fmt.Sprintf("/id:t%d", n)
		c.must(t, p, 201, http.MethodPost, thread+"/messages", []byte(`{"body":{"text":"`+secret+`"}}`))
		c.must(t, p, 201, http.MethodPost, thread+"/messages/batch", []byte(`{"messages":[{"body":"`+secret+`"},{"body":"`+secret+`"}]}`))
		c.must(t, p, 200, http.MethodPut, thread+"/messages/id:m", []byte(`{"body":"`+secret+` edited"}`))
		c.must(t, p, 200, http.MethodPatch, thread, []byte(`{"title":"`+secret+` 2","slug":"`+secret+`-2","metadata":{"x":"`+secret+`"}}`))
		c.must(t, p, 200, http.MethodGet, thread+"/messages", nil)
		c.must(t, p, 200, http.MethodGet, threads+"?slug="+secret+"-2", nil)
		c.must(t, p, 400, http.MethodPost, thread+"/messages", []byte(`{"body":"`+secret+`",`))
		c.must(t, p, 400, http.MethodPost, threads, []byte(`{"title":["`+secret+`"]}`))
		c.must(t, p, 413, http.MethodPost, thread+"/messages", []byte(`{"body":"`+strings.Repeat(secret, 100_000)+`"}`))
		c.must(t, p, 409, http.MethodPost, threads, []byte(`{"id":"t0","title":"`+secret+` other"}`))
	}
	lines := filepath.Join(t.TempDir(), "in.ndjson")
	var conversations strings.Builder
	for n := range 200 {
		fmt.Fprintf(&conversations, `{"thread":{"id":"i%d","author":"user%d","title":"%s","created_ts":1700000000000000000},`+
			`"messages":[{"id":"m","author":"bob","created_ts":1700000000000000001,"body":"%s"}]}`+"\n", n, n%7, secret, strings.Repeat(secret, n))
	}
	if err := os.WriteFile(lines, []byte(conversations.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	succeed(t, "import", "--url", p.URL, "--admin-key", p.Admin, lines)
	p.stop(t) // with a checkpoint
	imported := run(t, "import", "--db", db, "--cache-dir", cache, "--tenant", "acme", lines)
	if imported.code != 0 {
		t.Fatalf("import: %d %s", imported.code, imported.stderr)
	}
	q := start(t, db, talkative...)
	c.must(t, q, 201, http.MethodPost, threads+"/id:t0/messages", []byte(`{"body":"`+secret+` after the checkpoint"}`))
	if text := string(c.must(t, q, 200, http.MethodGet, threads+"/id:t0/messages", nil).body); !strings.Contains(text, secret) {
		t.Errorf("the store does not have what was sent: %s", text)
	}
	q.signal(t, syscall.SIGQUIT) // every goroutine's stack, as a crash prints it
	q.exit(t, exitWithin)

	s, err := plaintext.NewScanner(secret)
	if err != nil {
		t.Fatal(err)
	}
	var found []string
	for _, dir := range []string{db, cache} {
		in, err := s.Folder(dir)
		if err != nil {
			t.Fatal(err)
		}
		found = append(found, in...)
	}
	for _, log := range []string{p.stderr, q.stderr} {
		body, err := os.ReadFile(log)
		if err != nil {
			t.Fatal(err)
		}
		found = append(found, s.Scan(filepath.Base(log), body)...)
	}
	found = append(found, s.Scan("output of import", []byte(imported.stdout+imported.stderr))...)
	for _, where := range found {
		t.Errorf("plaintext in %.300s", where)
	}
	if s.Tables == 0 || s.Records == 0 || s.Segments == 0 || s.Frames == 0 {
		t.Errorf("looked through %+v, want tables, segments and frames among it", s)
	}
	verify(t, db)
}
