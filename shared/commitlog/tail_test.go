package commitlog

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/bobbindb/bobbin/shared/blob"
	"github.com/bobbindb/bobbin/shared/blob/blobtest"
	"github.com/bobbindb/bobbin/shared/blob/fileblob"
)

func sameCommits(got, want []*Commit) bool {
	return slices.EqualFunc(got, want, func(a, b *Commit) bool { return a.Seq == b.Seq && a.Hash() == b.Hash() })
}

// roundTrip is how long a request takes on the bucket of readTail.
const roundTrip = time.Second

// readTail reads a tail from a bucket at a distance and returns how many requests it
// took, in how many rounds.
func readTail(t *testing.T, inner blob.Bucket, after Seq, hash Hash) (tail Tail, requests, rounds int) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		recorder := blobtest.NewRecorder(inner)
		began := time.Now()
		var err error
		tail, err = New(blobtest.NewLatency(recorder, blobtest.LatencyOptions{Get: roundTrip}), prefix).Tail(t.Context(), after, hash)
		if err != nil {
			t.Fatalf("Tail(%s) = %v", after, err)
		}
		requests, rounds = recorder.Count(), int(time.Since(began)/roundTrip)
		if recorder.Count(blobtest.Get) != requests {
			t.Errorf("Tail(%s) made calls that are not Gets", after)
		}
	})
	return tail, requests, rounds
}

// What a cold reader pays is behaviour.
func TestTailCost(t *testing.T) {
	for _, tt := range []struct{ commits, size, requests, rounds int }{
		{0, 1 << 10, 5, 1},
		{1, 1 << 10, 9, 2},
		{2, 1 << 10, 11, 3},
		{15, 1 << 10, 9, 2},
		{16, 1 << 10, 11, 3},
		{17, 1 << 10, 11, 3},
		{47, 1 << 10, 9, 2},
		{63, 1 << 10, 12, 2},
		{64, 1 << 10, 14, 3},
		{70, 1 << 10, 15, 3},
		{79, 1 << 10, 16, 3},
		{200, 1 << 10, 37, 5},
		{1000, 1 << 10, 91, 8},
		{64, 10 << 10, 21, 3},
		{64, 64 << 10, 72, 3},
		{4, 1 << 20, 11, 3},
	} {
		t.Run(fmt.Sprintf("%d commits of %d bytes", tt.commits, tt.size), func(t *testing.T) {
			bucket := newBucket()
			want := appendMany(t, New(bucket, prefix), tt.commits, tt.size)
			tail, requests, rounds := readTail(t, bucket, 0, genesis)
			if !sameCommits(tail.Commits, want) || !tail.Date.Equal(epoch) {
				t.Errorf("Tail() = %d commits at %v, want %d", len(tail.Commits), tail.Date, len(want))
			}
			if requests != tt.requests || rounds != tt.rounds {
				t.Errorf("Tail() took %d requests in %d rounds, want %d in %d", requests, rounds, tt.requests, tt.rounds)
			}
		})
	}
}

// Every tail from everywhere is read whole, in a bounded number of rounds.
func TestTailEverywhere(t *testing.T) {
	bucket := newBucket()
	l := New(bucket, prefix)
	var commits []*Commit
	var prev *Commit
	for n := range 100 {
		for after, hash := 0, genesis; after <= n; after++ {
			tail, requests, rounds := readTail(t, bucket, Seq(after), hash)
			if !sameCommits(tail.Commits, commits[after:]) {
				t.Fatalf("Tail(%d) of %d = %d commits", after, n, len(tail.Commits))
			}
			if most := 3; n-after <= 64 && rounds > most || rounds > most+1 {
				t.Errorf("Tail(%d) of %d took %d rounds, want at most %d", after, n, rounds, most)
			}
			if after == n && (requests > 5 || rounds != 1) {
				t.Errorf("an empty Tail(%d) took %d requests in %d rounds, want 5 in 1", after, requests, rounds)
			}
			if requests > 19 {
				t.Errorf("Tail(%d) of %d took %d requests, want at most 19", after, n, requests)
			}
			if after < n {
				hash = commits[after].Hash()
			}
		}
		prev = commitAfter(prev, 10, 0)
		if _, _, err := l.Append(t.Context(), prev); err != nil {
			t.Fatal(err)
		}
		commits = append(commits, prev)
	}
}

// A log whose writers each began with nothing at hand carries gaps.
func TestTailFetchesWhatNobodyCarried(t *testing.T) {
	bucket := newBucket()
	var want []*Commit
	var prev *Commit
	var l *Log
	for i := range 60 {
		if i%5 == 0 {
			l = New(bucket, prefix)
		}
		prev = commitAfter(prev, 10, 0)
		if _, _, err := l.Append(t.Context(), prev); err != nil {
			t.Fatal(err)
		}
		want = append(want, prev)
	}
	tail, requests, rounds := readTail(t, bucket, 0, genesis)
	if !sameCommits(tail.Commits, want) {
		t.Errorf("Tail() = %d commits, want %d", len(tail.Commits), len(want))
	}
	if requests > 46 || rounds > 3 {
		t.Errorf("Tail() took %d requests in %d rounds, want at most 46 in 3", requests, rounds)
	}
}

