package writer

import (
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/bobbindb/bobbin/shared/chat"
	"github.com/bobbindb/bobbin/shared/seal"
	"github.com/bobbindb/bobbin/shared/seal/sealtest"
	"github.com/bobbindb/bobbin/shared/store"
)

func TestCreateThread(t *testing.T) {
	b := newBench(t)
	a := &chat.CreateThread{
		ClientID: "c1", Content: digestOf("c1"), SlugHash: digestOf("slug"), Status: chat.Archived, Expires: start + 5,
		Members:  []chat.Member{{User: "bob", Role: chat.RoleWriter}},
		Draft:    title("hello"),
		Messages: []chat.NewMessage{say("one"), named("m2", "two")},
	}
	got := b.does(alice, a)
	digest := b.d.hasher.Owner(alice)
	if got.Thread.Slot != digest.Slot() || got.Thread.Time != b.now {
		t.Errorf("thread is %s, want %d in slot %d", got.Thread, b.now, digest.Slot())
	}
	th := b.thread(got.Thread)
	if th.Owner != alice || th.Created != th.ID.Time || th.Updated != b.now || th.Revision != 0 || th.Live != 2 || th.Changed != b.seq || !slices.Equal(th.Members, a.Members) {
		t.Errorf("thread = %+v", th)
	}
	if want := closed("hello", th.ID, 0, 0); string(th.Title) != want {
		t.Errorf("title = %q, want %q", th.Title, want)
	}
	for i, text := range []string{"one", "two"} {
		m := b.message(got.Messages[i])
		if m.ID != got.Messages[i] || m.ID.Seq != uint32(i) || m.ID.Time != th.ID.Time+1+int64(i) || m.Author != alice {
			t.Errorf("message %d = %+v", i, m)
		}
		if want := closed(text, th.ID, m.ID.Time, 0); string(m.Body) != want {
			t.Errorf("body = %q, want %q", m.Body, want)
		}
	}
	for name, key := range map[string][]byte{
		"list":    store.KeyList(digest, store.StateArchived, th.ID.Time),
		"updated": store.KeyUpdated(digest, store.StateArchived, th.Updated, th.ID.Time),
		"change":  store.KeyChange(digest, b.seq, th.ID.Time, 0),
		"id":      store.KeyThreadID(digest, "c1"),
		"slug":    store.KeySlug(digest, digestOf("slug"), th.ID.Time),
		"expiry":  store.KeyExpiry(th.ID.Slot, start+5, th.ID.Time, 0),
	} {
		if !b.has(key) {
			t.Errorf("%s entry is missing", name)
		}
	}
	if o := b.owner(alice); o.Owner != alice || o.Created != b.now || o.Archived != 1 || o.Open != 0 {
		t.Errorf("owner = %+v", o)
	}

	again := b.repeats(alice, a)
	if again.Thread != got.Thread || !slices.Equal(again.Messages, got.Messages) {
		t.Errorf("the same again = %+v, want %+v", again, got)
	}
	other := *a
	other.Content = digestOf("other")
	b.refuses(alice, &other, chat.ErrIDUsed)
	if elsewhere := b.does(bob, a); elsewhere.Thread == got.Thread {
		t.Error("another owner's thread of that id is the same")
	}
	if c := b.counters(); c.Owners != 2 || c.Threads != 2 || c.Messages != 4 {
		t.Errorf("counters = %+v", c)
	}

	b.does(alice, &chat.DeleteThread{Thread: byName("c1")})
	if again := b.repeats(alice, a); again.Thread != got.Thread {
		t.Errorf("once it is deleted: %s, want %s", again.Thread, got.Thread)
	}
	if b.has(store.KeySlug(digest, digestOf("slug"), th.ID.Time)) {
		t.Error("a deleted thread is found by its slug")
	}
}

