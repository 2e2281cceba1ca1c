//go:build linux

package load

import (
	"errors"
	"io"
	"net/netip"
	"slices"
	"syscall"
	"time"
)

// readSpace is how many free bytes a read finds at least: a page of 50
// messages of 1 KB arrives in one or two reads.
const readSpace = 64 << 10

// conn is one connection and the request that is under way on it.
type conn struct {
	number        int
	fd            int
	request       []byte // the memory of the request, used again for the next
	out           []byte // what is left to write of it
	in            []byte // what arrived of the answer
	sentAt        time.Time
	waiting       bool
	watchingWrite bool
}

func (c *conn) dial(addr netip.AddrPort) error {
	family, sockaddr := socketAddress(addr)
	fd, err := syscall.Socket(family, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	c.fd, c.in, c.out, c.watchingWrite = fd, c.in[:0], nil, false
	if err := syscall.Connect(fd, sockaddr); err != nil {
		c.close()
		return err
	}
	if err := syscall.SetsockoptInt(fd, syscall.IPPROTO_TCP, syscall.TCP_NODELAY, 1); err != nil {
		c.close()
		return err
	}
	return syscall.SetNonblock(fd, true)
}

func socketAddress(addr netip.AddrPort) (family int, sockaddr syscall.Sockaddr) {
	if addr.Addr().Is4() {
		return syscall.AF_INET, &syscall.SockaddrInet4{Port: int(addr.Port()), Addr: addr.Addr().As4()}
	}
	return syscall.AF_INET6, &syscall.SockaddrInet6{Port: int(addr.Port()), Addr: addr.Addr().As16()}
}

// close also takes the socket out of epoll, which forgets closed descriptors.
func (c *conn) close() {
	if c.fd >= 0 {
		syscall.Close(c.fd)
		c.fd = -1
	}
}

// write sends what the socket takes without waiting.
func (c *conn) write() error {
	for len(c.out) > 0 {
		n, err := syscall.Write(c.fd, c.out)
		if err == syscall.EINTR {
			continue
		}
		if err == syscall.EAGAIN {
			return nil
		}
		if err != nil {
			return err
		}
		c.out = c.out[n:]
	}
	return nil
}

// read takes what has arrived and says whether the answer is whole. The
// answer's body is valid until the next read.
func (c *conn) read() (answer response, whole bool, err error) {
	c.in = slices.Grow(c.in, readSpace)
	n, err := syscall.Read(c.fd, c.in[len(c.in):cap(c.in)])
	if err == syscall.EAGAIN || err == syscall.EINTR {
		return response{}, false, nil
	}
	if err != nil {
		return response{}, false, err
	}
	if n == 0 {
		return response{}, false, io.ErrUnexpectedEOF
	}
	if !c.waiting {
		return response{}, false, errors.New("bytes arrived that nobody asked for")
	}
	c.in = c.in[:len(c.in)+n]
	answer, size, err := parseResponse(c.in)
	if err != nil || size == 0 {
		return response{}, false, err
	}
	if size != len(c.in) {
		return response{}, false, errors.New("bytes follow the answer")
	}
	c.in = c.in[:0]
	return answer, true, nil
}
