package fileblob

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"

	"github.com/bobbindb/bobbin/shared/blob"
)

// keptLimit is the number of files that are kept open for Unchanged.
const keptLimit = 64

// keptFiles are the files that Unchanged compares with. Only Unchanged adds to
// them, so that reading many objects keeps none open.
type keptFiles struct {
	mu     sync.RWMutex
	byKey  map[string]*keptFile
	clock  atomic.Int64 // counts the looks, to tell which was used last
	closed bool
}

type keptFile struct {
	file *os.File
	info os.FileInfo
	tag  blob.ETag
	used atomic.Int64
}

// Unchanged implements blob.Folder. A file is opened, and read as its ETag needs,
// the first time it is asked about under a tag; from then on a look is one stat.
func (b *Bucket) Unchanged(key string, tag blob.ETag) bool {
	if tag == "" || blob.CheckKey(key) != nil {
		return false
	}
	if b.kept.same(key, tag, b.path(key)) {
		return true
	}
	f, info, err := b.open(key)
	if err == nil {
		var now blob.ETag
		if now, err = tagOfFile(f, info); err == nil && now == tag {
			return b.kept.add(key, &keptFile{file: f, info: info, tag: tag})
		}
		f.Close()
	}
	b.kept.drop(key)
	return false
}

// same reports whether the kept file of a key has this tag and is what path names.
// The lock is held meanwhile, so that the file stays open until it is compared.
func (k *keptFiles) same(key string, tag blob.ETag, path string) bool {
	k.mu.RLock()
	defer k.mu.RUnlock()
	kept := k.byKey[key]
	if kept == nil || kept.tag != tag {
		return false
	}
	kept.used.Store(k.clock.Add(1))
	now, err := os.Stat(path)
	return err == nil && os.SameFile(now, kept.info) &&
		now.Size() == kept.info.Size() && now.ModTime().Equal(kept.info.ModTime())
}

// add keeps a file, in place of the one of the same key or, where there are too
// many, of the one used least recently. It returns false after close.
func (k *keptFiles) add(key string, file *keptFile) bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.closed {
		file.file.Close()
		return false
	}
	if k.byKey == nil {
		k.byKey = map[string]*keptFile{}
	}
	file.used.Store(k.clock.Add(1))
	k.remove(key)
	k.byKey[key] = file
	if len(k.byKey) <= keptLimit {
		return true
	}
	oldest := key
	for other, kept := range k.byKey {
		if kept.used.Load() < k.byKey[oldest].used.Load() {
			oldest = other
		}
	}
	k.remove(oldest)
	return true
}

func (k *keptFiles) drop(key string) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.remove(key)
}

func (k *keptFiles) remove(key string) {
	if kept := k.byKey[key]; kept != nil {
		kept.file.Close()
		delete(k.byKey, key)
	}
}

func (k *keptFiles) close() error {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.closed = true
	var errs []error
	for _, kept := range k.byKey {
		errs = append(errs, kept.file.Close())
	}
	k.byKey = nil
	return errors.Join(errs...)
}

// OpenFile implements blob.Folder.
func (b *Bucket) OpenFile(key string) (*os.File, error) {
	if err := blob.CheckKey(key); err != nil {
		return nil, fmt.Errorf("open %s: %w", key, err)
	}
	f, _, err := b.open(key)
	if err != nil {
		return nil, fmt.Errorf("open %s: %w", key, err)
	}
	return f, nil
}

// PutFile implements blob.Folder. The object keeps the file's modification time as
// its generation.
func (b *Bucket) PutFile(ctx context.Context, key, path string) (blob.Info, error) {
	err := begin(ctx, key)
	var info blob.Info
	if err == nil {
		info, err = b.add(key, func() (staged, error) { return b.stageFile(ctx, path) })
	}
	if err != nil {
		return b.refusal(err), fmt.Errorf("put %s from %s: %w", key, path, err)
	}
	return info, nil
}

// stageFile makes a temp file that is another name of the file at path, or a copy.
func (b *Bucket) stageFile(ctx context.Context, path string) (staged, error) {
	if info, err := os.Lstat(path); err != nil {
		return staged{}, err
	} else if !info.Mode().IsRegular() {
		return staged{}, errors.New("not a regular file")
	}
	from, err := os.Open(path)
	if err != nil {
		return staged{}, err
	}
	defer from.Close()
	temp := staged{path: b.tempPath()}
	err = b.inDir(filepath.Dir(temp.path), func() error { return b.link(path, temp.path) })
	if err != nil && mustCopy(err) {
		return b.stageCopy(ctx, from)
	}
	if err != nil {
		return staged{}, err
	}
	if temp, err = b.complete(from, temp); err != nil {
		temp.remove()
	}
	return temp, err
}

// stageCopy makes a temp file that is a copy of from.
func (b *Bucket) stageCopy(ctx context.Context, from *os.File) (staged, error) {
	f, err := b.newTemp()
	if err != nil {
		return staged{}, err
	}
	defer f.Close()
	temp := staged{path: f.Name()}
	if err = copyFile(ctx, f, from); err == nil {
		_, err = b.date(f, 0)
	}
	if err == nil {
		temp, err = b.complete(f, temp)
	}
	if err != nil {
		temp.remove()
	}
	return temp, err
}

// complete puts the file of temp on disk and reads what its ETag needs.
func (b *Bucket) complete(f *os.File, temp staged) (staged, error) {
	if err := b.sync(f); err != nil {
		return temp, err
	}
	info, err := f.Stat()
	if err != nil {
		return temp, err
	}
	temp.size = info.Size()
	temp.tag, err = tagOfFile(f, info)
	return temp, err
}

// LinkFile implements blob.Folder. It returns fs.ErrExist when path is taken.
func (b *Bucket) LinkFile(key, path string) error {
	if err := b.linkFile(key, path); err != nil {
		return fmt.Errorf("link %s to %s: %w", key, path, err)
	}
	return nil
}

func (b *Bucket) linkFile(key, path string) error {
	if err := blob.CheckKey(key); err != nil {
		return err
	}
	f, _, err := b.open(key)
	if err != nil {
		return err
	}
	defer f.Close()
	if err := b.link(b.path(key), path); err == nil || !mustCopy(err) {
		return err
	}
	return b.copyTo(f, path)
}

// copyTo copies an open object to path, which appears whole or not at all.
func (b *Bucket) copyTo(f *os.File, path string) error {
	if _, err := os.Lstat(path); err == nil {
		return os.ErrExist
	}
	temp, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+"-*")
	if err != nil {
		return err
	}
	err = copyFile(context.Background(), temp, f)
	if err == nil {
		err = b.sync(temp)
	}
	if err = errors.Join(err, temp.Close()); err == nil {
		err = os.Rename(temp.Name(), path)
	}
	if err != nil {
		os.Remove(temp.Name())
	}
	return err
}

func copyFile(ctx context.Context, to io.Writer, from io.Reader) error {
	for {
		if err := ctx.Err(); err != nil {
			return err
		}
		if _, err := io.CopyN(to, from, 1<<20); errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return err
		}
	}
}
