package writer

import (
	"slices"
	"testing"
	"time"

	"github.com/bobbindb/bobbin/shared/chat"
	"github.com/bobbindb/bobbin/shared/store"
)

func past(id string, created int64) chat.NewMessage {
	m := named(id, id)
	m.Created = created
	return m
}

func TestImportThread(t *testing.T) {
	b := newBench(t)
	first, second := past("m1", 100), past("m2", 50)
	first.Author, first.Revision, first.Updated = "zoe", 3, 120
	second.Deleted, second.Parent = 60, &chat.MessageRef{ClientID: "m1"}
	a := &chat.ImportThread{
		ClientID: "c", Created: 40, Status: chat.Archived, SlugHash: digestOf("s"), Expires: start + 1, Draft: title("t"),
		Members: []chat.Member{{User: "bob", Role: chat.RoleWriter}}, Messages: []chat.NewMessage{first, second},
	}
	got := b.does(alice, a)
	if got.Created != 2 || got.Thread.Time != 40 {
		t.Errorf("result = %+v", got)
	}
	th := b.thread(got.Thread)
	if th.Created != 40 || th.Updated != 50 || th.Owner != alice || th.Live != 1 || th.Dead != 1 || th.LastMessage != 50 || th.Status != chat.Archived || !slices.Equal(th.Members, a.Members) {
		t.Errorf("thread = %+v", th)
	}
	m := b.message(chat.MessageID{Thread: th.ID, Time: 100})
	if m.Author != (chat.Owner{User: "zoe"}) || m.Created != 100 || m.Updated != 120 || m.Revision != 3 || string(m.Body) != closed("m1", th.ID, 100, 3) {
		t.Errorf("first = %+v", m)
	}
	m = b.message(chat.MessageID{Thread: th.ID, Time: 101})
	if m.Created != 50 || m.Deleted != 60 || m.Parent != 100 || m.Author != alice || m.ID.Seq != 1 {
		t.Errorf("second = %+v", m)
	}
	if o := b.owner(alice); o.Archived != 1 {
		t.Errorf("owner = %+v", o)
	}
	if again := b.repeats(alice, a); again.Created != 0 || again.Thread != got.Thread {
		t.Errorf("the same again = %+v", again)
	}

	more := *a
	more.Messages = append(slices.Clone(a.Messages), past("m3", 200))
	if got := b.does(alice, &more); got.Created != 1 {
		t.Errorf("one more = %+v", got)
	}
	if th := b.thread(got.Thread); th.Updated != 200 || th.LastTime != 200 || th.Live != 2 || th.Changed != b.seq {
		t.Errorf("thread = %+v", th)
	}
	b.does(bob, post(byID(got.Thread), say("from here")))
	b.refuses(alice, &chat.CreateThread{ClientID: "c", Content: digestOf("c"), Draft: title("x")}, chat.ErrIDUsed)

	late := *a
	late.Messages = []chat.NewMessage{past("m4", 300)}
	updated := b.thread(got.Thread).Updated
	b.does(alice, &late)
	if th := b.thread(got.Thread); th.Updated != updated || th.LastMessage != 300 {
		t.Errorf("thread = %+v, want updated %d still", th, updated)
	}
}

func TestImportTimes(t *testing.T) {
	b := newBench(t)
	imported := func(id string, a chat.ImportThread) *chat.Thread {
		t.Helper()
		a.ClientID, a.Draft = chat.ClientID(id), title(id)
		return b.thread(b.does(alice, &a).Thread)
	}
	if a, c := imported("a", chat.ImportThread{Created: 77}), imported("b", chat.ImportThread{Created: 77}); a.ID.Time != 77 || c.ID.Time != 78 || c.Created != 77 || c.Updated != 77 {
		t.Errorf("two of one time: %+v, %+v", a, c)
	}
	if th := imported("zero", chat.ImportThread{}); th.ID.Time != b.now || th.Created != b.now || th.Updated != b.now {
		t.Errorf("no time given: %+v", th)
	}
	if th := imported("updated", chat.ImportThread{Created: 5, Updated: 9, Messages: []chat.NewMessage{past("m", 50)}}); th.Updated != 9 {
		t.Errorf("updated = %d, want 9", th.Updated)
	}
	if th := imported("early", chat.ImportThread{Created: -5, Messages: []chat.NewMessage{past("m", -7)}}); th.ID.Time != 1 || th.Created != -5 || th.LastTime != 1 || th.LastMessage != -7 {
		t.Errorf("before 1970: %+v", th)
	}
	future := start + int64(1000*time.Hour)
	th := imported("late", chat.ImportThread{Created: future, Messages: []chat.NewMessage{past("m", future), past("n", 0)}})
	if th.ID.Time != b.now || th.Created != future || th.LastTime != b.now+1 {
		t.Errorf("to come: %+v", th)
	}
	if m := b.message(chat.MessageID{Thread: th.ID, Time: b.now + 1}); m.Created != b.now+1 {
		t.Errorf("message without a time: %+v", m)
	}
	if got := b.does(alice, post(byID(th.ID), say("x"))); got.Messages[0].Time != b.now {
		t.Errorf("posted at %d, want %d", got.Messages[0].Time, b.now)
	}
}

