package writer

import (
	"testing"
	"time"

	"github.com/bobbindb/bobbin/shared/chat"
	"github.com/bobbindb/bobbin/shared/commitlog"
	"github.com/bobbindb/bobbin/shared/store"
)

const month = 30 * 24 * time.Hour

func purge(t chat.ThreadID, messages ...chat.MessageID) *chat.Purge {
	a := &chat.Purge{Thread: t, Retention: month}
	for _, m := range messages {
		a.Messages = append(a.Messages, m.Time)
	}
	return a
}

// later moves the clock past the retention of what is deleted now.
func (b *bench) later() { b.now += int64(month) }

// keysOf counts the entries that have anything to do with threads: all but counters,
// owners and what commands are remembered by.
func (b *bench) keysOf() (n int) {
	b.t.Helper()
	view := b.db.View()
	defer view.Close()
	from, to := store.SlotRange(0, 1<<16-1)
	keys, err := view.Keys(from, to, false, 1000)
	if err != nil {
		b.t.Fatal(err)
	}
	for _, k := range keys {
		if store.KindOf(k.Key) != "owner" {
			n++
		}
	}
	return n
}

// furnish makes a thread with everything that a thread may have.
func (b *bench) furnish() (chat.ThreadID, []chat.MessageID) {
	b.t.Helper()
	first := named("m", "one")
	first.Expires = b.now + int64(100*month)
	got := b.does(alice, &chat.CreateThread{
		ClientID: "c", Content: digestOf("c"), SlugHash: digestOf("s"), Expires: b.now + int64(200*month), Draft: title("t"),
		Messages: []chat.NewMessage{first, say("two"), say("three"), say("four")},
	})
	for range 3 {
		b.does(alice, &chat.EditMessage{Thread: byID(got.Thread), Message: messageByID(got.Messages[0]), Draft: body("edited")})
	}
	b.does(alice, &chat.DeleteMessage{Thread: byID(got.Thread), Message: messageByID(got.Messages[1])})
	return got.Thread, got.Messages
}

func TestPurgeThread(t *testing.T) {
	b := newBench(t)
	th, ids := b.furnish()
	b.does(alice, &chat.DeleteThread{Thread: byID(th)})
	kept := b.repeats(chat.Owner{}, purge(th, ids...))
	if kept.Purged != (chat.Purged{}) {
		t.Errorf("within the retention: %+v", kept.Purged)
	}
	b.later()
	// The first step names some of the messages. From then on nobody knows the thread.
	if got := b.does(chat.Owner{}, purge(th, ids[1], ids[3])); got.Purged != (chat.Purged{Threads: 1, Messages: 2, Left: 2}) {
		t.Errorf("first step: %+v", got.Purged)
	}
	// Whoever names the same ones is told that others are left.
	if got := b.repeats(chat.Owner{}, purge(th, ids[1], ids[3])); got.Purged != (chat.Purged{Left: 2}) {
		t.Errorf("first step again: %+v", got.Purged)
	}
	b.refuses(alice, post(byID(th), say("x")), chat.ErrNotParticipant)
	b.refuses(alice, post(byName("c"), say("x")), chat.ErrNotParticipant)
	b.refuses(alice, &chat.UndeleteThread{Thread: byID(th)}, chat.ErrThreadNotFound)
	if o := b.owner(alice); o.Open+o.Archived+o.Deleted != 0 {
		t.Errorf("owner = %+v, want no thread", o)
	}
	if c := b.counters(); c.Threads != 0 || c.DeletedThreads != 0 || c.Messages != 2 || c.DeadMessages != 0 {
		t.Errorf("counters = %+v, want two messages that are left", c)
	}
	// The client's id is free: a thread that is made under it is another one.
	again := b.does(alice, &chat.CreateThread{ClientID: "c", Content: digestOf("other"), Draft: title("t")})
	if again.Thread == th {
		t.Error("a new thread has the key of the purged one")
	}
	if got := b.does(chat.Owner{}, purge(th, ids...)); got.Purged != (chat.Purged{Messages: 2}) {
		t.Errorf("second step: %+v", got.Purged)
	}
	b.repeats(chat.Owner{}, purge(th, ids...))
	b.does(alice, &chat.DeleteThread{Thread: byID(again.Thread)})
	b.later()
	b.does(chat.Owner{}, purge(again.Thread))
	if n := b.keysOf(); n != 0 {
		t.Errorf("%d entries are left", n)
	}
	if c := b.counters(); c.Owners != 1 || c.Threads+c.DeletedThreads+c.Messages+c.DeadMessages != 0 {
		t.Errorf("counters = %+v", c)
	}
}

