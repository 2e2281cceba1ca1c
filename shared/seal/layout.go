package seal

import (
	"encoding/binary"
	"errors"

	"github.com/bobbindb/bobbin/shared/chat"
)

// Kind is the first byte of a sealed text: how the rest is to be read.
type Kind byte

// KindAESGCM is the one kind of sealed text. A number is never used again.
const KindAESGCM Kind = 1

// Sizes of the parts, in bytes.
const (
	kindSize  = 1
	idSize    = 4
	nonceSize = 12
	tagSize   = 16
	packSize  = 1

	// Overhead is how much longer a sealed text is than the text, where it is not
	// compressed.
	Overhead = kindSize + idSize + nonceSize + packSize + tagSize
)

// ErrDamaged: the bytes are not what was sealed or wrapped here, or not under this name.
var ErrDamaged = errors.New("sealed record damaged")

// DataKeyID is the id of the data key that a text is sealed under. Anything but an
// encrypted text is ErrDamaged.
func DataKeyID(sealed chat.Sealed) (uint32, error) {
	if len(sealed) < Overhead || Kind(sealed[0]) != KindAESGCM {
		return 0, ErrDamaged
	}
	return binary.BigEndian.Uint32(sealed[kindSize:]), nil
}

// Associated is associated data: a purpose and some parts, each behind its length, so
// that no two lists of parts are the same bytes.
func Associated(purpose string, parts ...[]byte) []byte {
	size := 4 + len(purpose)
	for _, p := range parts {
		size += 4 + len(p)
	}
	b := binary.BigEndian.AppendUint32(make([]byte, 0, size), uint32(len(purpose)))
	b = append(b, purpose...)
	for _, p := range parts {
		b = binary.BigEndian.AppendUint32(b, uint32(len(p)))
		b = append(b, p...)
	}
	return b
}

// associatedText is what a text is bound to.
func associatedText(store string, n chat.Name) []byte {
	var key [64]byte
	name := n.AppendKey(key[:0])
	var revision [4]byte
	binary.BigEndian.PutUint32(revision[:], n.Revision)
	return Associated("text", []byte(store), name, revision[:], []byte{byte(n.Field)})
}
