package keyring_test

import (
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/kms"

	"github.com/bobbindb/bobbin/shared/blob"
	"github.com/bobbindb/bobbin/shared/blob/blobtest"
	"github.com/bobbindb/bobbin/shared/blob/fileblob"
	"github.com/bobbindb/bobbin/shared/blob/memblob"
	"github.com/bobbindb/bobbin/shared/chat"
	"github.com/bobbindb/bobbin/shared/keyring"
	"github.com/bobbindb/bobbin/shared/seal"
	"github.com/bobbindb/bobbin/shared/seal/awskms"
	"github.com/bobbindb/bobbin/shared/seal/awskms/kmstest"
	"github.com/bobbindb/bobbin/shared/seal/localkeeper"
)

func user(i int) chat.Owner { return chat.Owner{Tenant: "t", User: fmt.Sprint("user", i)} }

// buckets are those that keys are moved in.
var buckets = map[string]func(t *testing.T, c *clock) blob.Bucket{
	"memory": func(_ *testing.T, c *clock) blob.Bucket { return memblob.New(c.now) },
	"folder": func(t *testing.T, c *clock) blob.Bucket {
		b, err := fileblob.Open(t.TempDir(), fileblob.Options{Now: c.now})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { b.Close() })
		return b
	},
}

func keyFile(t *testing.T) seal.Keeper {
	k, err := localkeeper.Create(filepath.Join(t.TempDir(), "key.json"))
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// kmsKey is a new key of an account.
func kmsKey(server *kmstest.Server) func(t *testing.T) seal.Keeper {
	return func(t *testing.T) seal.Keeper {
		cfg := server.Config("eu-west-1")
		made, err := kms.NewFromConfig(cfg).CreateKey(t.Context(), &kms.CreateKeyInput{})
		if err != nil {
			t.Fatal(err)
		}
		return awskms.New(cfg, awskms.Options{Key: *made.KeyMetadata.Arn})
	}
}

// TestMove takes keys from one top key to another: a new KEK version under it, a rewrap,
// two surveys, and the old version is retired. Then the new top key alone opens all.
func TestMove(t *testing.T) {
	server := kmstest.New(t)
	for _, tt := range []struct {
		name, bucket string
		from, to     func(t *testing.T) seal.Keeper
	}{
		{"a key file to another", "folder", keyFile, keyFile},
		{"a key file to KMS", "memory", keyFile, kmsKey(server)},
		{"KMS to another key there", "folder", kmsKey(server), kmsKey(server)},
		{"KMS to a key file", "memory", kmsKey(server), keyFile},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c := newClock()
			w := &world{clock: c, bucket: buckets[tt.bucket](t, c), owners: newOwners()}
			w.calls = blobtest.NewRecorder(w.bucket)
			from, to := tt.from(t), tt.to(t)
			old := w.ringOf(t, from, 0)
			if _, err := old.Rotate(t.Context(), 0); err != nil {
				t.Fatal(err)
			}
			hashes := map[chat.Owner]chat.Digest{}
			for i := range 10 {
				hashes[user(i)] = hash(t, inUse(t, old, user(i)))
			}
			if _, err := keyring.Shred(t.Context(), w.bucket, hasher.Owner(user(9)), nil); err != nil {
				t.Fatal(err)
			}
			delete(hashes, user(9))

			both := w.ringOf(t, seal.Keepers{to, from}, 0)
			if v, err := both.Rotate(t.Context(), 1); err != nil || v != 2 {
				t.Fatalf("Rotate() = %s, %v, want 2", v, err)
			}
			w.owners.setKEK(2, 0)
			if p := rewrap(t, both, 2); p.Seen != 10 || p.Rewrapped != 9 || p.Erased != 1 || p.Damaged != 0 {
				t.Errorf("rewrap = %+v, want 9 of 10, and 1 erased", p)
			}
			if p := rewrap(t, both, 2); p.Rewrapped != 0 || p.Seen != 10 {
				t.Errorf("rewrap = %+v the second time, want nothing to do", p)
			}
			w.owners.setKEK(2, 1)
			first := survey(t, w.bucket)
			c.move(keyring.Age + 2*time.Second)
			second := survey(t, w.bucket)
			if err := both.Retire(t.Context(), 1, first, second); err != nil {
				t.Fatalf("Retire() = %v", err)
			}
			alone := w.ringOf(t, to, 0)
			for owner, want := range hashes {
				if got := hash(t, inUse(t, alone, owner)); got != want {
					t.Errorf("the key of %v is another one", owner)
				}
			}
			if s := alone.Stats(); s.KeeperUnwraps != 1 || s.KeeperWraps != 0 {
				t.Errorf("Stats() = %+v, want one unwrap", s)
			}
			keks, err := alone.KEKs(t.Context())
			if err != nil || len(keks) != 2 || !keks[0].Retired || keks[1].Retired || keks[1].Keeper != to.Name() {
				t.Errorf("KEKs() = %+v, %v, want a retired one and one of the new top key", keks, err)
			}
		})
	}
}

