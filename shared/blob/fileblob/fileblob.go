// Package fileblob keeps a bucket in a folder: a key is a path in it, an object is
// a file, and any number of processes on this machine may use the folder at once.
//
// An object is written to a temp file in .tmp, made durable there, and only then
// given its name: by a hard link, which fails when the name is taken, or, for a
// swap, by a rename under a lock in .lock. So an object is whole or absent, whenever
// a process dies. Names that begin with a dot are no keys and are never listed.
//
// A new name is durable only once its directory is on disk as well, and a reader
// must not build on a name that a power cut may still take away. So the temp file
// stays, as a second name, until the directory is on disk: who opens an object that
// has two names while .tmp is not empty puts the directory on disk first. A Put
// whose directory could not be written is answered ErrUnavailable and leaves its
// temp file, so the read that follows it says "there" only when that is true.
//
// An ETag is the generation and the size of a version, with a hash of its bytes
// where they are at most 64 KiB. The generation is the file's modification time in
// nanoseconds, which this package sets; a swap makes it greater than the last, on
// file systems with coarse times too. The generation alone tells versions apart; the
// hash also tells when somebody else wrote the file, and larger objects, which no
// one swaps in practice, do without, so that reading them costs no hashing. An
// object stored by PutFile keeps the time of its file, since that file's other
// names may be objects too.
//
// The folder must be on a local file system with hard links. Where names do not
// tell upper from lower case, neither do keys. An object cannot be stored under a
// key that is a directory of other keys, nor below the key of an object: such a Put
// is ErrNotStored.
package fileblob

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/bobbindb/bobbin/shared/blob"
)

var _ blob.Folder = (*Bucket)(nil)

const (
	tempDir = ".tmp"
	lockDir = ".lock"

	// lockCount is the number of lock files. Keys share them by hash; sharing only
	// makes two swaps wait for each other.
	lockCount = 256

	// staleAfter is the age at which a temp file belongs to nobody alive. Should its
	// writer still live, its Put fails with ErrNotStored.
	staleAfter = time.Hour

	// A Delete is on disk after at most so many more in its directory, after a Put
	// there, or at Close.
	deletesPerSync = 256

	// settledLimit bounds what is remembered of directories.
	settledLimit = 4096

	// Objects are read by the user who runs the store and nobody else.
	fileMode = 0o600
	dirMode  = 0o700
)

// Options are what a Bucket takes from outside.
type Options struct {
	Now func() time.Time // dates answers and versions; time.Now if nil
}

// Bucket is a folder as a bucket. It is safe for concurrent use.
type Bucket struct {
	dir string
	now func() time.Time

	// What the operating system does, or a test in its place.
	sync    func(*os.File) error
	link    func(from, to string) error
	rename  func(from, to string) error
	setTime func(path string, accessed, modified time.Time) error

	// root keeps the folder open, so that its file system cannot be unmounted
	// beneath us and objects written to the empty mount point.
	root     *os.File
	rootInfo os.FileInfo

	newest atomic.Int64             // newest generation given out
	locks  [lockCount]chan struct{} // taken before the lock file of the same number

	mu      sync.Mutex
	settled map[string]bool // directories whose own names are on disk up to the root
	deletes map[string]int  // Deletes in a directory since it was last put on disk

	kept     keptFiles
	listings listings
}

// Open opens the folder at dir, made if it is not there, and removes what processes
// that died have left in it. A folder that cannot be written can be opened and read.
func Open(dir string, opts Options) (*Bucket, error) {
	if !supported {
		return nil, fmt.Errorf("open folder %s: no file locks on this system: %w", dir, errors.ErrUnsupported)
	}
	b := &Bucket{
		now: opts.Now, sync: (*os.File).Sync, link: os.Link, rename: os.Rename, setTime: os.Chtimes,
		settled: map[string]bool{}, deletes: map[string]int{},
	}
	if b.now == nil {
		b.now = time.Now
	}
	for i := range b.locks {
		b.locks[i] = make(chan struct{}, 1)
	}
	if err := b.openRoot(dir); err != nil {
		return nil, fmt.Errorf("open folder %s: %w", dir, err)
	}
	if err := b.removeStale(); err != nil {
		b.root.Close()
		return nil, fmt.Errorf("open folder %s: %w", dir, err)
	}
	return b, nil
}

