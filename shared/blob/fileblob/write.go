package fileblob

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/bobbindb/bobbin/shared/blob"
)

// Put implements blob.Bucket. A swap waits for other swaps and deletes of the key,
// for as long as ctx lets it.
func (b *Bucket) Put(ctx context.Context, key string, body []byte, when blob.Condition) (blob.Info, error) {
	err := begin(ctx, key)
	var info blob.Info
	switch {
	case err != nil:
	case when.Absent():
		info, err = b.add(key, func() (staged, error) { return b.stage(body, 0) })
	case when.Match() != "":
		info, err = b.swap(ctx, key, body, when.Match())
	default:
		err = fmt.Errorf("%w: no condition was given", blob.ErrNotStored)
	}
	if err != nil {
		return b.refusal(err), fmt.Errorf("put %s: %w", key, err)
	}
	return info, nil
}

// refusal is the Info that goes with an error: the date, where the bucket answered.
func (b *Bucket) refusal(err error) blob.Info {
	if errors.Is(err, blob.ErrExists) || errors.Is(err, blob.ErrDenied) || errors.Is(err, blob.ErrNotStored) {
		return blob.Info{Date: b.now()}
	}
	return blob.Info{}
}

// add gives the file that stage makes the name of key, if nothing has it.
func (b *Bucket) add(key string, stage func() (staged, error)) (blob.Info, error) {
	path := b.path(key)
	if err := vacant(path); err != nil {
		return blob.Info{}, err
	}
	temp, err := stage()
	if err != nil {
		return blob.Info{}, notStored(err)
	}
	err = b.inDir(filepath.Dir(path), func() error { return b.link(temp.path, path) })
	switch {
	case err == nil:
		return b.finish(path, temp)
	case isUncertain(err):
		return blob.Info{}, fmt.Errorf("%w: %w", blob.ErrUnavailable, err)
	}
	temp.remove()
	if errors.Is(err, os.ErrExist) {
		if taken := vacant(path); taken != nil {
			return blob.Info{}, taken
		}
		return blob.Info{}, blob.ErrExists // It was there, and is gone again.
	}
	return blob.Info{}, notStored(err)
}

// vacant returns nil if nothing has the path, and the error of a Put that creates
// it otherwise. The lost race is told here, before any byte is written for it.
func vacant(path string) error {
	info, err := os.Lstat(path)
	switch {
	case err != nil:
		return nil
	case info.IsDir():
		return fmt.Errorf("%w: the key is a directory of other keys", blob.ErrNotStored)
	}
	return blob.ErrExists
}

// swap replaces the version tagged match. The lock keeps out other swaps, and
// deletes: one between our look and the rename would be undone by the rename.
func (b *Bucket) swap(ctx context.Context, key string, body []byte, match blob.ETag) (blob.Info, error) {
	unlock, err := b.lock(ctx, key)
	if err != nil {
		return blob.Info{}, notStored(err)
	}
	defer unlock()
	tag, generation, err := b.current(key)
	switch {
	case errors.Is(err, blob.ErrNotExist), err == nil && tag != match:
		return blob.Info{}, blob.ErrExists
	case errors.Is(err, blob.ErrDenied):
		return blob.Info{}, err
	case err != nil:
		return blob.Info{}, fmt.Errorf("%w: look at the version there: %v", blob.ErrNotStored, err)
	}
	temp, err := b.stage(body, generation)
	if err != nil {
		return blob.Info{}, notStored(err)
	}
	// The name that is renamed is a second one, so that the first stays until the
	// directory is on disk.
	path, second := b.path(key), temp.path+"-"
	if err := b.link(temp.path, second); err != nil {
		temp.remove()
		return blob.Info{}, notStored(err)
	}
	if err := b.rename(second, path); err != nil {
		if isUncertain(err) {
			return blob.Info{}, fmt.Errorf("%w: %w", blob.ErrUnavailable, err)
		}
		_ = unlink(second)
		temp.remove()
		return blob.Info{}, notStored(err)
	}
	return b.finish(path, temp)
}

// current returns the ETag and the generation of the object as it is.
func (b *Bucket) current(key string) (blob.ETag, int64, error) {
	f, info, err := b.open(key)
	if err != nil {
		return "", 0, err
	}
	defer f.Close()
	tag, err := tagOfFile(f, info)
	return tag, info.ModTime().UnixNano(), err
}

