package store

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/cockroachdb/pebble/v2"

	"github.com/bobbindb/bobbin/shared/chat"
)

// Finding is something that records, indexes and counts disagree on.
type Finding struct {
	Key     []byte // where it was seen
	Problem string
}

// String says what is wrong where.
func (f Finding) String() string { return fmt.Sprintf("%x: %s", f.Key, f.Problem) }

// maxFindings is how many findings an audit lists. It counts all.
const maxFindings = 1000

// Totals is what an audit counted.
type Totals struct {
	Owners         uint64
	Threads        uint64 // not deleted
	DeletedThreads uint64
	PurgedThreads  uint64 // whose messages are still being removed
	Messages       uint64 // not deleted, in any thread
	DeadMessages   uint64
	Revisions      uint64 // earlier texts
	IndexEntries   uint64
	Commands       uint64 // remembered by their own id
	Idempotency    uint64 // remembered by their caller's key
	Findings       uint64
}

// Audit walks every key of the partition once, in order, and compares records with
// index entries in both directions and with every count that was kept. What it finds
// wrong, unreadable records included, are findings; an error means that it could not
// read on. It keeps one thread in memory at a time.
//
// Where messages were purged, a thread's numbers and times only bound what is left of it.
func (v *View) Audit(hasher chat.Hasher) ([]Finding, Totals, error) {
	a := &audit{view: v, hasher: hasher}
	if err := a.run(); err != nil {
		return a.findings, a.totals, fmt.Errorf("audit: %w", err)
	}
	return a.findings, a.totals, nil
}

type audit struct {
	view     *View
	hasher   chat.Hasher
	findings []Finding
	totals   Totals
	counters Counters
	thread   *auditedThread // whose keys are being walked, nil before the first

	lastOwner  chat.Owner
	lastDigest chat.Digest
}

// auditedThread is a thread and what was seen of it so far.
type auditedThread struct {
	*chat.Thread
	id          chat.ThreadID
	owner       chat.Digest
	live, dead  uint32
	newest      int64 // greatest time in a message's key
	lastMessage int64 // when the newest was created
	lane        byte  // live or deleted: the messages that are being walked
	nextSeq     uint32
}

func (a *audit) found(key []byte, format string, args ...any) {
	if a.totals.Findings++; len(a.findings) < maxFindings {
		a.findings = append(a.findings, Finding{Key: clone(key), Problem: fmt.Sprintf(format, args...)})
	}
}

// damaged turns the error of a record that does not decode into a finding.
func (a *audit) damaged(key []byte, err error) error {
	if errors.Is(err, ErrDamaged) {
		a.found(key, "%v", err)
		return nil
	}
	return err
}

func (a *audit) run() error {
	counters, err := GetCounters(a.view)
	if err := a.damaged(KeyCounters(), err); err != nil {
		return err
	}
	a.counters = counters
	if err := a.view.walk(nil, nil, a.walk); err != nil {
		return err
	}
	if err := a.endThread(); err != nil {
		return err
	}
	a.compareCounters()
	return nil
}

func (a *audit) walk(iter *pebble.Iterator) error {
	for ok := iter.First(); ok; ok = iter.Next() {
		value, err := iter.ValueAndErr()
		if err != nil {
			return err
		}
		if err := a.damaged(iter.Key(), a.visit(iter.Key(), value)); err != nil {
			return err
		}
	}
	return nil
}

// digest is an owner's hash. Neighbours in the walk often share it.
func (a *audit) digest(o chat.Owner) chat.Digest {
	if o != a.lastOwner || a.lastDigest == (chat.Digest{}) {
		a.lastOwner, a.lastDigest = o, a.hasher.Owner(o)
	}
	return a.lastDigest
}

func (a *audit) visit(key, value []byte) error {
	switch {
	case key[0] == spaceMeta:
		return a.visitMeta(key, value)
	case key[0] == spaceIdempotency && len(key) == 1+4+16:
		a.totals.Idempotency++
		return a.visitEntry(key, value, a.counters.Day)
	case key[0] == spaceCommand && len(key) == 1+4+16:
		a.totals.Commands++
		return a.visitEntry(key, value, a.counters.Quarter)
	case key[0] == spaceSlot && len(key) > 4:
		return a.visitSlot(key, value)
	}
	a.found(key, "key of no known kind")
	return nil
}

