//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/bobbindb/bobbin/test/bench/load"
)

// bench is one run of the command: the servers under test and the rows so far.
type bench struct {
	options options
	dir     string
	rows    []row
	notes   []string // printed below the table
}

// runBench measures what was asked for. What was measured before an error is
// printed all the same.
func runBench(ctx context.Context, o options) (err error) {
	b := &bench{options: o, dir: o.dir}
	if b.dir == "" {
		if b.dir, err = os.MkdirTemp("", "bobbin-bench-"); err != nil {
			return err
		}
	} else if err := os.MkdirAll(b.dir, 0o755); err != nil {
		return err
	}
	if b.dir, err = filepath.Abs(b.dir); err != nil {
		return err
	}
	// The peer's processes run as another user, who must be able to pass through.
	if err := os.Chmod(b.dir, 0o755); err != nil {
		return err
	}
	facts, err := machineFacts(ctx, b.dir, o.peerPost)
	if err != nil {
		return err
	}
	if o.keep {
		progress("stores and logs stay in %s", b.dir)
	} else if o.dir == "" {
		defer func() { err = errors.Join(err, os.RemoveAll(b.dir)) }()
	}
	err = b.runScenarios(ctx)
	writeAligned(os.Stdout, b.rows)
	for _, note := range b.notes {
		fmt.Println(note)
	}
	if o.out != "" {
		err = errors.Join(err, b.writeReport(facts))
	}
	return err
}

func (b *bench) runScenarios(ctx context.Context) error {
	o := b.options
	if o.wants("post") || o.wants("list") || o.wants("get") {
		if err := b.runLoads(ctx); err != nil {
			return err
		}
	}
	if o.wants("start") || o.wants("disk") {
		if err := b.runRestarts(ctx); err != nil {
			return err
		}
	}
	if o.wants("import") && o.bobbin != "" {
		return b.runImports(ctx)
	}
	return nil
}

// newServers makes the servers under test, Bobbin first, each on an empty
// store in a folder named after the purpose.
func (b *bench) newServers(ctx context.Context, purpose string) (servers []server, err error) {
	dir := filepath.Join(b.dir, purpose)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, err
	}
	if b.options.bobbin != "" {
		servers = append(servers, newBobbin(b.options, dir))
	}
	if b.options.peer {
		peer, err := newPostgres(ctx, b.options.peerPost, dir)
		if err != nil {
			return nil, err
		}
		servers = append(servers, peer)
	}
	return servers, nil
}

// closeAll stops what still runs, also after an error.
func closeAll(servers []server, err error) error {
	for _, s := range servers {
		if closing := s.close(); closing != nil {
			err = errors.Join(err, fmt.Errorf("close %s: %w", s.name(), closing))
		}
	}
	return err
}

// startAndAwait starts a server and returns the time until its first right
// answer to a list of a thread, or to any request when no thread is given.
func startAndAwait(ctx context.Context, s server, t thread) (time.Duration, error) {
	began := time.Now()
	if err := s.start(ctx); err != nil {
		return 0, err
	}
	at := s.endpoint()
	for {
		result, err := load.Run(ctx, load.Options{
			Addr: at.addr, Connections: 1, Requests: 1, Timeout: 10 * time.Second,
			Next: func(conn, i int, buf []byte) []byte {
				if t.key == "" {
					return at.appendGet(buf, "GET", "/", user(0))
				}
				return at.appendGet(buf, "GET", t.messages()+"?limit=50", t.owner)
			},
			Check: func(status int, body []byte) error {
				if t.key == "" {
					return nil
				}
				return expect(200)(status, body)
			},
		})
		took := time.Since(began)
		if err == nil && result.Latency.Count() == 1 {
			return took, nil
		}
		if took > 2*time.Minute || ctx.Err() != nil {
			return took, fmt.Errorf("%s gave no answer in %s: %w", s.name(), short(took), errors.Join(err, result.FirstError, ctx.Err()))
		}
		time.Sleep(time.Millisecond)
	}
}
