package app_test

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/spf13/pflag"

	"github.com/bobbindb/bobbin/shared/app"
)

// peer is a connection to a server, byte by byte.
type peer struct {
	net.Conn
	in *bufio.Reader
}

// dial connects. Nothing that the peer waits for takes as long as a timeout's default.
func (s served) dial(t *testing.T) *peer {
	t.Helper()
	conn, err := net.Dial("tcp", strings.TrimPrefix(s.URL, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	conn.SetDeadline(time.Now().Add(8 * time.Second))
	return &peer{conn, bufio.NewReader(conn)}
}

// send sends a part of a request.
func (p *peer) send(t *testing.T, format string, args ...any) {
	t.Helper()
	if _, err := fmt.Fprintf(p, format, args...); err != nil {
		t.Fatal(err)
	}
}

// status is the status of the next answer, 0 when the server hung up.
func (p *peer) status(t *testing.T) int {
	t.Helper()
	answer, err := http.ReadResponse(p.in, nil)
	if err != nil {
		p.gone(t)
		return 0
	}
	defer answer.Body.Close()
	if _, err := io.Copy(io.Discard, answer.Body); err != nil {
		t.Fatal(err)
	}
	return answer.StatusCode
}

// gone waits until the server hangs up.
func (p *peer) gone(t *testing.T) {
	t.Helper()
	_, err := io.Copy(io.Discard, p.in)
	if wait, ok := err.(net.Error); ok && wait.Timeout() { //nolint:errorlint // as net returns it
		t.Fatal("the server did not hang up")
	}
}

const health = "GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n"

// ask sends a whole request that needs nobody.
func (p *peer) ask(t *testing.T) int {
	t.Helper()
	p.send(t, health)
	return p.status(t)
}

// One more than there is room for is served in the place of one that waits.
func TestMaxConns(t *testing.T) {
	s := serve(t, "--max-conns", "3")
	var peers []*peer
	for range 10 {
		p := s.dial(t)
		if got := p.ask(t); got != 200 {
			t.Fatalf("status %d", got)
		}
		peers = append(peers, p)
	}
	stayed := 0
	for _, p := range peers {
		if _, err := io.WriteString(p, health); err == nil && p.status(t) == 200 {
			stayed++
		}
	}
	if stayed != 3 {
		t.Errorf("%d of 10 connections stayed, want 3", stayed)
	}
}

// begin sends the header of a request and waits until the server reads its body.
func (s served) begin(t *testing.T) *peer {
	t.Helper()
	p := s.dial(t)
	p.send(t, "POST /frontend/v1/threads HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer %s\r\nX-User-ID: u1\r\nContent-Length: 15\r\nExpect: 100-continue\r\n\r\n", s.Keys.Backend)
	for _, want := range []string{"HTTP/1.1 100 Continue\r\n", "\r\n"} {
		if line, err := p.in.ReadString('\n'); line != want {
			t.Fatalf("%q, %v, want %q", line, err, want)
		}
	}
	return p
}

// Who has begun a request keeps the connection; one more is served after it.
func TestMaxConnsBusy(t *testing.T) {
	s := serve(t, "--max-conns", "2")
	busy := []*peer{s.begin(t), s.begin(t)}
	more := s.dial(t)
	more.send(t, health)
	for i, p := range busy {
		p.send(t, `{"title":"one"}`)
		if got := p.status(t); got != 201 {
			t.Errorf("busy %d: status %d, want 201", i, got)
		}
	}
	if got := more.status(t); got != 200 {
		t.Errorf("one more: status %d, want 200", got)
	}
}

// A server that has no room stops as soon as one that has.
func TestMaxConnsStop(t *testing.T) {
	s := start(t, "--max-conns", "1", "--drain", "10ms")
	busy, more := s.begin(t), s.dial(t)
	more.send(t, health)
	if err := s.Stop(t.Context()); err == nil || !strings.Contains(err.Error(), "still under way") {
		t.Errorf("Stop() = %v, want that one is still under way", err)
	}
	busy.gone(t)
	more.gone(t)
}

// A server does not wait for clients that have never asked anything.
func TestStopWithSilentClients(t *testing.T) {
	s := start(t, "--drain", "3s")
	silent := []*peer{s.dial(t), s.dial(t)}
	if got := s.dial(t).ask(t); got != 200 { // whoever came before it was accepted
		t.Fatalf("status %d", got)
	}
	if err := s.Stop(t.Context()); err != nil {
		t.Errorf("Stop() = %v", err)
	}
	for _, p := range silent {
		p.gone(t)
	}
}

// What arrives too slowly is given up, and nothing of it is stored.
func TestTimeouts(t *testing.T) {
	s := serve(t, "--header-timeout", "50ms", "--read-timeout", "100ms", "--write-timeout", "30s", "--idle-timeout", "80ms")
	head := fmt.Sprintf("POST /frontend/v1/threads HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer %s\r\nX-User-ID: u1\r\n", s.Keys.Backend)
	t.Run("given up", func(t *testing.T) {
		for name, sent := range map[string]string{
			"nothing":                 "",
			"half a line":             "POST /front",
			"half a header":           head,
			"no body":                 head + "Content-Length: 15\r\n\r\n",
			"half a body":             head + "Content-Length: 15\r\n\r\n" + `{"title"`,
			"more than was needed":    head + "Content-Length: 16\r\n\r\n" + `{"title":"one"}`,
			"a chunk without an end":  head + "Transfer-Encoding: chunked\r\n\r\nf\r\n" + `{"title":"one"}` + "\r\n",
			"a request, then nothing": health,
		} {
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				p := s.dial(t)
				p.send(t, "%s", sent)
				p.gone(t)
			})
		}
	})
	_, _, text := s.call(t, "GET", "/frontend/v1/threads", "", "X-API-Key", s.Keys.Backend, "X-User-ID", "u1")
	if !strings.Contains(text, `"total":0`) {
		t.Errorf("what was not sent to its end was stored: %s", text)
	}
}

func TestServeLimitOptions(t *testing.T) {
	for _, flag := range []string{
		"--max-conns=-1", "--max-conns=x", "--header-timeout=0", "--header-timeout=11m", "--read-timeout=1", "--write-timeout=-1s", "--idle-timeout=25h",
	} {
		name, _, _ := strings.Cut(flag, "=")
		set := pflag.NewFlagSet("serve", pflag.ContinueOnError)
		app.AddFlags(set, app.ServeOptions)
		if err := set.Parse([]string{flag}); err != nil {
			t.Fatal(err)
		}
		_, err := app.Load(set, func(string) (string, bool) { return "", false })
		if err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("%s: %v, want %s named", flag, err, name)
		}
	}
}
