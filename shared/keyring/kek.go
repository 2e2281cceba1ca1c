package keyring

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/bobbindb/bobbin/shared/blob"
	"github.com/bobbindb/bobbin/shared/seal"
)

// KEK is what a status shows of a KEK version.
type KEK struct {
	Version Version
	Keeper  string // who wrapped it; "" when retired
	Retired bool
	Time    time.Time // when it was made, or retired
}

// kek is a KEK version, unwrapped. The Keeper is asked once for each, and again only
// where it could not answer.
func (r *Keyring) kek(ctx context.Context, v Version) (*seal.Key, error) {
	r.mu.Lock()
	key, failed := r.keks[v], r.failed[v]
	r.mu.Unlock()
	if key != nil {
		return key, nil
	}
	if since := r.o.Now().Sub(failed.at); failed.err != nil && 0 <= since && since < respite {
		return nil, failed.err
	}
	return fly(ctx, r, KEKKey(v), func(ctx context.Context) (*seal.Key, error) {
		key, err := r.unwrapKEK(ctx, v)
		r.mu.Lock()
		defer r.mu.Unlock()
		switch {
		case err == nil && r.keks[v] != nil: // it came while this one was asked for
			return r.keks[v], nil
		case err == nil:
			r.keks[v] = key
			delete(r.failed, v)
		case errors.Is(err, seal.ErrUnavailable):
			r.failed[v] = failure{err: err, at: r.o.Now()}
		}
		return key, err
	})
}

// Prove has the Keeper open a KEK version, whether it is in memory or not. It stays there.
func (r *Keyring) Prove(ctx context.Context, v Version) error {
	_, err := fly(ctx, r, "prove "+KEKKey(v), func(ctx context.Context) (struct{}, error) {
		key, err := r.unwrapKEK(ctx, v)
		if err != nil {
			return struct{}{}, err
		}
		r.mu.Lock()
		defer r.mu.Unlock()
		delete(r.failed, v)
		if r.keks[v] != nil || r.closed {
			key.Wipe()
			return struct{}{}, nil
		}
		r.keks[v] = key
		return struct{}{}, nil
	})
	return err
}

// KEKError says which KEK version could not be had.
type KEKError struct {
	Version Version
	Err     error
}

// Error names the version.
func (e *KEKError) Error() string { return fmt.Sprintf("KEK %s: %v", e.Version, e.Err) }

// Unwrap is why.
func (e *KEKError) Unwrap() error { return e.Err }

func (r *Keyring) unwrapKEK(ctx context.Context, v Version) (*seal.Key, error) {
	key, err := r.readKEK(ctx, v)
	if err != nil {
		return nil, &KEKError{Version: v, Err: err}
	}
	return key, nil
}

func (r *Keyring) readKEK(ctx context.Context, v Version) (*seal.Key, error) {
	object, err := r.get(ctx, KEKKey(v))
	if err != nil {
		return nil, err
	}
	record, err := decodeKEK(object.Body)
	if err != nil || record.version != v {
		return nil, fmt.Errorf("%s: %w", KEKKey(v), seal.ErrDamaged)
	}
	if record.retired {
		return nil, ErrRetired
	}
	r.stats.unwraps.Add(1)
	secret, err := r.o.Keeper.Unwrap(ctx, r.context(v), record.wrapped)
	if err != nil {
		return nil, fmt.Errorf("wrapped by %s: %w", record.keeper, err)
	}
	defer clear(secret)
	return seal.NewKey(secret)
}

// context is what a KEK is wrapped for.
func (r *Keyring) context(v Version) seal.Context {
	return seal.Context{Store: r.o.Store, Purpose: "kek/" + v.String()}
}

// Rotate makes the KEK version after from, and proves that the Keeper opens it again. A
// version that is there already is proved and returned: two that rotate from one version
// make one, and who was interrupted starts again with the same from. The first version of
// a store is made from 0. It is current once the store's log says so.
func (r *Keyring) Rotate(ctx context.Context, from Version) (Version, error) {
	next := from + 1
	if from >= MaxVersion {
		return 0, fmt.Errorf("rotate: no version after %s", from)
	}
	_, err := r.get(ctx, KEKKey(next))
	if errors.Is(err, ErrMissing) {
		err = r.makeKEK(ctx, next)
	}
	if err == nil {
		_, err = r.kek(ctx, next)
	}
	if err != nil {
		return 0, fmt.Errorf("rotate to KEK %s: %w", next, err)
	}
	return next, nil
}

func (r *Keyring) makeKEK(ctx context.Context, v Version) error {
	secret := seal.RandomBytes(seal.KeySize)
	defer clear(secret)
	r.stats.wraps.Add(1)
	wrapped, err := r.o.Keeper.Wrap(ctx, r.context(v), secret)
	if err != nil {
		return fmt.Errorf("wrap KEK: %w", err)
	}
	record := kekRecord{version: v, time: r.o.Now().UnixNano(), keeper: r.o.Keeper.Name(), wrapped: wrapped}
	info, err := write(ctx, r.o.Bucket, KEKKey(v), record.encode(), blob.IfAbsent())
	r.Saw(info.Date)
	if errors.Is(err, blob.ErrLostSwap) {
		return nil // another process made it
	}
	return err
}

// KEKs lists the KEK versions, those retired included.
func (r *Keyring) KEKs(ctx context.Context) ([]KEK, error) {
	var keks []KEK
	for page, err := range blob.Pages(ctx, r.o.Bucket, blob.ListOptions{Prefix: kekPrefix}) {
		if err != nil {
			return nil, fmt.Errorf("list KEKs: %w", err)
		}
		for _, e := range page.Entries {
			object, err := r.get(ctx, e.Key)
			if err != nil {
				return nil, fmt.Errorf("list KEKs: %w", err)
			}
			record, err := decodeKEK(object.Body)
			if v, ok := parseKEKKey(e.Key); err != nil || !ok || v != record.version {
				return nil, fmt.Errorf("list KEKs: %s: %w", e.Key, seal.ErrDamaged)
			}
			keks = append(keks, KEK{Version: record.version, Keeper: record.keeper, Retired: record.retired, Time: time.Unix(0, record.time)})
		}
	}
	return keks, nil
}

// Retire swaps a KEK version for a tombstone: nothing is under it any more, as two
// surveys say. Its KEK cannot be had back.
func (r *Keyring) Retire(ctx context.Context, v Version, first, second *Survey) error {
	if err := retirable(v, first, second); err != nil {
		return fmt.Errorf("retire KEK %s: %w", v, err)
	}
	for range tries {
		object, err := r.get(ctx, KEKKey(v))
		if err != nil {
			return fmt.Errorf("retire KEK %s: %w", v, err)
		}
		if record, err := decodeKEK(object.Body); err == nil && record.retired {
			r.dropKEK(v)
			return nil
		}
		dead := kekRecord{version: v, retired: true, time: object.Date.UnixNano(), nonce: newNonce()}
		_, err = write(ctx, r.o.Bucket, KEKKey(v), dead.encode(), blob.IfMatch(object.ETag))
		if err != nil && !errors.Is(err, blob.ErrLostSwap) {
			return fmt.Errorf("retire KEK %s: %w", v, err)
		}
	}
	return fmt.Errorf("retire KEK %s: %w", v, blob.ErrLostSwap)
}

// dropKEK wipes a KEK version in this process.
func (r *Keyring) dropKEK(v Version) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if key := r.keks[v]; key != nil {
		key.Wipe()
		delete(r.keks, v)
	}
}
