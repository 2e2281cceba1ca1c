package keyring_test

import (
	"errors"
	"slices"
	"testing"

	"github.com/bobbindb/bobbin/shared/blob"
	"github.com/bobbindb/bobbin/shared/keyring"
	"github.com/bobbindb/bobbin/shared/seal"
	"github.com/bobbindb/bobbin/shared/seal/sealtest"
)

// check runs a check of a process that starts now.
func (w *world) check(t *testing.T, keeper seal.Keeper, current keyring.Version) (keyring.Checked, []string, error) {
	t.Helper()
	var found []string
	checked, err := w.ringOf(t, keeper, 0).Check(t.Context(), current, func(key string, err error) {
		if !errors.Is(err, seal.ErrDamaged) {
			t.Errorf("found %s: %v, want damage", key, err)
		}
		found = append(found, key)
	})
	return checked, found, err
}

// change changes an object past every rule.
func (w *world) change(t *testing.T, key string, change func(b []byte)) {
	t.Helper()
	object, err := w.bucket.Get(t.Context(), key)
	if err != nil {
		t.Fatal(err)
	}
	change(object.Body)
	if _, err := w.bucket.Put(t.Context(), key, object.Body, blob.IfMatch(object.ETag)); err != nil {
		t.Fatal(err)
	}
}

func TestCheck(t *testing.T) {
	w := newWorld(t)
	r := w.ring(t)
	adas := keyring.UserKey(hasher.Owner(ada), inUse(t, r, ada).ID)
	bobs := keyring.UserKey(hasher.Owner(bob), inUse(t, r, bob).ID)
	wants := func(name string, keeper seal.Keeper, wantErr error, want ...string) {
		t.Helper()
		checked, found, err := w.check(t, keeper, 1)
		slices.Sort(found)
		if !errors.Is(err, wantErr) || !slices.Equal(found, want) {
			t.Errorf("%s: Check() finds %q, %v, want %q, %v", name, found, err, want, wantErr)
		}
		if err == nil && (checked.Keys != 2) {
			t.Errorf("%s: Check() = %+v, want two keys", name, checked)
		}
	}
	wants("whole", w.keeper, nil)
	flip := func(at int) func([]byte) { return func(b []byte) { b[(at+len(b))%len(b)] ^= 1 } }
	for name, at := range map[string]int{"version": 0, "state": 1, "KEK version": 4, "wrapped key": -1} {
		w.change(t, adas, flip(at))
		wants(name+" of a user key", w.keeper, nil, adas)
		w.change(t, adas, flip(at))
	}
	w.change(t, keyring.KEKKey(1), flip(-1))
	wants("a KEK", w.keeper, nil, keyring.KEKKey(1))
	w.change(t, keyring.KEKKey(1), flip(-1))
	down := w.keeper
	down.Fail(func() error { return seal.ErrUnavailable })
	wants("no Keeper", down, seal.ErrUnavailable)
	down.Fail(nil)
	wants("a Keeper that its KEK names, and that did not wrap it", sealtest.NewKeeper(), nil, keyring.KEKKey(1))
	if _, err := keyring.Shred(t.Context(), w.bucket, hasher.Owner(bob), nil); err != nil {
		t.Fatal(err)
	}
	if checked, found, err := w.check(t, w.keeper, 1); err != nil || len(found) > 0 || checked.Erased != 1 {
		t.Errorf("an erased key %s: Check() = %+v, %q, %v", bobs, checked, found, err)
	}
	if err := w.bucket.Delete(t.Context(), keyring.KEKKey(1)); err != nil {
		t.Fatal(err)
	}
	wants("no KEK", w.keeper, nil, keyring.KEKKey(1))
}

// Whether the Keeper is there is asked again and again, and what it opens serves.
func TestProve(t *testing.T) {
	w := newWorld(t)
	keeper := sealtest.NewKeeper()
	if err := w.ringOf(t, keeper, 0).Prove(t.Context(), 1); !errors.Is(err, seal.ErrWrongKey) {
		t.Errorf("Prove() with another key = %v, want %v", err, seal.ErrWrongKey)
	}
	r := w.ring(t)
	_, before := w.keeper.Calls()
	for range 2 {
		if err := r.Prove(t.Context(), 1); err != nil {
			t.Fatal(err)
		}
	}
	inUse(t, r, ada)
	if _, after := w.keeper.Calls(); after != before+2 {
		t.Errorf("%d unwraps, want one each time that it is proved", after-before)
	}
	w.keeper.Fail(func() error { return seal.ErrUnavailable })
	if err := r.Prove(t.Context(), 1); !errors.Is(err, seal.ErrUnavailable) {
		t.Errorf("Prove() = %v, want %v", err, seal.ErrUnavailable)
	}
	inUse(t, r, bob) // the KEK is in memory
	if err := r.Prove(t.Context(), 2); !errors.Is(err, keyring.ErrMissing) {
		t.Errorf("Prove() of a version that is not there = %v", err)
	}
}