func TestThreadTimesAreUnique(t *testing.T) {
	b := newBench(t)
	var cmds []*chat.Command
	for _, o := range []chat.Owner{alice, bob, carol, alice} {
		cmds = append(cmds, b.command(o, create(say("x"))))
	}
	for i, out := range b.batch(cmds...) {
		if want := b.now + int64(i); out.Thread.Time != want {
			t.Errorf("thread %d at %d, want %d", i, out.Thread.Time, want)
		}
	}
	// The clock stands still and an import took the next time of the slot.
	b.now = b.last - int64(time.Second)
	next := b.last + 11
	b.apply(b.last+10, nil)
	out := b.batch(
		b.command(alice, &chat.ImportThread{ClientID: "i", Created: next, Draft: title("i")}),
		b.command(alice, create()),
	)
	if out[0].Thread.Time != next || out[1].Thread.Time != next+1 || out[1].Thread.Slot != b.d.hasher.Owner(alice).Slot() {
		t.Errorf("import at %d and thread at %d, want %d and the next", out[0].Thread.Time, out[1].Thread.Time, next)
	}
}

func TestCreateThreadSealedElsewhere(t *testing.T) {
	b := newBench(t)
	at := func(at int64, messages ...int64) *chat.CreateThread {
		a := &chat.CreateThread{Draft: elsewhere(at, chat.Texts{Title: sealedText("t")})}
		for _, m := range messages {
			a.Messages = append(a.Messages, chat.NewMessage{Draft: elsewhere(m, chat.Texts{Body: sealedText("b")})})
		}
		return a
	}
	first := b.now
	if got := b.does(alice, at(first, first, first+1)); got.Thread.Time != first || got.Messages[1].Time != first+1 {
		t.Errorf("created %+v, want at %d", got, first)
	}
	if next := b.reproposes(alice, at(first)); next != b.now {
		t.Errorf("a time that is taken: next %d, want %d", next, b.now)
	}
	if got := b.does(alice, at(first-1)); got.Thread.Time != first-1 {
		t.Errorf("beside others: %d, want %d", got.Thread.Time, first-1)
	}
	b.reproposes(alice, at(b.now+int64(7*time.Second)))
	b.reproposes(alice, at(b.now-int64(time.Hour)))
	b.reproposes(alice, at(b.now, b.now, b.now))
	if c := b.counters(); c.LastThread != first || c.Threads != 2 {
		t.Errorf("counters = %+v", c)
	}
	if got := b.does(alice, at(b.now+int64(5*time.Second))); got.Thread.Time != b.counters().LastThread {
		t.Errorf("counters = %+v, want last thread %d", b.counters(), got.Thread.Time)
	}
	ahead := b.does(alice, create())
	if ahead.Thread.Time <= b.now || b.thread(ahead.Thread).Updated != ahead.Thread.Time {
		t.Errorf("thread after one that is ahead: %+v", b.thread(ahead.Thread))
	}
}

func TestUpdateThread(t *testing.T) {
	b := newBench(t)
	th := b.does(alice, &chat.CreateThread{
		ClientID: "c", Content: digestOf("c"), Draft: title("old"),
		Members: []chat.Member{{User: "bob", Role: chat.RoleWriter}, {User: "carol", Role: chat.RoleOwner}},
	}).Thread
	update := func(text string, ifMatch ...uint32) *chat.UpdateThread {
		return &chat.UpdateThread{Thread: byID(th), IfMatch: ifMatch, Draft: title(text)}
	}
	if got := b.does(alice, update("new")); got.Revision != 1 || got.Thread != th {
		t.Errorf("result = %+v, want revision 1", got)
	}
	got := b.thread(th)
	if want := closed("new", th, 0, 1); string(got.Title) != want || got.Updated != b.now || got.Changed != b.seq || got.Revision != 1 {
		t.Errorf("thread = %+v, want title %q", got, want)
	}
	b.does(carol, update("carol's", 7, 1))
	b.refuses(alice, update("late", 1), chat.ErrPrecondition)
	none := update("none")
	none.IfMatch = []uint32{}
	b.refuses(alice, none, chat.ErrPrecondition)
	b.refuses(bob, update("bob's"), chat.ErrNotParticipant)
	b.refuses(mallory, update("mallory's"), chat.ErrNotParticipant)
	b.refuses(foreign, update("foreign"), chat.ErrNotParticipant)
	b.refuses(alice, &chat.UpdateThread{Thread: byID(chat.ThreadID{Time: 1}), Draft: title("x")}, chat.ErrNotParticipant)
	b.refuses(carol, &chat.UpdateThread{Thread: byName("c"), Draft: title("x")}, chat.ErrNotParticipant) // names are the owner's
	b.does(alice, &chat.UpdateThread{Thread: byName("c"), Draft: title("by name")})
	b.does(alice, &chat.UpdateThread{Thread: byID(th), Draft: elsewhere(4, chat.Texts{Metadata: sealedText("{}")})})
	if got := b.thread(th); string(got.Title) != closed("by name", th, 0, 3) || got.TitleRevision != 3 || string(got.Metadata) != string(sealedText("{}")) || got.MetadataRevision != 4 {
		t.Errorf("thread = %+v", got)
	}
	broken := errors.New("keeper is gone")
	b.refuses(alice, &chat.UpdateThread{Thread: byID(th), Draft: chat.Draft{
		Seal: func(chat.ThreadID, int64, uint32, []chat.DataKey) (chat.Texts, *chat.DataKey, error) {
			return chat.Texts{}, nil, broken
		},
	}}, broken)
}

