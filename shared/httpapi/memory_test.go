package httpapi_test

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/bobbindb/bobbin/shared/chat"
)

// memory is a small chat.Reader and chat.Writer: one partition, in memory, gone with
// the test.
type memory struct {
	chat.Reader // what it was not taught; calling it panics

	mu      sync.Mutex
	now     func() time.Time
	seq     uint64
	last    int64
	threads map[chat.ThreadID]*memoryThread
	named   map[threadName]chat.ThreadID
	answers map[chat.Digest]memoryAnswer
	fail    error // answers every command, when set
}

type threadName struct {
	owner chat.Owner
	id    chat.ClientID
}

type memoryThread struct {
	chat.Thread
	messages []*chat.Message
}

type memoryAnswer struct {
	request chat.Digest
	result  chat.Result
}

var (
	_ chat.Writer = (*memory)(nil)
)

func newMemory(now func() time.Time) *memory {
	return &memory{
		now:     now,
		threads: make(map[chat.ThreadID]*memoryThread),
		named:   make(map[threadName]chat.ThreadID),
		answers: make(map[chat.Digest]memoryAnswer),
	}
}

func (m *memory) position() chat.Position {
	return chat.Position{Branch: "main-abc123", Seqs: []chat.PartitionSeq{{Partition: 0, Seq: m.seq}}}
}

// tick is the current time, and later than any before.
func (m *memory) tick() int64 {
	m.last = max(m.last+1, m.now().UnixNano())
	return m.last
}

// Do decides one command.
func (m *memory) Do(_ context.Context, cmd *chat.Command) (chat.Result, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.fail != nil {
		return chat.Result{}, m.fail
	}
	if i := cmd.Idempotency; i != nil {
		if known, ok := m.answers[i.Key]; ok {
			if known.request != i.Request {
				return chat.Result{Position: m.position()}, chat.ErrKeyReused
			}
			known.result.Position = m.position()
			return known.result, nil
		}
	}
	result, err := m.decide(cmd)
	if err == nil {
		m.seq++
		if i := cmd.Idempotency; i != nil {
			m.answers[i.Key] = memoryAnswer{i.Request, result}
		}
	}
	result.Position = m.position()
	return result, err
}

func (m *memory) decide(cmd *chat.Command) (chat.Result, error) {
	switch a := cmd.Action.(type) {
	case *chat.CreateThread:
		return m.create(cmd, a)
	case *chat.ImportThread:
		return m.importThread(cmd, a)
	case *chat.UpdateThread:
		t, err := m.owned(cmd.Caller, a.Thread, a.IfMatch)
		if err != nil {
			return chat.Result{}, err
		}
		texts, _, err := a.Draft.Seal(t.ID, 0, 0, nil)
		if err != nil {
			return chat.Result{}, err
		}
		t.Title, t.Updated = texts.Title, m.tick()
		t.Revision++
		return chat.Result{Thread: t.ID, Revision: t.Revision}, nil
	case *chat.DeleteThread:
		t, err := m.owned(cmd.Caller, a.Thread, a.IfMatch)
		if err != nil {
			return chat.Result{}, err
		}
		t.Deleted = m.tick()
		t.Revision++
		return chat.Result{Thread: t.ID, Revision: t.Revision}, nil
	case *chat.PostMessages:
		t, err := m.find(cmd.Caller, a.Thread, chat.RoleWriter)
		if err != nil {
			return chat.Result{}, err
		}
		return m.post(cmd.Caller, t, a.Messages)
	case *chat.EditMessage:
		t, msg, err := m.own(cmd.Caller, a.Thread, a.Message, a.IfMatch)
		if err != nil {
			return chat.Result{}, err
		}
		texts, _, err := a.Draft.Seal(t.ID, msg.ID.Time, msg.Revision+1, nil)
		if err != nil {
			return chat.Result{}, err
		}
		msg.Body, msg.Updated = texts.Body, m.tick()
		msg.Revision++
		return chat.Result{Thread: t.ID, Messages: []chat.MessageID{msg.ID}, Revision: msg.Revision}, nil
	case *chat.DeleteMessage:
		t, msg, err := m.own(cmd.Caller, a.Thread, a.Message, a.IfMatch)
		if err != nil {
			return chat.Result{}, err
		}
		msg.Deleted = m.tick()
		msg.Revision++
		return chat.Result{Thread: t.ID, Messages: []chat.MessageID{msg.ID}, Revision: msg.Revision}, nil
	}
	return chat.Result{}, fmt.Errorf("unknown action %T", cmd.Action)
}

