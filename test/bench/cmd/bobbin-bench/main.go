//go:build linux

// Command bobbin-bench measures the bobbin binary over HTTP, beside PostgreSQL
// behind a thin server when asked, and prints what it saw against the targets.
//
//	bobbin-bench --bobbin ./bobbin --peer --scenario all --data chitchat.ndjson.gz --out benchmarks.md
//
// It exits 0 when everything ran, whether or not every target was met, and 1
// when something could not be measured.
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"runtime/debug"
	"syscall"

	"github.com/bobbindb/bobbin/test/bench/peer"
)

// servePeer is the first argument with which the command starts itself as the
// peer's HTTP server: a process of its own, as Bobbin is.
const servePeer = "serve-peer"

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "bobbin-bench:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string) error {
	if len(args) == 3 && args[0] == servePeer {
		return runPeerServer(ctx, args[1], peer.Post(args[2]))
	}
	options, err := parseFlags(args)
	if err != nil {
		return err
	}
	// The generator's own garbage is small and its memory plenty: collecting
	// rarely leaves the cores to the server under test.
	debug.SetGCPercent(400)
	ctx, cancel := context.WithTimeout(ctx, options.timeout)
	defer cancel()
	return runBench(ctx, options)
}