func TestPurgeMessages(t *testing.T) {
	b := newBench(t)
	th, ids := b.furnish()
	before := b.thread(th)
	b.later()
	if got := b.does(chat.Owner{}, purge(th, ids...)); got.Purged != (chat.Purged{Messages: 1}) {
		t.Errorf("purged %+v, want the one that was deleted", got.Purged)
	}
	b.refuses(alice, &chat.UndeleteMessage{Thread: byID(th), Message: messageByID(ids[1])}, chat.ErrMessageNotFound)
	after := b.thread(th)
	if after.Live != 3 || after.Dead != 0 || after.Revision != before.Revision || after.Updated != before.Updated || after.Changed != before.Changed || after.Head != before.Head {
		t.Errorf("thread = %+v, was %+v", after, before)
	}
	if parent, ok, err := store.GetLink(b.db, th, ids[1].Time); parent != ids[0].Time || !ok || err != nil {
		t.Errorf("GetLink() = %d, %t, %v, want %d", parent, ok, err, ids[0].Time)
	}
	// Then the one before it, and the head: lines lead past them.
	for _, id := range []chat.MessageID{ids[0], ids[3]} {
		b.does(alice, &chat.DeleteMessage{Thread: byID(th), Message: messageByID(id)})
	}
	b.later()
	if got := b.does(chat.Owner{}, purge(th, ids...)); got.Purged != (chat.Purged{Messages: 2}) {
		t.Errorf("purged %+v, want two", got.Purged)
	}
	if head := b.thread(th).Head; head != ids[2].Time {
		t.Errorf("head = %d, want %d", head, ids[2].Time)
	}
	next := b.does(alice, post(byID(th), named("m", "another"))).Messages[0]
	if m := b.message(next); m.Parent != ids[2].Time || m.ID.Seq != 4 {
		t.Errorf("message under a purged one's id = %+v", m)
	}
	if totals := b.audit(); totals.Revisions != 0 {
		t.Errorf("%d revisions are left", totals.Revisions)
	}
	b.does(alice, &chat.DeleteThread{Thread: byID(th)})
	b.later()
	b.does(chat.Owner{}, purge(th, append(ids, next)...))
	if n := b.keysOf(); n != 0 {
		t.Errorf("%d entries are left", n)
	}
}

func TestPurgeExpired(t *testing.T) {
	b := newBench(t)
	soon := say("soon")
	soon.Expires = b.now + int64(time.Minute)
	created := b.does(alice, &chat.CreateThread{Expires: b.now + int64(time.Hour), Draft: title("t"), Messages: []chat.NewMessage{say("one"), soon}})
	th, ids := created.Thread, created.Messages
	b.repeats(chat.Owner{}, purge(th, ids...))
	b.now += int64(time.Minute)
	if got := b.does(chat.Owner{}, purge(th, ids...)); got.Purged != (chat.Purged{Messages: 1}) {
		t.Errorf("after a minute: %+v", got.Purged)
	}
	if head := b.thread(th).Head; head != ids[0].Time {
		t.Errorf("head = %d, want %d", head, ids[0].Time)
	}
	b.now += int64(time.Hour)
	// Until it is purged, an expired thread is there, and may be given more time.
	later := b.now + int64(time.Hour)
	b.does(alice, &chat.UpdateThread{Thread: byID(th), Expires: &later})
	b.repeats(chat.Owner{}, purge(th, ids...))
	b.now += int64(time.Hour)
	if got := b.does(chat.Owner{}, purge(th)); got.Purged != (chat.Purged{Threads: 1, Left: 1}) {
		t.Errorf("after an hour: %+v", got.Purged)
	}
	b.refuses(alice, post(byID(th), say("x")), chat.ErrNotParticipant)
	b.does(chat.Owner{}, purge(th, ids...))
	if n := b.keysOf(); n != 0 {
		t.Errorf("%d entries are left", n)
	}
}

