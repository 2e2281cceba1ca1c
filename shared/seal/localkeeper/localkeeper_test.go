package localkeeper_test

import (
	"bytes"
	"encoding/hex"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/bobbindb/bobbin/shared/seal"
	"github.com/bobbindb/bobbin/shared/seal/localkeeper"
	"github.com/bobbindb/bobbin/shared/seal/sealtest"
)

func create(t *testing.T) (string, *localkeeper.Keeper) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "keeper.json")
	k, err := localkeeper.Create(path)
	if err != nil {
		t.Fatalf("Create() = %v", err)
	}
	return path, k
}

func TestContract(t *testing.T) {
	sealtest.Run(t, func(t *testing.T) seal.Keeper {
		_, k := create(t)
		return k
	})
}

var here = seal.Context{Store: "abcdefghijklmnopqrstuvwxyz", Purpose: "kek/00000001"}

// The golden file was made by Create, and the golden key wrapped under it, by the first
// release.
const (
	goldenFile = `{
  "format": 1,
  "keyset": "CLfqtu0GEmQKWAowdHlwZS5nb29nbGVhcGlzLmNvbS9nb29nbGUuY3J5cHRvLnRpbmsuQWVzR2NtS2V5EiIaIAxKIQNf10rAoaB94Law1ovkxvByE2gGWGnRM8AXIClJGAEQARi36rbtBiAB",
  "sha256": "63e704992a09115d79e76ab86a383ab125a03be1607313044d63ecd5e419df1c"
}`
	goldenWrapped = "016dadb53774cd89ee10dcea97e4f2d087901cf98e26b9b7bc5c3c07be0d0c93998d7c7210bfe80743d3283143c8a78565705b86b665c63d2e69dddf5500e9e21c"
)

func TestGolden(t *testing.T) {
	k, err := localkeeper.Parse([]byte(goldenFile))
	if err != nil {
		t.Fatalf("Parse() = %v", err)
	}
	wrapped, err := hex.DecodeString(goldenWrapped)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := k.Unwrap(t.Context(), here, wrapped); err != nil || string(got) != "thirty-two bytes of a key, yes!!" {
		t.Errorf("Unwrap() = %q, %v", got, err)
	}
	if got, want := k.Name(), "local key 6dadb537"; got != want {
		t.Errorf("Name() = %q, want %q", got, want)
	}
	again, err := k.Wrap(t.Context(), here, make([]byte, 32))
	if err != nil || len(again) != len(wrapped) || !bytes.Equal(again[:5], wrapped[:5]) || again[0] != seal.WrappedLocally {
		t.Errorf("Wrap() = %x, %v, want the size and the prefix of %x", again, err, wrapped)
	}
}

func TestCreate(t *testing.T) {
	path, k := create(t)
	info, err := os.Lstat(path)
	if err != nil || info.Mode() != 0o600 {
		t.Errorf("mode = %v, %v, want a file of 0600", info.Mode(), err)
	}
	before, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := localkeeper.Create(path); !errors.Is(err, fs.ErrExist) {
		t.Errorf("Create() = %v, want %v", err, fs.ErrExist)
	}
	if after, err := os.ReadFile(path); err != nil || !bytes.Equal(after, before) {
		t.Errorf("Create() changed the file that was there: %v", err)
	}
	if entries, err := os.ReadDir(filepath.Dir(path)); err != nil || len(entries) != 1 {
		t.Errorf("Create() left %v, %v, want one file", entries, err)
	}
	wrapped, err := k.Wrap(t.Context(), here, []byte("key"))
	if err != nil {
		t.Fatal(err)
	}
	opened, err := localkeeper.Open(path)
	if err != nil {
		t.Fatalf("Open() = %v", err)
	}
	if got, err := opened.Unwrap(t.Context(), here, wrapped); err != nil || string(got) != "key" {
		t.Errorf("Unwrap() = %q, %v, want key", got, err)
	}
}

func TestCreateRace(t *testing.T) {
	path := filepath.Join(t.TempDir(), "keeper.json")
	var group sync.WaitGroup
	keepers := make([]*localkeeper.Keeper, 20)
	for i := range keepers {
		group.Go(func() {
			k, err := localkeeper.OpenOrCreate(path)
			if err != nil {
				t.Errorf("OpenOrCreate() = %v", err)
			}
			keepers[i] = k
		})
	}
	group.Wait()
	for _, k := range keepers {
		if k.Name() != keepers[0].Name() {
			t.Errorf("Name() = %q and %q, want one key", k.Name(), keepers[0].Name())
		}
	}
}

func TestCreateWhereNothingCanBe(t *testing.T) {
	path := filepath.Join(t.TempDir(), "absent", "keeper.json")
	if _, err := localkeeper.OpenOrCreate(path); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("OpenOrCreate() = %v, want %v", err, fs.ErrNotExist)
	}
}

