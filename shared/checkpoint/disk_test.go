package checkpoint

import (
	"errors"
	"testing"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"
)

// A database on Disk waits for no sync: it works where every one fails.
func TestDiskDoesNotSync(t *testing.T) {
	failing := errorfs.Wrap(vfs.NewMem(), errorfs.InjectorFunc(func(op errorfs.Op) error {
		if op.Kind == errorfs.OpFileSync || op.Kind == errorfs.OpFileSyncData {
			return errors.New("synced")
		}
		return nil
	}))
	db, err := pebble.Open("db", &pebble.Options{FS: unsynced{failing}, DisableWAL: true})
	if err != nil {
		t.Fatalf("Open() = %v", err)
	}
	if err := db.Set([]byte("key"), []byte("value"), pebble.NoSync); err != nil {
		t.Fatalf("Set() = %v", err)
	}
	if err := db.Flush(); err != nil {
		t.Errorf("Flush() = %v", err)
	}
	if err := db.Checkpoint("checkpoint"); err != nil {
		t.Errorf("Checkpoint() = %v", err)
	}
	if err := db.Close(); err != nil {
		t.Errorf("Close() = %v", err)
	}
}

// Tables on Disk are linked into a folder, so it must be known as the machine's own.
func TestDiskIsTheMachines(t *testing.T) {
	if vfs.Root(Disk()) != vfs.Default {
		t.Error("Disk() is another file system than vfs.Default")
	}
}