func (b *Bucket) openRoot(dir string) (err error) {
	if b.dir, err = filepath.Abs(dir); err != nil {
		return err
	}
	if err := b.makeRoot(); err != nil {
		return err
	}
	if b.root, err = os.Open(b.dir); err != nil {
		return err
	}
	b.rootInfo, err = b.root.Stat()
	if err == nil && !b.rootInfo.IsDir() {
		err = errors.New("not a directory")
	}
	if err != nil {
		b.root.Close()
	}
	return err
}

// makeRoot makes the folder and puts on disk every directory that got a new name
// by that.
func (b *Bucket) makeRoot() error {
	var grew []string
	for dir := b.dir; ; dir = filepath.Dir(dir) {
		if _, err := os.Stat(dir); err == nil || !errors.Is(err, os.ErrNotExist) {
			break
		}
		grew = append(grew, filepath.Dir(dir))
	}
	if len(grew) == 0 {
		return nil
	}
	if err := os.MkdirAll(b.dir, dirMode); err != nil {
		return err
	}
	for _, dir := range grew {
		if err := b.syncDir(dir); err != nil {
			return err
		}
	}
	return nil
}

// removeStale removes temp files that are older than an hour. (A name that they
// were the sign of has long been written back by then.)
func (b *Bucket) removeStale() error {
	temps, err := os.ReadDir(filepath.Join(b.dir, tempDir))
	if err != nil && !errors.Is(err, os.ErrNotExist) && !errors.Is(err, os.ErrPermission) {
		return err
	}
	for _, temp := range temps {
		if made, ok := tempTime(temp.Name()); ok && b.now().Sub(made) >= staleAfter {
			// Somebody else may be removing it as well, and one that stays does no
			// harm, as in a folder that cannot be written.
			_ = unlink(filepath.Join(b.dir, tempDir, temp.Name()))
		}
	}
	return nil
}

// Close frees what the Bucket holds. No call may be under way or follow.
func (b *Bucket) Close() error {
	b.mu.Lock()
	dirs := b.deletes
	b.deletes = map[string]int{}
	b.mu.Unlock()
	var errs []error
	for dir := range dirs {
		if err := b.syncDir(dir); err != nil && !errors.Is(err, os.ErrNotExist) {
			errs = append(errs, err)
		}
	}
	errs = append(errs, b.kept.close(), b.root.Close())
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("close folder %s: %w", b.dir, err)
	}
	return nil
}

// Dir implements blob.Folder.
func (b *Bucket) Dir() string { return b.dir }

// path is where the object of a valid key lies.
func (b *Bucket) path(key string) string {
	return filepath.Join(b.dir, filepath.FromSlash(key))
}

// begin is how each call begins.
func begin(ctx context.Context, key string) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	return blob.CheckKey(key)
}

// generation returns the current time in nanoseconds, or just more than the last
// one returned where the clock has not moved on.
func (b *Bucket) generation() int64 {
	for {
		last := b.newest.Load()
		next := max(b.now().UnixNano(), last+1)
		if b.newest.CompareAndSwap(last, next) {
			return next
		}
	}
}

// tempPath is a new path for a temp file. Its name begins with the time, in 16 hex
// digits of nanoseconds: the file itself may be another name of an old one.
func (b *Bucket) tempPath() string {
	return filepath.Join(b.dir, tempDir, fmt.Sprintf("%0*x-%s", tempTimeSize, uint64(b.now().UnixNano()), rand.Text()))
}

