package store

import (
	"errors"
	"fmt"
	"sync/atomic"

	"github.com/cockroachdb/pebble/v2"

	"github.com/bobbindb/bobbin/shared/chat"
)

// Reader reads single values. A View is one, and so is a writer's scratch.
type Reader interface {
	// Get returns the value, or ok false when there is none. The value is the
	// caller's to keep.
	Get(key []byte) (value []byte, ok bool, err error)
}

// View is a consistent picture of the database at one position.
type View struct{ *picture }

// picture is a snapshot that the views of one position share. To make and to close one
// takes a lock that all of Pebble goes by.
type picture struct {
	snapshot *pebble.Snapshot
	harm     *harm
	at       Position
	refs     atomic.Int64 // the views, and the database while it stands at the position
}

func (p *picture) release() error {
	if p.refs.Add(-1) > 0 {
		return nil
	}
	return p.snapshot.Close()
}

// View takes a picture. Close it soon: it keeps old versions alive.
func (db *DB) View() *View {
	db.mu.Lock()
	defer db.mu.Unlock()
	if db.newest == nil {
		db.newest = &picture{snapshot: db.pebble.NewSnapshot(), harm: db.harm, at: db.position}
		db.newest.refs.Store(1)
	}
	db.newest.refs.Add(1)
	return &View{db.newest}
}

// moveOn lets go of the newest picture, which is to be of the past. mu is held.
func (db *DB) moveOn() error {
	last := db.newest
	if db.newest = nil; last == nil {
		return nil
	}
	return last.release()
}

// Position is the last commit in the view.
func (v *View) Position() Position { return v.at }

// Close lets go of the view.
func (v *View) Close() error { return v.release() }

// Get implements Reader.
func (v *View) Get(key []byte) ([]byte, bool, error) { return get(v.snapshot, v.harm, key) }

// Get implements Reader on the newest state. Only who applies may rely on two Gets
// seeing the same one.
func (db *DB) Get(key []byte) ([]byte, bool, error) { return get(db.pebble, db.harm, key) }

// get reads a copy of a value.
func get(from pebble.Reader, h *harm, key []byte) ([]byte, bool, error) {
	value, closer, err := from.Get(key)
	if errors.Is(err, pebble.ErrNotFound) {
		return nil, false, nil
	}
	if err != nil {
		return nil, false, fmt.Errorf("read %x: %w", key, h.explain(err))
	}
	out := clone(value)
	return out, true, closer.Close()
}

var (
	_ Reader = (*View)(nil)
	_ Reader = (*DB)(nil)
)

// GetThread reads a thread's record, deleted or not; ok is false when it is unknown, as
// one that is being purged is.
func GetThread(r Reader, id chat.ThreadID) (t *chat.Thread, ok bool, err error) {
	t, ok, err = getRecord(r, id)
	if err != nil || !ok || t.Purged != 0 {
		return nil, false, err
	}
	return t, true, nil
}

// getRecord reads a thread's record, whatever it says.
func getRecord(r Reader, id chat.ThreadID) (t *chat.Thread, ok bool, err error) {
	value, ok, err := r.Get(KeyThread(id))
	if err != nil || !ok {
		return nil, false, err
	}
	t, err = DecodeThread(id, value)
	return t, err == nil, err
}

// GetMessage reads a live or deleted message; its Deleted says which.
func GetMessage(r Reader, t *chat.Thread, time int64) (m *chat.Message, ok bool, err error) {
	value, ok, err := r.Get(KeyMessage(t.ID, time))
	if err == nil && !ok {
		value, ok, err = r.Get(KeyDeadMessage(t.ID, time))
	}
	if err != nil || !ok {
		return nil, false, err
	}
	m, err = DecodeMessage(t, time, value)
	return m, err == nil, err
}

// GetLink reads what a purged message answered: the time of that message, or ok false
// when it answered none.
func GetLink(r Reader, t chat.ThreadID, message int64) (parent int64, ok bool, err error) {
	return getTime(r, KeyLink(t, message))
}

// GetOwner reads an owner's record.
func GetOwner(r Reader, owner chat.Digest) (o *Owner, ok bool, err error) {
	value, ok, err := r.Get(KeyOwner(owner))
	if err != nil || !ok {
		return nil, false, err
	}
	o, err = DecodeOwner(value)
	return o, err == nil, err
}

// GetCounters reads the partition's counters.
func GetCounters(r Reader) (Counters, error) {
	value, ok, err := r.Get(KeyCounters())
	if err != nil || !ok {
		return Counters{}, err
	}
	return DecodeCounters(value)
}

// getTime reads an index entry that leads to a time.
func getTime(r Reader, key []byte) (int64, bool, error) {
	value, ok, err := r.Get(key)
	if err != nil || !ok {
		return 0, false, err
	}
	time, err := DecodeTime(value)
	return time, err == nil, err
}

// FindThread finds an owner's thread by its client's id.
func FindThread(r Reader, owner chat.Digest, id chat.ClientID) (chat.ThreadID, bool, error) {
	time, ok, err := getTime(r, KeyThreadID(owner, id))
	return chat.ThreadID{Time: time, Slot: owner.Slot()}, ok, err
}

// FindMessage finds a thread's message by its client's id: its time in the thread.
func FindMessage(r Reader, t chat.ThreadID, id chat.ClientID) (int64, bool, error) {
	return getTime(r, KeyMessageID(t, id))
}

// GetFreeze reads the maintenance window, ok false when there is none.
func GetFreeze(r Reader) (Freeze, bool, error) {
	value, ok, err := r.Get(KeyControl(ControlFreeze))
	if err != nil || !ok {
		return Freeze{}, false, err
	}
	f, err := DecodeFreeze(value)
	return f, err == nil, err
}

// GetSeal reads how the branch ended, ok false when it goes on.
func GetSeal(r Reader) (Seal, bool, error) {
	value, ok, err := r.Get(KeyControl(ControlSeal))
	if err != nil || !ok {
		return Seal{}, false, err
	}
	s, err := DecodeSeal(value)
	return s, err == nil, err
}

// GetKEK reads which KEK versions wrap new user keys.
func GetKEK(r Reader) (KEK, error) {
	value, ok, err := r.Get(KeyControl(ControlKEK))
	if err != nil || !ok {
		return KEK{Current: 1}, err
	}
	return DecodeKEK(value)
}

// GetEntry reads what a command or an idempotency key is remembered by.
func GetEntry(r Reader, key []byte) (*Entry, bool, error) {
	value, ok, err := r.Get(key)
	if err != nil || !ok {
		return nil, false, err
	}
	e, err := DecodeEntry(value)
	return e, err == nil, err
}