func TestTailOnFolder(t *testing.T) {
	bucket, err := fileblob.Open(t.TempDir(), fileblob.Options{Now: func() time.Time { return epoch }})
	if err != nil {
		t.Fatal(err)
	}
	defer bucket.Close()
	recorder := blobtest.NewFolderRecorder(bucket)
	l := New(recorder, prefix)
	want := appendMany(t, l, 20, 10)
	for _, c := range recorder.Calls() {
		if c.Bytes > 300 {
			t.Errorf("%s has %d bytes: something is carried", c.Key, c.Bytes)
		}
	}
	recorder.Reset()
	tail, err := l.Tail(t.Context(), 0, genesis)
	if err != nil || !sameCommits(tail.Commits, want) {
		t.Errorf("Tail() = %d commits, %v, want %d", len(tail.Commits), err, len(want))
	}
	// What is absent is looked at once more, for the bucket's date.
	if n, absent := recorder.Count(), 1+16+32-20; n != 1+16+32+absent {
		t.Errorf("Tail() made %d calls, want the next, 16 and 32 looks, and %d dated ones", n, absent)
	}
	for _, c := range recorder.Calls() {
		if c.Op == blobtest.Get && c.Err == nil && c.Key != l.Key(1) {
			t.Errorf("Tail() read %s other than in place", c.Key)
		}
	}
	recorder.Reset()
	if tail, err := l.Tail(t.Context(), 20, want[19].Hash()); err != nil || len(tail.Commits) != 0 || recorder.Count() != 1 {
		t.Errorf("an empty Tail() = %d commits, %v in %d calls, want one", len(tail.Commits), err, recorder.Count())
	}
}

func TestTailWrongHash(t *testing.T) {
	bucket := newBucket()
	commits := appendMany(t, New(bucket, prefix), 20, 10)
	for _, tt := range []struct {
		after Seq
		hash  Hash
	}{{0, Hash{}}, {0, Genesis("another store", 0)}, {0, Genesis("store", 1)}, {7, commits[7].Hash()}} {
		if _, err := New(bucket, prefix).Tail(t.Context(), tt.after, tt.hash); !errors.Is(err, ErrDamaged) {
			t.Errorf("Tail(%s, %s) = %v, want ErrDamaged", tt.after, tt.hash, err)
		}
	}
}

// replace stores other bytes under a commit's key.
func replace(t *testing.T, bucket blob.Bucket, seq Seq, body []byte) {
	t.Helper()
	key := New(bucket, prefix).Key(seq)
	if err := bucket.Delete(t.Context(), key); err != nil {
		t.Fatal(err)
	}
	if _, err := bucket.Put(t.Context(), key, body, blob.IfAbsent()); err != nil {
		t.Fatal(err)
	}
}

// What is carried is no part of the log: where it does not chain, the log is read.
func TestTailCarriedDoesNotChain(t *testing.T) {
	bucket := newBucket()
	want := appendMany(t, New(bucket, prefix), 15, 10)
	forged := commitAfter(want[11], 10, 7) // a seq 13 that lost
	replace(t, bucket, 15, encodeObject(want[14].core, [][]byte{want[13].core, forged.core, want[11].core}))
	_, carried, _, err := New(bucket, prefix).Get(t.Context(), 15)
	if err != nil || len(carried) != 1 {
		t.Errorf("Get() = %d carried, %v, want 1", len(carried), err)
	}
	tail, err := New(bucket, prefix).Tail(t.Context(), 0, genesis)
	if err != nil || !sameCommits(tail.Commits, want) {
		t.Errorf("Tail() = %d commits, %v, want %d", len(tail.Commits), err, len(want))
	}
	replace(t, bucket, 15, encodeObject(want[14].core, [][]byte{[]byte("junk")}))
	if tail, err = New(bucket, prefix).Tail(t.Context(), 0, genesis); err != nil || !sameCommits(tail.Commits, want) {
		t.Errorf("Tail() = %d commits, %v, want %d", len(tail.Commits), err, len(want))
	}
}

// A commit in the log that was swapped for another is found out by its successor.
func TestTailSwappedCommit(t *testing.T) {
	bucket := newBucket()
	commits := appendMany(t, New(bucket, prefix), 5, 70_000)
	replace(t, bucket, 3, encodeObject(commitAfter(commits[1], 10, 7).core, nil))
	if _, err := New(bucket, prefix).Tail(t.Context(), 0, genesis); !errors.Is(err, ErrDamaged) {
		t.Errorf("Tail() = %v, want ErrDamaged", err)
	}
	replace(t, bucket, 3, encodeObject(commits[3].core, nil)) // a good commit in another's place
	if _, err := New(bucket, prefix).Tail(t.Context(), 0, genesis); !errors.Is(err, ErrDamaged) {
		t.Errorf("Tail() = %v, want ErrDamaged", err)
	}
}

