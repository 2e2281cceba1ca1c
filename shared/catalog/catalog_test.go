package catalog_test

import (
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/bobbindb/bobbin/shared/blob"
	"github.com/bobbindb/bobbin/shared/blob/blobtest"
	"github.com/bobbindb/bobbin/shared/blob/memblob"
	"github.com/bobbindb/bobbin/shared/catalog"
	"github.com/bobbindb/bobbin/shared/commitlog"
)

// firstPut lets a fault befall the first Put, and something happen after it.
func firstPut(f *blobtest.Faults, fault blobtest.Fault, then func()) {
	f.Decide(func(c blobtest.Call) blobtest.Fault {
		if c.Op != blobtest.Put {
			return blobtest.None
		}
		f.Decide(func(blobtest.Call) blobtest.Fault {
			f.Decide(nil)
			then()
			return blobtest.None
		})
		return fault
	})
}

func nothing() {}

var unclear = []blobtest.Fault{
	blobtest.NotStored, blobtest.LostReply, blobtest.Delayed, blobtest.Conflict409, blobtest.Unavailable503,
}

// made makes a store.
func made(t *testing.T, bucket blob.Bucket) *catalog.Store {
	t.Helper()
	s := newStore(t)
	if err := catalog.Create(t.Context(), bucket, s); err != nil {
		t.Fatal(err)
	}
	return s
}

func newStore(t *testing.T) *catalog.Store {
	t.Helper()
	s, err := catalog.New(16)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// each runs a test in a bubble, whose pauses cost no time.
func each(t *testing.T, faults []blobtest.Fault, test func(t *testing.T, fault blobtest.Fault, f *blobtest.Faults)) {
	for _, fault := range faults {
		t.Run(fault.String(), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				test(t, fault, blobtest.NewFaults(memblob.New(time.Now), nil))
			})
		})
	}
}

func TestCreate(t *testing.T) {
	for _, key := range []string{catalog.RootsKey, catalog.StoreKey} {
		t.Run(key, func(t *testing.T) {
			each(t, append(unclear, blobtest.None), func(t *testing.T, fault blobtest.Fault, f *blobtest.Faults) {
				s, befell := newStore(t), false
				f.Decide(func(c blobtest.Call) blobtest.Fault {
					if c.Op != blobtest.Put || c.Key != key || befell {
						return blobtest.None
					}
					befell = true
					return fault
				})
				if err := catalog.Create(t.Context(), f, s); err != nil {
					t.Fatalf("Create() = %v", err)
				}
				f.Decide(nil)
				f.Release()
				read, err := catalog.Read(t.Context(), f)
				if err != nil || read.ID != s.ID || read.ETag != s.ETag || s.ETag == "" {
					t.Errorf("Read() = %+v, %v, want %+v", read, err, s)
				}
				roots, err := catalog.ReadRoots(t.Context(), f, read)
				if err != nil || len(roots.Branches) != 1 || roots.Branches[0].Name != s.Branch {
					t.Errorf("ReadRoots() = %+v, %v, want branch %s", roots, err, s.Branch)
				}
				if err := catalog.Create(t.Context(), f, newStore(t)); !errors.Is(err, blob.ErrExists) {
					t.Errorf("Create() = %v, want %v", err, blob.ErrExists)
				}
			})
		})
	}
}

// An attempt that ended early left roots.json. The next one, and several at once, make
// one store of it.
func TestClaim(t *testing.T) {
	bucket := memblob.New(time.Now)
	first, second := newStore(t), newStore(t)
	for _, s := range []*catalog.Store{first, second} {
		if err := catalog.Claim(t.Context(), bucket, s); err != nil {
			t.Fatalf("Claim() = %v", err)
		}
	}
	if second.ID != first.ID || second.Branch != first.Branch {
		t.Errorf("Claim() = %s on %s, want %s on %s", second.ID, second.Branch, first.ID, first.Branch)
	}
	if _, err := catalog.Read(t.Context(), bucket); !errors.Is(err, catalog.ErrNoStore) {
		t.Errorf("Read() = %v, want %v", err, catalog.ErrNoStore)
	}
	if err := catalog.Create(t.Context(), bucket, second); err != nil {
		t.Fatalf("Create() = %v", err)
	}
	if err := catalog.Create(t.Context(), bucket, first); !errors.Is(err, blob.ErrExists) {
		t.Errorf("Create() = %v, want %v", err, blob.ErrExists)
	}
}

