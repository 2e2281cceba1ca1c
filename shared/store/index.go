package store

import "github.com/bobbindb/bobbin/shared/chat"

// IndexEntry is an entry that a record implies.
type IndexEntry struct {
	Key   []byte
	Value []byte // empty where the key says it all
}

// ThreadIndex lists the index entries that a thread's record implies: it has exactly
// these. A deleted thread keeps its client's id and its expiry, and is no longer found
// by its slug. One that is being purged is found by who purges and by nobody else. owner
// is the hash of the thread's owner.
func ThreadIndex(owner chat.Digest, t *chat.Thread) []IndexEntry {
	if t.Purged != 0 {
		return []IndexEntry{{Key: KeyDeleted(t.ID.Slot, 0, t.ID.Time, 0)}}
	}
	state := StateOf(t)
	entries := append(make([]IndexEntry, 0, 6),
		IndexEntry{Key: KeyList(owner, state, t.ID.Time)},
		IndexEntry{Key: KeyUpdated(owner, state, t.Updated, t.ID.Time)},
		IndexEntry{Key: KeyChange(owner, t.Changed, t.ID.Time, 0)},
	)
	if t.ClientID != "" {
		entries = append(entries, IndexEntry{KeyThreadID(owner, t.ClientID), EncodeTime(t.ID.Time)})
	}
	if t.SlugHash != (chat.Digest{}) && t.Deleted == 0 {
		entries = append(entries, IndexEntry{Key: KeySlug(owner, t.SlugHash, t.ID.Time)})
	}
	if t.Deleted != 0 {
		entries = append(entries, IndexEntry{Key: KeyDeleted(t.ID.Slot, t.Deleted, t.ID.Time, 0)})
	}
	if t.Expires != 0 {
		entries = append(entries, IndexEntry{Key: KeyExpiry(t.ID.Slot, t.Expires, t.ID.Time, 0)})
	}
	return entries
}

// MessageIndex lists the index entries that a message's record implies, live or
// deleted. owner is the hash of the thread's owner.
func MessageIndex(owner chat.Digest, m *chat.Message) []IndexEntry {
	thread := m.ID.Thread
	entries := append(make([]IndexEntry, 0, 3), IndexEntry{Key: KeyChange(owner, m.Changed, thread.Time, m.ID.Time)})
	if m.ClientID != "" {
		entries = append(entries, IndexEntry{KeyMessageID(thread, m.ClientID), EncodeTime(m.ID.Time)})
	}
	if m.Deleted != 0 {
		entries = append(entries, IndexEntry{Key: KeyDeleted(thread.Slot, m.Deleted, thread.Time, m.ID.Time)})
	}
	if m.Expires != 0 {
		entries = append(entries, IndexEntry{Key: KeyExpiry(thread.Slot, m.Expires, thread.Time, m.ID.Time)})
	}
	return entries
}
