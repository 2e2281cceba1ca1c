package writer

import (
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/bobbindb/bobbin/shared/chat"
	"github.com/bobbindb/bobbin/shared/commitlog"
	"github.com/bobbindb/bobbin/shared/seal/sealtest"
	"github.com/bobbindb/bobbin/shared/store"
)

var (
	alice   = chat.Owner{User: "alice"}
	bob     = chat.Owner{User: "bob"}
	carol   = chat.Owner{User: "carol"}
	mallory = chat.Owner{User: "mallory"}
	foreign = chat.Owner{Tenant: "other", User: "bob"}
)

// start is the first moment of every test: not at the edge of any period.
const start = int64(1_800_000_000_123_456_789)

// bench is a partition's database to which decided batches are applied as commits.
type bench struct {
	t      testing.TB
	db     *store.DB
	d      decider
	now    int64
	date   int64
	last   int64 // time of the last commit
	hash   commitlog.Hash
	seq    uint64
	ids    uint64
	again  bool
	audits bool            // after every batch
	keys   map[string]bool // that are there
}

func newBench(t testing.TB) *bench {
	t.Helper()
	db, err := store.Open(store.Options{FS: vfs.NewMem(), Dir: "db", Use: store.Compact, Cache: 1 << 20})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	})
	return &bench{t: t, db: db, d: decider{hasher: chat.NewHasher([]byte("salt"))}, now: start, hash: commitlog.Genesis("test", 0), audits: true, keys: map[string]bool{}}
}

// outcome is what became of one command.
type outcome struct {
	chat.Result
	changed bool
	err     error
}

// batch decides commands together, a second after the last batch, and applies what
// they came to.
func (b *bench) batch(cmds ...*chat.Command) []outcome {
	b.t.Helper()
	b.now += int64(time.Second)
	return b.batchNow(cmds...)
}

func (b *bench) batchNow(cmds ...*chat.Command) []outcome {
	b.t.Helper()
	m := moment{seq: b.seq + 1, time: max(b.now, b.last+1), date: b.date, lastCommit: b.last}
	view := b.db.View()
	s := newScratch(view)
	out := make([]outcome, len(cmds))
	for i, cmd := range cmds {
		out[i].Result, out[i].changed, out[i].err = b.d.decide(s, cmd, m, b.again)
	}
	ops := s.ops()
	if err := view.Close(); err != nil {
		b.t.Fatal(err)
	}
	b.checkOps(ops, slices.ContainsFunc(out, func(o outcome) bool { return o.changed }))
	if len(ops) > 0 {
		b.apply(m.time, ops)
	}
	if b.audits {
		b.audit()
	}
	return out
}

// checkOps checks what a batch promises about its ops.
func (b *bench) checkOps(ops []commitlog.Op, changed bool) {
	b.t.Helper()
	if changed != (len(ops) > 0) {
		b.t.Errorf("changed = %t with %d ops", changed, len(ops))
	}
	seen := map[string]bool{}
	rank := 0
	for _, op := range ops {
		r := map[commitlog.OpKind]int{commitlog.OpControl: 0, commitlog.OpDeleteRange: 1, commitlog.OpSet: 2, commitlog.OpDelete: 2}[op.Kind]
		if r < rank {
			b.t.Errorf("op of kind %d comes too late", op.Kind)
		}
		rank = r
		if r == 2 && seen[string(op.Key)] {
			b.t.Errorf("two ops for key %x", op.Key)
		}
		seen[string(op.Key)] = seen[string(op.Key)] || r == 2
	}
}

func (b *bench) apply(at int64, ops []commitlog.Op) {
	b.t.Helper()
	c := &commitlog.Commit{Seq: commitlog.Seq(b.seq + 1), Time: at, Prev: b.hash, Release: "test", Ops: ops}
	c.Encode()
	if err := b.db.Apply(c); err != nil {
		b.t.Fatal(err)
	}
	b.seq, b.last, b.hash = b.seq+1, at, c.Hash()
	for _, op := range ops {
		switch op.Kind {
		case commitlog.OpSet:
			b.keys[string(op.Key)] = true
		case commitlog.OpDelete:
			delete(b.keys, string(op.Key))
		}
	}
}

