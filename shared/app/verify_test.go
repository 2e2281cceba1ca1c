package app_test

import (
	"crypto/sha256"
	"encoding/json"
	"io/fs"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/spf13/pflag"

	"github.com/bobbindb/bobbin/shared/app"
	"github.com/bobbindb/bobbin/shared/checkpoint"
)

// verify verifies the store in a folder.
func verify(t *testing.T, dir string) app.VerifyReport {
	t.Helper()
	set := pflag.NewFlagSet("verify", pflag.ContinueOnError)
	app.AddFlags(set, app.StoreOptions, app.KeyOptions)
	if err := set.Parse([]string{"--db", dir}); err != nil {
		t.Fatal(err)
	}
	cfg, err := app.Load(set, func(string) (string, bool) { return "", false })
	if err != nil {
		t.Fatal(err)
	}
	report, err := app.Verify(t.Context(), cfg, slog.New(slog.DiscardHandler), nil)
	if err != nil {
		t.Fatalf("Verify() = %v", err)
	}
	return report
}

// crashed is a folder as a crash leaves it: one checkpoint with its segment, and some
// commits after it.
func crashed(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	fill := func(t *testing.T) {
		s := serve(t, "--db", dir, "--partitions", "2")
		for range 2 {
			post(t, s)
		}
	}
	t.Run("stopped", fill)
	fill(t)
	return copyStore(t, dir)
}

// post creates a thread for each of four users.
func post(t *testing.T, s served) {
	t.Helper()
	for _, user := range []string{"ada", "bob", "eve", "joe"} {
		status, _, text := s.call(t, http.MethodPost, "/frontend/v1/threads", `{"title":"one","messages":[{"body":"hello"}]}`,
			"Authorization", "Bearer "+s.Keys.Backend, "X-User-ID", user)
		if status != http.StatusCreated {
			t.Fatalf("POST = %d %s", status, text)
		}
	}
}

// copyStore copies a store's objects and its key file.
func copyStore(t *testing.T, dir string) string {
	t.Helper()
	to := t.TempDir()
	for _, key := range append(objects(t, dir), ".keeper.key") {
		body, err := os.ReadFile(filepath.Join(dir, key))
		if err != nil {
			t.Fatal(err)
		}
		put(t, filepath.Join(to, key), body)
	}
	return to
}

func put(t *testing.T, path string, body []byte) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, body, 0o600); err != nil {
		t.Fatal(err)
	}
}

