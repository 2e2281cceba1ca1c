package seal

import (
	"fmt"
	"sync"
	"sync/atomic"

	macsubtle "github.com/tink-crypto/tink-go/v2/mac/subtle"
	"github.com/tink-crypto/tink-go/v2/tink"

	"github.com/bobbindb/bobbin/shared/chat"
)

// UserKeySize is the size of a user key, in bytes: a key that wraps data keys, and one
// that makes keyed hashes.
const UserKeySize = 2 * KeySize

// UserKey is an owner's key, unwrapped.
type UserKey struct {
	ID    KeyID
	Owner chat.Owner

	usable func() bool
	wrap   *Key

	mu       sync.Mutex
	hash     []byte // nil when wiped
	dataKeys map[*dataKey]struct{}
}

// NewUserKey is the user key of these UserKeySize bytes, which it copies. usable says
// whether it is young enough to be used; nil is always.
func NewUserKey(owner chat.Owner, id KeyID, secret []byte, usable func() bool) (*UserKey, error) {
	if len(secret) != UserKeySize {
		return nil, fmt.Errorf("user key of %d bytes: %w", len(secret), ErrDamaged)
	}
	wrap, err := NewKey(secret[:KeySize])
	if err != nil {
		return nil, err
	}
	if usable == nil {
		usable = func() bool { return true }
	}
	hash := append(make([]byte, 0, KeySize), secret[KeySize:]...)
	return &UserKey{ID: id, Owner: owner, usable: usable, wrap: wrap, hash: hash, dataKeys: map[*dataKey]struct{}{}}, nil
}

// Format is the key's id: a key that is printed stays a secret, whatever the verb.
func (k *UserKey) Format(s fmt.State, _ rune) { fmt.Fprintf(s, "user key %s", k.ID) }

// Hash is a keyed hash of some parts for one purpose. It is computed under the owner's
// key, so that once that is gone no guess at a text can be checked.
func (k *UserKey) Hash(purpose string, parts ...[]byte) (chat.Digest, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.hash == nil || !k.usable() {
		return chat.Digest{}, ErrWiped
	}
	mac, err := macsubtle.NewHMAC("SHA256", k.hash, uint32(len(chat.Digest{})))
	if err != nil {
		return chat.Digest{}, fmt.Errorf("make keyed hash: %w", err)
	}
	sum, err := mac.ComputeMAC(Associated(purpose, parts...))
	if err != nil {
		return chat.Digest{}, fmt.Errorf("make keyed hash: %w", err)
	}
	return chat.Digest(sum), nil
}

// Wipe overwrites the key and lets go of the data keys that it opened. Nobody can use
// any of them afterwards.
func (k *UserKey) Wipe() {
	k.wrap.Wipe()
	k.mu.Lock()
	defer k.mu.Unlock()
	clear(k.hash)
	k.hash = nil
	for d := range k.dataKeys {
		d.primitive.Store(nil)
	}
	clear(k.dataKeys)
}

// dataKey is an unwrapped data key. It serves no longer than the user key that opened
// it.
type dataKey struct {
	under     *UserKey
	primitive atomic.Pointer[tink.AEAD] // nil when wiped
}

// adopt makes a data key one that dies with this user key.
func (k *UserKey) adopt(secret []byte, id uint32) (*dataKey, error) {
	primitive, err := textKey(secret, id)
	if err != nil {
		return nil, fmt.Errorf("data key %d: %w", id, err)
	}
	d := &dataKey{under: k}
	d.primitive.Store(&primitive)
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.hash == nil {
		return nil, ErrWiped
	}
	k.dataKeys[d] = struct{}{}
	return d, nil
}

// drop lets go of one data key.
func (k *UserKey) drop(d *dataKey) {
	d.primitive.Store(nil)
	k.mu.Lock()
	defer k.mu.Unlock()
	delete(k.dataKeys, d)
}

// aead is the primitive, while it may be used.
func (d *dataKey) aead() (tink.AEAD, error) {
	a := d.primitive.Load()
	if a == nil || !d.under.usable() {
		return nil, ErrWiped
	}
	return *a, nil
}
