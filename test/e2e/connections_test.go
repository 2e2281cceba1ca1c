//go:build unix

package e2e

import (
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// dial connects to a server. The test's end closes the connection.
func dial(t *testing.T, p *process) net.Conn {
	t.Helper()
	conn, err := net.Dial("tcp", strings.TrimPrefix(p.URL, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return conn
}

// earlyCloses is how many connections end before their time, and how many at once.
const (
	earlyCloses = 10_000
	closersOnce = 50
)

// TestEarlyClose has clients go away at every point of a request.
func TestEarlyClose(t *testing.T) {
	db := folder(t)
	p := start(t, db)
	c := newClient(t, "ada")
	thread, theirs := c.create(t, p, "undisturbed"), c.create(t, p, "cut off")
	c.post(t, p, thread, "first")
	before, known := usageOf(p)

	acked := map[string]string{"first": ""}
	closers := closeEarly(p, theirs, rounds(earlyCloses, 1000))
	for n, done := 0, false; !done; n++ {
		text := fmt.Sprint("meanwhile ", n)
		acked[text] = c.post(t, p, thread, text)
		select {
		case err := <-closers:
			if err != nil {
				t.Fatal(err)
			}
			done = true
		default:
		}
	}

	if known {
		c.http.CloseIdleConnections()
		eventually(t, 20*time.Second, "files and memory return to what they were", func() bool {
			after, _ := usageOf(p)
			return after.files <= before.files+20 && after.memory <= before.memory+128<<20
		})
	}
	p.stop(t) // what the server still did for those who left is done, or never will be
	p = start(t, db)
	undisturbed(t, c.all(t, p, thread), acked)
	seen := map[string]bool{}
	for _, m := range c.all(t, p, theirs) {
		if seen[m.text()] || !strings.HasPrefix(m.text(), "cut off ") {
			t.Errorf("%s is there twice, or nobody's", m.Body)
		}
		seen[m.text()] = true
	}
	t.Logf("%d posts acknowledged meanwhile; %d of those cut off were stored", len(acked), len(seen))
	p.stop(t)
	if v := verify(t, db); v.Messages != len(acked)+len(seen) {
		t.Errorf("verify counts %d messages, want %d and %d", v.Messages, len(acked), len(seen))
	}
}

func undisturbed(t *testing.T, got []message, acked map[string]string) {
	t.Helper()
	if len(got) != len(acked) {
		t.Errorf("%d messages, want %d", len(got), len(acked))
	}
	for _, m := range got {
		if key, ok := acked[m.text()]; !ok || key != "" && key != m.Key {
			t.Errorf("%s is %s, want %q", m.Key, m.Body, key)
		}
	}
}

// closeEarly opens n connections and closes each at another point. The channel gets
// the first error of connecting, or nil at the end.
func closeEarly(p *process, thread string, n int) <-chan error {
	done := make(chan error, 1)
	go func() {
		var all sync.WaitGroup
		var mu sync.Mutex
		var failed error
		for from := range closersOnce {
			all.Go(func() {
				for i := from; i < n; i += closersOnce {
					if err := closeOne(p, thread, i); err != nil {
						mu.Lock()
						failed = err
						mu.Unlock()
						return
					}
				}
			})
		}
		all.Wait()
		done <- failed
	}()
	return done
}

// closeOne sends a part of a post, or all of it, and does not wait for the answer.
func closeOne(p *process, thread string, i int) error {
	conn, err := net.Dial("tcp", strings.TrimPrefix(p.URL, "http://"))
	if err != nil {
		return fmt.Errorf("connection %d: %w", i, err)
	}
	defer conn.Close()
	body := textBody(fmt.Sprint("cut off ", i))
	head := fmt.Sprintf("POST %s HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer %s\r\nX-User-ID: ada\r\nContent-Length: %d\r\n\r\n",
		messagesPath(thread), p.Backend, len(body))
	whole := head + string(body)
	cut := [...]int{0, 10, len(head) - 2, len(head), len(head) + len(body)/2, len(whole), len(whole)}[i%7]
	conn.Write([]byte(whole[:cut])) // the server may have had enough already
	if i%2 == 0 {
		conn.(*net.TCPConn).SetLinger(0) // a reset in place of an orderly end
	}
	return nil
}

// usage is what a process holds.
type usage struct {
	files  int
	memory int64 // bytes in RAM
}

// usageOf reports false where the system does not tell.
func usageOf(p *process) (usage, bool) {
	if runtime.GOOS != "linux" {
		return usage{}, false
	}
	proc := filepath.Join("/proc", strconv.Itoa(p.cmd.Process.Pid))
	files, err := os.ReadDir(filepath.Join(proc, "fd"))
	if err != nil {
		return usage{}, false
	}
	statm, err := os.ReadFile(filepath.Join(proc, "statm"))
	if err != nil {
		return usage{}, false
	}
	var size, resident int64
	if _, err := fmt.Sscan(string(statm), &size, &resident); err != nil {
		return usage{}, false
	}
	return usage{len(files), resident * int64(os.Getpagesize())}, true
}

// TestBadInput sends what no client should.
func TestBadInput(t *testing.T) {
	p := start(t, folder(t))
	c := newClient(t, "ada")
	thread := c.create(t, p, "bad input")
	messages := messagesPath(thread)
	const limit = 1 << 20
	filled := func(n int) string {
		const frame = `{"body":""}`
		return `{"body":"` + strings.Repeat("x", n-len(frame)) + `"}`
	}
	deep := func(n int) string { return `{"body":` + strings.Repeat("[", n) + strings.Repeat("]", n) + `}` }
	for _, tt := range []struct {
		name, method, path, body string
		status                   int
		text                     string
		header                   []string
	}{
		{"not UTF-8", "POST", messages, "{\"body\":\"\xff\"}", 400, "invalid message payload", nil},
		{"not UTF-8 in a title", "POST", threadsPath, "{\"title\":\"\xc3\x28\"}", 400, "invalid thread payload", nil},
		{"a byte below the limit", "POST", messages, filled(limit - 1), 201, "", nil},
		{"at the limit", "POST", messages, filled(limit), 201, "", nil},
		{"a byte over the limit", "POST", messages, filled(limit + 1), 413, "payload too large", nil},
		{"over the limit with a wrong end", "POST", messages, strings.Repeat("[", limit+1), 413, "payload too large", nil},
		{"deep", "POST", messages, deep(9_000), 201, "", nil},
		{"too deep", "POST", messages, deep(10_000), 400, "invalid message payload", nil},
		{"far too deep", "POST", messages, deep(500_000), 400, "invalid message payload", nil},
		{"null body", "POST", messages, `{"body":null}`, 400, "validation errors: body: cannot be empty", nil},
		{"no body", "POST", messages, `{}`, 400, "validation errors: body: cannot be empty", nil},
		{"null", "POST", messages, `null`, 400, "invalid message payload", nil},
		{"null title", "POST", threadsPath, `{"title":null}`, 400, "validation errors: title: cannot be empty", nil},
		{"empty title", "POST", threadsPath, `{"title":""}`, 400, "validation errors: title: cannot be empty", nil},
		{"nothing", "POST", messages, ``, 400, "invalid message payload", nil},
		{"nothing for a thread", "POST", threadsPath, ``, 400, "invalid thread payload", nil},
		{"cut off", "POST", messages, `{"body":`, 400, "invalid message payload", nil},
		{"two values", "POST", messages, `{"body":1}{"body":2}`, 400, "invalid message payload", nil},
		{"duplicate names", "POST", messages, `{"body":1,"body":{"a":1,"a":2}}`, 201, "", nil},
		{"not gzip", "POST", messages, `{"body":1}`, 400, "invalid message payload", []string{"Content-Encoding", "gzip"}},
		{"a zero byte in a user", "GET", threadsPath + "?author=a%00b", "", 400, "author contains invalid characters", []string{"X-User-ID", ""}},
		{"a long user", "GET", threadsPath, "", 400, "author too long", []string{"X-User-ID", strings.Repeat("u", 129)}},
		{"no user", "GET", threadsPath, "", 400, "author required for backend requests", []string{"X-User-ID", ""}},
		{"a wrong key", "GET", threadsPath, "", 401, "unauthorized", []string{"Authorization", "Bearer " + strings.Repeat("x", 10_000)}},
		{"a malformed thread", "GET", threadsPath + "/t%3Ax/messages", "", 404, "thread not found", nil},
		{"an unknown thread", "GET", threadsPath + "/t%3A100000000000000000000001/messages", "", 403, "access denied: not thread owner or participant", nil},
		{"limit 0", "GET", messages + "?limit=0", "", 400, "invalid pagination: limit must be at least 1", nil},
		{"limit 1001", "GET", messages + "?limit=1001", "", 400, "invalid pagination: limit cannot exceed 1000", nil},
		{"two cursors", "GET", messages + "?before=a&after=b", "", 400, "invalid pagination: only one of anchor, before, after can be specified", nil},
		{"a broken cursor", "GET", messages + "?before=%00", "", 400, "invalid pagination: unknown anchor", nil},
		{"an unknown method", "BREW", threadsPath, "", 404, "not found", nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got := c.must(t, p, tt.status, tt.method, tt.path, []byte(tt.body), tt.header...)
			if text := got.text(); text != tt.text {
				t.Errorf("error %q, want %q", text, tt.text)
			}
			if kind := got.header.Get("Content-Type"); kind != "application/json" {
				t.Errorf("Content-Type: %s", kind)
			}
		})
	}
	t.Run("a huge header", func(t *testing.T) {
		got := c.must(t, p, http.StatusRequestHeaderFieldsTooLarge, "GET", threadsPath, nil, "X-Filler", strings.Repeat("x", 1<<20))
		t.Logf("%s", got.body)
	})
	t.Run("what was taken is kept as it came", func(t *testing.T) { kept(t, c.all(t, p, thread)) })
	t.Run("still healthy", func(t *testing.T) { c.must(t, p, http.StatusOK, "GET", "/healthz", nil) })
	p.stop(t)
}

// kept checks the messages that TestBadInput left.
func kept(t *testing.T, got []message) {
	t.Helper()
	want := []string{
		`"` + strings.Repeat("x", 1<<20-1-len(`{"body":""}`)) + `"`,
		`"` + strings.Repeat("x", 1<<20-len(`{"body":""}`)) + `"`,
		strings.Repeat("[", 9_000) + strings.Repeat("]", 9_000),
		`{"a":1,"a":2}`,
	}
	if len(got) != len(want) {
		t.Fatalf("%d messages were stored, want %d", len(got), len(want))
	}
	for i, m := range got {
		if string(m.Body) != want[i] {
			t.Errorf("body %d has %d bytes, %.60s, want %d, %.60s", i, len(m.Body), m.Body, len(want[i]), want[i])
		}
	}
}
