package app

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/bobbindb/bobbin/shared/chat"
	"github.com/bobbindb/bobbin/shared/keyring"
	"github.com/bobbindb/bobbin/shared/replica"
	"github.com/bobbindb/bobbin/shared/seal"
)

// Owners is where a store's log says which user keys are in use: it is read like a
// thread, and a key is put in use by a command.
type Owners struct {
	Reader *replica.Replica
	Writer chat.Writer // nil in a process that writes nothing
	Hasher chat.Hasher
	Now    func() time.Time
	NewID  func() chat.CommandID
}

var _ keyring.Owners = (*Owners)(nil)

var errReadOnly = errors.New("this process writes nothing")

// Key implements keyring.Owners.
func (o *Owners) Key(ctx context.Context, owner chat.Owner) (keyring.InUse, error) {
	return o.Reader.KeyInUse(ctx, owner)
}

// Use implements keyring.Owners.
func (o *Owners) Use(ctx context.Context, owner chat.Owner, id seal.KeyID, kek keyring.Version) (seal.KeyID, error) {
	if o.Writer == nil {
		return seal.KeyID{}, errReadOnly
	}
	result, err := o.Writer.Do(ctx, &chat.Command{
		ID:       o.NewID(),
		Caller:   owner,
		Slot:     o.Hasher.Owner(owner).Slot(),
		NotAfter: o.Now().Add(chat.Lifetime).UnixNano(),
		Action:   &chat.UseKey{ID: id, KEK: uint32(kek)},
	})
	if errors.Is(err, chat.ErrKEKClosed) {
		err = fmt.Errorf("KEK %s: %w", kek, keyring.ErrClosedKEK)
	}
	return result.Key, err
}
