package writer

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/bobbindb/bobbin/shared/chat"
	"github.com/bobbindb/bobbin/shared/store"
)

// model is what a partition holds, without keys, indexes or a clock.
type model struct {
	threads []*modelThread
	purged  []*modelThread
}

type modelThread struct {
	id       chat.ThreadID
	owner    chat.Owner
	name     string
	content  string
	members  []chat.Member
	title    string
	titled   uint32 // revision at which it got its title
	status   chat.Status
	deleted  bool
	old      bool // deleted long ago, for an import says so
	expires  int64
	purged   bool // its messages are being removed
	revision uint32
	head     int // of messages, -1 for none
	messages []*modelMessage
}

type modelMessage struct {
	id      chat.MessageID
	name    string
	content string
	author  chat.Owner
	texts   []string // the last one is current
	first   uint32   // revision of the first text
	parent  int
	deleted bool
	old     bool
	expires int64
	purged  bool
}

func (m *model) byName(o chat.Owner, name string) *modelThread {
	for _, t := range m.threads {
		if t.owner == o && t.name == name && name != "" {
			return t
		}
	}
	return nil
}

// may is the refusal of who comes to a thread to do what takes this role.
func (t *modelThread) may(caller chat.Owner, need chat.Role) error {
	role := chat.Role(0)
	if t != nil && t.owner == caller {
		role = chat.RoleOwner
	} else if t != nil {
		for _, m := range t.members {
			if m.User == caller.User && caller.Tenant == t.owner.Tenant {
				role = m.Role
			}
		}
	}
	switch {
	case role == 0:
		return chat.ErrNotParticipant
	case t.deleted:
		return chat.ErrThreadNotFound
	case role < need:
		return chat.ErrNotParticipant
	}
	return nil
}

func (t *modelThread) named(name string) int {
	return slices.IndexFunc(t.messages, func(m *modelMessage) bool { return m.name == name && name != "" && !m.purged })
}

// random makes random commands and knows what must become of each.
type random struct {
	*rand.Rand
	b     *bench
	model model
	texts int
}

var people = []chat.Owner{alice, bob, carol, mallory, foreign}

func pick[T any](r *random, from []T) T { return from[r.IntN(len(from))] }

func (r *random) text() string {
	r.texts++
	return fmt.Sprintf("text %d", r.texts)
}

// name is a client's id, often none and often one that is taken.
func (r *random) name() string {
	if r.IntN(2) == 0 {
		return ""
	}
	return fmt.Sprintf("n%d", r.IntN(12))
}

// newMessage makes a message and its model. Its parent is a message of the thread's.
func (r *random) newMessage(t *modelThread, author chat.Owner) (chat.NewMessage, *modelMessage) {
	text := r.text()
	m := &modelMessage{name: r.name(), author: author, texts: []string{text}, parent: -2}
	m.content = m.name + pick(r, []string{"", "", "another"})
	in := named(m.name, m.content)
	in.Draft = body(text)
	if parent := r.IntN(20); t != nil && parent < len(t.messages) && !t.messages[parent].purged {
		m.parent = parent
		in.Parent = &chat.MessageRef{ID: t.messages[m.parent].id}
		in.Branch = r.IntN(2) == 0
	}
	if r.IntN(5) == 0 {
		in.Expires = pick(r, []int64{start + r.Int64N(1000), 1 << 62})
		m.expires = in.Expires
	}
	return in, m
}

// posts says what posting messages to a thread comes to.
func (t *modelThread) posts(in []chat.NewMessage, messages []*modelMessage) (added []*modelMessage, head int, err error) {
	head = t.head
	for i, m := range messages {
		same := func(k *modelMessage) bool { return k.name == m.name && m.name != "" && !k.purged }
		all := append(slices.Clone(t.messages), added...)
		if k := slices.IndexFunc(all, same); k >= 0 {
			if all[k].content != m.content {
				return nil, 0, chat.ErrIDUsed
			}
			continue
		}
		if m.parent == -2 {
			m.parent = head
		}
		added = append(added, m)
		if !in[i].Branch {
			head = len(t.messages) + len(added) - 1
		}
	}
	return added, head, nil
}

