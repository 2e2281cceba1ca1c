package writer

import (
	"bytes"
	"strings"
	"testing"

	"github.com/bobbindb/bobbin/shared/chat"
	"github.com/bobbindb/bobbin/shared/commitlog"
	"github.com/bobbindb/bobbin/shared/store"
)

// furnished is a partition with something of every kind.
func furnished(t *testing.T) (*bench, chat.ThreadID, []chat.MessageID) {
	t.Helper()
	b := newBench(t)
	expiring := named("m", "one")
	expiring.Expires = start + 5
	created := b.does(alice, &chat.CreateThread{
		ClientID: "c", Content: digestOf("c"), SlugHash: digestOf("s"), Expires: start + 4, Draft: title("t"),
		Messages: []chat.NewMessage{expiring, say("two"), say("three")},
	})
	th, ids := created.Thread, created.Messages
	keyed := b.command(bob, create(say("x")))
	keyed.Idempotency = &chat.Idempotency{Key: digestOf("k"), Request: digestOf("r")}
	b.batch(keyed)
	b.does(alice, &chat.EditMessage{Thread: byID(th), Message: messageByID(ids[0]), Draft: body("edited")})
	b.does(alice, &chat.DeleteMessage{Thread: byID(th), Message: messageByID(ids[1])})
	b.does(alice, &chat.DeleteThread{Thread: byID(b.does(alice, create(say("y"))).Thread)})
	return b, th, ids
}

// problems audits what the ops make of the partition, and then takes them back.
func (b *bench) problems(ops ...commitlog.Op) []store.Finding {
	b.t.Helper()
	var back []commitlog.Op
	for _, op := range ops {
		old, ok, err := b.db.Get(op.Key)
		if err != nil {
			b.t.Fatal(err)
		}
		if ok {
			back = append(back, commitlog.Op{Kind: commitlog.OpSet, Key: op.Key, Value: old})
		} else {
			back = append(back, commitlog.Op{Kind: commitlog.OpDelete, Key: op.Key})
		}
	}
	b.apply(b.last+1, ops)
	view := b.db.View()
	findings, totals, err := view.Audit(b.d.hasher)
	view.Close()
	if err != nil || totals.Findings != uint64(len(findings)) {
		b.t.Fatalf("Audit() = %d of %d findings, %v", len(findings), totals.Findings, err)
	}
	b.apply(b.last+1, back)
	return findings
}

func TestAuditTotals(t *testing.T) {
	b, _, _ := furnished(t)
	got := b.audit()
	got.IndexEntries = 0
	want := store.Totals{Owners: 2, Threads: 2, DeletedThreads: 1, Messages: 4, DeadMessages: 1, Revisions: 1, Commands: 6, Idempotency: 1}
	if got != want {
		t.Errorf("totals = %+v, want %+v", got, want)
	}
}

// Whatever single key is lost or damaged, the audit finds it.
func TestAuditFindsLoss(t *testing.T) {
	b, _, _ := furnished(t)
	kinds := map[string]bool{}
	for key := range b.keys {
		kind := key[:1]
		if key[0] == 0x10 {
			kind = key[:4]
			kind = kind[3:]
			if kind == "t" {
				kind += string(key[12])
			}
		}
		kinds[kind] = true
		findings := b.problems(commitlog.Op{Kind: commitlog.OpDelete, Key: []byte(key)})
		// Nothing refers to what a command, a key or an earlier text is remembered by.
		silent := kind == "\x01" || kind == "\x02" || kind == "tr"
		if silent == (len(findings) > 0) {
			t.Errorf("without %x: findings %v", key, findings)
		}
		value, _, err := b.db.Get([]byte(key))
		if err != nil {
			t.Fatal(err)
		}
		bad := append([]byte{9}, bytes.Clone(value)...)
		if findings := b.problems(commitlog.Op{Kind: commitlog.OpSet, Key: []byte(key), Value: bad}); len(findings) == 0 {
			t.Errorf("damaged %x: no finding", key)
		}
	}
	if len(kinds) != 3+8+5 {
		t.Errorf("%d kinds of key, want 16: %v", len(kinds), kinds)
	}
	b.audit()
}

