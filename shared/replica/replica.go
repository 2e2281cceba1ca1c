// Package replica answers reads from the partitions open in this process, as new as
// the reader asks for.
package replica

import (
	"context"
	"errors"
	"strconv"
	"time"

	"github.com/bobbindb/bobbin/shared/catalog"
	"github.com/bobbindb/bobbin/shared/chat"
	"github.com/bobbindb/bobbin/shared/commitlog"
	"github.com/bobbindb/bobbin/shared/partition"
	"github.com/bobbindb/bobbin/shared/store"
)

// Replica reads the open partitions of a store. It implements chat.Reader.
type Replica struct {
	Store      *catalog.Store
	Partitions []*partition.Partition // by number
	Hasher     chat.Hasher
	MaxAge     time.Duration // of a stale read
}

var _ chat.Reader = (*Replica)(nil)

// read answers from a picture of a slot's partition and says its position. It may call
// use twice, when a table was gone the first time.
func (r *Replica) read(ctx context.Context, slot chat.Slot, opts chat.ReadOptions, use func(*partition.View) error) (chat.Position, error) {
	p := r.Partitions[r.Store.PartitionOf(slot)]
	if opts.Min.Branch != "" && opts.Min.Branch != p.Branch {
		return chat.Position{}, chat.ErrOtherBranch
	}
	fresh := partition.Freshness{
		Consistency: opts.Consistency,
		Min:         commitlog.Seq(opts.Min.Of(p.Number)),
		MaxAge:      r.MaxAge,
	}
	var pos chat.Position
	err := p.Answer(ctx, fresh, func(v *partition.View) error {
		pos = r.positionOf(p.Number, v)
		return use(v)
	})
	return pos, answerOf(err)
}

// answerOf turns what a mechanism says into the domain's words. Damage stays what it
// is: an internal error.
func answerOf(err error) error {
	var known *chat.Error
	switch {
	case err == nil, errors.As(err, &known):
		return err
	case errors.Is(err, commitlog.ErrDamaged), errors.Is(err, commitlog.ErrUnknownFormat),
		errors.Is(err, store.ErrUnknownRecord):
		return err
	}
	return chat.ErrUnavailable.Because(err)
}

// thread finds a thread that the caller takes part in. Unknown and somebody else's are
// the same answer.
func (r *Replica) thread(v *partition.View, caller chat.Owner, ref chat.ThreadRef) (*chat.Thread, error) {
	t, ok, err := r.find(v, caller, ref)
	if err != nil {
		return nil, err
	}
	if !ok || t.RoleOf(caller) == 0 {
		return nil, chat.ErrNotParticipant
	}
	if t.Deleted != 0 {
		return nil, chat.ErrThreadNotFound
	}
	return t, nil
}

// find reads the thread that a reference leads to for this caller, whoever's it is.
func (r *Replica) find(v *partition.View, caller chat.Owner, ref chat.ThreadRef) (*chat.Thread, bool, error) {
	id := ref.ID
	if ref.ClientID != "" {
		found, ok, err := store.FindThread(v, r.Hasher.Owner(caller), ref.ClientID)
		if err != nil || !ok {
			return nil, false, err
		}
		id = found
	}
	return store.GetThread(v, id)
}

// slot is where a reference leads for this caller.
func (r *Replica) slot(caller chat.Owner, ref chat.ThreadRef) chat.Slot {
	if ref.ClientID != "" {
		return r.Hasher.Owner(caller).Slot()
	}
	return ref.ID.Slot
}

// Thread implements chat.Reader.
func (r *Replica) Thread(ctx context.Context, caller chat.Owner, ref chat.ThreadRef, opts chat.ReadOptions) (t *chat.Thread, pos chat.Position, err error) {
	pos, err = r.read(ctx, r.slot(caller, ref), opts, func(v *partition.View) (err error) {
		t, err = r.thread(v, caller, ref)
		return err
	})
	return t, pos, err
}

// Threads implements chat.Reader.
func (r *Replica) Threads(ctx context.Context, caller chat.Owner, q chat.ThreadQuery, opts chat.ReadOptions) (page chat.ThreadPage, pos chat.Position, err error) {
	owner := r.Hasher.Owner(caller)
	pos, err = r.read(ctx, owner.Slot(), opts, func(v *partition.View) error {
		at, err := r.threadCursor(v, caller, q.Cursor)
		if err != nil {
			return err
		}
		page, err = v.Threads(owner, q, at)
		return err
	})
	return page, pos, err
}

// threadCursor finds the thread that a page begins at. A deleted one still serves.
func (r *Replica) threadCursor(v *partition.View, caller chat.Owner, c chat.Cursor) (*chat.Thread, error) {
	key := c.Before + c.After + c.Anchor // at most one is set
	if key == "" {
		return nil, nil
	}
	ref, err := chat.ParseThread(key)
	if err != nil {
		return nil, chat.ErrUnknownAnchor
	}
	t, ok, err := r.find(v, caller, ref)
	if err != nil {
		return nil, err
	}
	if !ok || t.Owner != caller {
		return nil, chat.ErrUnknownAnchor
	}
	return t, nil
}

