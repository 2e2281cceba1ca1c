package store

import (
	"bytes"
	"errors"
	"fmt"
	"slices"

	"github.com/cockroachdb/pebble/v2"

	"github.com/bobbindb/bobbin/shared/chat"
)

// lane is a range of keys that all begin with one prefix; what follows the prefix
// orders its items.
type lane struct {
	iter   *pebble.Iterator
	prefix []byte
}

// merged walks lanes as one list in the order of what follows their prefixes. Lanes
// hold disjoint items, so two never tie.
type merged struct {
	harm    *harm
	lanes   []lane
	current int // the lane of the current item, -1 for none
}

func (v *View) merge(prefixes ...[]byte) (*merged, error) {
	m := &merged{harm: v.harm, current: -1}
	for _, p := range prefixes {
		iter, err := v.snapshot.NewIter(&pebble.IterOptions{LowerBound: p, UpperBound: prefixEnd(p)})
		if err != nil {
			return nil, errors.Join(fmt.Errorf("open iterator: %w", err), m.close())
		}
		m.lanes = append(m.lanes, lane{iter: iter, prefix: p})
	}
	return m, nil
}

// prefixEnd is the least key after all that begin with the prefix.
func prefixEnd(prefix []byte) []byte {
	end := clone(prefix)
	for i := len(end) - 1; i >= 0; i-- {
		if end[i]++; end[i] != 0 {
			return end[:i+1]
		}
	}
	return nil
}

func (m *merged) close() error {
	var errs []error
	for _, l := range m.lanes {
		errs = append(errs, l.iter.Error(), l.iter.Close())
	}
	return m.harm.explain(errors.Join(errs...))
}

// before positions on the last item less than suffix; nil means on the last of all.
func (m *merged) before(suffix []byte) bool {
	for _, l := range m.lanes {
		if suffix == nil {
			l.iter.Last()
		} else {
			l.iter.SeekLT(append(clone(l.prefix), suffix...))
		}
	}
	return m.pick(1)
}

// from positions on the first item that is suffix or greater.
func (m *merged) from(suffix []byte) bool {
	for _, l := range m.lanes {
		l.iter.SeekGE(append(clone(l.prefix), suffix...))
	}
	return m.pick(-1)
}

func (m *merged) next() bool {
	m.lanes[m.current].iter.Next()
	return m.pick(-1)
}

func (m *merged) prev() bool {
	m.lanes[m.current].iter.Prev()
	return m.pick(1)
}

// pick chooses the greatest (sign 1) or least (sign -1) item among the lanes.
func (m *merged) pick(sign int) bool {
	m.current = -1
	var best []byte
	for i, l := range m.lanes {
		if !l.iter.Valid() {
			continue
		}
		if s := l.iter.Key()[len(l.prefix):]; m.current < 0 || sign*bytes.Compare(s, best) > 0 {
			m.current, best = i, s
		}
	}
	return m.current >= 0
}

// suffix is what orders the current item.
func (m *merged) suffix() []byte {
	l := m.lanes[m.current]
	return l.iter.Key()[len(l.prefix):]
}

func (m *merged) value() ([]byte, error) {
	value, err := m.lanes[m.current].iter.ValueAndErr()
	if err != nil {
		return nil, fmt.Errorf("read item: %w", m.harm.explain(err))
	}
	return value, nil
}

// span is a run of items in ascending order, and whether there is more on each side.
type span[T any] struct {
	items  []T
	before bool
	after  bool
}

// item reads the current item of a walk, and says how many bytes it adds to a page.
type item[T any] func(m *merged) (T, int, error)

// pager reads the items of one page. The page ends before the item that would make it
// too large, but has at least one item.
type pager[T any] struct {
	*merged
	limit int // items on each side of a cursor
	get   item[T]

	items int
	size  int
	room  int // the page ends at this size
}

