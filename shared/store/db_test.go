package store

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"runtime"
	"sync"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/bobbindb/bobbin/shared/commitlog"
)

var genesis = commitlog.Genesis("store", 0)

func open(t testing.TB, o Options) *DB {
	t.Helper()
	if o.FS == nil {
		o.FS = vfs.NewMem()
	}
	if o.Dir == "" {
		o.Dir = "db"
	}
	if o.Cache == 0 {
		o.Cache = 32 << 20
	}
	db, err := Open(o)
	if err != nil {
		t.Fatalf("Open() = %v", err)
	}
	t.Cleanup(func() {
		if err := db.Close(); err != nil {
			t.Errorf("Close() = %v", err)
		}
	})
	return db
}

// extend makes an encoded commit that follows a position.
func extend(at Position, ops ...commitlog.Op) *commitlog.Commit {
	c := &commitlog.Commit{Seq: at.Seq + 1, Time: at.Time + 1, Prev: at.Hash, Release: "v1", Ops: ops}
	c.Encode()
	return c
}

func after(c *commitlog.Commit) Position {
	return Position{Seq: c.Seq, Hash: c.Hash(), Time: c.Time}
}

func set(key, value string) commitlog.Op {
	return commitlog.Op{Kind: commitlog.OpSet, Key: []byte(key), Value: []byte(value)}
}

// history is n commits from the empty store on: commit i sets "k<i>" and "last".
func history(n int) []*commitlog.Commit {
	at := Position{Hash: genesis}
	var commits []*commitlog.Commit
	for i := range n {
		c := extend(at, set(fmt.Sprintf("k%d", i+1), "v"), set("last", fmt.Sprint(i+1)))
		commits, at = append(commits, c), after(c)
	}
	return commits
}

// wantHistory checks that exactly the first n commits of history are applied.
func wantHistory(t *testing.T, db *DB, commits []*commitlog.Commit, n int) {
	t.Helper()
	want := Position{Hash: genesis}
	if n > 0 {
		want = after(commits[n-1])
	}
	if got := db.Position(); got != want {
		t.Errorf("Position() = %+v, want %+v", got, want)
	}
	if n > 0 {
		if got, err := db.readPosition(); err != nil || got != want {
			t.Errorf("the position inside is %+v, %v, want %+v", got, err, want)
		}
	}
	for i := range commits {
		if _, ok, err := db.Get(fmt.Appendf(nil, "k%d", i+1)); err != nil || ok != (i < n) {
			t.Errorf("commit %d applied: %v, %v, want %v", i+1, ok, err, i < n)
		}
	}
}

func TestApply(t *testing.T) {
	db := open(t, Options{Genesis: genesis})
	commits := history(10)
	wantHistory(t, db, commits, 0)
	for _, tt := range []struct {
		name     string
		from, to int
		want     int
		err      error
	}{
		{"nothing", 0, 0, 0, nil},
		{"a gap at the start", 1, 3, 0, ErrGap},
		{"the first", 0, 1, 1, nil},
		{"the same again", 0, 1, 1, nil},
		{"some old, some new", 0, 4, 4, nil},
		{"only old", 1, 3, 4, nil},
		{"a gap", 5, 7, 4, ErrGap},
		{"the rest", 4, 10, 10, nil},
	} {
		if err := db.Apply(commits[tt.from:tt.to]...); !errors.Is(err, tt.err) {
			t.Errorf("Apply() of %s = %v, want %v", tt.name, err, tt.err)
		}
		wantHistory(t, db, commits, tt.want)
	}
}

func TestApplyPassesOverTwice(t *testing.T) {
	db := open(t, Options{Genesis: genesis})
	c := history(3)
	if err := db.Apply(c[0], c[1], c[0], c[1], c[2], c[2]); err != nil {
		t.Errorf("Apply() = %v", err)
	}
	wantHistory(t, db, c, 3)
}