// ids gives the added messages the names that the result says.
func (t *modelThread) ids(result chat.Result, all, added []*modelMessage) {
	for i, m := range all {
		if slices.Contains(added, m) {
			m.id = result.Messages[i]
		}
	}
	t.messages = append(t.messages, added...)
}

// step is a command, what must become of it, and what it makes of the model.
type step struct {
	cmd     *chat.Command
	want    error
	changed bool
	apply   func(chat.Result)
}

func (r *random) step() step {
	caller := pick(r, people)
	if len(r.model.threads) == 0 {
		return r.create(caller)
	}
	t := pick(r, r.model.threads)
	if r.IntN(3) > 0 {
		caller = t.owner
	}
	switch n := r.IntN(110); {
	case n >= 108 && len(r.model.purged) > 0:
		return r.onPurged(pick(r, r.model.purged))
	case n >= 100:
		return r.purge(t)
	case n < 12:
		return r.create(caller)
	case n < 17:
		return r.importing(caller)
	case n < 55:
		return r.post(caller, t)
	case n < 70:
		return r.edit(caller, t)
	case n < 85:
		return r.deleteMessage(caller, t)
	case n < 94:
		return r.update(caller, t)
	case n < 96:
		return r.undeleteThread(caller, t)
	case n < 98:
		return r.undeleteMessage(caller, t)
	}
	return r.deleteThread(caller, t)
}

func (r *random) create(caller chat.Owner) step {
	t := &modelThread{owner: caller, name: r.name(), title: r.text(), head: -1, status: chat.Status(r.IntN(2))}
	t.content = t.name + pick(r, []string{"", "", "another"})
	for _, p := range people {
		if r.IntN(3) == 0 && p.Tenant == caller.Tenant {
			t.members = append(t.members, chat.Member{User: p.User, Role: chat.Role(1 + r.IntN(3))})
		}
	}
	a := &chat.CreateThread{ClientID: chat.ClientID(t.name), Draft: title(t.title), Members: t.members, Status: t.status}
	if t.name != "" {
		a.Content = digestOf(t.content)
	}
	if r.IntN(2) == 0 {
		a.SlugHash = digestOf("slug")
	}
	var messages []*modelMessage
	for range r.IntN(4) {
		in, m := r.newMessage(nil, caller)
		a.Messages, messages = append(a.Messages, in), append(messages, m)
	}
	s := step{cmd: r.b.command(caller, a)}
	if known := r.model.byName(caller, t.name); known != nil {
		if known.content != t.content || known.content == "imported" {
			s.want = chat.ErrIDUsed
		}
		s.apply = func(got chat.Result) { r.same(got.Thread, known.id) }
		return s
	}
	added, head, err := t.posts(a.Messages, messages)
	s.want, s.changed = err, err == nil
	s.apply = func(got chat.Result) {
		t.id, t.head = got.Thread, head
		t.ids(got, messages, added)
		r.model.threads = append(r.model.threads, t)
	}
	return s
}