func TestRefused(t *testing.T) {
	for _, tt := range []struct {
		name  string
		spoil func(path string) error
		want  error
	}{
		{"absent", os.Remove, fs.ErrNotExist},
		{"readable by the group", func(p string) error { return os.Chmod(p, 0o640) }, localkeeper.ErrExposed},
		{"readable by all", func(p string) error { return os.Chmod(p, 0o604) }, localkeeper.ErrExposed},
		{"writable by the group", func(p string) error { return os.Chmod(p, 0o620) }, localkeeper.ErrExposed},
		{"a link", func(p string) error {
			return errors.Join(os.Rename(p, p+".real"), os.Symlink(p+".real", p))
		}, localkeeper.ErrNotFile},
		{"a link to nothing", func(p string) error {
			return errors.Join(os.Remove(p), os.Symlink(p+".real", p))
		}, localkeeper.ErrNotFile},
		{"a folder", func(p string) error { return errors.Join(os.Remove(p), os.Mkdir(p, 0o700)) }, localkeeper.ErrNotFile},
		{"a pipe", func(p string) error { return errors.Join(os.Remove(p), syscall.Mkfifo(p, 0o600)) }, localkeeper.ErrNotFile},
		{"empty", func(p string) error { return os.Truncate(p, 0) }, localkeeper.ErrDamagedFile},
		{"cut short", func(p string) error { return os.Truncate(p, 100) }, localkeeper.ErrDamagedFile},
		{"far too long", func(p string) error { return os.Truncate(p, 1<<20) }, localkeeper.ErrDamagedFile},
	} {
		t.Run(tt.name, func(t *testing.T) {
			path, _ := create(t)
			if err := tt.spoil(path); err != nil {
				t.Fatal(err)
			}
			before, _ := os.Lstat(path)
			if k, err := localkeeper.Open(path); !errors.Is(err, tt.want) || k != nil {
				t.Errorf("Open() = %v, %v, want %v", k, err, tt.want)
			}
			if errors.Is(tt.want, fs.ErrNotExist) {
				return
			}
			// A file that is refused is never replaced: it may be all that opens a store.
			if k, err := localkeeper.OpenOrCreate(path); !errors.Is(err, tt.want) || k != nil {
				t.Errorf("OpenOrCreate() = %v, %v, want %v", k, err, tt.want)
			}
			if after, err := os.Lstat(path); err != nil || after.Mode() != before.Mode() || after.Size() != before.Size() {
				t.Errorf("OpenOrCreate() left %v, %v, want %v", after, err, before)
			}
		})
	}
}

func TestParseRefused(t *testing.T) {
	path, k := create(t)
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for i := range content {
		changed := bytes.Clone(content)
		changed[i] ^= 1
		other, err := localkeeper.Parse(changed)
		if err != nil && !errors.Is(err, localkeeper.ErrDamagedFile) {
			t.Errorf("Parse() with byte %d changed = %v, want %v", i, err, localkeeper.ErrDamagedFile)
		}
		if err == nil && other.Name() != k.Name() {
			t.Errorf("Parse() with byte %d changed gave another key", i)
		}
	}
	for name, content := range map[string]string{
		"a newer format": strings.Replace(string(content), `"format": 1`, `"format": 2`, 1),
		"an old format":  strings.Replace(string(content), `"format": 1`, `"format": 0`, 1),
		"twice":          string(content) + string(content),
		"another field":  strings.Replace(string(content), "{", `{"more": 1,`, 1),
		"no keyset":      `{"format":1,"keyset":"","sha256":"e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"}`,
		"null":           "null",
	} {
		if k, err := localkeeper.Parse([]byte(content)); !errors.Is(err, localkeeper.ErrDamagedFile) || k != nil {
			t.Errorf("Parse() of %s = %v, %v, want %v", name, k, err, localkeeper.ErrDamagedFile)
		}
	}
}

func TestErrorsDoNotShowTheKey(t *testing.T) {
	path, _ := create(t)
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	secret := string(content[bytes.Index(content, []byte(`"keyset": "`))+11:][:60])
	for i := range content {
		changed := bytes.Clone(content)
		changed[i] ^= 1
		if _, err := localkeeper.Parse(changed); err != nil && strings.Contains(err.Error(), secret[:20]) {
			t.Errorf("Parse() = %v, which shows the key", err)
		}
	}
}

func TestPath(t *testing.T) {
	for reference, want := range map[string]string{
		"file:///var/keys/k.json": "/var/keys/k.json",
		"file://data/k":           "",
		"file:/data/k":            "",
		"/data/k":                 "",
		"file:///k?mode=0600":     "",
		"aws-kms://alias/bobbin":  "",
		"":                        "",
	} {
		got, err := localkeeper.Path(reference)
		if got != want || (err == nil) != (want != "") {
			t.Errorf("Path(%q) = %q, %v, want %q", reference, got, err, want)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte(goldenFile))
	f.Add([]byte(`{"format":1}`))
	f.Fuzz(func(t *testing.T, content []byte) {
		k, err := localkeeper.Parse(content)
		if err != nil {
			if !errors.Is(err, localkeeper.ErrDamagedFile) || k != nil {
				t.Errorf("Parse(%q) = %v, %v, want %v", content, k, err, localkeeper.ErrDamagedFile)
			}
			return
		}
		wrapped, err := k.Wrap(t.Context(), here, []byte("key"))
		if err != nil {
			t.Fatalf("Wrap() = %v with what Parse took", err)
		}
		if got, err := k.Unwrap(t.Context(), here, wrapped); err != nil || string(got) != "key" {
			t.Errorf("Unwrap() = %q, %v", got, err)
		}
	})
}

func FuzzUnwrap(f *testing.F) {
	k, err := localkeeper.Parse([]byte(goldenFile))
	if err != nil {
		f.Fatal(err)
	}
	golden, err := hex.DecodeString(goldenWrapped)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(golden)
	f.Add(golden[:5])
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, wrapped []byte) {
		key, err := k.Unwrap(t.Context(), here, wrapped)
		if bytes.Equal(wrapped, golden) {
			return
		}
		if key != nil || !errors.Is(err, seal.ErrDamaged) && !errors.Is(err, seal.ErrWrongKey) {
			t.Errorf("Unwrap(%x) = %x, %v", wrapped, key, err)
		}
	})
}
