package checkpoint

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/bobbindb/bobbin/shared/blob"
	"github.com/bobbindb/bobbin/shared/commitlog"
)

// FS is a vfs.FS over a local one in which some names stand for tables in the bucket.
// Such a file is read-only; its bytes are fetched in chunks when they are first read,
// or, on a folder, read where they lie. Renaming, linking and removing it changes only
// names, so DB.Checkpoint copies nothing.
//
// A table that the bucket has no more is never reported as not existing, which Pebble
// would take for corruption: Open on a folder and ReadAt elsewhere return ErrTableGone.
type FS struct {
	vfs.FS // the local one, for what has to do with no remote name
	bucket blob.Bucket
	folder blob.Folder // or nil
	fetch  *fetcher

	mu     sync.Mutex
	names  map[string]*Table // by cleaned path
	looked map[*Table]bool   // those opened for other than reading in order
	sorted []*Table          // those with known bounds by smallest key; nil when names changed
	tailed *Table            // whose tail was asked for last

	tailRun int // how many times in a row that was the table after the one before
}

var _ vfs.FS = (*FS)(nil)

// Memory is a local file system that ends with the process.
func Memory() vfs.FS { return vfs.NewMem() }

// FSOptions says what an FS is made of.
type FSOptions struct {
	Local  vfs.FS      // Disk or Memory
	Bucket blob.Bucket // a blob.Folder is read in place
	Cache  *Cache      // nil for one in memory, of the FS's own

	// OnGone is called once for each table found gone, with its key, from whatever
	// goroutine found it. It must return soon and must not call Close.
	OnGone func(key string)

	FetchTimeout time.Duration // of one GET; 0 means 10 s
}

// NewFS returns an FS without remote names. Close it after the database.
func NewFS(opts FSOptions) *FS {
	if opts.Cache == nil {
		opts.Cache = OpenCache(CacheOptions{})
	}
	if opts.FetchTimeout <= 0 {
		opts.FetchTimeout = fetchTimeout
	}
	ctx, cancel := context.WithCancel(context.Background())
	folder, _ := opts.Bucket.(blob.Folder)
	return &FS{
		FS:     opts.Local,
		bucket: opts.Bucket,
		folder: folder,
		names:  make(map[string]*Table),
		looked: make(map[*Table]bool),
		fetch: &fetcher{
			bucket:  opts.Bucket,
			cache:   opts.Cache,
			timeout: opts.FetchTimeout,
			onGone:  opts.OnGone,
			ctx:     ctx,
			cancel:  cancel,
			ahead:   make(chan struct{}, maxAhead),
			flights: make(map[chunkID]*flight),
			gone:    make(map[string]bool),
		},
	}
}

// Close ends every fetch and waits until none is under way. Reads fail afterwards.
func (f *FS) Close() error {
	f.fetch.close()
	return nil
}

// Restore makes dir hold the database of a checkpoint: the small files as local files,
// the tables as remote names. The directory must be empty or missing. Nothing is
// synced: after a crash of the machine restore again.
func (f *FS) Restore(ctx context.Context, object *Object, dir string) error {
	if err := f.MkdirAll(dir, 0o700); err != nil {
		return fmt.Errorf("restore into %s: %w", dir, err)
	}
	names, err := f.List(dir)
	if err != nil {
		return fmt.Errorf("restore into %s: %w", dir, err)
	}
	if len(names) > 0 {
		return fmt.Errorf("restore into %s: it holds %s: %w", dir, names[0], os.ErrExist)
	}
	for _, file := range object.Files {
		if err := ctx.Err(); err != nil {
			return fmt.Errorf("restore into %s: %w", dir, err)
		}
		if err := f.writeFile(f.PathJoin(dir, file.Name), file.Body); err != nil {
			return fmt.Errorf("restore into %s: %w", dir, err)
		}
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	for i := range object.Tables {
		f.set(f.PathJoin(dir, object.Tables[i].Name), &object.Tables[i])
	}
	return nil
}

func (f *FS) writeFile(name string, body []byte) error {
	file, err := f.FS.Create(name, vfs.WriteCategoryUnspecified)
	if err != nil {
		return err
	}
	// A vfs.File may change what it is given to write, and body is the object's.
	_, err = file.Write(slices.Clone(body))
	return errors.Join(err, file.Close())
}

// set makes a name stand for a table, or for none if that is nil. The caller holds mu.
func (f *FS) set(name string, table *Table) {
	if table == nil {
		if f.names[name] == nil {
			return
		}
		delete(f.names, name)
	} else {
		f.names[name] = table
	}
	f.sorted = nil
}

// remote is the table that a name stands for, or nil if it is a local name.
func (f *FS) remote(name string) *Table {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.names[f.PathJoin(name)]
}

// Open opens a local file, or a table for reading.
func (f *FS) Open(name string, opts ...vfs.OpenOption) (vfs.File, error) {
	table := f.remote(name)
	if table == nil {
		return f.FS.Open(name, opts...)
	}
	if f.folder != nil {
		return f.openInPlace(table, opts)
	}
	sequential := slices.Contains(opts, vfs.SequentialReadsOption)
	if !sequential {
		f.mu.Lock()
		f.looked[table] = true
		f.mu.Unlock()
	}
	return &remoteFile{fs: f, fetch: f.fetch, table: table, id: table.id(), sequential: sequential}, nil
}

// opened reports whether a table was opened for other than reading in order.
func (f *FS) opened(t *Table) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.looked[t]
}