func (r *random) importing(caller chat.Owner) step {
	name := fmt.Sprintf("n%d", r.IntN(12))
	a := &chat.ImportThread{ClientID: chat.ClientID(name), Created: r.Int64N(50), Draft: title("imported " + name)}
	t := r.model.byName(caller, name)
	fresh := t == nil
	if fresh {
		t = &modelThread{owner: caller, name: name, content: "imported", title: "imported " + name, head: -1}
	}
	var added []*modelMessage
	for i := range r.IntN(5) {
		in, m := r.newMessage(nil, pick(r, people))
		m.name = fmt.Sprintf("n%d", r.IntN(12))
		m.author.Tenant = caller.Tenant
		in.ClientID, in.Content, in.Author = chat.ClientID(m.name), digestOf(m.content), m.author.User
		in.Created, in.Deleted, in.Revision = r.Int64N(100), r.Int64N(2)*99, uint32(r.IntN(3))
		m.first, m.deleted, m.old = in.Revision, in.Deleted != 0, in.Deleted != 0
		if a.Messages = append(a.Messages, in); t.deleted || t.named(m.name) >= 0 {
			continue
		}
		if i > 0 && slices.ContainsFunc(added, func(k *modelMessage) bool { return k.name == m.name }) {
			continue
		}
		if m.parent = t.head; len(added) > 0 {
			m.parent = len(t.messages) + len(added) - 1
		}
		added = append(added, m)
	}
	deleted := !t.deleted && (fresh || len(added) > 0) && r.IntN(4) == 0
	if deleted {
		a.Deleted = 77
	}
	s := step{cmd: r.b.command(caller, a), changed: fresh || len(added) > 0}
	s.apply = func(got chat.Result) {
		if got.Created != len(added) {
			r.b.t.Errorf("import of %s added %d, want %d", name, got.Created, len(added))
		}
		t.deleted, t.old = t.deleted || deleted, t.old || deleted
		if deleted && !fresh {
			t.revision++
		}
		if fresh {
			t.id = got.Thread
			r.model.threads = append(r.model.threads, t)
		}
		for _, m := range added {
			m.id = chat.MessageID{Thread: t.id, Seq: uint32(len(t.messages)), Time: r.timeOf(t.id, m.name)}
			t.head = len(t.messages)
			t.messages = append(t.messages, m)
		}
	}
	return s
}

// timeOf finds the time of an imported message, which no result tells.
func (r *random) timeOf(t chat.ThreadID, name string) int64 {
	at, ok, err := store.FindMessage(r.b.db, t, chat.ClientID(name))
	if err != nil || !ok {
		r.b.t.Fatalf("FindMessage(%s, %s) = %t, %v", t, name, ok, err)
	}
	return at
}

func (r *random) same(got, want chat.ThreadID) {
	if got != want {
		r.b.t.Errorf("thread = %s, want %s", got, want)
	}
}

// ref points at a thread by its key or, for its owner, by its name.
func (r *random) ref(caller chat.Owner, t *modelThread) chat.ThreadRef {
	if t.name != "" && t.owner == caller && r.IntN(2) == 0 {
		return byName(t.name)
	}
	return byID(t.id)
}

func (r *random) post(caller chat.Owner, t *modelThread) step {
	a := &chat.PostMessages{Thread: r.ref(caller, t)}
	var messages []*modelMessage
	for range 1 + r.IntN(3) {
		in, m := r.newMessage(t, caller)
		a.Messages, messages = append(a.Messages, in), append(messages, m)
	}
	s := step{cmd: r.b.command(caller, a), want: t.may(caller, chat.RoleWriter)}
	if s.want != nil {
		return s
	}
	added, head, err := t.posts(a.Messages, messages)
	s.want, s.changed = err, err == nil && len(added) > 0
	s.apply = func(got chat.Result) {
		t.head = head
		t.ids(got, messages, added)
	}
	return s
}

// message picks a message of the thread's, now and then one of another, and says how
// it is referred to and why it is not found.
func (r *random) message(t *modelThread) (*modelMessage, chat.MessageRef, error) {
	from := t
	if r.IntN(10) == 0 {
		from = pick(r, r.model.threads)
	}
	if len(from.messages) == 0 {
		return nil, chat.MessageRef{ClientID: "none"}, chat.ErrMessageNotFound
	}
	m := pick(r, from.messages)
	ref := chat.MessageRef{ID: m.id}
	switch r.IntN(4) {
	case 0:
		ref.ID.Seq = chat.NoSeq
	case 1:
		if m.name != "" && from == t && !m.purged {
			ref = chat.MessageRef{ClientID: chat.ClientID(m.name)}
		}
	}
	switch {
	case from != t:
		return m, ref, chat.ErrNotInThread
	case m.deleted, m.purged:
		return m, ref, chat.ErrMessageNotFound
	}
	return m, ref, nil
}

// ifMatch asks for a revision, often for any, and says whether the current one will do.
func (r *random) ifMatch(current uint32) ([]uint32, bool) {
	switch r.IntN(4) {
	case 0:
		return []uint32{current + 5, current}, true
	case 1:
		return []uint32{current + 1}, false
	}
	return nil, true
}

