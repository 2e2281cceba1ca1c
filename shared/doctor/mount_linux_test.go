package doctor

import (
	"errors"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/bobbindb/bobbin/shared/blob"
)

// mount mounts a file system in memory at dir for the rest of the test.
func mount(t *testing.T, dir, options string) {
	t.Helper()
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, options); err != nil {
		t.Skipf("cannot mount a small file system here: %v", err)
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(dir, 0); err != nil {
			t.Errorf("unmount %s: %v", dir, err)
		}
	})
}

func TestMounts(t *testing.T) {
	dir := t.TempDir()
	mount(t, dir, "size=4m,nr_inodes=100")
	if f, err := fileSystem(dir); err != nil || f.Verdict != Warning || f.Seen != "tmpfs, in memory: gone with the machine" {
		t.Errorf("file system: %+v, %v", f, err)
	}
	if _, err := room(dir); !errors.Is(err, blob.ErrNotStored) {
		t.Errorf("room on 4 MiB: %v, want ErrNotStored", err)
	}
	if err := os.Mkdir(filepath.Join(dir, "tables"), 0o700); err != nil {
		t.Fatal(err)
	}
	mount(t, filepath.Join(dir, "tables"), "size=1m")
	if _, err := oneDevice(dir); !errors.Is(err, blob.ErrNotStored) {
		t.Errorf("a mount within: %v, want ErrNotStored", err)
	}
	if err := syscall.Mount("tmpfs", dir, "tmpfs", syscall.MS_REMOUNT|syscall.MS_RDONLY, ""); err != nil {
		t.Fatal(err)
	}
	if _, err := fileSystem(dir); !errors.Is(err, blob.ErrNotStored) {
		t.Errorf("mounted read-only: %v, want ErrNotStored", err)
	}
}
