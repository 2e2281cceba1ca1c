package seal

import (
	"context"

	"github.com/bobbindb/bobbin/shared/chat"
)

// Plain is the Sealer of a store without keys: texts lie in records as they are.
type Plain struct{}

var _ chat.Sealer = Plain{}

// Seal marks the text as plaintext. It needs no key and makes none.
func (Plain) Seal(_ context.Context, _ chat.Name, _ chat.Owner, _ []chat.DataKey, text []byte) (chat.Sealed, *chat.DataKey, error) {
	return EncodePlain(text), nil, nil
}

// Open returns the text of a plaintext record, aliasing it. Anything else, encrypted
// texts included, is ErrDamaged.
func (Plain) Open(_ context.Context, _ chat.Name, _ []chat.DataKey, sealed chat.Sealed) ([]byte, error) {
	return DecodePlain(sealed)
}
