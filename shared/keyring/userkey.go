package keyring

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"time"

	"github.com/bobbindb/bobbin/shared/blob"
	"github.com/bobbindb/bobbin/shared/chat"
	"github.com/bobbindb/bobbin/shared/seal"
)

// InUse implements seal.UserKeys.
func (r *Keyring) InUse(ctx context.Context, owner chat.Owner, life time.Duration) (*seal.UserKey, error) {
	if key := r.inUseNow(owner, life); key != nil {
		r.stats.hits.Add(1)
		return key, nil
	}
	digest := r.o.Hasher.Owner(owner)
	key, err := fly(ctx, r, OwnerPrefix(digest), func(ctx context.Context) (*seal.UserKey, error) {
		return r.resolve(ctx, owner, digest)
	})
	if err != nil {
		return nil, fmt.Errorf("key in use of an owner: %w", err)
	}
	return key, nil
}

// inUseNow is an owner's key in use if it is known and in memory, or nil.
func (r *Keyring) inUseNow(owner chat.Owner, life time.Duration) *seal.UserKey {
	r.mu.Lock()
	defer r.mu.Unlock()
	in, ok := r.inUse.Get(owner)
	if !ok || !r.young(in.read, life) {
		return nil
	}
	return r.look(name{owner, in.id}, life)
}

// look is a key in memory that may be used for at least life, or nil. One that is too
// old to be used at all is wiped.
func (r *Keyring) look(n name, life time.Duration) *seal.UserKey {
	h, ok := r.keys.Get(n)
	switch {
	case !ok:
		return nil
	case !r.young(h.read, 0):
		r.keys.Remove(n)
		return nil
	case !r.young(h.read, life):
		return nil
	}
	return h.key
}

// Named implements seal.UserKeys.
func (r *Keyring) Named(ctx context.Context, owner chat.Owner, id seal.KeyID) (*seal.UserKey, error) {
	r.mu.Lock()
	key := r.look(name{owner, id}, 0)
	r.mu.Unlock()
	if key != nil {
		r.stats.hits.Add(1)
		return key, nil
	}
	return r.fetch(ctx, owner, r.o.Hasher.Owner(owner), id)
}

// fetch reads a user key from the bucket and unwraps it.
func (r *Keyring) fetch(ctx context.Context, owner chat.Owner, digest chat.Digest, id seal.KeyID) (*seal.UserKey, error) {
	return fly(ctx, r, UserKey(digest, id), func(ctx context.Context) (*seal.UserKey, error) {
		r.stats.misses.Add(1)
		gone, read := r.begin()
		object, err := r.get(ctx, UserKey(digest, id))
		if err != nil {
			return nil, fmt.Errorf("read user key: %w", err)
		}
		read.date = object.Date.UnixNano()
		record, err := decodeUser(object.Body)
		if err != nil {
			return nil, fmt.Errorf("read user key %s: %w", id, err)
		}
		secret, err := r.unwrap(ctx, record, digest, id)
		if err != nil {
			return nil, fmt.Errorf("user key %s: %w", id, err)
		}
		defer clear(secret)
		return r.hold(name{owner, id}, secret, read, gone)
	})
}

// begin is the state and the moment before something is read.
func (r *Keyring) begin() (gone uint64, read moment) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.gone, r.now()
}

// hold keeps an unwrapped key, unless an owner was forgotten since its record was read:
// then it serves only who asked for it.
func (r *Keyring) hold(n name, secret []byte, read moment, gone uint64) (*seal.UserKey, error) {
	key, err := seal.NewUserKey(n.owner, n.id, secret, func() bool { return r.young(read, 0) })
	if err != nil {
		return nil, err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if gone == r.gone && !r.closed {
		r.keys.Remove(n) // An older one is wiped: what it opened is opened again.
		r.keys.Add(n, &held{key: key, read: read})
	}
	return key, nil
}

func (r *Keyring) unwrap(ctx context.Context, record *userRecord, owner chat.Digest, id seal.KeyID) ([]byte, error) {
	if record.erased {
		return nil, seal.ErrErased
	}
	kek, err := r.kek(ctx, record.kek)
	if err != nil {
		return nil, err
	}
	return kek.Unwrap(record.wrapped, r.associated(owner, id, record.kek), seal.UserKeySize)
}

// associated is what a user key is bound to.
func (r *Keyring) associated(owner chat.Digest, id seal.KeyID, v Version) []byte {
	return seal.Associated("user key", []byte(r.o.Store), owner[:], id[:], binary.BigEndian.AppendUint32(nil, uint32(v)))
}

// resolve asks the store which key an owner has in use, and makes the first where there
// is none.
func (r *Keyring) resolve(ctx context.Context, owner chat.Owner, digest chat.Digest) (*seal.UserKey, error) {
	for range tries {
		gone, read := r.begin()
		in, err := r.o.Owners.Key(ctx, owner)
		if err != nil {
			return nil, fmt.Errorf("ask for key in use: %w", err)
		}
		var key *seal.UserKey
		if in.ID != (seal.KeyID{}) {
			key, err = r.fetch(ctx, owner, digest, in.ID)
		} else {
			key, err = r.first(ctx, owner, digest, in.KEK)
		}
		if errors.Is(err, ErrClosedKEK) || errors.Is(err, blob.ErrLostSwap) {
			continue // The store says by now which version is current.
		}
		if err != nil {
			return nil, err
		}
		// Whatever the newest Date was when the store was asked, that was in this flight.
		read.date = max(read.date, r.newest.Load()-int64(flightTime))
		r.mu.Lock()
		if gone == r.gone {
			r.inUse.Add(owner, named{id: key.ID, read: read})
		}
		r.mu.Unlock()
		return key, nil
	}
	return nil, fmt.Errorf("make user key: %w", ErrClosedKEK)
}

// first makes an owner's first key, or gets the one that another process made.
func (r *Keyring) first(ctx context.Context, owner chat.Owner, digest chat.Digest, v Version) (*seal.UserKey, error) {
	gone, read := r.begin()
	id, secret := seal.KeyID(seal.RandomBytes(len(seal.KeyID{}))), seal.RandomBytes(seal.UserKeySize)
	defer clear(secret)
	date, err := r.create(ctx, digest, id, v, secret)
	if err != nil {
		return nil, fmt.Errorf("make user key: %w", err)
	}
	// The key is durable. From here on the owner's record may name it.
	used, err := r.o.Owners.Use(ctx, owner, id, v)
	if err != nil {
		return nil, fmt.Errorf("put user key in use: %w", err)
	}
	if used != id {
		return r.fetch(ctx, owner, digest, used)
	}
	r.stats.made.Add(1)
	read.date = date.UnixNano()
	return r.hold(name{owner, id}, secret, read, gone)
}

// create stores a new user key.
func (r *Keyring) create(ctx context.Context, owner chat.Digest, id seal.KeyID, v Version, secret []byte) (time.Time, error) {
	kek, err := r.kek(ctx, v)
	if err != nil {
		return time.Time{}, err
	}
	wrapped, err := kek.Wrap(secret, r.associated(owner, id, v))
	if err != nil {
		return time.Time{}, err
	}
	record := userRecord{kek: v, wrapped: wrapped}
	info, err := write(ctx, r.o.Bucket, UserKey(owner, id), record.encode(), blob.IfAbsent())
	r.Saw(info.Date)
	return info.Date, err
}
