package seal

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"sync"
	"time"

	"github.com/hashicorp/golang-lru/v2/simplelru"

	"github.com/bobbindb/bobbin/shared/chat"
)

// MaxUses is how many texts a data key seals, as its thread counts them, before its
// author gets another.
const MaxUses = 1 << 28

// DefaultDataKeys is how many unwrapped data keys a Sealer keeps, about 1.5 KB each.
const DefaultDataKeys = 4096

// ErrNoDataKey: the thread has no data key of the id that a text names.
var ErrNoDataKey = fmt.Errorf("thread has no such data key: %w", ErrDamaged)

// UserKeys is where a Sealer gets user keys. A key that was erased is ErrErased; one that
// cannot be had now is an error too, such as ErrUnavailable.
type UserKeys interface {
	// InUse returns the key that an author has in use, and makes the author's first.
	// It can be used for at least life, unless it is wiped.
	InUse(ctx context.Context, author chat.Owner, life time.Duration) (*UserKey, error)

	// Named returns an author's key by its id.
	Named(ctx context.Context, author chat.Owner, id KeyID) (*UserKey, error)
}

// UserKeyError says which user key could not be had.
type UserKeyError struct {
	Author chat.Owner
	ID     KeyID
	Err    error
}

// Error names the key, and not whose it is.
func (e *UserKeyError) Error() string { return fmt.Sprintf("user key %s: %v", e.ID, e.Err) }

// Unwrap is why.
func (e *UserKeyError) Unwrap() error { return e.Err }

// SealerOptions are what a Sealer stands on.
type SealerOptions struct {
	Store    string // the store's id
	Keys     UserKeys
	DataKeys int // 0 for DefaultDataKeys
}

// Sealer closes texts under their author's data key of the thread, and opens them.
type Sealer struct {
	store string
	keys  UserKeys
	packer

	mu       sync.Mutex
	dataKeys *simplelru.LRU[dataKeyName, *dataKey]
}

var _ chat.Sealer = (*Sealer)(nil)

// wrappedDataKey is a data key as it is wrapped.
type wrappedDataKey [KeySize + WrapOverhead]byte

// dataKeyName tells data keys apart by all that they are bound to: two branches may
// have different ones of one id.
type dataKeyName struct {
	thread  chat.ThreadID
	id      uint32
	userKey KeyID
	wrapped wrappedDataKey
}

// NewSealer returns a Sealer.
func NewSealer(o SealerOptions) (*Sealer, error) {
	if o.DataKeys == 0 {
		o.DataKeys = DefaultDataKeys
	}
	dataKeys, err := simplelru.NewLRU(o.DataKeys, func(_ dataKeyName, d *dataKey) { d.under.drop(d) })
	if err != nil {
		return nil, fmt.Errorf("%d data keys: %w", o.DataKeys, err)
	}
	return &Sealer{store: o.Store, keys: o.Keys, packer: newPacker(), dataKeys: dataKeys}, nil
}

// warmth is for how long Warm makes sure that Seal finds what it needs.
const warmth = time.Minute

// Warm fetches, or makes, what Seal will need for an author, so that a Seal within a
// minute asks nobody: a batch that is being decided does not wait for a bucket.
func (s *Sealer) Warm(ctx context.Context, author chat.Owner) error {
	if _, err := s.keys.InUse(ctx, author, warmth); err != nil {
		return answer(ctx, fmt.Errorf("get key of an author: %w", err), "key of the author")
	}
	return nil
}

// answer is what a caller is told where keys or a text could not be had. Whose damage it
// is, key says. Whatever else than damage a key could not be had for may pass; an erased
// key will not, and is nothing that a caller should see.
func answer(ctx context.Context, err error, key string) error {
	var known *chat.Error
	switch {
	case errors.Is(err, ErrDamaged):
		return chat.ErrDamaged(key).Because(err)
	case errors.Is(err, ErrErased), ctx.Err() != nil:
		return err
	case errors.As(err, &known) && known.Kind == chat.Busy:
		return err
	}
	return chat.ErrKeysUnavailable.Because(err)
}

