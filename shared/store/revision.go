package store

import (
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/bobbindb/bobbin/shared/chat"
)

// Revisions reads a page of a message's earlier texts, oldest first. at is the number
// of the cursor's revision, nil without one; unknown says that there is none of that
// number. The numbers of a message's revisions have no gaps, so the first and the last
// tell how many there are.
func (v *View) Revisions(t *chat.Thread, m *chat.Message, q chat.RevisionQuery, at *uint32) (page chat.RevisionPage, unknown bool, err error) {
	walk, err := v.merge(appendTime(threadKey(t.ID, subRevision, 12), m.ID.Time))
	if err != nil {
		return chat.RevisionPage{}, false, err
	}
	page = chat.RevisionPage{Thread: t, Message: m}
	var first uint32
	if walk.from(nil) {
		first = numberOf(walk)
		page.Total = int(m.Revision - first)
	}
	var cursor []byte
	if at != nil {
		unknown = page.Total == 0 || *at < first || *at >= m.Revision
		cursor = binary.BigEndian.AppendUint32(nil, *at)
	}
	var s span[*chat.Revision]
	if !unknown {
		s, err = read(walk, q.Cursor, cursor, func(walk *merged) (*chat.Revision, int, error) {
			value, err := walk.value()
			if err != nil {
				return nil, 0, err
			}
			r, err := DecodeRevision(m, numberOf(walk), clone(value))
			if err != nil {
				return nil, 0, err
			}
			return r, len(r.Body) + len(r.Metadata), nil
		})
	}
	if err := errors.Join(err, walk.close()); err != nil {
		return chat.RevisionPage{}, false, fmt.Errorf("list revisions of %s: %w", m.ID, err)
	}
	page.Revisions, page.HasBefore, page.HasAfter = s.items, s.before, s.after
	return page, unknown, nil
}

// numberOf is the number of the revision that a walk is at.
func numberOf(m *merged) uint32 { return binary.BigEndian.Uint32(m.suffix()) }
