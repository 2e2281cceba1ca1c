//go:build linux || darwin || freebsd

package doctor

import (
	"errors"
	"os"
	"syscall"
)

func volumeOf(dir string) (volume, error) {
	var s syscall.Statfs_t
	if err := syscall.Statfs(dir, &s); err != nil {
		return volume{}, &os.PathError{Op: "statfs", Path: dir, Err: err}
	}
	name, kind := nameOf(&s)
	return volume{
		name: name, kind: kind, readOnly: uint64(s.Flags)&readOnlyFlag != 0,
		freeBytes:   uint64(s.Bavail) * uint64(s.Bsize),
		totalInodes: uint64(s.Files), freeInodes: uint64(s.Ffree),
	}, nil
}

// tryLock takes an exclusive lock, and returns false when another open file holds it.
func tryLock(f *os.File) (bool, error) {
	err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
	if errors.Is(err, syscall.EWOULDBLOCK) {
		return false, nil
	}
	return err == nil, err
}

func ownerOf(info os.FileInfo) (uid int, known bool) {
	s, known := info.Sys().(*syscall.Stat_t)
	if !known {
		return 0, false
	}
	return int(s.Uid), true
}

func deviceOf(info os.FileInfo) (device uint64, known bool) {
	s, known := info.Sys().(*syscall.Stat_t)
	if !known {
		return 0, false
	}
	return uint64(s.Dev), true
}
