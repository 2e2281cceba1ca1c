package fileblob

import (
	"testing"
	"time"

	"github.com/bobbindb/bobbin/shared/blob"
	"github.com/bobbindb/bobbin/shared/blob/blobtest"
)

// The clock stands still: a version must be told from the one before it all the same.
func TestContract(t *testing.T) {
	standing := func() time.Time { return time.Unix(1_700_000_000, 0) }
	blobtest.Run(t, func(t *testing.T) blob.Bucket { return openAt(t, t.TempDir(), standing) })
}

func TestFolderContract(t *testing.T) {
	blobtest.RunFolder(t, func(t *testing.T) blob.Folder { return open(t, t.TempDir()) })
}

func open(t *testing.T, dir string) *Bucket {
	t.Helper()
	return openAt(t, dir, time.Now)
}

func openAt(t *testing.T, dir string, now func() time.Time) *Bucket {
	t.Helper()
	b, err := Open(dir, Options{Now: now})
	if err != nil {
		t.Fatalf("Open() = %v", err)
	}
	t.Cleanup(func() {
		if err := b.Close(); err != nil {
			t.Errorf("Close() = %v", err)
		}
	})
	return b
}
