//go:build unix

package e2e

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

// crowd is how many clients connect and then ask nothing.
const crowd = 10_000

// sparesFiles is how many files this process, and the server, need beside connections.
const sparesFiles = 500

// mayConnect is how many connections the limit on files leaves room for, raised as far
// as the system lets it be.
func mayConnect(t *testing.T, want int) int {
	t.Helper()
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		t.Fatal(err)
	}
	if limit.Cur < limit.Max {
		raised := limit
		raised.Cur = raised.Max
		if syscall.Setrlimit(syscall.RLIMIT_NOFILE, &raised) == nil {
			limit = raised
		}
	}
	may := min(int(limit.Cur)-sparesFiles, want)
	if may < want/10 {
		t.Skipf("only %d files may be open, of which %d would be connections", limit.Cur, may)
	}
	return may
}

// idlers connects n clients, of which every other one has asked something before. The
// test's end closes them.
func idlers(t *testing.T, p *process, n int) []net.Conn {
	t.Helper()
	addr := strings.TrimPrefix(p.URL, "http://")
	conns := make([]net.Conn, n)
	t.Cleanup(func() {
		for _, conn := range conns {
			if conn != nil {
				conn.(*net.TCPConn).SetLinger(0) // so that no port is kept from the next test
				conn.Close()
			}
		}
	})
	const together = 20
	var all sync.WaitGroup
	failed := make(chan error, together)
	for from := range together {
		all.Go(func() {
			for i := from; i < n; i += together {
				conn, err := net.DialTimeout("tcp", addr, 20*time.Second)
				if err == nil {
					conns[i] = conn
					err = idle(conn, i%2 == 0)
				}
				if err != nil {
					failed <- fmt.Errorf("connection %d: %w", i, err)
					return
				}
			}
		})
	}
	all.Wait()
	select {
	case err := <-failed:
		t.Fatal(err)
	default:
	}
	return conns
}

// idle has a connection ask something first, or nothing at all.
func idle(conn net.Conn, asks bool) error {
	if !asks {
		return nil
	}
	conn.SetDeadline(time.Now().Add(20 * time.Second))
	if _, err := io.WriteString(conn, "GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n"); err != nil {
		return err
	}
	answer, err := http.ReadResponse(bufio.NewReaderSize(conn, 512), nil)
	if err != nil {
		return err
	}
	_, err = io.Copy(io.Discard, answer.Body)
	return err
}

// alive is how many connections the server has not closed.
func alive(conns []net.Conn) int {
	const together = 500
	var all sync.WaitGroup
	var alive atomic.Int64
	for from := range min(together, len(conns)) {
		all.Go(func() {
			for i := from; i < len(conns); i += together {
				conns[i].SetReadDeadline(time.Now().Add(20 * time.Millisecond))
				var b [1]byte
				if _, err := conns[i].Read(b[:]); errors.Is(err, os.ErrDeadlineExceeded) {
					alive.Add(1)
				}
			}
		})
	}
	all.Wait()
	return int(alive.Load())
}

// TestIdleConnections has thousands of clients connect and stay: others are served as
// before, memory is bounded, and the server stops at once.
func TestIdleConnections(t *testing.T) {
	n := mayConnect(t, rounds(crowd, 2000))
	db := folder(t)
	p := start(t, db, "--max-conns", fmt.Sprint(n+100), "--header-timeout", "5m")
	c := newClient(t, "ada")
	thread := c.create(t, p, "undisturbed")
	before, known := usageOf(p)

	conns := idlers(t, p, n)
	acked := map[string]string{}
	slowest := time.Duration(0)
	for i := range 200 {
		began := time.Now()
		text := fmt.Sprint("meanwhile ", i)
		acked[text] = c.post(t, p, thread, text)
		slowest = max(slowest, time.Since(began))
		if i%10 == 0 {
			c.http.CloseIdleConnections() // so that new ones are let in too
		}
	}
	undisturbed(t, c.all(t, p, thread), acked)
	if got := alive(conns); got != n {
		t.Errorf("%d of %d idle connections are left", got, n)
	}
	if known {
		after, _ := usageOf(p)
		each := (after.memory - before.memory) / int64(n)
		t.Logf("%d idle connections: %d bytes each, slowest post among them %s", n, each, slowest)
		if each > 48<<10 {
			t.Errorf("an idle connection takes %d bytes of memory, want at most 48 KiB", each)
		}
	}
	began := time.Now()
	p.stop(t)
	if took := time.Since(began); took > 4*time.Second {
		t.Errorf("the server took %s to stop", took)
	}
	if v := verify(t, db); v.Messages != len(acked) {
		t.Errorf("verify counts %d messages, want %d", v.Messages, len(acked))
	}
}