// finish puts the new name on disk. If that fails the object is there for now, and
// the temp file stays to say that it may not last.
func (b *Bucket) finish(path string, temp staged) (blob.Info, error) {
	if err := b.settle(filepath.Dir(path)); err != nil {
		return blob.Info{}, fmt.Errorf("%w: %w", blob.ErrUnavailable, err)
	}
	// The object is durable. From here a crash loses nothing.
	temp.remove()
	return blob.Info{ETag: temp.tag, Size: temp.size, Date: b.now()}, nil
}

// staged is a temp file whose bytes are on disk.
type staged struct {
	path string
	tag  blob.ETag
	size int64
}

// remove removes the temp file. One that stays is removed when it is stale.
func (s staged) remove() { _ = unlink(s.path) }

// stage makes a temp file of body, of a generation greater than the one given.
func (b *Bucket) stage(body []byte, above int64) (staged, error) {
	f, err := b.newTemp()
	if err != nil {
		return staged{}, err
	}
	temp := staged{path: f.Name(), size: int64(len(body))}
	_, err = f.Write(body)
	var info os.FileInfo
	if err == nil {
		info, err = b.date(f, above)
	}
	if err == nil {
		temp.tag = tagOf(info, body)
		err = b.sync(f)
	}
	if err := errors.Join(err, f.Close()); err != nil {
		temp.remove()
		return staged{}, err
	}
	return temp, nil
}

// date sets a file's modification time to a generation greater than above. A file
// system may round times down, so it looks at what was kept and takes larger steps
// until that is greater.
func (b *Bucket) date(f *os.File, above int64) (os.FileInfo, error) {
	generation := max(b.generation(), above+1)
	for step := time.Microsecond; ; step *= 10 {
		if err := b.setTime(f.Name(), time.Time{}, time.Unix(0, generation)); err != nil {
			return nil, err
		}
		info, err := f.Stat()
		if err != nil || info.ModTime().UnixNano() > above {
			return info, err
		}
		if step > time.Minute {
			return nil, fmt.Errorf("%s does not keep modification times", f.Name())
		}
		generation = above + int64(step)
	}
}

// Delete implements blob.Bucket. A machine that crashes soon after may bring the
// object back.
func (b *Bucket) Delete(ctx context.Context, key string) error {
	if err := begin(ctx, key); err != nil {
		return fmt.Errorf("delete %s: %w", key, err)
	}
	unlock, err := b.lock(ctx, key)
	if err != nil {
		return fmt.Errorf("delete %s: %w", key, failed(err))
	}
	defer unlock()
	path := b.path(key)
	if err := unlink(path); err != nil {
		if info, statErr := os.Lstat(path); isAbsent(err) || statErr == nil && info.IsDir() {
			return nil
		}
		return fmt.Errorf("delete %s: %w", key, failed(err))
	}
	if err := b.deleted(filepath.Dir(path)); err != nil {
		return fmt.Errorf("delete %s: %w", key, failed(err))
	}
	return nil
}

// deleted counts a Delete in dir, and puts dir on disk when enough have gathered.
func (b *Bucket) deleted(dir string) error {
	b.mu.Lock()
	b.deletes[dir]++
	due := b.deletes[dir] >= deletesPerSync
	b.mu.Unlock()
	if !due {
		return nil
	}
	return b.settle(dir)
}

// lock takes the lock that a key's swaps and deletes share with all processes, and
// returns how to free it. It polls, because a wait for flock cannot be called off.
func (b *Bucket) lock(ctx context.Context, key string) (unlock func(), err error) {
	sum := sha256.Sum256([]byte(key))
	inside := b.locks[sum[0]]
	select {
	case inside <- struct{}{}:
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	f, err := b.openOwn(filepath.Join(b.dir, lockDir, fmt.Sprintf("%02x", sum[0])), os.O_RDWR|os.O_CREATE)
	if err != nil {
		<-inside
		return nil, err
	}
	for wait := time.Millisecond; ; wait = min(2*wait, 16*time.Millisecond) {
		locked, err := tryLock(f)
		if locked {
			return func() { f.Close(); <-inside }, nil
		}
		if err == nil {
			err = blob.Wait(ctx, wait)
		}
		if err != nil {
			f.Close()
			<-inside
			return nil, err
		}
	}
}

// notStored says what it means to a caller that a file did not get its name.
func notStored(err error) error {
	if errors.Is(err, os.ErrPermission) {
		return fmt.Errorf("%w: %w", blob.ErrDenied, err)
	}
	return fmt.Errorf("%w: %w", blob.ErrNotStored, err)
}
