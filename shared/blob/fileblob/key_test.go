package fileblob

import (
	"path/filepath"
	"strings"
	"testing"

	"github.com/bobbindb/bobbin/shared/blob"
)

// A valid key has a path of its own below the folder, outside of the dot-directories.
func FuzzKeyToPath(f *testing.F) {
	for _, key := range []string{
		"", "/", "a", "a/b", "../a", "a/../../b", "./a", ".tmp/x", ".lock/00", "a/.b", "a//b", "a/", "\x00", "a\\b",
		"C:", "log/00000000000000000001", "a..b/c.", "-", "=", strings.Repeat("a", 256), strings.Repeat("a/", 600),
	} {
		f.Add(key)
	}
	b := &Bucket{dir: filepath.FromSlash("/store/folder")}
	f.Fuzz(func(t *testing.T, key string) {
		if blob.CheckKey(key) != nil {
			return
		}
		path := b.path(key)
		relative, err := filepath.Rel(b.dir, path)
		if err != nil || filepath.ToSlash(relative) != key {
			t.Errorf("path(%q) = %q, which leads back to %q, %v", key, path, relative, err)
		}
		if !filepath.IsLocal(relative) || strings.Contains("/"+key, "/.") {
			t.Errorf("path(%q) = %q, which is no place for an object", key, path)
		}
	})
}
