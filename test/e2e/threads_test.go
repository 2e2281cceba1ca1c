//go:build unix

package e2e

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"
)

// importLines imports lines through a server. The result is how many messages each
// line added.
func importLines(t *testing.T, c *client, p *process, lines []byte) (added int) {
	t.Helper()
	var z bytes.Buffer
	w := gzip.NewWriter(&z)
	w.Write(lines) // a bytes.Buffer takes everything
	w.Close()
	a := c.must(t, p, http.StatusOK, http.MethodPost, "/admin/import", z.Bytes(),
		"Authorization", "Bearer "+p.Admin, "Content-Encoding", "gzip")
	results := 0
	for line := range bytes.Lines(a.body) {
		var r struct {
			Added int
			Error string
		}
		if err := json.Unmarshal(line, &r); err != nil || r.Error != "" {
			t.Fatalf("import: %v, %s", err, line)
		}
		added += r.Added
		results++
	}
	if want := bytes.Count(lines, []byte("\n")); results != want {
		t.Fatalf("import of %d lines has %d results", want, results)
	}
	return added
}

// longThread is one message more than a hundred full pages.
const longThread = 100_001

// TestLongThread pages through a thread of many messages, from both ends.
func TestLongThread(t *testing.T) {
	db := folder(t)
	p := start(t, db)
	c := newClient(t, "ada")
	c.http.Timeout = time.Minute
	n := rounds(longThread, 10_001)
	line := []byte(`{"thread":{"id":"long","author":"ada","title":"Long","created_ts":1000},"messages":[`)
	for i := range n {
		if i > 0 {
			line = append(line, ',')
		}
		line = fmt.Appendf(line, `{"id":"m%d","author":"ada","created_ts":%d,"body":{"n":%d}}`, i, 1000+i, i)
	}
	line = append(line, "]}\n"...)
	began := time.Now()
	if added := importLines(t, c, p, line); added != n {
		t.Fatalf("import added %d messages, want %d", added, n)
	}
	t.Logf("imported %d messages in %s", n, time.Since(began))
	if again := importLines(t, c, p, line); again != 0 {
		t.Errorf("importing again added %d messages, want 0", again)
	}

	backwards := c.all(t, p, "id:long")
	numbered(t, backwards, n)
	forwards := c.forwards(t, p, "id:long", backwards[0].Key)
	if !slices.EqualFunc(forwards, backwards[1:], func(a, b message) bool { return a.Key == b.Key }) {
		t.Errorf("pages forwards have %d messages after the first, not the same as backwards", len(forwards))
	}
	first := c.list(t, p, "id:long", 10, "after="+url.QueryEscape(backwards[0].Key))
	if got := first.Pagination; got.Total != n || !got.HasBefore || !got.HasAfter {
		t.Errorf("pagination after the first is %+v", got)
	}

	quickest := time.Hour
	for range 20 {
		began := time.Now()
		c.list(t, p, "id:long", 50, "")
		quickest = min(quickest, time.Since(began))
	}
	if quickest > 100*time.Millisecond {
		t.Errorf("the newest page takes %s", quickest)
	}
	t.Logf("the newest page takes %s", quickest)
	p.stop(t)
	if v := verify(t, db); v.Messages != n {
		t.Errorf("verify counts %d messages, want %d", v.Messages, n)
	}
}

// numbered checks that messages have the bodies 0 to n-1, in order.
func numbered(t *testing.T, got []message, n int) {
	t.Helper()
	if len(got) != n {
		t.Errorf("%d messages, want %d", len(got), n)
	}
	for i, m := range got {
		if want := fmt.Sprintf(`{"n":%d}`, i); string(m.Body) != want {
			t.Fatalf("message %d is %s, want %s", i, m.Body, want)
		}
	}
}

// forwards reads a thread from a message on, page by page.
func (c *client) forwards(t *testing.T, p *process, thread, after string) []message {
	t.Helper()
	var out []message
	for range maxPages {
		got := c.list(t, p, thread, 1000, "after="+url.QueryEscape(after))
		out = append(out, got.Messages...)
		if !got.Pagination.HasAfter {
			return out
		}
		after = got.Pagination.After
	}
	t.Fatalf("%s has no end after %d pages", thread, maxPages)
	return nil
}