func (m *memory) create(cmd *chat.Command, a *chat.CreateThread) (chat.Result, error) {
	name := threadName{cmd.Caller, a.ClientID}
	if known, ok := m.named[name]; ok && a.ClientID != "" {
		t := m.threads[known]
		if t.Content != a.Content {
			return chat.Result{}, chat.ErrIDUsed
		}
		return chat.Result{Thread: t.ID, Messages: ids(t.messages[:len(a.Messages)]), Revision: t.Revision}, nil
	}
	now := m.tick()
	t := &memoryThread{Thread: chat.Thread{
		ID: chat.ThreadID{Time: now, Slot: cmd.Slot}, Owner: cmd.Caller, ClientID: a.ClientID, Created: now, Updated: now,
		Status: a.Status, Members: a.Members, Expires: a.Expires, Content: a.Content,
	}}
	texts, _, err := a.Draft.Seal(t.ID, 0, 0, nil)
	if err != nil {
		return chat.Result{}, err
	}
	t.Title, t.Slug, t.Metadata = texts.Title, texts.Slug, texts.Metadata
	result, err := m.post(cmd.Caller, t, a.Messages)
	if err != nil {
		return chat.Result{}, err
	}
	m.threads[t.ID] = t
	if a.ClientID != "" {
		m.named[name] = t.ID
	}
	result.Revision = t.Revision
	return result, nil
}

func (m *memory) importThread(cmd *chat.Command, a *chat.ImportThread) (chat.Result, error) {
	name := threadName{cmd.Caller, a.ClientID}
	t := m.threads[m.named[name]]
	if t == nil {
		t = &memoryThread{Thread: chat.Thread{
			ID: chat.ThreadID{Time: m.tick(), Slot: cmd.Slot}, Owner: cmd.Caller, ClientID: a.ClientID, Created: a.Created,
			Updated: a.Created, Deleted: a.Deleted, Status: a.Status, Members: a.Members, Expires: a.Expires,
		}}
		texts, _, err := a.Draft.Seal(t.ID, 0, 0, nil)
		if err != nil {
			return chat.Result{}, err
		}
		t.Title, t.Slug, t.Metadata = texts.Title, texts.Slug, texts.Metadata
		m.threads[t.ID], m.named[name] = t, t.ID
	}
	var lacking []chat.NewMessage
	for _, n := range a.Messages {
		if t.named(n.ClientID) == nil {
			lacking = append(lacking, n)
		}
	}
	result, err := m.post(cmd.Caller, t, lacking)
	if a.Updated != 0 {
		t.Updated = a.Updated
	}
	result.Created = len(lacking)
	return result, err
}

func (m *memory) post(caller chat.Owner, t *memoryThread, in []chat.NewMessage) (_ chat.Result, err error) {
	result := chat.Result{Thread: t.ID}
	before := *t // all of them or none
	defer func() {
		if err != nil {
			*t = before
		}
	}()
	for _, n := range in {
		if known := t.named(n.ClientID); known != nil {
			if known.Content != n.Content {
				return chat.Result{}, chat.ErrIDUsed
			}
			result.Messages = append(result.Messages, known.ID)
			continue
		}
		now := m.tick()
		msg := &chat.Message{
			ID: chat.MessageID{Thread: t.ID, Time: now, Seq: uint32(len(t.messages))}, Author: caller, ClientID: n.ClientID,
			Created: cmp.Or(n.Created, now), Updated: cmp.Or(n.Updated, n.Created, now), Deleted: n.Deleted, Expires: n.Expires,
			Status: n.Status, Parent: t.Head, Revision: n.Revision, Role: n.Role, Format: n.Format, Model: n.Model,
			ReplyTo: n.ReplyTo, Usage: n.Usage, Content: n.Content,
		}
		if n.Author != "" {
			msg.Author.User = n.Author
		}
		if n.Parent != nil {
			parent, err := t.message(*n.Parent)
			if err != nil {
				return chat.Result{}, err
			}
			msg.Parent = parent.ID.Time
		}
		texts, _, err := n.Draft.Seal(t.ID, now, msg.Revision, nil)
		if err != nil {
			return chat.Result{}, err
		}
		msg.Body, msg.Metadata = texts.Body, texts.Metadata
		t.messages = append(t.messages, msg)
		if !n.Branch {
			t.Head = now
		}
		t.Updated, t.LastMessage = msg.Created, msg.Created
		result.Messages = append(result.Messages, msg.ID)
		result.Revision = msg.Revision
	}
	return result, nil
}

