package keyring_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/bobbindb/bobbin/shared/blob"
	"github.com/bobbindb/bobbin/shared/blob/blobtest"
	"github.com/bobbindb/bobbin/shared/chat"
	"github.com/bobbindb/bobbin/shared/keyring"
	"github.com/bobbindb/bobbin/shared/seal"
)

func TestFirstKey(t *testing.T) {
	w := newWorld(t)
	key := inUse(t, w.ring(t), ada)
	if got := w.owners.used(ada); got != key.ID {
		t.Errorf("the owner's record names %s, want %s", got, key.ID)
	}
	if got, want := fmt.Sprint(w.calls.Stored()), "["+keyring.UserKey(hasher.Owner(ada), key.ID)+"]"; got != want {
		t.Errorf("stored %s, want %s", got, want)
	}
	other := inUse(t, w.ring(t), ada)
	if other.ID != key.ID || hash(t, other) != hash(t, key) {
		t.Errorf("another process got the key %s, want %s", other.ID, key.ID)
	}
	if b := inUse(t, w.ring(t), bob); hash(t, b) == hash(t, key) {
		t.Error("two owners have one key")
	}
}

// TestKeeperCalls counts: at most one call a process and KEK version, none when warm, and
// no call of the bucket either.
func TestKeeperCalls(t *testing.T) {
	w := newWorld(t)
	keys := map[chat.Owner]seal.KeyID{}
	for _, owner := range []chat.Owner{ada, bob} {
		keys[owner] = inUse(t, w.ring(t), owner).ID
	}
	_, before := w.keeper.Calls()
	r := w.ring(t)
	for range 100 {
		for owner, id := range keys {
			inUse(t, r, owner)
			if _, err := r.Named(t.Context(), owner, id); err != nil {
				t.Fatal(err)
			}
		}
	}
	if _, after := w.keeper.Calls(); after-before != 1 {
		t.Errorf("a process called the Keeper %d times, want once", after-before)
	}
	w.calls.Reset()
	looks := w.owners.looks
	for owner, id := range keys {
		inUse(t, r, owner)
		if _, err := r.Named(t.Context(), owner, id); err != nil {
			t.Fatal(err)
		}
	}
	if got := w.calls.Count(); got != 0 || w.owners.looks != looks {
		t.Errorf("a warm process called the bucket %d times and asked the store %d times, want never", got, w.owners.looks-looks)
	}
	w.clock.move(keyring.Age)
	inUse(t, r, ada)
	if _, after := w.keeper.Calls(); after-before != 1 {
		t.Errorf("a key that aged called the Keeper")
	}
	if got, want := r.Stats().KeeperUnwraps, uint64(1); got != want {
		t.Errorf("Stats().KeeperUnwraps = %d, want %d", got, want)
	}
}

func TestSingleFlight(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		id := inUse(t, w.ring(t), ada).ID
		_, before := w.keeper.Calls()
		w.calls.Reset()
		r := w.ring(t)
		let := make(chan struct{})
		w.keeper.Fail(func() error { <-let; return nil })
		var group sync.WaitGroup
		for i := range 50 {
			group.Go(func() {
				var err error
				if i%2 == 0 {
					_, err = r.InUse(t.Context(), ada, 0)
				} else {
					_, err = r.Named(t.Context(), ada, id)
				}
				if err != nil {
					t.Errorf("key = %v", err)
				}
			})
		}
		synctest.Wait()
		close(let)
		group.Wait()
		_, after := w.keeper.Calls()
		if got := w.calls.Count(); after-before != 1 || got != 2 {
			t.Errorf("50 at once called the Keeper %d times and the bucket %d times, want 1 and 2", after-before, got)
		}
	})
}

