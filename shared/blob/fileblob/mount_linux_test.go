package fileblob

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"

	"github.com/bobbindb/bobbin/shared/blob"
)

func TestFullDisk(t *testing.T) {
	dir := t.TempDir()
	mount(t, dir, "size=256k")
	b := open(t, dir)
	tag := put(t, b, "swapped", "old", blob.IfAbsent()).ETag
	file := newFile(t, strings.Repeat("x", 300<<10))
	stored := 0
	for ; ; stored++ {
		info, err := b.Put(t.Context(), fmt.Sprint("dir/", stored), make([]byte, 16<<10), blob.IfAbsent())
		if err == nil {
			continue
		}
		if !errors.Is(err, blob.ErrNotStored) || !errors.Is(err, syscall.ENOSPC) || info.Date.IsZero() {
			t.Fatalf("Put() on a full disk = date %v, error %v, want a date and ErrNotStored", info.Date, err)
		}
		break
	}
	if stored == 0 {
		t.Error("nothing was stored before the disk was full")
	}
	if _, err := b.Put(t.Context(), "swapped", make([]byte, 16<<10), blob.IfMatch(tag)); !errors.Is(err, blob.ErrNotStored) {
		t.Errorf("swap on a full disk = %v, want ErrNotStored", err)
	}
	// The file is on another file system, so it would have to be copied.
	if _, err := b.PutFile(t.Context(), "file", file); !errors.Is(err, blob.ErrNotStored) {
		t.Errorf("PutFile() on a full disk = %v, want ErrNotStored", err)
	}
	wantAbsent(t, b, fmt.Sprint("dir/", stored))
	wantAbsent(t, b, "file")
	wantObject(t, b, "swapped", "old")
	for i := range stored {
		if got := mustGet(t, b, fmt.Sprint("dir/", i)); !bytes.Equal(got.Body, make([]byte, 16<<10)) {
			t.Errorf("object %d was harmed", i)
		}
	}
	if got := temps(t, dir); len(got) != 0 {
		t.Errorf("temp files left = %q, want none", got)
	}
	if err := b.Delete(t.Context(), "dir/0"); err != nil {
		t.Errorf("Delete() on a full disk = %v", err)
	}
	put(t, b, "swapped", strings.Repeat("x", 8<<10), blob.IfMatch(tag))
}

func TestOtherFileSystem(t *testing.T) {
	dir := t.TempDir()
	mount(t, dir, "size=4m")
	b := open(t, dir)
	text := strings.Repeat("text", 1000)
	if _, err := b.PutFile(t.Context(), "dir/k", newFile(t, text)); err != nil {
		t.Fatalf("PutFile() = %v", err)
	}
	wantObject(t, b, "dir/k", text)
	path := t.TempDir() + "/copy"
	if err := b.LinkFile("dir/k", path); err != nil {
		t.Fatalf("LinkFile() = %v", err)
	}
	if got, err := os.ReadFile(path); err != nil || string(got) != text {
		t.Errorf("the copy holds %d bytes, %v, want %d", len(got), err, len(text))
	}
}

func TestReadOnlyFileSystem(t *testing.T) {
	dir := t.TempDir()
	mount(t, dir, "size=1m")
	writable, err := Open(dir, Options{})
	if err != nil {
		t.Fatalf("Open() = %v", err)
	}
	tag := put(t, writable, "dir/k", "text", blob.IfAbsent()).ETag
	if _, err := writable.stage([]byte("left"), 0); err != nil {
		t.Fatalf("stage() = %v", err)
	}
	if err := writable.Close(); err != nil {
		t.Fatalf("Close() = %v", err)
	}
	if err := syscall.Mount("tmpfs", dir, "tmpfs", syscall.MS_REMOUNT|syscall.MS_RDONLY, ""); err != nil {
		t.Fatal(err)
	}
	wantReadable(t, open(t, dir), tag, newFile(t, "text"), blob.ErrNotStored, blob.ErrUnavailable)
}

func TestFolderOfAnotherUser(t *testing.T) {
	dir := t.TempDir()
	b := open(t, dir)
	tag := put(t, b, "dir/k", "old", blob.IfAbsent()).ETag
	tag = put(t, b, "dir/k", "text", blob.IfMatch(tag)).ETag
	put(t, b, "secret", "text", blob.IfAbsent())
	file := newFile(t, "text")
	for path, mode := range map[string]os.FileMode{
		filepath.Dir(dir): 0o755, dir: 0o755, b.path(tempDir): 0o755, b.path(lockDir): 0o755, b.path("dir"): 0o755,
		b.path("dir/k"): 0o644, filepath.Dir(file): 0o755, file: 0o644,
	} {
		if err := os.Chmod(path, mode); err != nil {
			t.Fatal(err)
		}
	}
	asAnotherUser(t, func(t *testing.T) {
		b := open(t, dir)
		wantReadable(t, b, tag, file, blob.ErrDenied, blob.ErrDenied)
		if _, err := b.Get(t.Context(), "secret"); !errors.Is(err, blob.ErrDenied) {
			t.Errorf("Get() of an unreadable object = %v, want ErrDenied", err)
		}
	})
}

// wantReadable wants dir/k read and nothing written.
func wantReadable(t *testing.T, b *Bucket, tag blob.ETag, file string, putErr, deleteErr error) {
	t.Helper()
	for key, when := range map[string]blob.Condition{"new": blob.IfAbsent(), "newdir/new": blob.IfAbsent(), "dir/k": blob.IfMatch(tag)} {
		if _, err := b.Put(t.Context(), key, []byte("x"), when); !errors.Is(err, putErr) {
			t.Errorf("Put(%s) = %v, want %v", key, err, putErr)
		}
	}
	if _, err := b.Put(t.Context(), "dir/k", []byte("x"), blob.IfAbsent()); !errors.Is(err, blob.ErrExists) {
		t.Errorf("Put() on an object = %v, want ErrExists", err)
	}
	if _, err := b.PutFile(t.Context(), "new", file); !errors.Is(err, putErr) {
		t.Errorf("PutFile() = %v, want %v", err, putErr)
	}
	if err := b.Delete(t.Context(), "dir/k"); !errors.Is(err, deleteErr) {
		t.Errorf("Delete() = %v, want %v", err, deleteErr)
	}
	wantObject(t, b, "dir/k", "text")
	wantAbsent(t, b, "new")
	if !b.Unchanged("dir/k", tag) {
		t.Error("Unchanged() = false, want true")
	}
	if page, err := b.List(t.Context(), blob.ListOptions{Prefix: "dir"}); err != nil || len(page.Entries) != 1 {
		t.Errorf("List() = %+v, %v, want one entry", page.Entries, err)
	}
}

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

// asAnotherUser runs a test on a thread whose file accesses are those of nobody.
func asAnotherUser(t *testing.T, test func(t *testing.T)) {
	if os.Getuid() != 0 {
		t.Skip("only root can act as another user")
	}
	t.Run("as another user", func(t *testing.T) {
		runtime.LockOSThread() // And never unlocked: the thread ends with the test.
		const nobody = 65534
		if err := syscall.Setfsuid(nobody); err != nil {
			t.Fatalf("setfsuid: %v", err)
		}
		test(t)
	})
}
