package writer

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/bobbindb/bobbin/shared/blob"
	"github.com/bobbindb/bobbin/shared/chat"
	"github.com/bobbindb/bobbin/shared/partition"
	"github.com/bobbindb/bobbin/shared/seal"
	"github.com/bobbindb/bobbin/shared/store"
)

// decider decides commands. It keeps nothing: a decision depends on the state, the
// command and the moment only.
type decider struct{ hasher chat.Hasher }

// moment is when a batch is decided.
type moment struct {
	seq        uint64 // of the commit that the batch becomes
	time       int64  // of that commit
	date       int64  // the newest Date of the bucket, not positive when there is none
	lastCommit int64  // the time of the commit before
}

// ahead is how far a clock may be ahead of the one it is compared with.
const ahead = blob.MaxSkew

// late is how much more than its lifetime a command may seem to have, for a sender
// whose clock is ahead of the bucket's.
const late = 2 * ahead

var (
	errPassed   = errors.New("the command's not-after has passed")
	errFarAhead = errors.New("the command's not-after is further ahead than a command lives")
)

// sealedError refuses every command of a branch that has ended.
type sealedError struct{ next string }

// Error names the branch in which it continues.
func (e *sealedError) Error() string {
	return fmt.Sprintf("%s: branch is sealed, next %q", chat.ErrUnwritable.Text, e.next)
}

// Unwrap is what a client is told, and why.
func (e *sealedError) Unwrap() []error { return []error{chat.ErrUnwritable, partition.ErrSealed} }

// decide decides one command on the scratch, which then holds what the command
// changed. When changed is false it holds what it held before, and the result or the
// refusal is true of that state. again says that the batch lost a race and is decided
// anew. The result's position is left to whoever commits.
func (d *decider) decide(s *scratch, cmd *chat.Command, m moment, again bool) (result chat.Result, changed bool, err error) {
	result, changed, err = d.answer(s, cmd, m, again)
	if err != nil {
		result, changed = chat.Result{}, false
	}
	if changed {
		s.keep()
	} else {
		s.drop()
	}
	return result, changed, err
}

func (d *decider) answer(s *scratch, cmd *chat.Command, m moment, again bool) (chat.Result, bool, error) {
	known, ok, err := findEntry(s, commandKeys(cmd, m.time))
	if ok || err != nil {
		return resultOf(known), false, err
	}
	if err := timely(cmd, m, again); err != nil {
		return chat.Result{}, false, err
	}
	known, ok, err = findEntry(s, idempotencyKeys(cmd, m.time))
	if err == nil && ok && !same(known.Request, cmd.Idempotency.Request) {
		err = chat.ErrKeyReused
	}
	if ok || err != nil {
		return resultOf(known), false, err
	}
	// A repeated answer stored nothing new: no window and no seal takes it back.
	if err := writable(s, m); err != nil {
		return chat.Result{}, false, err
	}
	t := &turn{hasher: d.hasher, s: s, m: m, caller: cmd.Caller}
	result, changed, err := t.act(cmd.Action)
	if err != nil {
		return result, false, err
	}
	switch cmd.Action.(type) {
	case *chat.Purge, *chat.UseKey:
		// They have one effect however often they come, without being remembered.
		forgot, err := forget(s, m)
		return result, changed || forgot, err
	}
	if !changed {
		return result, false, nil
	}
	return result, true, remember(s, cmd, m, result)
}

// writable refuses while the branch takes no writes. A window whose bound has passed
// is thawed by whoever writes first.
func writable(s *scratch, m moment) error {
	end, sealed, err := store.GetSeal(s)
	if err != nil {
		return err
	}
	if sealed {
		return &sealedError{next: end.Next}
	}
	freeze, frozen, err := store.GetFreeze(s)
	if err != nil || !frozen {
		return err
	}
	if left := time.Duration(freeze.Until - m.time); left > 0 {
		refusal := *chat.ErrFrozen
		refusal.Retry = (left + time.Second - 1).Truncate(time.Second)
		return &refusal
	}
	s.thaw()
	return nil
}

// timely refuses a command that is decided too late, for a twin of it may have been
// answered and forgotten, or that would have to be remembered for too long.
func timely(cmd *chat.Command, m moment, again bool) error {
	if m.date > 0 && cmd.NotAfter > m.date+int64(chat.Lifetime+late) {
		return chat.ErrBusy.Because(errFarAhead)
	}
	if cmd.NotAfter >= max(m.lastCommit, m.date) {
		return nil
	}
	// No twin was accepted before this; if one was since, its entry would be found
	// unless the quarter that holds it may be gone.
	earliest := cmd.NotAfter - int64(chat.Lifetime+late+ahead)
	if again || quarterOf(earliest)+1 < quarterOf(m.time) {
		return chat.ErrUnknownOutcome.Because(errPassed)
	}
	return chat.ErrBusy.Because(errPassed)
}