// A thread that comes back between the look at it and the purge stays whole.
func TestPurgeAfterUndelete(t *testing.T) {
	b := newBench(t)
	th, ids := b.furnish()
	b.does(alice, &chat.DeleteMessage{Thread: byID(th), Message: messageByID(ids[2])})
	b.does(alice, &chat.DeleteThread{Thread: byID(th)})
	b.later()
	out := b.batch(
		b.command(alice, &chat.UndeleteThread{Thread: byID(th)}),
		b.command(alice, &chat.UndeleteMessage{Thread: byID(th), Message: messageByID(ids[1])}),
		b.command(alice, &chat.UndeleteMessage{Thread: byID(th), Message: messageByID(ids[2])}),
		b.command(chat.Owner{}, purge(th, ids...)),
	)
	if got := out[3]; got.err != nil || got.changed || got.Purged != (chat.Purged{}) {
		t.Errorf("purge = %+v, want nothing", got)
	}
	if th := b.thread(th); th.Live != 4 || th.Deleted != 0 {
		t.Errorf("thread = %+v", th)
	}
	b.does(alice, &chat.DeleteThread{Thread: byID(th)})
	b.repeats(chat.Owner{}, purge(th, ids...)) // deleted anew, it is kept anew
}

// What the same batch wrote before goes too.
func TestPurgeInOneBatch(t *testing.T) {
	b := newBench(t)
	created := b.does(alice, create(say("one"), say("two"), say("three")))
	th, ids := created.Thread, created.Messages
	now := purge(th, ids[0], ids[1])
	now.Retention = 0
	whole := purge(th, ids...)
	whole.Retention = 0
	out := b.batch(
		b.command(alice, &chat.EditMessage{Thread: byID(th), Message: messageByID(ids[1]), Draft: body("a")}),
		b.command(alice, &chat.EditMessage{Thread: byID(th), Message: messageByID(ids[1]), Draft: body("b")}),
		b.command(alice, &chat.DeleteMessage{Thread: byID(th), Message: messageByID(ids[1])}),
		b.command(chat.Owner{}, now), // leaves a link
		b.command(alice, &chat.DeleteThread{Thread: byID(th)}),
		b.command(chat.Owner{}, whole),
	)
	if out[3].Purged != (chat.Purged{Messages: 1}) || out[5].Purged != (chat.Purged{Threads: 1, Messages: 2}) {
		t.Errorf("purged %+v, then %+v", out[3].Purged, out[5].Purged)
	}
	if n := b.keysOf(); n != 0 {
		t.Errorf("%d entries are left", n)
	}
}

// A purge is not remembered; it lets go of remembered answers whose time is over.
func TestPurgeForgets(t *testing.T) {
	b := newBench(t)
	keyed := b.command(alice, create())
	keyed.Idempotency = &chat.Idempotency{Key: digestOf("k"), Request: digestOf("r")}
	b.batch(keyed)
	b.repeats(chat.Owner{}, &chat.Purge{})
	b.now += store.Quarter
	b.does(chat.Owner{}, &chat.Purge{}) // a new quarter
	if totals := b.audit(); totals.Commands != 1 || totals.Idempotency != 1 {
		t.Errorf("a quarter later: %+v", totals)
	}
	b.now += store.Quarter
	b.does(chat.Owner{}, &chat.Purge{})
	if totals := b.audit(); totals.Commands != 0 || totals.Idempotency != 1 {
		t.Errorf("two quarters later: %+v", totals)
	}
	b.now += 2 * store.Day
	b.does(chat.Owner{}, &chat.Purge{})
	if totals := b.audit(); totals.Commands != 0 || totals.Idempotency != 0 {
		t.Errorf("two days later: %+v", totals)
	}
}

func TestPurgeOfUnknownThread(t *testing.T) {
	b := newBench(t)
	b.repeats(chat.Owner{}, purge(chat.ThreadID{Time: 5}, chat.MessageID{Time: 6}))
}

// A window and a seal hold for a purge as for anybody.
func TestPurgeWhileFrozen(t *testing.T) {
	b := newBench(t)
	th := b.does(alice, create()).Thread
	b.does(alice, &chat.DeleteThread{Thread: byID(th)})
	b.later()
	window := store.EncodeFreeze(store.Freeze{Until: b.now + int64(time.Hour)})
	b.apply(b.last+1, []commitlog.Op{{Kind: commitlog.OpControl, Key: []byte(store.ControlFreeze), Value: window}})
	b.refuses(chat.Owner{}, purge(th), chat.ErrFrozen)
}
