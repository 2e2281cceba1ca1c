//go:build unix

package localkeeper

import (
	"errors"
	"io/fs"
	"os"
	"syscall"
)

// openFile opens a file for reading, unless it is a link. It does not wait for the other
// end of a pipe.
func openFile(path string) (*os.File, error) {
	f, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NOFOLLOW|syscall.O_NONBLOCK, 0)
	if errors.Is(err, syscall.ELOOP) || errors.Is(err, syscall.EMLINK) {
		return nil, ErrNotFile
	}
	return f, err
}

// exposed reports whether others than the owner may read or write.
func exposed(mode fs.FileMode) bool { return mode.Perm()&0o077 != 0 }
