package checkpoint_test

import (
	"context"
	"errors"
	"flag"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/bobbindb/bobbin/shared/blob"
	"github.com/bobbindb/bobbin/shared/blob/blobtest"
	"github.com/bobbindb/bobbin/shared/blob/fileblob"
	"github.com/bobbindb/bobbin/shared/blob/memblob"
	"github.com/bobbindb/bobbin/shared/checkpoint"
	"github.com/bobbindb/bobbin/shared/commitlog"
)

const prefix = "branches/main-7f3k2q/p003"

var update = flag.Bool("update", false, "write golden files anew")

func emptyManifest() checkpoint.Manifest {
	return checkpoint.Manifest{
		Store:     "st-1",
		Branch:    "main-7f3k2q",
		Partition: 3,
		Hash:      commitlog.Genesis("st-1", 3),
		Formats:   checkpoint.FormatRange{Min: 1, Max: 1},
		Written:   1790000000000000000,
		Release:   "0.1.0",
	}
}

func create(t *testing.T, bucket blob.Bucket) *checkpoint.Manifest {
	t.Helper()
	m, err := checkpoint.Create(t.Context(), bucket, prefix, emptyManifest())
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// at is m as it would be once a checkpoint at seq is made.
func at(m *checkpoint.Manifest, seq commitlog.Seq) checkpoint.Manifest {
	next := *m
	next.Seq = seq
	next.Hash = commitlog.Hash{byte(seq)}
	next.Time = int64(seq) * int64(time.Minute)
	next.Checkpoint = checkpoint.ObjectKey(prefix, seq, "n")
	return next
}

func TestManifestGolden(t *testing.T) {
	bucket := memblob.New(time.Now)
	m := create(t, bucket)
	next := at(m, 130)
	next.Floor, next.Tables, next.TableBytes, next.ObjectBytes = 64, 2, 5<<20, 4711
	next.History = []checkpoint.Past{{Hash: m.Hash}, {Key: checkpoint.ObjectKey(prefix, 64, "m"), Seq: 64, Time: 64, Hash: commitlog.Hash{64}}}
	m, err := checkpoint.Swap(t.Context(), bucket, prefix, m, next)
	if err != nil {
		t.Fatal(err)
	}
	object, err := bucket.Get(t.Context(), checkpoint.ManifestKey(prefix))
	if err != nil {
		t.Fatal(err)
	}
	got := strings.Replace(string(object.Body), m.Nonce, "NONCE", 1)
	golden(t, "manifest-1.json", []byte(got))

	again, err := checkpoint.Read(t.Context(), bucket, prefix)
	if err != nil {
		t.Fatal(err)
	}
	if again.Nonce != m.Nonce || again.Generation != 2 || again.Floor != 64 || again.ETag != m.ETag || !slices.Equal(again.History, next.History) {
		t.Errorf("Read() = %+v, want %+v", again, m)
	}
}

func golden(t *testing.T, name string, got []byte) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(path, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if string(got) != string(want) {
		t.Errorf("%s: got\n%s\nwant\n%s", name, got, want)
	}
}

func TestReadRefuses(t *testing.T) {
	for name, test := range map[string]struct {
		body string
		want error
	}{
		"missing":          {"", checkpoint.ErrGone},
		"newer format":     {`{"format":2,"seq":"a word"}`, commitlog.ErrUnknownFormat},
		"no format":        {`{"seq":5}`, commitlog.ErrUnknownFormat},
		"unknown field":    {`{"format":1,"seq":5,"lease":1}`, commitlog.ErrUnknownFormat},
		"unknown in past":  {`{"format":1,"history":[{"key":"a","lease":1}]}`, commitlog.ErrUnknownFormat},
		"not JSON":         {`{"format":1`, commitlog.ErrDamaged},
		"wrong field type": {`{"format":1,"seq":"a word"}`, commitlog.ErrDamaged},
	} {
		t.Run(name, func(t *testing.T) {
			bucket := memblob.New(time.Now)
			if test.body != "" {
				if _, err := bucket.Put(t.Context(), checkpoint.ManifestKey(prefix), []byte(test.body), blob.IfAbsent()); err != nil {
					t.Fatal(err)
				}
			}
			if _, err := checkpoint.Read(t.Context(), bucket, prefix); !errors.Is(err, test.want) {
				t.Errorf("Read() = %v, want %v", err, test.want)
			}
		})
	}
}

func TestCreateTwice(t *testing.T) {
	bucket := memblob.New(time.Now)
	create(t, bucket)
	if _, err := checkpoint.Create(t.Context(), bucket, prefix, emptyManifest()); !errors.Is(err, blob.ErrExists) {
		t.Errorf("second Create() = %v, want %v", err, blob.ErrExists)
	}
}

func TestSwapRefuses(t *testing.T) {
	bucket := blobtest.NewRecorder(memblob.New(time.Now))
	first := at(create(t, bucket), 100)
	first.Floor = 50
	m, err := checkpoint.Swap(t.Context(), bucket, prefix, readManifest(t, bucket), first)
	if err != nil {
		t.Fatal(err)
	}
	bucket.Reset()
	for name, change := range map[string]func(*checkpoint.Manifest){
		"lower seq":          func(n *checkpoint.Manifest) { *n = at(n, 99) },
		"lower floor":        func(n *checkpoint.Manifest) { n.Floor = 49 },
		"floor over seq":     func(n *checkpoint.Manifest) { n.Floor = 101 },
		"no checkpoint":      func(n *checkpoint.Manifest) { n.Checkpoint = "" },
		"another hash":       func(n *checkpoint.Manifest) { n.Hash[0]++ },
		"another time":       func(n *checkpoint.Manifest) { n.Time++ },
		"another store":      func(n *checkpoint.Manifest) { n.Store = "st-2" },
		"another branch":     func(n *checkpoint.Manifest) { n.Branch = "dev-1" },
		"another partition":  func(n *checkpoint.Manifest) { n.Partition = 4 },
		"everything back to": func(n *checkpoint.Manifest) { *n = emptyManifest() },
	} {
		t.Run(name, func(t *testing.T) {
			next := *m
			change(&next)
			if _, err := checkpoint.Swap(t.Context(), bucket, prefix, m, next); !errors.Is(err, checkpoint.ErrRefused) {
				t.Errorf("Swap() = %v, want %v", err, checkpoint.ErrRefused)
			}
		})
	}
	if n := bucket.Count(); n != 0 {
		t.Errorf("refused swaps made %d calls, want 0", n)
	}
}

// readManifest reads the manifest that is stored.
func readManifest(t *testing.T, bucket blob.Bucket) *checkpoint.Manifest {
	t.Helper()
	m, err := checkpoint.Read(t.Context(), bucket, prefix)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func TestSwapForTheSame(t *testing.T) {
	bucket := memblob.New(time.Now)
	m := create(t, bucket)
	next, err := checkpoint.Swap(t.Context(), bucket, prefix, m, *m)
	if err != nil {
		t.Fatal(err)
	}
	if next.Nonce == m.Nonce || next.Generation != m.Generation+1 || next.ETag == m.ETag {
		t.Errorf("Swap() = %+v, want another nonce, tag and generation than %+v", next, m)
	}
	won, err := checkpoint.Swap(t.Context(), bucket, prefix, m, at(m, 7))
	if !errors.Is(err, blob.ErrLostSwap) || won == nil || won.Nonce != next.Nonce {
		t.Errorf("Swap() on the old version = %v, %v, want the winner and %v", won, err, blob.ErrLostSwap)
	}
}

// Every swap fails at every call it makes, in every way, and is then settled: it says
// success only if it is stored, and that it lost only if it never will be.
func TestSwapFaults(t *testing.T) {
	faults := []blobtest.Fault{blobtest.NotStored, blobtest.LostReply, blobtest.Delayed, blobtest.Conflict409,
		blobtest.Unavailable503, blobtest.PartialRead, blobtest.Denied, blobtest.Full}
	for _, fault := range faults {
		for _, from := range []int{1, 2, 3} {
			for _, times := range []int{1, 2, 1000} {
				synctest.Test(t, func(t *testing.T) { testSwapFault(t, fault, from, times) })
			}
		}
	}
}

// testSwapFault lets the calls from number from on fail, as many as times says.
func testSwapFault(t *testing.T, fault blobtest.Fault, from, times int) {
	inner := memblob.New(time.Now)
	m := create(t, inner)
	n := 0
	bucket := blobtest.NewFaults(inner, func(blobtest.Call) blobtest.Fault {
		n++
		if n < from || n >= from+times {
			return blobtest.None
		}
		return fault
	})
	next, err := checkpoint.Swap(t.Context(), bucket, prefix, m, at(m, 5))
	stored := readManifest(t, inner)
	bucket.Release()
	later := readManifest(t, inner)
	switch {
	case err == nil && (next.Nonce != stored.Nonce || later.ETag != next.ETag):
		t.Errorf("%v from call %d, %d times: Swap() succeeded with generation %d, stored is %d", fault, from, times, next.Generation, stored.Generation)
	case errors.Is(err, blob.ErrUnknownOutcome):
	case err != nil && later.Seq != 0:
		t.Errorf("%v from call %d, %d times: Swap() = %v, which is definite, but it was stored", fault, from, times, err)
	}
	if times == 1 && fault != blobtest.Denied && fault != blobtest.Full && err != nil {
		t.Errorf("%v at call %d: Swap() = %v, want success", fault, from, err)
	}
}

func TestCreateLostReply(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		inner := memblob.New(time.Now)
		bucket := blobtest.NewFaults(inner, func(call blobtest.Call) blobtest.Fault {
			if call.N == 1 {
				return blobtest.LostReply
			}
			return blobtest.None
		})
		m, err := checkpoint.Create(t.Context(), bucket, prefix, emptyManifest())
		if err != nil || m.Nonce != readManifest(t, inner).Nonce {
			t.Errorf("Create() = %+v, %v, want what is stored", m, err)
		}
	})
}

