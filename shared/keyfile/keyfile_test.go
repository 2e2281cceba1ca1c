package keyfile_test

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/bobbindb/bobbin/shared/keyfile"
)

func TestCreate(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "keys")
	var made atomic.Int64
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			switch err := keyfile.Create(path, []byte("secret")); {
			case err == nil:
				made.Add(1)
			case !errors.Is(err, fs.ErrExist):
				t.Errorf("Create() = %v, want nil or fs.ErrExist", err)
			}
		})
	}
	all.Wait()
	if n := made.Load(); n != 1 {
		t.Errorf("%d calls made the file, want 1", n)
	}
	if err := keyfile.Create(path, []byte("other")); !errors.Is(err, fs.ErrExist) {
		t.Errorf("Create() over a file = %v, want fs.ErrExist", err)
	}
	if err := keyfile.Settle(path); err != nil {
		t.Errorf("Settle() = %v", err)
	}
	if content, err := os.ReadFile(path); string(content) != "secret" {
		t.Errorf("the file holds %q (%v), want what was written first", content, err)
	}
	info, err := os.Stat(path)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the file is %v (%v), want mode 0600", info.Mode(), err)
	}
	if names, err := os.ReadDir(dir); len(names) != 1 {
		t.Errorf("the folder holds %v (%v), want the file alone", names, err)
	}
}

func TestCreateNowhere(t *testing.T) {
	path := filepath.Join(t.TempDir(), "absent", "keys")
	if err := keyfile.Create(path, nil); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("Create() = %v, want fs.ErrNotExist", err)
	}
	if err := keyfile.Settle(path); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("Settle() = %v, want fs.ErrNotExist", err)
	}
}
