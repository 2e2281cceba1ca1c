//go:build !unix

package localkeeper

import (
	"io/fs"
	"os"
)

// openFile opens a file for reading, unless it is a link.
func openFile(path string) (*os.File, error) {
	info, err := os.Lstat(path)
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, ErrNotFile
	}
	return os.Open(path)
}

// exposed reports nothing: here a file's mode does not say who may read it.
func exposed(fs.FileMode) bool { return false }
