package app

import (
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
)

// workDir is one process's own directory for open databases. It is of no worth once
// the process is gone: whoever starts next removes it.
type workDir struct {
	root  string
	path  string
	lock  *os.File
	sweep sync.WaitGroup // what removes the directories of others
}

const workName = ".work"

// newWorkDir makes a directory under parent.
func newWorkDir(parent string) (*workDir, error) {
	root := filepath.Join(parent, workName)
	if err := os.MkdirAll(root, 0o700); err != nil {
		return nil, fmt.Errorf("make working directory: %w", err)
	}
	if err := findRoom(root); err != nil {
		return nil, fmt.Errorf("make working directory: %w", err)
	}
	// Another process that starts may take a lock for abandoned before it is held.
	w, err := claim(root)
	for tries := 0; err != nil && tries < 3; tries++ {
		w, err = claim(root)
	}
	return w, err
}

// tidy removes, in the background, the directories of processes that ended without doing
// so. Whoever starts opens the store first: a killed process leaves hundreds of files, and
// their removal takes the disk and a core.
func (w *workDir) tidy() { w.sweep.Go(func() { removeAbandoned(w.root) }) }

// claim makes a directory under a lock, which lies beside it and is held before the
// directory is there.
func claim(root string) (*workDir, error) {
	w := &workDir{root: root, path: filepath.Join(root, strings.ToLower(rand.Text())[:12])}
	var err error
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

// findRoom fails where the disk is too full to work on, also without what ended
// processes left.
func findRoom(dir string) error {
	free, err := freeBytes(dir)
	if err == nil && free < leastRoom {
		removeAbandoned(dir)
		free, err = freeBytes(dir)
	}
	if err == nil && free < leastRoom {
		err = fmt.Errorf("find %d MiB of room, there are %d KiB: %w", leastRoom>>20, free>>10, syscall.ENOSPC)
	}
	return err
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
	w.sweep.Wait()
	return errors.Join(os.RemoveAll(w.path), os.Remove(w.path+".lock"), w.lock.Close())
}