func (a *audit) visitMeta(key, value []byte) error {
	switch name := string(key[1:]); name {
	case "c": // read at the start
		return nil
	case "p":
		at, err := decodePosition(value)
		if err == nil && at != a.view.at {
			a.found(key, "position is %d, the view's is %d", at.Seq, a.view.at.Seq)
		}
		return err
	case "x" + ControlFreeze:
		_, err := DecodeFreeze(value)
		return err
	case "x" + ControlSeal:
		_, err := DecodeSeal(value)
		return err
	case "x" + ControlKEK:
		_, err := DecodeKEK(value)
		return err
	case "x" + ControlFormat:
		_, err := DecodeFormat(value)
		return err
	}
	a.found(key, "key of no known kind")
	return nil
}

// visitEntry checks a remembered answer. newest is the period of the newest.
func (a *audit) visitEntry(key, value []byte, newest uint32) error {
	if period := binary.BigEndian.Uint32(key[1:]); period > newest || period+1 < newest {
		a.found(key, "entry of period %d, the newest is %d", period, newest)
	}
	e, err := DecodeEntry(value)
	if err == nil && e.Seq > uint64(a.view.at.Seq) {
		a.found(key, "entry of commit %d, the last is %d", e.Seq, a.view.at.Seq)
	}
	return err
}

func (a *audit) visitSlot(key, value []byte) error {
	slot := chat.Slot(binary.BigEndian.Uint16(key[1:]))
	kind, rest := key[3], key[4:]
	time := func(at int) int64 { return int64(binary.BigEndian.Uint64(rest[at:])) }
	indexed := func(thread, message int64) error {
		return a.visitIndex(key, value, chat.ThreadID{Time: thread, Slot: slot}, message)
	}
	switch {
	case kind == kindChange && len(rest) == ownerBytes+24:
		if seq := uint64(time(ownerBytes)); seq > uint64(a.view.at.Seq) {
			a.found(key, "change in commit %d, the last is %d", seq, a.view.at.Seq)
		}
		return indexed(time(ownerBytes+8), time(ownerBytes+16))
	case kind == kindDeleted && len(rest) == 24, kind == kindExpiry && len(rest) == 24:
		return indexed(time(8), time(16))
	case kind == kindID && len(rest) > ownerBytes:
		thread, err := DecodeTime(value)
		if err != nil {
			return err
		}
		return indexed(thread, 0)
	case kind == kindList && len(rest) == ownerBytes+9:
		return indexed(time(ownerBytes+1), 0)
	case kind == kindOwner && len(rest) == ownerBytes:
		return a.visitOwner(key, value)
	case kind == kindSlug && len(rest) == ownerBytes+24:
		return indexed(time(ownerBytes+16), 0)
	case kind == kindUpdated && len(rest) == ownerBytes+17:
		return indexed(time(ownerBytes+9), 0)
	case kind == kindThread && len(rest) >= 9:
		return a.visitThread(key, value, chat.ThreadID{Time: time(0), Slot: slot}, rest[8], rest[9:])
	}
	a.found(key, "key of no known kind")
	return nil
}

// visitIndex checks that an index entry is one that its record implies. message is 0
// for an entry of a thread.
func (a *audit) visitIndex(key, value []byte, id chat.ThreadID, message int64) error {
	a.totals.IndexEntries++
	t, ok, err := getRecord(a.view, id)
	if err != nil {
		return err
	}
	if !ok {
		a.found(key, "index entry of thread %s, which has no record", id)
		return nil
	}
	if message == 0 {
		a.implied(key, value, ThreadIndex(a.digest(t.Owner), t))
		return nil
	}
	m, ok, err := GetMessage(a.view, t, message)
	if err != nil {
		return err
	}
	if !ok {
		a.found(key, "index entry of message %d of thread %s, which has no record", message, id)
		return nil
	}
	a.implied(key, value, MessageIndex(a.digest(t.Owner), m))
	return nil
}

// implied checks that an entry is among those that its record implies.
func (a *audit) implied(key, value []byte, entries []IndexEntry) {
	for _, e := range entries {
		if bytes.Equal(e.Key, key) {
			if !bytes.Equal(e.Value, value) {
				a.found(key, "index entry says %x, its record %x", value, e.Value)
			}
			return
		}
	}
	a.found(key, "index entry that its record does not imply")
}

