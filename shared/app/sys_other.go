//go:build !(linux || darwin || freebsd)

package app

import (
	"errors"
	"os"
)

// tryLock is not known here: working directories are not shared or cleaned up.
func tryLock(*os.File) error { return errors.ErrUnsupported }

// freeBytes is not known here: a full disk is met when it is written to.
func freeBytes(string) (int64, error) { return 1 << 62, nil }