// Message implements chat.Reader.
func (r *Replica) Message(ctx context.Context, caller chat.Owner, thread chat.ThreadRef, ref chat.MessageRef, opts chat.ReadOptions) (t *chat.Thread, m *chat.Message, pos chat.Position, err error) {
	pos, err = r.read(ctx, r.slot(caller, thread), opts, func(v *partition.View) (err error) {
		if t, err = r.thread(v, caller, thread); err != nil {
			return err
		}
		m, err = message(v, t, ref)
		if err == nil && m.Deleted != 0 {
			err = chat.ErrMessageNotFound
		}
		return err
	})
	if err != nil {
		return nil, nil, pos, err
	}
	return t, m, pos, nil
}

// Revisions implements chat.Reader.
func (r *Replica) Revisions(ctx context.Context, caller chat.Owner, thread chat.ThreadRef, ref chat.MessageRef, q chat.RevisionQuery, opts chat.ReadOptions) (page chat.RevisionPage, pos chat.Position, err error) {
	pos, err = r.read(ctx, r.slot(caller, thread), opts, func(v *partition.View) error {
		t, err := r.thread(v, caller, thread)
		if err != nil {
			return err
		}
		m, err := message(v, t, ref)
		if err != nil {
			return err
		}
		if m.Deleted != 0 {
			return chat.ErrMessageNotFound
		}
		at, err := revisionCursor(q.Cursor)
		if err != nil {
			return err
		}
		var unknown bool
		if page, unknown, err = v.Revisions(t, m, q, at); err == nil && unknown {
			err = chat.ErrUnknownAnchor
		}
		return err
	})
	return page, pos, err
}

// revisionCursor is the number of the revision that a page begins at, nil without one.
func revisionCursor(c chat.Cursor) (*uint32, error) {
	key := c.Before + c.After + c.Anchor // at most one is set
	if key == "" {
		return nil, nil
	}
	n, err := strconv.ParseUint(key, 10, 32)
	if err != nil {
		return nil, chat.ErrUnknownAnchor
	}
	number := uint32(n)
	return &number, nil
}

// message finds a message of a thread, live or deleted.
func message(v *partition.View, t *chat.Thread, ref chat.MessageRef) (*chat.Message, error) {
	time := ref.ID.Time
	if ref.ClientID != "" {
		found, ok, err := store.FindMessage(v, t.ID, ref.ClientID)
		if err != nil {
			return nil, err
		}
		if !ok {
			return nil, chat.ErrMessageNotFound
		}
		time = found
	} else if ref.ID.Thread != t.ID {
		return nil, chat.ErrNotInThread
	}
	m, ok, err := store.GetMessage(v, t, time)
	if err != nil {
		return nil, err
	}
	if !ok || ref.ClientID == "" && ref.ID.Seq != chat.NoSeq && ref.ID.Seq != m.ID.Seq {
		return nil, chat.ErrMessageNotFound
	}
	return m, nil
}

// Messages implements chat.Reader.
func (r *Replica) Messages(ctx context.Context, caller chat.Owner, ref chat.ThreadRef, q chat.MessageQuery, opts chat.ReadOptions) (page chat.MessagePage, pos chat.Position, err error) {
	pos, err = r.read(ctx, r.slot(caller, ref), opts, func(v *partition.View) error {
		if ref.ClientID == "" {
			from, to := store.ThreadRange(ref.ID)
			if err := v.Prefetch(ctx, from, to, q.After == ""); err != nil {
				return err
			}
		}
		t, err := r.thread(v, caller, ref)
		if err != nil {
			return err
		}
		at, err := messageCursor(v, t, q.Cursor)
		if err != nil {
			return err
		}
		if q.Line {
			page, err = v.Line(t, q, at)
			return err
		}
		page, err = v.Messages(t, q, at)
		return err
	})
	return page, pos, err
}

// messageCursor is the time of the message that a page begins at, 0 without one. A
// deleted one still serves.
func messageCursor(v *partition.View, t *chat.Thread, c chat.Cursor) (int64, error) {
	key := c.Before + c.After + c.Anchor // at most one is set
	if key == "" {
		return 0, nil
	}
	ref, err := chat.ParseMessage(key)
	if err != nil {
		return 0, chat.ErrUnknownAnchor
	}
	m, err := message(v, t, ref)
	if chat.KindOf(err) == chat.NotFound {
		return 0, chat.ErrUnknownAnchor
	}
	if err != nil {
		return 0, err
	}
	return m.ID.Time, nil
}
