package app

import (
	"container/list"
	"net"
	"net/http"
	"sync"
	"time"
)

// fresh is how long a connection may wait for a request before it makes room for
// another: so that a burst of clients, each of which is about to ask, is served.
const fresh = 250 * time.Millisecond

// connections is the listener of a server that has a bounded number of them. When one
// more arrives, the one that has waited longest for a request makes room; when none has
// waited for a while, the new one waits until one of them has, or ends. A connection
// waits until the header of its next request is there. So clients that hold connections and ask nothing,
// or never come to the point, can neither keep others away nor take the files that the
// store needs.
type connections struct {
	net.Listener
	most  int
	fresh time.Duration

	mu      sync.Mutex
	changed *sync.Cond // told when a connection ends or waits, and at the end
	closed  bool
	waiting list.List                  // of waiter, who has waited longest first
	open    map[net.Conn]*list.Element // every one; its place in waiting, nil while it is busy
}

// waiter is a connection that waits for a request.
type waiter struct {
	conn  net.Conn
	since time.Time
}

func newConnections(l net.Listener, most int, fresh time.Duration) *connections {
	c := &connections{Listener: l, most: most, fresh: fresh, open: make(map[net.Conn]*list.Element)}
	c.changed = sync.NewCond(&c.mu)
	return c
}

// Accept returns the next connection, once there is room for it.
func (c *connections) Accept() (net.Conn, error) {
	conn, err := c.Listener.Accept()
	if err != nil {
		return nil, err
	}
	if !c.makeRoom() {
		conn.Close()
		return nil, net.ErrClosed
	}
	return conn, nil
}

// makeRoom reports false when the listener was closed before there was room.
func (c *connections) makeRoom() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	for len(c.open) >= c.most && !c.closed {
		longest := c.waiting.Front()
		if longest == nil {
			c.changed.Wait()
			continue
		}
		w := longest.Value.(waiter)
		if soon := c.fresh - time.Since(w.since); soon > 0 {
			timer := time.AfterFunc(soon, c.wake)
			c.changed.Wait()
			timer.Stop()
			continue
		}
		c.waiting.Remove(longest)
		delete(c.open, w.conn)
		c.mu.Unlock()
		w.conn.Close() // may say goodbye first, for which nobody else should wait
		c.mu.Lock()
	}
	return !c.closed
}

// wake has makeRoom look again. It holds the lock so as not to come before the wait.
func (c *connections) wake() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.changed.Signal()
}

// note is told by the server what becomes of a connection.
func (c *connections) note(conn net.Conn, state http.ConnState) {
	c.mu.Lock()
	defer c.mu.Unlock()
	place, known := c.open[conn]
	if place != nil {
		c.waiting.Remove(place)
	}
	switch {
	case state == http.StateNew, state == http.StateIdle && known:
		c.open[conn] = c.waiting.PushBack(waiter{conn, time.Now()})
	case state == http.StateActive && known:
		c.open[conn] = nil
		return
	default: // it ended, or made room and is about to
		delete(c.open, conn)
	}
	c.changed.Signal()
}

// Close ends the wait for room, and the connections that wait for a request: a server
// that stops would wait five seconds for those that have never asked anything.
func (c *connections) Close() error {
	c.mu.Lock()
	c.closed = true
	c.changed.Signal()
	var ended []net.Conn
	for e := c.waiting.Front(); e != nil; e = e.Next() {
		ended = append(ended, e.Value.(waiter).conn)
	}
	c.mu.Unlock()
	for _, conn := range ended {
		conn.Close() // the server notes that it ended
	}
	return c.Listener.Close()
}
