package sealtest

import (
	"context"
	"errors"
	"sync"

	"github.com/bobbindb/bobbin/shared/seal"
)

// Keeper is a seal.Keeper in memory that counts its calls and fails on cue.
type Keeper struct {
	key *seal.Key

	mu      sync.Mutex
	wraps   int
	unwraps int
	fail    func() error
}

var _ seal.Keeper = (*Keeper)(nil)

// NewKeeper returns a Keeper with a top key of its own.
func NewKeeper() *Keeper { return KeeperOf([seal.KeySize]byte(seal.RandomBytes(seal.KeySize))) }

// KeeperOf returns a Keeper with this top key, for several that are to be one.
func KeeperOf(top [seal.KeySize]byte) *Keeper {
	key, err := seal.NewKey(top[:])
	if err != nil {
		panic(err) // The size is right.
	}
	return &Keeper{key: key}
}

// Fail makes every call that begins from now on end with what fail returns, unless that
// is nil. It may block, which holds the call back.
func (k *Keeper) Fail(fail func() error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.fail = fail
}

// Calls is how often Wrap and Unwrap were called.
func (k *Keeper) Calls() (wraps, unwraps int) {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.wraps, k.unwraps
}

func (k *Keeper) begin(ctx context.Context, count *int) error {
	k.mu.Lock()
	*count++
	fail := k.fail
	k.mu.Unlock()
	if fail != nil {
		if err := fail(); err != nil {
			return err
		}
	}
	return ctx.Err()
}

// Wrap implements seal.Keeper.
func (k *Keeper) Wrap(ctx context.Context, c seal.Context, key []byte) ([]byte, error) {
	if err := k.begin(ctx, &k.wraps); err != nil {
		return nil, err
	}
	if len(key) == 0 || len(key) > seal.MaxWrap {
		return nil, errors.New("wrap: size of the key")
	}
	// A check of the context without a key tells another key from another context.
	box, err := k.key.Wrap(key, associated(c))
	if err != nil {
		return nil, err
	}
	mark, err := k.key.Wrap(nil, nil)
	return append(mark, box...), err
}

// Unwrap implements seal.Keeper.
func (k *Keeper) Unwrap(ctx context.Context, c seal.Context, wrapped []byte) ([]byte, error) {
	if err := k.begin(ctx, &k.unwraps); err != nil {
		return nil, err
	}
	if len(wrapped) <= 2*seal.WrapOverhead {
		return nil, seal.ErrDamaged
	}
	mark, box := wrapped[:seal.WrapOverhead], wrapped[seal.WrapOverhead:]
	if _, err := k.key.Unwrap(mark, nil, 0); err != nil {
		return nil, seal.ErrWrongKey
	}
	return k.key.Unwrap(box, associated(c), len(box)-seal.WrapOverhead)
}

// Name implements seal.Keeper.
func (k *Keeper) Name() string { return "memory" }

func associated(c seal.Context) []byte {
	return seal.Associated("keeper", []byte(c.Store), []byte(c.Purpose))
}
