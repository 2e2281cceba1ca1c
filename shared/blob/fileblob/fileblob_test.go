package fileblob

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/bobbindb/bobbin/shared/blob"
)

func TestTempFilesAreNoObjects(t *testing.T) {
	dir := t.TempDir()
	b := open(t, dir)
	put(t, b, "k", "text", blob.IfAbsent())
	torn := filepath.Join(dir, tempDir, filepath.Base(b.tempPath()))
	for _, path := range []string{torn, filepath.Join(dir, ".DS_Store"), filepath.Join(dir, "not a key")} {
		if err := os.WriteFile(path, []byte("to"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	page, err := b.List(t.Context(), blob.ListOptions{})
	if err != nil || len(page.Entries) != 1 || page.Entries[0].Key != "k" {
		t.Errorf("List() = %+v, %v, want only k", page.Entries, err)
	}
	if _, err := b.Get(t.Context(), tempDir+"/"+filepath.Base(torn)); !errors.Is(err, blob.ErrInvalidKey) {
		t.Errorf("Get() of a temp file = %v, want ErrInvalidKey", err)
	}
}

func TestOpenRemovesStaleTempFiles(t *testing.T) {
	dir := t.TempDir()
	now := time.Date(2024, 2, 29, 12, 0, 0, 0, time.UTC)
	b := openAt(t, dir, func() time.Time { return now })
	old := newFile(t, "an old file")
	if err := os.Chtimes(old, now.AddDate(-1, 0, 0), now.AddDate(-1, 0, 0)); err != nil {
		t.Fatal(err)
	}
	if _, err := b.stageFile(t.Context(), old); err != nil {
		t.Fatalf("stageFile() = %v", err)
	}
	openAt(t, dir, func() time.Time { return now.Add(staleAfter - time.Second) })
	if got := temps(t, dir); len(got) != 1 {
		t.Errorf("temp files of the last hour after Open() = %q, want one", got)
	}
	openAt(t, dir, func() time.Time { return now.Add(staleAfter) })
	if got := temps(t, dir); len(got) != 0 {
		t.Errorf("temp files of an hour ago after Open() = %q, want none", got)
	}
}

// A writer that sleeps so long that its temp file is taken for stale stores nothing.
func TestStolenTempFile(t *testing.T) {
	b := open(t, t.TempDir())
	_, err := b.add("k", func() (staged, error) {
		temp, err := b.stage([]byte("text"), 0)
		temp.remove()
		return temp, err
	})
	if !errors.Is(err, blob.ErrNotStored) {
		t.Errorf("add() without its temp file = %v, want ErrNotStored", err)
	}
	wantAbsent(t, b, "k")
}

func TestFailureBeforeTheLink(t *testing.T) {
	for _, tt := range []struct{ cause, want error }{
		{syscall.ENOSPC, blob.ErrNotStored},
		{syscall.EDQUOT, blob.ErrNotStored},
		{syscall.EROFS, blob.ErrNotStored},
		{syscall.EIO, blob.ErrNotStored},
		{syscall.EMFILE, blob.ErrNotStored},
		{syscall.EACCES, blob.ErrDenied},
		{syscall.EPERM, blob.ErrDenied},
	} {
		t.Run(tt.cause.Error(), func(t *testing.T) {
			dir := t.TempDir()
			b := open(t, dir)
			old := put(t, b, "old", "text", blob.IfAbsent())
			path := newFile(t, "text")
			b.sync = func(f *os.File) error { return &os.PathError{Op: "sync", Path: f.Name(), Err: tt.cause} }
			for name, call := range map[string]func() (blob.Info, error){
				"create":  func() (blob.Info, error) { return b.Put(t.Context(), "new", nil, blob.IfAbsent()) },
				"swap":    func() (blob.Info, error) { return b.Put(t.Context(), "old", nil, blob.IfMatch(old.ETag)) },
				"PutFile": func() (blob.Info, error) { return b.PutFile(t.Context(), "new", path) },
			} {
				info, err := call()
				if !errors.Is(err, tt.want) || info.Date.IsZero() || errors.Is(err, blob.ErrUnavailable) {
					t.Errorf("%s = date %v, error %v, want a date and %v", name, info.Date, err, tt.want)
				}
			}
			b.sync = (*os.File).Sync
			wantAbsent(t, b, "new")
			wantObject(t, b, "old", "text")
			if got := temps(t, dir); len(got) != 0 {
				t.Errorf("temp files left = %q, want none", got)
			}
		})
	}
}

// An error that leaves open whether the name was given is no answer, and the temp file
// stays for the sake of who may find the object.
func TestFailureOfTheLink(t *testing.T) {
	for _, tt := range []struct {
		cause, want error
		temps       int
	}{
		{syscall.ENOSPC, blob.ErrNotStored, 0},
		{syscall.EDQUOT, blob.ErrNotStored, 0},
		{syscall.EACCES, blob.ErrDenied, 0},
		{syscall.EIO, blob.ErrUnavailable, 3}, // Of the create, and both names of the swap.
	} {
		t.Run(tt.cause.Error(), func(t *testing.T) {
			dir := t.TempDir()
			b := open(t, dir)
			old := put(t, b, "old", "text", blob.IfAbsent())
			b.link = func(from, to string) error {
				if filepath.Base(filepath.Dir(to)) == tempDir {
					return os.Link(from, to)
				}
				return &os.LinkError{Op: "link", Old: from, New: to, Err: tt.cause}
			}
			b.rename = func(from, to string) error {
				return &os.LinkError{Op: "rename", Old: from, New: to, Err: tt.cause}
			}
			_, createErr := b.Put(t.Context(), "new", []byte("new"), blob.IfAbsent())
			_, swapErr := b.Put(t.Context(), "old", []byte("new"), blob.IfMatch(old.ETag))
			for name, err := range map[string]error{"create": createErr, "swap": swapErr} {
				if !errors.Is(err, tt.want) {
					t.Errorf("%s = %v, want %v", name, err, tt.want)
				}
			}
			wantAbsent(t, b, "new")
			wantObject(t, b, "old", "text")
			if got := temps(t, dir); len(got) != tt.temps {
				t.Errorf("temp files left = %q, want %d", got, tt.temps)
			}
		})
	}
}

// Until its directory is on disk an object that is there is not told to be there, by
// whatever process.
func TestFailureAfterTheLink(t *testing.T) {
	dir := t.TempDir()
	b, other := open(t, dir), open(t, dir)
	old := put(t, b, "dir/old", "old", blob.IfAbsent())
	path := newFile(t, "new")
	failing := func(f *os.File) error {
		if info, err := f.Stat(); err != nil || info.IsDir() {
			return errors.Join(err, syscall.EIO)
		}
		return f.Sync()
	}
	b.sync, other.sync = failing, failing
	for key, call := range map[string]func() (blob.Info, error){
		"dir/created": func() (blob.Info, error) {
			return b.Put(t.Context(), "dir/created", []byte("new"), blob.IfAbsent())
		},
		"dir/old":  func() (blob.Info, error) { return b.Put(t.Context(), "dir/old", []byte("new"), blob.IfMatch(old.ETag)) },
		"dir/file": func() (blob.Info, error) { return b.PutFile(t.Context(), "dir/file", path) },
	} {
		if _, err := call(); !errors.Is(err, blob.ErrUnavailable) || errors.Is(err, blob.ErrNotStored) {
			t.Errorf("Put(%s) = %v, want ErrUnavailable", key, err)
		}
		for _, reader := range []*Bucket{b, other} {
			if got, err := reader.Get(t.Context(), key); !errors.Is(err, blob.ErrUnavailable) {
				t.Errorf("Get(%s) = %q, %v, want ErrUnavailable", key, got.Body, err)
			}
			if _, err := reader.OpenFile(key); !errors.Is(err, blob.ErrUnavailable) {
				t.Errorf("OpenFile(%s) = %v, want ErrUnavailable", key, err)
			}
		}
	}
	synced := recordSyncs(other)
	for _, key := range []string{"dir/created", "dir/old", "dir/file"} {
		*synced = nil
		wantObject(t, other, key, "new")
		if !slices.Contains(*synced, filepath.Join(dir, "dir")) {
			t.Errorf("Get(%s) put %q on disk, want the directory of the object", key, *synced)
		}
	}
	b.sync = (*os.File).Sync
	if _, err := b.Put(t.Context(), "dir/created", []byte("new"), blob.IfAbsent()); !errors.Is(err, blob.ErrExists) {
		t.Errorf("Put() again = %v, want ErrExists", err)
	}
}

func TestPutSyncsNewDirectories(t *testing.T) {
	dir := t.TempDir()
	b := open(t, dir)
	synced := recordSyncs(b)
	put(t, b, "a/b/first", "text", blob.IfAbsent())
	for _, want := range []string{"a/b", "a", "."} {
		if !slices.Contains(*synced, filepath.Join(dir, want)) {
			t.Errorf("the first Put() put %q on disk, want %s too", *synced, want)
		}
	}
	*synced = nil
	put(t, b, "a/b/second", "text", blob.IfAbsent())
	if len(*synced) != 2 || (*synced)[1] != filepath.Join(dir, "a/b") {
		t.Errorf("the second Put() put %q on disk, want its file and a/b", *synced)
	}
	*synced = nil
	wantObject(t, b, "a/b/second", "text")
	if len(*synced) != 0 {
		t.Errorf("Get() put %q on disk, want nothing", *synced)
	}
	// Another process may have made the directories and died.
	other := open(t, dir)
	synced = recordSyncs(other)
	put(t, other, "a/b/third", "text", blob.IfAbsent())
	if !slices.Contains(*synced, dir) {
		t.Errorf("the first Put() of another process put %q on disk, want the folder too", *synced)
	}
}

func TestDeletesShareSyncs(t *testing.T) {
	dir := t.TempDir()
	b := open(t, dir)
	for i := range deletesPerSync + 1 {
		if err := os.WriteFile(filepath.Join(dir, fmt.Sprint(i)), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	synced := recordSyncs(b)
	for i := range deletesPerSync + 1 {
		if err := b.Delete(t.Context(), fmt.Sprint(i)); err != nil {
			t.Fatalf("Delete() = %v", err)
		}
	}
	if len(*synced) != 1 || b.deletes[dir] != 1 {
		t.Errorf("%d deletes put %q on disk and left %d, want one sync and one left", deletesPerSync+1, *synced, b.deletes[dir])
	}
	put(t, b, "k", "text", blob.IfAbsent())
	if len(b.deletes) != 0 {
		t.Errorf("after a Put() %v deletes wait for a sync, want none", b.deletes)
	}
}

func TestCloseSyncsDeletes(t *testing.T) {
	dir := t.TempDir()
	b, err := Open(dir, Options{})
	if err != nil {
		t.Fatalf("Open() = %v", err)
	}
	put(t, b, "a/k", "text", blob.IfAbsent())
	if err := b.Delete(t.Context(), "a/k"); err != nil {
		t.Fatalf("Delete() = %v", err)
	}
	synced := recordSyncs(b)
	if err := b.Close(); err != nil {
		t.Fatalf("Close() = %v", err)
	}
	if want := []string{filepath.Join(dir, "a")}; !slices.Equal(*synced, want) {
		t.Errorf("Close() put %q on disk, want %q", *synced, want)
	}
}

func TestGenerationsIncrease(t *testing.T) {
	for name, granularity := range map[string]time.Duration{
		"fine times": 1, "times of 2 seconds": 2 * time.Second,
	} {
		t.Run(name, func(t *testing.T) {
			now := time.Date(2024, 2, 29, 12, 0, 0, 0, time.UTC)
			b := openAt(t, t.TempDir(), func() time.Time { return now })
			b.setTime = func(path string, accessed, modified time.Time) error {
				return os.Chtimes(path, accessed, modified.Truncate(granularity))
			}
			tag := put(t, b, "k", "text", blob.IfAbsent()).ETag
			last := modified(t, b, "k")
			for range 3 {
				now = now.Add(-time.Hour) // A clock that steps back.
				tag = put(t, b, "k", "text", blob.IfMatch(tag)).ETag
				if next := modified(t, b, "k"); !next.After(last) {
					t.Errorf("a swap set the time to %v, want it after %v", next, last)
				}
				last = modified(t, b, "k")
			}
			now = last.Add(time.Hour)
			put(t, b, "k", "text", blob.IfMatch(tag))
			if next := modified(t, b, "k"); !next.Equal(now) {
				t.Errorf("a swap on a later clock set the time to %v, want %v", next, now)
			}
		})
	}
}

func TestFileSystemWithoutTimes(t *testing.T) {
	b := open(t, t.TempDir())
	tag := put(t, b, "k", "text", blob.IfAbsent()).ETag
	still := modified(t, b, "k")
	b.setTime = func(path string, accessed, _ time.Time) error { return os.Chtimes(path, accessed, still) }
	if _, err := b.Put(t.Context(), "k", []byte("text"), blob.IfMatch(tag)); !errors.Is(err, blob.ErrNotStored) {
		t.Errorf("Put() where times do not change = %v, want ErrNotStored", err)
	}
}

// Somebody who writes into the folder by other means makes another version too.
func TestForeignWriteIsAnotherVersion(t *testing.T) {
	for name, write := range map[string]func(path string, was time.Time) error{
		"another file with the same time": func(path string, was time.Time) error {
			return errors.Join(os.Remove(path), os.WriteFile(path, []byte("TEXT"), 0o600), os.Chtimes(path, was, was))
		},
		"the same file with another time": func(path string, was time.Time) error {
			return errors.Join(os.WriteFile(path, []byte("TEXT"), 0o600), os.Chtimes(path, was, was.Add(1)))
		},
		"the same file with another size": func(path string, was time.Time) error {
			return errors.Join(os.WriteFile(path, []byte("longer"), 0o600), os.Chtimes(path, was, was))
		},
	} {
		t.Run(name, func(t *testing.T) {
			b := open(t, t.TempDir())
			tag := put(t, b, "k", "text", blob.IfAbsent()).ETag
			if !b.Unchanged("k", tag) {
				t.Fatal("Unchanged() = false, want true")
			}
			if err := write(b.path("k"), modified(t, b, "k")); err != nil {
				t.Fatal(err)
			}
			if b.Unchanged("k", tag) {
				t.Error("Unchanged() = true after a foreign write, want false")
			}
			if _, err := b.Put(t.Context(), "k", nil, blob.IfMatch(tag)); !errors.Is(err, blob.ErrExists) {
				t.Errorf("Put() = %v after a foreign write, want ErrExists", err)
			}
		})
	}
}

func TestKeyThatIsADirectory(t *testing.T) {
	b := open(t, t.TempDir())
	put(t, b, "a/b", "text", blob.IfAbsent())
	for _, key := range []string{"a", "a/b/c"} {
		if _, err := b.Put(t.Context(), key, nil, blob.IfAbsent()); !errors.Is(err, blob.ErrNotStored) {
			t.Errorf("Put(%s) beside a/b = %v, want ErrNotStored", key, err)
		}
	}
	if _, err := b.Put(t.Context(), "a", nil, blob.IfMatch("tag")); !errors.Is(err, blob.ErrExists) {
		t.Errorf("swap of a beside a/b = %v, want ErrExists", err)
	}
	wantObject(t, b, "a/b", "text")
}

func TestFolderThatIsGone(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "new", "store")
	b := open(t, dir)
	tag := put(t, b, "a/k", "text", blob.IfAbsent()).ETag
	if err := os.Rename(dir, dir+"-moved"); err != nil {
		t.Fatal(err)
	}
	wantGone := func() {
		t.Helper()
		for _, when := range []blob.Condition{blob.IfAbsent(), blob.IfMatch(tag)} {
			if _, err := b.Put(t.Context(), "a/k", nil, when); !errors.Is(err, blob.ErrNotStored) {
				t.Errorf("Put() = %v, want ErrNotStored", err)
			}
		}
		if err := b.Delete(t.Context(), "a/k"); !errors.Is(err, blob.ErrUnavailable) {
			t.Errorf("Delete() = %v, want ErrUnavailable", err)
		}
	}
	wantGone()
	if _, err := b.List(t.Context(), blob.ListOptions{}); !errors.Is(err, blob.ErrUnavailable) {
		t.Errorf("List() = %v, want ErrUnavailable", err)
	}
	if _, err := os.Stat(dir); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the folder was made again")
	}
	// An empty mount point is not the folder either.
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	wantGone()
}

func TestOpenMakesTheFolder(t *testing.T) {
	parent := t.TempDir()
	open(t, filepath.Join(parent, "a", "b"))
	if info, err := os.Stat(filepath.Join(parent, "a", "b")); err != nil || info.Mode().Perm() != dirMode {
		t.Errorf("the folder made = %v, %v, want a directory for its owner alone", info, err)
	}
	file := newFile(t, "text")
	for _, dir := range []string{file, filepath.Join(file, "below")} {
		if b, err := Open(dir, Options{}); err == nil {
			t.Errorf("Open(%s) = nil error, want one", dir)
			b.Close()
		}
	}
}

func TestLockWaitEndsWithTheContext(t *testing.T) {
	dir := t.TempDir()
	b, other := open(t, dir), open(t, dir)
	tag := put(t, b, "k", "text", blob.IfAbsent()).ETag
	for name, holder := range map[string]*Bucket{"this bucket": b, "another process": other} {
		unlock, err := holder.lock(t.Context(), "k")
		if err != nil {
			t.Fatalf("lock() = %v", err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
		if _, err := b.Put(ctx, "k", nil, blob.IfMatch(tag)); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("Put() while %s has the lock = %v, want context.DeadlineExceeded", name, err)
		}
		if err := b.Delete(ctx, "k"); !errors.Is(err, context.DeadlineExceeded) || errors.Is(err, blob.ErrUnavailable) {
			t.Errorf("Delete() while %s has the lock = %v, want context.DeadlineExceeded", name, err)
		}
		cancel()
		unlock()
	}
	put(t, b, "k", "text", blob.IfMatch(tag))
}

func TestCopyWhereLinksCannotBe(t *testing.T) {
	for _, cause := range []error{syscall.EXDEV, syscall.EPERM, syscall.EMLINK, syscall.ENOTSUP} {
		t.Run(cause.Error(), func(t *testing.T) {
			dir := t.TempDir()
			b := open(t, dir)
			b.link = func(from, to string) error {
				if strings.HasPrefix(from, dir) && strings.HasPrefix(to, dir) {
					return os.Link(from, to)
				}
				return &os.LinkError{Op: "link", Old: from, New: to, Err: cause}
			}
			text := strings.Repeat("text", 1<<20)
			path := newFile(t, text)
			info, err := b.PutFile(t.Context(), "dir/k", path)
			if err != nil || info.Size != int64(len(text)) {
				t.Fatalf("PutFile() = %+v, %v, want size %d", info, err, len(text))
			}
			if err := os.WriteFile(path, []byte("changed"), 0o600); err != nil {
				t.Fatal(err)
			}
			wantObject(t, b, "dir/k", text)
			copied := filepath.Join(t.TempDir(), "copy")
			if err := b.LinkFile("dir/k", copied); err != nil {
				t.Fatalf("LinkFile() = %v", err)
			}
			if got, err := os.ReadFile(copied); err != nil || string(got) != text {
				t.Errorf("the copy holds %d bytes, %v, want %d", len(got), err, len(text))
			}
			if err := b.LinkFile("dir/k", copied); !errors.Is(err, os.ErrExist) {
				t.Errorf("LinkFile() to a path that is taken = %v, want fs.ErrExist", err)
			}
			left, err := os.ReadDir(filepath.Dir(copied))
			if err != nil || len(left) != 1 || len(temps(t, dir)) != 0 {
				t.Errorf("left beside the copy %v, %v, and in .tmp %q, want nothing", left, err, temps(t, dir))
			}
		})
	}
}

func TestOnlyUnchangedKeepsFilesOpen(t *testing.T) {
	b := open(t, t.TempDir())
	for i := range keptLimit + 10 {
		put(t, b, fmt.Sprint("k", i), "text", blob.IfAbsent())
		wantObject(t, b, fmt.Sprint("k", i), "text")
	}
	if n := len(b.kept.byKey); n != 0 {
		t.Errorf("%d files are open after reads, want none", n)
	}
	tag := mustGet(t, b, "k0").ETag
	for i := range keptLimit + 10 {
		key := fmt.Sprint("k", i)
		if !b.Unchanged(key, mustGet(t, b, key).ETag) || !b.Unchanged("k0", tag) {
			t.Fatalf("Unchanged(%s) = false, want true", key)
		}
	}
	if n := len(b.kept.byKey); n != keptLimit {
		t.Errorf("%d files are open, want %d", n, keptLimit)
	}
	if b.kept.byKey["k0"] == nil || b.kept.byKey["k1"] != nil {
		t.Error("the file used least recently was not the one closed")
	}
	files := b.kept.byKey
	if err := b.kept.close(); err != nil {
		t.Errorf("close() = %v", err)
	}
	for key, kept := range files {
		if _, err := kept.file.Stat(); !errors.Is(err, os.ErrClosed) {
			t.Errorf("the file of %s is open after Close()", key)
		}
	}
	if b.Unchanged("k0", tag) {
		t.Error("Unchanged() = true after Close(), want false")
	}
}

func TestListingReadsADirectoryAtRestOnce(t *testing.T) {
	const n = 2000
	dir := t.TempDir()
	b := open(t, dir)
	for i := range n {
		if err := os.WriteFile(b.path(fmt.Sprintf("%05d", i)), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	change(t, dir, time.Minute)
	keys, reads := listAll(t, b, func(string) {})
	if keys != n || reads != 1 {
		t.Errorf("a directory at rest was read %d times for %d keys, want once for %d", reads, keys, n)
	}
	if len(b.listings.dirs) != 0 {
		t.Errorf("the names of %d directories are kept after their last page, want none", len(b.listings.dirs))
	}
	added := 0
	keys, reads = listAll(t, b, func(last string) {
		added++
		put(t, b, last+"-added", "", blob.IfAbsent())
		change(t, dir, time.Minute+time.Duration(added))
	})
	if added < n/pageSize-1 || keys != n+added || reads != added+1 {
		t.Errorf("a directory to which a page added %d times was read %d times for %d keys, want once a page for %d",
			added, reads, keys, n+added)
	}
}

// A directory that has just changed may change again without showing it.
func TestListingOfAChangingDirectoryIsNotKept(t *testing.T) {
	dir := t.TempDir()
	b := open(t, dir)
	for i := range blob.DefaultListLimit + 1 {
		if err := os.WriteFile(b.path(fmt.Sprintf("%05d", i)), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for ago, want := range map[time.Duration]int{0: 0, restTime / 2: 0, time.Minute: 1} {
		change(t, dir, ago)
		if _, err := b.List(t.Context(), blob.ListOptions{Limit: pageSize}); err != nil {
			t.Fatalf("List() = %v", err)
		}
		if got := len(b.listings.dirs); got != want {
			t.Errorf("the names of %d directories are kept %v after a change, want %d", got, ago, want)
		}
		b.listings.forget("")
	}
}

const pageSize = 100

// change makes a directory look as if it had changed so long ago.
func change(t *testing.T, dir string, ago time.Duration) {
	t.Helper()
	then := time.Now().Add(-ago)
	if err := os.Chtimes(dir, then, then); err != nil {
		t.Fatal(err)
	}
}

// listAll lists everything in pages, calls between with the last key of each but the
// last, and returns how many keys there were, and how many directories were read.
func listAll(t *testing.T, b *Bucket, between func(last string)) (keys, reads int) {
	t.Helper()
	before := b.listings.reads
	opts := blob.ListOptions{Limit: pageSize}
	for {
		page, err := b.List(t.Context(), opts)
		if err != nil {
			t.Fatalf("List() = %v", err)
		}
		keys += len(page.Entries)
		if !page.More {
			return keys, b.listings.reads - before
		}
		opts.After = page.Entries[len(page.Entries)-1].Key
		between(opts.After)
	}
}

// recordSyncs returns the paths that are put on disk from now on.
func recordSyncs(b *Bucket) *[]string {
	var paths []string
	b.sync = func(f *os.File) error {
		paths = append(paths, f.Name())
		return f.Sync()
	}
	return &paths
}

func put(t *testing.T, b *Bucket, key, body string, when blob.Condition) blob.Info {
	t.Helper()
	info, err := b.Put(t.Context(), key, []byte(body), when)
	if err != nil {
		t.Fatalf("Put(%s) = %v", key, err)
	}
	return info
}

func mustGet(t *testing.T, b *Bucket, key string) blob.Object {
	t.Helper()
	object, err := b.Get(t.Context(), key)
	if err != nil {
		t.Fatalf("Get(%s) = %v", key, err)
	}
	return object
}

func wantObject(t *testing.T, b *Bucket, key, body string) {
	t.Helper()
	if got := mustGet(t, b, key); string(got.Body) != body {
		t.Errorf("Get(%s) = %.40q (%d bytes), want %.40q (%d bytes)", key, got.Body, len(got.Body), body, len(body))
	}
}

func wantAbsent(t *testing.T, b *Bucket, key string) {
	t.Helper()
	if got, err := b.Get(t.Context(), key); !errors.Is(err, blob.ErrNotExist) {
		t.Errorf("Get(%s) = %q, %v, want ErrNotExist", key, got.Body, err)
	}
}

func modified(t *testing.T, b *Bucket, key string) time.Time {
	t.Helper()
	info, err := os.Stat(b.path(key))
	if err != nil {
		t.Fatal(err)
	}
	return info.ModTime()
}

func temps(t *testing.T, dir string) []string {
	t.Helper()
	entries, err := os.ReadDir(filepath.Join(dir, tempDir))
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		t.Fatal(err)
	}
	var names []string
	for _, entry := range entries {
		names = append(names, entry.Name())
	}
	return names
}

// newFile writes a file outside the folder and returns its path.
func newFile(t *testing.T, body string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(path, []byte(body), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}
