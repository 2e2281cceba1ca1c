package keyring

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hashicorp/golang-lru/v2/simplelru"
	"golang.org/x/sync/singleflight"

	"github.com/bobbindb/bobbin/shared/blob"
	"github.com/bobbindb/bobbin/shared/chat"
	"github.com/bobbindb/bobbin/shared/seal"
)

const (
	// Age is how long after its record was read an unwrapped user key is used.
	Age = 5 * time.Minute

	// defaultSize is how many unwrapped user keys a Keyring keeps.
	defaultSize = 16384

	// flightTime bounds what is done for many callers at once.
	flightTime = 10 * time.Second

	// respite is how long after the Keeper could not be asked for a KEK it is left alone.
	respite = time.Second
)

// Errors that a caller acts on.
var (
	// ErrClosedKEK: this KEK version takes no new user keys.
	ErrClosedKEK = errors.New("KEK version is closed to new keys")
	// ErrRetired: this KEK version was retired. Nothing is wrapped under it any more.
	ErrRetired = errors.New("KEK version was retired")
	// ErrMissing: a record that is named somewhere is not in the bucket.
	ErrMissing = fmt.Errorf("key record is missing: %w", seal.ErrDamaged)
	// ErrClosed: the Keyring was closed.
	ErrClosed = errors.New("keyring is closed")
)

// InUse is what the store says about an owner's keys.
type InUse struct {
	ID  seal.KeyID // zero where the owner has no key yet
	KEK Version    // under which a new key is to be wrapped
}

// Owners is where the store says which key an owner has in use.
type Owners interface {
	// Key reads it.
	Key(ctx context.Context, owner chat.Owner) (InUse, error)

	// Use makes a key, stored under this KEK version, the owner's key in use unless
	// there is one, and returns the one in use. It is durable then. It returns
	// ErrClosedKEK where new keys may not be under this version any more. After any
	// other error the key may be in use, now or later, unless another is.
	Use(ctx context.Context, owner chat.Owner, id seal.KeyID, kek Version) (seal.KeyID, error)
}

// Options are what a Keyring stands on.
type Options struct {
	Bucket blob.Bucket
	Store  string // the store's id
	Hasher chat.Hasher
	Keeper seal.Keeper
	Owners Owners
	Now    func() time.Time
	Size   int // of unwrapped user keys; 0 means 16384
}

// Keyring gets keys, makes them and keeps those it got for a while. Close it.
type Keyring struct {
	o       Options
	newest  atomic.Int64 // the newest Date that the bucket gave, in nanoseconds
	stats   counters
	flights singleflight.Group
	ctx     context.Context // ends with Close
	cancel  context.CancelFunc
	flying  sync.WaitGroup

	mu     sync.Mutex
	closed bool
	keks   map[Version]*seal.Key
	failed map[Version]failure
	keys   *simplelru.LRU[name, *held]
	inUse  *simplelru.LRU[chat.Owner, named]
	gone   uint64 // counts owners forgotten, so that what was read before is not kept after
}

var _ seal.UserKeys = (*Keyring)(nil)

// name is a user key's name in memory.
type name struct {
	owner chat.Owner
	id    seal.KeyID
}

// held is an unwrapped user key.
type held struct {
	key  *seal.UserKey
	read moment
}

// named is which key an owner had in use when the store was asked.
type named struct {
	id   seal.KeyID
	read moment
}

// failure is why a KEK could not be had lately.
type failure struct {
	err error
	at  time.Time
}

// moment is when something was read, by both clocks.
type moment struct {
	wall time.Time
	date int64
}

// counters count what a Keyring did.
type counters struct {
	wraps, unwraps, hits, misses, evicted, made atomic.Uint64
}

// Stats is what a Keyring did since it was made, and holds now.
type Stats struct {
	KeeperWraps   uint64
	KeeperUnwraps uint64
	Hits          uint64 // user keys that were in memory
	Misses        uint64 // user keys that were fetched
	Evicted       uint64 // user keys that were wiped
	Made          uint64 // user keys that were made
	Held          int    // user keys in memory
}

