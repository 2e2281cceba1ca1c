package writer

import (
	"slices"

	"github.com/bobbindb/bobbin/shared/chat"
	"github.com/bobbindb/bobbin/shared/store"
)

func (t *turn) createThread(a *chat.CreateThread) (chat.Result, bool, error) {
	owner := t.digest(t.caller)
	if a.ClientID != "" {
		id, ok, err := store.FindThread(t.s, owner, a.ClientID)
		if err != nil {
			return chat.Result{}, false, err
		}
		if ok {
			return t.createdBefore(id, a)
		}
	}
	id, err := t.newThreadID(owner.Slot(), &a.Draft)
	if err != nil {
		return chat.Result{}, false, err
	}
	th := &chat.Thread{
		ID:       id,
		Owner:    t.caller,
		ClientID: a.ClientID,
		Created:  id.Time,
		Expires:  a.Expires,
		Status:   a.Status,
		Members:  a.Members,
		SlugHash: a.SlugHash,
		Content:  a.Content,
	}
	t.touch(th)
	if err := t.title(th, &a.Draft, 0); err != nil {
		return chat.Result{}, false, err
	}
	result := chat.Result{Thread: id}
	for i := range a.Messages {
		message, _, err := t.post(th, &a.Messages[i])
		if err != nil {
			return chat.Result{}, false, err
		}
		result.Messages = append(result.Messages, message.ID)
	}
	return result, true, t.save(nil, th)
}

// createdBefore answers who creates a thread under an id that is taken: as the first
// time, if it is the same request.
func (t *turn) createdBefore(id chat.ThreadID, a *chat.CreateThread) (chat.Result, bool, error) {
	th, ok, err := t.thread(id)
	if err != nil {
		return chat.Result{}, false, err
	}
	if !ok || th.Content == (chat.Digest{}) || !same(th.Content, a.Content) {
		return chat.Result{}, false, chat.ErrIDUsed
	}
	messages, err := t.firstMessages(th, len(a.Messages))
	return chat.Result{Thread: id, Messages: messages}, false, err
}

// firstMessages names the messages that a thread was made with: here they got the times
// right after the thread's own. It names none if they are not all there.
func (t *turn) firstMessages(th *chat.Thread, n int) ([]chat.MessageID, error) {
	var ids []chat.MessageID
	for i := range n {
		m, ok, err := store.GetMessage(t.s, th, th.ID.Time+1+int64(i))
		if err != nil || !ok || m.ID.Seq != uint32(i) {
			return nil, err
		}
		ids = append(ids, m.ID)
	}
	return ids, nil
}

// newThreadID names a thread that is made now: after every other of the partition.
// Where the texts are sealed already, it is named by the time they are sealed for, if
// that is free in the slot: routes that make threads side by side do not wait for each
// other.
func (t *turn) newThreadID(slot chat.Slot, d *chat.Draft) (chat.ThreadID, error) {
	c, err := counters(t.s)
	if err != nil {
		return chat.ThreadID{}, err
	}
	id, err := t.freeThreadID(chat.ThreadID{Time: max(t.m.time, c.LastThread+1), Slot: slot})
	if err != nil {
		return chat.ThreadID{}, err
	}
	if d.Seal == nil {
		proposed := chat.ThreadID{Time: d.At, Slot: slot}
		_, taken, err := t.s.Get(store.KeyThread(proposed))
		if err != nil {
			return chat.ThreadID{}, err
		}
		if taken || t.tooFarAhead(d.At) || d.At < t.m.time-int64(chat.Lifetime+late) {
			return chat.ThreadID{}, &chat.TimeError{Next: id.Time}
		}
		id = proposed
	}
	c.LastThread = max(c.LastThread, id.Time)
	putCounters(t.s, c)
	return id, nil
}