func TestDeleteThread(t *testing.T) {
	b := newBench(t)
	member := []chat.Member{{User: "bob", Role: chat.RoleWriter}, {User: "carol", Role: chat.RoleOwner}}
	a := create(say("one"), say("two"))
	a.Members, a.SlugHash, a.Expires = member, digestOf("s"), start+9
	created := b.does(alice, a)
	th := created.Thread
	remove := &chat.DeleteThread{Thread: byID(th)}
	b.refuses(bob, remove, chat.ErrNotParticipant)
	b.refuses(mallory, remove, chat.ErrNotParticipant)
	b.refuses(alice, &chat.DeleteThread{Thread: byID(th), IfMatch: []uint32{4}}, chat.ErrPrecondition)
	if got := b.does(carol, remove); got.Revision != 1 {
		t.Errorf("result = %+v, want revision 1", got)
	}
	got := b.thread(th)
	if got.Deleted != b.now || got.Live != 2 || got.Changed != b.seq {
		t.Errorf("thread = %+v", got)
	}
	if o := b.owner(alice); o.Open != 0 || o.Deleted != 1 {
		t.Errorf("owner = %+v", o)
	}
	if c := b.counters(); c.Threads != 0 || c.DeletedThreads != 1 || c.Messages != 2 {
		t.Errorf("counters = %+v", c)
	}
	for _, caller := range []chat.Owner{alice, bob, carol} {
		b.refuses(caller, remove, chat.ErrThreadNotFound)
		b.refuses(caller, post(byID(th), say("x")), chat.ErrThreadNotFound)
		b.refuses(caller, &chat.UpdateThread{Thread: byID(th), Draft: title("x")}, chat.ErrThreadNotFound)
		b.refuses(caller, &chat.DeleteMessage{Thread: byID(th), Message: messageByID(created.Messages[0])}, chat.ErrThreadNotFound)
		b.refuses(caller, &chat.EditMessage{Thread: byID(th), Message: messageByID(created.Messages[0]), Draft: body("x")}, chat.ErrThreadNotFound)
	}
	b.refuses(mallory, remove, chat.ErrNotParticipant)
}

