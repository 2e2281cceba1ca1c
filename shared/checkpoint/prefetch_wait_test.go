package checkpoint_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/bobbindb/bobbin/shared/blob"
	"github.com/bobbindb/bobbin/shared/blob/memblob"
	"github.com/bobbindb/bobbin/shared/checkpoint"
)

// unevenBucket answers ranged reads of one object soon, and of others late.
type unevenBucket struct {
	blob.Bucket
	soon string
}

func (b unevenBucket) GetRange(ctx context.Context, key string, offset, size int64) (blob.Object, error) {
	wait := 5 * time.Second
	if key == b.soon {
		wait = 20 * time.Millisecond
	}
	select {
	case <-time.After(wait):
		return b.Bucket.GetRange(ctx, key, offset, size)
	case <-ctx.Done():
		return blob.Object{}, ctx.Err()
	}
}

// What somebody waits for does not queue behind what a compaction has fetched ahead.
func TestPrefetchDoesNotQueueBehindACompaction(t *testing.T) {
	inner := memblob.New(time.Now)
	sizes := make([]int, 41)
	for i := range sizes {
		sizes[i] = 4 << 20
	}
	object, _ := rawTables(t, inner, sizes...)
	synctest.Test(t, func(t *testing.T) {
		wanted := object.Tables[40]
		fs := restoreRaw(t, checkpoint.FSOptions{Bucket: unevenBucket{inner, wanted.Key()}, Local: checkpoint.Memory()}, object)
		defer fs.Close()
		for _, input := range object.Tables[:40] {
			f := open(t, fs, "db/"+input.Name, vfs.SequentialReadsOption)
			go func() { _, _ = f.ReadAt(make([]byte, 1), 0) }() // It ends with the file system.
		}
		synctest.Wait()
		began := time.Now()
		if err := fs.Prefetch(t.Context(), []checkpoint.Request{{Name: "db/" + wanted.Name, Off: 0, Len: 1}}); err != nil {
			t.Error(err)
		}
		if took := time.Since(began); took > time.Second {
			t.Errorf("Prefetch() took %s behind a compaction, and its own read takes 20 ms", took)
		}
	})
}