func TestRotateTwoAtOnce(t *testing.T) {
	w := newWorld(t)
	var group sync.WaitGroup
	for range 8 {
		r := w.ring(t)
		group.Go(func() {
			if v, err := r.Rotate(t.Context(), 1); err != nil || v != 2 {
				t.Errorf("Rotate() = %s, %v, want 2", v, err)
			}
		})
	}
	group.Wait()
	keks, err := w.ring(t).KEKs(t.Context())
	if err != nil || len(keks) != 2 {
		t.Errorf("KEKs() = %+v, %v, want two", keks, err)
	}
}

// unclear are the faults after which a call may or may not have been done.
var unclear = []blobtest.Fault{
	blobtest.NotStored, blobtest.LostReply, blobtest.Delayed, blobtest.Conflict409, blobtest.Unavailable503, blobtest.PartialRead,
}

// eachCall runs an act once for every call of the bucket that it makes and every fault
// that may befall it. The act is repeated once when it fails, as its job would. Then
// what was delayed happens, and check looks at the outcome.
func eachCall(t *testing.T, faults []blobtest.Fault, act func(t *testing.T, w *world) error, check func(t *testing.T, w *world)) {
	for _, fault := range faults {
		for n := 1; ; n++ {
			reached := false
			t.Run(fmt.Sprintf("%s/call %d", fault, n), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					w := newWorld(t)
					w.prepare(t)
					count := 0
					var mu sync.Mutex
					w.faults.Decide(func(blobtest.Call) blobtest.Fault {
						mu.Lock()
						defer mu.Unlock()
						if count++; count == n {
							reached = true
							return fault
						}
						return blobtest.None
					})
					if err := act(t, w); err != nil {
						if err := act(t, w); err != nil {
							t.Errorf("repeated: %v", err)
						}
					}
					w.faults.Decide(nil)
					w.faults.Release()
					check(t, w)
				})
			})
			if !reached {
				break
			}
			if n > 200 {
				t.Fatal("the act makes calls without end")
			}
		}
	}
}

// prepare makes some owners' keys, one of them erased.
func (w *world) prepare(t *testing.T) {
	t.Helper()
	r := w.ring(t)
	for i := range 4 {
		inUse(t, r, user(i))
	}
	w.owners.erase(user(3))
	if _, err := keyring.Shred(t.Context(), w.bucket, hasher.Owner(user(3)), nil); err != nil {
		t.Fatal(err)
	}
}

// checkKeys checks that the first owners' keys open and the last one's is dead.
func (w *world) checkKeys(t *testing.T, live int) {
	t.Helper()
	r := w.ring(t)
	for i := range 4 {
		key, err := r.Named(t.Context(), user(i), w.owners.used(user(i)))
		switch {
		case i < live && err != nil:
			t.Errorf("key of owner %d = %v", i, err)
		case i >= live && (!errors.Is(err, seal.ErrErased) || key != nil):
			t.Errorf("key of owner %d = %v, %v, want %v", i, key, err, seal.ErrErased)
		}
	}
}

func TestRotateFaults(t *testing.T) {
	eachCall(t, unclear, func(t *testing.T, w *world) error {
		v, err := w.ring(t).Rotate(t.Context(), 1)
		if err == nil && v != 2 {
			t.Errorf("Rotate() = %s, want 2", v)
		}
		return err
	}, func(t *testing.T, w *world) {
		w.checkKeys(t, 3)
		if v, err := w.ring(t).Rotate(t.Context(), 1); err != nil || v != 2 {
			t.Errorf("Rotate() = %s, %v afterwards, want 2", v, err)
		}
	})
}

