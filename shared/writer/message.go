package writer

import (
	"github.com/bobbindb/bobbin/shared/chat"
	"github.com/bobbindb/bobbin/shared/store"
)

func (t *turn) postMessages(a *chat.PostMessages) (chat.Result, bool, error) {
	before, err := t.find(a.Thread, chat.RoleWriter)
	if err != nil {
		return chat.Result{}, false, err
	}
	after := *before
	result := chat.Result{Thread: after.ID}
	added := false
	for i := range a.Messages {
		m, isNew, err := t.post(&after, &a.Messages[i])
		if err != nil {
			return chat.Result{}, false, err
		}
		added = added || isNew
		result.Messages = append(result.Messages, m.ID)
	}
	if !added {
		return result, false, nil
	}
	t.touch(&after)
	return result, true, t.save(before, &after)
}

// post appends one message of the caller's to a thread that is saved afterwards. A
// message that was posted before under its client's id is returned as it is.
func (t *turn) post(th *chat.Thread, in *chat.NewMessage) (m *chat.Message, isNew bool, err error) {
	if in.ClientID != "" {
		m, ok, err := t.postedBefore(th, in)
		if ok || err != nil {
			return m, false, err
		}
	}
	at := max(t.m.time, th.LastTime+1, th.ID.Time+1)
	if in.Draft.Seal == nil {
		if in.Draft.At <= th.LastTime || t.tooFarAhead(in.Draft.At) {
			return nil, false, &chat.TimeError{Next: max(t.m.time, th.LastTime+1)}
		}
		at = in.Draft.At
	}
	m = &chat.Message{
		ID:      chat.MessageID{Thread: th.ID, Time: at},
		Author:  t.caller,
		Created: at,
		Updated: at,
	}
	return m, true, t.add(th, m, in)
}

// postedBefore finds a message that was posted under the same client's id.
func (t *turn) postedBefore(th *chat.Thread, in *chat.NewMessage) (*chat.Message, bool, error) {
	at, ok, err := store.FindMessage(t.s, th.ID, in.ClientID)
	if err != nil || !ok {
		return nil, false, err
	}
	m, ok, err := store.GetMessage(t.s, th, at)
	if err != nil {
		return nil, false, err
	}
	if !ok || !same(m.Content, in.Content) {
		return nil, false, chat.ErrIDUsed
	}
	return m, true, nil
}

// add gives a message its number and its texts and writes it. The name's time, the
// author, the revision and the client's times are set already; the thread is saved
// afterwards.
func (t *turn) add(th *chat.Thread, m *chat.Message, in *chat.NewMessage) error {
	if th.NextSeq > chat.MaxSeq {
		return chat.ErrThreadFull
	}
	parent, err := t.parent(th, in.Parent)
	if err != nil {
		return err
	}
	texts, err := t.texts(th, &in.Draft, m.ID.Time, m.Revision)
	if err != nil {
		return err
	}
	m.ID.Seq = th.NextSeq
	m.ClientID, m.Content = in.ClientID, in.Content
	m.Status, m.Role, m.Format, m.Model = in.Status, in.Role, in.Format, in.Model
	m.ReplyTo, m.Usage, m.Expires = in.ReplyTo, in.Usage, in.Expires
	m.Parent = parent
	m.Body, m.Metadata, m.MetadataRevision = texts.Body, texts.Metadata, m.Revision
	m.Changed = t.m.seq
	th.NextSeq++
	th.LastTime, th.LastMessage = m.ID.Time, m.Created
	if !in.Branch {
		th.Head = m.ID.Time
	}
	if m.Deleted == 0 {
		th.Live++
	} else {
		th.Dead++
	}
	t.saveMessage(th, nil, m)
	return nil
}

// parent is the time of the message that a new one answers.
func (t *turn) parent(th *chat.Thread, ref *chat.MessageRef) (int64, error) {
	if ref == nil {
		return th.Head, nil
	}
	m, err := t.message(th, *ref)
	if err != nil {
		return 0, err
	}
	return m.ID.Time, nil
}

func (t *turn) editMessage(a *chat.EditMessage) (chat.Result, bool, error) {
	th, m, err := t.findMessage(a.Thread, a.Message)
	if err != nil {
		return chat.Result{}, false, err
	}
	if m.Author != t.caller {
		return chat.Result{}, false, chat.ErrNotAuthor
	}
	if !matches(a.IfMatch, m.Revision) {
		return chat.Result{}, false, chat.ErrPrecondition
	}
	next := m.Revision + 1
	if a.Draft.Seal == nil && a.Draft.At != int64(next) {
		return chat.Result{}, false, &chat.TimeError{Next: int64(next)}
	}
	texts, err := t.texts(th, &a.Draft, m.ID.Time, next)
	if err != nil {
		return chat.Result{}, false, err
	}
	if texts.Body == nil {
		return chat.Result{}, false, chat.ErrBodyEmpty
	}
	t.s.set(store.KeyRevision(th.ID, m.ID.Time, m.Revision), store.EncodeRevision(&chat.Revision{
		Message:  m.ID,
		Revision: m.Revision,
		Author:   m.Author,
		Written:  m.Updated,
		Body:     m.Body,
		Metadata: m.Metadata,

		MetadataRevision: m.MetadataRevision,
	}))
	after := *m
	after.Body, after.Revision = texts.Body, next
	if texts.Metadata != nil {
		after.Metadata, after.MetadataRevision = texts.Metadata, next
	}
	after.Updated = max(t.m.time, m.ID.Time)
	after.Changed = t.m.seq
	t.saveMessage(th, m, &after)
	put(t.s, store.KeyThread(th.ID), th, store.EncodeThread) // for the count of its keys' uses
	return answerMessage(&after), true, nil
}

