// Package localkeeper keeps the top key in a file of this machine.
//
// The file is JSON of format 1: a Tink keyset in Base64 and its SHA-256, so that a file
// that was cut short or edited is refused rather than used.
//
//	{
//	  "format": 1,
//	  "keyset": "<a keyset of AES-256-GCM keys>",
//	  "sha256": "<of the keyset's bytes, in hex>"
//	}
//
// What it wraps is what Tink writes: a byte 1, the id of the key, a nonce of 12 bytes,
// the ciphertext and a tag of 16.
package localkeeper

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/tink-crypto/tink-go/v2/aead"
	"github.com/tink-crypto/tink-go/v2/insecurecleartextkeyset"
	"github.com/tink-crypto/tink-go/v2/keyset"
	"github.com/tink-crypto/tink-go/v2/tink"

	"github.com/bobbindb/bobbin/shared/seal"
)

const (
	format = 1
	idSize = 5 // Tink's prefix: a byte 1 and the key's id
	// overhead is how much longer a wrapped key is than the key.
	overhead = idSize + 12 + 16
)

// ErrDamagedFile: what should be a key file is not one that was written here, or is not
// whole.
var ErrDamagedFile = errors.New("key file is damaged")

// Keeper wraps with the keys of a file.
type Keeper struct {
	aead    tink.AEAD
	primary uint32
	ids     []uint32
}

var _ seal.Keeper = (*Keeper)(nil)

// file is a key file.
type file struct {
	Format int    `json:"format"`
	Keyset []byte `json:"keyset"`
	SHA256 string `json:"sha256"`
}

// newFile makes the content of a file with a new key.
func newFile() ([]byte, error) {
	handle, err := keyset.NewHandle(aead.AES256GCMKeyTemplate())
	if err != nil {
		return nil, fmt.Errorf("make key: %w", err)
	}
	var b bytes.Buffer
	if err := insecurecleartextkeyset.Write(handle, keyset.NewBinaryWriter(&b)); err != nil {
		return nil, fmt.Errorf("make key: %w", err)
	}
	content, err := json.MarshalIndent(file{Format: format, Keyset: b.Bytes(), SHA256: sum(b.Bytes())}, "", "  ")
	return append(content, '\n'), err
}

func sum(b []byte) string {
	s := sha256.Sum256(b)
	return hex.EncodeToString(s[:])
}

// Parse is the Keeper of a key file's content, for who keeps it elsewhere, such as in
// the environment. It returns ErrDamagedFile.
func Parse(content []byte) (*Keeper, error) {
	var f file
	decoder := json.NewDecoder(bytes.NewReader(content))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&f); err != nil {
		return nil, fmt.Errorf("%w: it is no JSON of a key file", ErrDamagedFile)
	}
	if decoder.More() {
		return nil, fmt.Errorf("%w: something follows the key", ErrDamagedFile)
	}
	if f.Format != format {
		return nil, fmt.Errorf("%w: format %d, this release reads %d", ErrDamagedFile, f.Format, format)
	}
	if sum(f.Keyset) != f.SHA256 {
		return nil, fmt.Errorf("%w: the key's checksum differs", ErrDamagedFile)
	}
	return newKeeper(f.Keyset)
}

func newKeeper(b []byte) (*Keeper, error) {
	handle, err := insecurecleartextkeyset.Read(keyset.NewBinaryReader(bytes.NewReader(b)))
	if err != nil {
		return nil, fmt.Errorf("%w: it holds no keyset", ErrDamagedFile)
	}
	primitive, err := aead.New(handle)
	if err != nil {
		return nil, fmt.Errorf("%w: its keyset is of another use", ErrDamagedFile)
	}
	k := &Keeper{aead: primitive, primary: handle.KeysetInfo().GetPrimaryKeyId()}
	for _, key := range handle.KeysetInfo().GetKeyInfo() {
		k.ids = append(k.ids, key.GetKeyId())
	}
	return k, nil
}

// Wrap implements seal.Keeper.
func (k *Keeper) Wrap(ctx context.Context, c seal.Context, key []byte) ([]byte, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if len(key) == 0 || len(key) > seal.MaxWrap {
		return nil, fmt.Errorf("wrap a key of %d bytes: must be 1 to %d", len(key), seal.MaxWrap)
	}
	wrapped, err := k.aead.Encrypt(key, associated(c))
	if err != nil {
		return nil, fmt.Errorf("wrap key: %w: %w", seal.ErrUnavailable, err)
	}
	return wrapped, nil
}

// Unwrap implements seal.Keeper.
func (k *Keeper) Unwrap(ctx context.Context, c seal.Context, wrapped []byte) ([]byte, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if len(wrapped) > 0 && wrapped[0] != seal.WrappedLocally {
		return nil, fmt.Errorf("unwrap key: %w", seal.ErrWrongKey)
	}
	if len(wrapped) <= overhead {
		return nil, fmt.Errorf("unwrap key: %w", seal.ErrDamaged)
	}
	if id := binary.BigEndian.Uint32(wrapped[1:]); !slices.Contains(k.ids, id) {
		return nil, fmt.Errorf("unwrap key: %w: %08x", seal.ErrWrongKey, id)
	}
	key, err := k.aead.Decrypt(wrapped, associated(c))
	if err != nil {
		return nil, fmt.Errorf("unwrap key: %w", seal.ErrDamaged)
	}
	return key, nil
}

// Name implements seal.Keeper: the id of the key that wraps.
func (k *Keeper) Name() string { return fmt.Sprintf("local key %08x", k.primary) }

// associated is what a key is bound to.
func associated(c seal.Context) []byte {
	return seal.Associated("local keeper", []byte(c.Store), []byte(c.Purpose))
}

// Path is the file that a reference names: "file://" and an absolute path.
func Path(reference string) (string, error) {
	path, ok := strings.CutPrefix(reference, "file://")
	if !ok || !strings.HasPrefix(path, "/") || strings.ContainsAny(path, "?#%") {
		return "", fmt.Errorf("key file %q: want file:///path", reference)
	}
	return path, nil
}