func TestFirstKeyFaults(t *testing.T) {
	var key *seal.UserKey
	eachCall(t, unclear, func(t *testing.T, w *world) (err error) {
		key, err = w.ring(t).InUse(t.Context(), bob, 0)
		return err
	}, func(t *testing.T, w *world) {
		if key == nil || hash(t, key) != hash(t, inUse(t, w.ring(t), bob)) {
			t.Error("another process has another key of this owner")
		}
		page, err := w.bucket.List(t.Context(), blob.ListOptions{Prefix: keyring.OwnerPrefix(hasher.Owner(bob))})
		if err != nil || len(page.Entries) != 1 {
			t.Errorf("the owner has %d keys, %v, want one: its own Put was not recognised", len(page.Entries), err)
		}
	})
}

func TestRewrapFaults(t *testing.T) {
	eachCall(t, unclear, func(t *testing.T, w *world) error {
		r := w.ring(t)
		if _, err := r.Rotate(t.Context(), 1); err != nil {
			return err
		}
		p := keyring.Rewrap{To: 2}
		for !p.Done {
			before := p
			if err := r.RewrapStep(t.Context(), &p, 2); err != nil {
				if fmt.Sprint(p) != fmt.Sprint(before) {
					t.Errorf("a step that failed left %+v, want %+v", p, before)
				}
				return err
			}
		}
		return nil
	}, func(t *testing.T, w *world) {
		w.checkKeys(t, 3)
		if s := survey(t, w.bucket); s.Under[2] != 3 || len(s.Under) != 1 || s.Erased != 1 || s.Damaged != 0 || !s.Clean(1) || s.Clean(2) {
			t.Errorf("survey = %+v, want 3 under KEK 2 and 1 erased", s)
		}
	})
}

func TestShredFaults(t *testing.T) {
	eachCall(t, unclear, func(t *testing.T, w *world) error {
		w.owners.erase(user(2))
		id := w.owners.used(user(2))
		dead, err := keyring.Shred(t.Context(), w.calls, hasher.Owner(user(2)), []seal.KeyID{id, {7}})
		if err == nil && fmt.Sprint(dead) != fmt.Sprint([]seal.KeyID{{7}, id}) && fmt.Sprint(dead) != fmt.Sprint([]seal.KeyID{id, {7}}) {
			t.Errorf("Shred() = %v, want %v and the one that has not arrived", dead, id)
		}
		return err
	}, func(t *testing.T, w *world) {
		w.checkKeys(t, 2)
		if record := w.record(t, user(2), seal.KeyID{7}); !record.Erased() {
			t.Error("a known id has no tombstone")
		}
	})
}

func TestRetireFaults(t *testing.T) {
	eachCall(t, unclear, func(t *testing.T, w *world) error {
		r := w.ring(t)
		if _, err := r.Rotate(t.Context(), 1); err != nil {
			return err
		}
		p := keyring.Rewrap{To: 2}
		for !p.Done {
			if err := r.RewrapStep(t.Context(), &p, 0); err != nil {
				return err
			}
		}
		first := &keyring.Survey{}
		if err := first.Step(t.Context(), w.calls, 0); err != nil {
			return err
		}
		w.clock.move(keyring.Age + 2*time.Second)
		second := &keyring.Survey{}
		if err := second.Step(t.Context(), w.calls, 0); err != nil {
			return err
		}
		return r.Retire(t.Context(), 1, first, second)
	}, func(t *testing.T, w *world) {
		w.checkKeys(t, 3)
		if keks, err := w.ring(t).KEKs(t.Context()); err != nil || len(keks) != 2 || !keks[0].Retired {
			t.Errorf("KEKs() = %+v, %v, want the first retired", keks, err)
		}
	})
}

