package store

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/bobbindb/bobbin/shared/chat"
	"github.com/bobbindb/bobbin/shared/commitlog"
)

// put applies records as one commit.
func put(t testing.TB, db *DB, ops ...commitlog.Op) {
	t.Helper()
	if err := db.Apply(extend(db.Position(), ops...)); err != nil {
		t.Fatal(err)
	}
}

func record(key, value []byte) commitlog.Op {
	return commitlog.Op{Kind: commitlog.OpSet, Key: key, Value: value}
}

// message makes a message of a thread, and the op that stores it.
func message(thread *chat.Thread, time int64, dead bool, body []byte) (*chat.Message, commitlog.Op) {
	m := &chat.Message{
		ID:     chat.MessageID{Thread: thread.ID, Time: time, Seq: uint32(time)},
		Author: chat.Owner{Tenant: thread.Owner.Tenant, User: "u"}, Created: time, Updated: time, Role: "user", Body: body,
	}
	key := KeyMessage(thread.ID, time)
	if dead {
		m.Deleted, key = 1, KeyDeadMessage(thread.ID, time)
	}
	return m, record(key, EncodeMessage(m))
}

// model is a list as anybody would write it down: keys in order.
type model struct{ keys []int64 }

// page is what the list says for a cursor at a key, of this list or not.
func (m model) page(c chat.Cursor, at int64) (keys []int64, before, after bool) {
	var older, newer, there []int64
	for _, k := range m.keys {
		switch {
		case k < at:
			older = append(older, k)
		case k > at:
			newer = append(newer, k)
		default:
			there = append(there, k)
		}
	}
	last := func(s []int64) []int64 { return s[max(0, len(s)-c.Limit):] }
	first := func(s []int64) []int64 { return s[:min(len(s), c.Limit)] }
	switch {
	case c.Before != "":
		return last(older), len(older) > c.Limit, len(there)+len(newer) > 0
	case c.After != "":
		return first(newer), len(older)+len(there) > 0, len(newer) > c.Limit
	case c.Anchor != "":
		return slices.Concat(last(older), there, first(newer)), len(older) > c.Limit, len(newer) > c.Limit
	}
	return last(m.keys), len(m.keys) > c.Limit, false
}

// cursors are all that a list of some keys can be asked for.
func cursors(keys []int64, visit func(c chat.Cursor, at int64)) {
	for limit := 1; limit <= 5; limit++ {
		visit(chat.Cursor{Limit: limit}, 0)
		for _, at := range keys {
			visit(chat.Cursor{Limit: limit, Before: "k"}, at)
			visit(chat.Cursor{Limit: limit, After: "k"}, at)
			visit(chat.Cursor{Limit: limit, Anchor: "k"}, at)
		}
	}
}

