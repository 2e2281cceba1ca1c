//go:build linux

package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/bobbindb/bobbin/test/bench/peer"
)

// fact is one line about the machine or the run.
type fact struct{ name, value string }

// machineFacts describes where the figures come from.
func machineFacts(ctx context.Context, dir string, post peer.Post) ([]fact, error) {
	var kernel syscall.Utsname
	if err := syscall.Uname(&kernel); err != nil {
		return nil, fmt.Errorf("ask the kernel's name: %w", err)
	}
	if err := refuseMemory(dir); err != nil {
		return nil, err
	}
	sync, err := syncTime(dir)
	if err != nil {
		return nil, fmt.Errorf("measure fsync: %w", err)
	}
	version, err := peer.Version(ctx)
	if err != nil {
		version = "not installed"
	}
	loads, err := os.ReadFile("/proc/loadavg")
	if err != nil {
		return nil, err
	}
	return []fact{
		{"date", time.Now().UTC().Format("2006-01-02 15:04 UTC")},
		{"processor", processorModel()},
		{"cores", fmt.Sprintf("%d, shared by server and generator", runtime.NumCPU())},
		{"kernel", charsToString(kernel.Sysname[:]) + " " + charsToString(kernel.Release[:])},
		{"Go", runtime.Version()},
		{"PostgreSQL", version + "; " + strings.Join(peer.Settings(), " ") + "; a post is one " + string(post)},
		{"append 4 KB and fsync", short(sync) + " (median)"},
		{"load average at the start", strings.Join(strings.Fields(string(loads))[:3], " ")},
		{"command", strings.Join(append([]string{filepath.Base(os.Args[0])}, os.Args[1:]...), " ")},
	}, nil
}

// refuseMemory refuses a folder whose files are in memory: fsync does nothing there.
func refuseMemory(dir string) error {
	const tmpfs, ramfs = 0x01021994, 0x858458f6
	var stat syscall.Statfs_t
	if err := syscall.Statfs(dir, &stat); err != nil {
		return fmt.Errorf("look at the file system of %s: %w", dir, err)
	}
	if kind := uint32(stat.Type); kind == tmpfs || kind == ramfs {
		return fmt.Errorf("%s is in memory, where fsync does nothing: give --dir on a disk", dir)
	}
	return nil
}

func processorModel() string {
	text, err := os.ReadFile("/proc/cpuinfo")
	if err != nil {
		return "unknown"
	}
	for line := range strings.Lines(string(text)) {
		if name, value, _ := strings.Cut(line, ":"); strings.TrimSpace(name) == "model name" {
			return strings.TrimSpace(value)
		}
	}
	return runtime.GOARCH
}

func charsToString[C int8 | uint8](chars []C) string {
	var text strings.Builder
	for _, c := range chars {
		if c == 0 {
			break
		}
		text.WriteByte(byte(c))
	}
	return text.String()
}

// syncTime is the median time of an append of 4 KB made durable.
func syncTime(dir string) (time.Duration, error) {
	file, err := os.CreateTemp(dir, "fsync-")
	if err != nil {
		return 0, err
	}
	defer os.Remove(file.Name())
	defer file.Close()
	block := make([]byte, 4096)
	var times []time.Duration
	for range 200 {
		began := time.Now()
		if _, err := file.Write(block); err != nil {
			return 0, err
		}
		if err := file.Sync(); err != nil {
			return 0, err
		}
		times = append(times, time.Since(began))
	}
	slices.Sort(times)
	return times[len(times)/2], nil
}

// preface begins the report: what it is, and how to have it anew.
const preface = "# Benchmarks\n\n" +
	"This file is written by the bench, never by hand.\n\n" +
	"```\n" +
	"make bench                              # Bobbin alone\n" +
	"make bench DATA=conversations.ndjson.gz # with imports of real conversations\n" +
	"make bench-peer                         # beside PostgreSQL, in the same run\n" +
	"```\n\n" +
	"`make bench-peer` needs PostgreSQL's programs (`scripts/install-bench-peer`). Stores go\n" +
	"to the system's folder for temporary files unless `--dir` says otherwise; it must be on\n" +
	"a disk for `fsync` to mean anything. `bobbin bench` is a quick look at one machine.\n\n" +
	"## On a folder\n\n"

// writeReport writes the facts, the table and the notes as markdown.
func (b *bench) writeReport(facts []fact) error {
	var text strings.Builder
	text.WriteString(preface)
	for _, f := range facts {
		fmt.Fprintf(&text, "- %s: %s\n", f.name, f.value)
	}
	text.WriteString("\n")
	writeMarkdown(&text, b.rows)
	for _, note := range b.notes {
		fmt.Fprintf(&text, "\n%s\n", note)
	}
	return os.WriteFile(b.options.out, []byte(text.String()), 0o644)
}
