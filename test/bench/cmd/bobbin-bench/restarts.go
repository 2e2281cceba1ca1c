//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/bobbindb/bobbin/test/bench/load"
)

const (
	idleTime  = 5 * time.Second // from a start to the look at its memory
	loadTime  = 5 * time.Second // of load before kill -9
	killAfter = loadTime - time.Second
	spotCheck = 2000 // acknowledged posts that are looked for after kill -9

	gracefulTarget = 120 * time.Millisecond
	killedTarget   = 1500 * time.Millisecond
	residentTarget = 300_000_000
)

// restart is what was seen of one server.
type restart struct {
	graceful, killed time.Duration
	resident         int64
	lost, checked    int
}

// runRestarts fills a store of each server, restarts it after a graceful stop
// and after kill -9 under load, and looks at memory and disk.
func (b *bench) runRestarts(ctx context.Context) (err error) {
	servers, err := b.newServers(ctx, "restarts")
	if err != nil {
		return err
	}
	defer func() { err = closeAll(servers, err) }()
	seen := map[string]*restart{}
	for i, s := range servers {
		random := newBodies(uint64(i) + 100)
		t, err := b.fill(ctx, s, random)
		if err != nil {
			return err
		}
		if store, ok := s.(*bobbin); ok && b.options.wants("disk") {
			if err := b.runDisk(ctx, store, t); err != nil {
				return err
			}
		}
		if b.options.wants("start") {
			if seen[s.name()], err = runRestart(ctx, s, random, t); err != nil {
				return fmt.Errorf("restart %s: %w", s.name(), err)
			}
		}
		if err := s.close(); err != nil {
			return err
		}
	}
	if b.options.wants("start") {
		b.addRestartRows(seen["bobbin"], seen["postgres"])
	}
	return nil
}

func (b *bench) fill(ctx context.Context, s server, random *bodies) (thread, error) {
	if _, err := startAndAwait(ctx, s, thread{}); err != nil {
		return thread{}, err
	}
	began := time.Now()
	t, err := fillStore(ctx, s.endpoint(), random, b.options.fill, b.options.messages)
	if err != nil {
		return t, fmt.Errorf("fill %s: %w", s.name(), err)
	}
	took := time.Since(began)
	progress("fill %s with %s messages by %s: %s, %s", s.name(), thousands(int64(b.options.messages)), b.options.fill, short(took),
		perSecond(float64(b.options.messages)/took.Seconds()))
	return t, s.settle(ctx)
}

// runRestart expects a filled, running server and leaves it running.
func runRestart(ctx context.Context, s server, random *bodies, t thread) (seen *restart, err error) {
	seen = &restart{}
	began := time.Now()
	if err := s.stop(); err != nil {
		return nil, err
	}
	progress("%s stopped gracefully in %s", s.name(), short(time.Since(began)))
	if seen.graceful, err = startAndAwait(ctx, s, t); err != nil {
		return nil, err
	}
	if seen.resident, err = idleMemory(ctx, s); err != nil {
		return nil, err
	}
	acknowledged, err := killUnderLoad(ctx, s, random)
	if err != nil {
		return nil, err
	}
	if seen.killed, err = startAndAwait(ctx, s, t); err != nil {
		return nil, err
	}
	seen.checked = len(acknowledged)
	seen.lost, err = countLost(ctx, s.endpoint(), acknowledged)
	progress("%s: first list %s after a graceful stop, %s after kill -9; %s resident; %d of %d acknowledged posts lost",
		s.name(), short(seen.graceful), short(seen.killed), megabytes(seen.resident), seen.lost, seen.checked)
	return seen, err
}

// idleMemory is the most that the processes have resident while nobody asks
// anything. Memory that the peer's processes share is counted once in each.
func idleMemory(ctx context.Context, s server) (most int64, err error) {
	for range int(idleTime / time.Second) {
		select {
		case <-ctx.Done():
			return 0, ctx.Err()
		case <-time.After(time.Second):
		}
		var now int64
		for _, pid := range s.pids() {
			resident, err := residentBytes(pid)
			if err != nil {
				continue // a helper process of the peer has ended
			}
			now += resident
		}
		most = max(most, now)
	}
	return most, nil
}