// freeThreadID is the first id from this one on that no thread of the slot has.
func (t *turn) freeThreadID(id chat.ThreadID) (chat.ThreadID, error) {
	for {
		_, taken, err := t.s.Get(store.KeyThread(id))
		if err != nil || !taken {
			return id, err
		}
		id.Time++
	}
}

func (t *turn) updateThread(a *chat.UpdateThread) (chat.Result, bool, error) {
	before, err := t.find(a.Thread, chat.RoleOwner)
	if err != nil {
		return chat.Result{}, false, err
	}
	if !matches(a.IfMatch, before.Revision) {
		return chat.Result{}, false, chat.ErrPrecondition
	}
	after := *before
	if err := t.set(&after, a); err != nil {
		return chat.Result{}, false, err
	}
	next := before.Revision + 1
	if a.Draft.Seal == nil && a.Draft.Closed() && a.Draft.At != int64(next) {
		return chat.Result{}, false, &chat.TimeError{Next: int64(next)}
	}
	if err := t.title(&after, &a.Draft, next); err != nil {
		return chat.Result{}, false, err
	}
	return t.change(before, &after)
}

// set makes those changes of a thread that are in clear.
func (t *turn) set(th *chat.Thread, a *chat.UpdateThread) error {
	if a.Slug != nil {
		th.Slug, th.SlugRevision, th.SlugHash = nil, 0, *a.Slug
	}
	if a.NoMetadata {
		th.Metadata, th.MetadataRevision = nil, 0
	}
	if a.Status != nil {
		th.Status = *a.Status
	}
	if a.Expires != nil {
		th.Expires = *a.Expires
	}
	if a.Head == nil {
		return nil
	}
	m, err := t.message(th, *a.Head)
	if err != nil {
		return err
	}
	if m.Deleted != 0 {
		return chat.ErrMessageNotFound
	}
	th.Head = m.ID.Time
	return nil
}

func (t *turn) deleteThread(a *chat.DeleteThread) (chat.Result, bool, error) {
	before, err := t.find(a.Thread, chat.RoleOwner)
	if err != nil {
		return chat.Result{}, false, err
	}
	if !matches(a.IfMatch, before.Revision) {
		return chat.Result{}, false, chat.ErrPrecondition
	}
	after := *before
	after.Deleted = t.m.time
	return t.change(before, &after)
}

// undeleteThread makes a thread what it was when it was deleted. A thread that is gone
// and one that is somebody else's get the same answer: that there is none.
func (t *turn) undeleteThread(a *chat.UndeleteThread) (chat.Result, bool, error) {
	before, has, err := t.look(a.Thread)
	switch {
	case err != nil:
		return chat.Result{}, false, err
	case has == 0:
		return chat.Result{}, false, chat.ErrThreadNotFound
	case has < chat.RoleOwner:
		return chat.Result{}, false, chat.ErrNotParticipant
	case before.Deleted == 0:
		return chat.Result{Thread: before.ID, Revision: before.Revision}, false, nil
	}
	after := *before
	after.Deleted = 0
	return t.change(before, &after)
}

// change saves a change of the thread itself.
func (t *turn) change(before, after *chat.Thread) (chat.Result, bool, error) {
	after.Revision++
	t.touch(after)
	return chat.Result{Thread: after.ID, Revision: after.Revision}, true, t.save(before, after)
}

// matches reports whether a revision is one of those asked for; nil asks for none.
func matches(ifMatch []uint32, revision uint32) bool {
	return ifMatch == nil || slices.Contains(ifMatch, revision)
}

// title takes those of a thread's texts that the draft has. They are sealed as of the
// thread's revision that they come with, which stands beside each of them, for each
// changes on its own. A slug is set only where its hash came with it: when the thread is
// made or its slug was let go of.
func (t *turn) title(th *chat.Thread, d *chat.Draft, revision uint32) error {
	texts, err := t.texts(th, d, 0, revision)
	if err != nil {
		return err
	}
	if texts.Title != nil {
		th.Title, th.TitleRevision = texts.Title, revision
	}
	if texts.Metadata != nil {
		th.Metadata, th.MetadataRevision = texts.Metadata, revision
	}
	if texts.Slug != nil && th.Slug == nil && th.SlugHash != (chat.Digest{}) {
		th.Slug, th.SlugRevision = texts.Slug, revision
	}
	return nil
}

