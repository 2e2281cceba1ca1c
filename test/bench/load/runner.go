//go:build linux

package load

import (
	"context"
	"fmt"
	"net/netip"
	"syscall"
	"time"
)

// runner is one run under way. Its loop is the only goroutine that touches it.
type runner struct {
	opts   Options
	addr   netip.AddrPort
	poll   int
	conns  []*conn
	sent   int // requests started
	busy   int // connections that wait for an answer
	start  time.Time
	result Result
}

func (r *runner) openAll() error {
	for i := range r.opts.Connections {
		c := &conn{number: i, fd: -1}
		r.conns = append(r.conns, c)
		if err := r.open(c); err != nil {
			return err
		}
	}
	return nil
}

func (r *runner) closeAll() {
	for _, c := range r.conns {
		c.close()
	}
}

// open connects c anew and has its events reported.
func (r *runner) open(c *conn) error {
	if err := c.dial(r.addr); err != nil {
		return fmt.Errorf("connect to %s: %w", r.addr, err)
	}
	event := syscall.EpollEvent{Events: syscall.EPOLLIN, Fd: int32(c.number)}
	if err := syscall.EpollCtl(r.poll, syscall.EPOLL_CTL_ADD, c.fd, &event); err != nil {
		return fmt.Errorf("watch connection %d: %w", c.number, err)
	}
	return nil
}

// loop sends the first request of each connection and then answers events
// until the run is over.
func (r *runner) loop(ctx context.Context) error {
	r.start = time.Now()
	for _, c := range r.conns {
		r.send(c)
	}
	events := make([]syscall.EpollEvent, len(r.conns))
	nextTick := r.start.Add(tick)
	for r.busy > 0 && ctx.Err() == nil && r.result.Errors < r.opts.MaxErrors {
		n, err := syscall.EpollWait(r.poll, events, int(tick/time.Millisecond))
		if err != nil && err != syscall.EINTR {
			return fmt.Errorf("wait for answers: %w", err)
		}
		for _, event := range events[:max(n, 0)] {
			r.handle(r.conns[event.Fd], event.Events)
		}
		if now := time.Now(); now.After(nextTick) {
			r.expire(now)
			nextTick = now.Add(tick)
		}
	}
	return nil
}

// over says whether no further request may start.
func (r *runner) over(now time.Time) bool {
	return r.sent >= r.opts.Requests || now.Sub(r.start) >= r.opts.Duration
}

// send starts the next request on c, unless the run is over.
func (r *runner) send(c *conn) {
	now := time.Now()
	if r.over(now) {
		return
	}
	c.out = r.opts.Next(c.number, r.sent, c.request[:0])
	c.request = c.out
	c.sentAt = now
	c.waiting = true
	r.sent++
	r.busy++
	r.flush(c)
}

// flush writes what is left of c's request, and asks to be called again when
// the socket is full.
func (r *runner) flush(c *conn) {
	if err := c.write(); err != nil {
		r.broken(c, fmt.Errorf("write request: %w", err))
		return
	}
	if full := len(c.out) > 0; full != c.watchingWrite {
		c.watchingWrite = full
		event := syscall.EpollEvent{Events: syscall.EPOLLIN, Fd: int32(c.number)}
		if full {
			event.Events |= syscall.EPOLLOUT
		}
		if err := syscall.EpollCtl(r.poll, syscall.EPOLL_CTL_MOD, c.fd, &event); err != nil {
			r.broken(c, fmt.Errorf("watch connection %d: %w", c.number, err))
		}
	}
}

func (r *runner) handle(c *conn, events uint32) {
	if events&syscall.EPOLLOUT != 0 && len(c.out) > 0 {
		r.flush(c)
		return
	}
	answer, whole, err := c.read()
	if err != nil {
		r.broken(c, err)
		return
	}
	if whole {
		r.answered(c, answer)
	}
}

// answered counts one whole answer and starts the next request.
func (r *runner) answered(c *conn, answer response) {
	now := time.Now()
	c.waiting = false
	r.busy--
	r.result.Requests++
	r.result.Elapsed = now.Sub(r.start)
	if err := r.opts.Check(answer.status, answer.body); err != nil {
		r.fail(err)
	} else {
		r.result.Latency.Record(now.Sub(c.sentAt))
	}
	if answer.close && !r.reopen(c) {
		return
	}
	r.send(c)
}

// broken counts a connection that failed and puts a new one in its place.
func (r *runner) broken(c *conn, err error) {
	if c.waiting {
		c.waiting = false
		r.busy--
		r.fail(fmt.Errorf("connection %d: %w", c.number, err))
	}
	if r.reopen(c) {
		r.send(c)
	}
}

// reopen replaces c's socket and says whether that worked. A connection that
// cannot be opened again stays out of the rest of the run.
func (r *runner) reopen(c *conn) bool {
	c.close()
	if r.over(time.Now()) || r.result.Errors >= r.opts.MaxErrors {
		return false
	}
	if err := r.open(c); err != nil {
		r.fail(err)
		return false
	}
	return true
}

func (r *runner) fail(err error) {
	r.result.Errors++
	if r.result.FirstError == nil {
		r.result.FirstError = err
	}
}

// expire breaks the connections whose answer is overdue.
func (r *runner) expire(now time.Time) {
	for _, c := range r.conns {
		if c.waiting && now.Sub(c.sentAt) > r.opts.Timeout {
			r.broken(c, fmt.Errorf("no answer in %s", r.opts.Timeout))
		}
	}
}
