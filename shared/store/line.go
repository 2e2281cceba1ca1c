package store

import (
	"fmt"
	"slices"

	"github.com/bobbindb/bobbin/shared/chat"
)

// Line reads a page of the line of parents that ends at the thread's head, or before
// the message at at when that is not 0: oldest first. It reads one record for each
// message, and those between that are deleted: once the page has a message, it ends
// after three times its limit of records.
func (v *View) Line(t *chat.Thread, q chat.MessageQuery, at int64) (chat.MessagePage, error) {
	page := chat.MessagePage{Page: chat.Page{Uncounted: true}, Thread: t}
	w := lineWalk{view: v, thread: t, next: t.Head}
	if at != 0 {
		m, err := w.at(at)
		if err != nil {
			return chat.MessagePage{}, err
		}
		page.HasAfter = m != nil
	}
	size := 0
	for passed := 0; w.next != 0; passed++ {
		if len(page.Messages) > 0 && passed > 3*q.Limit {
			page.HasBefore = true
			break
		}
		m, err := w.at(w.next)
		if err != nil {
			return chat.MessagePage{}, err
		}
		if m == nil || m.Deleted != 0 && !q.IncludeDeleted {
			continue
		}
		n := len(m.Body) + len(m.Metadata)
		if len(page.Messages) == q.Limit || len(page.Messages) > 0 && size+n > chat.MaxPageBytes {
			page.HasBefore = true
			break
		}
		page.Messages, size = append(page.Messages, m), size+n
	}
	slices.Reverse(page.Messages)
	return page, nil
}

// lineWalk goes from messages to their parents, and past those that were purged.
type lineWalk struct {
	view   *View
	thread *chat.Thread
	next   int64 // time of the next message, 0 at the end
}

// at reads a message and goes on to its parent. One that was purged is nil, and what it
// answered is the next; where it answered nothing, the line ends.
func (w *lineWalk) at(time int64) (*chat.Message, error) {
	m, ok, err := GetMessage(w.view, w.thread, time)
	if err != nil {
		return nil, fmt.Errorf("read message %d of %s: %w", time, w.thread.ID, err)
	}
	if ok {
		w.next = m.Parent
	} else if w.next, _, err = GetLink(w.view, w.thread.ID, time); err != nil {
		return nil, fmt.Errorf("read link %d of %s: %w", time, w.thread.ID, err)
	}
	if w.next >= time {
		return nil, fmt.Errorf("message %d of %s answers a later one: %w", time, w.thread.ID, ErrDamaged)
	}
	return m, nil
}
