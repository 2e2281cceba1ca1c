package job

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/bobbindb/bobbin/shared/blob"
)

// errLost: another runner swapped the record first. The job is its own now.
var errLost = errors.New("another process has the job")

// held is a record and the version of it that was read or written.
type held struct {
	Record
	tag  blob.ETag
	date time.Time // of the answer that said so
}

const (
	tries      = 4 // of one write, the first included
	firstPause = 50 * time.Millisecond
)

// read reads a job's record.
func read(ctx context.Context, bucket blob.Bucket, id ID) (*held, error) {
	o, err := bucket.Get(ctx, id.Key())
	if err != nil {
		return nil, fmt.Errorf("read job %s: %w", id, err)
	}
	r, err := Decode(id, o.Body)
	if err != nil {
		return nil, err
	}
	return &held{Record: *r, tag: o.ETag, date: o.Date}, nil
}

// swap writes a record over the version that is held, or a new one where none is. An
// unclear answer is settled by reading back: the nonce is ours or it is not.
func (r *Runner) swap(ctx context.Context, was *held, next Record) (*held, error) {
	next.Format, next.Nonce = recordFormat, r.Nonce()
	next.Updated = max(r.Now().UnixNano(), next.Created)
	body, err := next.Encode()
	if err != nil {
		return nil, err
	}
	when := blob.IfAbsent()
	if was != nil {
		when = blob.IfMatch(was.tag)
	}
	for try := 1; ; try++ {
		info, err := r.Bucket.Put(ctx, next.ID.Key(), body, when)
		if err == nil {
			return &held{Record: next, tag: info.ETag, date: info.Date}, nil
		}
		if blob.NotStored(err) || ctx.Err() != nil {
			return nil, fmt.Errorf("write job %s: %w", next.ID, err)
		}
		found, readErr := read(ctx, r.Bucket, next.ID)
		absent := errors.Is(readErr, blob.ErrNotExist)
		switch {
		case readErr == nil && found.Nonce == next.Nonce:
			return found, nil
		case readErr == nil && was != nil && found.Owner == r.Name && found.Attempts == was.Attempts && !found.Over():
			when = blob.IfMatch(found.tag) // an earlier swap of ours, whose answer was lost
		case readErr == nil && (was == nil || found.tag != was.tag), absent && was != nil:
			return nil, fmt.Errorf("write job %s: %w", next.ID, errLost)
		case try == tries:
			return nil, fmt.Errorf("write job %s: %w", next.ID, err)
		}
		if err := pause(ctx, firstPause<<(try-1)); err != nil {
			return nil, fmt.Errorf("write job %s: %w", next.ID, err)
		}
	}
}

// pause waits, and returns ctx's error when that ends it.
func pause(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