// TestTooManyConnections has more clients connect and stay than the server has room,
// and files, for.
func TestTooManyConnections(t *testing.T) {
	n := mayConnect(t, 600)
	db := folder(t)
	p := start(t, db, "--max-conns", "100", "--header-timeout", "5m")
	c := newClient(t, "ada")
	thread := c.create(t, p, "undisturbed")
	acked := map[string]string{}
	for round := range 3 {
		conns := idlers(t, p, n/3)
		for i := range 20 {
			c.http.CloseIdleConnections()
			text := fmt.Sprint(round, " ", i)
			acked[text] = c.post(t, p, thread, text)
		}
		if usage, known := usageOf(p); known && usage.files > 100+200 {
			t.Errorf("%d files are open, of which at most 100 may be connections", usage.files)
		}
		if got := alive(conns); got > 100 {
			t.Errorf("%d idle connections are left, want at most 100", got)
		}
	}
	undisturbed(t, c.all(t, p, thread), acked)
	p.stop(t)
	verify(t, db)
}

// TestSlowClients has clients send headers and bodies a byte at a time, and read
// answers not at all: each is given up, and others are served as before.
func TestSlowClients(t *testing.T) {
	db := folder(t)
	p := start(t, db, "--header-timeout", "300ms", "--read-timeout", "600ms", "--write-timeout", "5s", "--idle-timeout", "5s")
	c := newClient(t, "ada")
	thread, theirs := c.create(t, p, "undisturbed"), c.create(t, p, "slow")
	for range 4 {
		c.must(t, p, http.StatusCreated, "POST", messagesPath(theirs), []byte(`{"body":"`+strings.Repeat("x", 1000<<10)+`"}`))
	}
	before, known := usageOf(p)

	const each = 20
	slow := map[string]string{
		"header": p.head("GET", threadsPath) + "X-Filler: " + strings.Repeat("x", 10_000),
		"body": p.head("POST", messagesPath(theirs)) + "Content-Length: 100000\r\n\r\n" +
			`{"body":"` + strings.Repeat("x", 90_000),
		"chunks": p.head("POST", messagesPath(theirs)) + "Transfer-Encoding: chunked\r\n\r\n" + strings.Repeat("1\r\n \r\n", 10_000),
	}
	var all sync.WaitGroup
	given := make(chan string, 4*each)
	for kind, text := range slow {
		for range each {
			conn := dial(t, p)
			all.Go(func() { given <- drip(conn, kind, text) })
		}
	}
	for range each {
		conn := dial(t, p)
		all.Go(func() { given <- unread(conn, p.head("GET", messagesPath(theirs)+"?limit=1000")) })
	}
	done := make(chan struct{})
	go func() { all.Wait(); close(done) }()

	acked := map[string]string{}
	slowest := time.Duration(0)
	for n, going := 0, true; going; n++ {
		began := time.Now()
		text := fmt.Sprint("meanwhile ", n)
		acked[text] = c.post(t, p, thread, text)
		slowest = max(slowest, time.Since(began))
		select {
		case <-done:
			going = false
		default:
		}
	}
	close(given)
	for wrong := range given {
		if wrong != "" {
			t.Error(wrong)
		}
	}
	t.Logf("%d posts acknowledged meanwhile, the slowest in %s", len(acked), slowest)
	if slowest > 5*time.Second {
		t.Errorf("a post among slow clients took %s", slowest)
	}
	undisturbed(t, c.all(t, p, thread), acked)
	if got := c.list(t, p, theirs, 1, "").Pagination.Total; got != 4 {
		t.Errorf("%d messages in the thread of the slow, want 4", got)
	}
	if known {
		c.http.CloseIdleConnections()
		eventually(t, 20*time.Second, "files and memory return to what they were", func() bool {
			after, _ := usageOf(p)
			return after.files <= before.files+20 && after.memory <= before.memory+256<<20
		})
	}
	p.stop(t)
	verify(t, db)
}

// patience is longer than every timeout of the server, and ends the test where it has
// none.
const patience = 20 * time.Second

// drip sends a text byte by byte until the server has had enough, which it reports
// when it never has.
func drip(conn net.Conn, kind, text string) string {
	defer conn.Close()
	began := time.Now()
	head, rest, ok := strings.Cut(text, "\r\n\r\n")
	if ok {
		io.WriteString(conn, head+"\r\n\r\n")
	} else {
		rest = text
	}
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for i := range len(rest) {
		if _, err := io.WriteString(conn, rest[i:i+1]); err != nil {
			return ""
		}
		if time.Since(began) > patience {
			return "nobody gave up a slow " + kind
		}
		<-tick.C
	}
	return "a slow " + kind + " was read to its end"
}

// unread asks for a long answer, reads nothing of it, and asks on byte by byte to find
// out when the server has had enough.
func unread(conn net.Conn, head string) string {
	conn.(*net.TCPConn).SetReadBuffer(4 << 10)
	io.WriteString(conn, head+"\r\n") // the server may hang up at any time
	if drip(conn, "reader", strings.Repeat(head, 100)) == "" {
		return ""
	}
	return "nobody gave up a client that reads nothing"
}
