//go:build linux || darwin || freebsd

package app

import (
	"fmt"
	"os"
	"syscall"
)

// tryLock locks a file until it is closed, or fails at once.
func tryLock(f *os.File) error { return syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB) }

// freeBytes is how much room a file system has left for this process.
func freeBytes(dir string) (int64, error) {
	var fs syscall.Statfs_t
	if err := syscall.Statfs(dir, &fs); err != nil {
		return 0, fmt.Errorf("look for room: %w", err)
	}
	return int64(fs.Bavail) * int64(fs.Bsize), nil
}

// maxOpenFiles is how many files this process may have open.
func maxOpenFiles() uint64 {
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		return 1024
	}
	return uint64(limit.Cur)
}