func (b *bench) audit() store.Totals {
	b.t.Helper()
	view := b.db.View()
	defer view.Close()
	findings, totals, err := view.Audit(b.d.hasher)
	if err != nil {
		b.t.Fatalf("Audit() = %v", err)
	}
	for _, f := range findings {
		b.t.Errorf("commit %d: %s", b.seq, f)
	}
	if len(findings) > 0 {
		b.t.FailNow()
	}
	return totals
}

// command gives an action a new name.
func (b *bench) command(caller chat.Owner, a chat.Action) *chat.Command {
	b.ids++
	cmd := &chat.Command{RequestID: fmt.Sprintf("r%d", b.ids), Caller: caller, NotAfter: b.now + int64(chat.Lifetime), Action: a}
	for i := range 8 {
		cmd.ID[i] = byte(b.ids >> (8 * i))
	}
	return cmd
}

// does decides one action that must change something.
func (b *bench) does(caller chat.Owner, a chat.Action) chat.Result {
	b.t.Helper()
	out := b.batch(b.command(caller, a))[0]
	if out.err != nil || !out.changed {
		b.t.Fatalf("%T by %s: changed %t, error %v, want a change", a, caller.User, out.changed, out.err)
	}
	return out.Result
}

// repeats decides one action that must answer and change nothing.
func (b *bench) repeats(caller chat.Owner, a chat.Action) chat.Result {
	b.t.Helper()
	out := b.batch(b.command(caller, a))[0]
	if out.err != nil || out.changed {
		b.t.Fatalf("%T by %s: changed %t, error %v, want an answer without a change", a, caller.User, out.changed, out.err)
	}
	return out.Result
}

// refuses decides one action that must be refused.
func (b *bench) refuses(caller chat.Owner, a chat.Action, want error) {
	b.t.Helper()
	out := b.batch(b.command(caller, a))[0]
	if !errors.Is(out.err, want) || out.changed {
		b.t.Fatalf("%T by %s: changed %t, error %v, want %v", a, caller.User, out.changed, out.err, want)
	}
}

// reproposes decides one action whose time must be refused, and returns the next.
func (b *bench) reproposes(caller chat.Owner, a chat.Action) int64 {
	b.t.Helper()
	out := b.batch(b.command(caller, a))[0]
	var refused *chat.TimeError
	if !errors.As(out.err, &refused) || out.changed {
		b.t.Fatalf("%T by %s: changed %t, error %v, want a TimeError", a, caller.User, out.changed, out.err)
	}
	return refused.Next
}

func (b *bench) thread(id chat.ThreadID) *chat.Thread {
	b.t.Helper()
	th, ok, err := store.GetThread(b.db, id)
	if err != nil || !ok {
		b.t.Fatalf("GetThread(%s) = %t, %v", id, ok, err)
	}
	return th
}

func (b *bench) message(id chat.MessageID) *chat.Message {
	b.t.Helper()
	m, ok, err := store.GetMessage(b.db, b.thread(id.Thread), id.Time)
	if err != nil || !ok {
		b.t.Fatalf("GetMessage(%s) = %t, %v", id, ok, err)
	}
	return m
}

func (b *bench) owner(o chat.Owner) store.Owner {
	b.t.Helper()
	record, ok, err := store.GetOwner(b.db, b.d.hasher.Owner(o))
	if err != nil || !ok {
		b.t.Fatalf("GetOwner(%v) = %t, %v", o, ok, err)
	}
	return *record
}

func (b *bench) counters() store.Counters {
	b.t.Helper()
	c, err := store.GetCounters(b.db)
	if err != nil {
		b.t.Fatal(err)
	}
	return c
}

func (b *bench) has(key []byte) bool {
	b.t.Helper()
	_, ok, err := b.db.Get(key)
	if err != nil {
		b.t.Fatal(err)
	}
	return ok
}

// textKey is the data key of every text in these tests.
var textKey = chat.DataKey{ID: 1, Author: alice, Wrapped: []byte("wrapped")}

// sealedText is a text as if it were sealed.
func sealedText(text string) chat.Sealed { return sealtest.Frame(textKey.ID, []byte(text)) }