// lookedUp are the keys that the decision of a command begins with: those of its id, and
// the thread.
func lookedUp(cmd *chat.Command, now int64) [][]byte {
	keys := append(commandKeys(cmd, now), idempotencyKeys(cmd, now)...)
	var thread chat.ThreadRef
	switch a := cmd.Action.(type) {
	case *chat.PostMessages:
		thread = a.Thread
	case *chat.EditMessage:
		thread = a.Thread
	case *chat.DeleteMessage:
		thread = a.Thread
	case *chat.UndeleteMessage:
		thread = a.Thread
	case *chat.UpdateThread:
		thread = a.Thread
	case *chat.DeleteThread:
		thread = a.Thread
	case *chat.UndeleteThread:
		thread = a.Thread
	}
	if thread.ClientID == "" && thread.ID != (chat.ThreadID{}) {
		keys = append(keys, store.KeyThread(thread.ID))
	}
	return keys
}

func quarterOf(t int64) uint32 { return uint32(max(t, 0) / store.Quarter) }
func dayOf(t int64) uint32     { return uint32(max(t, 0) / store.Day) }

// commandKeys are where the command's first answer may be: in this quarter and the last.
func commandKeys(cmd *chat.Command, now int64) [][]byte {
	quarter := quarterOf(now)
	return [][]byte{store.KeyCommand(quarter, cmd.ID), store.KeyCommand(max(quarter, 1)-1, cmd.ID)}
}

// idempotencyKeys are where the first answer under the caller's key may be: today and
// yesterday.
func idempotencyKeys(cmd *chat.Command, now int64) [][]byte {
	if cmd.Idempotency == nil {
		return nil
	}
	day, key := dayOf(now), cmd.Idempotency.Key
	return [][]byte{store.KeyIdempotency(day, key), store.KeyIdempotency(max(day, 1)-1, key)}
}

// findEntry reads the first answer that is under one of the keys.
func findEntry(s *scratch, keys [][]byte) (*store.Entry, bool, error) {
	for _, key := range keys {
		if known, ok, err := store.GetEntry(s, key); ok || err != nil {
			return known, ok, err
		}
	}
	return nil, false, nil
}

// forget lets go of the answers of every period before the last, once a period has begun.
func forget(s *scratch, m moment) (forgot bool, err error) {
	c, err := counters(s)
	if err != nil {
		return false, err
	}
	if quarter := quarterOf(m.time); c.Quarter > 0 && quarter > c.Quarter {
		s.deleteRange(store.KeyCommand(0, chat.CommandID{}), store.KeyCommand(quarter-1, chat.CommandID{}))
		c.Quarter, forgot = quarter, true
	}
	if day := dayOf(m.time); c.Day > 0 && day > c.Day {
		s.deleteRange(store.KeyIdempotency(0, chat.Digest{}), store.KeyIdempotency(day-1, chat.Digest{}))
		c.Day, forgot = day, true
	}
	if forgot {
		putCounters(s, c)
	}
	return forgot, nil
}

// remember records the answer under the command's id and the caller's key.
func remember(s *scratch, cmd *chat.Command, m moment, result chat.Result) error {
	if _, err := forget(s, m); err != nil {
		return err
	}
	c, err := counters(s)
	if err != nil {
		return err
	}
	e := store.Entry{
		RequestID: cmd.RequestID,
		Seq:       m.seq,
		Thread:    result.Thread,
		Messages:  result.Messages,
		Revision:  result.Revision,
		Created:   result.Created,
	}
	quarter := quarterOf(m.time)
	s.set(store.KeyCommand(quarter, cmd.ID), store.EncodeEntry(&e))
	first := c.Quarter == 0
	c.Quarter = max(c.Quarter, quarter)
	if i := cmd.Idempotency; i != nil {
		day := dayOf(m.time)
		e.Request = i.Request
		s.set(store.KeyIdempotency(day, i.Key), store.EncodeEntry(&e))
		first = first || c.Day == 0
		c.Day = max(c.Day, day)
	}
	if first {
		putCounters(s, c)
	}
	return nil
}

// resultOf is the answer that an entry remembers.
func resultOf(e *store.Entry) chat.Result {
	if e == nil {
		return chat.Result{}
	}
	return chat.Result{Thread: e.Thread, Messages: e.Messages, Revision: e.Revision, Created: e.Created}
}

