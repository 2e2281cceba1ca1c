package seal

import (
	"context"
	"errors"
)

// Context says what a key is wrapped for. It is bound to the wrapped key and seen by
// whoever holds the top key.
type Context struct {
	Store   string // the store's id
	Purpose string
}

// MaxWrap is the largest key that a Keeper wraps, in bytes.
const MaxWrap = 4096

var (
	// ErrUnavailable: the Keeper cannot be asked, or the top key may not be used now:
	// it is disabled, about to be deleted, unknown or not ours to use. What is wrapped
	// may be sound; nothing was learned about it.
	ErrUnavailable = errors.New("keys unavailable")

	// ErrWrongKey: another top key wrapped this. Nothing was learned about whether it
	// is sound.
	ErrWrongKey = errors.New("wrapped by another key")
)

// ErrErased: the key was erased with its owner. Nothing opens what it closed.
var ErrErased = errors.New("key was erased")

// Keeper holds the top key and never gives it out.
//
// All methods may be called concurrently, keep nothing of what they are given, and
// return nothing with an error. A cancelled ctx ends a call with ctx's error.
type Keeper interface {
	// Wrap closes a key of 1 to MaxWrap bytes. Its error is ErrUnavailable.
	Wrap(ctx context.Context, c Context, key []byte) ([]byte, error)

	// Unwrap opens what Wrap closed. Its error is ErrUnavailable, ErrWrongKey, or
	// ErrDamaged where the bytes were changed or wrapped for another context.
	Unwrap(ctx context.Context, c Context, wrapped []byte) ([]byte, error)

	// Name says which top key it is, for whoever reads a status. It holds no secret.
	Name() string
}

// Keepers are several as one, for a move: the first wraps, and whichever wrapped a key
// unwraps it.
type Keepers []Keeper

var _ Keeper = Keepers{}

// Wrap implements Keeper.
func (k Keepers) Wrap(ctx context.Context, c Context, key []byte) ([]byte, error) {
	return k[0].Wrap(ctx, c, key)
}

// Unwrap implements Keeper. Where one cannot be asked, that is the error, unless
// another opens it: what it holds may be what was wanted.
func (k Keepers) Unwrap(ctx context.Context, c Context, wrapped []byte) ([]byte, error) {
	failed := ErrWrongKey
	for _, keeper := range k {
		key, err := keeper.Unwrap(ctx, c, wrapped)
		if err == nil {
			return key, nil
		}
		if !errors.Is(err, ErrWrongKey) && (errors.Is(failed, ErrWrongKey) || errors.Is(err, ErrUnavailable)) {
			failed = err
		}
	}
	return nil, failed
}

// Name implements Keeper: it is that of the one that wraps.
func (k Keepers) Name() string { return k[0].Name() }

// The first byte of what a Keeper wraps says which kind of Keeper did. A number is
// never used again.
const (
	WrappedLocally byte = 1 // localkeeper: Tink's own prefix begins so
	WrappedByKMS   byte = 2 // awskms
)
