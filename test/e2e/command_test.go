//go:build unix

package e2e

import (
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// threeLines checks that a command ended with an error of three lines.
func threeLines(t *testing.T, r result, code int, says ...string) {
	t.Helper()
	if r.code != code {
		t.Errorf("exit code %d, want %d", r.code, code)
	}
	lines := strings.Split(strings.TrimSuffix(r.stderr, "\n"), "\n")
	if len(lines) != 3 || !strings.HasPrefix(lines[0], "error: ") || !strings.HasPrefix(lines[1], "  why: ") || !strings.HasPrefix(lines[2], "  do:  ") {
		t.Errorf("stderr is not what, why and what to do:\n%s", r.stderr)
	}
	for _, part := range says {
		if !strings.Contains(r.stderr, part) {
			t.Errorf("stderr does not say %q:\n%s", part, r.stderr)
		}
	}
}

// TestForeignFolder points every command at a folder that holds something else.
func TestForeignFolder(t *testing.T) {
	db := t.TempDir()
	note := filepath.Join(db, "notes.txt")
	if err := os.WriteFile(note, []byte("mine"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		name string
		code int
		args []string
	}{
		{"serve", 3, []string{"serve", "--db", db, "--addr", "127.0.0.1:0"}},
		{"init", 3, []string{"init", "--db", db}},
		{"import", 3, []string{"import", "--db", db, note}},
		{"status", 1, []string{"status", "--db", db}},
		{"verify", 1, []string{"verify", "--db", db}},
		{"export", 1, []string{"export", "--db", db}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := run(t, tt.args...)
			threeLines(t, r, tt.code)
			if r.stdout != "" {
				t.Errorf("stdout %q", r.stdout)
			}
			untouched(t, db, "notes.txt")
		})
	}
	if b, err := os.ReadFile(note); err != nil || string(b) != "mine" {
		t.Errorf("the folder's own file is %q, %v", b, err)
	}
}

// untouched checks that a folder holds exactly the names given.
func untouched(t *testing.T, dir string, names ...string) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	if len(entries) != len(names) {
		t.Errorf("the folder holds %v, want %v", entries, names)
		return
	}
	for i, e := range entries {
		if e.Name() != names[i] {
			t.Errorf("the folder holds %v, want %v", entries, names)
		}
	}
}

// TestBadFlags gives serve everything wrong at once.
func TestBadFlags(t *testing.T) {
	db := folder(t)
	r := run(t, "serve", "--db", db, "--addr", "nowhere", "--max-body", "0", "--drain", "soon", "--partitions", "1000000",
		"--grace", "-1h", "--log-level", "loud", "--backend-keys", "a-secret,a-secret", "--allowed-addrs", "x", "--require-expiry=maybe")
	threeLines(t, r, 2, "--addr", `"nowhere"`, "--max-body", "--drain", `"soon"`, "--partitions", "--grace", "--log-level", `"loud"`,
		"--backend-keys", "--allowed-addrs", "--require-expiry")
	if strings.Contains(r.stderr, "a-secret") {
		t.Errorf("stderr shows a key:\n%s", r.stderr)
	}
	if _, err := os.Stat(db); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the folder was made: %v", err)
	}
	threeLines(t, run(t, "serve"), 2, "--db")
	threeLines(t, run(t, "serve", "--db", db, "--no-such-flag"), 2, "--no-such-flag")
	threeLines(t, run(t, "serve", "--db", db, "surplus"), 2, "surplus")

	r = run(t, "serve", "--db", db, "--addr", "nowhere", "--json")
	threeLines(t, r, 2, "--addr")
	var said struct {
		Error struct {
			What, Why, Do string
			Exit          int
		}
	}
	if err := json.Unmarshal([]byte(r.stdout), &said); err != nil || said.Error.Exit != 2 || !strings.Contains(said.Error.Why, "--addr") {
		t.Errorf("stdout with --json: %v\n%s", err, r.stdout)
	}
}
