//go:build linux

package main

import (
	"fmt"
	"io"
	"strconv"
	"strings"
	"unicode/utf8"
)

// row is one line of the result. Rate holds the figure, whatever its unit.
type row struct {
	scenario    string
	connections int // 0 where it means nothing
	rate        string
	p50, p99    string
	target      string
	met         string
	peerRate    string
	peerP99     string
	ratio       string // above 1 Bobbin is better
}

var header = []string{"scenario", "connections", "figure", "p50", "p99", "target", "met", "PostgreSQL", "its p99", "ratio"}

func (r row) cells() []string {
	connections := ""
	if r.connections > 0 {
		connections = strconv.Itoa(r.connections)
	}
	return []string{r.scenario, connections, r.rate, r.p50, r.p99, r.target, r.met, r.peerRate, r.peerP99, r.ratio}
}

// loadRow is the row of a load. Either figure may be missing.
func loadRow(scenario string, connections int, t target, own, peer *figure) row {
	r := row{scenario: scenario, connections: connections, target: t.String()}
	if own != nil {
		r.rate, r.p50, r.p99 = perSecond(own.rate), short(own.p50), short(own.p99)
		r.met = t.judge(*own, peer)
	}
	if peer != nil {
		r.peerRate, r.peerP99 = perSecond(peer.rate), short(peer.p99)
		if peer.errors > 0 {
			r.peerRate += fmt.Sprintf(" (%d errors)", peer.errors)
		}
	}
	if own != nil && peer != nil && peer.rate > 0 {
		r.ratio = fmt.Sprintf("%.2fx", own.rate/peer.rate)
	}
	return r
}

// writeAligned prints rows for a terminal.
func writeAligned(w io.Writer, rows []row) {
	lines := [][]string{header}
	for _, r := range rows {
		lines = append(lines, r.cells())
	}
	widths := make([]int, len(header))
	for _, line := range lines {
		for i, cell := range line {
			widths[i] = max(widths[i], utf8.RuneCountInString(cell))
		}
	}
	for _, line := range lines {
		var text strings.Builder
		for i, cell := range line {
			text.WriteString(cell)
			text.WriteString(strings.Repeat(" ", widths[i]-utf8.RuneCountInString(cell)+2))
		}
		fmt.Fprintln(w, strings.TrimRight(text.String(), " "))
	}
}

// writeMarkdown prints rows as a markdown table.
func writeMarkdown(w io.Writer, rows []row) {
	line := func(cells []string) { fmt.Fprintf(w, "| %s |\n", strings.Join(cells, " | ")) }
	line(header)
	fmt.Fprintln(w, "|"+strings.Repeat("---|", len(header)))
	for _, r := range rows {
		line(r.cells())
	}
}

func perSecond(rate float64) string { return thousands(int64(rate+0.5)) + "/s" }

// thousands writes n with commas.
func thousands(n int64) string {
	digits := strconv.FormatInt(n, 10)
	var text strings.Builder
	for i, digit := range digits {
		if i > 0 && (len(digits)-i)%3 == 0 && digits[i-1] != '-' {
			text.WriteByte(',')
		}
		text.WriteRune(digit)
	}
	return text.String()
}

// megabytes writes a size in units of 10^6 bytes.
func megabytes(n int64) string { return fmt.Sprintf("%.1f MB", float64(n)/1e6) }