// New returns a Keyring. It asks nobody for anything yet.
func New(o Options) (*Keyring, error) {
	if o.Size == 0 {
		o.Size = defaultSize
	}
	r := &Keyring{o: o, keks: map[Version]*seal.Key{}, failed: map[Version]failure{}}
	var err error
	r.keys, err = simplelru.NewLRU(o.Size, func(_ name, h *held) {
		h.key.Wipe()
		r.stats.evicted.Add(1)
	})
	if err != nil {
		return nil, fmt.Errorf("%d user keys: %w", o.Size, err)
	}
	r.inUse, err = simplelru.NewLRU[chat.Owner, named](o.Size, nil)
	if err != nil {
		return nil, fmt.Errorf("%d owners: %w", o.Size, err)
	}
	r.ctx, r.cancel = context.WithCancel(context.Background())
	return r, nil
}

// Close waits for what is under way and wipes every key.
func (r *Keyring) Close() {
	r.mu.Lock()
	r.closed = true
	r.mu.Unlock()
	r.cancel()
	r.flying.Wait()
	r.mu.Lock()
	defer r.mu.Unlock()
	r.keys.Purge()
	r.inUse.Purge()
	for v, kek := range r.keks {
		kek.Wipe()
		delete(r.keks, v)
	}
}

// Stats says what the Keyring did.
func (r *Keyring) Stats() Stats {
	r.mu.Lock()
	defer r.mu.Unlock()
	return Stats{
		KeeperWraps:   r.stats.wraps.Load(),
		KeeperUnwraps: r.stats.unwraps.Load(),
		Hits:          r.stats.hits.Load(),
		Misses:        r.stats.misses.Load(),
		Evicted:       r.stats.evicted.Load(),
		Made:          r.stats.made.Load(),
		Held:          r.keys.Len(),
	}
}

// Saw tells of a Date that the bucket gave to anybody in this process, so that keys age
// by it while this machine's clock stands still or goes back. It is cheap.
func (r *Keyring) Saw(date time.Time) {
	if date.IsZero() {
		return
	}
	for at := date.UnixNano(); ; {
		newest := r.newest.Load()
		if at <= newest || r.newest.CompareAndSwap(newest, at) {
			return
		}
	}
}

// now is the moment as both clocks show it. The wall clock counts, not how long this
// process has been awake.
func (r *Keyring) now() moment { return moment{wall: r.o.Now().Round(0), date: r.newest.Load()} }

// young reports whether what was read at a moment may be used for at least life.
func (r *Keyring) young(read moment, life time.Duration) bool {
	now, limit := r.now(), Age-life
	wall := now.wall.Sub(read.wall)
	return 0 <= wall && wall < limit && time.Duration(now.date-read.date) < limit
}

// Forget wipes an owner's keys in this process: they are dead.
func (r *Keyring) Forget(owner chat.Owner) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.gone++
	r.inUse.Remove(owner)
	for _, n := range r.keys.Keys() {
		if n.owner == owner {
			r.keys.Remove(n)
		}
	}
}

// fly does something once for all who ask for it at the same time. It goes on when the
// first of them leaves.
func fly[T any](ctx context.Context, r *Keyring, what string, do func(context.Context) (T, error)) (T, error) {
	answer := r.flights.DoChan(what, func() (any, error) {
		r.mu.Lock()
		if r.closed {
			r.mu.Unlock()
			return nil, ErrClosed
		}
		r.flying.Add(1)
		r.mu.Unlock()
		defer r.flying.Done()
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), flightTime)
		defer cancel()
		defer context.AfterFunc(r.ctx, cancel)()
		return do(ctx)
	})
	var nothing T
	select {
	case a := <-answer:
		if a.Err != nil {
			return nothing, a.Err
		}
		return a.Val.(T), nil
	case <-ctx.Done():
		return nothing, ctx.Err()
	}
}

// get reads an object and takes note of its Date.
func (r *Keyring) get(ctx context.Context, key string) (blob.Object, error) {
	object, err := r.o.Bucket.Get(ctx, key)
	r.Saw(object.Date)
	if errors.Is(err, blob.ErrNotExist) {
		return object, fmt.Errorf("%s: %w", key, ErrMissing)
	}
	return object, err
}
