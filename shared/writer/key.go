package writer

import (
	"errors"
	"slices"

	"github.com/bobbindb/bobbin/shared/chat"
	"github.com/bobbindb/bobbin/shared/store"
)

// errNoKeyID: a command would put a key without an id in use.
var errNoKeyID = errors.New("user key without an id")

// useKey puts the caller's first user key in use. One that is in use stays: of several
// processes that make a user's first key at once, one wins, and the others use its key.
func (t *turn) useKey(a *chat.UseKey) (chat.Result, bool, error) {
	key := store.KeyOwner(t.digest(t.caller))
	o, ok, err := load(t.s, key, store.DecodeOwner)
	if err != nil {
		return chat.Result{}, false, err
	}
	if ok && o.Key != [16]byte{} {
		return chat.Result{Key: o.Key}, false, nil
	}
	if a.ID == [16]byte{} {
		return chat.Result{}, false, errNoKeyID
	}
	kek, err := store.GetKEK(t.s)
	if err != nil {
		return chat.Result{}, false, err
	}
	if slices.Contains(kek.Closed, a.KEK) {
		return chat.Result{}, false, chat.ErrKEKClosed
	}
	if !ok {
		o = &store.Owner{Owner: t.caller, Created: t.m.time}
		c, err := counters(t.s)
		if err != nil {
			return chat.Result{}, false, err
		}
		c.Owners++
		putCounters(t.s, c)
	}
	o.Key = a.ID
	put(t.s, key, o, store.EncodeOwner)
	return chat.Result{Key: o.Key}, true, nil
}
