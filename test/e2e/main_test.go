//go:build unix

// Package e2e runs the real binary as its users do: processes that are killed, stopped
// and short of disk, and clients that misbehave. What it asks of a store is always the
// same: whatever was acknowledged is there, once, and nothing is damaged.
package e2e

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"
)

// binary is the program under test.
var binary string

func TestMain(m *testing.M) { os.Exit(runTests(m)) }

func runTests(m *testing.M) int {
	dir, err := os.MkdirTemp("", "bobbin-e2e-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir)
	binary = filepath.Join(dir, "bobbin")
	build := exec.Command("go", "build", "-o", binary, "./cmd/bobbin")
	build.Dir = filepath.Join("..", "..")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		fmt.Fprintf(os.Stderr, "go build: %v\n%s", err, out)
		return 1
	}
	return m.Run()
}

// rounds is how often a test does what may go wrong.
func rounds(full, short int) int {
	if testing.Short() {
		return short
	}
	return full
}

// eventually waits until cond holds, and fails the test when it does not in time.
func eventually(t *testing.T, within time.Duration, what string, cond func() bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), within)
	defer cancel()
	if !poll(ctx, cond) {
		t.Fatalf("not within %s: %s", within, what)
	}
}

// poll asks again and again until cond holds or ctx is done. It reports whether cond
// held.
func poll(ctx context.Context, cond func() bool) bool {
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for !cond() {
		select {
		case <-ctx.Done():
			return false
		case <-tick.C:
		}
	}
	return true
}
