package writer

import (
	"slices"
	"testing"
	"time"

	"github.com/bobbindb/bobbin/shared/chat"
	"github.com/bobbindb/bobbin/shared/commitlog"
	"github.com/bobbindb/bobbin/shared/store"
)

// shared makes a thread of alice's in which bob writes and carol reads.
func shared(b *bench) chat.ThreadID {
	b.t.Helper()
	return b.does(alice, &chat.CreateThread{Draft: title("t"), Members: []chat.Member{
		{User: "bob", Role: chat.RoleWriter}, {User: "carol", Role: chat.RoleReader},
	}}).Thread
}

func TestPostMessages(t *testing.T) {
	b := newBench(t)
	th := shared(b)
	full := say("one")
	full.Status, full.Role, full.Format, full.Model, full.ReplyTo = chat.InProgress, "assistant", "md", "m", "r"
	full.Usage, full.Expires = []byte(`{"n":1}`), start+7
	got := b.does(bob, post(byID(th), full, say("two")))
	if len(got.Messages) != 2 || got.Revision != 0 {
		t.Fatalf("result = %+v", got)
	}
	m := b.message(got.Messages[0])
	if m.Author != bob || m.Created != b.now || m.Updated != b.now || m.Status != chat.InProgress || m.Role != "assistant" || m.Format != "md" ||
		m.Model != "m" || m.ReplyTo != "r" || string(m.Usage) != `{"n":1}` || m.Expires != start+7 || m.Changed != b.seq {
		t.Errorf("message = %+v", m)
	}
	if !b.has(store.KeyExpiry(th.Slot, start+7, th.Time, m.ID.Time)) {
		t.Error("expiry entry is missing")
	}
	second := b.message(got.Messages[1])
	if second.ID.Time != m.ID.Time+1 || second.ID.Seq != 1 || second.Parent != m.ID.Time {
		t.Errorf("second = %+v, want right after %+v", second, m)
	}
	after := b.thread(th)
	if after.Updated != b.now || after.Changed != b.seq || after.Head != second.ID.Time || after.LastTime != second.ID.Time ||
		after.LastMessage != second.Created || after.Live != 2 || after.NextSeq != 2 || after.Revision != 0 {
		t.Errorf("thread = %+v", after)
	}
	b.refuses(carol, post(byID(th), say("x")), chat.ErrNotParticipant)
	b.refuses(mallory, post(byID(th), say("x")), chat.ErrNotParticipant)
	b.refuses(foreign, post(byID(th), say("x")), chat.ErrNotParticipant)
	b.refuses(alice, post(byID(chat.ThreadID{Time: 5, Slot: th.Slot}), say("x")), chat.ErrNotParticipant)
	b.repeats(alice, post(byID(th)))
}

// Only an import brings these.
func TestPostIgnoresThePast(t *testing.T) {
	b := newBench(t)
	th := shared(b)
	in := say("x")
	in.Author, in.Created, in.Updated, in.Deleted, in.Revision = "alice", 1, 2, 3, 4
	m := b.message(b.does(bob, post(byID(th), in)).Messages[0])
	if m.Author != bob || m.Created != b.now || m.Updated != b.now || m.Deleted != 0 || m.Revision != 0 {
		t.Errorf("message = %+v", m)
	}
}

func TestPostInOneBatch(t *testing.T) {
	b := newBench(t)
	th := shared(b)
	var cmds []*chat.Command
	for range 64 {
		cmds = append(cmds, b.command(bob, post(byID(th), say("x"))))
	}
	b.now += int64(time.Second)
	view := b.db.View()
	defer view.Close()
	s := newScratch(view)
	m := moment{seq: b.seq + 1, time: b.now}
	for i, cmd := range cmds {
		out, changed, err := b.d.decide(s, cmd, m, false)
		if err != nil || !changed || out.Messages[0].Seq != uint32(i) || out.Messages[0].Time != b.now+int64(i) {
			t.Fatalf("message %d = %+v, %t, %v", i, out, changed, err)
		}
	}
	ops := s.ops()
	// For each message its record, its change and the command; then once the thread's
	// record, two entries moved, and the counters.
	if want := 64*3 + 1 + 4 + 1; len(ops) != want {
		t.Errorf("%d ops, want %d", len(ops), want)
	}
	b.apply(m.time, ops)
	b.audit()
}

