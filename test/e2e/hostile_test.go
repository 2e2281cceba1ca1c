//go:build unix

package e2e

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"
)

// raw sends bytes to a server and returns all that comes back. When the server answers,
// or at once when less is sent than was promised, it is told that no more follow.
func raw(t *testing.T, p *process, sent string, promised bool) string {
	t.Helper()
	conn := dial(t, p)
	conn.SetDeadline(time.Now().Add(20 * time.Second))
	io.WriteString(conn, sent) // the server may have had enough already
	in := bufio.NewReader(conn)
	if !promised {
		in.Peek(1) // to be told of a client's end is to give up what it asked
	}
	conn.(*net.TCPConn).CloseWrite()
	got, err := io.ReadAll(in)
	if errors.Is(err, os.ErrDeadlineExceeded) {
		t.Fatalf("the server did not hang up after %.200q", sent)
	}
	return string(got)
}

// statuses are the statuses of answers, one after the other.
func statuses(got string) (all []string) {
	for _, part := range strings.Split(got, "HTTP/1.1 ")[1:] {
		all = append(all, part[:3])
	}
	return all
}

// head is the beginning of a request with a back end's key.
func (p *process) head(method, target string) string {
	return fmt.Sprintf("%s %s HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer %s\r\nX-User-ID: ada\r\n", method, target, p.Backend)
}

// TestSmuggling sends requests that two readers of HTTP could read otherwise.
func TestSmuggling(t *testing.T) {
	p := start(t, folder(t))
	c := newClient(t, "ada")
	thread := c.create(t, p, "Hers")
	evil := newClient(t, "eve")
	theirs := evil.create(t, p, "Theirs")
	get := p.head("GET", threadsPath+"/"+theirs)
	post := p.head("POST", threadsPath)
	const (
		body    = `{"title":"one"}`
		hidden  = "GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n"
		chunked = "f\r\n" + body + "\r\n0\r\n\r\n"
	)
	for _, tt := range []struct{ name, sent, want string }{
		{"ada asks for what is eve's", get + "\r\n", "403"},
		{"a second user", get + "X-User-ID: eve\r\n\r\n", "400"},
		{"a second user in small letters", get + "x-user-id: eve\r\n\r\n", "400"},
		{"a user of the same name, almost", get + "X_User_ID: eve\r\n\r\n", "403"},
		{"a second key", get + "Authorization: Bearer " + p.Admin + "\r\n\r\n", "401"},
		{"another key beside it", p.head("GET", "/admin/users") + "X-API-Key: " + p.Admin + "\r\n\r\n", "403"},
		{"users joined by a comma", strings.Replace(get, "ada", "ada, eve", 1) + "\r\n", "403"},
		{"a space before the colon", get + "X-User-ID : eve\r\n\r\n", "400"},
		{"a line break in a value", get + "X-A: b\rX-User-ID: eve\r\n\r\n", "400"},
		{"a NUL in a value", get + "X-A: b\x00c\r\n\r\n", "400"},
		{"a NUL in a name", get + "X\x00-A: b\r\n\r\n", "400"},
		{"a value that goes on in the next line", get + "X-A: b\r\n X-User-ID: eve\r\n\r\n", "403"},
		{"a user that goes on in the next line", strings.Replace(get, "ada", "ada\r\n eve", 1) + "\r\n", "403"},
		{"two hosts", get + "Host: y\r\n\r\n", "400"},
		{"a length", post + "Content-Length: 15\r\n\r\n" + body + hidden, "201 200"},
		{"two lengths", post + "Content-Length: 15\r\nContent-Length: 4\r\n\r\n" + body + hidden, "400"},
		{"a length with a sign", post + "Content-Length: +15\r\n\r\n" + body + hidden, "400"},
		{"lengths joined by a comma", post + "Content-Length: 15, 15\r\n\r\n" + body + hidden, "400"},
		{"a length below zero", post + "Content-Length: -1\r\n\r\n" + body + hidden, "400"},
		{"a huge length", post + "Content-Length: 99999999999999999999\r\n\r\n" + body + hidden, "400"},
		{"chunks", post + "Transfer-Encoding: chunked\r\n\r\n" + chunked + hidden, "201"},
		{"chunks and a length", post + "Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n" + chunked + hidden, "201"},
		{"chunks twice", post + "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n" + chunked + hidden, "501"},
		{"chunks by another name", post + "Transfer-Encoding: xchunked\r\n\r\n" + chunked + hidden, "501"},
		{"chunks behind a tab", post + "Transfer-Encoding:\tchunked\r\n\r\n" + chunked + hidden, "201"},
		{"a chunk of no length", post + "Transfer-Encoding: chunked\r\n\r\nzz\r\n" + body + "\r\n0\r\n\r\n" + hidden, "400"},
		{"a chunk longer than it says", post + "Transfer-Encoding: chunked\r\n\r\n4\r\n" + body + "\r\n0\r\n\r\n" + hidden, "400"},
		{"a user in a trailer", strings.Replace(post, "X-User-ID: ada\r\n", "", 1) + "Transfer-Encoding: chunked\r\nTrailer: X-User-ID\r\n\r\n15\r\n" + body + "      \r\n0\r\nX-User-ID: eve\r\n\r\n", "400"},
		{"a method that overrides another", get + "X-HTTP-Method-Override: DELETE\r\n\r\n", "403"},
		{"no HTTP", "hello\r\n\r\n", "400"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got := raw(t, p, tt.sent, false)
			if answers := strings.Join(statuses(got), " "); answers != tt.want {
				t.Errorf("answers %s, want %s:\n%s", answers, tt.want, got)
			}
			if strings.Contains(got, "Theirs") {
				t.Errorf("it shows what is eve's:\n%s", got)
			}
		})
	}
	c.must(t, p, http.StatusOK, "GET", threadsPath+"/"+thread, nil)
	evil.must(t, p, http.StatusOK, "GET", threadsPath+"/"+theirs, nil)
}