// Every page of every small thread is what a list of its messages says.
func TestMessagesModel(t *testing.T) {
	db := open(t, Options{})
	const n = 7 // messages, each live, dead or purged
	states := 1
	for range n {
		states *= 3
	}
	for number := range states {
		thread := &chat.Thread{ID: chat.ThreadID{Time: int64(number + 1), Slot: 5}}
		var live, all, keys []int64
		ops := []commitlog.Op{record(KeyThread(thread.ID), EncodeThread(thread))}
		for i, rest := 0, number; i < n; i, rest = i+1, rest/3 {
			at := int64(100 + i)
			keys = append(keys, at)
			if rest%3 == 2 {
				continue
			}
			_, op := message(thread, at, rest%3 == 1, nil)
			ops, all = append(ops, op), append(all, at)
			if rest%3 == 0 {
				thread.Live, live = thread.Live+1, append(live, at)
			} else {
				thread.Dead++
			}
		}
		put(t, db, ops...)
		if number%200 == 0 {
			if err := db.Flush(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		if number%7 != 0 && number > 100 {
			continue // their pages are like those of others
		}
		v := db.View()
		for _, deleted := range []bool{false, true} {
			list := model{live}
			if deleted {
				list = model{all}
			}
			cursors(keys, func(c chat.Cursor, at int64) {
				got, err := v.Messages(thread, chat.MessageQuery{Cursor: c, IncludeDeleted: deleted}, at)
				if err != nil {
					t.Fatalf("Messages() = %v", err)
				}
				var times []int64
				for _, m := range got.Messages {
					times = append(times, m.ID.Time)
					if m.ID.Thread != thread.ID || m.ID.Seq != uint32(m.ID.Time) || m.Role != "user" {
						t.Errorf("message %+v", m)
					}
				}
				want, before, after := list.page(c, at)
				if !slices.Equal(times, want) || got.HasBefore != before || got.HasAfter != after || got.Total != len(list.keys) {
					t.Fatalf("Messages(%+v at %d, deleted %v) of %v = %v, %+v, want %v, %v, %v",
						c, at, deleted, list.keys, times, got.Page, want, before, after)
				}
			})
		}
		if err := v.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

// putThread stores a thread and its places in its owner's lists.
func putThread(owner chat.Digest, x *chat.Thread) []commitlog.Op {
	ops := []commitlog.Op{record(KeyThread(x.ID), EncodeThread(x))}
	for _, e := range ThreadIndex(owner, x) {
		ops = append(ops, record(e.Key, e.Value))
	}
	return ops
}

// Every page of an owner's threads is what a list of them says, by creation and by last
// update, open and archived ones together and deleted ones left out.
func TestThreadsModel(t *testing.T) {
	db := open(t, Options{})
	r := rand.New(rand.NewPCG(3, 4))
	for number := range 150 {
		owner := chat.Digest{byte(number % 3), 1, 2: byte(number)}
		o := &Owner{Owner: chat.Owner{User: fmt.Sprint(number)}}
		var threads []*chat.Thread
		var ops []commitlog.Op
		n := r.IntN(8)
		for i := range n {
			x := &chat.Thread{
				// The slot comes first in a thread's key, the number makes its time unique.
				ID:      chat.ThreadID{Time: int64(number*100 + i + 1), Slot: owner.Slot()},
				Updated: int64(1 + r.IntN(4)), Status: chat.Status(r.IntN(2)),
			}
			if r.IntN(3) == 0 {
				x.Deleted = 1
			}
			*o.Count(StateOf(x))++
			threads, ops = append(threads, x), append(ops, putThread(owner, x)...)
		}
		put(t, db, append(ops, record(KeyOwner(owner), EncodeOwner(o)))...)
		v := db.View()
		for _, by := range []chat.SortBy{chat.ByCreated, chat.ByUpdated} {
			// In the model a key is a thread's rank from newest to oldest.
			slices.SortFunc(threads, func(a, b *chat.Thread) int {
				if by == chat.ByUpdated && a.Updated != b.Updated {
					return int(b.Updated - a.Updated)
				}
				return int(b.ID.Time - a.ID.Time)
			})
			var list model
			var keys []int64
			for i, x := range threads {
				keys = append(keys, int64(i))
				if x.Deleted == 0 {
					list.keys = append(list.keys, int64(i))
				}
			}
			cursors(keys, func(c chat.Cursor, at int64) {
				var x *chat.Thread
				want, before, after := list.page(c, at)
				if c.Before+c.After+c.Anchor != "" {
					x = threads[at]
				} else { // the newest come first
					want = list.keys[:min(len(list.keys), c.Limit)]
					before, after = false, len(list.keys) > c.Limit
				}
				got, err := v.Threads(owner, chat.ThreadQuery{Cursor: c, SortBy: by}, x)
				if err != nil {
					t.Fatalf("Threads() = %v", err)
				}
				var ranks []int64
				for _, x := range got.Threads {
					ranks = append(ranks, int64(slices.IndexFunc(threads, func(y *chat.Thread) bool { return x.ID == y.ID })))
				}
				if !slices.Equal(ranks, want) || got.HasBefore != before || got.HasAfter != after || got.Total != len(list.keys) {
					t.Fatalf("Threads(%+v at %d, by %d) of %v = %v, %+v, want %v, %v, %v",
						c, at, by, list.keys, ranks, got.Page, want, before, after)
				}
			})
		}
		if err := v.Close(); err != nil {
			t.Fatal(err)
		}
	}
	v := db.View()
	defer v.Close()
	if got, err := v.Threads(chat.Digest{9}, chat.ThreadQuery{Cursor: chat.Cursor{Limit: 5}}, nil); err != nil || got.Total != 0 || len(got.Threads) != 0 {
		t.Errorf("Threads() of nobody = %+v, %v", got, err)
	}
}

func TestThreadsDamaged(t *testing.T) {
	db := open(t, Options{})
	put(t, db, record(KeyOwner(owner1), EncodeOwner(&Owner{Open: 1})), record(KeyList(owner1, StateOpen, 5), nil))
	v := db.View()
	defer v.Close()
	if _, err := v.Threads(owner1, chat.ThreadQuery{Cursor: chat.Cursor{Limit: 5}}, nil); !errors.Is(err, ErrDamaged) {
		t.Errorf("Threads() with an entry that leads nowhere = %v, want ErrDamaged", err)
	}
}

func TestMessagesDamaged(t *testing.T) {
	db := open(t, Options{})
	put(t, db, record(KeyMessage(thread1, 5), []byte{9}))
	v := db.View()
	defer v.Close()
	for _, c := range []chat.Cursor{{Limit: 1}, {Limit: 1, After: "k"}, {Limit: 1, Before: "k"}, {Limit: 1, Anchor: "k"}} {
		at := map[bool]int64{true: 9, false: 1}[c.Before != ""]
		if _, err := v.Messages(&chat.Thread{ID: thread1}, chat.MessageQuery{Cursor: c}, at); !errors.Is(err, ErrDamaged) {
			t.Errorf("Messages(%+v) = %v, want ErrDamaged", c, err)
		}
	}
}

// A page ends before it is over 4 MiB, and has at least one message.
func TestMessagesPageSize(t *testing.T) {
	db := open(t, Options{})
	thread := &chat.Thread{ID: thread1, Live: 20}
	body := make([]byte, chat.MaxPageBytes/4)
	for i := range 20 {
		_, op := message(thread, int64(i+1), false, body)
		put(t, db, op)
	}
	_, huge := message(thread, 21, false, make([]byte, chat.MaxPageBytes+1))
	put(t, db, huge)
	v := db.View()
	defer v.Close()
	for _, tt := range []struct {
		name          string
		cursor        chat.Cursor
		at            int64
		first, last   int64
		before, after bool
	}{
		{"newest is too large alone", chat.Cursor{Limit: 50}, 0, 21, 21, true, false},
		{"before", chat.Cursor{Limit: 50, Before: "k"}, 21, 17, 20, true, true},
		{"before, limit reached first", chat.Cursor{Limit: 3, Before: "k"}, 21, 18, 20, true, true},
		{"after", chat.Cursor{Limit: 50, After: "k"}, 4, 5, 8, true, true},
		{"after, up to one too large", chat.Cursor{Limit: 50, After: "k"}, 18, 19, 20, true, true},
		{"after, one too large alone", chat.Cursor{Limit: 50, After: "k"}, 20, 21, 21, true, false},
		{"around", chat.Cursor{Limit: 50, Anchor: "k"}, 10, 9, 12, true, true},
		{"around the first", chat.Cursor{Limit: 50, Anchor: "k"}, 1, 1, 4, false, true},
		{"around one too large", chat.Cursor{Limit: 50, Anchor: "k"}, 21, 21, 21, true, false},
	} {
		p, err := v.Messages(thread, chat.MessageQuery{Cursor: tt.cursor}, tt.at)
		if err != nil || len(p.Messages) == 0 {
			t.Errorf("%s: %d messages, %v", tt.name, len(p.Messages), err)
			continue
		}
		first, last := p.Messages[0].ID.Time, p.Messages[len(p.Messages)-1].ID.Time
		if first != tt.first || last != tt.last || len(p.Messages) != int(last-first)+1 || p.HasBefore != tt.before || p.HasAfter != tt.after {
			t.Errorf("%s: %d to %d, %+v, want %d to %d, %v, %v", tt.name, first, last, p.Page, tt.first, tt.last, tt.before, tt.after)
		}
	}
}

// Messages of one page share memory and no bytes.
func TestMessagesShareNoBytes(t *testing.T) {
	db := open(t, Options{})
	thread := &chat.Thread{ID: thread1, Live: 40}
	for i := range 40 {
		_, op := message(thread, int64(i+1), false, []byte(fmt.Sprint("body of ", i+1, string(make([]byte, i*i)))))
		put(t, db, op)
	}
	v := db.View()
	p, err := v.Messages(thread, chat.MessageQuery{Cursor: chat.Cursor{Limit: 50}}, 0)
	if err := errors.Join(err, v.Close()); err != nil {
		t.Fatal(err)
	}
	for _, m := range p.Messages {
		_ = append(m.Body, "appended to what was returned"...)
	}
	for i, m := range p.Messages {
		if want := fmt.Sprint("body of ", i+1, string(make([]byte, i*i))); string(m.Body) != want || m.ID.Time != int64(i+1) {
			t.Errorf("message %d = %+v", i+1, m)
		}
	}
}

func TestGetMessage(t *testing.T) {
	db := open(t, Options{})
	thread := &chat.Thread{ID: thread1}
	live, op1 := message(thread, 1, false, []byte("one"))
	dead, op2 := message(thread, 2, true, []byte("two"))
	put(t, db, op1, op2, record(KeyMessageID(thread1, "c"), EncodeTime(2)), record(KeyThreadID(owner1, "c"), EncodeTime(thread1.Time)))
	for _, want := range []*chat.Message{live, dead} {
		got, ok, err := GetMessage(db, thread, want.ID.Time)
		if err != nil || !ok || fmt.Sprint(got) != fmt.Sprint(want) {
			t.Errorf("GetMessage() = %+v, %v, %v, want %+v", got, ok, err, want)
		}
	}
	if _, ok, err := GetMessage(db, thread, 3); ok || err != nil {
		t.Errorf("GetMessage() of nothing = %v, %v", ok, err)
	}
	if time, ok, err := FindMessage(db, thread1, "c"); time != 2 || !ok || err != nil {
		t.Errorf("FindMessage() = %d, %v, %v", time, ok, err)
	}
	if id, ok, err := FindThread(db, owner1, "c"); id != thread1 || !ok || err != nil {
		t.Errorf("FindThread() = %s, %v, %v", id, ok, err)
	}
	if _, ok, err := FindThread(db, owner1, "d"); ok || err != nil {
		t.Errorf("FindThread() of nobody = %v, %v", ok, err)
	}
}

// fill stores a thread of n messages, of which each is dead unless live says otherwise,
// among other threads.
func fill(t testing.TB, db *DB, thread *chat.Thread, n int, body []byte, live func(i int) bool) {
	t.Helper()
	var ops []commitlog.Op
	for i := range n {
		_, op := message(thread, int64(i+1), !live(i), body)
		if ops = append(ops, op); live(i) {
			thread.Live++
		} else {
			thread.Dead++
		}
		if len(ops) == 1000 || i == n-1 {
			put(t, db, ops...)
			ops = nil
		}
	}
	for _, d := range []int64{-1, 1} {
		_, op := message(&chat.Thread{ID: chat.ThreadID{Time: thread.ID.Time + d, Slot: thread.ID.Slot}}, 1, false, body)
		put(t, db, op)
	}
	if err := db.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
}

// A page costs O(page), however long the thread and however much of it is deleted.
//
// covers: pages-10
func TestMessagesCost(t *testing.T) {
	for _, tt := range []struct {
		name string
		live func(i int) bool
	}{
		{"all live", func(int) bool { return true }},
		{"every second deleted", func(i int) bool { return i%2 == 0 }},
		{"all but 100 deleted", func(i int) bool { return i%1000 == 0 }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			db := open(t, Options{})
			thread := &chat.Thread{ID: thread1}
			fill(t, db, thread, 100_001, []byte("body"), tt.live)
			v := db.View()
			defer v.Close()
			for _, c := range []chat.Cursor{{}, {Before: "k"}, {After: "k"}, {Anchor: "k"}} {
				for _, deleted := range []bool{false, true} {
					c.Limit = 50
					prefixes := [][]byte{threadKey(thread.ID, subLive, 0)}
					if deleted {
						prefixes = append(prefixes, threadKey(thread.ID, subDead, 0))
					}
					m, err := v.merge(prefixes...)
					if err != nil {
						t.Fatal(err)
					}
					d := messageDecoder{thread: thread, expect: 50}
					s, err := read(m, c, suffixOf(50_001), d.current)
					if err != nil || len(s.items) < 49 {
						t.Errorf("%d messages, %v", len(s.items), err)
					}
					calls, steps := 0, 0
					for _, l := range m.lanes {
						stats := l.iter.Stats()
						for kind := range stats.ForwardStepCount {
							calls += stats.ForwardSeekCount[kind] + stats.ReverseSeekCount[kind]
							steps += stats.ForwardStepCount[kind] + stats.ReverseStepCount[kind]
						}
					}
					if calls > 40 || steps > 500 {
						t.Errorf("a page of %d (%+v, deleted %v) took %d seeks and %d steps", len(s.items), c, deleted, calls, steps)
					}
					if err := m.close(); err != nil {
						t.Error(err)
					}
				}
			}
		})
	}
}

func benchmarkStore(b *testing.B) (*DB, *chat.Thread) {
	db := open(b, Options{})
	thread := &chat.Thread{ID: thread1, Owner: chat.Owner{User: "u"}}
	fill(b, db, thread, 100_001, make([]byte, 500), func(i int) bool { return i%10 != 0 })
	return db, thread
}

func BenchmarkMessages50(b *testing.B) {
	db, thread := benchmarkStore(b)
	for _, bench := range []struct {
		name  string
		query chat.MessageQuery
	}{
		{"newest", chat.MessageQuery{Cursor: chat.Cursor{Limit: 50}}},
		{"before", chat.MessageQuery{Cursor: chat.Cursor{Limit: 50, Before: "k"}}},
		{"after", chat.MessageQuery{Cursor: chat.Cursor{Limit: 50, After: "k"}}},
		{"newest with deleted", chat.MessageQuery{Cursor: chat.Cursor{Limit: 50}, IncludeDeleted: true}},
	} {
		b.Run(bench.name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				v := db.View()
				p, err := v.Messages(thread, bench.query, 50_001)
				if err != nil || len(p.Messages) != 50 {
					b.Fatal(len(p.Messages), err)
				}
				if err := v.Close(); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkGetMessage(b *testing.B) {
	db, thread := benchmarkStore(b)
	b.ReportAllocs()
	for b.Loop() {
		v := db.View()
		if _, ok, err := GetMessage(v, thread, 50_002); err != nil || !ok {
			b.Fatal(ok, err)
		}
		if err := v.Close(); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkApply64 applies commits of 64 posts of 8 ops each.
func BenchmarkApply64(b *testing.B) {
	db := open(b, Options{})
	time := int64(0)
	b.ReportAllocs()
	for b.Loop() {
		b.StopTimer()
		var ops []commitlog.Op
		for range 64 {
			time++
			thread := &chat.Thread{ID: chat.ThreadID{Time: 1 + time%1000, Slot: owner1.Slot()}, Owner: chat.Owner{User: "u"}}
			_, op := message(thread, time, false, make([]byte, 500))
			id := chat.CommandID{byte(time), byte(time >> 8), byte(time >> 16)}
			ops = append(ops, op,
				record(KeyThread(thread.ID), EncodeThread(thread)),
				commitlog.Op{Kind: commitlog.OpDelete, Key: KeyUpdated(owner1, StateOpen, time-1, thread.ID.Time)},
				record(KeyUpdated(owner1, StateOpen, time, thread.ID.Time), nil),
				record(KeyChange(owner1, uint64(time), thread.ID.Time, 0), nil),
				record(KeyChange(owner1, uint64(time), thread.ID.Time, time), nil),
				record(KeyCommand(1, id), EncodeEntry(&Entry{Seq: uint64(time), Thread: thread.ID})),
				record(KeyCounters(), EncodeCounters(&Counters{Messages: uint64(time)})))
		}
		c := extend(db.Position(), ops...)
		b.StartTimer()
		if err := db.Apply(c); err != nil {
			b.Fatal(err)
		}
	}
}