func TestParents(t *testing.T) {
	b := newBench(t)
	th := shared(b)
	first := b.does(alice, post(byID(th), named("a", "one"))).Messages[0]
	second := b.does(alice, post(byID(th), say("two"))).Messages[0]
	to := func(ref chat.MessageRef, branch bool) chat.NewMessage {
		m := say("reply")
		m.Parent, m.Branch = &ref, branch
		return m
	}
	branch := b.message(b.does(bob, post(byID(th), to(messageByID(first), true))).Messages[0])
	if branch.Parent != first.Time || b.thread(th).Head != second.Time {
		t.Errorf("branch: parent %d, head %d, want %d, %d", branch.Parent, b.thread(th).Head, first.Time, second.Time)
	}
	other := b.message(b.does(bob, post(byID(th), to(chat.MessageRef{ClientID: "a"}, false))).Messages[0])
	if other.Parent != first.Time || b.thread(th).Head != other.ID.Time {
		t.Errorf("parent by name: %d, head %d", other.Parent, b.thread(th).Head)
	}
	b.does(alice, &chat.DeleteMessage{Thread: byID(th), Message: messageByID(second)})
	b.does(bob, post(byID(th), to(messageByID(second), false))) // a deleted parent is one

	elsewhere := b.does(alice, create(say("x"))).Messages[0]
	wrong := first
	wrong.Seq = 5
	unnumbered := first
	unnumbered.Seq = chat.NoSeq
	b.does(bob, post(byID(th), to(messageByID(unnumbered), true)))
	b.refuses(bob, post(byID(th), to(messageByID(elsewhere), false)), chat.ErrNotInThread)
	for _, ref := range []chat.MessageRef{
		messageByID(wrong), {ClientID: "none"}, messageByID(chat.MessageID{Thread: th, Time: 1, Seq: chat.NoSeq}),
	} {
		b.refuses(bob, post(byID(th), to(ref, false)), chat.ErrMessageNotFound)
	}
}

func TestPostUnderClientID(t *testing.T) {
	b := newBench(t)
	th := shared(b)
	first := b.does(alice, post(byID(th), named("m", "one")))
	if again := b.repeats(alice, post(byID(th), named("m", "one"))); !slices.Equal(again.Messages, first.Messages) {
		t.Errorf("again = %+v, want %+v", again, first)
	}
	b.refuses(alice, post(byID(th), named("m", "other")), chat.ErrIDUsed)
	mixed := b.does(alice, post(byID(th), named("m", "one"), named("n", "two"), named("n", "two")))
	if mixed.Messages[0] != first.Messages[0] || mixed.Messages[1] != mixed.Messages[2] || b.thread(th).Live != 2 {
		t.Errorf("mixed = %+v, %d messages", mixed, b.thread(th).Live)
	}
	b.refuses(alice, post(byID(th), say("new"), named("n", "other")), chat.ErrIDUsed)
	b.does(alice, &chat.DeleteMessage{Thread: byID(th), Message: chat.MessageRef{ClientID: "m"}})
	if again := b.repeats(alice, post(byID(th), named("m", "one"))); again.Messages[0] != first.Messages[0] {
		t.Errorf("once it is deleted: %+v, want %+v", again, first)
	}
	elsewhere := b.does(alice, create(named("m", "one")))
	if elsewhere.Messages[0].Thread == th {
		t.Error("an id is taken in every thread")
	}
}

func TestPostSealedElsewhere(t *testing.T) {
	b := newBench(t)
	th := shared(b)
	at := func(times ...int64) *chat.PostMessages {
		a := post(byID(th))
		for _, at := range times {
			a.Messages = append(a.Messages, chat.NewMessage{Draft: elsewhere(at, chat.Texts{Body: sealedText("b")})})
		}
		return a
	}
	first := b.now
	if got := b.does(alice, at(first, first+1)); got.Messages[0].Time != first || got.Messages[1].Time != first+1 {
		t.Errorf("posted at %+v", got.Messages)
	}
	if next := b.reproposes(alice, at(first+1)); next != b.now {
		t.Errorf("not after the last: next %d, want %d", next, b.now)
	}
	b.reproposes(alice, at(b.now+1, b.now+1))
	ahead := b.now + int64(6*time.Second) // the batch is decided a second from here
	b.does(alice, at(ahead))
	if next := b.reproposes(alice, at(b.now)); next != ahead+1 {
		t.Errorf("behind one that is ahead: next %d, want %d", next, ahead+1)
	}
	b.reproposes(alice, at(b.now+int64(6*time.Second)+1))
	if got := b.does(alice, post(byID(th), say("here"))); got.Messages[0].Time != ahead+1 {
		t.Errorf("sealed here: %d, want %d", got.Messages[0].Time, ahead+1)
	}
}

