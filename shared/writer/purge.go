package writer

import (
	"github.com/bobbindb/bobbin/shared/chat"
	"github.com/bobbindb/bobbin/shared/store"
)

// purge removes what is due of one thread: see chat.Purge. It decides on the state that
// it finds, whatever whoever looked for it saw: what was undeleted, or got another
// expiry, stays.
func (t *turn) purge(a *chat.Purge) (chat.Result, bool, error) {
	before, ok, err := t.record(a.Thread)
	if err != nil || !ok {
		return chat.Result{}, false, err
	}
	p := &purging{turn: t, action: a, owner: t.digest(before.Owner)}
	thread := *before
	if before.Purged == 0 && a.Due(before.Deleted, before.Expires, t.m.time) {
		if err := p.condemn(&thread); err != nil {
			return chat.Result{}, false, err
		}
	}
	for _, at := range a.Messages {
		if err := p.message(&thread, at); err != nil {
			return chat.Result{}, false, err
		}
	}
	if p.result.Threads == 0 && p.result.Messages == 0 {
		// Another purge was faster with these. It may have been cut off before the rest.
		if thread.Purged != 0 {
			p.result.Left = int(thread.Live + thread.Dead)
		}
		return chat.Result{Purged: p.result}, false, nil
	}
	err = p.finish(before, &thread)
	return chat.Result{Purged: p.result}, true, err
}

// purging is one purge of a thread.
type purging struct {
	*turn
	action *chat.Purge
	owner  chat.Digest // of the thread's owner
	result chat.Purged
}

// record reads a thread's record, also that of a thread which is being purged.
func (t *turn) record(id chat.ThreadID) (*chat.Thread, bool, error) {
	return load(t.s, store.KeyThread(id), func(b []byte) (*chat.Thread, error) {
		return store.DecodeThread(id, b)
	})
}

// condemn makes a thread unknown: no index leads to it any more, nobody counts it, and
// its record says no more than the removal of its messages needs.
func (p *purging) condemn(th *chat.Thread) error {
	key := store.KeyOwner(p.owner)
	o, ok, err := load(p.s, key, store.DecodeOwner)
	if err != nil {
		return err
	}
	if ok {
		*o.Count(store.StateOf(th))--
		put(p.s, key, o, store.EncodeOwner)
	}
	c, err := counters(p.s)
	if err != nil {
		return err
	}
	*threadsOf(c, th)--
	putCounters(p.s, c)
	if th.Live+th.Dead != th.NextSeq { // some were purged before, one by one
		p.s.clear(store.LinkRange(th.ID))
	}
	condemned := chat.Thread{
		ID: th.ID, Owner: th.Owner, Created: th.Created, LastTime: th.LastTime, NextSeq: th.NextSeq,
		LastMessage: th.LastMessage, Live: th.Live, Dead: th.Dead, Purged: p.m.time,
	}
	p.reindex(store.ThreadIndex(p.owner, th), store.ThreadIndex(p.owner, &condemned))
	*th = condemned
	p.result.Threads++
	return nil
}

// message removes one message, with its earlier texts and whatever leads to it, if it is
// due or its thread is.
func (p *purging) message(th *chat.Thread, at int64) error {
	m, ok, err := store.GetMessage(p.s, th, at)
	if err != nil || !ok {
		return err
	}
	if th.Purged == 0 && !p.action.Due(m.Deleted, m.Expires, p.m.time) {
		return nil
	}
	p.s.delete(keyOf(m))
	p.reindex(store.MessageIndex(p.owner, m), nil)
	if m.Revision > 0 {
		p.s.clear(store.KeyRevision(th.ID, at, 0), store.KeyRevision(th.ID, at, m.Revision))
	}
	if m.Deleted == 0 {
		th.Live--
	} else {
		th.Dead--
	}
	p.result.Messages++
	if th.Purged != 0 {
		return nil
	}
	return p.link(th, m)
}

// link leaves what a message answered to those that answered it, so that their line goes
// on, and moves the thread's head there if the message was it.
func (p *purging) link(th *chat.Thread, m *chat.Message) error {
	parent, err := p.ancestor(th, m.Parent)
	if err != nil {
		return err
	}
	if parent != 0 {
		p.s.set(store.KeyLink(th.ID, m.ID.Time), store.EncodeTime(parent))
	}
	if th.Head == m.ID.Time {
		th.Head = parent
	}
	return nil
}

// ancestor is the nearest message from this one on, towards the beginning of its line,
// that is there; 0 when there is none.
func (p *purging) ancestor(th *chat.Thread, at int64) (int64, error) {
	for at != 0 {
		_, ok, err := store.GetMessage(p.s, th, at)
		if ok || err != nil {
			return at, err
		}
		if at, _, err = store.GetLink(p.s, th.ID, at); err != nil {
			return 0, err
		}
	}
	return 0, nil
}

// finish writes what is left of the thread: nothing once it was purged and its last
// message is gone.
func (p *purging) finish(before, th *chat.Thread) error {
	c, err := counters(p.s)
	if err != nil {
		return err
	}
	c.Messages += uint64(th.Live) - uint64(before.Live)
	c.DeadMessages += uint64(th.Dead) - uint64(before.Dead)
	putCounters(p.s, c)
	if th.Purged == 0 || th.Live+th.Dead > 0 {
		if th.Purged != 0 {
			p.result.Left = int(th.Live + th.Dead)
		}
		put(p.s, store.KeyThread(th.ID), th, store.EncodeThread)
		return nil
	}
	p.reindex(store.ThreadIndex(p.owner, th), nil)
	p.s.delete(store.KeyThread(th.ID))
	return nil
}
