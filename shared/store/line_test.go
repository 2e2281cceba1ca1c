package store

import (
	"errors"
	"slices"
	"testing"

	"github.com/bobbindb/bobbin/shared/chat"
	"github.com/bobbindb/bobbin/shared/commitlog"
)

// Every page of a tree's line is what its parents say.
func TestLine(t *testing.T) {
	db := open(t, Options{})
	thread := &chat.Thread{ID: chat.ThreadID{Time: 1}, Owner: chat.Owner{User: "u"}, Head: 19}
	var ops []commitlog.Op
	for time := int64(2); time < 20; time++ { // odd ones are the line, every third is dead
		m, _ := message(thread, time, time%3 == 0, []byte("b"))
		if m.Parent = time - 2; m.Parent < 2 {
			m.Parent = 0
		}
		key := KeyMessage(thread.ID, time)
		if m.Deleted != 0 {
			key = KeyDeadMessage(thread.ID, time)
		}
		ops = append(ops, record(key, EncodeMessage(m)))
	}
	put(t, db, ops...)
	v := db.View()
	defer v.Close()
	for _, deleted := range []bool{false, true} {
		var line []int64
		for time := int64(3); time < 20; time += 2 {
			if deleted || time%3 != 0 {
				line = append(line, time)
			}
		}
		for limit := 1; limit < 11; limit++ {
			q := chat.MessageQuery{Cursor: chat.Cursor{Limit: limit}, IncludeDeleted: deleted, Line: true}
			rest, at := slices.Clone(line), int64(0)
			for {
				page, err := v.Line(thread, q, at)
				if err != nil {
					t.Fatal(err)
				}
				var got []int64
				for _, m := range page.Messages {
					got = append(got, m.ID.Time)
				}
				n := min(limit, len(rest))
				want := rest[len(rest)-n:]
				rest = rest[:len(rest)-n]
				if !slices.Equal(got, want) || page.HasBefore != (len(rest) > 0) || page.HasAfter != (at != 0) || !page.Uncounted {
					t.Fatalf("limit %d before %d: %v, %+v, want %v", limit, at, got, page.Page, want)
				}
				if !page.HasBefore {
					break
				}
				at = got[0]
			}
		}
	}
}

// A line goes on past what was purged, as far as links lead.
func TestLinePastPurged(t *testing.T) {
	db := open(t, Options{})
	thread := &chat.Thread{ID: chat.ThreadID{Time: 1}, Owner: chat.Owner{User: "u"}, Head: 8}
	var ops []commitlog.Op
	for _, time := range []int64{2, 5, 8} {
		m, _ := message(thread, time, false, []byte("b"))
		m.Parent = time - 1
		ops = append(ops, record(KeyMessage(thread.ID, time), EncodeMessage(m)))
	}
	link := func(from, to int64) commitlog.Op { return record(KeyLink(thread.ID, from), EncodeTime(to)) }
	put(t, db, append(ops, link(7, 6), link(6, 5), link(4, 2))...)
	v := db.View()
	defer v.Close()
	q := chat.MessageQuery{Cursor: chat.Cursor{Limit: 2}}
	page, err := v.Line(thread, q, 0)
	if err != nil || len(page.Messages) != 2 || page.Messages[0].ID.Time != 5 || page.Messages[1].ID.Time != 8 || !page.HasBefore {
		t.Errorf("Line() = %+v, %v, want 5 and 8", page, err)
	}
	page, err = v.Line(thread, q, 5)
	if err != nil || len(page.Messages) != 1 || page.Messages[0].ID.Time != 2 || page.HasBefore {
		t.Errorf("Line() before 5 = %+v, %v, want 2", page, err)
	}
}

// A line that leads on to a later message never ends.
func TestLineDamaged(t *testing.T) {
	db := open(t, Options{})
	thread := &chat.Thread{ID: chat.ThreadID{Time: 1}, Owner: chat.Owner{User: "u"}, Head: 5}
	m, _ := message(thread, 5, false, nil)
	m.Parent = 5
	put(t, db, record(KeyMessage(thread.ID, 5), EncodeMessage(m)))
	v := db.View()
	defer v.Close()
	if _, err := v.Line(thread, chat.MessageQuery{Cursor: chat.Cursor{Limit: 3}}, 0); !errors.Is(err, ErrDamaged) {
		t.Errorf("Line() = %v, want damage", err)
	}
}