func (m *modelMessage) revision() uint32 { return m.first + uint32(len(m.texts)) - 1 }

func (r *random) edit(caller chat.Owner, t *modelThread) step {
	m, ref, missing := r.message(t)
	text := r.text()
	a := &chat.EditMessage{Thread: r.ref(caller, t), Message: ref, Draft: body(text)}
	matches := true
	if m != nil {
		a.IfMatch, matches = r.ifMatch(m.revision())
	}
	s := step{cmd: r.b.command(caller, a), want: t.may(caller, chat.RoleWriter)}
	switch {
	case s.want != nil:
	case missing != nil:
		s.want = missing
	case m.author != caller:
		s.want = chat.ErrNotAuthor
	case !matches:
		s.want = chat.ErrPrecondition
	}
	s.changed = s.want == nil
	s.apply = func(got chat.Result) {
		m.texts = append(m.texts, text)
		if got.Revision != m.revision() {
			r.b.t.Errorf("revision = %d, want %d", got.Revision, m.revision())
		}
	}
	return s
}

func (r *random) deleteMessage(caller chat.Owner, t *modelThread) step {
	m, ref, missing := r.message(t)
	a := &chat.DeleteMessage{Thread: r.ref(caller, t), Message: ref}
	matches := true
	if m != nil {
		a.IfMatch, matches = r.ifMatch(m.revision())
	}
	s := step{cmd: r.b.command(caller, a), want: t.may(caller, chat.RoleWriter)}
	switch {
	case s.want != nil:
	case missing != nil:
		s.want = missing
	case m.author != caller && t.may(caller, chat.RoleOwner) != nil:
		s.want = chat.ErrNotAuthor
	case !matches:
		s.want = chat.ErrPrecondition
	}
	s.changed = s.want == nil
	s.apply = func(chat.Result) { m.deleted = true }
	return s
}

func (r *random) update(caller chat.Owner, t *modelThread) step {
	text := r.text()
	a := &chat.UpdateThread{Thread: r.ref(caller, t), Draft: title(text)}
	var matches bool
	a.IfMatch, matches = r.ifMatch(t.revision)
	status, head, expires := t.status, t.head, t.expires
	var lost error
	if r.IntN(2) == 0 {
		status = chat.Status(r.IntN(2))
		a.Status, a.Slug, a.Expires = &status, &chat.Digest{}, new(int64)
		*a.Expires = pick(r, []int64{0, 0, start + r.Int64N(1000), 1 << 62})
		expires = *a.Expires
		*a.Slug = pick(r, []chat.Digest{{}, digestOf("slug"), digestOf("another")})
	}
	if r.IntN(3) == 0 {
		m, ref, missing := r.message(t)
		a.Head, lost = &ref, missing
		if missing == nil {
			head = slices.Index(t.messages, m)
		}
	}
	s := step{cmd: r.b.command(caller, a), want: t.may(caller, chat.RoleOwner)}
	switch {
	case s.want != nil:
	case !matches:
		s.want = chat.ErrPrecondition
	default:
		s.want = lost
	}
	s.changed = s.want == nil
	s.apply = func(chat.Result) {
		t.title, t.status, t.head, t.expires, t.revision = text, status, head, expires, t.revision+1
		t.titled = t.revision
	}
	return s
}

func (r *random) deleteThread(caller chat.Owner, t *modelThread) step {
	a := &chat.DeleteThread{Thread: r.ref(caller, t)}
	var matches bool
	a.IfMatch, matches = r.ifMatch(t.revision)
	s := step{cmd: r.b.command(caller, a), want: t.may(caller, chat.RoleOwner)}
	if s.want == nil && !matches {
		s.want = chat.ErrPrecondition
	}
	s.changed = s.want == nil
	s.apply = func(chat.Result) { t.deleted, t.revision = true, t.revision+1 }
	return s
}

