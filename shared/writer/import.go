package writer

import (
	"cmp"
	"time"

	"github.com/bobbindb/bobbin/shared/chat"
	"github.com/bobbindb/bobbin/shared/store"
)

// importThread makes a thread as it was elsewhere, or adds the messages that it lacks.
// A deleted thread gets none. A thread that is there already is made a tombstone only
// together with messages that it lacked: whoever imports the same again changes
// nothing, whatever happened to the thread here.
func (t *turn) importThread(a *chat.ImportThread) (chat.Result, bool, error) {
	if a.ClientID == "" {
		return chat.Result{}, false, chat.ErrClientID
	}
	owner := t.digest(t.caller)
	id, ok, err := store.FindThread(t.s, owner, a.ClientID)
	if err != nil {
		return chat.Result{}, false, err
	}
	if ok {
		return t.importInto(id, a)
	}
	th, err := t.importedThread(owner.Slot(), a)
	if err != nil {
		return chat.Result{}, false, err
	}
	added, err := t.importMessages(th, a.Messages)
	if err != nil {
		return chat.Result{}, false, err
	}
	th.Updated = cmp.Or(a.Updated, th.LastMessage, th.Created)
	th.Deleted = a.Deleted
	th.Changed = t.m.seq
	return chat.Result{Thread: th.ID, Created: added}, true, t.save(nil, th)
}

// near is how far from its original time an imported thread may lie that was sealed
// elsewhere.
const near = time.Millisecond

// importedThread is a new thread with its original time, at the first time in its slot
// that is free from there on.
func (t *turn) importedThread(slot chat.Slot, a *chat.ImportThread) (*chat.Thread, error) {
	created := cmp.Or(a.Created, t.m.time)
	id, err := t.freeThreadID(chat.ThreadID{Time: max(min(created, t.m.time), 1), Slot: slot})
	if err != nil {
		return nil, err
	}
	if a.Draft.Seal == nil {
		if a.Draft.At < id.Time || a.Draft.At > id.Time+int64(near) {
			return nil, &chat.TimeError{Next: id.Time}
		}
		proposed, err := t.freeThreadID(chat.ThreadID{Time: a.Draft.At, Slot: slot})
		if err != nil {
			return nil, err
		}
		if proposed.Time != a.Draft.At {
			return nil, &chat.TimeError{Next: proposed.Time}
		}
		id = proposed
	}
	th := &chat.Thread{
		ID:       id,
		Owner:    t.caller,
		ClientID: a.ClientID,
		Created:  created,
		Expires:  a.Expires,
		Status:   a.Status,
		Members:  a.Members,
		SlugHash: a.SlugHash,
	}
	return th, t.title(th, &a.Draft, 0)
}

func (t *turn) importInto(id chat.ThreadID, a *chat.ImportThread) (chat.Result, bool, error) {
	before, ok, err := t.thread(id)
	if err != nil {
		return chat.Result{}, false, err
	}
	result := chat.Result{Thread: id}
	if !ok || before.Deleted != 0 {
		return result, false, nil
	}
	after := *before
	if result.Created, err = t.importMessages(&after, a.Messages); err != nil || result.Created == 0 {
		return result, false, err
	}
	after.Updated = max(before.Updated, cmp.Or(a.Updated, after.LastMessage))
	after.Changed = t.m.seq
	if after.Deleted = a.Deleted; after.Deleted != 0 {
		after.Revision++
	}
	result.Revision = after.Revision
	return result, true, t.save(before, &after)
}

// importMessages adds the messages whose client's ids the thread does not have, and
// counts them.
func (t *turn) importMessages(th *chat.Thread, messages []chat.NewMessage) (added int, err error) {
	for i := range messages {
		in := &messages[i]
		if in.ClientID == "" {
			return 0, chat.ErrClientID
		}
		_, ok, err := store.FindMessage(t.s, th.ID, in.ClientID)
		if err != nil {
			return 0, err
		}
		if ok {
			continue
		}
		if err := t.importMessage(th, in); err != nil {
			return 0, err
		}
		added++
	}
	return added, nil
}

func (t *turn) importMessage(th *chat.Thread, in *chat.NewMessage) error {
	created := cmp.Or(in.Created, t.m.time)
	at := max(min(created, t.m.time), th.LastTime+1)
	if in.Draft.Seal == nil {
		if in.Draft.At <= th.LastTime || t.tooFarAhead(in.Draft.At) {
			return &chat.TimeError{Next: th.LastTime + 1}
		}
		at = in.Draft.At
	}
	if in.Created == 0 {
		created = at
	}
	return t.add(th, &chat.Message{
		ID:       chat.MessageID{Thread: th.ID, Time: at},
		Author:   chat.Owner{Tenant: th.Owner.Tenant, User: cmp.Or(in.Author, th.Owner.User)},
		Created:  created,
		Updated:  cmp.Or(in.Updated, created),
		Deleted:  in.Deleted,
		Revision: in.Revision,
	}, in)
}
