package keyring_test

import (
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/bobbindb/bobbin/shared/blob"
	"github.com/bobbindb/bobbin/shared/blob/blobtest"
	"github.com/bobbindb/bobbin/shared/keyring"
	"github.com/bobbindb/bobbin/shared/seal"
)

var interleavings = flag.Int("interleavings", 300, "how many random interleavings to try")

// schedule lets one call of the bucket happen at a time, in an order and with faults that
// a seed decides.
type schedule struct {
	random *rand.Rand
	mu     sync.Mutex
	wait   []chan blobtest.Fault
}

func (s *schedule) decide(blobtest.Call) blobtest.Fault {
	s.mu.Lock()
	turn := make(chan blobtest.Fault)
	s.wait = append(s.wait, turn)
	s.mu.Unlock()
	return <-turn
}

// next lets one of the calls that wait happen; it reports whether there was one.
func (s *schedule) next() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.wait) == 0 {
		return false
	}
	i := s.random.IntN(len(s.wait))
	turn := s.wait[i]
	s.wait = append(s.wait[:i], s.wait[i+1:]...)
	fault := blobtest.None
	if s.random.IntN(4) == 0 {
		fault = unclear[s.random.IntN(len(unclear))]
	}
	turn <- fault
	return true
}

// TestInterleaved runs an erasure against rewraps to two versions and against processes
// that create and use keys, all call by call in a random order, with calls that are lost,
// answered in vain or done late. After every call: what was dead is dead, and no key is
// under a lower version than before. After the erasure: every key that the owner ever
// had in use is dead, and stays so whatever was still on its way.
func TestInterleaved(t *testing.T) {
	for seed := range *interleavings {
		if !t.Run(fmt.Sprint(seed), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { interleave(t, uint64(seed)) })
		}) {
			return
		}
	}
}

func interleave(t *testing.T, seed uint64) {
	w := newWorld(t)
	for from := range keyring.Version(3) {
		if _, err := w.ring(t).Rotate(t.Context(), from); err != nil {
			t.Fatal(err)
		}
	}
	s := &schedule{random: rand.New(rand.NewPCG(seed, 1))}
	if s.random.IntN(2) == 0 { // the owner has a key already
		inUse(t, w.ring(t), ada)
	}
	inUse(t, w.ring(t), bob)
	w.faults.Decide(s.decide)
	var running, shredded atomic.Int32
	actors := []func() error{
		func() error { return keepOn(func() error { return rewrapAll(t, w, 2) }) },
		func() error { return keepOn(func() error { return rewrapAll(t, w, 3) }) },
		func() error {
			w.owners.erase(ada)
			defer shredded.Add(1)
			return keepOn(func() error {
				_, err := keyring.Shred(t.Context(), w.calls, hasher.Owner(ada), nil)
				return err
			})
		},
	}
	for range 2 {
		r := w.ring(t)
		actors = append(actors, func() error { return keepOn(func() error { return use(t, r) }) })
	}
	var group sync.WaitGroup
	for i, act := range actors {
		running.Add(1)
		group.Go(func() {
			defer running.Add(-1)
			if err := act(); err != nil {
				t.Errorf("actor %d: %v", i, err)
			}
		})
	}
	before := map[string]*keyring.UserRecord{}
	for {
		synctest.Wait()
		w.checkRecords(t, before, shredded.Load() > 0)
		late := len(w.faults.Delayed())
		switch {
		case late > 0 && s.random.IntN(3) == 0:
			w.faults.Release(s.random.IntN(late))
		case s.next():
		case running.Load() == 0:
			for ; late > 0; late-- {
				w.faults.Release(s.random.IntN(late))
				w.checkRecords(t, before, true)
			}
			group.Wait()
			w.checkEnd(t)
			return
		default:
			time.Sleep(firstPause) // somebody pauses before another try
		}
	}
}

// firstPause is how long who tries again pauses at the least.
const firstPause = 20 * time.Millisecond

// keepOn repeats an act until it is done, as a job is.
func keepOn(act func() error) (err error) {
	for range 100 {
		if err = act(); err == nil {
			return nil
		}
	}
	return err
}

func rewrapAll(t *testing.T, w *world, to keyring.Version) error {
	r := w.ring(t)
	p := keyring.Rewrap{To: to}
	for !p.Done {
		if err := r.RewrapStep(t.Context(), &p, 2); err != nil {
			return err
		}
	}
	if p.Damaged > 0 {
		t.Errorf("rewrap = %+v, want nothing damaged", p)
	}
	return nil
}

// use gets the owner's key again and again, until the owner is erased.
func use(t *testing.T, r *keyring.Keyring) error {
	for range 3 {
		key, err := r.InUse(t.Context(), ada, 0)
		if errors.Is(err, errErased) || errors.Is(err, seal.ErrErased) {
			return nil
		}
		if err != nil {
			return err
		}
		r.Forget(ada)
		if _, err := key.Hash("test"); err != nil && !errors.Is(err, seal.ErrWiped) {
			return err
		}
	}
	return nil
}

// checkRecords compares the user keys' records with what they were, and makes before what
// they are.
func (w *world) checkRecords(t *testing.T, before map[string]*keyring.UserRecord, shredded bool) {
	t.Helper()
	page, err := w.bucket.List(t.Context(), blob.ListOptions{Prefix: keyring.UserPrefix})
	if err != nil {
		t.Fatal(err)
	}
	if len(page.Entries) < len(before) {
		t.Errorf("%d records, and there were %d", len(page.Entries), len(before))
	}
	for _, e := range page.Entries {
		object, err := w.bucket.Get(t.Context(), e.Key)
		if err != nil {
			t.Fatal(err)
		}
		now, err := keyring.DecodeUser(object.Body)
		if err != nil {
			t.Fatal(err)
		}
		was := before[e.Key]
		switch {
		case was == nil:
		case was.Erased() && string(was.Encode()) != string(now.Encode()):
			t.Errorf("%s was dead and has changed", e.Key)
		case !was.Erased() && !now.Erased() && now.KEK() < was.KEK():
			t.Errorf("%s went from KEK %s to %s", e.Key, was.KEK(), now.KEK())
		}
		before[e.Key] = now
	}
	if id := w.owners.used(ada); shredded && id != (seal.KeyID{}) && !before[keyring.UserKey(hasher.Owner(ada), id)].Erased() {
		t.Errorf("the key %s was in use and lives after the erasure", id)
	}
}

// checkEnd checks who still has a key.
func (w *world) checkEnd(t *testing.T) {
	t.Helper()
	w.faults.Decide(nil)
	r := w.ring(t)
	if key, err := r.InUse(t.Context(), ada, 0); !errors.Is(err, errErased) {
		t.Errorf("InUse() = %v, %v for the erased owner, want %v", key, err, errErased)
	}
	if id := w.owners.used(ada); id != (seal.KeyID{}) {
		if key, err := r.Named(t.Context(), ada, id); !errors.Is(err, seal.ErrErased) || key != nil {
			t.Errorf("Named() = %v, %v for the erased key, want %v", key, err, seal.ErrErased)
		}
	}
	if _, err := r.Named(t.Context(), bob, w.owners.used(bob)); err != nil {
		t.Errorf("Named() = %v for another owner", err)
	}
	if got := w.record(t, bob, w.owners.used(bob)).KEK(); got != 3 {
		t.Errorf("another owner's key is under KEK %s, want 3", got)
	}
}