func TestImportDeleted(t *testing.T) {
	b := newBench(t)
	part := func(deleted int64, messages ...chat.NewMessage) *chat.ImportThread {
		return &chat.ImportThread{ClientID: "c", Created: 10, Deleted: deleted, Draft: title("t"), Messages: messages}
	}
	th := b.does(alice, part(0, past("m1", 20))).Thread
	b.repeats(alice, part(90, past("m1", 20)))
	if got := b.does(alice, part(90, past("m1", 20), past("m2", 30))); got.Created != 1 || got.Thread != th {
		t.Errorf("last part = %+v", got)
	}
	if got := b.thread(th); got.Deleted != 90 || got.Live != 2 {
		t.Errorf("thread = %+v", got)
	}
	if got := b.repeats(alice, part(0, past("m3", 40))); got.Created != 0 {
		t.Errorf("into a deleted thread: %+v", got)
	}
	if o := b.owner(alice); o.Deleted != 1 || o.Open != 0 {
		t.Errorf("owner = %+v", o)
	}
	whole := b.does(bob, part(90, past("m1", 20), past("m2", 30)))
	if got := b.thread(whole.Thread); got.Deleted != 90 || got.Live != 2 || store.StateOf(got) != store.StateDeleted {
		t.Errorf("thread = %+v", got)
	}
}

func TestImportRefused(t *testing.T) {
	b := newBench(t)
	b.refuses(alice, &chat.ImportThread{Draft: title("t")}, chat.ErrClientID)
	b.refuses(alice, &chat.ImportThread{ClientID: "c", Draft: title("t"), Messages: []chat.NewMessage{say("x")}}, chat.ErrClientID)
	orphan := past("m", 5)
	orphan.Parent = &chat.MessageRef{ClientID: "none"}
	b.refuses(alice, &chat.ImportThread{ClientID: "c", Draft: title("t"), Messages: []chat.NewMessage{past("first", 1), orphan}}, chat.ErrMessageNotFound)
	sealed := &chat.ImportThread{ClientID: "c", Created: 40, Draft: elsewhere(b.now, chat.Texts{Title: sealedText("t")})}
	if next := b.reproposes(alice, sealed); next != 40 {
		t.Errorf("next = %d, want 40", next)
	}
	sealed.Draft.At = 40
	at := func(id string, at int64) chat.NewMessage {
		m := past(id, 50)
		m.Draft = elsewhere(at, chat.Texts{Body: sealedText("b")})
		return m
	}
	sealed.Messages = []chat.NewMessage{at("m", 60), at("n", 60)}
	if next := b.reproposes(alice, sealed); next != 61 {
		t.Errorf("next = %d, want 61", next)
	}
	sealed.Messages[1].Draft.At = 61
	th := b.does(alice, sealed).Thread
	if m := b.message(chat.MessageID{Thread: th, Time: 61}); th.Time != 40 || m.Created != 50 {
		t.Errorf("thread %s, message %+v", th, m)
	}
	sealed.Messages = []chat.NewMessage{at("o", b.now+int64(time.Minute))}
	if next := b.reproposes(alice, sealed); next != 62 {
		t.Errorf("next = %d, want 62", next)
	}
	beside := &chat.ImportThread{ClientID: "d", Created: 40, Draft: elsewhere(40, sealed.Draft.Texts)}
	if next := b.reproposes(alice, beside); next != 41 {
		t.Errorf("next = %d, want 41", next)
	}
	beside.Draft.At = 41 + 50_000
	if th := b.does(alice, beside).Thread; th.Time != beside.Draft.At {
		t.Errorf("thread at %d, want %d", th.Time, beside.Draft.At)
	}
}
