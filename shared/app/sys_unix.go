//go:build linux || darwin || freebsd

package app

import (
	"fmt"
	"io/fs"
	"os"
	"syscall"
)

// tryLock locks a file until it is closed, or fails at once.
func tryLock(f *os.File) error { return syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB) }

// freeBytes is how much room a file system has left for this process.
func freeBytes(dir string) (int64, error) {
	var volume syscall.Statfs_t
	if err := syscall.Statfs(dir, &volume); err != nil {
		return 0, fmt.Errorf("look for room: %w", err)
	}
	return int64(volume.Bavail) * int64(volume.Bsize), nil
}

// maxOpenFiles is how many files this process may have open.
func maxOpenFiles() uint64 {
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		return 1024
	}
	return uint64(limit.Cur)
}

// isExposed reports whether others than the owner may read or write a file.
func isExposed(mode fs.FileMode) bool { return mode.Perm()&0o077 != 0 }