func TestApplyWrongHash(t *testing.T) {
	db := open(t, Options{Genesis: genesis})
	commits := history(3)
	for name, prev := range map[string]commitlog.Hash{
		"zero": {}, "another store": commitlog.Genesis("other", 0), "another partition": commitlog.Genesis("store", 1),
	} {
		if err := db.Apply(extend(Position{Hash: prev}, set("k1", "v"))); !errors.Is(err, ErrGap) {
			t.Errorf("Apply() of a first commit that chains to %s = %v, want ErrGap", name, err)
		}
	}
	if err := db.Apply(commits[:2]...); err != nil {
		t.Fatal(err)
	}
	other := extend(Position{Seq: 2, Hash: commits[0].Hash()}, set("k3", "v"))
	if err := db.Apply(other); !errors.Is(err, ErrGap) {
		t.Errorf("Apply() of a commit of another chain = %v, want ErrGap", err)
	}
	wantHistory(t, db, commits, 2)
	unchecked := open(t, Options{})
	if err := unchecked.Apply(commits...); err != nil {
		t.Errorf("Apply() without a Genesis = %v", err)
	}
}

func TestApplyOps(t *testing.T) {
	db := open(t, Options{Genesis: genesis})
	del := func(key string) commitlog.Op { return commitlog.Op{Kind: commitlog.OpDelete, Key: []byte(key)} }
	first := extend(Position{Hash: genesis}, set("a", "1"), set("b", "1"), set("c", "1"), set("d", "1"), set("e", ""))
	second := extend(after(first), set("a", "2"), del("d"), del("nothing"),
		commitlog.Op{Kind: commitlog.OpDeleteRange, Key: []byte("b"), Value: []byte("c")}, set("bb", "3"))
	if err := db.Apply(first, second); err != nil {
		t.Fatal(err)
	}
	for key, want := range map[string]string{"a": "2", "b": "-", "bb": "3", "c": "1", "d": "-", "e": ""} {
		got, ok, err := db.Get([]byte(key))
		if !ok {
			got = []byte("-")
		}
		if err != nil || string(got) != want {
			t.Errorf("Get(%s) = %q, %v, want %q", key, got, err, want)
		}
	}
	bad := extend(after(second), set("a", "4"), commitlog.Op{Kind: 9, Key: []byte("a")})
	if err := db.Apply(bad); !errors.Is(err, commitlog.ErrUnknownFormat) {
		t.Errorf("Apply() of op kind 9 = %v, want ErrUnknownFormat", err)
	}
	if got, _, _ := db.Get([]byte("a")); string(got) != "2" || db.Position() != after(second) {
		t.Errorf("a refused commit left %q at %s", got, db.Position().Seq)
	}
}

func TestApplyControl(t *testing.T) {
	control := func(name string, value []byte) commitlog.Op {
		return commitlog.Op{Kind: commitlog.OpControl, Key: []byte(name), Value: value}
	}
	db := open(t, Options{Genesis: genesis})
	at := Position{Hash: genesis}
	apply := func(op commitlog.Op) error {
		c := extend(at, op)
		err := db.Apply(c)
		if err == nil {
			at = after(c)
		}
		if got := db.Position(); got != at {
			t.Errorf("Position() = %+v after %s, want %+v", got, op.Key, at)
		}
		return err
	}
	for _, tt := range []struct {
		op  commitlog.Op
		err error
	}{
		{control("quota", []byte{1}), ErrUnknownRecord},
		{control("", nil), ErrUnknownRecord},
		{control(ControlFormat, EncodeFormat(Format{Version: FormatVersion + 1})), ErrUnknownRecord},
		{control(ControlFormat, []byte("junk")), ErrDamaged},
		{control(ControlFreeze, nil), ErrDamaged},
		{control(ControlSeal, []byte{2}), ErrDamaged},
		{control(ControlFormat, EncodeFormat(Format{Version: FormatVersion})), nil},
		{control(ControlFreeze, EncodeFreeze(Freeze{Until: 5})), nil},
	} {
		if err := apply(tt.op); !errors.Is(err, tt.err) {
			t.Errorf("Apply() of %q %x = %v, want %v", tt.op.Key, tt.op.Value, err, tt.err)
		}
	}
	if f, ok, err := GetFreeze(db); err != nil || !ok || f.Until != 5 {
		t.Errorf("GetFreeze() = %+v, %v, %v", f, ok, err)
	}
	if _, ok, err := GetSeal(db); ok || err != nil {
		t.Errorf("GetSeal() = %v, %v before the seal", ok, err)
	}
	if err := errors.Join(apply(control(ControlThaw, nil)), apply(control(ControlSeal, EncodeSeal(Seal{Next: "b-2"})))); err != nil {
		t.Fatal(err)
	}
	if _, ok, err := GetFreeze(db); ok || err != nil {
		t.Errorf("GetFreeze() = %v, %v after the thaw", ok, err)
	}
	if s, ok, err := GetSeal(db); err != nil || !ok || s.Next != "b-2" {
		t.Errorf("GetSeal() = %+v, %v, %v", s, ok, err)
	}
}

