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
	"github.com/bobbindb/bobbin/shared/blob/memblob"
)

const prefix = "branches/main-1/p000"

var (
	genesis = Genesis("store", 0)
	epoch   = time.Unix(1_700_000_000, 0)
)

// commitAfter makes an encoded commit of one op with a value of some bytes.
func commitAfter(prev *Commit, size int, nonce byte) *Commit {
	c := &Commit{Seq: 1, Time: 1, Prev: genesis, Nonce: Nonce{nonce}, Release: "v1"}
	if prev != nil {
		c.Seq, c.Time, c.Prev = prev.Seq+1, prev.Time+1, prev.Hash()
	}
	c.Ops = []Op{{Kind: OpSet, Key: []byte(c.Seq.String()), Value: make([]byte, size)}}
	c.Encode()
	return c
}

// appendMany appends n commits to a bucket and returns them.
func appendMany(t testing.TB, l *Log, n, size int) []*Commit {
	t.Helper()
	var commits []*Commit
	var prev *Commit
	for range n {
		c := commitAfter(prev, size, 0)
		if _, _, err := l.Append(t.Context(), c); err != nil {
			t.Fatalf("Append(%s) = %v", c.Seq, err)
		}
		commits, prev = append(commits, c), c
	}
	return commits
}

func newBucket() *memblob.Bucket { return memblob.New(func() time.Time { return epoch }) }

func TestAppend(t *testing.T) {
	recorder := blobtest.NewRecorder(newBucket())
	l := New(recorder, prefix)
	c := commitAfter(nil, 10, 0)
	_, date, err := l.Append(t.Context(), c)
	if err != nil || !date.Equal(epoch) {
		t.Fatalf("Append() = %v, %v", date, err)
	}
	if recorder.Count() != 1 || recorder.Count(blobtest.Put) != 1 {
		t.Errorf("an uncontended Append made %d calls, want 1 Put", recorder.Count())
	}
	if want := []string{prefix + "/log/00000000000000000001"}; !slices.Equal(recorder.Stored(), want) {
		t.Errorf("stored %v, want %v", recorder.Stored(), want)
	}
	got, carried, date, err := l.Get(t.Context(), 1)
	if err != nil || got.Hash() != c.Hash() || len(carried) != 0 || !date.Equal(epoch) {
		t.Errorf("Get() = %+v, %d, %v, %v", got, len(carried), date, err)
	}
	if _, _, date, err := l.Get(t.Context(), 2); !errors.Is(err, blob.ErrNotExist) || !date.Equal(epoch) {
		t.Errorf("Get(2) = %v, %v, want ErrNotExist and a date", date, err)
	}
}