// The first of many leaves; what it asked for is there for the others.
func TestFlightOutlivesItsFirst(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		inUse(t, w.ring(t), ada)
		r := w.ring(t)
		let := make(chan struct{})
		w.keeper.Fail(func() error { <-let; return nil })
		ctx, cancel := context.WithCancel(t.Context())
		var group sync.WaitGroup
		group.Go(func() {
			if _, err := r.InUse(ctx, ada, 0); !errors.Is(err, context.Canceled) {
				t.Errorf("InUse() = %v, want %v", err, context.Canceled)
			}
		})
		synctest.Wait()
		group.Go(func() {
			if _, err := r.InUse(t.Context(), ada, 0); err != nil {
				t.Errorf("InUse() = %v", err)
			}
		})
		synctest.Wait()
		cancel()
		synctest.Wait()
		close(let)
		group.Wait()
	})
}

// TestFirstKeyRace has many processes store an owner's first key before any of them names
// its own: one key is in use, and the others are garbage.
func TestFirstKeyRace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		let := make(chan struct{})
		w.owners.onUse = func() { <-let }
		var group sync.WaitGroup
		keys := make([]*seal.UserKey, 8)
		for i := range keys {
			r := w.ring(t)
			group.Go(func() {
				key, err := r.InUse(t.Context(), ada, 0)
				if err != nil {
					t.Errorf("InUse() = %v", err)
				}
				keys[i] = key
			})
		}
		synctest.Wait()
		if got := len(w.calls.Stored()); got != len(keys) {
			t.Fatalf("%d keys were stored, want %d", got, len(keys))
		}
		close(let)
		group.Wait()
		for _, key := range keys {
			if key.ID != w.owners.used(ada) || hash(t, key) != hash(t, keys[0]) {
				t.Errorf("a process uses the key %s, want %s", key.ID, w.owners.used(ada))
			}
		}
	})
}

func TestAgeing(t *testing.T) {
	for _, tt := range []struct {
		name  string
		then  func(w *world, r *keyring.Keyring)
		stays bool
	}{
		{"nothing", func(*world, *keyring.Keyring) {}, true},
		{"almost its age by the wall clock", func(w *world, _ *keyring.Keyring) { w.clock.move(keyring.Age - 1) }, true},
		{"its age by the wall clock", func(w *world, _ *keyring.Keyring) { w.clock.move(keyring.Age) }, false},
		{"almost its age by Date", func(w *world, r *keyring.Keyring) { r.Saw(w.clock.now().Add(keyring.Age - 1)) }, true},
		{"its age by Date", func(w *world, r *keyring.Keyring) { r.Saw(w.clock.now().Add(keyring.Age)) }, false},
		{"an older Date afterwards", func(w *world, r *keyring.Keyring) {
			r.Saw(w.clock.now().Add(keyring.Age))
			r.Saw(w.clock.now().Add(-keyring.Age))
			r.Saw(time.Time{})
		}, false},
		{"the wall clock stepped back", func(w *world, _ *keyring.Keyring) { w.clock.move(-time.Second) }, false},
		{"the wall clock stepped back far", func(w *world, _ *keyring.Keyring) { w.clock.move(-100 * time.Hour) }, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w := newWorld(t)
			r := w.ring(t)
			key := inUse(t, r, ada)
			tt.then(w, r)
			if _, err := key.Hash("test"); (err == nil) != tt.stays {
				t.Errorf("Hash() = %v, want usable = %t", err, tt.stays)
			}
			w.calls.Reset()
			if _, err := r.Named(t.Context(), ada, key.ID); err != nil {
				t.Fatal(err)
			}
			if got := w.calls.Count(blobtest.Get) == 0; got != tt.stays {
				t.Errorf("served from memory = %t, want %t", got, tt.stays)
			}
		})
	}
}