// read reads the page that the cursor asks for. at is the position of the cursor's key
// among the suffixes, nil without one.
func read[T any](m *merged, c chat.Cursor, at []byte, get item[T]) (span[T], error) {
	p := pager[T]{merged: m, limit: c.Limit, get: get, room: chat.MaxPageBytes}
	switch {
	case c.Before != "":
		return p.readBefore(at)
	case c.After != "":
		return p.readAfter(at)
	case c.Anchor != "":
		return p.readAround(at)
	}
	return p.readBefore(nil)
}

// walk reads up to limit items, from the current one on if there is one, and says
// whether there are more.
func (p *pager[T]) walk(ok bool, step func() bool) (items []T, more bool, err error) {
	for ; ok && len(items) < p.limit; ok = step() {
		x, n, err := p.get(p.merged)
		if err != nil {
			return nil, false, err
		}
		if p.items > 0 && p.size+n > p.room {
			return items, true, nil
		}
		items, p.items, p.size = append(items, x), p.items+1, p.size+n
	}
	return items, ok, nil
}

// readBefore reads the nearest items before at, or the last of all.
func (p *pager[T]) readBefore(at []byte) (s span[T], err error) {
	if s.items, s.before, err = p.walk(p.before(at), p.prev); err != nil {
		return s, err
	}
	slices.Reverse(s.items)
	s.after = at != nil && p.from(at)
	return s, nil
}

// readAfter reads the nearest items after at.
func (p *pager[T]) readAfter(at []byte) (s span[T], err error) {
	if s.items, s.after, err = p.walk(p.from(successor(at)), p.next); err != nil {
		return s, err
	}
	s.before = p.before(successor(at))
	return s, nil
}

// readAround reads the item at at, if it is there, and the nearest on each side. Those
// before it take at most half of the room that it leaves.
func (p *pager[T]) readAround(at []byte) (s span[T], err error) {
	var anchor []T
	if p.from(at) && bytes.Equal(p.suffix(), at) {
		x, n, err := p.get(p.merged)
		if err != nil {
			return s, err
		}
		anchor, p.items, p.size = []T{x}, 1, n
	}
	p.room = p.size + (chat.MaxPageBytes-p.size)/2
	older, before, err := p.walk(p.before(at), p.prev)
	if err != nil {
		return s, err
	}
	slices.Reverse(older)
	p.room = chat.MaxPageBytes
	newer, after, err := p.walk(p.from(successor(at)), p.next)
	if err != nil {
		return s, err
	}
	return span[T]{items: slices.Concat(older, anchor, newer), before: before, after: after}, nil
}

// successor is the least suffix greater than s among those of its width.
func successor(s []byte) []byte { return append(clone(s), 0) }

// Messages reads a page of a thread's messages, oldest first. at is the time of the
// cursor's message, 0 without one.
func (v *View) Messages(t *chat.Thread, q chat.MessageQuery, at int64) (chat.MessagePage, error) {
	prefixes := [][]byte{threadKey(t.ID, subLive, 0)}
	total := int(t.Live)
	if q.IncludeDeleted {
		prefixes = append(prefixes, threadKey(t.ID, subDead, 0))
		total += int(t.Dead)
	}
	m, err := v.merge(prefixes...)
	if err != nil {
		return chat.MessagePage{}, err
	}
	d := messageDecoder{thread: t, expect: min(q.Limit, total)}
	s, err := read(m, q.Cursor, suffixOf(at), d.current)
	if err := errors.Join(err, m.close()); err != nil {
		return chat.MessagePage{}, fmt.Errorf("list messages of %s: %w", t.ID, err)
	}
	return chat.MessagePage{
		Page:     chat.Page{HasBefore: s.before, HasAfter: s.after, Total: total},
		Thread:   t,
		Messages: s.items,
	}, nil
}

// messageDecoder decodes the messages of one page into few pieces of memory, which they
// share: a page is kept or dropped as a whole.
type messageDecoder struct {
	thread *chat.Thread
	expect int // messages, of which a page rarely has more
	slab   []chat.Message
	bytes  []byte
	words  words
}

