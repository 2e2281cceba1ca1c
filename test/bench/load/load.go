//go:build linux

package load

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"syscall"
	"time"
)

// The bounds that hold for every run, whatever its options say.
const (
	maxConnections = 1024
	maxDuration    = 30 * time.Minute
	maxRequests    = 100_000_000

	defaultTimeout   = 30 * time.Second
	defaultMaxErrors = 1000
	tick             = 50 * time.Millisecond
)

// Options says what to send, where to and when to stop.
type Options struct {
	// Addr is the server's address, an IP and a port. Only loopback is accepted.
	Addr string
	// Connections is how many keep-alive connections send, each one request at a time.
	Connections int
	// Duration and Requests bound the run; at least one is set, and the first that is reached ends it.
	Duration time.Duration
	Requests int

	// Next appends the raw bytes of request i (counted from 0 over all
	// connections) to buf, which is empty, and returns the result.
	// Next and Check are called by one goroutine, never at the same time.
	Next func(conn, i int, buf []byte) []byte
	// Check sees every answer; its error counts as an error of the run. The
	// body is only valid during the call. Without a Check any 2xx is right.
	Check func(status int, body []byte) error

	// Timeout bounds one request (default 30 s).
	Timeout time.Duration
	// MaxErrors ends the run early (default 1000).
	MaxErrors int
}

// Result is what a run measured. Requests counts every answer that was read
// whole, right or wrong; Errors counts wrong answers and broken connections.
type Result struct {
	Requests   int
	Errors     int
	FirstError error
	// Elapsed runs from the first request to the last answer.
	Elapsed time.Duration
	// Latency holds the time of each right answer, from its first byte written to its last byte read.
	Latency Histogram
}

// Rate is the number of right answers a second.
func (r Result) Rate() float64 {
	if r.Elapsed <= 0 {
		return 0
	}
	return float64(r.Latency.Count()) / r.Elapsed.Seconds()
}

// Run sends requests until a bound of the options is reached or ctx is done,
// waits for the answers that are under way (up to Timeout, not at all when ctx
// is done) and returns what it saw. An error means that nothing was measured.
func Run(ctx context.Context, opts Options) (Result, error) {
	addr, err := checkOptions(&opts)
	if err != nil {
		return Result{}, err
	}
	poll, err := syscall.EpollCreate1(syscall.EPOLL_CLOEXEC)
	if err != nil {
		return Result{}, fmt.Errorf("create epoll: %w", err)
	}
	defer syscall.Close(poll)

	r := &runner{opts: opts, addr: addr, poll: poll}
	defer r.closeAll()
	if err := r.openAll(); err != nil {
		return Result{}, err
	}
	if err := r.loop(ctx); err != nil {
		return Result{}, err
	}
	return r.result, nil
}

func checkOptions(opts *Options) (netip.AddrPort, error) {
	addr, err := loopback(opts.Addr)
	if err != nil {
		return addr, err
	}
	if opts.Connections < 1 || opts.Connections > maxConnections {
		return addr, fmt.Errorf("connections %d: want 1 to %d", opts.Connections, maxConnections)
	}
	if opts.Duration <= 0 && opts.Requests <= 0 {
		return addr, errors.New("a run needs a bound: Duration or Requests")
	}
	if opts.Duration <= 0 || opts.Duration > maxDuration {
		opts.Duration = maxDuration
	}
	if opts.Requests <= 0 || opts.Requests > maxRequests {
		opts.Requests = maxRequests
	}
	if opts.Next == nil {
		return addr, errors.New("a run needs a Next")
	}
	if opts.Check == nil {
		opts.Check = checkSuccess
	}
	if opts.Timeout <= 0 {
		opts.Timeout = defaultTimeout
	}
	if opts.MaxErrors <= 0 {
		opts.MaxErrors = defaultMaxErrors
	}
	return addr, nil
}

// loopback reads an address and refuses any that leaves this machine. It
// resolves no names: a name may point anywhere.
func loopback(text string) (netip.AddrPort, error) {
	addr, err := netip.ParseAddrPort(text)
	if err != nil {
		return addr, fmt.Errorf("address %q: want an IP and a port: %w", text, err)
	}
	if !addr.Addr().Unmap().IsLoopback() {
		return addr, fmt.Errorf("address %q is not loopback: load is only ever sent to this machine", text)
	}
	return netip.AddrPortFrom(addr.Addr().Unmap(), addr.Port()), nil
}

func checkSuccess(status int, body []byte) error {
	if status < 200 || status > 299 {
		return fmt.Errorf("status %d: %.200s", status, body)
	}
	return nil
}
