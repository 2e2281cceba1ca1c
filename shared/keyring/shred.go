package keyring

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/bobbindb/bobbin/shared/blob"
	"github.com/bobbindb/bobbin/shared/chat"
	"github.com/bobbindb/bobbin/shared/seal"
)

// Shred makes every key of an owner in a bucket a tombstone, and returns the ids that are
// dead. known are ids that are to be dead there whether their records have arrived or
// not: a backup is still being copied, and meets the tombstone. Whoever interrupts it
// starts it again.
//
// The store's log says first that the owner is erased, so that no key which is created
// from then on is ever in use.
func Shred(ctx context.Context, bucket blob.Bucket, owner chat.Digest, known []seal.KeyID) ([]seal.KeyID, error) {
	dead := map[seal.KeyID]bool{}
	for _, id := range known {
		if _, err := bury(ctx, bucket, UserKey(owner, id)); err != nil {
			return nil, fmt.Errorf("shred %s: %w", OwnerPrefix(owner), err)
		}
		dead[id] = true
	}
	// A key may be created while this lists. A listing that found none to bury ends it.
	for buried := true; buried; {
		var err error
		if buried, err = shredOnce(ctx, bucket, owner, dead); err != nil {
			return nil, fmt.Errorf("shred %s: %w", OwnerPrefix(owner), err)
		}
	}
	ids := make([]seal.KeyID, 0, len(dead))
	for id := range dead {
		ids = append(ids, id)
	}
	slices.SortFunc(ids, func(a, b seal.KeyID) int { return slices.Compare(a[:], b[:]) })
	return ids, nil
}

// shredOnce buries what one listing finds. It reports whether there was anything that was
// not dead yet.
func shredOnce(ctx context.Context, bucket blob.Bucket, owner chat.Digest, dead map[seal.KeyID]bool) (bool, error) {
	any := false
	for page, err := range blob.Pages(ctx, bucket, blob.ListOptions{Prefix: OwnerPrefix(owner)}) {
		if err != nil {
			return false, err
		}
		for _, e := range page.Entries {
			buried, err := bury(ctx, bucket, e.Key)
			if err != nil {
				return false, err
			}
			if _, id, ok := parseUserKey(e.Key); ok {
				dead[id] = true
			}
			any = any || buried
		}
	}
	return any, nil
}

// bury makes an object a tombstone, whatever it was, and reports whether it was none yet.
// Nobody needs permission to delete, and no twin of an older call finds the object gone.
func bury(ctx context.Context, bucket blob.Bucket, key string) (bool, error) {
	for range tries {
		object, err := bucket.Get(ctx, key)
		when := blob.IfMatch(object.ETag)
		switch {
		case errors.Is(err, blob.ErrNotExist):
			when = blob.IfAbsent()
		case err != nil:
			return false, err
		default:
			if record, err := decodeUser(object.Body); err == nil && record.erased {
				return false, nil
			}
		}
		_, err = write(ctx, bucket, key, newTombstone(object.Date).encode(), when)
		if err == nil {
			return true, nil
		}
		if !errors.Is(err, blob.ErrLostSwap) {
			return false, err
		}
	}
	return false, fmt.Errorf("%s: %w", key, blob.ErrLostSwap)
}