// Commits over the budget go in several batches, each with the position that it leads to.
func TestApplySplit(t *testing.T) {
	commits := history(20)
	for _, budget := range []int64{1, 30, 100, 1 << 20} {
		for bad := 1; bad <= 21; bad++ {
			db := open(t, Options{Genesis: genesis, Dir: fmt.Sprint(bad)})
			db.budget = budget
			some := append([]*commitlog.Commit(nil), commits...)
			if bad <= 20 {
				some[bad-1] = extend(Position{Seq: commits[bad-1].Seq - 1, Hash: commits[bad-1].Prev}, commitlog.Op{Kind: 9})
			}
			if err := db.Apply(some...); (err != nil) != (bad <= 20) {
				t.Errorf("Apply() = %v", err)
			}
			n := int(db.Position().Seq)
			if n >= bad || budget == 1 && n != bad-1 || budget == 1<<20 && bad <= 20 && n != 0 {
				t.Errorf("with a budget of %d and commit %d bad, %d are applied", budget, bad, n)
			}
			wantHistory(t, db, commits, n)
			if err := db.Apply(commits...); err != nil {
				t.Errorf("Apply() of the rest = %v", err)
			}
			wantHistory(t, db, commits, 20)
		}
	}
}

// A commit larger than half a memtable is applied like any other.
func TestApplyLarge(t *testing.T) {
	db := open(t, Options{Genesis: genesis})
	first := extend(Position{Hash: genesis}, set("a", string(make([]byte, memTable/2+1))))
	second := extend(after(first), set("b", "1"))
	if err := db.Apply(first, second); err != nil {
		t.Fatal(err)
	}
	if got, ok, err := db.Get([]byte("a")); err != nil || !ok || len(got) != memTable/2+1 || db.Position() != after(second) {
		t.Errorf("Get() = %d bytes, %v, %v at %s", len(got), ok, err, db.Position().Seq)
	}
}

func TestApplyRace(t *testing.T) {
	db := open(t, Options{Genesis: genesis})
	commits := history(200)
	var group sync.WaitGroup
	for range 4 {
		group.Go(func() {
			for i := range commits {
				if err := db.Apply(commits[:i+1]...); err != nil {
					t.Errorf("Apply() = %v", err)
				}
				v := db.View()
				got, _, err := v.Get([]byte("last"))
				if want := fmt.Sprint(uint64(v.Position().Seq)); err != nil || string(got) != want {
					t.Errorf("a view at %s holds %q, %v", want, got, err)
				}
				if err := v.Close(); err != nil {
					t.Errorf("Close() = %v", err)
				}
			}
		})
	}
	group.Wait()
	wantHistory(t, db, commits, 200)
}

