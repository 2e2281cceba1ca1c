package keyring

import (
	"context"
	"fmt"

	"github.com/bobbindb/bobbin/shared/blob"
)

// tries bounds how often one record is changed again because another process was first.
const tries = 5

// write stores an object and settles what came of it. A body holds random bytes, or is a
// tombstone, so an equal one is as good as ours.
func write(ctx context.Context, bucket blob.Bucket, key string, body []byte, when blob.Condition) (blob.Info, error) {
	stored, err := blob.Settle(ctx, bucket, blob.Write{Key: key, Body: body, When: when})
	if err != nil {
		return stored.Info, fmt.Errorf("put %s: %w", key, err)
	}
	return stored.Info, nil
}
