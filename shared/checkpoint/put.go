package checkpoint

import (
	"context"
	"errors"
	"fmt"

	"github.com/bobbindb/bobbin/shared/blob"
	"github.com/bobbindb/bobbin/shared/commitlog"
)

// putNew stores an object under a key that nobody else writes: the key carries a nonce.
func putNew(ctx context.Context, bucket blob.Bucket, w blob.Write) error {
	w.When = blob.IfAbsent()
	_, err := blob.Settle(ctx, bucket, w)
	if errors.Is(err, blob.ErrLostSwap) {
		return fmt.Errorf("%s holds other bytes: %w", w.Key, commitlog.ErrDamaged)
	}
	return err
}
