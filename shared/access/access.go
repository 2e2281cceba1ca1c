// Package access keeps who may call a store: access.json, which holds API keys by their
// hashes and signing keys sealed. Nothing in it opens anything.
//
// The object is swapped as a whole, so that two operators never undo each other's
// change, and it is read again when it is over 30 s old, so that a key that was revoked
// stops everywhere within a minute.
package access

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/bobbindb/bobbin/shared/blob"
	"github.com/bobbindb/bobbin/shared/commitlog"
)

// ObjectKey is where the list lies.
const ObjectKey = "access.json"

const format = 1

// Errors that a caller acts on.
var (
	// ErrUnknownKey: the list has no key of that id.
	ErrUnknownKey = errors.New("no such key")
	// ErrLastKey: the change would leave nobody who can undo it, or nothing to sign with.
	ErrLastKey = errors.New("it is the last one")
)

// Role is what an API key may do.
type Role string

// The roles of an API key.
const (
	Frontend Role = "frontend" // acts for the user whose signature comes with the request
	Backend  Role = "backend"  // acts for whatever user it names
	Admin    Role = "admin"    // operates the store and acts for nobody
)

// Valid reports whether there is such a role.
func (r Role) Valid() bool { return r == Frontend || r == Backend || r == Admin }

// Hash is the SHA-256 of an API key. A key is long and random, so nothing slower is
// needed to keep it from being guessed.
type Hash [sha256.Size]byte

// HashOf returns a key's hash.
func HashOf(key string) Hash { return sha256.Sum256([]byte(key)) }

// Key is an API key without the key. Times are nanoseconds since 1970 UTC, 0 for never.
type Key struct {
	ID       string `json:"id"`
	Name     string `json:"name,omitempty"`
	Role     Role   `json:"role"`
	Tenant   string `json:"tenant,omitempty"`
	Hash     []byte `json:"sha256"`
	Created  int64  `json:"created_ts"`
	Expires  int64  `json:"expires_ts,omitempty"`
	Revoked  int64  `json:"revoked_ts,omitempty"`
	LastUsed string `json:"last_used,omitempty"` // the day, like 2026-01-31, in UTC
}

// Active reports whether the key opens anything at a time.
func (k *Key) Active(now time.Time) bool {
	return k.Revoked == 0 && (k.Expires == 0 || now.UnixNano() < k.Expires)
}

// SigningKey is a key that signs users, sealed. The newest one signs; any that has not
// expired verifies.
type SigningKey struct {
	ID      string `json:"id"`
	Created int64  `json:"created_ts"`
	Expires int64  `json:"expires_ts,omitempty"`
	Sealed  []byte `json:"sealed"`
}

// Active reports whether the key verifies at a time.
func (k *SigningKey) Active(now time.Time) bool { return k.Expires == 0 || now.UnixNano() < k.Expires }

// List is access.json.
type List struct {
	Format  int          `json:"format"`
	Nonce   string       `json:"nonce"` // new at every swap, so that equal content never gives an equal tag
	Keys    []Key        `json:"keys"`
	Signing []SigningKey `json:"signing_keys"` // oldest first

	ETag blob.ETag `json:"-"` // "" for a store that has no list yet
}

// Read reads the list. A store without one has an empty list.
func Read(ctx context.Context, bucket blob.Bucket) (*List, error) {
	o, err := bucket.Get(ctx, ObjectKey)
	if errors.Is(err, blob.ErrNotExist) {
		return &List{Format: format}, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", ObjectKey, err)
	}
	l, err := decode(o.Body)
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", ObjectKey, err)
	}
	l.ETag = o.ETag
	return l, nil
}

// decode reads a list. A field that this release does not know would be lost at its
// next swap.
func decode(body []byte) (*List, error) {
	l := &List{}
	if err := json.Unmarshal(body, l); err != nil {
		return nil, fmt.Errorf("%w: %w", commitlog.ErrDamaged, err)
	}
	if l.Format != format {
		return nil, fmt.Errorf("format %d, this release reads %d: %w", l.Format, format, commitlog.ErrUnknownFormat)
	}
	strict := json.NewDecoder(bytes.NewReader(body))
	strict.DisallowUnknownFields()
	if err := strict.Decode(&List{}); err != nil {
		return nil, fmt.Errorf("%w: %w", commitlog.ErrUnknownFormat, err)
	}
	for i := range l.Keys {
		if k := &l.Keys[i]; len(k.Hash) != len(Hash{}) || !k.Role.Valid() || k.ID == "" {
			return nil, fmt.Errorf("key %q: %w", k.ID, commitlog.ErrDamaged)
		}
	}
	return l, nil
}

const (
	maxSwaps  = 10                   // of one change, made again because another was first
	swapPause = 5 * time.Millisecond // before the second; each further one is twice as long
)

// Update changes the list: change is called on what is there, again when another
// process was first. After blob.ErrUnknownOutcome the change may have been made.
func Update(ctx context.Context, bucket blob.Bucket, change func(*List) error) (*List, error) {
	for try := range maxSwaps {
		if err := blob.Pause(ctx, swapPause, try); err != nil {
			return nil, fmt.Errorf("write %s: %w", ObjectKey, err)
		}
		l, err := Read(ctx, bucket)
		if err != nil {
			return nil, err
		}
		before := l.ETag
		if err := change(l); err != nil {
			return nil, err
		}
		err = l.swap(ctx, bucket, before)
		if err == nil {
			return l, nil
		}
		if !errors.Is(err, blob.ErrLostSwap) {
			return nil, fmt.Errorf("write %s: %w", ObjectKey, err)
		}
	}
	return nil, fmt.Errorf("write %s: %d times: %w", ObjectKey, maxSwaps, blob.ErrLostSwap)
}

// swap stores the list in place of the version it was read as.
func (l *List) swap(ctx context.Context, bucket blob.Bucket, before blob.ETag) error {
	l.Format, l.Nonce = format, blob.Nonce(26)
	body, err := json.MarshalIndent(l, "", "  ")
	if err != nil {
		return fmt.Errorf("encode: %w", err)
	}
	when := blob.IfAbsent()
	if before != "" {
		when = blob.IfMatch(before)
	}
	stored, err := blob.Settle(ctx, bucket, blob.Write{Key: ObjectKey, Body: body, When: when, Ours: func(found []byte) bool {
		there, err := decode(found)
		return err == nil && there.Nonce == l.Nonce
	}})
	if err == nil {
		l.ETag = stored.ETag
	}
	return err
}