func TestAuditFindings(t *testing.T) {
	b, th, ids := furnished(t)
	digest := b.d.hasher.Owner(alice)
	set := func(key, value []byte) commitlog.Op {
		return commitlog.Op{Kind: commitlog.OpSet, Key: key, Value: value}
	}
	thread := func(change func(*chat.Thread)) commitlog.Op {
		record := b.thread(th)
		change(record)
		return set(store.KeyThread(th), store.EncodeThread(record))
	}
	message := func(change func(*chat.Message)) commitlog.Op {
		record := b.message(ids[2])
		change(record)
		return set(store.KeyMessage(th, ids[2].Time), store.EncodeMessage(record))
	}
	counter := func(change func(*store.Counters)) commitlog.Op {
		c := b.counters()
		change(&c)
		return set(store.KeyCounters(), store.EncodeCounters(&c))
	}
	owner := func(change func(*store.Owner)) commitlog.Op {
		o := b.owner(alice)
		change(&o)
		return set(store.KeyOwner(digest), store.EncodeOwner(&o))
	}
	for _, tt := range []struct {
		name string
		op   commitlog.Op
		want string
	}{
		{"live", thread(func(t *chat.Thread) { t.Live++ }), "thread has 2 messages and 1 deleted"},
		{"dead", thread(func(t *chat.Thread) { t.Dead-- }), "thread has 2 messages and 1 deleted"},
		{"next", thread(func(t *chat.Thread) { t.NextSeq-- }), "whose next is 2"},
		{"last time", thread(func(t *chat.Thread) { t.LastTime-- }), "newest message"},
		{"last time ahead", thread(func(t *chat.Thread) { t.LastTime++ }), "newest message"},
		{"last message", thread(func(t *chat.Thread) { t.LastMessage++ }), "newest message"},
		{"head", thread(func(t *chat.Thread) { t.Head++ }), "head"},
		{"updated", thread(func(t *chat.Thread) { t.Updated++ }), "does not imply"},
		{"slug", thread(func(t *chat.Thread) { t.SlugHash = digestOf("z") }), "is missing"},
		{"thread's commit", thread(func(t *chat.Thread) { t.Changed = 1 << 40 }), "changed in commit"},
		{"another owner", thread(func(t *chat.Thread) { t.Owner = carol }), "owner has no record"},
		{"message's commit", message(func(m *chat.Message) { m.Changed = 1 << 40 }), "changed in commit"},
		{"message's name", message(func(m *chat.Message) { m.ClientID = "n" }), "is missing"},
		{"number twice", message(func(m *chat.Message) { m.ID.Seq = 0 }), "comes after"},
		{"deleted among the live", message(func(m *chat.Message) { m.Deleted = 1 }), "lies among the others"},
		{"owners", counter(func(c *store.Counters) { c.Owners++ }), "2 owners"},
		{"threads", counter(func(c *store.Counters) { c.Threads++ }), "2 threads"},
		{"deleted threads", counter(func(c *store.Counters) { c.DeletedThreads++ }), "1 deleted threads"},
		{"messages", counter(func(c *store.Counters) { c.Messages++ }), "4 messages"},
		{"deleted messages", counter(func(c *store.Counters) { c.DeadMessages++ }), "1 deleted messages"},
		{"quarter", counter(func(c *store.Counters) { c.Quarter += 2 }), "entry of period"},
		{"day", counter(func(c *store.Counters) { c.Day-- }), "entry of period"},
		{"owner's open", owner(func(o *store.Owner) { o.Open++ }), "owner has 1 open threads"},
		{"owner's deleted", owner(func(o *store.Owner) { o.Deleted++ }), "owner has 1 deleted threads"},
		{"owner's name", owner(func(o *store.Owner) { o.Owner = carol }), "another owner's key"},
		{"list entry", set(store.KeyList(digest, store.StateArchived, th.Time), nil), "does not imply"},
		{"list entry of nothing", set(store.KeyList(digest, store.StateOpen, 5), nil), "has no record"},
		{"name of nothing", set(store.KeyThreadID(digest, "none"), store.EncodeTime(5)), "has no record"},
		{"name of another", set(store.KeyThreadID(digest, "none"), store.EncodeTime(th.Time)), "does not imply"},
		{"message's name of nothing", set(store.KeyMessageID(th, "none"), store.EncodeTime(5)), "has no record"},
		{"change of nothing", set(store.KeyChange(digest, 1, th.Time, 5), nil), "has no record"},
		{"change too many", set(store.KeyChange(digest, 2, th.Time, 0), nil), "does not imply"},
		{"expiry too many", set(store.KeyExpiry(th.Slot, 5, th.Time, ids[2].Time), nil), "does not imply"},
		{"message of nothing", set(store.KeyMessage(chat.ThreadID{Time: 5, Slot: th.Slot}, 5), store.EncodeMessage(&chat.Message{})), "has no record"},
		{"purged thread that is listed", thread(func(t *chat.Thread) { t.Purged = 1 }), "does not imply"},
		{"deletion too many", set(store.KeyDeleted(th.Slot, 5, th.Time, ids[2].Time), nil), "does not imply"},
		{"link of what is there", set(store.KeyLink(th, ids[2].Time), store.EncodeTime(5)), "which has a record"},
		{"link to what is later", set(store.KeyLink(th, 5), store.EncodeTime(5)), "not earlier"},
		{"revision of nothing", set(store.KeyRevision(th, 5, 0), store.EncodeRevision(&chat.Revision{})), "has no record"},
		{"revision to come", set(store.KeyRevision(th, ids[2].Time, 0), store.EncodeRevision(&chat.Revision{})), "revision 0 of"},
		{"entry of another period", set(store.KeyCommand(1, chat.CommandID{}), store.EncodeEntry(&store.Entry{})), "entry of period 1"},
		{"entry to come", set(store.KeyCommand(b.counters().Quarter, chat.CommandID{}), store.EncodeEntry(&store.Entry{Seq: 1 << 40})), "entry of commit"},
		{"unknown space", set([]byte{0x77}, nil), "no known kind"},
		{"unknown kind", set([]byte{0x10, 0, 0, 'z', 1}, nil), "no known kind"},
		{"unknown meta", set([]byte{0, 'z'}, nil), "no known kind"},
		{"cut short", set(store.KeyOwner(digest)[:9], nil), "no known kind"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			b.t = t
			var all strings.Builder
			for _, f := range b.problems(tt.op) {
				all.WriteString(f.String() + "\n")
			}
			if !strings.Contains(all.String(), tt.want) {
				t.Errorf("findings:\n%swant %q", all.String(), tt.want)
			}
		})
	}
	b.t = t
	b.audit()
}
