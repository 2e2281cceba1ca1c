package blobtest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/bobbindb/bobbin/shared/blob"
)

// RunFolder tests what blob.Folder adds to the contract of blob.Bucket. (Run tests the
// rest.) Each subtest opens a folder, which must be empty.
func RunFolder(t *testing.T, open func(t *testing.T) blob.Folder) {
	for _, tt := range []struct {
		name string
		test func(*testing.T, blob.Folder)
	}{
		{"unchanged until it changes", testUnchanged},
		{"unchanged of many keys", testUnchangedMany},
		{"unchanged of nothing", testUnchangedNothing},
		{"open in place", testOpenFile},
		{"store a file", testPutFile},
		{"one of many files wins", testPutFileRace},
		{"store no file", testPutNoFile},
		{"link an object", testLinkFile},
		{"keys are checked", testFolderKeys},
		{"its directory is there", testDir},
	} {
		t.Run(tt.name, func(t *testing.T) { tt.test(t, open(t)) })
	}
}

func testUnchanged(t *testing.T, b blob.Folder) {
	for _, size := range []int{4, 1 << 20} {
		key, body := "small", strings.Repeat("x", size)
		if size > 4 {
			key = "large"
		}
		first := mustPut(t, b, key, body, blob.IfAbsent()).ETag
		wantUnchanged(t, b, key, first)
		second := mustPut(t, b, key, body, blob.IfMatch(first)).ETag
		wantChanged(t, b, key, first)
		wantUnchanged(t, b, key, second)
		wantChanged(t, b, key, "other")
		wantUnchanged(t, b, key, second)
		mustDelete(t, b, key)
		wantChanged(t, b, key, second)
		mustPut(t, b, key, body, blob.IfAbsent())
		wantChanged(t, b, key, second)
	}
}

// wantUnchanged asks as one is meant to: what is not known to be unchanged is read.
func wantUnchanged(t *testing.T, b blob.Folder, key string, tag blob.ETag) {
	t.Helper()
	if !b.Unchanged(key, tag) {
		if got := mustGet(t, b, key); got.ETag != tag {
			t.Fatalf("Get(%s) has ETag %q, want %q", key, got.ETag, tag)
		}
	}
	for range 2 {
		if !b.Unchanged(key, tag) {
			t.Errorf("Unchanged(%s, %q) = false after it was read, want true", key, tag)
		}
	}
}

func wantChanged(t *testing.T, b blob.Folder, key string, tag blob.ETag) {
	t.Helper()
	if b.Unchanged(key, tag) {
		t.Errorf("Unchanged(%s, %q) = true, want false", key, tag)
	}
}

func testUnchangedMany(t *testing.T, b blob.Folder) {
	tags := map[string]blob.ETag{}
	for i := range 100 {
		key := fmt.Sprintf("k%02d", i)
		tags[key] = mustPut(t, b, key, "text", blob.IfAbsent()).ETag
	}
	for range 2 {
		for key, tag := range tags {
			wantUnchanged(t, b, key, tag)
		}
	}
	for key, tag := range tags {
		mustPut(t, b, key, "text", blob.IfMatch(tag))
		wantChanged(t, b, key, tag)
	}
}

func testUnchangedNothing(t *testing.T, b blob.Folder) {
	mustPut(t, b, "dir/k", "text", blob.IfAbsent())
	for _, key := range []string{"absent", "dir", "dir/k/below", "", "../k", ".tmp"} {
		wantChanged(t, b, key, "tag")
		wantChanged(t, b, key, "")
	}
	wantChanged(t, b, "dir/k", "")
}

func testOpenFile(t *testing.T, b blob.Folder) {
	mustPut(t, b, "dir/k", "text", blob.IfAbsent())
	f, err := b.OpenFile("dir/k")
	if err != nil {
		t.Fatalf("OpenFile() = %v", err)
	}
	defer f.Close()
	mustDelete(t, b, "dir/k")
	if body, err := io.ReadAll(f); err != nil || string(body) != "text" {
		t.Errorf("the open file holds %q, %v after Delete(), want %q", body, err, "text")
	}
	for _, key := range []string{"dir/k", "dir", "absent/k"} {
		if f, err := b.OpenFile(key); !errors.Is(err, blob.ErrNotExist) {
			t.Errorf("OpenFile(%s) = %v, %v, want ErrNotExist", key, f, err)
		}
	}
}

