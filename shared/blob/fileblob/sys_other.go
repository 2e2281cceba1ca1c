//go:build !(darwin || dragonfly || freebsd || linux || netbsd || openbsd)

package fileblob

import (
	"errors"
	"os"
)

// Open refuses where there is no flock, so none of the others is reached.
const supported = false

func tryLock(*os.File) (bool, error) { return false, errors.ErrUnsupported }

func links(os.FileInfo) uint64 { return 1 }

func unlink(path string) error { return os.Remove(path) }

func isAbsent(err error) bool { return errors.Is(err, os.ErrNotExist) }

func mustCopy(error) bool { return false }

func isUncertain(error) bool { return true }
