package fileblob

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/bobbindb/bobbin/shared/blob"
)

// List implements blob.Bucket. A page reads the directories that it goes through
// once each. The names of one with more than DefaultListLimit of them are kept for
// the next page, and used again if the directory has not changed by then; so a
// directory at rest is read once for a whole listing, and one that is being written
// to once a page.
func (b *Bucket) List(ctx context.Context, opts blob.ListOptions) (blob.Listing, error) {
	w := walk{b: b, ctx: ctx, opts: opts, limit: opts.PageSize()}
	err := ctx.Err()
	if err == nil {
		err = w.list()
	}
	if err != nil {
		return blob.Listing{}, fmt.Errorf("list %s: %w", opts.Prefix, err)
	}
	return blob.Listing{Entries: w.entries, More: w.more, Date: b.now()}, nil
}

// walk is one page in the making.
type walk struct {
	b       *Bucket
	ctx     context.Context
	opts    blob.ListOptions
	limit   int
	entries []blob.Entry
	more    bool
}

// list begins at the lowest directory that holds every key with the prefix.
func (w *walk) list() error {
	at := w.opts.Prefix[:strings.LastIndexByte(w.opts.Prefix, '/')+1]
	if at != "" && blob.CheckKey(strings.TrimSuffix(at, "/")) != nil {
		return nil // No key begins so.
	}
	if w.opts.After > at && !strings.HasPrefix(w.opts.After, at) {
		return nil // It is past all of them.
	}
	if err := w.dir(at); err != nil {
		return err
	}
	if !w.more {
		w.b.listings.forget(at)
	}
	return nil
}

// dir adds the keys that begin with at, which is "" or ends in a slash. Names of
// directories end in a slash too, so that names in byte order give keys in byte
// order: "a-b" comes before "a/b".
func (w *walk) dir(at string) error {
	names, err := w.b.names(w.ctx, at)
	if err != nil {
		return err
	}
	for _, name := range names[w.start(at, names):] {
		key := at + name
		inside := strings.HasPrefix(key, w.opts.Prefix)
		isDir := strings.HasSuffix(name, "/")
		switch {
		case !inside && key > w.opts.Prefix:
			return nil // So are all that follow.
		case !inside:
			continue
		case key <= w.opts.After && !(isDir && strings.HasPrefix(w.opts.After, key)):
			continue
		case isDir:
			err = w.dir(key)
		case inside:
			err = w.file(key)
		}
		if err != nil || w.more {
			return err
		}
	}
	return nil
}

// start is the place in the sorted names before which none is wanted.
func (w *walk) start(at string, names []string) int {
	rest, ok := strings.CutPrefix(max(w.opts.After, w.opts.Prefix), at)
	if !ok {
		return 0
	}
	place, _ := slices.BinarySearch(names, rest)
	return max(0, place-1) // The one before may be the directory that rest is in.
}

func (w *walk) file(key string) error {
	if len(w.entries) == w.limit {
		w.more = true
		return nil
	}
	info, err := os.Lstat(w.b.path(key))
	if err != nil {
		if isAbsent(err) {
			return nil // Deleted since its directory was read.
		}
		return readError(err)
	}
	if info.Mode().IsRegular() {
		w.entries = append(w.entries, blob.Entry{Key: key, Size: info.Size()})
	}
	return nil
}

const (
	// restTime is how long ago a directory must have changed for its modification
	// time to tell of the next change: longer than the tick of any file system.
	restTime = 3 * time.Second

	// listingsLimit is the number of directories whose names are kept.
	listingsLimit = 4
)

// listings are the names in large directories that were listed in part.
type listings struct {
	mu    sync.Mutex
	dirs  []dirNames // the last one used is the last
	reads int        // directories read, for tests
}

type dirNames struct {
	at    string
	info  os.FileInfo
	names []string
}

// names returns the names in the directory that at names, in byte order.
func (b *Bucket) names(ctx context.Context, at string) ([]string, error) {
	path := b.path(at)
	info, err := os.Stat(path)
	if err == nil {
		if names, ok := b.listings.find(at, info); ok {
			return names, nil
		}
		var names []string
		if names, err = readNames(ctx, path); err == nil {
			b.listings.keep(dirNames{at: at, info: info, names: names})
			return names, nil
		}
	}
	switch {
	case ctx.Err() != nil:
		return nil, ctx.Err()
	case isAbsent(err) && at != "":
		return nil, nil
	case isAbsent(err):
		return nil, fmt.Errorf("%w: %w", blob.ErrUnavailable, err) // The folder is gone.
	}
	return nil, readError(err)
}

// readNames reads a directory. It leaves out what is no part of a key.
func readNames(ctx context.Context, path string) ([]string, error) {
	d, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer d.Close()
	var names []string
	for {
		entries, err := d.ReadDir(1024)
		for _, entry := range entries {
			switch name := entry.Name(); {
			case !blob.IsSegment(name):
			case entry.IsDir():
				names = append(names, name+"/")
			case entry.Type().IsRegular():
				names = append(names, name)
			}
		}
		if errors.Is(err, io.EOF) {
			slices.Sort(names)
			return names, nil
		}
		if err = errors.Join(err, ctx.Err()); err != nil {
			return nil, err
		}
	}
}

// find returns the names kept of a directory that info now describes, if it has not
// changed.
func (l *listings) find(at string, info os.FileInfo) ([]string, bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for i, dir := range l.dirs {
		if dir.at != at {
			continue
		}
		l.dirs = slices.Delete(l.dirs, i, i+1)
		if !os.SameFile(info, dir.info) || !info.ModTime().Equal(dir.info.ModTime()) {
			return nil, false
		}
		l.dirs = append(l.dirs, dir)
		return dir.names, true
	}
	return nil, false
}

// keep keeps the names of a large directory at rest. Its info is from before it was
// read. It is compared with this machine's clock, which the file system dated it by,
// and not with the bucket's, which may be any.
func (l *listings) keep(dir dirNames) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.reads++
	if len(dir.names) <= blob.DefaultListLimit || time.Since(dir.info.ModTime()) < restTime {
		return
	}
	l.dirs = slices.DeleteFunc(l.dirs, func(other dirNames) bool { return other.at == dir.at })
	if len(l.dirs) == listingsLimit {
		l.dirs = slices.Delete(l.dirs, 0, 1)
	}
	l.dirs = append(l.dirs, dir)
}

// forget drops the names of a directory and of those in it.
func (l *listings) forget(at string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.dirs = slices.DeleteFunc(l.dirs, func(dir dirNames) bool { return strings.HasPrefix(dir.at, at) })
}
