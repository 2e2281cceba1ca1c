//go:build linux

package main

import (
	"fmt"
	"strings"
	"time"
)

// target is what a load should reach; a zero field asks for nothing.
type target struct {
	rate  float64
	p50   time.Duration
	p99   time.Duration
	ratio float64 // rate against the peer's; then p99 must be no worse either
}

func (t target) String() string {
	var parts []string
	if t.rate > 0 {
		parts = append(parts, fmt.Sprintf("≥ %s/s", thousands(int64(t.rate))))
	}
	if t.p50 > 0 {
		parts = append(parts, "p50 ≤ "+t.p50.String())
	}
	if t.p99 > 0 {
		parts = append(parts, "p99 ≤ "+t.p99.String())
	}
	if t.ratio > 0 {
		parts = append(parts, fmt.Sprintf("≥ %.1fx peer", t.ratio))
	}
	return strings.Join(parts, ", ")
}

// judge says "yes", or what was missed. Without a peer its part is left out.
func (t target) judge(own figure, peer *figure) string {
	var missed []string
	miss := func(what string, is bool) {
		if is {
			missed = append(missed, what)
		}
	}
	miss(fmt.Sprintf("%d errors", own.errors), own.errors > 0)
	miss("rate", own.rate < t.rate)
	miss("p50", t.p50 > 0 && own.p50 > t.p50)
	miss("p99", t.p99 > 0 && own.p99 > t.p99)
	if peer != nil && t.ratio > 0 {
		miss("ratio", own.rate < t.ratio*peer.rate)
		miss("p99 above peer", own.p99 > peer.p99)
	}
	return verdict(missed...)
}

// verdict is "yes" when nothing was missed.
func verdict(missed ...string) string {
	if len(missed) == 0 {
		return "yes"
	}
	return "no: " + strings.Join(missed, ", ")
}

// verdictIf is the verdict on a single condition.
func verdictIf(met bool) string {
	if met {
		return "yes"
	}
	return "no"
}
