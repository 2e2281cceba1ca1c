package seal

import (
	"encoding/binary"
	"errors"

	"github.com/bobbindb/bobbin/shared/chat"
)

// Kind is the first byte of a sealed text: how the rest is to be read.
type Kind byte

// The kinds of sealed text. A number is never used again.
const (
	KindPlain  Kind = 0
	KindAESGCM Kind = 1
)

// Sizes of the parts, in bytes.
const (
	KindSize  = 1
	KeySize   = 4
	NonceSize = 12
	TagSize   = 16

	// BoxOverhead is how much longer an encrypted text is than the text.
	BoxOverhead = KindSize + KeySize + NonceSize + TagSize

	boxHeader = KindSize + KeySize + NonceSize
)

// ErrDamaged: the bytes are not a sealed text of the kind that was asked for.
var ErrDamaged = errors.New("sealed text is damaged")

// Box is an encrypted text: what AES-256-GCM made, and what opens it besides the key.
type Box struct {
	Key        uint32 // id of the data key in the thread's record
	Nonce      [NonceSize]byte
	Ciphertext []byte // with the tag at its end
}

// EncodePlain lays out a text that nothing closes.
func EncodePlain(text []byte) chat.Sealed {
	b := make(chat.Sealed, KindSize+len(text))
	b[0] = byte(KindPlain)
	copy(b[KindSize:], text)
	return b
}

// DecodePlain reads what EncodePlain wrote. The text aliases sealed.
func DecodePlain(sealed chat.Sealed) ([]byte, error) {
	if len(sealed) < KindSize || Kind(sealed[0]) != KindPlain {
		return nil, ErrDamaged
	}
	return sealed[KindSize:], nil
}

// EncodeBox lays out an encrypted text.
func EncodeBox(b Box) chat.Sealed {
	out := make(chat.Sealed, 0, boxHeader+len(b.Ciphertext))
	out = append(out, byte(KindAESGCM))
	out = binary.BigEndian.AppendUint32(out, b.Key)
	out = append(out, b.Nonce[:]...)
	return append(out, b.Ciphertext...)
}

// DecodeBox reads what EncodeBox wrote. The ciphertext aliases sealed.
func DecodeBox(sealed chat.Sealed) (Box, error) {
	if len(sealed) < boxHeader+TagSize || Kind(sealed[0]) != KindAESGCM {
		return Box{}, ErrDamaged
	}
	b := Box{Key: binary.BigEndian.Uint32(sealed[KindSize:]), Ciphertext: sealed[boxHeader:]}
	copy(b.Nonce[:], sealed[KindSize+KeySize:])
	return b, nil
}