// Seal implements chat.Sealer: it closes text under the newest of the author's data keys
// that the author's user key in use opens.
func (s *Sealer) Seal(ctx context.Context, name chat.Name, author chat.Owner, keys []chat.DataKey, text []byte) (chat.Sealed, *chat.DataKey, error) {
	packed, err := s.pack(text)
	if err != nil {
		return nil, nil, fmt.Errorf("pack text: %w", err)
	}
	var sealed chat.Sealed
	var made *chat.DataKey
	err = again(func() error {
		user, err := s.keys.InUse(ctx, author, 0)
		if err != nil {
			return err
		}
		var d *dataKey
		if d, made, err = s.dataKeyFor(name.Thread, user, keys); err != nil {
			return err
		}
		a, err := d.aead()
		if err != nil {
			return err
		}
		sealed, err = a.Encrypt(packed, associatedText(s.store, name))
		return err
	})
	if err != nil {
		return nil, nil, answer(ctx, fmt.Errorf("seal text of %s: %w", name.Thread, err), name.Key())
	}
	return sealed, made, nil
}

// Open implements chat.Sealer.
func (s *Sealer) Open(ctx context.Context, name chat.Name, keys []chat.DataKey, sealed chat.Sealed) ([]byte, error) {
	text, err := s.open(ctx, name, keys, sealed)
	if err != nil {
		return nil, answer(ctx, fmt.Errorf("open text of %s: %w", name.Thread, err), name.Key())
	}
	return text, nil
}

