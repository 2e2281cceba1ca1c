package checkpoint

import (
	"bytes"
	"context"
	"fmt"
	"time"

	"github.com/bobbindb/bobbin/shared/blob"
	"github.com/bobbindb/bobbin/shared/commitlog"
)

// tries bounds how often one call on the bucket is made, the first included.
const tries = 5

// firstPause is how long a second try waits; each further one waits twice as long.
const firstPause = 20 * time.Millisecond

// pause waits before try number n, counted from 0. It returns ctx's error.
func pause(ctx context.Context, n int) error {
	if n == 0 {
		return ctx.Err()
	}
	timer := time.NewTimer(firstPause << (n - 1))
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// putNew stores an object under a key that nobody else writes: the key carries a
// nonce. After an answer that leaves it open, it reads the object back, and tries the
// same bytes again where there is none.
func putNew(ctx context.Context, bucket blob.Bucket, key string, put func() (blob.Info, error), same func([]byte) bool) error {
	open := false
	var last error
	for try := range tries {
		if err := pause(ctx, try); err != nil {
			return outcome(open, err)
		}
		_, err := put()
		if err == nil {
			return nil
		}
		if blob.NotStored(err) {
			return outcome(open, err)
		}
		last, open = err, true
		found, err := bucket.Get(ctx, key)
		if err == nil && same(found.Body) {
			return nil
		}
		if err == nil {
			return fmt.Errorf("%s holds other bytes: %w", key, commitlog.ErrDamaged)
		}
	}
	return outcome(open, last)
}

// putBody is putNew of bytes in memory.
func putBody(ctx context.Context, bucket blob.Bucket, key string, body []byte) error {
	put := func() (blob.Info, error) { return bucket.Put(ctx, key, body, blob.IfAbsent()) }
	return putNew(ctx, bucket, key, put, func(found []byte) bool { return bytes.Equal(found, body) })
}