func (r *random) undeleteThread(caller chat.Owner, t *modelThread) step {
	s := step{cmd: r.b.command(caller, &chat.UndeleteThread{Thread: r.ref(caller, t)})}
	live := *t
	live.deleted = false
	switch {
	case live.may(caller, chat.RoleReader) != nil:
		s.want = chat.ErrThreadNotFound
	case live.may(caller, chat.RoleOwner) != nil:
		s.want = chat.ErrNotParticipant
	default:
		s.changed = t.deleted
	}
	s.apply = func(chat.Result) {
		if t.deleted {
			t.deleted, t.old, t.revision = false, false, t.revision+1
		}
	}
	return s
}

func (r *random) undeleteMessage(caller chat.Owner, t *modelThread) step {
	m, ref, missing := r.message(t)
	s := step{cmd: r.b.command(caller, &chat.UndeleteMessage{Thread: r.ref(caller, t), Message: ref})}
	s.want = t.may(caller, chat.RoleWriter)
	switch {
	case s.want != nil:
	case missing != nil && (m == nil || m.purged || !errors.Is(missing, chat.ErrMessageNotFound)):
		s.want = missing
	case m.author != caller && t.may(caller, chat.RoleOwner) != nil:
		s.want = chat.ErrNotAuthor
	default:
		s.changed = m.deleted
	}
	s.apply = func(chat.Result) { m.deleted, m.old = false, false }
	return s
}

// purge purges a thread or some of its messages, whatever of them is due: what was
// deleted ever, or only what an import said was deleted long ago, and what expired.
func (r *random) purge(t *modelThread) step {
	a := &chat.Purge{Thread: t.id, Retention: pick(r, []time.Duration{0, 1000 * time.Hour})}
	due := func(deleted, old bool, expires int64) bool {
		return deleted && (old || a.Retention == 0) || expires != 0 && expires <= r.b.now
	}
	gone := !t.purged && due(t.deleted, t.old, t.expires)
	var out []*modelMessage
	for _, m := range t.messages {
		if r.IntN(4) == 0 {
			continue
		}
		a.Messages = append(a.Messages, m.id.Time)
		if !m.purged && (gone || t.purged || due(m.deleted, m.old, m.expires)) {
			out = append(out, m)
		}
	}
	want := chat.Purged{Messages: len(out)}
	removes := gone || len(out) > 0
	forgets := quarterOf(r.b.now+int64(time.Second)) > r.b.counters().Quarter
	s := step{cmd: r.b.command(chat.Owner{}, a), changed: removes || forgets}
	s.apply = func(got chat.Result) {
		for _, m := range out {
			m.purged = true
		}
		if gone {
			want.Threads, t.purged = 1, true
			r.model.threads = slices.DeleteFunc(r.model.threads, func(k *modelThread) bool { return k == t })
			r.model.purged = append(r.model.purged, t)
		}
		if t.purged {
			want.Left = t.left()
		}
		if got.Purged != want {
			r.b.t.Errorf("purged %+v, want %+v", got.Purged, want)
		}
		t.head = t.ancestor(t.head)
	}
	return s
}

// left is how many messages are there.
func (t *modelThread) left() (n int) {
	for _, m := range t.messages {
		if !m.purged {
			n++
		}
	}
	return n
}

// ancestor is the nearest message of a line that is there, -1 for none.
func (t *modelThread) ancestor(i int) int {
	for i >= 0 && t.messages[i].purged {
		i = t.messages[i].parent
	}
	return i
}

// onPurged comes to a thread that is purged, which nobody knows, or purges on.
func (r *random) onPurged(t *modelThread) step {
	switch r.IntN(3) {
	case 0:
		return step{cmd: r.b.command(t.owner, post(byID(t.id), say("x"))), want: chat.ErrNotParticipant}
	case 1:
		return step{cmd: r.b.command(t.owner, &chat.UndeleteThread{Thread: byID(t.id)}), want: chat.ErrThreadNotFound}
	}
	return r.purge(t)
}