func TestDataKeys(t *testing.T) {
	b := newBench(t)
	// keyed closes with a key of its author, and makes one when there is none.
	keyed := func(author chat.Owner) chat.Draft {
		return chat.Draft{Seal: func(_ chat.ThreadID, _ int64, _ uint32, keys []chat.DataKey) (chat.Texts, *chat.DataKey, error) {
			key, made := chat.DataKey{ID: uint32(len(keys) + 1), Author: author, Wrapped: []byte(author.User)}, true
			if i := slices.IndexFunc(keys, func(k chat.DataKey) bool { return k.Author == author }); i >= 0 {
				key, made = keys[i], false
			}
			texts := chat.Texts{Body: sealtest.Frame(key.ID, []byte("b")), Title: sealtest.Frame(key.ID, []byte("t"))}
			if !made {
				return texts, nil, nil
			}
			return texts, &key, nil
		}}
	}
	th := b.does(alice, &chat.CreateThread{
		Draft: keyed(alice), Members: []chat.Member{{User: "bob", Role: chat.RoleWriter}},
		Messages: []chat.NewMessage{{Draft: keyed(alice)}, {Draft: keyed(alice)}},
	}).Thread
	posted := b.batch(
		b.command(bob, post(byID(th), chat.NewMessage{Draft: keyed(bob)})),
		b.command(bob, post(byID(th), chat.NewMessage{Draft: keyed(bob)})),
	)
	keys := b.thread(th).Keys
	if len(keys) != 2 || keys[0].Author != alice || keys[1].Author != bob || keys[1].ID != 2 {
		t.Fatalf("keys = %+v, want alice's and bob's", keys)
	}
	if keys[0].Uses != 6 || keys[1].Uses != 4 { // two texts a draft
		t.Errorf("uses = %d and %d, want 6 and 4", keys[0].Uses, keys[1].Uses)
	}
	before := b.thread(th)
	edit := &chat.EditMessage{Thread: byID(th), Message: messageByID(posted[0].Messages[0]), Draft: keyed(carol)}
	b.does(bob, edit)
	b.does(bob, edit)
	if after := b.thread(th); len(after.Keys) != 3 || after.Keys[2].Uses != 4 || after.Changed != before.Changed || after.Updated != before.Updated {
		t.Errorf("after an edit that brought a key: %+v", after)
	}

	outside := func(key chat.DataKey) *chat.PostMessages {
		return post(byID(th), chat.NewMessage{Draft: chat.Draft{At: b.now + int64(time.Second), Key: &key, Texts: chat.Texts{Body: sealtest.Frame(9, []byte("b"))}}})
	}
	b.does(alice, outside(chat.DataKey{ID: 9, Author: alice, Wrapped: []byte("w")}))
	b.does(alice, outside(chat.DataKey{ID: 9, Author: alice, Wrapped: []byte("w")}))
	b.reproposes(alice, outside(chat.DataKey{ID: 9, Author: alice, Wrapped: []byte("another")}))
	if got := len(b.thread(th).Keys); got != 4 {
		t.Errorf("%d keys, want 4", got)
	}
}

// What is not sealed under a key of the thread never gets into the log, whoever sends it.
func TestTextsThatAreNotSealed(t *testing.T) {
	b := newBench(t)
	th := b.does(alice, create(say("one")))
	for name, text := range map[string]chat.Sealed{
		"plaintext":       append(chat.Sealed{0}, "a text that is as long as a sealed one is at the least"...),
		"too short":       {1, 0, 0, 0, 1},
		"nobody's key":    sealtest.Frame(7, []byte("x")),
		"an unknown kind": append(chat.Sealed{2}, sealedText("x")...),
	} {
		t.Run(name, func(t *testing.T) {
			here := chat.Draft{Seal: func(chat.ThreadID, int64, uint32, []chat.DataKey) (chat.Texts, *chat.DataKey, error) {
				return chat.Texts{Body: text}, nil, nil
			}}
			for _, draft := range []chat.Draft{here, elsewhere(b.now+int64(time.Second), chat.Texts{Body: text})} {
				b.refuses(alice, post(byID(th.Thread), chat.NewMessage{Draft: draft}), seal.ErrDamaged)
			}
		})
	}
}

func TestUndeleteThread(t *testing.T) {
	b := newBench(t)
	a := create(say("one"), say("two"))
	a.ClientID, a.Content, a.SlugHash, a.Expires = "c", digestOf("c"), digestOf("s"), start+9
	a.Members = []chat.Member{{User: "bob", Role: chat.RoleWriter}, {User: "carol", Role: chat.RoleOwner}}
	th := b.does(alice, a).Thread
	slug := store.KeySlug(b.d.hasher.Owner(alice), digestOf("s"), th.Time)
	back := &chat.UndeleteThread{Thread: byID(th)}
	if got := b.repeats(alice, back); got.Thread != th || got.Revision != 0 {
		t.Errorf("result for a live thread = %+v", got)
	}
	b.does(alice, &chat.DeleteThread{Thread: byID(th)})
	if b.has(slug) {
		t.Error("a deleted thread has its slug")
	}
	b.refuses(bob, back, chat.ErrNotParticipant)
	b.refuses(mallory, back, chat.ErrThreadNotFound)
	b.refuses(alice, &chat.UndeleteThread{Thread: byID(chat.ThreadID{Time: 1})}, chat.ErrThreadNotFound)
	b.refuses(bob, &chat.UndeleteThread{Thread: byName("c")}, chat.ErrThreadNotFound)
	if got := b.does(carol, back); got.Thread != th || got.Revision != 2 {
		t.Errorf("result = %+v, want revision 2", got)
	}
	if got := b.thread(th); got.Deleted != 0 || got.Live != 2 || got.Updated != b.now || got.Changed != b.seq {
		t.Errorf("thread = %+v", got)
	}
	if o := b.owner(alice); o.Open != 1 || o.Deleted != 0 {
		t.Errorf("owner = %+v", o)
	}
	if c := b.counters(); c.Threads != 1 || c.DeletedThreads != 0 || c.Messages != 2 {
		t.Errorf("counters = %+v", c)
	}
	if !b.has(slug) {
		t.Error("the slug did not come back")
	}
	b.repeats(alice, a)
	out := b.batch(
		b.command(alice, &chat.DeleteThread{Thread: byName("c")}),
		b.command(alice, &chat.UndeleteThread{Thread: byName("c")}),
	)
	if !out[0].changed || !out[1].changed || b.thread(th).Revision != 4 {
		t.Errorf("deleted and undeleted in a batch: %+v", out)
	}
}

