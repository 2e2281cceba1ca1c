package seal

import (
	"context"

	"github.com/bobbindb/bobbin/shared/chat"
)

// Plain is the Sealer of a store without keys: texts lie in records as they are.
type Plain struct{}

var _ chat.Sealer = Plain{}

// Warm has nothing to fetch.
func (Plain) Warm(context.Context, chat.Owner) error { return nil }

// Seal marks the text as plaintext. It needs no key and makes none.
func (Plain) Seal(_ context.Context, _ chat.Name, _ chat.Owner, _ []chat.DataKey, text []byte) (chat.Sealed, *chat.DataKey, error) {
	return EncodePlain(text), nil, nil
}

// Open returns the text of a plaintext record, aliasing it. Anything else, encrypted
// texts included, is ErrDamaged.
func (Plain) Open(_ context.Context, _ chat.Name, _ []chat.DataKey, sealed chat.Sealed) ([]byte, error) {
	return DecodePlain(sealed)
}

// EncodePlain lays out a text that nothing closes.
func EncodePlain(text []byte) chat.Sealed {
	b := make(chat.Sealed, kindSize+len(text))
	b[0] = byte(KindPlain)
	copy(b[kindSize:], text)
	return b
}

// DecodePlain reads what EncodePlain wrote. The text aliases sealed.
func DecodePlain(sealed chat.Sealed) ([]byte, error) {
	if len(sealed) < kindSize || Kind(sealed[0]) != KindPlain {
		return nil, ErrDamaged
	}
	return sealed[kindSize:], nil
}
