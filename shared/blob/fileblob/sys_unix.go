//go:build darwin || dragonfly || freebsd || linux || netbsd || openbsd

package fileblob

import (
	"errors"
	"os"
	"syscall"
)

const supported = true

// tryLock takes the exclusive lock on an open file. It returns false when another
// open file, of this process or another, holds it. Closing the file, or the end of
// the process, frees it.
func tryLock(f *os.File) (bool, error) {
	for {
		err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
		switch {
		case err == nil:
			return true, nil
		case errors.Is(err, syscall.EWOULDBLOCK):
			return false, nil
		case !errors.Is(err, syscall.EINTR):
			return false, &os.PathError{Op: "flock", Path: f.Name(), Err: err}
		}
	}
}

// links is the number of names that a file has.
func links(info os.FileInfo) uint64 {
	return uint64(info.Sys().(*syscall.Stat_t).Nlink)
}

// unlink removes a name that is not a directory's. (os.Remove would remove an empty
// directory too.)
func unlink(path string) error {
	for {
		err := syscall.Unlink(path)
		switch {
		case err == nil:
			return nil
		case !errors.Is(err, syscall.EINTR):
			return &os.PathError{Op: "unlink", Path: path, Err: err}
		}
	}
}

// isAbsent reports whether err says that nothing has the name asked for: it is not
// there, or what would be its folder is a file.
func isAbsent(err error) bool {
	return errors.Is(err, os.ErrNotExist) || errors.Is(err, syscall.ENOTDIR)
}

// mustCopy reports whether a link failed because this file cannot be linked there,
// while a copy may do.
func mustCopy(err error) bool {
	return errors.Is(err, syscall.EXDEV) || errors.Is(err, syscall.EPERM) ||
		errors.Is(err, syscall.EMLINK) || errors.Is(err, syscall.ENOTSUP)
}

// isUncertain reports whether a link or rename that failed so may have been done.
func isUncertain(err error) bool {
	return errors.Is(err, syscall.EIO) || errors.Is(err, syscall.ETIMEDOUT) || errors.Is(err, syscall.ESTALE)
}