func TestThreadFull(t *testing.T) {
	b := newBench(t)
	b.audits = false // the numbers that were skipped look purged
	th := shared(b)
	full := *b.thread(th)
	full.NextSeq = chat.MaxSeq
	b.apply(b.now+1, []commitlog.Op{{Kind: commitlog.OpSet, Key: store.KeyThread(th), Value: store.EncodeThread(&full)}})
	b.refuses(alice, post(byID(th), say("last"), say("one more")), chat.ErrThreadFull)
	if got := b.does(alice, post(byID(th), say("last"))).Messages[0].Seq; got != chat.MaxSeq {
		t.Errorf("last seq = %d, want %d", got, chat.MaxSeq)
	}
	b.refuses(alice, post(byID(th), say("one more")), chat.ErrThreadFull)
	b.audit()
}

func TestEditMessage(t *testing.T) {
	b := newBench(t)
	th := shared(b)
	in := named("m", "one")
	in.Expires = start + 9
	id := b.does(bob, post(byID(th), in)).Messages[0]
	posted, before := b.now, b.thread(th)
	edit := func(text string, ifMatch ...uint32) *chat.EditMessage {
		return &chat.EditMessage{Thread: byID(th), Message: messageByID(id), IfMatch: ifMatch, Draft: body(text)}
	}
	got := b.does(bob, edit("two"))
	if got.Revision != 1 || got.Messages[0] != id || got.Thread != th {
		t.Errorf("result = %+v, want revision 1 of %s", got, id)
	}
	m := b.message(id)
	if want := closed("two", th, id.Time, 1); string(m.Body) != want || m.Revision != 1 || m.Updated != b.now || m.Created != posted || m.Changed != b.seq {
		t.Errorf("message = %+v, want body %q", m, want)
	}
	value, ok, err := b.db.Get(store.KeyRevision(th, id.Time, 0))
	if err != nil || !ok {
		t.Fatalf("revision: %t, %v", ok, err)
	}
	r, err := store.DecodeRevision(m, 0, value)
	if err != nil || string(r.Body) != closed("one", th, id.Time, 0) || r.Author != bob || r.Written != posted {
		t.Errorf("revision = %+v, %v", r, err)
	}
	if after := b.thread(th); after.Updated != before.Updated || after.Changed != before.Changed || after.Live != 1 {
		t.Errorf("an edit changed the thread: %+v", after)
	}
	b.does(bob, edit("three", 1))
	b.refuses(bob, edit("late", 1, 7), chat.ErrPrecondition)
	b.refuses(alice, edit("alice's"), chat.ErrNotAuthor)
	b.refuses(carol, edit("carol's"), chat.ErrNotParticipant)
	b.refuses(mallory, edit("mallory's"), chat.ErrNotParticipant)
	b.refuses(bob, &chat.EditMessage{Thread: byID(th), Message: messageByID(id), Draft: title("no body")}, chat.ErrBodyEmpty)
	if totals := b.audit(); totals.Revisions != 2 {
		t.Errorf("%d revisions, want 2", totals.Revisions)
	}

	sealed := func(revision int64) *chat.EditMessage {
		return &chat.EditMessage{Thread: byID(th), Message: messageByID(id), Draft: elsewhere(revision, chat.Texts{Body: sealedText("b")})}
	}
	if next := b.reproposes(bob, sealed(b.now)); next != 3 {
		t.Errorf("next revision = %d, want 3", next)
	}
	b.does(bob, sealed(3))
	batch := b.batch(b.command(bob, edit("four")), b.command(bob, edit("five")))
	if batch[0].Revision != 4 || batch[1].Revision != 5 || string(b.message(id).Body) != closed("five", th, id.Time, 5) {
		t.Errorf("two edits in a batch = %+v", batch)
	}
}

