package fileblob

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/bobbindb/bobbin/shared/blob"
)

// Get implements blob.Bucket. For an absent key it costs one failed open. It keeps
// nothing open.
func (b *Bucket) Get(ctx context.Context, key string) (blob.Object, error) {
	return b.read(ctx, key, func(f *os.File, info os.FileInfo) (blob.Object, error) {
		body, err := readPart(f, 0, info.Size())
		if err != nil {
			return blob.Object{}, err
		}
		return blob.Object{Info: blob.Info{ETag: tagOf(info, body)}, Body: body}, nil
	})
}

// GetRange implements blob.Bucket. An object of at most 64 KiB is read whole, for
// its ETag.
func (b *Bucket) GetRange(ctx context.Context, key string, offset, size int64) (blob.Object, error) {
	if offset < 0 || size < 0 {
		return blob.Object{}, fmt.Errorf("get %s: range of %d bytes from %d", key, size, offset)
	}
	return b.read(ctx, key, func(f *os.File, info os.FileInfo) (blob.Object, error) {
		tag, err := tagOfFile(f, info)
		if err != nil {
			return blob.Object{}, err
		}
		from := min(offset, info.Size())
		body, err := readPart(f, from, min(size, info.Size()-from))
		if err != nil {
			return blob.Object{}, err
		}
		return blob.Object{Info: blob.Info{ETag: tag}, Body: body}, nil
	})
}

// read opens the object, takes what part takes of it, and completes the answer. It
// is dated after the look: a process that froze between the two must find its
// answer old rather than new.
func (b *Bucket) read(ctx context.Context, key string, part func(*os.File, os.FileInfo) (blob.Object, error)) (blob.Object, error) {
	if err := begin(ctx, key); err != nil {
		return blob.Object{}, fmt.Errorf("get %s: %w", key, err)
	}
	f, info, err := b.open(key)
	if err != nil {
		var answer blob.Object
		if !errors.Is(err, blob.ErrUnavailable) {
			answer.Date = b.now()
		}
		return answer, &getError{key, err}
	}
	defer f.Close()
	object, err := part(f, info)
	if err != nil {
		return blob.Object{}, fmt.Errorf("get %s: %w: %w", key, blob.ErrUnavailable, err)
	}
	object.Size, object.Date = info.Size(), b.now()
	return object, nil
}

// getError is the error of a read. What every strong read waits for is that a commit
// is absent, so the text is not made before somebody wants it.
type getError struct {
	key string
	err error
}

func (e *getError) Error() string { return "get " + e.key + ": " + e.err.Error() }
func (e *getError) Unwrap() error { return e.err }

// open opens the object of a valid key and sees to it that its name is on disk.
func (b *Bucket) open(key string) (*os.File, os.FileInfo, error) {
	path := b.path(key)
	f, err := os.Open(path)
	if err != nil {
		return nil, nil, readError(err)
	}
	info, err := f.Stat()
	switch {
	case err != nil:
		err = readError(err)
	case info.IsDir():
		err = blob.ErrNotExist
	case !info.Mode().IsRegular():
		err = fmt.Errorf("%w: %s is no regular file", blob.ErrUnavailable, path)
	case links(info) > 1 && b.writing():
		if err = b.settle(filepath.Dir(path)); err != nil {
			err = failed(err)
		}
	}
	if err != nil {
		f.Close()
		return nil, nil, err
	}
	return f, info, nil
}

// writing reports whether there are temp files, or may be.
func (b *Bucket) writing() bool {
	d, err := os.Open(filepath.Join(b.dir, tempDir))
	if err != nil {
		return !errors.Is(err, os.ErrNotExist)
	}
	defer d.Close()
	names, _ := d.Readdirnames(1)
	return len(names) > 0
}

// readError says what a failed look at an object means to a caller.
func readError(err error) error {
	if isAbsent(err) {
		return blob.ErrNotExist
	}
	return failed(err)
}

// failed says what any other failure means to a caller.
func failed(err error) error {
	switch {
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		return err
	case errors.Is(err, os.ErrPermission):
		return fmt.Errorf("%w: %w", blob.ErrDenied, err)
	}
	return fmt.Errorf("%w: %w", blob.ErrUnavailable, err)
}