// present checks that every entry that a record implies is there.
func (a *audit) present(entries []IndexEntry) error {
	for _, e := range entries {
		value, ok, err := a.view.Get(e.Key)
		if err != nil {
			return err
		}
		if !ok {
			a.found(e.Key, "index entry is missing")
		} else if !bytes.Equal(value, e.Value) {
			a.found(e.Key, "index entry says %x, its record %x", value, e.Value)
		}
	}
	return nil
}

// visitOwner compares an owner's counts with the owner's list, whose entries are
// compared with threads elsewhere in the walk.
func (a *audit) visitOwner(key, value []byte) error {
	a.totals.Owners++
	o, err := DecodeOwner(value)
	if err != nil {
		return err
	}
	digest := a.digest(o.Owner)
	if !bytes.Equal(KeyOwner(digest), key) {
		a.found(key, "owner's record under another owner's key")
	}
	for _, s := range []struct {
		state State
		name  string
	}{{StateOpen, "open"}, {StateArchived, "archived"}, {StateDeleted, "deleted"}} {
		n, err := a.count(append(ownerKey(digest.Slot(), kindList, digest, 1), byte(s.state)))
		if err != nil {
			return err
		}
		if kept := *o.Count(s.state); kept != n {
			a.found(key, "owner has %d %s threads, the record says %d", n, s.name, kept)
		}
	}
	return nil
}

// count counts the keys that begin with a prefix.
func (a *audit) count(prefix []byte) (n uint64, err error) {
	err = a.view.walk(prefix, prefixEnd(prefix), func(iter *pebble.Iterator) error {
		for ok := iter.First(); ok; ok = iter.Next() {
			n++
		}
		return nil
	})
	return n, err
}

// visitThread checks what lies under a thread's prefix. The thread's record comes
// first.
func (a *audit) visitThread(key, value []byte, id chat.ThreadID, sub byte, rest []byte) error {
	if a.thread == nil || a.thread.id != id {
		if err := a.endThread(); err != nil {
			return err
		}
		a.thread = &auditedThread{id: id}
	}
	t := a.thread
	if sub == subRecord && len(rest) == 0 {
		return a.visitThreadRecord(key, value)
	}
	if t.Thread == nil {
		a.found(key, "part of thread %s, which has no record", id)
		return nil
	}
	switch {
	case sub == subID && len(rest) > 0:
		message, err := DecodeTime(value)
		if err != nil {
			return err
		}
		return a.visitIndex(key, value, id, message)
	case sub == subLive && len(rest) == 8, sub == subDead && len(rest) == 8:
		return a.visitMessage(key, value, sub, lastTime(key))
	case sub == subLink && len(rest) == 8:
		return a.visitLink(key, value, lastTime(key))
	case sub == subRevision && len(rest) == 12:
		return a.visitRevision(key, value, int64(binary.BigEndian.Uint64(rest)), binary.BigEndian.Uint32(rest[8:]))
	}
	a.found(key, "key of no known kind")
	return nil
}

func (a *audit) visitThreadRecord(key, value []byte) error {
	t, err := DecodeThread(a.thread.id, clone(value))
	if err != nil {
		return err
	}
	a.thread.Thread, a.thread.owner = t, a.digest(t.Owner)
	switch {
	case t.Purged != 0:
		a.totals.PurgedThreads++
	case t.Deleted != 0:
		a.totals.DeletedThreads++
	default:
		a.totals.Threads++
	}
	if home := a.thread.owner.Slot(); home != t.ID.Slot {
		a.found(key, "thread is in slot %d, its owner's is %d", t.ID.Slot, home)
	}
	if t.Changed > uint64(a.view.at.Seq) {
		a.found(key, "thread changed in commit %d, the last is %d", t.Changed, a.view.at.Seq)
	}
	_, ok, err := a.view.Get(KeyOwner(a.thread.owner))
	if err != nil {
		return err
	}
	if !ok {
		a.found(key, "thread's owner has no record")
	}
	return a.present(ThreadIndex(a.thread.owner, t))
}

