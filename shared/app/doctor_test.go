package app_test

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/bobbindb/bobbin/shared/app"
	"github.com/bobbindb/bobbin/shared/doctor"
)

// tree is every file below a folder with its size and times.
func tree(t *testing.T, dir string) map[string]string {
	t.Helper()
	files := map[string]string{}
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || path == dir {
			return err
		}
		info, err := d.Info()
		if err == nil {
			files[path] = info.Mode().String() + info.ModTime().String()
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return files
}

func TestDoctorTouchesNothing(t *testing.T) {
	dir := t.TempDir()
	cfg := config(t, "--db", dir)
	if _, err := app.InitStore(t.Context(), cfg); err != nil {
		t.Fatal(err)
	}
	before := tree(t, dir)
	report, err := app.Doctor(t.Context(), cfg)
	if err != nil || !report.OK {
		t.Fatalf("Doctor() = %+v, %v", report, err)
	}
	after := tree(t, dir)
	for path, was := range before {
		if after[path] != was {
			t.Errorf("%s is %q, was %q", path, after[path], was)
		}
	}
	if len(after) != len(before) {
		t.Errorf("%d files, want %d", len(after), len(before))
	}
}

func TestDoctorRemovesWhatAnotherLeft(t *testing.T) {
	dir := t.TempDir()
	dead, alive := filepath.Join(dir, ".doctor-dead"), filepath.Join(dir, ".doctor-alive")
	for _, path := range []string{dead, alive} {
		if err := os.MkdirAll(filepath.Join(path, "bucket"), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	long := time.Now().Add(-2 * time.Hour)
	if err := os.Chtimes(dead, long, long); err != nil {
		t.Fatal(err)
	}
	if _, err := app.Doctor(t.Context(), config(t, "--db", dir)); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(dead); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("what a doctor left that died is there: %v", err)
	}
	if _, err := os.Stat(alive); err != nil {
		t.Errorf("what another doctor works on is gone: %v", err)
	}
}

func TestDoctorWithoutAFolder(t *testing.T) {
	if _, err := app.Doctor(t.Context(), config(t, "--db", filepath.Join(t.TempDir(), "absent"))); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("Doctor() = %v, want ErrNotExist", err)
	}
}

func verdicts(r doctor.Report) map[string]doctor.Verdict {
	found := map[string]doctor.Verdict{}
	for _, f := range r.Checks {
		found[f.Check] = f.Verdict
	}
	return found
}
