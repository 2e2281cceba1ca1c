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

const tries = 4 // of one swap, each over what an earlier one of ours left

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

// swap writes a record over the version that is held, or a new one where none is. It
// meets earlier swaps of its own whose answers were lost, and goes on from them. After
// blob.ErrUnknownOutcome the record may have been written.
func (r *Runner) swap(ctx context.Context, was *held, next Record) (*held, error) {
	next.Format, next.Nonce = recordFormat, r.Nonce()
	next.Updated = max(r.Now().UnixNano(), next.Created)
	body, err := next.Encode()
	if err != nil {
		return nil, err
	}
	write := blob.Write{Key: next.ID.Key(), Body: body, When: blob.IfAbsent(), Ours: func(found []byte) bool {
		there, err := Decode(next.ID, found)
		return err == nil && there.Nonce == next.Nonce
	}}
	if was != nil {
		write.When = blob.IfMatch(was.tag)
	}
	for try := 1; ; try++ {
		stored, err := blob.Settle(ctx, r.Bucket, write)
		switch {
		case err == nil:
			return &held{Record: next, tag: stored.ETag, date: stored.Date}, nil
		case !errors.Is(err, blob.ErrLostSwap):
			return nil, fmt.Errorf("write job %s: %w", next.ID, err)
		case try == tries || !r.left(was, stored.Body):
			return nil, fmt.Errorf("write job %s: %w", next.ID, errLost)
		}
		write.When = blob.IfMatch(stored.ETag)
	}
}

// left reports whether a record that stands where was stood is from an earlier swap of
// this runner, in the same attempt: only its answer was lost.
func (r *Runner) left(was *held, body []byte) bool {
	if was == nil {
		return false
	}
	found, err := Decode(was.ID, body)
	return err == nil && found.Owner == r.Name && found.Attempts == was.Attempts && !found.Over()
}