// elsewhere is a draft whose texts another process sealed.
func elsewhere(at int64, texts chat.Texts) chat.Draft {
	return chat.Draft{At: at, Texts: texts, Key: &textKey}
}

// closed is a text as the tests' drafts close it: with the name it was closed for.
func closed(text string, thread chat.ThreadID, message int64, revision uint32) string {
	return string(sealedText(fmt.Sprintf("%s for %s %d %d", text, thread, message, revision)))
}

// body drafts a message's body, and title a thread's title.
func body(text string) chat.Draft {
	return chat.Draft{Seal: func(th chat.ThreadID, m int64, r uint32, _ []chat.DataKey) (chat.Texts, *chat.DataKey, error) {
		return chat.Texts{Body: chat.Sealed(closed(text, th, m, r))}, &textKey, nil
	}}
}

func title(text string) chat.Draft {
	return chat.Draft{Seal: func(th chat.ThreadID, m int64, r uint32, _ []chat.DataKey) (chat.Texts, *chat.DataKey, error) {
		return chat.Texts{Title: chat.Sealed(closed(text, th, m, r))}, &textKey, nil
	}}
}

func digestOf(text string) (d chat.Digest) {
	copy(d[:], "digest of "+text)
	d[31] = 7 // past what is stored
	return d
}

func create(messages ...chat.NewMessage) *chat.CreateThread {
	return &chat.CreateThread{Draft: title("title"), Messages: messages}
}

func post(ref chat.ThreadRef, messages ...chat.NewMessage) *chat.PostMessages {
	return &chat.PostMessages{Thread: ref, Messages: messages}
}

func say(text string) chat.NewMessage { return chat.NewMessage{Draft: body(text)} }

func named(id, text string) chat.NewMessage {
	return chat.NewMessage{ClientID: chat.ClientID(id), Content: digestOf(text), Draft: body(text)}
}

func byID(id chat.ThreadID) chat.ThreadRef          { return chat.ThreadRef{ID: id} }
func byName(id string) chat.ThreadRef               { return chat.ThreadRef{ClientID: chat.ClientID(id)} }
func messageByID(id chat.MessageID) chat.MessageRef { return chat.MessageRef{ID: id} }

func TestCommandAnsweredOnce(t *testing.T) {
	b := newBench(t)
	cmd := b.command(alice, create(say("one"), say("two")))
	first := b.batch(cmd)[0]
	if first.err != nil || !first.changed || len(first.Messages) != 2 {
		t.Fatalf("first = %+v", first)
	}
	again := b.batch(cmd)[0]
	if again.err != nil || again.changed || again.Thread != first.Thread || !slices.Equal(again.Messages, first.Messages) {
		t.Errorf("repeated = %+v, want the answer of %+v", again, first)
	}
	same := b.command(alice, post(byID(first.Thread), say("four")))
	out := b.batch(same, same)
	if !out[0].changed || out[1].changed || out[1].err != nil || out[0].Messages[0] != out[1].Messages[0] {
		t.Errorf("twins in one batch = %+v", out)
	}
}

func TestRefusalIsNotRemembered(t *testing.T) {
	b := newBench(t)
	cmd := b.command(alice, post(byName("t"), say("x")))
	if out := b.batch(cmd)[0]; !errors.Is(out.err, chat.ErrNotParticipant) {
		t.Fatalf("before the thread is there: %+v", out)
	}
	b.does(alice, &chat.CreateThread{ClientID: "t", Content: digestOf("t"), Draft: title("t")})
	if out := b.batch(cmd)[0]; !out.changed {
		t.Errorf("after: %+v, want a change", out)
	}
}

func TestRefusedCommandLeavesNothing(t *testing.T) {
	b := newBench(t)
	th := b.does(alice, create()).Thread
	bad := chat.NewMessage{Draft: body("x"), Parent: &chat.MessageRef{ClientID: "no"}}
	out := b.batch(
		b.command(alice, post(byID(th), say("one"))),
		b.command(alice, post(byID(th), say("two"), bad)),
		b.command(alice, post(byID(th), say("three"))),
	)
	if !out[0].changed || !errors.Is(out[1].err, chat.ErrMessageNotFound) || !out[2].changed {
		t.Fatalf("batch = %+v", out)
	}
	if got := b.thread(th); got.Live != 2 || got.NextSeq != 2 {
		t.Errorf("live %d, next %d, want 2, 2", got.Live, got.NextSeq)
	}
	if got := out[2].Messages[0].Seq; got != 1 {
		t.Errorf("third's seq = %d, want 1", got)
	}
}

