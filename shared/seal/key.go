package seal

import (
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"sync"

	"github.com/tink-crypto/tink-go/v2/aead/aesgcm"
	"github.com/tink-crypto/tink-go/v2/aead/subtle"
	"github.com/tink-crypto/tink-go/v2/insecuresecretdataaccess"
	"github.com/tink-crypto/tink-go/v2/secretdata"
	"github.com/tink-crypto/tink-go/v2/tink"
)

// KeySize is the size of an AES-256 key, in bytes.
const KeySize = 32

// wrapVersion begins every wrapped key.
const wrapVersion = 1

// WrapOverhead is how much longer a wrapped key is than the key.
const WrapOverhead = 1 + nonceSize + tagSize

// ErrWiped: the key was wiped while somebody held it. Ask for it again.
var ErrWiped = errors.New("key was wiped from memory")

// KeyID names a user key. It is random and never used again.
type KeyID [16]byte

// String is the id in hex.
func (id KeyID) String() string { return hex.EncodeToString(id[:]) }

// ParseKeyID reads what String wrote.
func ParseKeyID(s string) (id KeyID, ok bool) {
	if len(s) != 2*len(id) {
		return KeyID{}, false
	}
	n, err := hex.Decode(id[:], []byte(s))
	return id, err == nil && n == len(id) && id.String() == s
}

// Key is a key that closes other keys.
type Key struct {
	mu    sync.RWMutex
	bytes []byte // nil when wiped
}

// NewKey is the key of these KeySize bytes, which it copies.
func NewKey(b []byte) (*Key, error) {
	if len(b) != KeySize {
		return nil, fmt.Errorf("key of %d bytes: %w", len(b), ErrDamaged)
	}
	return &Key{bytes: append(make([]byte, 0, KeySize), b...)}, nil
}

// Format keeps a key that is printed by mistake out of logs, whatever the verb.
func (k *Key) Format(s fmt.State, _ rune) { fmt.Fprint(s, "a key") }

// RandomBytes are n random bytes for a new key.
func RandomBytes(n int) []byte {
	b := make([]byte, n)
	rand.Read(b)
	return b
}

// aead builds the primitive for one use: between uses only the bytes stay, which Wipe
// can overwrite.
func (k *Key) aead() (tink.AEAD, error) {
	k.mu.RLock()
	defer k.mu.RUnlock()
	if k.bytes == nil {
		return nil, ErrWiped
	}
	return subtle.NewAESGCM(k.bytes)
}

// Wrap closes a key under this one, bound to its associated data.
func (k *Key) Wrap(secret, associated []byte) ([]byte, error) {
	a, err := k.aead()
	if err != nil {
		return nil, err
	}
	box, err := a.Encrypt(secret, associated)
	if err != nil {
		return nil, fmt.Errorf("wrap key: %w", err)
	}
	return append([]byte{wrapVersion}, box...), nil
}

// Unwrap opens what Wrap closed, of a key of this size. What was closed under another
// key or with other associated data, or was changed, is ErrDamaged.
func (k *Key) Unwrap(wrapped, associated []byte, size int) ([]byte, error) {
	a, err := k.aead()
	if err != nil {
		return nil, err
	}
	if len(wrapped) != size+WrapOverhead || wrapped[0] != wrapVersion {
		return nil, ErrDamaged
	}
	secret, err := a.Decrypt(wrapped[1:], associated)
	if err != nil {
		return nil, ErrDamaged
	}
	return secret, nil
}

// Wipe overwrites the key. It cannot be used afterwards.
func (k *Key) Wipe() {
	k.mu.Lock()
	defer k.mu.Unlock()
	clear(k.bytes)
	k.bytes = nil
}

// textKey is the primitive of a data key: what it closes begins with the kind and its
// id.
func textKey(b []byte, id uint32) (tink.AEAD, error) {
	params, err := aesgcm.NewParameters(aesgcm.ParametersOpts{
		KeySizeInBytes: KeySize, IVSizeInBytes: nonceSize, TagSizeInBytes: tagSize, Variant: aesgcm.VariantTink,
	})
	if err != nil {
		return nil, err
	}
	key, err := aesgcm.NewKey(secretdata.NewBytesFromData(b, insecuresecretdataaccess.Token{}), id, params)
	if err != nil {
		return nil, err
	}
	return aesgcm.NewAEAD(key)
}