// What a store needs is damage where it is missing, and nothing is made in its place.
func TestMissing(t *testing.T) {
	t.Run(catalog.RootsKey, func(t *testing.T) {
		bucket := memblob.New(time.Now)
		s := made(t, bucket)
		remove(t, bucket, catalog.RootsKey)
		if _, err := catalog.ReadRoots(t.Context(), bucket, s); !errors.Is(err, commitlog.ErrDamaged) {
			t.Errorf("ReadRoots() = %v, want %v", err, commitlog.ErrDamaged)
		}
		if _, err := bucket.Get(t.Context(), catalog.RootsKey); !errors.Is(err, blob.ErrNotExist) {
			t.Errorf("Get(%s) = %v, want %v", catalog.RootsKey, err, blob.ErrNotExist)
		}
	})
	t.Run(catalog.StoreKey, func(t *testing.T) {
		bucket := memblob.New(time.Now)
		s := made(t, bucket)
		for _, key := range []string{catalog.Prefix(s.Branch, 0) + "/manifest", catalog.Prefix(s.Branch, 0) + "/log/1"} {
			if _, err := bucket.Put(t.Context(), key, []byte("x"), blob.IfAbsent()); err != nil {
				t.Fatal(err)
			}
		}
		remove(t, bucket, catalog.StoreKey)
		if _, err := catalog.Read(t.Context(), bucket); !errors.Is(err, commitlog.ErrDamaged) || errors.Is(err, catalog.ErrNoStore) {
			t.Errorf("Read() = %v, want %v", err, commitlog.ErrDamaged)
		}
	})
}

func remove(t *testing.T, bucket blob.Bucket, key string) {
	t.Helper()
	if err := bucket.Delete(t.Context(), key); err != nil {
		t.Fatal(err)
	}
}

func TestCreateRefused(t *testing.T) {
	for fault, want := range map[blobtest.Fault]error{
		blobtest.Denied: blob.ErrDenied, blobtest.Full: blob.ErrNotStored, blobtest.NotStored: blob.ErrUnknownOutcome,
	} {
		each(t, []blobtest.Fault{fault}, func(t *testing.T, fault blobtest.Fault, f *blobtest.Faults) {
			f.Decide(func(c blobtest.Call) blobtest.Fault {
				if c.Op == blobtest.Put {
					return fault
				}
				return blobtest.None
			})
			if err := catalog.Create(t.Context(), f, newStore(t)); !errors.Is(err, want) {
				t.Errorf("Create() = %v, want %v", err, want)
			}
			if _, err := catalog.Read(t.Context(), f); !errors.Is(err, catalog.ErrNoStore) {
				t.Errorf("Read() = %v, want %v", err, catalog.ErrNoStore)
			}
		})
	}
}

// pinned are the roots with one pin more.
func pinned(r *catalog.Roots, name string) catalog.Roots {
	next := *r
	next.Pins = append(next.Pins[:len(next.Pins):len(next.Pins)], catalog.Pin{Name: name})
	return next
}

func TestSwapRoots(t *testing.T) {
	each(t, append(unclear, blobtest.None), func(t *testing.T, fault blobtest.Fault, f *blobtest.Faults) {
		s := made(t, f)
		old, err := catalog.ReadRoots(t.Context(), f, s)
		if err != nil {
			t.Fatal(err)
		}
		firstPut(f, fault, nothing)
		swapped, err := catalog.SwapRoots(t.Context(), f, old, pinned(old, "a"))
		if err != nil {
			t.Fatalf("SwapRoots() = %v", err)
		}
		f.Decide(nil)
		f.Release()
		read, err := catalog.ReadRoots(t.Context(), f, s)
		if err != nil || len(read.Pins) != 1 || read.ETag != swapped.ETag || read.Nonce == old.Nonce {
			t.Errorf("ReadRoots() = %+v, %v", read, err)
		}
		if _, err := catalog.SwapRoots(t.Context(), f, old, pinned(old, "b")); !errors.Is(err, blob.ErrLostSwap) {
			t.Errorf("SwapRoots() = %v, want %v", err, blob.ErrLostSwap)
		}
		if _, err := catalog.SwapRoots(t.Context(), f, swapped, *swapped); err != nil {
			t.Errorf("SwapRoots() = %v, to the same content under a new nonce", err)
		}
	})
}

