package app

import (
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// workDir is one process's own directory for open databases. It is of no worth once
// the process is gone: whoever starts next removes it.
type workDir struct {
	path string
	lock *os.File
}

const workName = ".work"

// newWorkDir makes a directory under parent and removes those of processes that ended
// without doing so.
func newWorkDir(parent string) (*workDir, error) {
	root := filepath.Join(parent, workName)
	if err := os.MkdirAll(root, 0o700); err != nil {
		return nil, fmt.Errorf("make working directory: %w", err)
	}
	removeAbandoned(root)
	if err := findRoom(root); err != nil {
		return nil, fmt.Errorf("make working directory: %w", err)
	}
	w := &workDir{path: filepath.Join(root, strings.ToLower(rand.Text())[:12])}
	var err error
	// The lock lies beside the directory, and is held before the directory is there.
	if w.lock, err = os.OpenFile(w.path+".lock", os.O_CREATE|os.O_RDWR, 0o600); err != nil {
		return nil, fmt.Errorf("make working directory: %w", err)
	}
	if err := tryLock(w.lock); err != nil {
		return nil, errors.Join(fmt.Errorf("lock working directory: %w", err), w.lock.Close())
	}
	if err := os.Mkdir(w.path, 0o700); err != nil {
		return nil, errors.Join(fmt.Errorf("make working directory: %w", err), w.lock.Close())
	}
	return w, nil
}

// leastRoom is what the disk must have left when a database is opened, in bytes.
// Pebble panics where it cannot write down what it did.
const leastRoom = 8 << 20

// findRoom fails where the disk is too full to work on.
func findRoom(dir string) error {
	f, err := os.CreateTemp(dir, "room-*")
	if err != nil {
		return err
	}
	_, err = f.Write(make([]byte, leastRoom))
	if err != nil {
		err = fmt.Errorf("find %d MiB of room: %w", leastRoom>>20, err)
	}
	return errors.Join(err, f.Close(), os.Remove(f.Name()))
}

// removeAbandoned removes the directories whose locks nobody holds. What cannot be
// removed is left: it harms nobody.
func removeAbandoned(root string) {
	locks, err := filepath.Glob(filepath.Join(root, "*.lock"))
	if err != nil {
		return
	}
	for _, path := range locks {
		f, err := os.OpenFile(path, os.O_RDWR, 0)
		if err != nil {
			continue
		}
		if tryLock(f) == nil {
			os.RemoveAll(strings.TrimSuffix(path, ".lock"))
			os.Remove(path)
		}
		f.Close()
	}
}

// remove removes the directory.
func (w *workDir) remove() error {
	return errors.Join(os.RemoveAll(w.path), os.Remove(w.path+".lock"), w.lock.Close())
}
