package store

import (
	"encoding/binary"
	"fmt"

	"github.com/cockroachdb/pebble/v2"

	"github.com/bobbindb/bobbin/shared/chat"
)

// Due is a thread (Message 0) or a message that an index says is due to be purged. Its
// record has the last word.
type Due struct {
	Thread  chat.ThreadID
	Message int64 // its time
	At      int64 // when it was deleted or expired; 0 for a thread that is being purged
	Expired bool  // else it was deleted
}

// DueQuery asks what a range of slots has to purge.
type DueQuery struct {
	From, To chat.Slot
	After    []byte // where the last page ended; nil begins
	Deleted  int64  // what was deleted by then is due
	Expired  int64  // and what expired by then
	Limit    int
}

// DuePage is some of what is due.
type DuePage struct {
	Items []Due
	After []byte // where the next page begins; nil at the end

	// Deleted and Expired are when the first of what this page passed, and is not due
	// yet, was deleted, and when it expires; 0 for none.
	Deleted, Expired int64
}

// Due lists what is due, in order of slot, cause and time. It jumps over everything
// else: it costs a few seeks for each slot that has an owner.
func (v *View) Due(q DueQuery) (page DuePage, err error) {
	err = v.walk(slotKey(q.From, kindDeleted, 0), slotKey(q.To, kindExpiry+1, 0), func(iter *pebble.Iterator) error {
		w := dueWalk{iter: iter, q: q, page: &page}
		w.walk()
		return nil
	})
	if err != nil {
		return page, fmt.Errorf("list what is due: %w", err)
	}
	return page, nil
}

type dueWalk struct {
	iter *pebble.Iterator
	q    DueQuery
	page *DuePage
}

func (w *dueWalk) walk() {
	ok := w.iter.First()
	if w.q.After != nil {
		ok = w.iter.SeekGE(append(clone(w.q.After), 0))
	}
	for ok {
		key := w.iter.Key()
		slot := chat.Slot(binary.BigEndian.Uint16(key[1:]))
		switch kind := key[3]; {
		case kind < kindDeleted:
			ok = w.iter.SeekGE(slotKey(slot, kindDeleted, 0))
		case kind > kindExpiry:
			ok = w.nextSlot(slot)
		default:
			ok = w.entry(slot, kind, key)
		}
	}
}

func (w *dueWalk) nextSlot(slot chat.Slot) bool {
	return slot < w.q.To && w.iter.SeekGE(slotKey(slot+1, kindDeleted, 0))
}

// entry takes an entry that is due, or leaves the entries after one that is not. It
// reports whether the walk goes on.
func (w *dueWalk) entry(slot chat.Slot, kind byte, key []byte) bool {
	time := func(i int) int64 { return int64(binary.BigEndian.Uint64(key[4+8*i:])) }
	at, bound, next := time(0), w.q.Deleted, &w.page.Deleted
	if kind == kindExpiry {
		bound, next = w.q.Expired, &w.page.Expired
	}
	if at > bound {
		if *next == 0 || at < *next {
			*next = at
		}
		if kind == kindDeleted {
			return w.iter.SeekGE(slotKey(slot, kindExpiry, 0))
		}
		return w.nextSlot(slot)
	}
	w.page.Items = append(w.page.Items, Due{
		Thread:  chat.ThreadID{Time: time(1), Slot: slot},
		Message: time(2),
		At:      at,
		Expired: kind == kindExpiry,
	})
	if len(w.page.Items) == w.q.Limit {
		w.page.After = clone(key)
		return false
	}
	return w.iter.Next()
}

// MessageTimes lists the times of up to n messages of a thread after a time, live and
// deleted, oldest first.
func (v *View) MessageTimes(t chat.ThreadID, after int64, n int) (times []int64, err error) {
	m, err := v.merge(threadKey(t, subLive, 0), threadKey(t, subDead, 0))
	if err != nil {
		return nil, err
	}
	for ok := m.from(appendTime(nil, after+1)); ok && len(times) < n; ok = m.next() {
		times = append(times, lastTime(m.suffix()))
	}
	if err := m.close(); err != nil {
		return nil, fmt.Errorf("list messages of %s: %w", t, err)
	}
	return times, nil
}

// Stale says from when on the oldest answer that is remembered is looked for no more: 0
// where none is remembered. From then on it may go.
func (v *View) Stale() (at int64, err error) {
	for _, s := range []struct {
		space  byte
		period int64
	}{{spaceIdempotency, Day}, {spaceCommand, Quarter}} {
		from, to := PrefixRange([]byte{s.space})
		keys, err := v.Keys(from, to, false, 1)
		if err != nil {
			return 0, err
		}
		if len(keys) == 0 {
			continue
		}
		end := (int64(binary.BigEndian.Uint32(keys[0].Key[1:])) + 2) * s.period
		if at == 0 || end < at {
			at = end
		}
	}
	return at, nil
}