// compare reads everything back.
func (r *random) compare() {
	r.b.t.Helper()
	totals := r.b.audit()
	var want store.Totals
	for _, t := range slices.Concat(r.model.threads, r.model.purged) {
		switch {
		case !t.purged:
			r.compareThread(t)
			r.compareLine(t)
		case r.b.has(store.KeyThread(t.id)) != (t.left() > 0):
			r.b.t.Fatalf("record of a purged thread of which %d messages are left: %t", t.left(), t.left() == 0)
		}
		switch {
		case t.purged && t.left() > 0:
			want.PurgedThreads++
		case t.purged:
		case t.deleted:
			want.DeletedThreads++
		default:
			want.Threads++
		}
		for _, m := range t.messages {
			if m.purged {
				continue
			}
			if m.deleted {
				want.DeadMessages++
			} else {
				want.Messages++
			}
			want.Revisions += uint64(len(m.texts) - 1)
		}
	}
	want.Owners, want.Commands, want.Idempotency, want.IndexEntries = totals.Owners, totals.Commands, totals.Idempotency, totals.IndexEntries
	if totals != want {
		r.b.t.Fatalf("totals = %+v, want %+v", totals, want)
	}
}

func (r *random) compareThread(t *modelThread) {
	r.b.t.Helper()
	got := r.b.thread(t.id)
	head := int64(0)
	if t.head >= 0 {
		head = t.messages[t.head].id.Time
	}
	if got.Owner != t.owner || string(got.ClientID) != t.name || string(got.Title) != closed(t.title, t.id, 0, t.titled) || got.Status != t.status ||
		(got.Deleted != 0) != t.deleted || got.Revision != t.revision || got.Head != head || int(got.NextSeq) != len(t.messages) {
		r.b.t.Fatalf("thread = %+v, want %+v", got, t)
	}
	for i, m := range t.messages {
		if m.purged {
			if _, ok, err := store.GetMessage(r.b.db, got, m.id.Time); ok || err != nil {
				r.b.t.Fatalf("purged message %d: %t, %v", i, ok, err)
			}
			continue
		}
		got := r.b.message(m.id)
		parent := int64(0)
		if m.parent >= 0 {
			parent = t.messages[m.parent].id.Time
		}
		if got.ID != m.id || int(got.ID.Seq) != i || got.Author != m.author || string(got.ClientID) != m.name || (got.Deleted != 0) != m.deleted ||
			got.Parent != parent || got.Revision != m.revision() ||
			string(got.Body) != closed(m.texts[len(m.texts)-1], t.id, m.id.Time, m.revision()) {
			r.b.t.Fatalf("message %d = %+v, want %+v", i, got, m)
		}
	}
}

// compareLine reads the line that ends at a thread's head.
func (r *random) compareLine(t *modelThread) {
	r.b.t.Helper()
	var want []chat.MessageID
	for i := t.head; i >= 0; i = t.messages[i].parent {
		if !t.messages[i].purged {
			want = append(want, t.messages[i].id)
		}
	}
	slices.Reverse(want)
	view := r.b.db.View()
	defer view.Close()
	page, err := view.Line(r.b.thread(t.id), chat.MessageQuery{Cursor: chat.Cursor{Limit: 1000}, IncludeDeleted: true}, 0)
	if err != nil {
		r.b.t.Fatal(err)
	}
	var got []chat.MessageID
	for _, m := range page.Messages {
		got = append(got, m.ID)
	}
	if !slices.Equal(got, want) {
		r.b.t.Fatalf("line of %s = %v, want %v", t.id, got, want)
	}
}

