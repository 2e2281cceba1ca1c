package doctor

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/bobbindb/bobbin/shared/blob"
)

func TestFolder(t *testing.T) {
	dir := t.TempDir()
	if err := os.Chmod(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	for _, sub := range []string{".tmp", "branches", "scratch"} {
		if err := os.Mkdir(filepath.Join(dir, sub), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	for _, f := range append(Volume(t.Context(), dir, true), Files(t.Context(), filepath.Join(dir, "scratch"))...) {
		if f.Verdict == Failed || f.Seen == "" {
			t.Errorf("%s: %s, %s", f.Check, f.Verdict, f.Seen)
		}
		if f.Verdict != OK && (f.Check == "owner and mode" || f.Check == "locks" || f.Check == "fsync" || f.Check == "one file system") {
			t.Errorf("%s: %s, %s, want ok", f.Check, f.Verdict, f.Seen)
		}
	}
}

func TestVolumes(t *testing.T) {
	for name, c := range map[string]struct {
		v    volume
		want Verdict
	}{
		"a disk":              {volume{name: "ext4"}, OK},
		"a server":            {volume{name: "nfs", kind: network}, Warning},
		"memory":              {volume{name: "tmpfs", kind: memory}, Warning},
		"a container's layer": {volume{name: "overlayfs", kind: layered}, Warning},
		"no name":             {volume{}, Skipped},
		"not to be written":   {volume{name: "ext4", readOnly: true}, Failed},
	} {
		if got := verdictOf(c.v.verdict()); got != c.want {
			t.Errorf("%s: %s, want %s", name, got, c.want)
		}
	}
}

func verdictOf(f Finding, err error) Verdict {
	if err != nil {
		return Failed
	}
	return f.Verdict
}

func TestRoom(t *testing.T) {
	const plenty = 10 << 30
	for name, c := range map[string]struct {
		v    volume
		want Verdict
	}{
		"plenty":          {volume{freeBytes: plenty, totalInodes: 1e6, freeInodes: 1e5}, OK},
		"no inodes bound": {volume{freeBytes: plenty}, OK},
		"little":          {volume{freeBytes: 500 << 20, totalInodes: 1e6, freeInodes: 1e5}, Warning},
		"few inodes":      {volume{freeBytes: plenty, totalInodes: 1e6, freeInodes: 5000}, Warning},
		"full":            {volume{freeBytes: 10 << 20, totalInodes: 1e6, freeInodes: 1e5}, Failed},
		"no inode":        {volume{freeBytes: plenty, totalInodes: 1e6}, Failed},
	} {
		f, err := c.v.room()
		if got := verdictOf(f, err); got != c.want || err != nil && !errors.Is(err, blob.ErrNotStored) {
			t.Errorf("%s: %s, %v, want %s", name, got, err, c.want)
		}
	}
}

func TestMode(t *testing.T) {
	for name, c := range map[string]struct {
		mode       os.FileMode
		own        bool
		want       Verdict
		wantAdvice string
	}{
		"a store's own":                    {0o700, true, OK, ""},
		"others may read it":               {0o755, true, OK, ""},
		"its group may write":              {0o770, true, Warning, "chmod 700 "},
		"everybody may write":              {0o777, true, Warning, "chmod 700 "},
		"everybody, but each his own":      {0o777 | os.ModeSticky, true, OK, ""},
		"a folder of others":               {0o777, false, Warning, "keep the store in a folder of its own"},
		"one like /tmp":                    {0o777 | os.ModeSticky, false, OK, ""},
		"a folder of others, well guarded": {0o755, false, OK, ""},
	} {
		dir := t.TempDir()
		if err := os.Chmod(dir, c.mode); err != nil {
			t.Fatal(err)
		}
		f, err := ownerAndMode(dir, c.own)
		if got := verdictOf(f, err); got != c.want || !strings.HasPrefix(f.Advice, c.wantAdvice) || c.want == OK && f.Advice != "" {
			t.Errorf("%s: ownerAndMode() = %s, %q, want %s, %q", name, got, f.Advice, c.want, c.wantAdvice)
		}
	}
}

func TestFileTimes(t *testing.T) {
	for step, want := range map[time.Duration]Verdict{0: OK, time.Minute: Failed, -time.Minute: Failed} {
		f, err := fileTimes(t.TempDir(), func() time.Time { return time.Now().Add(step) })
		if got := verdictOf(f, err); got != want {
			t.Errorf("a clock that is off by %s: %s, %v, want %s", step, got, err, want)
		}
	}
}

func TestScratchThatIsGone(t *testing.T) {
	gone := filepath.Join(t.TempDir(), "gone")
	for _, f := range append(Volume(t.Context(), gone, true), Files(t.Context(), gone)...) {
		if f.Verdict != Failed || !errors.Is(f.Err, os.ErrNotExist) || strings.TrimSpace(f.Seen) == "" {
			t.Errorf("%s: %s, %v, want failed", f.Check, f.Verdict, f.Err)
		}
	}
}