// killUnderLoad posts from 64 connections, kills the server while they do and
// returns the last messages that were acknowledged.
func killUnderLoad(ctx context.Context, s server, random *bodies) ([]messageAt, error) {
	at := s.endpoint()
	threads, err := createThreads(ctx, at, loadConnections)
	if err != nil {
		return nil, err
	}
	killed := make(chan error, 1)
	timer := time.AfterFunc(killAfter, func() { killed <- s.kill() })
	var keys []string
	collect := collectKeys(&keys)
	next := postNext(at, random, threads)
	result, err := load.Run(ctx, load.Options{
		Addr: at.addr, Connections: loadConnections, Duration: loadTime, MaxErrors: loadConnections, Timeout: 5 * time.Second,
		// Connection c posts into thread c only, so a key says who may read it.
		Next:  func(conn, i int, buf []byte) []byte { return next(conn, conn, buf) },
		Check: collect,
	})
	if timer.Stop() {
		return nil, errors.Join(errors.New("the load ended before the kill"), err, result.FirstError)
	}
	if err := errors.Join(<-killed, err); err != nil {
		return nil, err
	}
	owners := map[string]thread{}
	for _, t := range threads {
		owners[t.key] = t
	}
	var messages []messageAt
	for _, key := range keys[max(0, len(keys)-spotCheck):] {
		messages = append(messages, messageAt{owners[threadOf(key)], key})
	}
	return messages, nil
}

// countLost counts the acknowledged messages that cannot be read.
func countLost(ctx context.Context, at endpoint, messages []messageAt) (int, error) {
	if len(messages) == 0 {
		return 0, errors.New("nothing was acknowledged before the kill")
	}
	result, err := load.Run(ctx, load.Options{
		Addr: at.addr, Connections: 4, Requests: len(messages), MaxErrors: len(messages), Check: expect(200),
		Next: func(conn, i int, buf []byte) []byte {
			return at.appendGet(buf, "GET", messages[i].path(), messages[i].thread.owner)
		},
	})
	return len(messages) - result.Latency.Count(), err
}

func (b *bench) addRestartRows(own, peer *restart) {
	filled := thousands(int64(b.options.messages)) + " messages"
	addTime := func(scenario string, limit time.Duration, quicker bool, of func(*restart) time.Duration) {
		r := row{scenario: scenario + ", " + filled, target: "≤ " + limit.String()}
		if quicker {
			r.target += ", quicker than peer"
		}
		if own != nil {
			r.rate = short(of(own))
			r.met = verdictIf(of(own) <= limit && (!quicker || peer == nil || of(own) < of(peer)))
		}
		if peer != nil {
			r.peerRate = short(of(peer))
		}
		if own != nil && peer != nil {
			r.ratio = fmt.Sprintf("%.2fx", of(peer).Seconds()/of(own).Seconds())
		}
		b.rows = append(b.rows, r)
	}
	addTime("first list after graceful stop", gracefulTarget, false, func(r *restart) time.Duration { return r.graceful })
	addTime("first list after kill -9", killedTarget, true, func(r *restart) time.Duration { return r.killed })
	memory := row{scenario: "resident while idle, " + filled, target: "< " + megabytes(residentTarget)}
	lost := row{scenario: "acknowledged posts lost by kill -9", target: "0"}
	if own != nil {
		memory.rate, memory.met = megabytes(own.resident), verdictIf(own.resident < residentTarget)
		lost.rate, lost.met = fmt.Sprintf("%d of %d", own.lost, own.checked), verdictIf(own.lost == 0)
	}
	if peer != nil {
		lost.peerRate = fmt.Sprintf("%d of %d", peer.lost, peer.checked)
	}
	b.rows = append(b.rows, memory, lost)
}