// same compares what is stored of two hashes.
func same(a, b chat.Digest) bool { return [16]byte(a[:16]) == [16]byte(b[:16]) }

func counters(s *scratch) (*store.Counters, error) {
	c, ok, err := load(s, store.KeyCounters(), func(b []byte) (*store.Counters, error) {
		c, err := store.DecodeCounters(b)
		return &c, err
	})
	if err == nil && !ok {
		c = &store.Counters{}
	}
	return c, err
}

func putCounters(s *scratch, c *store.Counters) {
	put(s, store.KeyCounters(), c, store.EncodeCounters)
}

// turn is one command being decided.
type turn struct {
	hasher chat.Hasher
	s      *scratch
	m      moment
	caller chat.Owner
}

// act decides an action: what it answers, whether it changed something, or why it is
// refused.
func (t *turn) act(a chat.Action) (chat.Result, bool, error) {
	switch a := a.(type) {
	case *chat.CreateThread:
		return t.createThread(a)
	case *chat.UpdateThread:
		return t.updateThread(a)
	case *chat.DeleteThread:
		return t.deleteThread(a)
	case *chat.UndeleteThread:
		return t.undeleteThread(a)
	case *chat.PostMessages:
		return t.postMessages(a)
	case *chat.EditMessage:
		return t.editMessage(a)
	case *chat.DeleteMessage:
		return t.deleteMessage(a)
	case *chat.UndeleteMessage:
		return t.undeleteMessage(a)
	case *chat.ImportThread:
		return t.importThread(a)
	case *chat.Purge:
		return t.purge(a)
	case *chat.UseKey:
		return t.useKey(a)
	}
	return chat.Result{}, false, fmt.Errorf("decide command: unknown action %T", a)
}

// digest is an owner's hash.
func (t *turn) digest(o chat.Owner) chat.Digest { return t.s.digest(t.hasher, o) }

// reindex turns the entries that a record implied into those that it implies.
func (t *turn) reindex(before, after []store.IndexEntry) {
	for _, e := range before {
		if !holds(after, e) {
			t.s.delete(e.Key)
		}
	}
	for _, e := range after {
		if !holds(before, e) {
			t.s.set(e.Key, e.Value)
		}
	}
}

// holds reports whether an entry is among some.
func holds(entries []store.IndexEntry, e store.IndexEntry) bool {
	for _, other := range entries {
		if string(other.Key) == string(e.Key) && string(other.Value) == string(e.Value) {
			return true
		}
	}
	return false
}

// tooFarAhead reports whether a time at which texts were sealed already is one that no
// sound clock shows yet.
func (t *turn) tooFarAhead(at int64) bool { return at > t.m.time+int64(ahead) }

// texts closes a draft for the name that was decided, or takes what came closed. A data
// key that came with it joins the thread's, and each text is counted under its key. The
// thread's record is to be written then.
func (t *turn) texts(th *chat.Thread, d *chat.Draft, message int64, revision uint32) (chat.Texts, error) {
	texts, key := d.Texts, d.Key
	if d.Seal != nil {
		var err error
		if texts, key, err = d.Seal(th.ID, message, revision, th.Keys); err != nil {
			return chat.Texts{}, fmt.Errorf("seal for %s: %w", th.ID, err)
		}
	}
	keys := slices.Clone(th.Keys) // the record that was read stays as it is
	if key != nil {
		switch i := slices.IndexFunc(keys, func(k chat.DataKey) bool { return k.ID == key.ID }); {
		case i < 0:
			keys = append(keys, *key)
		case keys[i].Author != key.Author || string(keys[i].Wrapped) != string(key.Wrapped):
			// Sealed beside somebody who took the key's number first: the time is
			// still allowed, the texts are to be sealed again.
			return chat.Texts{}, &chat.TimeError{Next: d.At}
		}
	}
	for _, text := range []chat.Sealed{texts.Title, texts.Slug, texts.Body, texts.Metadata} {
		if text == nil {
			continue
		}
		if err := count(keys, text); err != nil {
			return chat.Texts{}, fmt.Errorf("text for %s: %w", th.ID, err)
		}
	}
	th.Keys = keys
	return texts, nil
}

// count counts a text under its data key. What is not sealed under one of the thread's
// keys never gets into a log.
func count(keys []chat.DataKey, text chat.Sealed) error {
	id, err := seal.DataKeyID(text)
	if err != nil {
		return err
	}
	i := slices.IndexFunc(keys, func(k chat.DataKey) bool { return k.ID == id })
	if i < 0 {
		return fmt.Errorf("data key %d: %w", id, seal.ErrNoDataKey)
	}
	keys[i].Uses++
	return nil
}
