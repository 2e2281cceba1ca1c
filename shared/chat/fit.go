package chat

import (
	"cmp"
	"slices"
)

// What a page holds is bounded twice: the reader counts texts as they are sealed, which
// is cheap and before they are opened; but a sealed text may be compressed and have a
// thousand times the size. So a page is opened from its cursor on, and ends before it is
// too large.

// end is one of the two ends of a page.
type end int

const (
	first end = iota
	last
)

// fit opens the n items of a page and leaves out those with which it would be over
// MaxPageBytes, though never the first that it opens, which is next to the cursor. newest
// is where the list has its newest items: there a page without a cursor begins. anchor is
// the item that an anchor names.
func fit[T any](p *Page, n int, c Cursor, newest end, anchor int, open func(i int) (item T, size int, err error)) ([]T, error) {
	f := fitter[T]{open: open, room: MaxPageBytes}
	if c.After != "" || newest == first && c.Before+c.Anchor == "" {
		items, cut, err := f.walk(0, n)
		p.HasAfter = p.HasAfter || cut
		return items, err
	}
	at := n - 1
	if c.Anchor != "" {
		at = min(max(anchor, 0), at)
		f.room = MaxPageBytes / 2
	}
	items, cut, err := f.walk(at, -1)
	p.HasBefore = p.HasBefore || cut
	if slices.Reverse(items); err != nil || c.Anchor == "" {
		return items, err
	}
	f.room = MaxPageBytes
	after, cut, err := f.walk(at+1, n)
	p.HasAfter = p.HasAfter || cut
	return append(items, after...), err
}

// fitter opens items for one page.
type fitter[T any] struct {
	open  func(i int) (T, int, error)
	room  int
	items int
	size  int
}

// walk opens the items from one to before another, whichever is greater, and reports
// whether it left some out.
func (f *fitter[T]) walk(at, until int) (items []T, cut bool, err error) {
	step := cmp.Compare(until, at)
	items = make([]T, 0, (until-at)*step)
	for ; at != until; at += step {
		item, n, err := f.open(at)
		if err != nil {
			return nil, false, err
		}
		if f.items > 0 && f.size+n > f.room {
			return items, true, nil
		}
		items, f.items, f.size = append(items, item), f.items+1, f.size+n
	}
	return items, false, nil
}

// anchorOf is the item of a page of messages that an anchor names; where it was deleted,
// the first one after it. It is negative where there is none.
func anchorOf(messages []*Message, anchor string) int {
	ref, err := ParseMessage(anchor)
	if err != nil {
		return -1
	}
	return slices.IndexFunc(messages, func(m *Message) bool {
		if ref.ClientID != "" {
			return m.ClientID == ref.ClientID
		}
		return m.ID.Time >= ref.ID.Time
	})
}

// threadAnchorOf is the same for a page of threads.
func threadAnchorOf(threads []*Thread, anchor string) int {
	ref, err := ParseThread(anchor)
	if err != nil {
		return -1
	}
	return slices.IndexFunc(threads, func(t *Thread) bool {
		if ref.ClientID != "" {
			return t.ClientID == ref.ClientID
		}
		return t.ID == ref.ID
	})
}