func TestRandomCommands(t *testing.T) {
	for seed := range uint64(3) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			t.Parallel()
			b := newBench(t)
			b.audits = false
			r := &random{Rand: rand.New(rand.NewPCG(seed, 2)), b: b}
			refused := map[error]int{}
			var purged chat.Purged
			for i := range 2000 {
				s := r.step()
				before := *s.cmd
				out := b.batch(s.cmd)[0]
				if !errors.Is(out.err, s.want) || out.changed != s.changed {
					t.Fatalf("command %d, %T %+v by %v: changed %t, error %v, want %t, %v",
						i, s.cmd.Action, s.cmd.Action, s.cmd.Caller, out.changed, out.err, s.changed, s.want)
				}
				if out.err == nil {
					s.apply(out.Result)
				} else {
					refused[s.want]++
				}
				purged.Threads += out.Purged.Threads
				purged.Messages += out.Purged.Messages
				purged.Left += out.Purged.Left
				if _, ok := s.cmd.Action.(*chat.Purge); ok && out.changed && out.Purged.Left == 0 { // sent again
					if again := b.batch(&before)[0]; again.err != nil || again.Purged.Threads != 0 {
						t.Fatalf("purged again: %+v", again)
					}
					continue
				}
				if r.IntN(20) == 0 && out.changed { // sent again
					again := b.batch(&before)[0]
					if again.err != nil || again.changed || again.Thread != out.Thread || !slices.Equal(again.Messages, out.Messages) ||
						again.Revision != out.Revision || again.Created != out.Created {
						t.Fatalf("again = %+v, want %+v", again, out)
					}
				}
				if i%100 == 99 {
					r.compare()
				}
			}
			if purged.Threads < 10 || purged.Messages < 50 || purged.Left < 5 {
				t.Errorf("purged %+v: too little", purged)
			}
			for _, want := range []error{
				chat.ErrNotParticipant, chat.ErrThreadNotFound, chat.ErrMessageNotFound, chat.ErrNotInThread,
				chat.ErrNotAuthor, chat.ErrPrecondition, chat.ErrIDUsed,
			} {
				if refused[want] == 0 {
					t.Errorf("nothing was refused with %q", want)
				}
			}
		})
	}
}

// Deciding in batches, whatever their sizes, comes to the same as one by one.
func TestRandomBatches(t *testing.T) {
	for seed := range uint64(3) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			t.Parallel()
			one, many := newBench(t), newBench(t)
			one.audits, many.audits = false, false
			r := &random{Rand: rand.New(rand.NewPCG(seed, 3)), b: one}
			var waiting []*chat.Command
			var want []outcome
			flush := func() {
				got := many.batch(waiting...)
				for i := range got {
					if got[i].changed != want[i].changed || !errors.Is(got[i].err, want[i].err) {
						t.Fatalf("in a batch of %d: %+v, alone: %+v", len(waiting), got[i], want[i])
					}
				}
				many.audit()
				waiting, want = nil, nil
			}
			threads := 0
			for range 1500 {
				s := r.step()
				if !byNameOnly(s.cmd.Action) {
					continue // keys differ between the two
				}
				out := one.batch(s.cmd)[0]
				if out.err == nil {
					s.apply(out.Result)
				}
				if out.changed {
					threads++
				}
				if waiting, want = append(waiting, s.cmd), append(want, out); r.IntN(10) == 0 {
					flush()
				}
			}
			flush()
			a, b := one.audit(), many.audit()
			a.Commands, b.Commands = 0, 0
			if a != b || threads < 100 {
				t.Errorf("one by one %+v, in batches %+v, after %d changes", a, b, threads)
			}
		})
	}
}

// byNameOnly reports whether an action means the same in any partition: it names no
// thread and no message by its key.
func byNameOnly(a chat.Action) bool {
	if _, purges := a.(*chat.Purge); purges {
		return false
	}
	named := func(t chat.ThreadRef, m chat.MessageRef) bool { return t.ClientID != "" && m.ClientID != "" }
	switch a := a.(type) {
	case *chat.PostMessages:
		return a.Thread.ClientID != "" && !slices.ContainsFunc(a.Messages, func(m chat.NewMessage) bool { return m.Parent != nil })
	case *chat.EditMessage:
		return named(a.Thread, a.Message)
	case *chat.DeleteMessage:
		return named(a.Thread, a.Message)
	case *chat.UpdateThread:
		return a.Thread.ClientID != "" && (a.Head == nil || a.Head.ClientID != "")
	case *chat.DeleteThread:
		return a.Thread.ClientID != ""
	case *chat.UndeleteThread:
		return a.Thread.ClientID != ""
	case *chat.UndeleteMessage:
		return named(a.Thread, a.Message)
	}
	return true
}