func (t *turn) deleteMessage(a *chat.DeleteMessage) (chat.Result, bool, error) {
	th, m, err := t.findMessage(a.Thread, a.Message)
	if err != nil {
		return chat.Result{}, false, err
	}
	if m.Author != t.caller && th.RoleOf(t.caller) != chat.RoleOwner {
		return chat.Result{}, false, chat.ErrNotAuthor
	}
	if !matches(a.IfMatch, m.Revision) {
		return chat.Result{}, false, chat.ErrPrecondition
	}
	after := *m
	after.Deleted, after.Changed = t.m.time, t.m.seq
	t.saveMessage(th, m, &after)
	before := *th
	th.Live--
	th.Dead++
	return answerMessage(&after), true, t.save(&before, th)
}

// undeleteMessage makes a message what it was when it was deleted.
func (t *turn) undeleteMessage(a *chat.UndeleteMessage) (chat.Result, bool, error) {
	th, err := t.find(a.Thread, chat.RoleWriter)
	if err != nil {
		return chat.Result{}, false, err
	}
	m, err := t.message(th, a.Message)
	if err != nil {
		return chat.Result{}, false, err
	}
	if m.Author != t.caller && th.RoleOf(t.caller) != chat.RoleOwner {
		return chat.Result{}, false, chat.ErrNotAuthor
	}
	if m.Deleted == 0 {
		return answerMessage(m), false, nil
	}
	after := *m
	after.Deleted, after.Changed = 0, t.m.seq
	t.saveMessage(th, m, &after)
	before := *th
	th.Live++
	th.Dead--
	return answerMessage(&after), true, t.save(&before, th)
}

func answerMessage(m *chat.Message) chat.Result {
	return chat.Result{Thread: m.ID.Thread, Messages: []chat.MessageID{m.ID}, Revision: m.Revision}
}

// findMessage reads a live message in a thread that the caller may write to.
func (t *turn) findMessage(thread chat.ThreadRef, ref chat.MessageRef) (*chat.Thread, *chat.Message, error) {
	th, err := t.find(thread, chat.RoleWriter)
	if err != nil {
		return nil, nil, err
	}
	m, err := t.message(th, ref)
	if err != nil {
		return nil, nil, err
	}
	if m.Deleted != 0 {
		return nil, nil, chat.ErrMessageNotFound
	}
	return th, m, nil
}

// message reads a message of the thread, live or deleted.
func (t *turn) message(th *chat.Thread, ref chat.MessageRef) (*chat.Message, error) {
	at := ref.ID.Time
	if ref.ClientID != "" {
		found, ok, err := store.FindMessage(t.s, th.ID, ref.ClientID)
		if err != nil {
			return nil, err
		}
		if !ok {
			return nil, chat.ErrMessageNotFound
		}
		at = found
	} else if ref.ID.Thread != th.ID {
		return nil, chat.ErrNotInThread
	}
	m, ok, err := store.GetMessage(t.s, th, at)
	if err != nil {
		return nil, err
	}
	if !ok || ref.ClientID == "" && ref.ID.Seq != chat.NoSeq && ref.ID.Seq != m.ID.Seq {
		return nil, chat.ErrMessageNotFound
	}
	return m, nil
}

// saveMessage writes a message's record and its index entries, and takes away those of
// what it was. before is nil for a new message.
func (t *turn) saveMessage(th *chat.Thread, before, after *chat.Message) {
	owner := t.digest(th.Owner)
	var entries []store.IndexEntry
	if before != nil {
		entries = store.MessageIndex(owner, before)
		if (before.Deleted == 0) != (after.Deleted == 0) {
			t.s.delete(keyOf(before))
		}
	}
	t.reindex(entries, store.MessageIndex(owner, after))
	t.s.set(keyOf(after), store.EncodeMessage(after))
}

// keyOf is where a message's record lies.
func keyOf(m *chat.Message) []byte {
	if m.Deleted != 0 {
		return store.KeyDeadMessage(m.ID.Thread, m.ID.Time)
	}
	return store.KeyMessage(m.ID.Thread, m.ID.Time)
}