// touch says that the thread changed or got a message now.
func (t *turn) touch(th *chat.Thread) {
	th.Updated = max(t.m.time, th.ID.Time)
	th.Changed = t.m.seq
}

// thread reads a thread, deleted or not. The copy may be changed. One that is being
// purged is unknown.
func (t *turn) thread(id chat.ThreadID) (*chat.Thread, bool, error) {
	th, ok, err := t.record(id)
	if err != nil || !ok || th.Purged != 0 {
		return nil, false, err
	}
	return th, true, nil
}

// look reads a thread, deleted or not, and says what the caller may do there; nothing
// when it is unknown.
func (t *turn) look(ref chat.ThreadRef) (*chat.Thread, chat.Role, error) {
	id := ref.ID
	if ref.ClientID != "" {
		found, ok, err := store.FindThread(t.s, t.digest(t.caller), ref.ClientID)
		if err != nil || !ok {
			return nil, 0, err
		}
		id = found
	}
	th, ok, err := t.thread(id)
	if err != nil || !ok {
		return nil, 0, err
	}
	return th, th.RoleOf(t.caller), nil
}

// find reads a thread in which the caller has at least this role. A thread that is
// unknown and one that is somebody else's get the same answer.
func (t *turn) find(ref chat.ThreadRef, role chat.Role) (*chat.Thread, error) {
	th, has, err := t.look(ref)
	switch {
	case err != nil:
		return nil, err
	case has == 0:
		return nil, chat.ErrNotParticipant
	case th.Deleted != 0:
		return nil, chat.ErrThreadNotFound
	case has < role:
		return nil, chat.ErrNotParticipant
	}
	return th, nil
}

// save writes a thread's record and whatever follows from its difference to what it
// was: index entries, the owner's counts and the partition's. before is nil for a new
// thread.
func (t *turn) save(before, after *chat.Thread) error {
	owner := t.digest(after.Owner)
	var entries []store.IndexEntry
	if before != nil {
		entries = store.ThreadIndex(owner, before)
	}
	t.reindex(entries, store.ThreadIndex(owner, after))
	put(t.s, store.KeyThread(after.ID), after, store.EncodeThread)

	c, err := counters(t.s)
	if err != nil {
		return err
	}
	if before == nil || store.StateOf(before) != store.StateOf(after) {
		made, err := t.countThread(owner, before, after)
		if err != nil {
			return err
		}
		if made {
			c.Owners++
		}
	}
	was := chat.Thread{}
	if before != nil {
		was = *before
		*threadsOf(c, before)--
	}
	*threadsOf(c, after)++
	c.Messages += uint64(after.Live) - uint64(was.Live)
	c.DeadMessages += uint64(after.Dead) - uint64(was.Dead)
	putCounters(t.s, c)
	return nil
}

// threadsOf is where the partition counts a thread.
func threadsOf(c *store.Counters, th *chat.Thread) *uint64 {
	if th.Deleted != 0 {
		return &c.DeletedThreads
	}
	return &c.Threads
}

// countThread counts a thread for its owner, and reports whether that is the owner's
// first.
func (t *turn) countThread(owner chat.Digest, before, after *chat.Thread) (made bool, err error) {
	key := store.KeyOwner(owner)
	o, ok, err := load(t.s, key, store.DecodeOwner)
	if err != nil {
		return false, err
	}
	if !ok {
		o = &store.Owner{Owner: after.Owner, Created: t.m.time}
	}
	if before != nil {
		*o.Count(store.StateOf(before))--
	}
	*o.Count(store.StateOf(after))++
	put(t.s, key, o, store.EncodeOwner)
	return !ok, nil
}