// An Append of which some calls fail ends as the table says, and a commit that was
// acknowledged is there.
func TestAppendOutcomes(t *testing.T) {
	const ours, theirs, nobody = "ours", "theirs", "nobody"
	type call struct {
		op blobtest.Op
		n  int // of this op, from 1
	}
	always := func(f blobtest.Fault) map[call]blobtest.Fault {
		faults := map[call]blobtest.Fault{}
		for n := range 1000 {
			faults[call{blobtest.Put, n + 1}] = f
		}
		return faults
	}
	for _, tt := range []struct {
		name    string
		faults  map[call]blobtest.Fault
		rival   int // creates the number before this Put, 0 for never
		gone    bool
		want    []error // nil for success
		there   string
		puts    int // 0 for "until the deadline"
		seconds float64
	}{
		{name: "stored", there: ours, puts: 1},
		{name: "not stored", faults: map[call]blobtest.Fault{{blobtest.Put, 1}: blobtest.NotStored}, there: ours, puts: 2},
		{name: "reply lost", faults: map[call]blobtest.Fault{{blobtest.Put, 1}: blobtest.LostReply}, there: ours, puts: 1},
		{name: "reply lost and so is that of the read", faults: map[call]blobtest.Fault{
			{blobtest.Put, 1}: blobtest.LostReply, {blobtest.Get, 1}: blobtest.LostReply}, there: ours, puts: 2},
		{name: "409", faults: map[call]blobtest.Fault{{blobtest.Put, 1}: blobtest.Conflict409}, there: ours, puts: 2},
		{name: "409 and then lost", faults: map[call]blobtest.Fault{{blobtest.Put, 1}: blobtest.Conflict409}, rival: 2,
			want: []error{ErrLost}, there: theirs, puts: 2},
		{name: "503", faults: map[call]blobtest.Fault{{blobtest.Put, 1}: blobtest.Unavailable503,
			{blobtest.Put, 2}: blobtest.Unavailable503}, there: ours, puts: 3},
		{name: "delayed, tried again", faults: map[call]blobtest.Fault{{blobtest.Put, 1}: blobtest.Delayed}, there: ours, puts: 2},
		{name: "lost", rival: 1, want: []error{ErrLost}, there: theirs, puts: 1},
		{name: "lost, unclear at first", faults: map[call]blobtest.Fault{{blobtest.Get, 1}: blobtest.PartialRead}, rival: 1,
			want: []error{ErrLost}, there: theirs, puts: 2},
		{name: "lost to what went since", rival: 1, gone: true, want: []error{ErrBehind}, there: nobody, puts: 1},
		{name: "denied", faults: always(blobtest.Denied), want: []error{blob.ErrDenied}, there: nobody, puts: 1},
		{name: "full", faults: always(blobtest.Full), want: []error{blob.ErrNotStored}, there: nobody, puts: 1},
		{name: "reply lost, then denied", faults: map[call]blobtest.Fault{{blobtest.Put, 1}: blobtest.LostReply,
			{blobtest.Get, 1}: blobtest.Unavailable503, {blobtest.Put, 2}: blobtest.Denied}, there: ours, puts: 2},
		{name: "never stored", faults: always(blobtest.NotStored), want: []error{ErrUnknown, blob.ErrUnavailable}, there: nobody},
		{name: "delayed past the deadline", faults: always(blobtest.Delayed), want: []error{ErrUnknown, blob.ErrUnavailable}, there: nobody},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				inner := newBucket()
				rival := commitAfter(nil, 10, 9)
				key := New(inner, prefix).Key(1)
				var mu sync.Mutex
				count := map[blobtest.Op]int{}
				bucket := blobtest.NewFaults(inner, func(c blobtest.Call) blobtest.Fault {
					mu.Lock()
					defer mu.Unlock()
					count[c.Op]++
					if n := count[c.Op]; c.Op == blobtest.Put && n == tt.rival {
						if _, err := inner.Put(t.Context(), key, encodeObject(rival.core, nil), blob.IfAbsent()); err != nil {
							t.Errorf("rival: %v", err)
						}
					}
					if c.Op == blobtest.Get && tt.gone {
						_ = inner.Delete(t.Context(), key)
					}
					return tt.faults[call{c.Op, count[c.Op]}]
				})
				ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
				defer cancel()
				began := time.Now()
				ours1 := commitAfter(nil, 10, 1)
				winner, date, err := New(bucket, prefix).Append(ctx, ours1)
				if len(tt.want) == 0 && err != nil {
					t.Errorf("Append() = %v", err)
				}
				for _, want := range tt.want {
					if !errors.Is(err, want) {
						t.Errorf("Append() = %v, want %v", err, want)
					}
				}
				if (winner != nil) != errors.Is(err, ErrLost) || winner != nil && winner.Hash() != rival.Hash() {
					t.Errorf("Append() = winner %+v with %v", winner, err)
				}
				if (err == nil || errors.Is(err, ErrLost) || errors.Is(err, ErrBehind)) && !date.Equal(epoch) {
					t.Errorf("Append() has date %v, want that of the bucket", date)
				}
				if tt.puts != 0 && count[blobtest.Put] != tt.puts {
					t.Errorf("Append() made %d Puts, want %d", count[blobtest.Put], tt.puts)
				}
				if tt.puts == 0 && (count[blobtest.Put] > 40 || time.Since(began) != 20*time.Second) {
					t.Errorf("Append() made %d Puts in %v, want at most 40 in 20 s", count[blobtest.Put], time.Since(began))
				}
				got := nobody
				switch found, _, _, err := New(inner, prefix).Get(t.Context(), 1); {
				case err == nil && found.Hash() == ours1.Hash():
					got = ours
				case err == nil:
					got = theirs
				}
				if got != tt.there {
					t.Errorf("the number holds the commit of %s, want %s", got, tt.there)
				}
				bucket.Decide(nil)
				bucket.Release()
				if found, _, _, err := New(inner, prefix).Get(t.Context(), 1); tt.there == ours && (err != nil || found.Hash() != ours1.Hash()) {
					t.Errorf("after what was delayed the number holds %+v, %v", found, err)
				}
			})
		})
	}
}

// A commit that lands after its deadline is a commit like any other, and is never taken
// for that of the next batch.
func TestAppendLandsLate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		bucket := blobtest.NewFaults(newBucket(), func(c blobtest.Call) blobtest.Fault {
			if c.Op == blobtest.Put {
				return blobtest.Delayed
			}
			return blobtest.None
		})
		l := New(bucket, prefix)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		first := commitAfter(nil, 10, 1)
		if _, _, err := l.Append(ctx, first); !errors.Is(err, ErrUnknown) {
			t.Fatalf("Append() = %v, want ErrUnknown", err)
		}
		bucket.Decide(nil)
		bucket.Release(0)
		winner, _, err := l.Append(t.Context(), commitAfter(nil, 10, 2))
		if !errors.Is(err, ErrLost) || winner == nil || winner.Hash() != first.Hash() {
			t.Fatalf("Append() of the next batch = %+v, %v, want ErrLost to the first", winner, err)
		}
		second := commitAfter(winner, 10, 2)
		if _, _, err := l.Append(t.Context(), second); err != nil {
			t.Fatalf("Append() = %v", err)
		}
		bucket.Release()
		tail, err := l.Tail(t.Context(), 0, genesis)
		if err != nil || len(tail.Commits) != 2 || tail.Commits[1].Hash() != second.Hash() {
			t.Errorf("Tail() = %+v, %v", tail, err)
		}
	})
}

