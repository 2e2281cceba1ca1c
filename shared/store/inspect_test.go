package store_test

import (
	"testing"

	"github.com/bobbindb/bobbin/shared/chat"
	"github.com/bobbindb/bobbin/shared/store"
)

func TestKindOf(t *testing.T) {
	var owner, slug chat.Digest
	thread := chat.ThreadID{Time: 7, Slot: 9}
	for _, c := range []struct {
		key  []byte
		want string
	}{
		{store.KeyCounters(), "counters"},
		{store.KeyPosition(), "position"},
		{store.KeyControl("freeze"), "control"},
		{store.KeyIdempotency(1, owner), "idempotency"},
		{store.KeyCommand(1, chat.CommandID{}), "command"},
		{store.KeyChange(owner, 1, 2, 3), "change"},
		{store.KeyDeleted(1, 2, 3, 4), "deletion"},
		{store.KeyExpiry(1, 2, 3, 4), "expiry"},
		{store.KeyThreadID(owner, "a"), "thread_id"},
		{store.KeyList(owner, store.StateOpen, 1), "thread_by_creation"},
		{store.KeyUpdated(owner, store.StateOpen, 1, 2), "thread_by_update"},
		{store.KeyOwner(owner), "owner"},
		{store.KeySlug(owner, slug, 1), "slug"},
		{store.KeyThread(thread), "thread"},
		{store.KeyMessageID(thread, "a"), "message_id"},
		{store.KeyMessage(thread, 1), "message"},
		{store.KeyDeadMessage(thread, 1), "deleted_message"},
		{store.KeyLink(thread, 1), "link"},
		{store.KeyRevision(thread, 1, 2), "revision"},
		{nil, "unknown"},
		{[]byte{0}, "unknown"},
		{[]byte{0x77, 1}, "unknown"},
		{[]byte{0x10, 0, 0, 't', 0}, "unknown"},
	} {
		if got := store.KindOf(c.key); got != c.want {
			t.Errorf("KindOf(%x) = %q, want %q", c.key, got, c.want)
		}
	}
}
