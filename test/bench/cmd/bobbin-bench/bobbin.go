//go:build linux

package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"time"
)

// startTimeout bounds the wait for the line that says where Bobbin listens.
const startTimeout = time.Minute

// bobbin is the real binary on a folder of its own.
type bobbin struct {
	binary    string
	dir       string // the store
	logFile   string
	serveArgs []string
	process   *process
	at        endpoint
}

func newBobbin(o options, dir string) *bobbin {
	return &bobbin{binary: o.bobbin, dir: filepath.Join(dir, "store"), logFile: filepath.Join(dir, "bobbin.log"), serveArgs: o.serveArgs}
}

func (b *bobbin) name() string       { return "bobbin" }
func (b *bobbin) endpoint() endpoint { return b.at }
func (b *bobbin) pids() []int        { return []int{b.process.pid()} }

func (b *bobbin) start(ctx context.Context) error {
	args := append([]string{"serve", "--db", b.dir, "--addr", "127.0.0.1:0", "--json"}, b.serveArgs...)
	// Not bound to ctx: stop and kill choose how the process ends.
	cmd := exec.Command(b.binary, args...)
	log, err := os.OpenFile(b.logFile, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	defer log.Close()
	cmd.Stderr = log
	reading, writing, err := os.Pipe()
	if err != nil {
		return err
	}
	cmd.Stdout = writing
	b.process, err = startProcess(cmd)
	writing.Close()
	if err != nil {
		reading.Close()
		return fmt.Errorf("start bobbin: %w", err)
	}
	if err := b.readStartLine(ctx, reading); err != nil {
		b.process.end(os.Kill)
		b.process = nil
		return err
	}
	return nil
}

// readStartLine reads the one JSON object that serve prints first, and then
// reads on so that the server never waits for its output to be taken.
func (b *bobbin) readStartLine(ctx context.Context, stdout *os.File) error {
	lines := make(chan []byte, 1)
	go func() {
		defer stdout.Close()
		reader := bufio.NewReader(stdout)
		line, _ := reader.ReadBytes('\n')
		lines <- line
		io.Copy(io.Discard, reader)
	}()
	var line []byte
	select {
	case line = <-lines:
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(startTimeout):
		return fmt.Errorf("bobbin said nothing in %s; see %s", startTimeout, b.logFile)
	}
	var said struct {
		URL        string `json:"url"`
		BackendKey string `json:"backend_key"`
		AdminKey   string `json:"admin_key"`
	}
	if err := json.Unmarshal(line, &said); err != nil {
		return fmt.Errorf("bobbin's first line %q: %w; see %s", line, err, b.logFile)
	}
	address, err := url.Parse(said.URL)
	if err != nil || address.Host == "" {
		return fmt.Errorf("bobbin's first line names no URL: %s", line)
	}
	b.at.addr = address.Host
	// Keys are stored hashed: a later start may not be able to say them again.
	if said.BackendKey != "" {
		b.at.backendKey = said.BackendKey
	}
	if said.AdminKey != "" {
		b.at.adminKey = said.AdminKey
	}
	return nil
}

func (b *bobbin) stop() error { return b.end(syscall.SIGTERM) }
func (b *bobbin) kill() error { return b.end(syscall.SIGKILL) }

func (b *bobbin) end(signal os.Signal) error {
	if b.process == nil {
		return nil
	}
	defer func() { b.process = nil }()
	return b.process.end(signal)
}

func (b *bobbin) close() error { return b.stop() }

// settle waits until the process is nearly idle, for at most 20 s.
func (b *bobbin) settle(ctx context.Context) error {
	for range 40 {
		before := cpuTime(b.pids())
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(500 * time.Millisecond):
		}
		if cpuTime(b.pids())-before <= 20*time.Millisecond {
			return nil
		}
	}
	return nil
}

// command runs another command of the binary and returns what it prints to stdout.
func (b *bobbin) command(ctx context.Context, args ...string) ([]byte, error) {
	cmd := exec.CommandContext(ctx, b.binary, args...)
	// A cancelled command is asked to end before it is killed.
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	cmd.WaitDelay = 10 * time.Second
	out, err := cmd.Output()
	if err != nil {
		var stderr []byte
		if exit, ok := err.(*exec.ExitError); ok {
			stderr = exit.Stderr
		}
		return out, fmt.Errorf("bobbin %s: %w: %s", args[0], err, stderr)
	}
	return out, nil
}

// status returns what `bobbin status` says of the store, as it is and parsed.
func (b *bobbin) status(ctx context.Context) (raw []byte, fields map[string]any, err error) {
	raw, err = b.command(ctx, "status", "--db", b.dir, "--json")
	if err != nil {
		return raw, nil, err
	}
	if err := json.Unmarshal(raw, &fields); err != nil {
		return raw, nil, fmt.Errorf("read status: %w", err)
	}
	return raw, fields, nil
}