func TestUpdateThreadInClear(t *testing.T) {
	b := newBench(t)
	a := create(say("one"), say("two"), say("three"))
	a.SlugHash, a.Draft.Texts = digestOf("s"), chat.Texts{Title: sealedText("t"), Slug: sealedText("s"), Metadata: sealedText("{}")}
	a.Draft.Seal, a.Draft.At, a.Draft.Key = nil, start, &textKey
	created := b.does(alice, a)
	th, digest := created.Thread, b.d.hasher.Owner(alice)
	status, expires, slug := chat.Archived, start+9, digestOf("z")
	update := func(change func(*chat.UpdateThread)) *chat.UpdateThread {
		u := &chat.UpdateThread{Thread: byID(th)}
		change(u)
		return u
	}
	b.does(alice, update(func(u *chat.UpdateThread) {
		u.Status, u.Expires, u.Slug = &status, &expires, &slug
		u.Head = &chat.MessageRef{ID: created.Messages[0]}
		u.Draft = elsewhere(1, chat.Texts{Slug: sealedText("z")})
	}))
	got := b.thread(th)
	if got.Status != chat.Archived || got.Expires != expires || string(got.Slug) != string(sealedText("z")) || got.SlugRevision != 1 ||
		string(got.Title) != string(sealedText("t")) || got.TitleRevision != 0 || string(got.Metadata) != string(sealedText("{}")) || got.Head != created.Messages[0].Time || got.Revision != 1 {
		t.Errorf("thread = %+v", got)
	}
	if !b.has(store.KeySlug(digest, slug, th.Time)) || b.has(store.KeySlug(digest, digestOf("s"), th.Time)) ||
		!b.has(store.KeyExpiry(th.Slot, expires, th.Time, 0)) || !b.has(store.KeyList(digest, store.StateArchived, th.Time)) {
		t.Error("an index did not move")
	}
	if o := b.owner(alice); o.Open != 0 || o.Archived != 1 {
		t.Errorf("owner = %+v", o)
	}
	late := update(func(u *chat.UpdateThread) { u.Draft = elsewhere(1, chat.Texts{Title: sealedText("late")}) })
	if next := b.reproposes(alice, late); next != 2 {
		t.Errorf("next revision = %d, want 2", next)
	}
	b.does(alice, update(func(u *chat.UpdateThread) {
		u.Slug, u.Expires, u.NoMetadata = &chat.Digest{}, new(int64), true
	}))
	if got := b.thread(th); got.Slug != nil || got.SlugHash != (chat.Digest{}) || got.Expires != 0 || got.Metadata != nil || got.Status != chat.Archived {
		t.Errorf("thread = %+v", got)
	}
	if b.has(store.KeySlug(digest, slug, th.Time)) || b.has(store.KeyExpiry(th.Slot, expires, th.Time, 0)) {
		t.Error("an index entry stayed")
	}
	head := func(id chat.MessageID) *chat.UpdateThread {
		return update(func(u *chat.UpdateThread) { u.Head = &chat.MessageRef{ID: id} })
	}
	b.refuses(alice, head(b.does(alice, create(say("x"))).Messages[0]), chat.ErrNotInThread)
	b.refuses(alice, head(chat.MessageID{Thread: th, Time: 1, Seq: chat.NoSeq}), chat.ErrMessageNotFound)
	b.does(alice, &chat.DeleteMessage{Thread: byID(th), Message: messageByID(created.Messages[1])})
	b.refuses(alice, head(created.Messages[1]), chat.ErrMessageNotFound)
}
