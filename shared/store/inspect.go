package store

import (
	"encoding/binary"
	"fmt"

	"github.com/cockroachdb/pebble/v2"

	"github.com/bobbindb/bobbin/shared/chat"
)

// KindOf names what an entry with this key holds; "unknown" when this release does not
// know.
func KindOf(key []byte) string {
	name := ""
	switch {
	case len(key) >= 2 && key[0] == spaceMeta:
		name = map[byte]string{'c': "counters", 'p': "position", 'x': "control"}[key[1]]
	case len(key) >= 1 && key[0] == spaceIdempotency:
		name = "idempotency"
	case len(key) >= 1 && key[0] == spaceCommand:
		name = "command"
	case len(key) > 12 && key[0] == spaceSlot && key[3] == kindThread:
		name = threadKinds[key[12]]
	case len(key) >= 4 && key[0] == spaceSlot:
		name = slotKinds[key[3]]
	}
	if name == "" {
		return "unknown"
	}
	return name
}

var slotKinds = map[byte]string{
	kindChange:  "change",
	kindDeleted: "deletion",
	kindExpiry:  "expiry",
	kindID:      "thread_id",
	kindList:    "thread_by_creation",
	kindOwner:   "owner",
	kindSlug:    "slug",
	kindUpdated: "thread_by_update",
}

var threadKinds = map[byte]string{
	subRecord:   "thread",
	subID:       "message_id",
	subLive:     "message",
	subDead:     "deleted_message",
	subLink:     "link",
	subRevision: "revision",
}

// SlotRange is the range of keys that hold the slots from the first to the last.
func SlotRange(first, last chat.Slot) (from, to []byte) {
	return slotKey(first, 0, 0), slotKey(last, 0xff, 0)
}

// PrefixRange is the range of keys that begin with a prefix; a nil end is none.
func PrefixRange(prefix []byte) (from, to []byte) {
	if len(prefix) == 0 {
		return nil, nil
	}
	return clone(prefix), prefixEnd(prefix)
}

// KeySize is a key and the size of its value, in bytes.
type KeySize struct {
	Key  []byte
	Size int
}

// Keys lists up to n entries of [from, to), the last ones first when reverse is set. It
// fetches no value that lies apart from its key.
func (v *View) Keys(from, to []byte, reverse bool, n int) (keys []KeySize, err error) {
	err = v.walk(from, to, func(iter *pebble.Iterator) error {
		first, next := iter.First, iter.Next
		if reverse {
			first, next = iter.Last, iter.Prev
		}
		for ok := first(); ok && len(keys) < n; ok = next() {
			value := iter.LazyValue()
			keys = append(keys, KeySize{clone(iter.Key()), value.Len()})
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("list keys: %w", err)
	}
	return keys, nil
}

// OwnerAt is an owner's record and the beginning of the hash that it is kept under.
type OwnerAt struct {
	Owner
	Hash [ownerBytes]byte
}

// Owners lists up to n owners whose keys lie in [from, to), which are keys of slots, the
// last ones first when reverse is set. It jumps over everything else.
func (v *View) Owners(from, to []byte, reverse bool, n int) (owners []OwnerAt, err error) {
	err = v.walk(from, to, func(iter *pebble.Iterator) error {
		first, step, jump := iter.First, iter.Next, jumpToOwner
		if reverse {
			first, step, jump = iter.Last, iter.Prev, jumpBackToOwner
		}
		for ok := first(); ok && len(owners) < n; {
			if key := iter.Key(); key[3] != kindOwner {
				ok = jump(iter, chat.Slot(binary.BigEndian.Uint16(key[1:])), key[3])
				continue
			}
			o, err := ownerAt(iter)
			if err != nil {
				return err
			}
			owners = append(owners, o)
			ok = step()
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("list owners: %w", err)
	}
	return owners, nil
}

// jumpToOwner leaves a slot's other entries for its owners or those of the next.
func jumpToOwner(iter *pebble.Iterator, slot chat.Slot, kind byte) bool {
	switch {
	case kind < kindOwner:
		return iter.SeekGE(slotKey(slot, kindOwner, 0))
	case slot == 1<<16-1:
		return false
	}
	return iter.SeekGE(slotKey(slot+1, kindOwner, 0))
}

// jumpBackToOwner does the same backwards.
func jumpBackToOwner(iter *pebble.Iterator, slot chat.Slot, kind byte) bool {
	switch {
	case kind > kindOwner:
		return iter.SeekLT(slotKey(slot, kindOwner+1, 0))
	case slot == 0:
		return false
	}
	return iter.SeekLT(slotKey(slot-1, kindOwner+1, 0))
}

func ownerAt(iter *pebble.Iterator) (at OwnerAt, err error) {
	value, err := iter.ValueAndErr()
	if err != nil {
		return at, err
	}
	o, err := DecodeOwner(value)
	if err != nil {
		return at, err
	}
	copy(at.Hash[:], iter.Key()[4:])
	at.Owner = *o
	return at, nil
}
