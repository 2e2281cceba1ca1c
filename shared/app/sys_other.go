//go:build !(linux || darwin || freebsd)

package app

import (
	"errors"
	"io/fs"
	"os"
)

// tryLock is not known here: working directories are not shared or cleaned up.
func tryLock(*os.File) error { return errors.ErrUnsupported }

// freeBytes is not known here: a full disk is met when it is written to.
func freeBytes(string) (int64, error) { return 1 << 62, nil }

// maxOpenFiles is not known here, and large where there is such a limit at all.
func maxOpenFiles() uint64 { return 32 << 10 }

// isExposed is not known here: a mode does not say who may read.
func isExposed(fs.FileMode) bool { return false }
