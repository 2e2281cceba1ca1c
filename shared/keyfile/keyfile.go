// Package keyfile makes files of secrets that are for their owner's eyes only.
package keyfile

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// Create makes a file of mode 0600 that is durable before Create returns. It is never
// seen in part. Where something has the name it returns fs.ErrExist and changes nothing;
// of several processes that create at once, one does.
func Create(path string, content []byte) (err error) {
	dir := filepath.Dir(path)
	f, err := os.CreateTemp(dir, "."+strings.TrimPrefix(filepath.Base(path), ".")+"-*") // of mode 0600
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.Remove(f.Name())) }()
	_, err = f.Write(content)
	if err := errors.Join(err, f.Sync(), f.Close()); err != nil {
		return err
	}
	if err := os.Link(f.Name(), path); err != nil {
		return err
	}
	// Whoever is given the secrets needs this file: its name must outlive a crash.
	return syncDir(dir)
}

// Settle makes the name of a file durable that is there: whoever made it may have ended
// before it was.
func Settle(path string) error {
	if err := syncDir(filepath.Dir(path)); err != nil {
		return fmt.Errorf("sync the folder of %s: %w", path, err)
	}
	return nil
}