func TestAppendEndedContext(t *testing.T) {
	recorder := blobtest.NewRecorder(newBucket())
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, _, err := New(recorder, prefix).Append(ctx, commitAfter(nil, 1, 0))
	if !errors.Is(err, context.Canceled) || errors.Is(err, ErrUnknown) {
		t.Errorf("Append() = %v, want that of the context only", err)
	}
	if recorder.Count() != 0 {
		t.Errorf("Append() made %d calls, want none", recorder.Count())
	}
	if _, err := New(recorder, prefix).Tail(ctx, 0, genesis); !errors.Is(err, context.Canceled) {
		t.Errorf("Tail() = %v, want that of the context", err)
	}
}

func TestAppendTooLarge(t *testing.T) {
	recorder := blobtest.NewRecorder(newBucket())
	if _, _, err := New(recorder, prefix).Append(t.Context(), commitAfter(nil, maxCore, 0)); !errors.Is(err, ErrTooLarge) {
		t.Errorf("Append() = %v, want ErrTooLarge", err)
	}
	if recorder.Count() != 0 {
		t.Errorf("Append() made %d calls, want none", recorder.Count())
	}
}

func TestAppendDamaged(t *testing.T) {
	bucket := newBucket()
	l := New(bucket, prefix)
	if _, err := bucket.Put(t.Context(), l.Key(1), []byte("junk"), blob.IfAbsent()); err != nil {
		t.Fatal(err)
	}
	if _, _, err := l.Append(t.Context(), commitAfter(nil, 1, 0)); !errors.Is(err, ErrDamaged) {
		t.Errorf("Append() = %v, want ErrDamaged", err)
	}
}

// Of fifty processes that race for every number exactly one gets it.
func TestAppendRace(t *testing.T) {
	const racers, rounds = 50, 20
	bucket := newBucket()
	won := make([][]Hash, racers)
	var group sync.WaitGroup
	for i := range racers {
		group.Go(func() {
			l := New(bucket, prefix)
			var last *Commit
			for n := 0; n < rounds; {
				c := commitAfter(last, 10, byte(i))
				winner, _, err := l.Append(t.Context(), c)
				switch {
				case err == nil:
					won[i] = append(won[i], c.Hash())
					last = c
				case errors.Is(err, ErrLost):
					last = winner
				default:
					t.Errorf("Append() = %v", err)
					return
				}
				n++
			}
		})
	}
	group.Wait()
	tail, err := New(bucket, prefix).Tail(t.Context(), 0, genesis)
	if err != nil || len(tail.Commits) != rounds {
		t.Fatalf("Tail() = %d commits, %v, want %d", len(tail.Commits), err, rounds)
	}
	all := slices.Concat(won...)
	if len(all) != rounds {
		t.Errorf("%d Appends were acknowledged for %d numbers", len(all), rounds)
	}
	for _, c := range tail.Commits {
		if !slices.Contains(all, c.Hash()) {
			t.Errorf("commit %s was acknowledged to nobody", c.Seq)
		}
	}
}

// A commit carries its predecessors in its block, newest first, up to 64 KB.
func TestCarry(t *testing.T) {
	for _, tt := range []struct{ size, seq, want int }{
		{100, 1, 0}, {100, 2, 1}, {100, 15, 14}, {100, 16, 0}, {100, 17, 1}, {100, 31, 15},
		{10_000, 15, 6}, {70_000, 15, 0},
	} {
		t.Run(fmt.Sprintf("%d bytes, seq %d", tt.size, tt.seq), func(t *testing.T) {
			l := New(newBucket(), prefix)
			commits := appendMany(t, l, tt.seq, tt.size)
			_, carried, _, err := l.Get(t.Context(), Seq(tt.seq))
			if err != nil || len(carried) != tt.want {
				t.Fatalf("Get() = %d carried, %v, want %d", len(carried), err, tt.want)
			}
			for i, c := range carried {
				if want := commits[tt.seq-2-i]; c.Hash() != want.Hash() {
					t.Errorf("carried %d is %s, want %s", i, c.Seq, want.Seq)
				}
			}
		})
	}
}

// What a process remembers of a branch of history that lost is never carried.
func TestCarryOnlyWhatChains(t *testing.T) {
	l := New(newBucket(), prefix)
	loser := commitAfter(nil, 10, 1)
	l.Remember(loser)
	first := commitAfter(nil, 10, 2)
	second := commitAfter(first, 10, 2)
	if got := l.carry(second); len(got) != 0 {
		t.Errorf("carry() = %d commits, want none", len(got))
	}
	l.Remember(first)
	l.Remember(commitAfter(&Commit{Seq: 16, hash: Hash{1}}, 10, 1)) // seq 17 takes the place of seq 1
	if got := l.carry(second); len(got) != 0 {
		t.Errorf("carry() = %d commits, want none", len(got))
	}
}
