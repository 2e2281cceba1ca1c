//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// server is something that can be measured: Bobbin, or the peer.
type server interface {
	// name stands in logs.
	name() string
	// start starts the processes on the data that is there. It returns once
	// the address is known; the first requests may still be refused.
	start(ctx context.Context) error
	// stop ends them gracefully, kill by kill -9. Both wait for the end.
	stop() error
	kill() error
	// close stops what runs and cannot be followed by another start.
	close() error
	// endpoint says where requests go and what they carry.
	endpoint() endpoint
	// settle waits for, or does, the work that a server puts off while it is loaded.
	settle(ctx context.Context) error
	// pids are the processes whose CPU time is the server's.
	pids() []int
}

// endpoint is what the requests to a running server need.
type endpoint struct {
	addr       string
	backendKey string
	adminKey   string
}

// process is one child and the wait for its end.
type process struct {
	cmd  *exec.Cmd
	done chan struct{}
	err  error // valid once done is closed
}

func startProcess(cmd *exec.Cmd) (*process, error) {
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	p := &process{cmd: cmd, done: make(chan struct{})}
	go func() {
		p.err = cmd.Wait()
		close(p.done)
	}()
	return p, nil
}

func (p *process) pid() int { return p.cmd.Process.Pid }

// end sends a signal and waits for the process to end; a process that takes
// longer than a minute is killed and reported.
func (p *process) end(signal os.Signal) error {
	if err := p.cmd.Process.Signal(signal); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("signal process %d: %w", p.pid(), err)
	}
	select {
	case <-p.done:
		return nil
	case <-time.After(time.Minute):
		p.cmd.Process.Kill()
		<-p.done
		return fmt.Errorf("process %d did not end within a minute of %s and was killed", p.pid(), signal)
	}
}

// cpuTime is the time that processes have spent on the cores so far, to 10 ms.
// A process that has ended counts as 0.
func cpuTime(pids []int) time.Duration {
	const perSecond = 100 // USER_HZ, the same on every Linux
	var ticks int64
	for _, pid := range pids {
		text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
		if err != nil {
			continue
		}
		// The name, in parentheses, may hold spaces; utime and stime are the 12th and 13th field after it.
		fields := strings.Fields(string(text[strings.LastIndexByte(string(text), ')')+1:]))
		for _, field := range fields[11:13] {
			n, _ := strconv.ParseInt(field, 10, 64)
			ticks += n
		}
	}
	return time.Duration(ticks) * time.Second / perSecond
}

// ownCPUTime is the generator's.
func ownCPUTime() time.Duration {
	var usage syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &usage); err != nil {
		return 0
	}
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
}

// residentBytes is a process's VmRSS.
func residentBytes(pid int) (int64, error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(string(text)) {
		if value, ok := strings.CutPrefix(line, "VmRSS:"); ok {
			kib, err := strconv.ParseInt(strings.TrimSuffix(strings.TrimSpace(value), " kB"), 10, 64)
			return kib << 10, err
		}
	}
	return 0, fmt.Errorf("process %d has no VmRSS", pid)
}