func TestIdempotencyKey(t *testing.T) {
	b := newBench(t)
	with := func(request string, text string) *chat.Command {
		cmd := b.command(alice, create(say(text)))
		cmd.Idempotency = &chat.Idempotency{Key: digestOf("key"), Request: digestOf(request)}
		return cmd
	}
	first := b.batch(with("a", "one"))[0]
	if !first.changed {
		t.Fatalf("first = %+v", first)
	}
	second := b.batch(with("a", "one"))[0]
	if second.changed || second.err != nil || second.Thread != first.Thread || !slices.Equal(second.Messages, first.Messages) {
		t.Errorf("second = %+v, want the answer of %+v", second, first)
	}
	if out := b.batch(with("b", "two"))[0]; !errors.Is(out.err, chat.ErrKeyReused) {
		t.Errorf("another request: %+v, want ErrKeyReused", out)
	}
	batch := b.batch(with("a", "one"), with("b", "two"))
	if batch[0].Thread != first.Thread || !errors.Is(batch[1].err, chat.ErrKeyReused) {
		t.Errorf("in a batch: %+v", batch)
	}
}

func TestPeriods(t *testing.T) {
	b := newBench(t)
	keyed := func(key string) *chat.Command {
		cmd := b.command(alice, create())
		cmd.Idempotency = &chat.Idempotency{Key: digestOf(key), Request: digestOf("r")}
		return cmd
	}
	// at moves the clock to a place within a day and a quarter of an hour.
	day0 := b.now / store.Day
	at := func(day, quarter int64) { b.now = (day0+day)*store.Day + quarter*store.Quarter + int64(time.Minute) }
	decide := func(cmd *chat.Command) outcome {
		t.Helper()
		cmd.NotAfter = b.now + int64(chat.Lifetime)
		out := b.batchNow(cmd)[0]
		if out.err != nil {
			t.Fatal(out.err)
		}
		return out
	}
	at(1, 0)
	first := keyed("first")
	one := decide(first)

	plain := b.command(alice, create())
	two := decide(plain)

	at(1, 1) // still found in the last quarter, by their own ids
	if again := decide(plain); again.changed || again.Thread != two.Thread {
		t.Errorf("a quarter later: %+v, want the answer of %+v", again, two)
	}
	decide(b.command(alice, create()))
	if again := decide(plain); again.changed || again.Thread != two.Thread {
		t.Errorf("a quarter later, after a commit: %+v, want the answer of %+v", again, two)
	}
	if again := decide(first); again.changed || again.Thread != one.Thread {
		t.Errorf("a quarter later: %+v", again)
	}
	at(1, 2) // forgotten by its id, found by its key
	second := keyed("first")
	if again := decide(second); again.changed || again.Thread != one.Thread {
		t.Errorf("by its key: %+v", again)
	}
	if totals := b.audit(); totals.Commands != 3 {
		t.Errorf("%d commands, want 3: nothing was committed since", totals.Commands)
	}
	decide(b.command(alice, create()))
	if totals := b.audit(); totals.Commands != 2 || totals.Idempotency != 1 {
		t.Errorf("%d commands and %d keys, want 2 and 1: the first quarter is gone", totals.Commands, totals.Idempotency)
	}
	if b.has(store.KeyCommand(quarterOf(first.NotAfter-int64(chat.Lifetime))-2, first.ID)) {
		t.Error("entry of an old quarter is still there")
	}
	at(2, 95) // tomorrow's last quarter: the key is still known
	if again := decide(keyed("first")); again.changed || again.Thread != one.Thread {
		t.Errorf("a day later: %+v", again)
	}
	decide(keyed("second"))
	at(3, 0)
	if again := decide(keyed("second")); again.changed {
		t.Errorf("second key, over midnight: %+v", again)
	}
	if again := decide(keyed("first")); !again.changed {
		t.Errorf("two days later: %+v, want a new thread", again)
	}
	if totals := b.audit(); totals.Idempotency != 2 {
		t.Errorf("%d keys, want 2", totals.Idempotency)
	}
	at(9, 0)
	decide(keyed("third"))
	if totals := b.audit(); totals.Idempotency != 1 || totals.Commands != 1 {
		t.Errorf("after a week: %d keys and %d commands, want 1 and 1", totals.Idempotency, totals.Commands)
	}
}