// Whoever needs a key for a minute gets one that lives so long.
func TestLife(t *testing.T) {
	w := newWorld(t)
	r := w.ring(t)
	key := inUse(t, r, ada)
	w.clock.move(keyring.Age - 30*time.Second)
	if again := inUse(t, r, ada); again != key {
		t.Error("a key with half a minute to live was fetched again")
	}
	fresh, err := r.InUse(t.Context(), ada, time.Minute)
	if err != nil || fresh == key {
		t.Fatalf("InUse() = the same key, %v, want one that lives a minute", err)
	}
	w.clock.move(time.Minute)
	if _, err := fresh.Hash("test"); err != nil {
		t.Errorf("Hash() = %v a minute later", err)
	}
	if _, err := key.Hash("test"); !errors.Is(err, seal.ErrWiped) {
		t.Errorf("Hash() = %v under the key that was replaced, want %v", err, seal.ErrWiped)
	}
}

func TestBounded(t *testing.T) {
	w := newWorld(t)
	r := w.ringOf(t, w.keeper, 3)
	var keys []*seal.UserKey
	for i := range 10 {
		keys = append(keys, inUse(t, r, chat.Owner{User: fmt.Sprint("user", i)}))
	}
	if s := r.Stats(); s.Held != 3 || s.Evicted != 7 || s.Made != 10 {
		t.Errorf("Stats() = %+v, want 3 held, 7 evicted, 10 made", s)
	}
	for i, key := range keys {
		if _, err := key.Hash("test"); (err == nil) != (i >= 7) {
			t.Errorf("key %d: Hash() = %v", i, err)
		}
	}
}

func TestForget(t *testing.T) {
	w := newWorld(t)
	r := w.ring(t)
	a, b := inUse(t, r, ada), inUse(t, r, bob)
	r.Forget(ada)
	if _, err := a.Hash("test"); !errors.Is(err, seal.ErrWiped) {
		t.Errorf("Hash() = %v under a forgotten owner's key, want %v", err, seal.ErrWiped)
	}
	if _, err := b.Hash("test"); err != nil {
		t.Errorf("Hash() = %v under another's key", err)
	}
}

// A key whose record was read before its owner was forgotten is not kept after.
func TestForgetDuringFetch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		id := inUse(t, w.ring(t), ada).ID
		r := w.ring(t)
		let := make(chan struct{})
		w.keeper.Fail(func() error { <-let; return nil })
		var group sync.WaitGroup
		group.Go(func() {
			if _, err := r.Named(t.Context(), ada, id); err != nil {
				t.Errorf("Named() = %v", err)
			}
		})
		synctest.Wait()
		r.Forget(ada)
		close(let)
		group.Wait()
		if got := r.Stats().Held; got != 0 {
			t.Errorf("held %d keys, want none", got)
		}
	})
}

func TestClose(t *testing.T) {
	w := newWorld(t)
	r := w.ring(t)
	key := inUse(t, r, ada)
	r.Close()
	if _, err := key.Hash("test"); !errors.Is(err, seal.ErrWiped) {
		t.Errorf("Hash() = %v after Close, want %v", err, seal.ErrWiped)
	}
	if _, err := r.InUse(t.Context(), ada, 0); !errors.Is(err, keyring.ErrClosed) {
		t.Errorf("InUse() = %v after Close, want %v", err, keyring.ErrClosed)
	}
}

func TestKeeperDown(t *testing.T) {
	w := newWorld(t)
	id := inUse(t, w.ring(t), ada).ID
	r := w.ring(t)
	w.keeper.Fail(func() error { return seal.ErrUnavailable })
	_, before := w.keeper.Calls()
	for range 10 {
		if key, err := r.Named(t.Context(), ada, id); !errors.Is(err, seal.ErrUnavailable) || key != nil {
			t.Errorf("Named() = %v, %v, want %v", key, err, seal.ErrUnavailable)
		}
	}
	if _, after := w.keeper.Calls(); after-before != 1 {
		t.Errorf("the Keeper was called %d times while it was down, want 1 a second", after-before)
	}
	w.keeper.Fail(nil)
	w.clock.move(time.Second)
	if _, err := r.Named(t.Context(), ada, id); err != nil {
		t.Errorf("Named() = %v when it is back", err)
	}
	w.keeper.Fail(func() error { return seal.ErrUnavailable })
	w.clock.move(keyring.Age)
	if _, err := r.Named(t.Context(), ada, id); err != nil {
		t.Errorf("Named() = %v from a warm process with the Keeper down", err)
	}
}