func TestRetireRefused(t *testing.T) {
	w := newWorld(t)
	w.prepare(t)
	r := w.ring(t)
	if _, err := r.Rotate(t.Context(), 1); err != nil {
		t.Fatal(err)
	}
	unclean := survey(t, w.bucket)
	w.clock.move(time.Hour)
	if err := r.Retire(t.Context(), 1, unclean, survey(t, w.bucket)); !errors.Is(err, keyring.ErrNotClean) {
		t.Errorf("Retire() = %v with keys under it, want %v", err, keyring.ErrNotClean)
	}
	rewrap(t, r, 2)
	first := survey(t, w.bucket)
	for name, pair := range map[string][2]*keyring.Survey{
		"one unclean":   {unclean, first},
		"the same one":  {first, first},
		"one unended":   {first, {}},
		"two unended":   {{}, {}},
		"wrongly found": {first, {Done: true, Damaged: 1, Began: w.clock.now().Add(time.Hour)}},
	} {
		if err := r.Retire(t.Context(), 1, pair[0], pair[1]); !errors.Is(err, keyring.ErrNotClean) {
			t.Errorf("Retire() = %v with %s, want %v", err, name, keyring.ErrNotClean)
		}
	}
	w.clock.move(keyring.Age + time.Second)
	if err := r.Retire(t.Context(), 1, first, survey(t, w.bucket)); !errors.Is(err, keyring.ErrNotClean) {
		t.Errorf("Retire() = %v with surveys too near, want %v", err, keyring.ErrNotClean)
	}
	w.clock.move(time.Nanosecond)
	second := survey(t, w.bucket)
	if err := r.Retire(t.Context(), 2, first, second); !errors.Is(err, keyring.ErrNotClean) {
		t.Errorf("Retire() = %v of the version in use, want %v", err, keyring.ErrNotClean)
	}
	for range 2 { // again changes nothing
		if err := r.Retire(t.Context(), 1, first, second); err != nil {
			t.Errorf("Retire() = %v", err)
		}
	}
	if v, err := w.ring(t).Rotate(t.Context(), 0); !errors.Is(err, keyring.ErrRetired) {
		t.Errorf("Rotate() = %s, %v to a retired version, want %v", v, err, keyring.ErrRetired)
	}
	w.checkKeys(t, 3)
}

// A rewrap goes around what it cannot open, names it, and no survey is clean then.
func TestRewrapDamaged(t *testing.T) {
	w := newWorld(t)
	w.prepare(t)
	at := keyring.UserKey(hasher.Owner(user(1)), w.owners.used(user(1)))
	object, err := w.bucket.Get(t.Context(), at)
	if err != nil {
		t.Fatal(err)
	}
	object.Body[30] ^= 1
	if _, err := w.bucket.Put(t.Context(), at, object.Body, blob.IfMatch(object.ETag)); err != nil {
		t.Fatal(err)
	}
	if _, err := w.bucket.Put(t.Context(), keyring.UserPrefix+"junk", nil, blob.IfAbsent()); err != nil {
		t.Fatal(err)
	}
	r := w.ring(t)
	if _, err := r.Rotate(t.Context(), 1); err != nil {
		t.Fatal(err)
	}
	p := rewrap(t, r, 2)
	if p.Rewrapped != 2 || p.Damaged != 2 || !strings.Contains(fmt.Sprint(p.Names), at) {
		t.Errorf("rewrap = %+v, want 2 done and 2 damaged, %s among them", p, at)
	}
	if s := survey(t, w.bucket); s.Damaged != 1 || s.Clean(1) {
		t.Errorf("survey = %+v, want it unclean", s)
	}
	after, err := w.bucket.Get(t.Context(), at)
	if err != nil || string(after.Body) != string(object.Body) {
		t.Errorf("the damaged record was changed: %v", err)
	}
}

// Two rewraps to different versions at once: no record ever goes to a lower one.
func TestRewrapTwoAtOnce(t *testing.T) {
	w := newWorld(t)
	w.prepare(t)
	for from := range keyring.Version(3) {
		if _, err := w.ring(t).Rotate(t.Context(), from); err != nil {
			t.Fatal(err)
		}
	}
	var group sync.WaitGroup
	for _, to := range []keyring.Version{2, 3, 2, 3} {
		r := w.ring(t)
		group.Go(func() { rewrap(t, r, to) })
	}
	group.Wait()
	if s := survey(t, w.bucket); s.Under[3] != 3 || len(s.Under) != 1 {
		t.Errorf("survey = %+v, want all under KEK 3", s)
	}
	rewrap(t, w.ring(t), 1)
	if s := survey(t, w.bucket); s.Under[3] != 3 || len(s.Under) != 1 {
		t.Errorf("survey = %+v after a rewrap to a lower version, want all under KEK 3", s)
	}
	w.checkKeys(t, 3)
}

// A rewrap is not begun under a version that the Keeper does not open.
func TestRewrapToAnUnknownVersion(t *testing.T) {
	w := newWorld(t)
	w.prepare(t)
	p := keyring.Rewrap{To: 9}
	if err := w.ring(t).RewrapStep(t.Context(), &p, 0); !errors.Is(err, keyring.ErrMissing) || p.Seen != 0 {
		t.Errorf("RewrapStep() = %v, %+v, want %v", err, p, keyring.ErrMissing)
	}
}