func TestNotAfter(t *testing.T) {
	for _, tt := range []struct {
		name     string
		notAfter time.Duration // from the moment
		date     time.Duration // likewise
		again    bool
		want     error
	}{
		{name: "in time", notAfter: time.Minute},
		{name: "just in time", notAfter: 0, date: 0},
		{name: "passed by Date", notAfter: -time.Second, want: chat.ErrBusy},
		{name: "passed by Date after a lost race", notAfter: -time.Second, again: true, want: chat.ErrUnknownOutcome},
		{name: "passed by the last commit", notAfter: -70 * time.Minute, date: -75 * time.Minute, want: chat.ErrUnknownOutcome},
		{name: "passed so long ago that a twin may be forgotten", notAfter: -time.Hour, want: chat.ErrUnknownOutcome},
		{name: "as far ahead as a command lives", notAfter: 10*time.Minute + 10*time.Second},
		{name: "further ahead", notAfter: 10*time.Minute + 11*time.Second, want: chat.ErrBusy},
		{name: "further ahead than Date, which is late", notAfter: 10 * time.Minute, date: -time.Minute, want: chat.ErrBusy},
	} {
		t.Run(tt.name, func(t *testing.T) {
			b := newBench(t)
			b.does(alice, create())
			b.now += int64(time.Hour)
			b.date, b.again = b.now+int64(tt.date), tt.again
			cmd := b.command(alice, create())
			cmd.NotAfter = b.now + int64(tt.notAfter)
			out := b.batchNow(cmd)[0]
			if !errors.Is(out.err, tt.want) || out.changed != (tt.want == nil) {
				t.Errorf("decide() = %+v, want %v", out, tt.want)
			}
		})
	}
	t.Run("no Date known", func(t *testing.T) {
		b := newBench(t)
		cmd := b.command(alice, create())
		cmd.NotAfter = b.now + int64(time.Hour)
		if out := b.batch(cmd)[0]; !out.changed {
			t.Errorf("decide() = %+v, want a change", out)
		}
	})
	t.Run("passed and answered before", func(t *testing.T) {
		b := newBench(t)
		cmd := b.command(alice, create())
		first := b.batch(cmd)[0]
		b.now = cmd.NotAfter + 1
		b.date, b.again = b.now, true
		if out := b.batchNow(cmd)[0]; out.err != nil || out.changed || out.Thread != first.Thread {
			t.Errorf("decide() = %+v, want the first answer %+v", out, first)
		}
	})
}

func TestFreezeAndSeal(t *testing.T) {
	b := newBench(t)
	control := func(name string, value []byte) {
		t.Helper()
		b.now += int64(time.Second)
		b.apply(b.now, []commitlog.Op{{Kind: commitlog.OpControl, Key: []byte(name), Value: value}})
	}
	cmd := b.command(alice, create())
	b.batch(cmd)

	control(store.ControlFreeze, store.EncodeFreeze(store.Freeze{Until: b.now + int64(10*time.Second)}))
	b.refuses(alice, create(), chat.ErrFrozen)
	out := b.batch(b.command(alice, create()))[0]
	var refusal *chat.Error
	if !errors.As(out.err, &refusal) || refusal.Retry != 7*time.Second {
		t.Errorf("refusal = %+v, want Retry 7s", refusal)
	}
	if out := b.batch(cmd)[0]; out.err != nil || out.changed {
		t.Errorf("a repeated command: %+v, want its first answer", out)
	}

	b.now += int64(time.Minute)
	b.refuses(mallory, post(byName("none"), say("x")), chat.ErrNotParticipant)
	if !b.has(store.KeyControl(store.ControlFreeze)) {
		t.Error("a refusal thawed the partition")
	}
	batch := b.batch(b.command(alice, create()), b.command(alice, create()))
	if !batch[0].changed || !batch[1].changed {
		t.Errorf("past the bound: %+v", batch)
	}
	if b.has(store.KeyControl(store.ControlFreeze)) {
		t.Error("still frozen")
	}

	control(store.ControlSeal, store.EncodeSeal(store.Seal{Next: "main-2"}))
	b.refuses(alice, create(), chat.ErrUnwritable)
	var ended *sealedError
	if out := b.batch(b.command(alice, create()))[0]; !errors.As(out.err, &ended) || ended.next != "main-2" {
		t.Errorf("sealed: %v, want the next branch", out.err)
	}
}

