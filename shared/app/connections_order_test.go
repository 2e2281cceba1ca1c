package app

import (
	"net"
	"net/http"
	"slices"
	"testing"
)

// queue is a listener with connections that arrived already.
type queue struct {
	net.Listener
	arrived []net.Conn
}

func (q *queue) Accept() (net.Conn, error) {
	if len(q.arrived) == 0 {
		return nil, net.ErrClosed
	}
	conn := q.arrived[0]
	q.arrived = q.arrived[1:]
	return conn, nil
}

// fakeConn is a connection that notes in which order it and others were closed.
type fakeConn struct {
	net.Conn
	name  string
	ended *[]string
}

func (n *fakeConn) Close() error {
	*n.ended = append(*n.ended, n.name)
	return nil
}

// Who makes room is whoever has waited longest, never one that is busy, and nobody
// while one that made room has not said so yet.
func TestWhoMakesRoom(t *testing.T) {
	var ended []string
	q := &queue{}
	c := newConnections(q, 3, 0)
	conns := map[string]net.Conn{}
	arrive := func(name string) {
		t.Helper()
		conns[name] = &fakeConn{name: name, ended: &ended}
		q.arrived = append(q.arrived, conns[name])
		conn, err := c.Accept()
		if err != nil || conn != conns[name] {
			t.Fatalf("Accept() = %v, %v, want %s", conn, err, name)
		}
		c.note(conn, http.StateNew)
	}
	for _, name := range []string{"a", "b", "c"} {
		arrive(name)
	}
	c.note(conns["a"], http.StateActive)
	c.note(conns["a"], http.StateIdle) // has waited for less time than b
	c.note(conns["b"], http.StateActive)
	arrive("d") // in the place of c
	c.note(conns["c"], http.StateClosed)
	c.note(conns["b"], http.StateIdle)
	arrive("e") // in the place of a
	c.note(conns["a"], http.StateActive)
	c.note(conns["a"], http.StateIdle) // is closed, and does not know
	arrive("f")                        // in the place of d
	c.note(conns["e"], http.StateClosed)
	arrive("g")
	if want := []string{"c", "a", "d"}; !slices.Equal(ended, want) {
		t.Errorf("connections that made room: %v, want %v", ended, want)
	}
}