// objects are the keys of a store's objects.
func objects(t *testing.T, dir string) (keys []string) {
	t.Helper()
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		key, _ := filepath.Rel(dir, path)
		switch {
		case err != nil:
			return err
		case strings.HasPrefix(d.Name(), ".") && d.IsDir() && path != dir:
			return filepath.SkipDir
		case !d.IsDir() && !strings.HasPrefix(d.Name(), "."):
			keys = append(keys, filepath.ToSlash(key))
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return keys
}

// Each object of a store is damaged in every way: it is named by its own key, and
// nothing else is.
func TestVerifyNamesWhatIsDamaged(t *testing.T) {
	dir := crashed(t)
	if r := verify(t, dir); !r.OK || *r.Threads != 16 || *r.Messages != 16 || *r.Checkpoints == 0 || *r.Segments == 0 || *r.Commits != 20 || *r.Keys != 4 || *r.Sealed != 32 {
		t.Fatalf("Verify() = %+v, want a whole store", r)
	}
	last := map[string]string{} // by folder; nothing tells that the last commit is gone
	for _, key := range objects(t, dir) {
		last[filepath.Dir(key)] = key
	}
	flip := func(at func(n int) int) func(b []byte) []byte {
		return func(b []byte) []byte { b[at(len(b))] ^= 0xff; return b }
	}
	ways := map[string]func([]byte) []byte{
		"first byte":  flip(func(int) int { return 0 }),
		"fifth byte":  flip(func(int) int { return 4 }),
		"middle byte": flip(func(n int) int { return n / 2 }),
		"last byte":   flip(func(n int) int { return n - 1 }),
		"cut":         func(b []byte) []byte { return b[:len(b)/2] },
		"emptied":     func([]byte) []byte { return nil },
		"removed":     nil,
	}
	for _, key := range objects(t, dir) {
		for way, change := range ways {
			if change == nil && strings.Contains(key, "/log/") && last[filepath.Dir(key)] == key {
				continue
			}
			t.Run(key+" "+way, func(t *testing.T) {
				harmed, path := copyStore(t, dir), filepath.FromSlash(key)
				body, err := os.ReadFile(filepath.Join(harmed, path))
				if err != nil {
					t.Fatal(err)
				}
				want := key
				if change != nil {
					put(t, filepath.Join(harmed, path), change(body))
				} else if err := os.Remove(filepath.Join(harmed, path)); err != nil {
					t.Fatal(err)
				} else if before, _, ok := strings.Cut(key, "/segments/"); ok {
					want = before + "/segments/" // what its name was, nobody knows
				}
				r := verify(t, harmed)
				if r.OK || len(r.Damage) != 1 || r.Damage[0].Object != want {
					t.Fatalf("Verify() finds %q, want one finding in %s", r.Damage, want)
				}
				for _, word := range []string{"pebble", "carrier", "%!", want} {
					if strings.Contains(r.Damage[0].What, word) {
						t.Errorf("Verify() says %q, which holds %q", r.Damage[0].What, word)
					}
				}
				if stands := strings.Contains(key, "/segments/") || strings.HasPrefix(key, "keys/") || key == "roots.json"; stands != (r.Threads != nil) {
					t.Errorf("Verify() counts %v threads, want a count only where the records can be read", r.Threads)
				}
				t.Log(r.Damage[0].What)
			})
		}
	}
}

// twoCheckpoints is a store whose manifest names an older checkpoint beside its own, as
// one does that has worked for more than an hour. The older one has a table that the
// newer one has not.
func twoCheckpoints(t *testing.T) (dir, past, table string) {
	t.Helper()
	dir = t.TempDir()
	var manifests []*checkpoint.Manifest
	for _, name := range []string{"first", "second"} {
		t.Run(name, func(t *testing.T) { post(t, serve(t, "--db", dir)) })
		manifests = append(manifests, readManifest(t, dir))
	}
	older, newer := manifests[0], manifests[1]
	path := filepath.Join(dir, filepath.FromSlash(older.Checkpoint))
	body, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	object, err := checkpoint.Decode(body)
	if err != nil {
		t.Fatal(err)
	}
	compacted := []byte("a table that was compacted since")
	object.Tables = append(object.Tables, checkpoint.Table{Name: "999999.sst", SHA256: sha256.Sum256(compacted), Nonce: "n", Size: int64(len(compacted))})
	table = object.Tables[len(object.Tables)-1].Key()
	put(t, filepath.Join(dir, filepath.FromSlash(table)), compacted)
	if body, err = object.Encode(); err != nil {
		t.Fatal(err)
	}
	put(t, path, body)
	newer.History = append(newer.History, older.Past())
	if body, err = json.Marshal(newer); err != nil {
		t.Fatal(err)
	}
	put(t, manifestPath(t, dir), body)
	return dir, older.Checkpoint, table
}

func manifestPath(t *testing.T, dir string) string {
	t.Helper()
	found, err := filepath.Glob(filepath.Join(dir, "branches", "*", "p000", "manifest*"))
	if err != nil || len(found) != 1 {
		t.Fatalf("manifests: %q, %v", found, err)
	}
	return found[0]
}

func readManifest(t *testing.T, dir string) *checkpoint.Manifest {
	t.Helper()
	body, err := os.ReadFile(manifestPath(t, dir))
	if err != nil {
		t.Fatal(err)
	}
	var m checkpoint.Manifest
	if err := json.Unmarshal(body, &m); err != nil {
		t.Fatal(err)
	}
	return &m
}

// What a restore to an earlier time would stand on is read as well.
func TestVerifyReadsTheHistory(t *testing.T) {
	dir, past, table := twoCheckpoints(t)
	whole := verify(t, dir)
	if !whole.OK || *whole.Checkpoints != 2 {
		t.Fatalf("Verify() = %+v, want two checkpoints that are whole", whole)
	}
	if n := len(list(t, dir, "tables/")); *whole.Tables != n {
		t.Errorf("Verify() reads %d tables, want each of %d once", *whole.Tables, n)
	}
	for name, key := range map[string]string{"the checkpoint": past, "a table of it": table} {
		for _, change := range []func(path string) error{
			os.Remove,
			func(path string) error { return os.Truncate(path, 3) },
		} {
			harmed := copyStore(t, dir)
			if err := change(filepath.Join(harmed, filepath.FromSlash(key))); err != nil {
				t.Fatal(err)
			}
			r := verify(t, harmed)
			if r.OK || len(r.Damage) != 1 || r.Damage[0].Object != key {
				t.Errorf("%s: Verify() finds %q, want one finding in %s", name, r.Damage, key)
			}
			if r.Threads == nil || *r.Threads != *whole.Threads {
				t.Errorf("%s: Verify() counts %v threads, want those of the newest state", name, r.Threads)
			}
		}
	}
}

// list are the keys of a store's objects below a prefix.
func list(t *testing.T, dir, prefix string) (keys []string) {
	t.Helper()
	for _, key := range objects(t, dir) {
		if strings.HasPrefix(key, prefix) {
			keys = append(keys, key)
		}
	}
	return keys
}
