package keyring_test

import (
	"context"
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/bobbindb/bobbin/shared/blob"
	"github.com/bobbindb/bobbin/shared/blob/blobtest"
	"github.com/bobbindb/bobbin/shared/blob/memblob"
	"github.com/bobbindb/bobbin/shared/chat"
	"github.com/bobbindb/bobbin/shared/keyring"
	"github.com/bobbindb/bobbin/shared/seal"
	"github.com/bobbindb/bobbin/shared/seal/sealtest"
)

const storeID = "abcdefghijklmnopqrstuvwxyz"

var (
	ada    = chat.Owner{User: "ada"}
	bob    = chat.Owner{Tenant: "ten", User: "bob"}
	hasher = chat.NewHasher([]byte("0123456789abcdef0123456789abcdef"))
)

// clock is a clock that stands still until it is moved.
type clock struct {
	mu sync.Mutex
	at time.Time
}

func newClock() *clock { return &clock{at: time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC)} }

func (c *clock) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.at
}

func (c *clock) move(by time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.at = c.at.Add(by)
}

var errErased = errors.New("owner is erased")

// owners is what a store's log says of its owners: every call is one commit or one look.
type owners struct {
	mu     sync.Mutex
	inUse  map[chat.Owner]seal.KeyID
	erased map[chat.Owner]bool
	kek    keyring.Version
	closed keyring.Version // this version and those before take no new keys
	looks  int
	uses   int
	onUse  func() // before a use is decided
}

func newOwners() *owners {
	return &owners{inUse: map[chat.Owner]seal.KeyID{}, erased: map[chat.Owner]bool{}, kek: 1}
}

func (o *owners) Key(_ context.Context, owner chat.Owner) (keyring.InUse, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.looks++
	if o.erased[owner] {
		return keyring.InUse{}, errErased
	}
	return keyring.InUse{ID: o.inUse[owner], KEK: o.kek}, nil
}

func (o *owners) Use(_ context.Context, owner chat.Owner, id seal.KeyID, kek keyring.Version) (seal.KeyID, error) {
	if o.onUse != nil {
		o.onUse()
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	o.uses++
	if o.erased[owner] {
		return seal.KeyID{}, errErased
	}
	if used, ok := o.inUse[owner]; ok {
		return used, nil
	}
	if kek <= o.closed {
		return seal.KeyID{}, keyring.ErrClosedKEK
	}
	o.inUse[owner] = id
	return id, nil
}

// erase is the first record of an erasure: nothing of the owner's is taken from here on.
func (o *owners) erase(owner chat.Owner) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.erased[owner] = true
}

func (o *owners) setKEK(current, closed keyring.Version) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.kek, o.closed = current, closed
}

func (o *owners) used(owner chat.Owner) seal.KeyID {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.inUse[owner]
}

// world is a bucket with a first KEK, and what a Keyring on it stands on.
type world struct {
	clock  *clock
	bucket blob.Bucket
	faults *blobtest.Faults
	calls  *blobtest.Recorder
	keeper *sealtest.Keeper
	owners *owners
}

func newWorld(t *testing.T) *world {
	t.Helper()
	c := newClock()
	w := &world{clock: c, bucket: memblob.New(c.now), keeper: sealtest.NewKeeper(), owners: newOwners()}
	w.faults = blobtest.NewFaults(w.bucket, nil)
	w.calls = blobtest.NewRecorder(w.faults)
	if v, err := w.ring(t).Rotate(t.Context(), 0); err != nil || v != 1 {
		t.Fatalf("Rotate() = %s, %v, want the first version", v, err)
	}
	w.calls.Reset()
	return w
}

// ring is a Keyring of a process that starts now.
func (w *world) ring(t *testing.T) *keyring.Keyring { return w.ringOf(t, w.keeper, 0) }

func (w *world) ringOf(t *testing.T, keeper seal.Keeper, size int) *keyring.Keyring {
	t.Helper()
	r, err := keyring.New(keyring.Options{
		Bucket: w.calls, Store: storeID, Hasher: hasher, Keeper: keeper, Owners: w.owners, Now: w.clock.now, Size: size,
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(r.Close)
	return r
}

func inUse(t *testing.T, r *keyring.Keyring, owner chat.Owner) *seal.UserKey {
	t.Helper()
	key, err := r.InUse(t.Context(), owner, 0)
	if err != nil {
		t.Fatalf("InUse() = %v", err)
	}
	return key
}

// hash tells user keys apart by what they make.
func hash(t *testing.T, key *seal.UserKey) chat.Digest {
	t.Helper()
	d, err := key.Hash("test")
	if err != nil {
		t.Fatalf("Hash() = %v", err)
	}
	return d
}

// record reads a user key's record as it lies in the bucket.
func (w *world) record(t *testing.T, owner chat.Owner, id seal.KeyID) *keyring.UserRecord {
	t.Helper()
	object, err := w.bucket.Get(t.Context(), keyring.UserKey(hasher.Owner(owner), id))
	if err != nil {
		t.Fatal(err)
	}
	record, err := keyring.DecodeUser(object.Body)
	if err != nil {
		t.Fatal(err)
	}
	return record
}

// rewrap rewraps everything, in steps.
func rewrap(t *testing.T, r *keyring.Keyring, to keyring.Version) keyring.Rewrap {
	t.Helper()
	p := keyring.Rewrap{To: to}
	for !p.Done {
		if err := r.RewrapStep(t.Context(), &p, 3); err != nil {
			t.Fatalf("RewrapStep() = %v", err)
		}
	}
	return p
}

func survey(t *testing.T, bucket blob.Bucket) *keyring.Survey {
	t.Helper()
	s := &keyring.Survey{}
	for !s.Done {
		if err := s.Step(t.Context(), bucket, 3); err != nil {
			t.Fatalf("Step() = %v", err)
		}
	}
	return s
}