func (t *memoryThread) named(id chat.ClientID) *chat.Message {
	for _, m := range t.messages {
		if id != "" && m.ClientID == id {
			return m
		}
	}
	return nil
}

func (t *memoryThread) message(ref chat.MessageRef) (*chat.Message, error) {
	if ref.ClientID != "" {
		if m := t.named(ref.ClientID); m != nil {
			return m, nil
		}
		return nil, chat.ErrMessageNotFound
	}
	if ref.ID.Thread != t.ID {
		return nil, chat.ErrNotInThread
	}
	for _, m := range t.messages {
		if m.ID.Time == ref.ID.Time && (ref.ID.Seq == chat.NoSeq || ref.ID.Seq == m.ID.Seq) {
			return m, nil
		}
	}
	return nil, chat.ErrMessageNotFound
}

func (m *memory) find(caller chat.Owner, ref chat.ThreadRef, role chat.Role) (*memoryThread, error) {
	id := ref.ID
	if ref.ClientID != "" {
		id = m.named[threadName{caller, ref.ClientID}]
	}
	t := m.threads[id]
	if t == nil || t.RoleOf(caller) < role {
		return nil, chat.ErrNotParticipant
	}
	if t.Deleted != 0 {
		return nil, chat.ErrThreadNotFound
	}
	return t, nil
}

func (m *memory) owned(caller chat.Owner, ref chat.ThreadRef, ifMatch []uint32) (*memoryThread, error) {
	t, err := m.find(caller, ref, chat.RoleOwner)
	if err == nil && ifMatch != nil && !slices.Contains(ifMatch, t.Revision) {
		return nil, chat.ErrPrecondition
	}
	return t, err
}

func (m *memory) live(caller chat.Owner, thread chat.ThreadRef, ref chat.MessageRef, role chat.Role) (*memoryThread, *chat.Message, error) {
	t, err := m.find(caller, thread, role)
	if err != nil {
		return nil, nil, err
	}
	msg, err := t.message(ref)
	if err != nil {
		return nil, nil, err
	}
	if msg.Deleted != 0 {
		return nil, nil, chat.ErrMessageNotFound
	}
	return t, msg, nil
}

func (m *memory) own(caller chat.Owner, thread chat.ThreadRef, ref chat.MessageRef, ifMatch []uint32) (*memoryThread, *chat.Message, error) {
	t, msg, err := m.live(caller, thread, ref, chat.RoleWriter)
	if err == nil && ifMatch != nil && !slices.Contains(ifMatch, msg.Revision) {
		return nil, nil, chat.ErrPrecondition
	}
	return t, msg, err
}

func ids(messages []*chat.Message) []chat.MessageID {
	var out []chat.MessageID
	for _, m := range messages {
		out = append(out, m.ID)
	}
	return out
}

// ready checks what a read asks for.
func (m *memory) ready(opts chat.ReadOptions) error {
	if min := opts.Min; min.Branch != "" && min.Branch != m.position().Branch {
		return chat.ErrOtherBranch
	}
	return nil
}

// Thread reads a thread.
func (m *memory) Thread(_ context.Context, caller chat.Owner, ref chat.ThreadRef, opts chat.ReadOptions) (*chat.Thread, chat.Position, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := m.ready(opts); err != nil {
		return nil, m.position(), err
	}
	t, err := m.find(caller, ref, chat.RoleReader)
	if err != nil {
		return nil, m.position(), err
	}
	copied := t.Thread
	return &copied, m.position(), nil
}