// conversations reads the first lines of what people really said to each other.
func conversations(t *testing.T, n int) []string {
	t.Helper()
	file, err := os.Open(filepath.Join("..", "..", "..", "shared", "data", "chitchat.ndjson.gz"))
	if errors.Is(err, fs.ErrNotExist) {
		t.Skip("no conversations here: ", err)
	}
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	z, err := gzip.NewReader(file)
	if err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(z)
	lines.Buffer(nil, 16<<20)
	var out []string
	for len(out) < n && lines.Scan() {
		out = append(out, lines.Text())
	}
	if err := lines.Err(); err != nil || len(out) != n {
		t.Fatalf("%d conversations, %v, want %d", len(out), err, n)
	}
	return out
}

// conversation is a line as far as tests look at it.
type conversation struct {
	Thread struct {
		ID, Author, Title string
	}
	Messages []message
}

// TestConversations imports real conversations, reads them page by page, and exports
// them as they were.
func TestConversations(t *testing.T) {
	lines := conversations(t, rounds(200, 40))
	text := strings.Join(lines, "\n") + "\n"
	db := folder(t)
	file := filepath.Join(t.TempDir(), "in.ndjson")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	succeed(t, "import", "--db", db, "--json", file)
	first := succeed(t, "export", "--db", db)
	sameConversations(t, first, text)

	var again struct{ Lines, Imported, Messages, Failed int }
	if err := json.Unmarshal([]byte(succeed(t, "import", "--db", db, "--json", file)), &again); err != nil {
		t.Fatal(err)
	}
	if again.Lines != len(lines) || again.Imported != len(lines) || again.Messages != 0 || again.Failed != 0 {
		t.Errorf("importing again: %+v", again)
	}
	p := start(t, db)
	c := newClient(t, "ada")
	if added := importLines(t, c, p, []byte(text)); added != 0 {
		t.Errorf("importing again through the server added %d messages", added)
	}
	for _, line := range lines {
		var want conversation
		if err := json.Unmarshal([]byte(line), &want); err != nil {
			t.Fatal(err)
		}
		c.user = want.Thread.Author
		sameMessages(t, c.pagesOf(t, p, "id:"+want.Thread.ID, 7), want.Messages)
	}
	p.stop(t)
	if second := succeed(t, "export", "--db", db); second != first {
		t.Error("an export after importing again differs")
	}
	verify(t, db)
}

// pagesOf reads a thread backwards in small pages.
func (c *client) pagesOf(t *testing.T, p *process, thread string, limit int) []message {
	t.Helper()
	got := c.list(t, p, thread, limit, "")
	out := got.Messages
	for range maxPages {
		if !got.Pagination.HasBefore {
			return out
		}
		got = c.list(t, p, thread, limit, "before="+url.QueryEscape(got.Pagination.Before))
		out = append(slices.Clone(got.Messages), out...)
	}
	t.Fatalf("%s has no end after %d pages", thread, maxPages)
	return nil
}

func sameMessages(t *testing.T, got, want []message) {
	t.Helper()
	if len(got) != len(want) {
		t.Errorf("%d messages, want %d", len(got), len(want))
		return
	}
	for i, m := range got {
		w := want[i]
		if m.ID != w.ID || m.Author != w.Author || m.Role != w.Role || m.Created != w.Created || string(m.Body) != string(w.Body) {
			t.Errorf("message %d is %+v, want %+v", i, m, w)
		}
	}
}

// sameConversations compares files of one conversation a line as JSON, whatever the
// order of lines.
func sameConversations(t *testing.T, got, want string) {
	t.Helper()
	have, need := byID(t, got), byID(t, want)
	if len(have) != len(need) {
		t.Errorf("%d conversations, want %d", len(have), len(need))
	}
	for _, id := range slices.Sorted(maps.Keys(need)) {
		if !reflect.DeepEqual(have[id], need[id]) {
			t.Errorf("conversation %s is %v\nwant %v", id, have[id], need[id])
		}
	}
}

func byID(t *testing.T, text string) map[string]any {
	t.Helper()
	out := map[string]any{}
	for line := range strings.Lines(text) {
		decoder := json.NewDecoder(strings.NewReader(line))
		decoder.UseNumber()
		var c map[string]any
		if err := decoder.Decode(&c); err != nil {
			t.Fatalf("%v: %.200s", err, line)
		}
		thread, ok := c["thread"].(map[string]any)
		if !ok || out[fmt.Sprint(thread["id"])] != nil {
			t.Fatalf("no thread, or one that was there already: %.200s", line)
		}
		out[fmt.Sprint(thread["id"])] = c
	}
	return out
}