func TestDeleteMessage(t *testing.T) {
	b := newBench(t)
	th := shared(b)
	in := named("m", "one")
	in.Expires = start + 9
	posted := b.does(bob, post(byID(th), in, say("two"), say("three"))).Messages
	id := posted[0]
	before := b.thread(th)
	remove := func(id chat.MessageID, ifMatch ...uint32) *chat.DeleteMessage {
		return &chat.DeleteMessage{Thread: byID(th), Message: messageByID(id), IfMatch: ifMatch}
	}
	b.refuses(carol, remove(id), chat.ErrNotParticipant)
	b.refuses(mallory, remove(id), chat.ErrNotParticipant)
	b.refuses(bob, remove(id, 3), chat.ErrPrecondition)
	if got := b.does(bob, remove(id, 0)); got.Revision != 0 || got.Messages[0] != id {
		t.Errorf("result = %+v", got)
	}
	m := b.message(id)
	if m.Deleted != b.now || m.Changed != b.seq || m.Revision != 0 || string(m.Body) != closed("one", th, id.Time, 0) {
		t.Errorf("message = %+v", m)
	}
	if b.has(store.KeyMessage(th, id.Time)) || !b.has(store.KeyDeadMessage(th, id.Time)) {
		t.Error("the record did not move")
	}
	after := b.thread(th)
	if after.Live != 2 || after.Dead != 1 || after.Updated != before.Updated || after.Changed != before.Changed || after.Head != before.Head {
		t.Errorf("thread = %+v", after)
	}
	if c := b.counters(); c.Messages != 2 || c.DeadMessages != 1 {
		t.Errorf("counters = %+v", c)
	}
	b.refuses(bob, remove(id), chat.ErrMessageNotFound)
	b.refuses(bob, &chat.EditMessage{Thread: byID(th), Message: messageByID(id), Draft: body("x")}, chat.ErrMessageNotFound)
	b.does(alice, remove(posted[1])) // the thread's owner deletes anybody's
	mine := b.does(alice, post(byID(th), say("alice's"))).Messages[0]
	b.refuses(bob, remove(mine), chat.ErrNotAuthor)

	elsewhere := b.does(alice, create(say("x"))).Messages[0]
	b.refuses(alice, remove(elsewhere), chat.ErrNotInThread)
	b.refuses(alice, &chat.EditMessage{Thread: byID(th), Message: messageByID(elsewhere), Draft: body("x")}, chat.ErrNotInThread)
	wrong := mine
	wrong.Seq++
	b.refuses(alice, remove(wrong), chat.ErrMessageNotFound)
	b.refuses(alice, remove(chat.MessageID{Thread: th, Time: 1, Seq: chat.NoSeq}), chat.ErrMessageNotFound)
	b.refuses(alice, &chat.DeleteMessage{Thread: byID(th), Message: chat.MessageRef{ClientID: "none"}}, chat.ErrMessageNotFound)
	mine.Seq = chat.NoSeq
	b.does(alice, remove(mine))
	out := b.batch(
		b.command(bob, post(byID(th), say("here and gone"))),
		b.command(bob, remove(posted[2])),
		b.command(bob, remove(posted[2])),
	)
	if !out[1].changed || out[2].changed || out[2].err == nil {
		t.Errorf("deleted twice in a batch: %+v", out)
	}
}

func TestUndeleteMessage(t *testing.T) {
	b := newBench(t)
	th := shared(b)
	in := named("m", "one")
	in.Expires = start + 9
	id := b.does(bob, post(byID(th), in, say("two"))).Messages[0]
	back := &chat.UndeleteMessage{Thread: byID(th), Message: messageByID(id)}
	if got := b.repeats(bob, back); got.Messages[0] != id {
		t.Errorf("result for a live message = %+v", got)
	}
	before, record := b.thread(th), b.message(id)
	b.does(bob, &chat.DeleteMessage{Thread: byID(th), Message: messageByID(id)})
	b.refuses(carol, back, chat.ErrNotParticipant)
	b.refuses(mallory, back, chat.ErrNotParticipant)
	b.refuses(bob, &chat.UndeleteMessage{Thread: byID(th), Message: chat.MessageRef{ClientID: "none"}}, chat.ErrMessageNotFound)
	if got := b.does(bob, back); got.Messages[0] != id || got.Revision != 0 {
		t.Errorf("result = %+v", got)
	}
	if got := b.message(id); got.Deleted != 0 || got.Changed != b.seq || string(got.Body) != string(record.Body) {
		t.Errorf("message = %+v", got)
	}
	if !b.has(store.KeyMessage(th, id.Time)) || b.has(store.KeyDeadMessage(th, id.Time)) {
		t.Error("the record did not move back")
	}
	if got := b.thread(th); got.Live != 2 || got.Dead != 0 || got.Updated != before.Updated || got.Revision != before.Revision {
		t.Errorf("thread = %+v", got)
	}
	if c := b.counters(); c.Messages != 2 || c.DeadMessages != 0 {
		t.Errorf("counters = %+v", c)
	}
	b.repeats(bob, post(byID(th), in))
	b.does(alice, &chat.DeleteMessage{Thread: byID(th), Message: messageByID(id)})
	b.does(alice, back) // the thread's owner undeletes anybody's
	mine := b.does(alice, post(byID(th), say("alice's"))).Messages[0]
	b.does(alice, &chat.DeleteMessage{Thread: byID(th), Message: messageByID(mine)})
	b.refuses(bob, &chat.UndeleteMessage{Thread: byID(th), Message: messageByID(mine)}, chat.ErrNotAuthor)
	b.does(alice, &chat.DeleteThread{Thread: byID(th)})
	b.refuses(alice, back, chat.ErrThreadNotFound)
	b.refuses(mallory, back, chat.ErrNotParticipant)
}
