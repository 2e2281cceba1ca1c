package httpapi

import (
	"strconv"

	"github.com/bobbindb/bobbin/shared/chat"
)

// listRevisions shows a page of a message's earlier texts, oldest first. The text that
// the message has now is not among them.
func (a *API) listRevisions(x *exchange) error {
	thread, ref, err := x.message()
	if err != nil {
		return err
	}
	call, err := x.reading()
	if err != nil {
		return err
	}
	cursor, err := x.cursor()
	if err != nil {
		return err
	}
	page, position, err := a.Service.ListRevisions(x.r.Context(), call, thread, ref, chat.RevisionQuery{Cursor: cursor})
	x.at(position)
	if err != nil {
		return err
	}
	x.out = appendRevisionPage(x.out[:0], &page)
	x.answerList()
	return nil
}

// revisionNumber is the key of a revision in a list.
type revisionNumber uint32

// AppendTo appends the number in digits.
func (n revisionNumber) AppendTo(b []byte) []byte { return strconv.AppendUint(b, uint64(n), 10) }

// appendRevisionPage appends a page of revisions as clients see it.
func appendRevisionPage(b []byte, page *chat.OpenRevisionPage) []byte {
	b = appendKey(append(b, '{'), "thread", page.Message.Thread)
	b = append(appendKey(b, "message", page.Message), `,"revisions":[`...)
	for i := range page.Revisions {
		if i > 0 {
			b = append(b, ',')
		}
		b = appendRevision(b, &page.Revisions[i])
	}
	b = append(b, ']')
	var first, last revisionNumber
	if n := len(page.Revisions); n > 0 {
		first, last = revisionNumber(page.Revisions[0].Revision.Revision), revisionNumber(page.Revisions[n-1].Revision.Revision)
	}
	return append(appendPage(b, page.Page, len(page.Revisions), first, last), '}')
}

// appendRevision appends a revision as clients see it.
func appendRevision(b []byte, r *chat.OpenRevision) []byte {
	b = append(b, '{')
	b = appendInt(b, "revision", int64(r.Revision.Revision))
	b = appendText(b, "author", r.Author.User)
	b = appendInt(b, "written_ts", r.Written)
	b = appendRaw(b, "body", r.Body)
	b = appendOptionalRaw(b, "metadata", r.Metadata)
	return append(b, '}')
}
