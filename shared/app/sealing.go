package app

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/bobbindb/bobbin/shared/blob"
	"github.com/bobbindb/bobbin/shared/catalog"
	"github.com/bobbindb/bobbin/shared/chat"
	"github.com/bobbindb/bobbin/shared/keyring"
	"github.com/bobbindb/bobbin/shared/seal"
	"github.com/bobbindb/bobbin/shared/store"
)

// sealing is what a process needs to seal and open a store's texts.
type sealing struct {
	keeper *watchedKeeper
	keys   *keyring.Keyring
	sealer *seal.Sealer
	owners *Owners

	mu     sync.Mutex // held while the Keeper is asked whether it is there
	failed error      // what it said last
	asked  time.Time
}

// openSealing gets ready to seal and open texts. The Keeper is asked for nothing yet.
// From here on the bucket's every Date ages the keys in memory.
func (s *Store) openSealing(ctx context.Context) error {
	keeper, err := openKeeper(ctx, s.cfg, false)
	if err != nil {
		return fmt.Errorf("open keys: %w", err)
	}
	c := &sealing{keeper: &watchedKeeper{Keeper: keeper, metrics: s.Metrics}}
	c.owners = &Owners{Hasher: s.hasher(), Now: time.Now, NewID: newCommandID}
	c.keys, err = keyring.New(keyring.Options{
		Bucket: s.bucket, Store: s.Catalog.ID, Hasher: s.hasher(), Keeper: c.keeper, Owners: c.owners, Now: time.Now,
	})
	if err != nil {
		return fmt.Errorf("open keys: %w", err)
	}
	c.sealer, err = seal.NewSealer(seal.SealerOptions{Store: s.Catalog.ID, Keys: c.keys})
	if err != nil {
		return fmt.Errorf("open keys: %w", err)
	}
	s.bucket = blob.Dates(s.bucket, c.keys.Saw)
	s.sealing = c
	return nil
}

// proveKeys has the Keeper open the KEK version in use: with the wrong key no text could
// be opened, and none should be sealed.
func (s *Store) proveKeys(ctx context.Context) error {
	v, err := s.kekInUse()
	if err != nil {
		return err
	}
	if err := s.sealing.keys.Prove(ctx, v); err != nil {
		return fmt.Errorf("open keys with %s: %w", s.sealing.keeper.Name(), err)
	}
	return nil
}

// kekInUse is the KEK version that wraps new keys, as far as this process knows.
func (s *Store) kekInUse() (keyring.Version, error) {
	v, err := s.partitions[0].View()
	if err != nil {
		return 0, err
	}
	kek, err := store.GetKEK(v)
	return keyring.Version(kek.Current), errors.Join(err, v.Close())
}

const (
	// keeperFresh is for how long a call that worked says that the Keeper is there.
	keeperFresh = time.Minute
	// keeperRespite is how long a Keeper that failed is left alone.
	keeperRespite = time.Second
	// keeperPatience bounds a call that only asks whether it is there.
	keeperPatience = 5 * time.Second
)

// keysReady reports whether keys can be had: a call to the Keeper worked lately, or does
// now.
func (s *Store) keysReady(ctx context.Context) error {
	c := s.sealing
	if c.keeper.workedWithin(keeperFresh) {
		return nil
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.keeper.workedWithin(keeperFresh) {
		return nil
	}
	if since := time.Since(c.asked); c.failed != nil && 0 <= since && since < keeperRespite {
		return c.failed
	}
	ctx, cancel := context.WithTimeout(ctx, keeperPatience)
	defer cancel()
	c.failed = s.proveKeys(ctx)
	c.asked = time.Now()
	return c.failed
}

// makeKeys makes the first KEK of a store that is being made, and proves it. An attempt
// before this one may have made it, with a key file that must be there then.
func makeKeys(ctx context.Context, bucket blob.Bucket, cfg Config, s *catalog.Store) error {
	_, err := bucket.Get(ctx, keyring.KEKKey(1))
	isNew := errors.Is(err, blob.ErrNotExist)
	if err != nil && !isNew {
		return fmt.Errorf("make keys: %w", err)
	}
	keeper, err := openKeeper(ctx, cfg, isNew)
	if err != nil {
		return fmt.Errorf("make keys: %w", err)
	}
	keys, err := keyring.New(keyring.Options{
		Bucket: bucket, Store: s.ID, Hasher: chat.NewHasher(s.Salt), Keeper: keeper, Now: time.Now,
	})
	if err != nil {
		return fmt.Errorf("make keys: %w", err)
	}
	defer keys.Close()
	if _, err := keys.Rotate(ctx, 0); err != nil {
		return fmt.Errorf("make keys with %s: %w", keeper.Name(), err)
	}
	return nil
}
