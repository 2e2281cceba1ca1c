//go:build !unix

package app

import (
	"errors"
	"os"
)

// tryLock is not known here: working directories are not shared or cleaned up.
func tryLock(*os.File) error { return errors.ErrUnsupported }
