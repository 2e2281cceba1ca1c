package app

import (
	"container/list"
	"net"
	"net/http"
	"sync"
)

// connections is the listener of a server that has a bounded number of them. When one
// more arrives, the one that has waited longest for a request makes room; when none
// waits, the new one does until one of them ends or waits. A connection waits until the
// header of its next request is there. So clients that hold connections and ask nothing,
// or never come to the point, can neither keep others away nor take the files that the
// store needs.
type connections struct {
	net.Listener
	most int

	mu      sync.Mutex
	changed *sync.Cond // told when a connection ends or waits, and at the end
	closed  bool
	waiting list.List                  // of net.Conn, who has waited longest first
	open    map[net.Conn]*list.Element // every one; its place in waiting, nil while it is busy
}

func newConnections(l net.Listener, most int) *connections {
	c := &connections{Listener: l, most: most, open: make(map[net.Conn]*list.Element)}
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
		conn := c.waiting.Remove(longest).(net.Conn)
		delete(c.open, conn)
		c.mu.Unlock()
		conn.Close() // may say goodbye first, for which nobody else should wait
		c.mu.Lock()
	}
	return !c.closed
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
		c.open[conn] = c.waiting.PushBack(conn)
	case state == http.StateActive && known:
		c.open[conn] = nil
		return
	default: // it ended, or made room and is about to
		delete(c.open, conn)
	}
	c.changed.Signal()
}

// Close ends the wait for room as well.
func (c *connections) Close() error {
	c.mu.Lock()
	c.closed = true
	c.changed.Signal()
	c.mu.Unlock()
	return c.Listener.Close()
}