// TestBinding moves records to where they do not belong.
func TestBinding(t *testing.T) {
	w := newWorld(t)
	r := w.ring(t)
	a, b := inUse(t, r, ada).ID, inUse(t, r, bob).ID
	if v, err := r.Rotate(t.Context(), 1); err != nil || v != 2 {
		t.Fatal(v, err)
	}
	get := func(key string) blob.Object {
		o, err := w.bucket.Get(t.Context(), key)
		if err != nil {
			t.Fatal(err)
		}
		return o
	}
	at, from := keyring.UserKey(hasher.Owner(ada), a), keyring.UserKey(hasher.Owner(bob), b)
	genuine := get(at)
	changed := func(i int) []byte {
		body := append([]byte(nil), genuine.Body...)
		body[i] ^= 3
		return body
	}
	for name, body := range map[string][]byte{
		"another owner's key":   get(from).Body,
		"another KEK version":   changed(5),
		"a changed key":         changed(40),
		"a newer format":        changed(0),
		"an unknown state":      changed(1),
		"cut short":             genuine.Body[:90],
		"empty":                 {},
		"a KEK":                 get(keyring.KEKKey(1)).Body,
		"an unknown KEK (2^24)": changed(2),
	} {
		t.Run(name, func(t *testing.T) {
			if _, err := w.bucket.Put(t.Context(), at, body, blob.IfMatch(get(at).ETag)); err != nil {
				t.Fatal(err)
			}
			if key, err := w.ring(t).Named(t.Context(), ada, a); !errors.Is(err, seal.ErrDamaged) || key != nil {
				t.Errorf("Named() = %v, %v, want ErrDamaged", key, err)
			}
			if _, err := w.ring(t).Named(t.Context(), bob, b); err != nil {
				t.Errorf("Named() = %v of another owner", err)
			}
		})
	}
	if key, err := w.ring(t).Named(t.Context(), ada, seal.KeyID{9}); !errors.Is(err, keyring.ErrMissing) || key != nil {
		t.Errorf("Named() = %v, %v of an unknown id, want %v", key, err, keyring.ErrMissing)
	}
	kek := get(keyring.KEKKey(1))
	if _, err := w.bucket.Put(t.Context(), keyring.KEKKey(2), kek.Body, blob.IfMatch(get(keyring.KEKKey(2)).ETag)); err != nil {
		t.Fatal(err)
	}
	if v, err := w.ring(t).Rotate(t.Context(), 1); !errors.Is(err, seal.ErrDamaged) {
		t.Errorf("Rotate() = %s, %v with another version's record, want ErrDamaged", v, err)
	}
}

// TestClosedKEK: a store closes the version under which a key was made; it is made again
// under the current one.
func TestClosedKEK(t *testing.T) {
	w := newWorld(t)
	r := w.ring(t)
	if _, err := r.Rotate(t.Context(), 1); err != nil {
		t.Fatal(err)
	}
	w.owners.onUse = func() { w.owners.setKEK(2, 1) }
	key := inUse(t, r, ada)
	if got := w.record(t, ada, key.ID).KEK(); got != 2 {
		t.Errorf("the key in use is under KEK %s, want 2", got)
	}
	w.owners.onUse = nil
	w.owners.setKEK(2, 2)
	if key, err := r.InUse(t.Context(), bob, 0); !errors.Is(err, keyring.ErrClosedKEK) || key != nil {
		t.Errorf("InUse() = %v, %v with every version closed, want %v", key, err, keyring.ErrClosedKEK)
	}
}