// maxSlab is how many bytes of records are allocated at once, unless one is larger.
const maxSlab = 256 << 10

// current decodes the current item of a walk.
func (d *messageDecoder) current(m *merged) (*chat.Message, int, error) {
	value, err := m.value()
	if err != nil {
		return nil, 0, err
	}
	if cap(d.bytes)-len(d.bytes) < len(value) {
		d.bytes = make([]byte, 0, max(len(value), min(d.expect*len(value), maxSlab)))
	}
	if len(d.slab) == 0 {
		d.slab = make([]chat.Message, max(d.expect, 1))
	}
	from := len(d.bytes)
	d.bytes = append(d.bytes, value...)
	msg := &d.slab[0]
	d.slab = d.slab[1:]
	if err := decodeMessage(msg, d.thread, lastTime(m.suffix()), d.bytes[from:len(d.bytes):len(d.bytes)], &d.words); err != nil {
		return nil, 0, err
	}
	return msg, len(msg.Body) + len(msg.Metadata), nil
}

func suffixOf(time int64) []byte {
	if time == 0 {
		return nil
	}
	return appendTime(nil, time)
}

// Threads reads a page of an owner's threads, newest first. at is the cursor's thread,
// nil without one.
func (v *View) Threads(owner chat.Digest, q chat.ThreadQuery, at *chat.Thread) (chat.ThreadPage, error) {
	o, ok, err := GetOwner(v, owner)
	if err != nil || !ok {
		return chat.ThreadPage{Page: chat.Page{Uncounted: q.SlugHash != (chat.Digest{})}}, err
	}
	lanes, total := threadLanes(owner, o, q)
	m, err := v.merge(lanes...)
	if err != nil {
		return chat.ThreadPage{}, err
	}
	// The index ascends and the list descends: what is after in the list, older, is
	// before in the index.
	c := chat.Cursor{Before: q.After, After: q.Before, Anchor: q.Anchor, Limit: q.Limit}
	s, err := read(m, c, threadSuffix(q.SortBy, at), func(m *merged) (*chat.Thread, int, error) {
		id := chat.ThreadID{Time: lastTime(m.suffix()), Slot: owner.Slot()}
		t, ok, err := GetThread(v, id)
		if err == nil && !ok {
			err = fmt.Errorf("thread %s is listed and has no record: %w", id, ErrDamaged)
		}
		if err != nil {
			return nil, 0, err
		}
		return t, len(t.Title) + len(t.Metadata), nil
	})
	if err := errors.Join(err, m.close()); err != nil {
		return chat.ThreadPage{}, fmt.Errorf("list threads: %w", err)
	}
	slices.Reverse(s.items)
	return chat.ThreadPage{
		Page:    chat.Page{HasBefore: s.after, HasAfter: s.before, Total: total, Uncounted: total < 0},
		Threads: s.items,
	}, nil
}

// threadLanes is where the threads of a list stand, and how many there are; less than
// 0 when that is not counted.
func threadLanes(owner chat.Digest, o *Owner, q chat.ThreadQuery) (lanes [][]byte, total int) {
	if q.SlugHash != (chat.Digest{}) {
		return [][]byte{append(ownerKey(owner.Slot(), kindSlug, owner, 16), q.SlugHash[:16]...)}, -1
	}
	kind := byte(kindList)
	if q.SortBy == chat.ByUpdated {
		kind = kindUpdated
	}
	for status, state := range map[chat.Status]State{chat.Open: StateOpen, chat.Archived: StateArchived} {
		if q.Status == nil || *q.Status == status {
			lanes = append(lanes, append(ownerKey(owner.Slot(), kind, owner, 1), byte(state)))
			total += int(*o.Count(state))
		}
	}
	return lanes, total
}

func threadSuffix(by chat.SortBy, t *chat.Thread) []byte {
	if t == nil {
		return nil
	}
	if by == chat.ByUpdated {
		return appendTime(appendTime(nil, t.Updated), t.ID.Time)
	}
	return appendTime(nil, t.ID.Time)
}
