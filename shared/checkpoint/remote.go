package checkpoint

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"sync"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
)

const (
	readAhead  = 48 // chunks that a sequential reader has fetched before it asks
	tailsAhead = 16 // tables whose tails are fetched for who reads one after another
)

var errReadOnly = errors.New("tables in the bucket are read-only")

// remoteFile is an open table whose bytes lie in the bucket.
type remoteFile struct {
	fs    *FS
	fetch *fetcher
	table *Table
	id    string // table.id, made once

	mu         sync.Mutex
	pos        int64 // of Read
	sequential bool  // opened so, or seen to be
	next       int64 // the chunk after the last one read
	inOrder    int   // how many times in a row the chunk after the last was read
	aheadTo    int64 // chunks before this one were asked for
	aheadPast  int64 // chunks of the tables that follow were asked for
}

var _ vfs.File = (*remoteFile)(nil)

// ReadAt waits for the chunks that hold the range, and has those behind it fetched
// when the file is read in order.
func (f *remoteFile) ReadAt(p []byte, off int64) (int, error) {
	if off < 0 {
		return 0, fmt.Errorf("read table %s at %d: %w", f.table.Name, off, fs.ErrInvalid)
	}
	if off >= f.table.Size {
		return 0, io.EOF
	}
	short := int64(len(p)) > f.table.Size-off
	if short {
		p = p[:f.table.Size-off]
	}
	if len(p) == 0 {
		return 0, nil
	}
	first, end := off/chunkSize, (off+int64(len(p))-1)/chunkSize+1
	f.lookAhead(first, end)
	if err := f.copyChunks(p, off, first, end); err != nil {
		return 0, err
	}
	if short {
		return len(p), io.EOF
	}
	return len(p), nil
}

// copyChunks fills p from the chunks that hold it.
func (f *remoteFile) copyChunks(p []byte, off, first, end int64) error {
	if end == first+1 {
		if data := f.fetch.cache.fromMemory(chunkID{f.id, first}); data != nil {
			copy(p, data[off-first*chunkSize:])
			return nil
		}
	}
	// Who reads in the tail needs all of it: a footer leads to an index.
	from, to := first, end
	if tail, last := f.table.tailChunks(); first >= tail {
		from, to = tail, last
		f.fs.lookAtTails(f.table)
	}
	flights := f.fetch.chunks(f.table, from, to, false)
	for n := first; n < end; n++ {
		data, err := flights[n-from].wait(context.Background())
		if err != nil {
			return err
		}
		start := n * chunkSize
		copy(p[max(0, start-off):], data[max(0, off-start):])
	}
	return nil
}

// lookAhead notes which chunks are read and, for a sequential reader, starts the next
// ones: half of the look-ahead at a time, so that one GET brings several.
func (f *remoteFile) lookAhead(first, end int64) {
	f.mu.Lock()
	defer f.mu.Unlock()
	follows := first == f.next || first == f.next-1
	switch {
	case !follows:
		f.inOrder = 0
	case end > f.next:
		f.inOrder++
	}
	if first > f.aheadTo || end < f.next-1 {
		f.aheadTo = first // the reader jumped
	}
	f.next = end
	ahead := int64(readAhead)
	if !f.sequential {
		if f.inOrder < 2 {
			return
		}
		ahead = min(readAhead, int64(2*f.inOrder))
	}
	count := chunkCount(f.table.Size)
	to := min(end+ahead, count)
	if f.aheadTo < to && f.aheadTo <= end+ahead/2 {
		f.fetch.chunks(f.table, max(first, f.aheadTo), to, true)
		f.aheadTo = to
	}
	if past := end + ahead - count; f.sequential && past >= f.aheadPast+ahead/4 {
		f.fs.lookPast(f.table, f.aheadPast, past)
		f.aheadPast = past
	}
}

// lookPast starts fetching the tables that follow t by key, as if they were one file, from
// one chunk to before another. Within a level one table ends where the next begins, so
// what follows is nearly always the next one that a scan or a compaction reads. Pebble
// opens all that a compaction will read before it reads, so one that was never opened is
// read by a scan, if at all: the beginning of one such is enough.
func (f *FS) lookPast(t *Table, from, to int64) {
	for to > 0 {
		if t = f.after(t); t == nil {
			return
		}
		count := chunkCount(t.Size)
		opened := f.opened(t)
		if !opened {
			to = min(to, readAhead/2, count)
		}
		if from < min(to, count) {
			plan := []span{{t, max(0, from), min(to, count)}}
			if from <= 0 {
				plan = append(plan, t.tail())
			}
			for _, s := range merge(plan) {
				f.fetch.chunks(s.table, s.first, s.end, true)
			}
		}
		if !opened {
			return
		}
		from, to = from-count, to-count
	}
}