func TestUnknownAction(t *testing.T) {
	b := newBench(t)
	out := b.batch(b.command(alice, nil))[0]
	if out.err == nil || chat.KindOf(out.err) != chat.Internal {
		t.Errorf("decide() = %+v, want an internal error", out)
	}
}

func TestScratch(t *testing.T) {
	b := newBench(t)
	b.apply(start, []commitlog.Op{
		{Kind: commitlog.OpSet, Key: []byte("k1"), Value: []byte("base")},
		{Kind: commitlog.OpSet, Key: []byte("k2"), Value: []byte("base")},
		{Kind: commitlog.OpSet, Key: []byte("k5"), Value: []byte("base")},
	})
	s := newScratch(b.db)
	see := func(key, want string) {
		t.Helper()
		value, ok, err := s.Get([]byte(key))
		if err != nil || ok != (want != "") || string(value) != want {
			t.Errorf("Get(%s) = %q, %t, %v, want %q", key, value, ok, err, want)
		}
	}
	see("k1", "base")
	s.set([]byte("k1"), []byte("one"))
	s.set([]byte("k3"), []byte("three"))
	s.delete([]byte("k2"))
	see("k1", "one")
	see("k2", "")
	s.drop()
	see("k1", "base")
	see("k2", "base")
	see("k3", "")

	s.set([]byte("k3"), []byte("three"))
	s.delete([]byte("k1"))
	s.keep()
	s.set([]byte("k1"), []byte("again"))
	s.deleteRange([]byte("k4"), []byte("k6"))
	see("k5", "")
	s.keep()
	s.set([]byte("k9"), []byte("dropped"))
	s.drop()
	s.delete([]byte("k3"))
	s.set([]byte("k5"), []byte("five"))
	s.keep()
	see("k1", "again")
	see("k5", "five")

	var got []string
	for _, op := range s.ops() {
		got = append(got, fmt.Sprintf("%d %s %s", op.Kind, op.Key, op.Value))
	}
	want := []string{"3 k4 k6", "2 k3 ", "1 k1 again", "1 k5 five"}
	if !slices.Equal(got, want) {
		t.Errorf("ops() = %q, want %q", got, want)
	}
}

func TestScratchRecords(t *testing.T) {
	b := newBench(t)
	s := newScratch(b.db)
	encoded := 0
	encode := func(c *store.Counters) []byte { encoded++; return store.EncodeCounters(c) }
	for i := range 10 {
		c, err := counters(s)
		if err != nil || c.Threads != uint64(i) {
			t.Fatalf("counters() = %+v, %v, want %d threads", c, err, i)
		}
		c.Threads++
		put(s, store.KeyCounters(), c, encode)
		c.Threads = 99 // the copy that was put is not this one
		if i%2 == 0 {
			s.keep()
			continue
		}
		s.drop()
		c, _ = counters(s)
		if c.Threads != uint64(i) {
			t.Errorf("after drop: %d threads, want %d", c.Threads, i)
		}
		c.Threads++
		put(s, store.KeyCounters(), c, encode)
		s.keep()
	}
	if encoded != 0 {
		t.Errorf("encoded %d times before anybody asked", encoded)
	}
	value, ok, err := s.Get(store.KeyCounters())
	c, _ := store.DecodeCounters(value)
	if err != nil || !ok || c.Threads != 10 {
		t.Errorf("Get() = %+v, %t, %v, want 10 threads", c, ok, err)
	}
	if ops := s.ops(); len(ops) != 1 || encoded != 1 {
		t.Errorf("%d ops, encoded %d times, want 1 and 1", len(ops), encoded)
	}
}