// TestPaths asks for places by names that a proxy, a route and a key could read each
// in its own way.
func TestPaths(t *testing.T) {
	p := start(t, folder(t))
	c := newClient(t, "ada")
	thread := c.create(t, p, "Hers")
	message := c.post(t, p, thread, "Hers")
	escaped := strings.NewReplacer(":", "%3A").Replace
	for _, tt := range []struct{ name, target, want string }{
		{"a key as it is", threadsPath + "/" + thread, "200"},
		{"a key with encoded colons", threadsPath + "/" + escaped(thread), "200"},
		{"small hex digits", threadsPath + "/" + strings.ReplaceAll(thread, ":", "%3a"), "200"},
		{"letters encoded without need", strings.Replace(threadsPath, "threads", "%74hreads", 1) + "/" + thread, "200"},
		{"a message's encoded colons", messagesPath(thread) + "/" + escaped(message), "200"},
		{"colons encoded twice", threadsPath + "/" + strings.ReplaceAll(thread, ":", "%253A"), "404"},
		{"an encoded slash between key and messages", threadsPath + "/" + thread + "%2Fmessages", "404"},
		{"an encoded slash in the prefix", "/frontend%2Fv1/threads", "404"},
		{"an encoded slash behind the key", threadsPath + "/" + thread + "%2F", "404"},
		{"a slash behind the key", threadsPath + "/" + thread + "/", "404"},
		{"two slashes", "/frontend/v1//threads/" + thread, "404"},
		{"an encoded backslash", threadsPath + "/" + thread + "%5C", "404"},
		{"a dot", "/frontend/v1/./threads/" + thread, "404"},
		{"two dots", "/frontend/v1/threads/../threads/" + thread, "404"},
		{"two dots to the admin", "/frontend/../admin/users", "404"},
		{"two encoded dots to the admin", "/frontend/%2e%2e/admin/users", "404"},
		{"an encoded way to the admin", "/frontend/v1/..%2F..%2Fadmin/users", "404"},
		{"the admin, encoded", "/%61dmin/users", "403"},
		{"the admin and an encoded slash", "/admin%2Fusers", "403"},
		{"the admin behind two slashes", "//admin/users", "403"},
		{"the admin in capitals", "/ADMIN/users", "403"},
		{"an encoded question mark", threadsPath + "%3Flimit=1", "404"},
		{"a fragment", threadsPath + "#x", "404"},
		{"an encoded NUL", threadsPath + "/" + thread + "%00", "404"},
		{"an encoded line break", threadsPath + "/" + thread + "%0d%0aX-A:b", "404"},
		{"bytes that are no UTF-8", threadsPath + "/%ff%fe", "404"},
		{"half an escape", threadsPath + "/%3", "400"},
		{"no escape", threadsPath + "/%zz", "400"},
		{"a long key", threadsPath + "/t:" + strings.Repeat("1", 50_000), "404"},
		{"a long name", threadsPath + "/id:" + strings.Repeat("x", 129), "404"},
		{"a long message key", messagesPath(thread) + "/" + strings.Repeat("%3A", 15_000), "404"},
		{"many segments", "/frontend/v1" + strings.Repeat("/x", 20_000), "404"},
		{"a path over the limit", threadsPath + "/" + strings.Repeat("x", 100_000), "431"},
		{"a long query", threadsPath + "?x=" + strings.Repeat("x", 50_000), "200"},
		{"a long cursor", threadsPath + "?after=" + strings.Repeat("x", 50_000), "400"},
		{"an address before the path", "http://elsewhere.example" + threadsPath + "/" + thread, "200"},
		{"a star", "*", "403"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got := raw(t, p, p.head("GET", tt.target)+"\r\n", false)
			if answers := strings.Join(statuses(got), " "); answers != tt.want {
				t.Errorf("%.100s: %s, want %s:\n%.500s", tt.target, answers, tt.want, got)
			}
			if tt.want == "200" && strings.Contains(tt.target, thread) && !strings.Contains(got, "Hers") {
				t.Errorf("%s is not the thread:\n%s", tt.target, got)
			}
		})
	}
}