func (a *audit) visitMessage(key, value []byte, sub byte, time int64) error {
	t := a.thread
	m, err := DecodeMessage(t.Thread, time, value)
	if err != nil {
		return err
	}
	if sub == subLive {
		a.totals.Messages++
		t.live++
	} else {
		a.totals.DeadMessages++
		t.dead++
	}
	if (m.Deleted != 0) != (sub == subDead) {
		a.found(key, "message is deleted at %d and lies among the others", m.Deleted)
	}
	if m.Changed > uint64(a.view.at.Seq) {
		a.found(key, "message changed in commit %d, the last is %d", m.Changed, a.view.at.Seq)
	}
	if t.lane != sub {
		t.lane, t.nextSeq = sub, 0
	}
	if m.ID.Seq < t.nextSeq {
		a.found(key, "message %d comes after message %d", m.ID.Seq, t.nextSeq-1)
	}
	if m.ID.Seq >= t.NextSeq {
		a.found(key, "message %d in a thread whose next is %d", m.ID.Seq, t.NextSeq)
	}
	t.nextSeq = m.ID.Seq + 1
	if time > t.newest {
		t.newest, t.lastMessage = time, m.Created
	}
	return a.present(MessageIndex(t.owner, m))
}

// visitLink checks what a purged message left.
func (a *audit) visitLink(key, value []byte, message int64) error {
	parent, err := DecodeTime(value)
	if err != nil {
		return err
	}
	if parent <= 0 || parent >= message {
		a.found(key, "message %d answered %d, which is not earlier", message, parent)
	}
	_, ok, err := GetMessage(a.view, a.thread.Thread, message)
	if err == nil && ok {
		a.found(key, "link of message %d, which has a record", message)
	}
	return err
}

func (a *audit) visitRevision(key, value []byte, message int64, number uint32) error {
	a.totals.Revisions++
	m, ok, err := GetMessage(a.view, a.thread.Thread, message)
	if err != nil {
		return err
	}
	if !ok {
		a.found(key, "revision of message %d, which has no record", message)
		return nil
	}
	if number >= m.Revision {
		a.found(key, "revision %d of a message at revision %d", number, m.Revision)
	}
	_, err = DecodeRevision(m, number, value)
	return err
}

// endThread compares a thread's numbers with the messages that were walked.
func (a *audit) endThread() error {
	t := a.thread
	if a.thread = nil; t == nil || t.Thread == nil {
		return nil
	}
	key := KeyThread(t.id)
	if t.live != t.Live || t.dead != t.Dead {
		a.found(key, "thread has %d messages and %d deleted, the record says %d and %d", t.live, t.dead, t.Live, t.Dead)
	}
	if t.newest > t.LastTime {
		a.found(key, "thread's newest message is at %d, the record says %d", t.newest, t.LastTime)
	}
	if uint64(t.live)+uint64(t.dead) > uint64(t.NextSeq) {
		a.found(key, "thread has %d messages, the record says that it got %d", t.live+t.dead, t.NextSeq)
	}
	purged := uint64(t.Live)+uint64(t.Dead) != uint64(t.NextSeq)
	if !purged && (t.newest != t.LastTime || t.lastMessage != t.LastMessage) {
		a.found(key, "thread's newest message is at %d, created %d, the record says %d, %d", t.newest, t.lastMessage, t.LastTime, t.LastMessage)
	}
	if t.Head == 0 {
		return nil
	}
	_, ok, err := GetMessage(a.view, t.Thread, t.Head)
	if err != nil {
		return a.damaged(key, err)
	}
	if !ok {
		a.found(key, "thread's head is message %d, which has no record", t.Head)
	}
	return nil
}

func (a *audit) compareCounters() {
	for _, c := range []struct {
		what       string
		kept, seen uint64
	}{
		{"owners", a.counters.Owners, a.totals.Owners},
		{"threads", a.counters.Threads, a.totals.Threads},
		{"deleted threads", a.counters.DeletedThreads, a.totals.DeletedThreads},
		{"messages", a.counters.Messages, a.totals.Messages},
		{"deleted messages", a.counters.DeadMessages, a.totals.DeadMessages},
	} {
		if c.kept != c.seen {
			a.found(KeyCounters(), "%d %s, the counters say %d", c.seen, c.what, c.kept)
		}
	}
}