func testPutFile(t *testing.T, b blob.Folder) {
	for key, body := range map[string]string{"tables/empty": "", "tables/small": "text", "tables/large": strings.Repeat("large", 100_000)} {
		path := writeFile(t, body)
		info, err := b.PutFile(t.Context(), key, path)
		if err != nil || info.Size != int64(len(body)) || info.Date.IsZero() {
			t.Fatalf("PutFile() = %+v, %v, want size %d and a date", info, err, len(body))
		}
		wantObject(t, b, key, body, info.ETag)
		if err := os.Remove(path); err != nil {
			t.Errorf("remove the file stored: %v", err)
		}
		wantObject(t, b, key, body, info.ETag)
		wantUnchanged(t, b, key, info.ETag)
		wantExists(t, b, key, blob.IfAbsent())
		swapped := mustPut(t, b, key, "swapped", blob.IfMatch(info.ETag))
		wantChanged(t, b, key, info.ETag)
		info, err = b.PutFile(t.Context(), key, writeFile(t, "lost"))
		if !errors.Is(err, blob.ErrExists) || info.Date.IsZero() {
			t.Errorf("PutFile() on an object = date %v, %v, want a date and ErrExists", info.Date, err)
		}
		wantObject(t, b, key, "swapped", swapped.ETag)
	}
	wantListing(t, b, blob.ListOptions{}, []string{"tables/empty", "tables/small", "tables/large"})
}

func testPutFileRace(t *testing.T, b blob.Folder) {
	paths := make([]string, racers)
	for i := range paths {
		paths[i] = writeFile(t, string(racerBody(i)))
	}
	infos, errs := make([]blob.Info, racers), make([]error, racers)
	together(func(i int) { infos[i], errs[i] = b.PutFile(t.Context(), "race/file", paths[i]) })
	winner := -1
	for i, err := range errs {
		switch {
		case err == nil && winner < 0:
			winner = i
		case !errors.Is(err, blob.ErrExists):
			t.Errorf("PutFile() of racer %d = %v after racer %d won, want ErrExists", i, err, winner)
		}
	}
	if winner < 0 {
		t.Fatal("no racer won")
	}
	wantObject(t, b, "race/file", string(racerBody(winner)), infos[winner].ETag)
}

func testPutNoFile(t *testing.T, b blob.Folder) {
	cancelled, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := b.PutFile(cancelled, "k", writeFile(t, "text")); !errors.Is(err, context.Canceled) {
		t.Errorf("PutFile() with a cancelled context = %v, want context.Canceled", err)
	}
	for _, path := range []string{filepath.Join(t.TempDir(), "absent"), t.TempDir()} {
		if _, err := b.PutFile(t.Context(), "k", path); !errors.Is(err, blob.ErrNotStored) {
			t.Errorf("PutFile(%s) = %v, want ErrNotStored", path, err)
		}
	}
	wantAbsent(t, b, "k")
	wantListing(t, b, blob.ListOptions{}, nil)
}

func testLinkFile(t *testing.T, b blob.Folder) {
	path := filepath.Join(t.TempDir(), "second")
	info := mustPut(t, b, "dir/k", "text", blob.IfAbsent())
	if err := b.LinkFile("dir/k", path); err != nil {
		t.Fatalf("LinkFile() = %v", err)
	}
	wantObject(t, b, "dir/k", "text", info.ETag)
	if err := b.LinkFile("dir/k", path); !errors.Is(err, fs.ErrExist) {
		t.Errorf("LinkFile() to a path that is taken = %v, want fs.ErrExist", err)
	}
	mustPut(t, b, "dir/k", "swapped", blob.IfMatch(info.ETag))
	mustDelete(t, b, "dir/k")
	if body, err := os.ReadFile(path); err != nil || string(body) != "text" {
		t.Errorf("the second name holds %q, %v after a swap and a delete, want %q", body, err, "text")
	}
	for _, key := range []string{"dir/k", "dir", "absent/k"} {
		other := filepath.Join(t.TempDir(), "other")
		if err := b.LinkFile(key, other); !errors.Is(err, blob.ErrNotExist) {
			t.Errorf("LinkFile(%s) = %v, want ErrNotExist", key, err)
		}
		if _, err := os.Lstat(other); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("LinkFile(%s) left a file", key)
		}
	}
}

func testFolderKeys(t *testing.T, b blob.Folder) {
	for _, key := range []string{"", "../k", ".tmp/k", "a//b", "/k"} {
		_, openErr := b.OpenFile(key)
		_, putErr := b.PutFile(t.Context(), key, writeFile(t, "text"))
		for op, err := range map[string]error{"OpenFile": openErr, "PutFile": putErr,
			"LinkFile": b.LinkFile(key, filepath.Join(t.TempDir(), "k"))} {
			if !errors.Is(err, blob.ErrInvalidKey) {
				t.Errorf("%s of key %q = %v, want ErrInvalidKey", op, key, err)
			}
		}
	}
}

func testDir(t *testing.T, b blob.Folder) {
	if info, err := os.Stat(b.Dir()); err != nil || !info.IsDir() || !filepath.IsAbs(b.Dir()) {
		t.Errorf("Dir() = %q, %v, want the absolute path of a directory", b.Dir(), err)
	}
}

// writeFile writes a file outside the bucket and returns its path.
func writeFile(t *testing.T, body string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(path, []byte(body), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}
