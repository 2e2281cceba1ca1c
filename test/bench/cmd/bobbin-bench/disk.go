//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"strings"
	"time"
)

const (
	bytesTarget  = 1300 // of tables for one random message of 1 KB
	folderTarget = 1.3  // folder against live tables and log
)

// runDisk lets a filled store run idle as long as asked, stops it, reads its
// sizes and starts it again.
func (b *bench) runDisk(ctx context.Context, store *bobbin, t thread) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(b.options.wait):
	}
	if err := store.stop(); err != nil {
		return err
	}
	tables, err := b.tableBytes(ctx, store)
	if err != nil {
		return err
	}
	sizes, err := folderSizes(store.dir)
	if err != nil {
		return err
	}
	each := float64(tables) / float64(b.options.messages)
	b.rows = append(b.rows, row{
		scenario: "tables a random 1 KB message", rate: fmt.Sprintf("%.0f B", each),
		target: fmt.Sprintf("≤ %s B", thousands(bytesTarget)), met: verdictIf(each <= bytesTarget),
	})
	live := tables + sizes["log"] + sizes["segments"]
	ratio := float64(sizes.total()) / float64(max(1, live))
	met := "too early to say"
	if b.options.wait > 0 {
		met = verdictIf(ratio <= folderTarget)
	}
	b.rows = append(b.rows, row{
		scenario: "folder against live tables and log", rate: fmt.Sprintf("%.2fx", ratio),
		target: fmt.Sprintf("≤ %.1fx after window and grace", folderTarget), met: met,
	})
	b.note("folder: %s", sizes)
	_, err = startAndAwait(ctx, store, t)
	return err
}

func (b *bench) note(format string, args ...any) {
	b.notes = append(b.notes, fmt.Sprintf(format, args...))
}

// tableBytes is what the store says of its newest checkpoint's tables; when it
// says nothing, the size of every table in the folder.
func (b *bench) tableBytes(ctx context.Context, store *bobbin) (int64, error) {
	raw, fields, err := store.status(ctx)
	if err != nil {
		return 0, err
	}
	progress("status: %s", raw)
	if n, found := find(fields, "tables_bytes"); found {
		return int64(n), nil
	}
	sizes, err := folderSizes(store.dir)
	if err != nil {
		return 0, err
	}
	b.note("status names no tables_bytes: all tables in the folder are counted")
	return sizes["tables"], nil
}

// find looks for a number by name, the outermost first.
func find(fields map[string]any, name string) (float64, bool) {
	if n, ok := fields[name].(float64); ok {
		return n, true
	}
	for _, value := range fields {
		inner, ok := value.(map[string]any)
		if !ok {
			continue
		}
		if n, found := find(inner, name); found {
			return n, true
		}
	}
	return 0, false
}

// folder is the size of a store's objects by kind.
type folder map[string]int64

func (f folder) total() (sum int64) {
	for _, n := range f {
		sum += n
	}
	return sum
}

func (f folder) String() string {
	var parts []string
	for _, kind := range []string{"tables", "log", "segments", "checkpoints", "keys", "other"} {
		parts = append(parts, kind+" "+megabytes(f[kind]))
	}
	return strings.Join(parts, ", ") + "; all " + megabytes(f.total())
}

// folderSizes adds up the files of a store. A kind is a folder's name in the
// path; what fits none is "other".
func folderSizes(dir string) (folder, error) {
	sizes := folder{}
	err := filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err != nil || !entry.Type().IsRegular() {
			return err
		}
		info, err := entry.Info()
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err != nil {
			return err
		}
		within, err := filepath.Rel(dir, path)
		sizes[kindOf(within)] += info.Size()
		return err
	})
	return sizes, err
}

func kindOf(path string) string {
	for part := range strings.SplitSeq(filepath.Dir(path), string(filepath.Separator)) {
		switch part {
		case "tables", "log", "segments", "checkpoints", "keys":
			return part
		}
	}
	return "other"
}