// TestHalfABody has requests stop where a part of them could pass for the whole.
func TestHalfABody(t *testing.T) {
	db := folder(t)
	p := start(t, db)
	c := newClient(t, "ada")
	thread := c.create(t, p, "Hers")
	key := c.post(t, p, thread, "kept")
	zipped := func(text string) string {
		var b bytes.Buffer
		z := gzip.NewWriter(&b)
		io.WriteString(z, text)
		z.Close()
		return b.String()
	}
	one := `{"body":"half"}`
	many := `{"messages":[{"body":"half"},{"body":"half"}]}`
	made := `{"title":"half","messages":[{"body":"half"}]}`
	line := `{"thread":{"id":"half","author":"ada","title":"half","created_ts":1},"messages":[]}`
	for _, place := range []struct{ name, head, text string }{
		{"post", p.head("POST", messagesPath(thread)), one},
		{"batch", p.head("POST", messagesPath(thread)+"/batch"), many},
		{"create", p.head("POST", threadsPath), made},
		{"edit", p.head("PUT", messagesPath(thread)+"/"+key), one},
		{"retitle", p.head("PUT", threadsPath+"/"+thread), `{"title":"half"}`},
		{"patch", p.head("PATCH", threadsPath+"/"+thread), `{"title":"half"}`},
		{"import", strings.Replace(p.head("POST", "/admin/import"), p.Backend, p.Admin, 1), line},
	} {
		pressed := zipped(place.text)
		for name, sent := range map[string]string{
			"all of the JSON, less than the length": fmt.Sprintf("Content-Length: %d\r\n\r\n%s", len(place.text)+1, place.text),
			"half of the JSON":                      fmt.Sprintf("Content-Length: %d\r\n\r\n%s", len(place.text), place.text[:len(place.text)/2]),
			"nothing of the body":                   fmt.Sprintf("Content-Length: %d\r\n\r\n", len(place.text)),
			"no last chunk":                         fmt.Sprintf("Transfer-Encoding: chunked\r\n\r\n%x\r\n%s\r\n", len(place.text), place.text),
			"no end of the last chunk":              fmt.Sprintf("Transfer-Encoding: chunked\r\n\r\n%x\r\n%s\r\n0\r\n", len(place.text), place.text),
			"gzip without its end":                  fmt.Sprintf("Content-Encoding: gzip\r\nContent-Length: %d\r\n\r\n%s", len(pressed)-8, pressed[:len(pressed)-8]),
			"gzip that is cut off":                  fmt.Sprintf("Content-Encoding: gzip\r\nContent-Length: %d\r\n\r\n%s", len(pressed), pressed[:len(pressed)-1]),
		} {
			t.Run(place.name+", "+name, func(t *testing.T) {
				for _, status := range statuses(raw(t, p, place.head+sent, true)) {
					if status != "400" && (place.name != "import" || status != "200") { // whose lines are answered each
						t.Errorf("status %s, want 400", status)
					}
				}
			})
		}
	}
	p.stop(t)
	if v := verify(t, db); v.Threads != 1 || v.Messages != 1 {
		t.Errorf("%d threads and %d messages are stored, want 1 and 1", v.Threads, v.Messages)
	}
	p = start(t, db)
	got := c.must(t, p, http.StatusOK, "GET", threadsPath+"/"+thread, nil)
	if !bytes.Contains(got.body, []byte(`"title":"Hers"`)) {
		t.Errorf("the thread was changed: %s", got.body)
	}
	for _, m := range c.all(t, p, thread) {
		if m.text() != "kept" {
			t.Errorf("message %s is %s", m.Key, m.Body)
		}
	}
}