func TestCheckpoint(t *testing.T) {
	for _, use := range []Use{Live, Lazy, Compact} {
		t.Run(fmt.Sprint(use), func(t *testing.T) {
			fs := vfs.NewMem()
			db := open(t, Options{FS: fs, Use: use, Genesis: genesis})
			commits := history(30)
			if at, err := db.Checkpoint(t.Context(), "empty"); err != nil || at.Seq != 0 {
				t.Errorf("Checkpoint() of nothing = %+v, %v", at, err)
			}
			for n := 10; n <= 30; n += 10 {
				if err := db.Apply(commits[:n]...); err != nil {
					t.Fatal(err)
				}
				dir := fmt.Sprintf("checkpoint-%d", n)
				at, err := db.Checkpoint(t.Context(), dir)
				if err != nil || at != after(commits[n-1]) {
					t.Errorf("Checkpoint() = %+v, %v, want seq %d", at, err, n)
				}
			}
			for n := 10; n <= 30; n += 10 {
				db := open(t, Options{FS: fs, Dir: fmt.Sprintf("checkpoint-%d", n), Use: use, Genesis: genesis})
				wantHistory(t, db, commits, n)
				if err := db.Apply(commits...); err != nil {
					t.Errorf("Apply() on a checkpoint = %v", err)
				}
				wantHistory(t, db, commits, 30)
			}
		})
	}
}

// What a checkpoint says of itself is true of it, also while commits are being applied.
func TestCheckpointUnderWrites(t *testing.T) {
	fs := vfs.NewMem()
	db := open(t, Options{FS: fs, Genesis: genesis})
	commits := history(500)
	var group sync.WaitGroup
	group.Go(func() {
		for _, c := range commits {
			if err := db.Apply(c); err != nil {
				t.Errorf("Apply() = %v", err)
			}
		}
	})
	for i := range 10 {
		dir := fmt.Sprintf("checkpoint-%d", i)
		at, err := db.Checkpoint(t.Context(), dir)
		if err != nil {
			t.Fatalf("Checkpoint() = %v", err)
		}
		wantHistory(t, open(t, Options{FS: fs, Dir: dir, Genesis: genesis}), commits, int(at.Seq))
	}
	group.Wait()
}

// Without a flush nothing survives: the log is the truth.
// TestCompactShape holds what the levels of a compactor's database are for: that a
// checkpoint of a few dozen small commits uploads little, and that nothing is left in
// level 0, where every table is one more that a cold reader fetches.
func TestCompactShape(t *testing.T) {
	db := open(t, Options{Use: Compact, Genesis: genesis})
	random := rand.NewChaCha8([32]byte{1})
	write := func(n int) (bytes uint64) {
		commits := make([]*commitlog.Commit, n)
		at := db.Position()
		for i := range commits {
			var key [8]byte
			var value [1 << 10]byte
			random.Read(key[:])
			random.Read(value[:])
			commits[i] = extend(at, set(string(key[:]), string(value[:])))
			at, bytes = after(commits[i]), bytes+uint64(len(key)+len(value))
		}
		if err := db.Apply(commits...); err != nil {
			t.Fatal(err)
		}
		if err := db.Flush(t.Context()); err != nil {
			t.Fatal(err)
		}
		for !db.Quiet() {
			if t.Context().Err() != nil {
				t.Fatal("compactions do not end")
			}
			runtime.Gosched()
		}
		if n := db.pebble.Metrics().Levels[0].TablesCount; n != 0 {
			t.Fatalf("level 0 has %d tables after everything was compacted, want 0", n)
		}
		return bytes
	}
	written := func() (bytes uint64) {
		for _, level := range db.pebble.Metrics().Levels {
			bytes += level.TableBytesFlushed + level.TableBytesCompacted
		}
		return bytes
	}
	for range 20 {
		write(1000)
	}
	before, committed := written(), uint64(0)
	for range 100 {
		committed += write(64)
	}
	if got := float64(written()-before) / float64(committed); got > 15 {
		t.Errorf("%.1f bytes were written for each committed, want at most 15", got)
	}
}