const tempTimeSize = 16

// tempTime is the time in the name of a temp file.
func tempTime(name string) (time.Time, bool) {
	if len(name) < tempTimeSize {
		return time.Time{}, false
	}
	nanos, err := strconv.ParseUint(name[:tempTimeSize], 16, 64)
	return time.Unix(0, int64(nanos)), err == nil
}

// newTemp creates an empty temp file.
func (b *Bucket) newTemp() (*os.File, error) {
	return b.openOwn(b.tempPath(), os.O_RDWR|os.O_CREATE|os.O_EXCL)
}

// openOwn opens a file in one of the dot-directories, which is made when it is
// missing.
func (b *Bucket) openOwn(path string, flag int) (f *os.File, err error) {
	err = b.inDir(filepath.Dir(path), func() error {
		f, err = os.OpenFile(path, flag, fileMode)
		return err
	})
	return f, err
}

// inDir does what gives something a name in dir, and once more if dir had to be
// made first.
func (b *Bucket) inDir(dir string, do func() error) error {
	err := do()
	if !errors.Is(err, os.ErrNotExist) {
		return err
	}
	if err := b.makeDir(dir); err != nil {
		return err
	}
	return do()
}

// makeDir makes a directory in the folder, and those above it, but never the folder
// itself: when that is gone, so is the store.
func (b *Bucket) makeDir(dir string) error {
	now, err := os.Stat(b.dir)
	if err != nil {
		return err
	}
	if !os.SameFile(now, b.rootInfo) {
		return fmt.Errorf("%s is no longer the folder that was opened", b.dir)
	}
	b.mu.Lock()
	clear(b.settled)
	b.mu.Unlock()
	return os.MkdirAll(dir, dirMode)
}

// settle puts the names in dir on disk. The first time it does so for the
// directories above as well: whoever made them may have died before it could.
func (b *Bucket) settle(dir string) error {
	b.mu.Lock()
	settled := b.settled[dir]
	deleted := b.deletes[dir]
	b.mu.Unlock()
	if err := b.syncDir(dir); err != nil {
		return err
	}
	for above := dir; !settled && above != b.dir; {
		above = filepath.Dir(above)
		if err := b.syncDir(above); err != nil {
			return err
		}
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(b.settled) >= settledLimit {
		clear(b.settled)
	}
	b.settled[dir] = true
	if b.deletes[dir] -= deleted; b.deletes[dir] <= 0 {
		delete(b.deletes, dir)
	}
	return nil
}

func (b *Bucket) syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer d.Close()
	return b.sync(d)
}

// hashLimit is the size up to which an ETag holds a hash of the object's bytes.
const hashLimit = 64 << 10

// tagOf returns the ETag of the version that info describes. body holds its bytes,
// all of them, if they are at most hashLimit.
func tagOf(info os.FileInfo, body []byte) blob.ETag {
	tag := fmt.Sprintf("%x-%x", info.ModTime().UnixNano(), info.Size())
	if info.Size() > hashLimit {
		return blob.ETag(tag)
	}
	sum := sha256.Sum256(body)
	return blob.ETag(fmt.Sprintf("%s-%x", tag, sum[:8]))
}

// tagOfFile reads what the ETag of an open file needs.
func tagOfFile(f *os.File, info os.FileInfo) (blob.ETag, error) {
	if info.Size() > hashLimit {
		return tagOf(info, nil), nil
	}
	body, err := readPart(f, 0, info.Size())
	if err != nil {
		return "", err
	}
	return tagOf(info, body), nil
}

// readPart reads exactly size bytes from offset. That there are fewer means that
// somebody else has cut the file.
func readPart(f *os.File, offset, size int64) ([]byte, error) {
	body := make([]byte, size)
	if _, err := f.ReadAt(body, offset); err != nil && (size > 0 || err != io.EOF) {
		return nil, err
	}
	return body, nil
}