func TestSwapOfAGoneBranch(t *testing.T) {
	bucket := memblob.New(time.Now)
	m := create(t, bucket)
	if err := bucket.Delete(t.Context(), checkpoint.ManifestKey(prefix)); err != nil {
		t.Fatal(err)
	}
	if _, err := checkpoint.Swap(t.Context(), bucket, prefix, m, at(m, 5)); !errors.Is(err, checkpoint.ErrGone) {
		t.Errorf("Swap() = %v, want %v", err, checkpoint.ErrGone)
	}
}

func TestSwapRace(t *testing.T) {
	bucket := memblob.New(time.Now)
	m := create(t, bucket)
	var won, lost atomic.Int32
	var racers sync.WaitGroup
	for i := range 20 {
		racers.Go(func() {
			_, err := checkpoint.Swap(context.Background(), bucket, prefix, m, at(m, commitlog.Seq(i+1)))
			switch {
			case err == nil:
				won.Add(1)
			case errors.Is(err, blob.ErrLostSwap):
				lost.Add(1)
			default:
				t.Errorf("Swap() = %v", err)
			}
		})
	}
	racers.Wait()
	if won.Load() != 1 || lost.Load() != 19 {
		t.Errorf("%d swaps won and %d lost, want 1 and 19", won.Load(), lost.Load())
	}
	if got := readManifest(t, bucket).Generation; got != 2 {
		t.Errorf("generation is %d, want 2", got)
	}
}