// Commits that the janitor took, from the oldest on, are never passed over.
func TestTailBehind(t *testing.T) {
	for _, gone := range []Seq{1, 5, 14, 15, 16, 40} {
		bucket := newBucket()
		l := New(bucket, prefix)
		appendMany(t, l, 50, 70_000)
		for seq := Seq(1); seq <= gone; seq++ {
			if err := bucket.Delete(t.Context(), l.Key(seq)); err != nil {
				t.Fatal(err)
			}
		}
		if tail, err := New(bucket, prefix).Tail(t.Context(), 0, genesis); !errors.Is(err, ErrBehind) {
			t.Errorf("Tail() with 1 to %s gone = %d commits, %v, want ErrBehind", gone, len(tail.Commits), err)
		}
	}
}

// The log may grow while it is read, before any request and by any number.
func TestTailGrows(t *testing.T) {
	for step := range 20 {
		t.Run(fmt.Sprintf("%d a request", step+1), func(t *testing.T) {
			inner := newBucket()
			l := New(inner, prefix)
			commits := appendMany(t, l, 3, 10)
			grow := make(chan int, 1)
			grow <- 0
			bucket := blobtest.NewFaults(inner, func(blobtest.Call) blobtest.Fault {
				n := <-grow
				for range step + 1 {
					if n++; n <= 300 {
						c := commitAfter(commits[len(commits)-1], 10, 0)
						if _, _, err := l.Append(context.Background(), c); err != nil {
							t.Errorf("Append() = %v", err)
						}
						commits = append(commits, c)
					}
				}
				grow <- n
				return blobtest.None
			})
			tail, err := New(bucket, prefix).Tail(t.Context(), 0, genesis)
			<-grow
			if err != nil || len(tail.Commits) < 3 || !sameCommits(tail.Commits, commits[:len(tail.Commits)]) {
				t.Errorf("Tail() = %d commits, %v", len(tail.Commits), err)
			}
		})
	}
}

// lateBucket answers about one key, lets the log grow, and only then about any other.
type lateBucket struct {
	blob.Bucket
	first string
	grow  func()
	once  sync.Once
	grown chan struct{}
}

func (b *lateBucket) Get(ctx context.Context, key string) (blob.Object, error) {
	if key != b.first {
		<-b.grown
		return b.Bucket.Get(ctx, key)
	}
	o, err := b.Bucket.Get(ctx, key)
	b.once.Do(func() {
		b.grow()
		close(b.grown)
	})
	return o, err
}

// The next commit is absent, and those after it are there by the time they are asked for.
func TestTailGrowsWithinARound(t *testing.T) {
	for _, n := range []int{1, 14, 15, 16, 40, 60} {
		inner := newBucket()
		l := New(inner, prefix)
		var want []*Commit
		bucket := &lateBucket{Bucket: inner, first: l.Key(1), grown: make(chan struct{})}
		bucket.grow = func() { want = appendMany(t, l, n, 10) }
		tail, err := New(bucket, prefix).Tail(t.Context(), 0, genesis)
		if n < 15 {
			want = nil // only the first answer saw the end of the log
		}
		if err != nil || !sameCommits(tail.Commits, want) {
			t.Errorf("Tail() = %d commits, %v, want %d", len(tail.Commits), err, len(want))
		}
	}
}

// A request that fails makes the whole fail: what was not answered is not absent.
func TestTailFails(t *testing.T) {
	inner := newBucket()
	appendMany(t, New(inner, prefix), 20, 10)
	for _, fault := range []blobtest.Fault{blobtest.Unavailable503, blobtest.Denied, blobtest.PartialRead} {
		for n := 1; ; n++ {
			var failed bool
			bucket := blobtest.NewFaults(inner, func(c blobtest.Call) blobtest.Fault {
				if c.N == n {
					failed = true
					return fault
				}
				return blobtest.None
			})
			tail, err := New(bucket, prefix).Tail(t.Context(), 0, genesis)
			if !failed {
				break
			}
			// A read cut short of an object that is not there is only absent.
			if err == nil && !(fault == blobtest.PartialRead && len(tail.Commits) == 20) {
				t.Errorf("Tail() with %s at request %d = %d commits, want an error", fault, n, len(tail.Commits))
			}
		}
	}
}

// The next commit after a tail carries the commits that were read.
func TestTailRemembers(t *testing.T) {
	bucket := newBucket()
	commits := appendMany(t, New(bucket, prefix), 20, 10)
	l := New(bucket, prefix)
	if _, err := l.Tail(t.Context(), 0, genesis); err != nil {
		t.Fatal(err)
	}
	if got := l.carry(commitAfter(commits[19], 10, 0)); len(got) != 5 {
		t.Errorf("carry() = %d commits, want 16 to 20", len(got))
	}
}
