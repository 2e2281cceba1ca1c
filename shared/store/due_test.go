package store

import (
	"cmp"
	"slices"
	"testing"

	"github.com/bobbindb/bobbin/shared/chat"
	"github.com/bobbindb/bobbin/shared/commitlog"
)

// dueItems is a database with something to purge in three slots, and what Due gives of
// it with bounds of 10.
func dueItems(t *testing.T) (*DB, []Due) {
	t.Helper()
	db := open(t, Options{})
	var ops []commitlog.Op
	for _, slot := range []chat.Slot{0, 7, 1<<16 - 1} {
		owner := chat.Digest{byte(slot >> 8), byte(slot)}
		for _, key := range [][]byte{
			KeyChange(owner, 1, 1, 0), KeyThreadID(owner, "a"), KeyOwner(owner), KeyThread(chat.ThreadID{Time: 1, Slot: slot}),
			KeyDeleted(slot, 12, 1, 0), KeyExpiry(slot, 11, 1, 0), KeyExpiry(slot, 30, 1, 0),
		} {
			ops = append(ops, record(key, nil))
		}
	}
	for _, key := range [][]byte{
		KeyDeleted(0, 0, 2, 0), KeyDeleted(0, 10, 1, 5), KeyDeleted(0, 10, 3, 0), KeyExpiry(0, 9, 1, 6),
		KeyExpiry(7, 10, 4, 0), KeyDeleted(1<<16-1, 3, 5, 1), KeyExpiry(1<<16-1, 3, 5, 1),
	} {
		ops = append(ops, record(key, nil))
	}
	put(t, db, ops...)
	at := func(slot chat.Slot, thread int64) chat.ThreadID { return chat.ThreadID{Time: thread, Slot: slot} }
	return db, []Due{
		{Thread: at(0, 2)},
		{Thread: at(0, 1), Message: 5, At: 10},
		{Thread: at(0, 3), At: 10},
		{Thread: at(0, 1), Message: 6, At: 9, Expired: true},
		{Thread: at(7, 4), At: 10, Expired: true},
		{Thread: at(1<<16-1, 5), Message: 1, At: 3},
		{Thread: at(1<<16-1, 5), Message: 1, At: 3, Expired: true},
	}
}

func TestDue(t *testing.T) {
	db, all := dueItems(t)
	v := db.View()
	defer v.Close()
	for limit := 1; limit < 9; limit++ {
		var got []Due
		var deleted, expired int64
		first := func(a, b int64) int64 { return min(cmp.Or(a, b), cmp.Or(b, a)) }
		q := DueQuery{To: 1<<16 - 1, Deleted: 10, Expired: 10, Limit: limit}
		for {
			page, err := v.Due(q)
			if err != nil {
				t.Fatal(err)
			}
			got = append(got, page.Items...)
			if len(page.Items) > limit {
				t.Fatalf("%d items, the limit is %d", len(page.Items), limit)
			}
			deleted, expired = first(deleted, page.Deleted), first(expired, page.Expired)
			if q.After = page.After; page.After == nil {
				if deleted != 12 || expired != 11 {
					t.Errorf("limit %d: what comes next is at %d and %d, want 12 and 11", limit, deleted, expired)
				}
				break
			}
		}
		if !slices.Equal(got, all) {
			t.Fatalf("limit %d: %+v, want %+v", limit, got, all)
		}
	}
	one, err := v.Due(DueQuery{From: 7, To: 7, Deleted: 1 << 40, Expired: 10, Limit: 10})
	want := []Due{{Thread: chat.ThreadID{Time: 1, Slot: 7}, At: 12}, all[4]}
	if err != nil || !slices.Equal(one.Items, want) || one.Deleted != 0 || one.Expired != 11 {
		t.Errorf("slot 7: %+v, %v, want %+v", one, err, want)
	}
	none, err := v.Due(DueQuery{From: 8, To: 1<<16 - 2, Deleted: 10, Expired: 10, Limit: 10})
	if err != nil || len(none.Items) != 0 || none.After != nil || none.Deleted != 0 || none.Expired != 0 {
		t.Errorf("slots between: %+v, %v, want nothing", none, err)
	}
}

func TestMessageTimes(t *testing.T) {
	db := open(t, Options{})
	thread := &chat.Thread{ID: chat.ThreadID{Time: 1}}
	var ops []commitlog.Op
	for time := int64(2); time < 12; time++ {
		key := KeyMessage(thread.ID, time)
		if time%3 == 0 {
			key = KeyDeadMessage(thread.ID, time)
		}
		ops = append(ops, record(key, nil))
	}
	put(t, db, append(ops, record(KeyRevision(thread.ID, 20, 0), nil), record(KeyLink(thread.ID, 21), nil))...)
	v := db.View()
	defer v.Close()
	for _, tt := range []struct {
		after int64
		n     int
		want  []int64
	}{
		{0, 3, []int64{2, 3, 4}},
		{4, 4, []int64{5, 6, 7, 8}},
		{9, 5, []int64{10, 11}},
		{11, 5, nil},
	} {
		if got, err := v.MessageTimes(thread.ID, tt.after, tt.n); err != nil || !slices.Equal(got, tt.want) {
			t.Errorf("MessageTimes(%d, %d) = %v, %v, want %v", tt.after, tt.n, got, err, tt.want)
		}
	}
}

func TestStale(t *testing.T) {
	db := open(t, Options{})
	stale := func(want int64) {
		t.Helper()
		v := db.View()
		defer v.Close()
		if got, err := v.Stale(); got != want || err != nil {
			t.Errorf("Stale() = %d, %v, want %d", got, err, want)
		}
	}
	stale(0)
	put(t, db, record(KeyIdempotency(3, owner1), nil))
	stale(5 * Day)
	put(t, db, record(KeyCommand(3, chat.CommandID{}), nil), record(KeyCommand(4, chat.CommandID{}), nil))
	stale(5 * Quarter)
}

// BenchmarkDue looks for what is due where every slot has an owner with threads and
// nothing is.
func BenchmarkDue(b *testing.B) {
	db := open(b, Options{Use: Live, Cache: 64 << 20})
	at := db.Position()
	for slot := 0; slot < 1<<16; slot += 1 << 10 {
		var ops []commitlog.Op
		for s := slot; s < slot+1<<10; s++ {
			owner := chat.Digest{byte(s >> 8), byte(s)}
			ops = append(ops, record(KeyOwner(owner), nil), record(KeyDeleted(chat.Slot(s), 100, 1, 0), nil), record(KeyExpiry(chat.Slot(s), 100, 1, 0), nil))
			for thread := int64(1); thread < 16; thread++ {
				id := chat.ThreadID{Time: thread, Slot: chat.Slot(s)}
				ops = append(ops, record(KeyChange(owner, uint64(thread), thread, 0), nil), record(KeyThread(id), make([]byte, 100)))
			}
		}
		c := extend(at, ops...)
		if err := db.Apply(c); err != nil {
			b.Fatal(err)
		}
		at = after(c)
	}
	if err := db.Flush(b.Context()); err != nil {
		b.Fatal(err)
	}
	v := db.View()
	defer v.Close()
	for b.Loop() {
		page, err := v.Due(DueQuery{To: 1<<16 - 1, Deleted: 50, Expired: 50, Limit: 1})
		if err != nil || len(page.Items) != 0 || page.Deleted != 100 || page.Expired != 100 {
			b.Fatalf("Due() = %+v, %v", page, err)
		}
	}
}
