package writer

import (
	"testing"
	"time"

	"github.com/bobbindb/bobbin/shared/chat"
	"github.com/bobbindb/bobbin/shared/commitlog"
	"github.com/bobbindb/bobbin/shared/store"
)

func TestUseKey(t *testing.T) {
	b := newBench(t)
	use := func(id byte, kek uint32) *chat.UseKey { return &chat.UseKey{ID: [16]byte{id}, KEK: kek} }
	b.refuses(alice, use(0, 1), errNoKeyID)
	first := b.batch(b.command(alice, use(1, 1)), b.command(alice, use(2, 1)), b.command(bob, use(3, 1)))
	for i, want := range []struct {
		key     byte
		changed bool
	}{{1, true}, {1, false}, {3, true}} {
		if got := first[i]; got.err != nil || got.Key != [16]byte{want.key} || got.changed != want.changed {
			t.Errorf("command %d = %+v, want key %d, changed %t", i, got, want.key, want.changed)
		}
	}
	if o := b.owner(alice); o.Key != [16]byte{1} || o.Owner != alice || o.Created != b.now || o.Open != 0 {
		t.Errorf("owner = %+v", o)
	}
	if c := b.counters(); c.Owners != 2 || c.Threads != 0 {
		t.Errorf("counters = %+v, want two owners", c)
	}
	b.does(alice, create(say("one")))
	if o, c := b.owner(alice), b.counters(); o.Key != [16]byte{1} || o.Open != 1 || c.Owners != 2 {
		t.Errorf("after a thread: owner = %+v, counters = %+v", o, c)
	}
	b.does(carol, create())
	if got := b.does(carol, use(4, 1)); got.Key != [16]byte{4} || b.owner(carol).Open != 1 || b.counters().Owners != 3 {
		t.Errorf("an owner without a key: %+v", got)
	}
	b.audit()
}

// A KEK version that is closed takes no key that is not in use yet.
func TestUseKeyUnderAClosedKEK(t *testing.T) {
	b := newBench(t)
	use := func(id byte, kek uint32) *chat.UseKey { return &chat.UseKey{ID: [16]byte{id}, KEK: kek} }
	b.does(alice, use(1, 1))
	b.now += int64(time.Second)
	b.apply(b.now, []commitlog.Op{{Kind: commitlog.OpControl, Key: []byte(store.ControlKEK), Value: store.EncodeKEK(store.KEK{Current: 2, Closed: []uint32{1}})}})
	if kek, err := store.GetKEK(b.db); err != nil || kek.Current != 2 {
		t.Errorf("GetKEK() = %+v, %v, want version 2", kek, err)
	}
	b.refuses(bob, use(2, 1), chat.ErrKEKClosed)
	if got := b.repeats(alice, use(3, 1)); got.Key != [16]byte{1} {
		t.Errorf("a key in use = %v, want the first", got.Key)
	}
	if got := b.does(bob, use(4, 2)); got.Key != [16]byte{4} {
		t.Errorf("under the current one = %v", got.Key)
	}
	b.audit()
}