func (f *FS) openInPlace(table *Table, opts []vfs.OpenOption) (vfs.File, error) {
	file, err := f.folder.OpenFile(table.Key())
	if errors.Is(err, blob.ErrNotExist) {
		f.fetch.markGone(table)
		return nil, &TableError{Key: table.Key(), Err: ErrTableGone}
	}
	if err != nil {
		return nil, fmt.Errorf("open table %s: %w", table.Name, err)
	}
	if info, err := file.Stat(); err == nil && info.Size() != table.Size {
		err := fmt.Errorf("it has %d bytes, its checkpoint says %d: %w", info.Size(), table.Size, commitlog.ErrDamaged)
		return nil, errors.Join(&TableError{Key: table.Key(), Err: err}, file.Close())
	}
	placed := &placeFile{file, table}
	for _, opt := range opts {
		opt.Apply(placed)
	}
	return placed, nil
}

// Create makes a local file. A remote name in its place is gone.
func (f *FS) Create(name string, category vfs.DiskWriteCategory) (vfs.File, error) {
	f.mu.Lock()
	f.set(f.PathJoin(name), nil)
	f.mu.Unlock()
	return f.FS.Create(name, category)
}

// OpenReadWrite opens a local file. A table cannot be written to.
func (f *FS) OpenReadWrite(name string, category vfs.DiskWriteCategory, opts ...vfs.OpenOption) (vfs.File, error) {
	if f.remote(name) != nil {
		return nil, &os.PathError{Op: "open for writing", Path: name, Err: errReadOnly}
	}
	return f.FS.OpenReadWrite(name, category, opts...)
}

// ReuseForWrite makes newname out of a local file. A table is not reused, only let go.
func (f *FS) ReuseForWrite(oldname, newname string, category vfs.DiskWriteCategory) (vfs.File, error) {
	if f.remote(oldname) != nil {
		if err := f.Remove(oldname); err != nil {
			return nil, err
		}
		return f.Create(newname, category)
	}
	f.mu.Lock()
	f.set(f.PathJoin(newname), nil)
	f.mu.Unlock()
	return f.FS.ReuseForWrite(oldname, newname, category)
}

// Link gives a file a second name.
func (f *FS) Link(oldname, newname string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	table := f.names[f.PathJoin(oldname)]
	if err := f.free(newname); err != nil {
		return &os.LinkError{Op: "link", Old: oldname, New: newname, Err: err}
	}
	if table == nil {
		return f.FS.Link(oldname, newname)
	}
	f.set(f.PathJoin(newname), table)
	return nil
}

// free returns an error unless name can be made: it is not taken, and its directory is
// there. The caller holds mu.
func (f *FS) free(name string) error {
	if f.names[f.PathJoin(name)] != nil {
		return os.ErrExist
	}
	if _, err := f.FS.Stat(name); err == nil {
		return os.ErrExist
	}
	_, err := f.FS.Stat(f.PathDir(f.PathJoin(name)))
	return err
}

// Rename gives a file or a directory another name, in place of what had it.
func (f *FS) Rename(oldname, newname string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	from, to := f.PathJoin(oldname), f.PathJoin(newname)
	if from == to {
		return nil
	}
	if table := f.names[from]; table != nil {
		if _, err := f.FS.Stat(to); err == nil {
			if err := f.FS.Remove(to); err != nil {
				return err
			}
		}
		f.set(from, nil)
		f.set(to, table)
		return nil
	}
	if err := f.FS.Rename(oldname, newname); err != nil {
		return err
	}
	f.set(to, nil)
	for name, table := range f.names {
		if rest, ok := f.within(name, from); ok {
			f.set(name, nil)
			f.set(f.PathJoin(to, rest), table)
		}
	}
	return nil
}

// within is the path of name below dir.
func (f *FS) within(name, dir string) (string, bool) {
	rest, ok := strings.CutPrefix(name, dir)
	if !ok || len(rest) < 2 || !os.IsPathSeparator(rest[0]) {
		return "", false
	}
	return rest[1:], true
}

// Remove removes a name. The table itself stays in the bucket.
func (f *FS) Remove(name string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	clean := f.PathJoin(name)
	if f.names[clean] != nil {
		f.set(clean, nil)
		return nil
	}
	for other := range f.names {
		if _, ok := f.within(other, clean); ok {
			return &os.PathError{Op: "remove", Path: name, Err: errNotEmpty}
		}
	}
	return f.FS.Remove(name)
}

var errNotEmpty = errors.New("directory not empty")

// RemoveAll removes a name and all names below it. Tables stay in the bucket.
func (f *FS) RemoveAll(name string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	clean := f.PathJoin(name)
	f.set(clean, nil)
	for other := range f.names {
		if _, ok := f.within(other, clean); ok {
			f.set(other, nil)
		}
	}
	return f.FS.RemoveAll(name)
}

// List lists local and remote names of a directory.
func (f *FS) List(dir string) ([]string, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	names, err := f.FS.List(dir)
	if err != nil {
		return nil, err
	}
	clean := f.PathJoin(dir)
	for name := range f.names {
		if f.PathDir(name) == clean {
			names = append(names, f.PathBase(name))
		}
	}
	return names, nil
}

// NameOf names a file as an operator finds it: a table by its key in the bucket.
func (f *FS) NameOf(path string) string {
	if table := f.remote(path); table != nil {
		return table.Key()
	}
	return path
}

// Stat never asks the bucket: the checkpoint object says what size a table has.
func (f *FS) Stat(name string) (vfs.FileInfo, error) {
	if table := f.remote(name); table != nil {
		return tableInfo{table}, nil
	}
	return f.FS.Stat(name)
}

// Unwrap is the local file system.
func (f *FS) Unwrap() vfs.FS { return f.FS }