// Somebody swaps between our unclear Put and the look at what came of it. Whether ours
// was there for a while or never, it is the past.
func TestSwapRootsOvertaken(t *testing.T) {
	each(t, unclear, func(t *testing.T, fault blobtest.Fault, f *blobtest.Faults) {
		s := made(t, f)
		old, err := catalog.ReadRoots(t.Context(), f, s)
		if err != nil {
			t.Fatal(err)
		}
		firstPut(f, fault, func() {
			now, err := catalog.ReadRoots(t.Context(), f, s)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := catalog.SwapRoots(t.Context(), f, now, pinned(now, "theirs")); err != nil {
				t.Fatal(err)
			}
		})
		if _, err := catalog.SwapRoots(t.Context(), f, old, pinned(old, "ours")); !errors.Is(err, blob.ErrLostSwap) {
			t.Errorf("SwapRoots() = %v, want %v", err, blob.ErrLostSwap)
		}
		f.Release()
		read, err := catalog.ReadRoots(t.Context(), f, s)
		if err != nil || read.Pins[len(read.Pins)-1].Name != "theirs" {
			t.Errorf("ReadRoots() = %+v, %v, want theirs to stand", read, err)
		}
	})
}

func TestSwapRootsUnclear(t *testing.T) {
	each(t, unclear, func(t *testing.T, fault blobtest.Fault, f *blobtest.Faults) {
		if fault == blobtest.LostReply {
			return // it is there to be read back
		}
		s := made(t, f)
		old, err := catalog.ReadRoots(t.Context(), f, s)
		if err != nil {
			t.Fatal(err)
		}
		f.Decide(func(c blobtest.Call) blobtest.Fault {
			if c.Op == blobtest.Put {
				return fault
			}
			return blobtest.None
		})
		if _, err := catalog.SwapRoots(t.Context(), f, old, pinned(old, "a")); !errors.Is(err, blob.ErrUnknownOutcome) {
			t.Errorf("SwapRoots() = %v, want %v", err, blob.ErrUnknownOutcome)
		}
	})
}

// A field of a newer release would be lost at the next swap.
func TestRootsOfANewerRelease(t *testing.T) {
	bucket := memblob.New(time.Now)
	body := []byte(`{"format":1,"store":"s","nonce":"n","branches":[],"pins":[],"leases":[]}`)
	if _, err := bucket.Put(t.Context(), catalog.RootsKey, body, blob.IfAbsent()); err != nil {
		t.Fatal(err)
	}
	if _, err := catalog.ReadRoots(t.Context(), bucket, newStore(t)); !errors.Is(err, commitlog.ErrUnknownFormat) {
		t.Errorf("ReadRoots() = %v, want %v", err, commitlog.ErrUnknownFormat)
	}
}

func TestPartitionOf(t *testing.T) {
	for _, n := range []int{1, 3, 16, catalog.MaxPartitions} {
		s, err := catalog.New(n)
		if err != nil {
			t.Fatal(err)
		}
		if s.Partitions() != n || s.PartitionOf(0) != 0 || s.PartitionOf(1<<16-1) != n-1 {
			t.Errorf("New(%d) has %d partitions", n, s.Partitions())
		}
		for _, r := range s.Slots {
			if s.PartitionOf(r.From) != r.Partition || s.PartitionOf(r.To) != r.Partition {
				t.Errorf("slots %d to %d are not in partition %d", r.From, r.To, r.Partition)
			}
		}
	}
	for _, n := range []int{0, -1, catalog.MaxPartitions + 1} {
		if _, err := catalog.New(n); err == nil {
			t.Errorf("New(%d) was taken", n)
		}
	}
}