func (s *Sealer) open(ctx context.Context, name chat.Name, keys []chat.DataKey, sealed chat.Sealed) ([]byte, error) {
	id, err := DataKeyID(sealed)
	if err != nil {
		return nil, err
	}
	key, err := find(keys, id)
	if err != nil {
		return nil, err
	}
	var packed []byte
	err = again(func() error {
		d, err := s.unwrap(ctx, name.Thread, key)
		if err != nil {
			return err
		}
		a, err := d.aead()
		if err != nil {
			return err
		}
		if packed, err = a.Decrypt(sealed, associatedText(s.store, name)); err != nil {
			return fmt.Errorf("data key %d: %w", id, ErrDamaged)
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return s.unpack(packed)
}

// again does something with keys, and once more where one was wiped meanwhile.
func again(do func() error) error {
	err := do()
	for tries := 0; tries < 3 && errors.Is(err, ErrWiped); tries++ {
		err = do()
	}
	return err
}

// find is the data key of this id. Two of one id are damage.
func find(keys []chat.DataKey, id uint32) (*chat.DataKey, error) {
	var found *chat.DataKey
	for i := range keys {
		if keys[i].ID != id {
			continue
		}
		if found != nil {
			return nil, fmt.Errorf("two data keys %d: %w", id, ErrDamaged)
		}
		found = &keys[i]
	}
	if found == nil {
		return nil, fmt.Errorf("data key %d: %w", id, ErrNoDataKey)
	}
	return found, nil
}

// dataKeyFor is the data key that an author's next text is sealed under: one of the
// thread's, or a new one, which is returned as it is to be stored.
func (s *Sealer) dataKeyFor(thread chat.ThreadID, user *UserKey, keys []chat.DataKey) (*dataKey, *chat.DataKey, error) {
	var last uint32
	var serves *chat.DataKey
	for i := range keys {
		k := &keys[i]
		last = max(last, k.ID)
		if k.Author == user.Owner && k.UserKey == user.ID && k.Uses < MaxUses && (serves == nil || k.ID > serves.ID) {
			serves = k
		}
	}
	if serves != nil {
		d, err := s.unwrapUnder(user, thread, serves)
		return d, nil, err
	}
	if last == math.MaxUint32 {
		return nil, nil, fmt.Errorf("data key after %d: %w", last, ErrDamaged)
	}
	return s.newDataKey(thread, user, last+1)
}

func (s *Sealer) newDataKey(thread chat.ThreadID, user *UserKey, id uint32) (*dataKey, *chat.DataKey, error) {
	secret := RandomBytes(KeySize)
	defer clear(secret)
	made := &chat.DataKey{ID: id, Author: user.Owner, UserKey: user.ID}
	wrapped, err := user.wrap.Wrap(secret, s.associatedDataKey(thread, made))
	if err != nil {
		return nil, nil, err
	}
	made.Wrapped = wrapped
	d, err := user.adopt(secret, id)
	if err != nil {
		return nil, nil, err
	}
	return s.keep(nameOf(thread, made), d), made, nil
}

// associatedDataKey is what a data key is bound to.
func (s *Sealer) associatedDataKey(thread chat.ThreadID, k *chat.DataKey) []byte {
	var id [4]byte
	binary.BigEndian.PutUint32(id[:], k.ID)
	return Associated("data key", []byte(s.store), []byte(thread.String()), id[:],
		[]byte(k.Author.Tenant), []byte(k.Author.User), k.UserKey[:])
}

func nameOf(thread chat.ThreadID, k *chat.DataKey) dataKeyName {
	return dataKeyName{thread: thread, id: k.ID, userKey: k.UserKey, wrapped: wrappedDataKey(k.Wrapped)}
}

// unwrap is a data key of a thread, opened under its author's user key.
func (s *Sealer) unwrap(ctx context.Context, thread chat.ThreadID, k *chat.DataKey) (*dataKey, error) {
	if len(k.Wrapped) != len(wrappedDataKey{}) {
		return nil, fmt.Errorf("data key %d: %w", k.ID, ErrDamaged)
	}
	if d := s.kept(nameOf(thread, k)); d != nil && d.under.Owner == k.Author {
		return d, nil
	}
	user, err := s.keys.Named(ctx, k.Author, k.UserKey)
	if err != nil {
		return nil, &UserKeyError{Author: k.Author, ID: k.UserKey, Err: err}
	}
	return s.unwrapUnder(user, thread, k)
}

func (s *Sealer) unwrapUnder(user *UserKey, thread chat.ThreadID, k *chat.DataKey) (*dataKey, error) {
	if len(k.Wrapped) != len(wrappedDataKey{}) {
		return nil, fmt.Errorf("data key %d: %w", k.ID, ErrDamaged)
	}
	name := nameOf(thread, k)
	if d := s.kept(name); d != nil && d.under.Owner == k.Author {
		return d, nil
	}
	secret, err := user.wrap.Unwrap(k.Wrapped, s.associatedDataKey(thread, k), KeySize)
	if err != nil {
		return nil, fmt.Errorf("data key %d: %w", k.ID, err)
	}
	defer clear(secret)
	d, err := user.adopt(secret, k.ID)
	if err != nil {
		return nil, err
	}
	return s.keep(name, d), nil
}

// kept is a data key that was unwrapped before and may still be used, or nil.
func (s *Sealer) kept(name dataKeyName) *dataKey {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.look(name)
}

// look is kept, for who holds mu.
func (s *Sealer) look(name dataKeyName) *dataKey {
	d, ok := s.dataKeys.Get(name)
	if !ok {
		return nil
	}
	if _, err := d.aead(); err != nil {
		s.dataKeys.Remove(name)
		return nil
	}
	return d
}

// keep keeps a data key, or returns the one that another request kept meanwhile.
func (s *Sealer) keep(name dataKeyName, d *dataKey) *dataKey {
	s.mu.Lock()
	defer s.mu.Unlock()
	if before := s.look(name); before != nil {
		d.under.drop(d)
		return before
	}
	s.dataKeys.Add(name, d)
	return d
}
