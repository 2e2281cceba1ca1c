package keyring

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/bobbindb/bobbin/shared/blob"
	"github.com/bobbindb/bobbin/shared/seal"
)

// Checked is what a check looked at.
type Checked struct {
	KEKs   int // those retired included
	Keys   int // user keys
	Erased int // tombstones among them
}

// Check reads every key record of the bucket and opens it. found is called, one call at a
// time, with the key of each that is damaged or missing; what is wrapped under a damaged
// KEK is not named besides. current is the KEK version that the store's log says is in
// use: no key is under a later one. An error means that it could not look.
func (r *Keyring) Check(ctx context.Context, current Version, found func(key string, err error)) (Checked, error) {
	c := &check{ring: r, found: found, named: map[string]bool{}, last: current}
	for _, run := range []struct {
		prefix string
		look   func(ctx context.Context, key string) error
	}{{kekPrefix, c.kek}, {UserPrefix, c.user}} {
		for page, err := range blob.Pages(ctx, r.o.Bucket, blob.ListOptions{Prefix: run.prefix}) {
			if err != nil {
				return c.Checked, fmt.Errorf("check keys: %w", err)
			}
			if err := each(ctx, page.Entries, run.look); err != nil {
				return c.Checked, fmt.Errorf("check keys: %w", err)
			}
		}
	}
	if c.KEKs == 0 {
		return c.Checked, c.note(KEKKey(max(current, 1)), fmt.Errorf("%s: %w", KEKKey(max(current, 1)), ErrMissing))
	}
	return c.Checked, nil
}

type check struct {
	Checked
	ring  *Keyring
	found func(key string, err error)

	mu    sync.Mutex
	named map[string]bool
	last  Version // the last KEK version there is
}

// note names a record once. An error that says nothing about the record is returned.
func (c *check) note(key string, err error) error {
	if !errors.Is(err, seal.ErrDamaged) {
		return err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.named[key] {
		c.named[key] = true
		c.found(key, err)
	}
	return nil
}

func (c *check) count(n *int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	*n++
}

func (c *check) kek(ctx context.Context, key string) error {
	c.count(&c.KEKs)
	v, ok := parseKEKKey(key)
	if !ok {
		return c.note(key, fmt.Errorf("%s: no name of a KEK: %w", key, seal.ErrDamaged))
	}
	c.mu.Lock()
	c.last = max(c.last, v)
	c.mu.Unlock()
	_, err := c.ring.kek(ctx, v)
	if err == nil || errors.Is(err, ErrRetired) {
		return nil
	}
	if errors.Is(err, seal.ErrWrongKey) {
		return c.wrongKey(ctx, key, err)
	}
	return c.note(key, err)
}

// wrongKey says what it means that the Keeper did not wrap a KEK: that its record was
// changed, where it names this Keeper, and else that another Keeper is to be asked.
func (c *check) wrongKey(ctx context.Context, key string, err error) error {
	object, again := c.ring.get(ctx, key)
	if again != nil {
		return again
	}
	record, again := decodeKEK(object.Body)
	if again != nil || record.keeper != c.ring.o.Keeper.Name() {
		return err
	}
	return c.note(key, fmt.Errorf("%s: %w: it names %s, which does not open it", key, seal.ErrDamaged, record.keeper))
}

func (c *check) user(ctx context.Context, key string) error {
	c.count(&c.Keys)
	owner, id, ok := parseUserKey(key)
	if !ok {
		return c.note(key, fmt.Errorf("%s: no name of a user key: %w", key, seal.ErrDamaged))
	}
	object, err := c.ring.get(ctx, key)
	if err != nil {
		return c.note(key, err)
	}
	record, err := decodeUser(object.Body)
	switch {
	case err != nil:
		return c.note(key, fmt.Errorf("%s: %w", key, err))
	case record.erased:
		c.count(&c.Erased)
		return nil
	case record.kek > c.last:
		return c.note(key, fmt.Errorf("%s: %w: it is under KEK %s, which never was", key, seal.ErrDamaged, record.kek))
	}
	switch _, err := c.ring.kek(ctx, record.kek); {
	case errors.Is(err, ErrRetired):
		return c.note(key, fmt.Errorf("%s: %w: it is under KEK %s, which was retired", key, seal.ErrDamaged, record.kek))
	case errors.Is(err, seal.ErrWrongKey):
		return c.wrongKey(ctx, KEKKey(record.kek), err)
	case err != nil:
		return c.note(KEKKey(record.kek), err)
	}
	secret, err := c.ring.unwrap(ctx, record, owner, id)
	clear(secret)
	if err != nil {
		return c.note(key, fmt.Errorf("%s: %w", key, err))
	}
	return nil
}
