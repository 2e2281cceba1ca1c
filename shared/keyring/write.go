package keyring

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/bobbindb/bobbin/shared/blob"
)

// ErrUnknownOutcome: the write may have been stored, or may be stored later.
var ErrUnknownOutcome = errors.New("outcome of the write is unknown")

// errLost: something else is there. Nothing was changed by this write, or what it
// changed is already the past.
var errLost = errors.New("changed by another process")

const (
	tries      = 5                     // of one write, the first included
	firstPause = 20 * time.Millisecond // before the second; each further one is twice as long
)

// write stores an object and settles what came of it: after an unclear answer it reads
// back, and tries the same bytes again where the condition may still hold. A body holds
// random bytes, so an equal one is ours.
func write(ctx context.Context, bucket blob.Bucket, key string, body []byte, when blob.Condition) (blob.Info, error) {
	open := false // an earlier try may have been stored, or may be yet
	var last error
	for try := range tries {
		if err := pause(ctx, try); err != nil {
			return blob.Info{}, outcome(open, err)
		}
		info, err := bucket.Put(ctx, key, body, when)
		if err == nil {
			return info, nil
		}
		if blob.NotStored(err) {
			return blob.Info{}, outcome(open, err)
		}
		last, open = err, open || !errors.Is(err, blob.ErrExists)
		found, readErr := bucket.Get(ctx, key)
		absent := errors.Is(readErr, blob.ErrNotExist)
		switch {
		case readErr == nil && bytes.Equal(found.Body, body):
			return found.Info, nil
		case readErr == nil && (when.Absent() || found.ETag != when.Match()), absent && !when.Absent():
			return found.Info, fmt.Errorf("put %s: %w", key, errLost)
		}
	}
	return blob.Info{}, outcome(open, last)
}

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

// outcome marks an error as ErrUnknownOutcome where an earlier try is open.
func outcome(open bool, err error) error {
	if open {
		return fmt.Errorf("%w: %w", ErrUnknownOutcome, err)
	}
	return err
}