func TestReopen(t *testing.T) {
	fs := vfs.NewMem()
	db, err := Open(Options{FS: fs, Dir: "db", Genesis: genesis})
	if err != nil {
		t.Fatal(err)
	}
	commits := history(9)
	if err := db.Apply(commits[:5]...); err != nil {
		t.Fatal(err)
	}
	if err := db.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(db.Apply(commits...), db.Close()); err != nil {
		t.Fatal(err)
	}
	again := open(t, Options{FS: fs, Genesis: genesis})
	wantHistory(t, again, commits, 5)
}

// What a Get returns is the caller's to keep.
// Views of one position stand on one snapshot, which lasts as long as the last of them
// and shows nothing that was applied later. (Closing a database fails while one is open.)
func TestViewsShareASnapshot(t *testing.T) {
	db := open(t, Options{Genesis: genesis})
	commits := history(2)
	if err := db.Apply(commits[0]); err != nil {
		t.Fatalf("Apply() = %v", err)
	}
	first, second := db.View(), db.View()
	if first.snapshot != second.snapshot {
		t.Error("two views of one position stand on two snapshots")
	}
	if err := db.Apply(commits[1]); err != nil {
		t.Fatalf("Apply() = %v", err)
	}
	wantLast := func(v *View, at Position, last string) {
		t.Helper()
		if got, ok, err := v.Get([]byte("last")); err != nil || !ok || string(got) != last || v.Position() != at {
			t.Errorf("Get(last) = %q, %t, %v at %+v, want %q at %+v", got, ok, err, v.Position(), last, at)
		}
	}
	third := db.View()
	wantLast(third, after(commits[1]), "2")
	for _, v := range []*View{second, first} {
		wantLast(v, after(commits[0]), "1")
		if err := v.Close(); err != nil {
			t.Errorf("Close() = %v", err)
		}
	}
	wantLast(third, after(commits[1]), "2")
	if err := third.Close(); err != nil {
		t.Errorf("Close() = %v", err)
	}
}

func TestGetIsACopy(t *testing.T) {
	db := open(t, Options{Genesis: genesis})
	first := extend(Position{Hash: genesis}, set("a", "one"))
	if err := db.Apply(first); err != nil {
		t.Fatal(err)
	}
	v := db.View()
	got, _, err := v.Get([]byte("a"))
	if err != nil {
		t.Fatal(err)
	}
	copy(got, "xxx")
	if again, _, _ := v.Get([]byte("a")); !bytes.Equal(again, []byte("one")) {
		t.Errorf("Get() = %q after the caller wrote into the first answer", again)
	}
	if err := db.Apply(extend(after(first), set("a", "two"))); err != nil {
		t.Fatal(err)
	}
	if again, _, _ := v.Get([]byte("a")); string(again) != "one" || v.Position() != after(first) {
		t.Errorf("Get() on an older view = %q at %s", again, v.Position().Seq)
	}
	if err := v.Close(); err != nil {
		t.Error(err)
	}
}

// Blocks stay cached however large memtables have grown: nothing is read from a table
// twice.
func TestBlockCacheKeepsItsSize(t *testing.T) {
	db := open(t, Options{Use: Lazy, Cache: 4 << 20, Genesis: genesis})
	large := string(make([]byte, 100<<10))
	for i := range 100 {
		if err := db.Apply(extend(db.Position(), set(fmt.Sprint("k", i%20), "v"), set("large", large), set("larger", large))); err != nil {
			t.Fatal(err)
		}
	}
	if err := db.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	read := func() {
		for i := range 20 {
			if _, ok, err := db.Get(fmt.Append(nil, "k", i)); err != nil || !ok {
				t.Errorf("Get() = %v, %v", ok, err)
			}
		}
	}
	read()
	before := db.pebble.Metrics()
	read()
	after := db.pebble.Metrics()
	if misses := after.BlockCache.Misses - before.BlockCache.Misses; misses != 0 {
		t.Errorf("reading the same again missed the cache %d times", misses)
	}
	if taken := after.MemTable.Size + after.MemTable.ZombieSize; taken < 4<<20 {
		t.Errorf("memtables take %d bytes, so the test shows nothing", taken)
	}
}
