package store

import (
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/cockroachdb/pebble/v2"

	"github.com/bobbindb/bobbin/shared/chat"
)

// walk lets a function move over the entries of [from, to); nil bounds nothing. What
// Pebble says of a table that it cannot read is explained, also where use passes it on.
func (v *View) walk(from, to []byte, use func(*pebble.Iterator) error) error {
	iter, err := v.snapshot.NewIter(&pebble.IterOptions{LowerBound: from, UpperBound: to})
	if err != nil {
		return fmt.Errorf("open iterator: %w", err)
	}
	return v.harm.explain(errors.Join(use(iter), iter.Error(), iter.Close()))
}

// EachThread calls visit for every thread of a slot range, deleted ones too, in order
// of slot and time. It jumps over messages, and over threads that are being purged.
func (v *View) EachThread(from, to chat.Slot, visit func(*chat.Thread) error) error {
	return v.walk(slotKey(from, 0, 0), slotKey(to, 0xff, 0), func(iter *pebble.Iterator) error {
		return eachThread(iter, visit)
	})
}

func eachThread(iter *pebble.Iterator, visit func(*chat.Thread) error) error {
	for ok := iter.First(); ok; {
		key := iter.Key()
		slot := chat.Slot(binary.BigEndian.Uint16(key[1:]))
		switch kind := key[3]; {
		case kind < kindThread:
			ok = iter.SeekGE(slotKey(slot, kindThread, 0))
			continue
		case kind > kindThread:
			if slot == 1<<16-1 {
				return nil
			}
			ok = iter.SeekGE(slotKey(slot+1, 0, 0))
			continue
		}
		id := chat.ThreadID{Slot: slot, Time: int64(binary.BigEndian.Uint64(key[4:]))}
		if key[12] != subRecord {
			return fmt.Errorf("thread %s has no record: %w", id, ErrDamaged)
		}
		value, err := iter.ValueAndErr()
		if err != nil {
			return fmt.Errorf("read thread %s: %w", id, err)
		}
		t, err := DecodeThread(id, clone(value))
		if err != nil {
			return fmt.Errorf("read thread %s: %w", id, err)
		}
		if t.Purged == 0 {
			if err := visit(t); err != nil {
				return err
			}
		}
		_, end := ThreadRange(id)
		ok = iter.SeekGE(end)
	}
	return nil
}

// EachMessage calls visit for every message of a thread, deleted ones too, oldest
// first.
func (v *View) EachMessage(t *chat.Thread, visit func(*chat.Message) error) error {
	m, err := v.merge(threadKey(t.ID, subLive, 0), threadKey(t.ID, subDead, 0))
	if err != nil {
		return err
	}
	walk := func() error {
		for ok := m.from(nil); ok; ok = m.next() {
			value, err := m.value()
			if err != nil {
				return err
			}
			msg, err := DecodeMessage(t, lastTime(m.suffix()), clone(value))
			if err != nil {
				return fmt.Errorf("message %d: %w", lastTime(m.suffix()), err)
			}
			if err := visit(msg); err != nil {
				return err
			}
		}
		return nil
	}
	if err := errors.Join(walk(), m.close()); err != nil {
		return fmt.Errorf("read messages of %s: %w", t.ID, err)
	}
	return nil
}

// EachRevision calls visit for every earlier text of a message, oldest first.
func (v *View) EachRevision(m *chat.Message, visit func(*chat.Revision) error) error {
	walk, err := v.merge(appendTime(threadKey(m.ID.Thread, subRevision, 12), m.ID.Time))
	if err != nil {
		return err
	}
	read := func() error {
		for ok := walk.from(nil); ok; ok = walk.next() {
			value, err := walk.value()
			if err != nil {
				return err
			}
			r, err := DecodeRevision(m, numberOf(walk), clone(value))
			if err != nil {
				return fmt.Errorf("revision %d: %w", numberOf(walk), err)
			}
			if err := visit(r); err != nil {
				return err
			}
		}
		return nil
	}
	if err := errors.Join(read(), walk.close()); err != nil {
		return fmt.Errorf("read revisions of %s: %w", m.ID, err)
	}
	return nil
}
