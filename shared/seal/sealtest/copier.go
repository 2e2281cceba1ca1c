package sealtest

import (
	"context"
	"encoding/binary"

	"github.com/bobbindb/bobbin/shared/chat"
	"github.com/bobbindb/bobbin/shared/seal"
)

// Frame is a text laid out as a sealed one under the data key of this id, and closed by
// nothing.
func Frame(id uint32, text []byte) chat.Sealed {
	b := make(chat.Sealed, seal.Overhead+len(text))
	b[0] = byte(seal.KindAESGCM)
	binary.BigEndian.PutUint32(b[1:], id)
	copy(b[seal.Overhead-tagSize:], text)
	return b
}

// tagSize is what stands after a text.
const tagSize = 16

// Unframe is the text of what Frame laid out, aliasing it.
func Unframe(sealed chat.Sealed) ([]byte, error) {
	if _, err := seal.DataKeyID(sealed); err != nil {
		return nil, err
	}
	return sealed[seal.Overhead-tagSize : len(sealed)-tagSize], nil
}

// Copier is a chat.Sealer that only copies: for tests that are not about sealing, and to
// measure what sealing costs.
type Copier struct{}

var _ chat.Sealer = Copier{}

// Warm implements chat.Sealer.
func (Copier) Warm(context.Context, chat.Owner) error { return nil }

// Seal frames the text under the author's data key, which it makes up.
func (Copier) Seal(_ context.Context, _ chat.Name, author chat.Owner, keys []chat.DataKey, text []byte) (chat.Sealed, *chat.DataKey, error) {
	last := uint32(0)
	for _, k := range keys {
		if k.Author == author {
			return Frame(k.ID, text), nil, nil
		}
		last = max(last, k.ID)
	}
	made := &chat.DataKey{ID: last + 1, Author: author, Wrapped: make([]byte, seal.KeySize+seal.WrapOverhead)}
	return Frame(made.ID, text), made, nil
}

// Open implements chat.Sealer.
func (Copier) Open(_ context.Context, _ chat.Name, _ []chat.DataKey, sealed chat.Sealed) ([]byte, error) {
	return Unframe(sealed)
}
