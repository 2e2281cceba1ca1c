package app_test

import (
	"errors"
	"syscall"
	"testing"

	"github.com/bobbindb/bobbin/shared/app"
	"github.com/bobbindb/bobbin/shared/blob"
	"github.com/bobbindb/bobbin/shared/doctor"
)

func TestDoctorOnAReadOnlyMount(t *testing.T) {
	dir := t.TempDir()
	if err := syscall.Mount("tmpfs", dir, "tmpfs", syscall.MS_RDONLY, "size=1m"); err != nil {
		t.Skipf("cannot mount a small file system here: %v", err)
	}
	defer syscall.Unmount(dir, 0)
	report, err := app.Doctor(t.Context(), config(t, "--db", dir))
	if err != nil {
		t.Fatal(err)
	}
	for _, check := range []string{"file system", "scratch folder", "room"} {
		if verdicts(report)[check] != doctor.Failed {
			t.Errorf("%s: %s, want failed", check, verdicts(report)[check])
		}
	}
	if err := doctor.Err(report.Checks); report.OK || !errors.Is(err, blob.ErrNotStored) || !errors.Is(err, syscall.EROFS) {
		t.Errorf("ok = %t, Err() = %v, want ErrNotStored and EROFS", report.OK, err)
	}
}
