//go:build linux

package main

import (
	"context"
	"fmt"
	"os"
	"slices"
	"time"

	"github.com/bobbindb/bobbin/test/bench/load"
)

// warmUp precedes every measurement and does not count.
const warmUp = time.Second

// figure is one measured load.
type figure struct {
	rate     float64
	p50, p99 time.Duration
	max      time.Duration
	errors   int
	first    error
}

// measureLoad measures one load on one server, after a short warm-up of the same.
func measureLoad(ctx context.Context, s server, duration time.Duration, opts load.Options) (figure, error) {
	opts.Duration, opts.Requests = warmUp, 0
	opts.Addr = s.endpoint().addr
	if _, err := load.Run(ctx, opts); err != nil {
		return figure{}, err
	}
	opts.Duration = duration
	serverCPU, ownCPU := cpuTime(s.pids()), ownCPUTime()
	result, err := load.Run(ctx, opts)
	if err != nil {
		return figure{}, err
	}
	serverCPU, ownCPU = cpuTime(s.pids())-serverCPU, ownCPUTime()-ownCPU
	f := figure{
		rate: result.Rate(), p50: result.Latency.Quantile(0.50), p99: result.Latency.Quantile(0.99), max: result.Latency.Max(),
		errors: result.Errors, first: result.FirstError,
	}
	perRequest := time.Duration(max(1, result.Requests))
	progress("  %-8s %8.0f/s  p50 %s  p99 %s  max %s  errors %d  CPU a request: server %s, generator %s",
		s.name(), f.rate, short(f.p50), short(f.p99), short(f.max), f.errors, short(serverCPU/perRequest), short(ownCPU/perRequest))
	if f.first != nil {
		progress("           first error: %v", f.first)
	}
	return f, ctx.Err()
}

// median returns the figure with the middle rate.
func median(figures []figure) figure {
	slices.SortFunc(figures, func(a, b figure) int { return int(a.rate - b.rate) })
	return figures[len(figures)/2]
}

// short rounds a duration to three digits or so.
func short(d time.Duration) string {
	switch {
	case d >= 10*time.Second:
		return d.Round(100 * time.Millisecond).String()
	case d >= time.Second:
		return d.Round(10 * time.Millisecond).String()
	case d >= 10*time.Millisecond:
		return d.Round(100 * time.Microsecond).String()
	default:
		return d.Round(time.Microsecond).String()
	}
}

func progress(format string, args ...any) { fmt.Fprintf(os.Stderr, format+"\n", args...) }