func TestRereadOnAFolder(t *testing.T) {
	inner, err := fileblob.Open(t.TempDir(), fileblob.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer inner.Close()
	bucket := blobtest.NewFolderRecorder(inner)
	create(t, bucket)
	m := readManifest(t, bucket)
	bucket.Reset()
	again, err := checkpoint.Reread(t.Context(), bucket, prefix, m)
	if err != nil || again != m {
		t.Errorf("Reread() = %v, %v, want the same manifest", again, err)
	}
	if n := bucket.Count(blobtest.Get); n != 0 {
		t.Errorf("Reread() of an unchanged manifest made %d gets, want 0", n)
	}
	next, err := checkpoint.Swap(t.Context(), bucket, prefix, m, at(m, 9))
	if err != nil {
		t.Fatal(err)
	}
	if again, err = checkpoint.Reread(t.Context(), bucket, prefix, m); err != nil || again.Nonce != next.Nonce {
		t.Errorf("Reread() = %v, %v, want generation %d", again, err, next.Generation)
	}
}

func TestThin(t *testing.T) {
	hour := func(h float64) int64 { return int64(h * float64(time.Hour)) }
	past := func(seq commitlog.Seq, h float64) checkpoint.Past {
		return checkpoint.Past{Key: checkpoint.ObjectKey(prefix, seq, "n"), Seq: seq, Time: hour(h)}
	}
	empty := checkpoint.Past{}
	for _, test := range []struct {
		name    string
		history []checkpoint.Past
		current checkpoint.Past
		next    checkpoint.Past
		now     float64
		want    []commitlog.Seq
	}{
		{"first checkpoint keeps the empty store", nil, empty, past(10, 100.5), 101, []commitlog.Seq{0}},
		{"same hour replaces", []checkpoint.Past{empty}, past(10, 100.1), past(20, 100.9), 101, []commitlog.Seq{0}},
		{"another hour keeps", []checkpoint.Past{empty}, past(10, 100.9), past(20, 101.1), 101.2, []commitlog.Seq{0, 10}},
		{"newest below the window stays, older go", []checkpoint.Past{empty, past(1, 90), past(2, 91), past(3, 99)}, past(4, 100), past(5, 101), 102, []commitlog.Seq{2, 3, 4}},
		{"at the edge of the window is below it", []checkpoint.Past{past(1, 91), past(2, 92)}, past(4, 100), past(5, 101), 102, []commitlog.Seq{2, 4}},
		{"just above the edge", []checkpoint.Past{past(1, 91), past(2, 92.01)}, past(4, 100), past(5, 101), 102, []commitlog.Seq{1, 2, 4}},
		{"idle for longer than the window", []checkpoint.Past{empty, past(1, 10)}, past(2, 11), past(3, 12), 102, nil},
		{"new one at the same seq", []checkpoint.Past{empty}, past(10, 100.1), checkpoint.Past{Key: "x", Seq: 10, Time: hour(100.1)}, 101, []commitlog.Seq{0}},
		{"for the same checkpoint", []checkpoint.Past{empty, past(3, 99)}, past(10, 100.1), past(10, 100.1), 101, []commitlog.Seq{0, 3}},
		{"two in the hour where the window begins", []checkpoint.Past{past(1, 92.1), past(2, 92.6)}, past(4, 100), past(5, 101), 102.3, []commitlog.Seq{1, 2, 4}},
	} {
		t.Run(test.name, func(t *testing.T) {
			m := &checkpoint.Manifest{Checkpoint: test.current.Key, Seq: test.current.Seq, Time: test.current.Time, History: test.history}
			before := slices.Clone(test.history)
			var got []commitlog.Seq
			for _, kept := range m.Thin(test.next, 10*time.Hour, time.Unix(0, hour(test.now))) {
				got = append(got, kept.Seq)
			}
			if !slices.Equal(got, test.want) {
				t.Errorf("Thin() keeps %v, want %v", got, test.want)
			}
			if !slices.Equal(before, m.History) {
				t.Errorf("Thin() changed the old history to %v", m.History)
			}
		})
	}
}
