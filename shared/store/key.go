package store

import (
	"encoding/binary"

	"github.com/bobbindb/bobbin/shared/chat"
)

const (
	spaceMeta        = 0x00
	spaceIdempotency = 0x01
	spaceCommand     = 0x02
	spaceSlot        = 0x10
)

const (
	kindChange  = 'c'
	kindDeleted = 'd'
	kindExpiry  = 'e'
	kindID      = 'i'
	kindList    = 'l'
	kindOwner   = 'o'
	kindSlug    = 's'
	kindThread  = 't'
	kindUpdated = 'u'
)

const (
	subRecord   = 0x00
	subID       = 'i'
	subLive     = 'm'
	subDead     = 'n'
	subLink     = 'p'
	subRevision = 'r'
)

const ownerBytes = 16

// State is where a thread stands in its owner's lists.
type State byte

// The states of a thread in its owner's lists.
const (
	StateArchived State = 'a'
	StateDeleted  State = 'd'
	StateOpen     State = 'o'
)

// StateOf is the list that the thread belongs to.
func StateOf(t *chat.Thread) State {
	switch {
	case t.Deleted != 0:
		return StateDeleted
	case t.Status == chat.Archived:
		return StateArchived
	}
	return StateOpen
}

// KeyCounters is the key of the partition's counters.
func KeyCounters() []byte { return []byte{spaceMeta, 'c'} }

// KeyPosition is the key of the position inside every database and checkpoint.
func KeyPosition() []byte { return []byte{spaceMeta, 'p'} }

// KeyControl is the key of the state that a control record set.
func KeyControl(name string) []byte { return append([]byte{spaceMeta, 'x'}, name...) }

// The periods after which idempotency and command entries go, in nanoseconds.
const (
	Day     = 24 * 60 * 60 * 1e9
	Quarter = 15 * 60 * 1e9
)

// KeyIdempotency is the key of an idempotency entry made on a day since 1970.
func KeyIdempotency(day uint32, key chat.Digest) []byte {
	b := binary.BigEndian.AppendUint32([]byte{spaceIdempotency}, day)
	return append(b, key[:16]...)
}

// KeyCommand is the key of a command's entry made in a quarter of an hour since 1970.
func KeyCommand(quarter uint32, id chat.CommandID) []byte {
	b := binary.BigEndian.AppendUint32([]byte{spaceCommand}, quarter)
	return append(b, id[:]...)
}

func slotKey(slot chat.Slot, kind byte, room int) []byte {
	b := make([]byte, 0, 4+room)
	b = append(b, spaceSlot)
	b = binary.BigEndian.AppendUint16(b, uint16(slot))
	return append(b, kind)
}

func ownerKey(slot chat.Slot, kind byte, owner chat.Digest, room int) []byte {
	return append(slotKey(slot, kind, ownerBytes+room), owner[:ownerBytes]...)
}

func appendTime(b []byte, t int64) []byte { return binary.BigEndian.AppendUint64(b, uint64(t)) }

// KeyOwner is the key of an owner's record.
func KeyOwner(owner chat.Digest) []byte { return ownerKey(owner.Slot(), kindOwner, owner, 0) }

// KeyList is the key of a thread in its owner's list by creation.
func KeyList(owner chat.Digest, state State, thread int64) []byte {
	return appendTime(append(ownerKey(owner.Slot(), kindList, owner, 9), byte(state)), thread)
}

// KeyUpdated is the key of a thread in its owner's list by last update.
func KeyUpdated(owner chat.Digest, state State, updated, thread int64) []byte {
	b := append(ownerKey(owner.Slot(), kindUpdated, owner, 17), byte(state))
	return appendTime(appendTime(b, updated), thread)
}

// KeyChange is the key of an owner's change: of a thread (message 0) or a message.
func KeyChange(owner chat.Digest, seq uint64, thread, message int64) []byte {
	b := binary.BigEndian.AppendUint64(ownerKey(owner.Slot(), kindChange, owner, 24), seq)
	return appendTime(appendTime(b, thread), message)
}

// KeyThreadID is the key of a thread under its client's id.
func KeyThreadID(owner chat.Digest, id chat.ClientID) []byte {
	return append(ownerKey(owner.Slot(), kindID, owner, len(id)), id...)
}

// KeySlug is the key of a thread under the hash of its slug.
func KeySlug(owner, slug chat.Digest, thread int64) []byte {
	return appendTime(append(ownerKey(owner.Slot(), kindSlug, owner, 24), slug[:16]...), thread)
}

// KeyExpiry is the key under which a thread (message 0) or a message expires.
func KeyExpiry(slot chat.Slot, at, thread, message int64) []byte {
	return appendTime(appendTime(appendTime(slotKey(slot, kindExpiry, 24), at), thread), message)
}

// KeyDeleted is the key under which a soft-deleted thread (message 0) or message waits
// to be purged: when it was deleted. A thread that is being purged stands at 0, before
// all of them.
func KeyDeleted(slot chat.Slot, at, thread, message int64) []byte {
	return appendTime(appendTime(appendTime(slotKey(slot, kindDeleted, 24), at), thread), message)
}

func threadKey(t chat.ThreadID, sub byte, room int) []byte {
	return append(appendTime(slotKey(t.Slot, kindThread, 9+room), t.Time), sub)
}

// KeyThread is the key of a thread's record.
func KeyThread(t chat.ThreadID) []byte { return threadKey(t, subRecord, 0) }

// KeyMessage is the key of a live message's record.
func KeyMessage(t chat.ThreadID, time int64) []byte {
	return appendTime(threadKey(t, subLive, 8), time)
}

// KeyDeadMessage is the key of a deleted message's record.
func KeyDeadMessage(t chat.ThreadID, time int64) []byte {
	return appendTime(threadKey(t, subDead, 8), time)
}

// KeyMessageID is the key of a message under its client's id.
func KeyMessageID(t chat.ThreadID, id chat.ClientID) []byte {
	return append(threadKey(t, subID, len(id)), id...)
}

// KeyLink is the key of a purged message's link: the time of the message that it
// answered, so that a line of answers goes on past it.
func KeyLink(t chat.ThreadID, message int64) []byte {
	return appendTime(threadKey(t, subLink, 8), message)
}

// LinkRange is the range of keys that hold a thread's links.
func LinkRange(t chat.ThreadID) (from, to []byte) {
	return threadKey(t, subLink, 0), threadKey(t, subLink+1, 0)
}

// KeyRevision is the key of an earlier text of a message.
func KeyRevision(t chat.ThreadID, message int64, revision uint32) []byte {
	return binary.BigEndian.AppendUint32(appendTime(threadKey(t, subRevision, 12), message), revision)
}

// ThreadRange is the range of keys that hold a thread and all that is in it.
func ThreadRange(t chat.ThreadID) (from, to []byte) {
	return appendTime(slotKey(t.Slot, kindThread, 8), t.Time), appendTime(slotKey(t.Slot, kindThread, 8), t.Time+1)
}

// lastTime reads the time that ends a key.
func lastTime(key []byte) int64 { return int64(binary.BigEndian.Uint64(key[len(key)-8:])) }