// Threads lists the caller's threads.
func (m *memory) Threads(_ context.Context, caller chat.Owner, q chat.ThreadQuery, opts chat.ReadOptions) (chat.ThreadPage, chat.Position, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := m.ready(opts); err != nil {
		return chat.ThreadPage{}, m.position(), err
	}
	var all []*chat.Thread
	for _, t := range m.threads {
		if t.Owner == caller {
			copied := t.Thread
			all = append(all, &copied)
		}
	}
	slices.SortFunc(all, func(a, b *chat.Thread) int {
		if q.SortBy == chat.ByUpdated && a.Updated != b.Updated {
			return cmp.Compare(b.Updated, a.Updated)
		}
		return cmp.Compare(b.ID.Time, a.ID.Time)
	})
	where := func(key string) int {
		return slices.IndexFunc(all, func(t *chat.Thread) bool { return t.ID.String() == key })
	}
	alive := func(i int) bool { return all[i].Deleted == 0 }
	picked, page, err := pick(len(all), q.Cursor, where, alive, false)
	out := chat.ThreadPage{Page: page}
	for _, i := range picked {
		out.Threads = append(out.Threads, all[i])
	}
	return out, m.position(), err
}

// Message reads a message.
func (m *memory) Message(_ context.Context, caller chat.Owner, thread chat.ThreadRef, ref chat.MessageRef, opts chat.ReadOptions) (*chat.Thread, *chat.Message, chat.Position, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := m.ready(opts); err != nil {
		return nil, nil, m.position(), err
	}
	t, msg, err := m.live(caller, thread, ref, chat.RoleReader)
	if err != nil {
		return nil, nil, m.position(), err
	}
	thisThread, thisMessage := t.Thread, *msg
	return &thisThread, &thisMessage, m.position(), nil
}

// Messages lists a thread's messages.
func (m *memory) Messages(_ context.Context, caller chat.Owner, ref chat.ThreadRef, q chat.MessageQuery, opts chat.ReadOptions) (chat.MessagePage, chat.Position, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := m.ready(opts); err != nil {
		return chat.MessagePage{}, m.position(), err
	}
	t, err := m.find(caller, ref, chat.RoleReader)
	if err != nil {
		return chat.MessagePage{}, m.position(), err
	}
	where := func(key string) int {
		return slices.IndexFunc(t.messages, func(m *chat.Message) bool { return m.ID.String() == key })
	}
	alive := func(i int) bool { return q.IncludeDeleted || t.messages[i].Deleted == 0 }
	picked, page, err := pick(len(t.messages), q.Cursor, where, alive, true)
	copied := t.Thread
	out := chat.MessagePage{Page: page, Thread: &copied}
	for _, i := range picked {
		msg := *t.messages[i]
		out.Messages = append(out.Messages, &msg)
	}
	return out, m.position(), err
}

// pick chooses a page from a list of n items. Without a cursor it is the list's end or
// its beginning.
func pick(n int, c chat.Cursor, where func(string) int, alive func(int) bool, fromEnd bool) ([]int, chat.Page, error) {
	var live []int
	for i := range n {
		if alive(i) {
			live = append(live, i)
		}
	}
	from, to := 0, len(live)
	if key := cmp.Or(c.Before, c.After, c.Anchor); key != "" {
		at := where(key)
		if at < 0 {
			return nil, chat.Page{}, chat.ErrUnknownAnchor
		}
		older, exact := slices.BinarySearch(live, at)
		newer := older
		if exact {
			newer++
		}
		switch {
		case c.Before != "":
			from, to = max(0, older-c.Limit), older
		case c.After != "":
			from, to = newer, min(len(live), newer+c.Limit)
		default:
			from, to = max(0, older-c.Limit), min(len(live), newer+c.Limit)
		}
	} else if fromEnd {
		from = max(0, to-c.Limit)
	} else {
		to = min(to, c.Limit)
	}
	return live[from:to], chat.Page{HasBefore: from > 0, HasAfter: to < len(live), Total: len(live)}, nil
}