// lookAtTails starts fetching the tails of the tables that follow t by key when t is
// the third in a row whose tail is asked for. Pebble looks into all tables of a level,
// one after another, before it compacts them.
func (f *FS) lookAtTails(t *Table) {
	f.mu.Lock()
	before := f.tailed
	f.mu.Unlock()
	follows := before != nil && f.after(before) == t
	f.mu.Lock()
	if f.tailed = t; follows {
		f.tailRun++
	} else {
		f.tailRun = 0
	}
	run := f.tailRun
	f.mu.Unlock()
	if run < 2 {
		return
	}
	for range tailsAhead {
		next := f.after(t)
		if next == nil {
			break
		}
		tail := next.tail()
		f.fetch.chunks(next, tail.first, tail.end, true)
		t = next
	}
	f.mu.Lock()
	f.tailed = t
	f.mu.Unlock()
}

// Read reads on from where the last Read ended.
func (f *remoteFile) Read(p []byte) (int, error) {
	f.mu.Lock()
	pos := f.pos
	f.mu.Unlock()
	n, err := f.ReadAt(p, pos)
	if n > 0 && errors.Is(err, io.EOF) {
		err = nil
	}
	f.mu.Lock()
	f.pos = pos + int64(n)
	f.mu.Unlock()
	return n, err
}

// Prefetch has a range fetched without waiting for it.
func (f *remoteFile) Prefetch(offset, length int64) error {
	first, end := chunkSpan(f.table, offset, length)
	if first < end {
		f.fetch.chunks(f.table, first, end, true)
	}
	return nil
}

// chunkSpan is the chunks that hold a range of a table, as far as it reaches. A length
// of 0 reaches to the end.
func chunkSpan(t *Table, offset, length int64) (first, end int64) {
	last := t.Size
	if length > 0 {
		last = min(last, offset+length)
	}
	if offset < 0 || offset >= last {
		return 0, 0
	}
	return offset / chunkSize, chunkCount(last)
}

func (f *remoteFile) Stat() (vfs.FileInfo, error)        { return tableInfo{f.table}, nil }
func (f *remoteFile) Close() error                       { return nil }
func (f *remoteFile) Write([]byte) (int, error)          { return 0, errReadOnly }
func (f *remoteFile) WriteAt([]byte, int64) (int, error) { return 0, errReadOnly }
func (f *remoteFile) Preallocate(_, _ int64) error       { return errReadOnly }
func (f *remoteFile) Sync() error                        { return nil }
func (f *remoteFile) SyncData() error                    { return nil }
func (f *remoteFile) SyncTo(int64) (bool, error)         { return true, nil }
func (f *remoteFile) Fd() uintptr                        { return vfs.InvalidFd }

// tableInfo answers Stat from what the checkpoint object says.
type tableInfo struct{ *Table }

func (i tableInfo) Name() string           { return i.Table.Name }
func (i tableInfo) Size() int64            { return i.Table.Size }
func (i tableInfo) Mode() fs.FileMode      { return 0o444 }
func (i tableInfo) ModTime() time.Time     { return time.Time{} }
func (i tableInfo) IsDir() bool            { return false }
func (i tableInfo) Sys() any               { return nil }
func (i tableInfo) DeviceID() vfs.DeviceID { return vfs.DeviceID{} }

// placeFile is a table of a folder, open where it lies.
type placeFile struct {
	*os.File
	table *Table
}

var _ vfs.File = (*placeFile)(nil)

func (f *placeFile) Stat() (vfs.FileInfo, error)  { return tableInfo{f.table}, nil }
func (f *placeFile) Preallocate(_, _ int64) error { return errReadOnly }
func (f *placeFile) SyncData() error              { return nil }
func (f *placeFile) SyncTo(int64) (bool, error)   { return true, nil }
func (f *placeFile) Prefetch(_, _ int64) error    { return nil }
