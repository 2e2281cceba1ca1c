package replica

import (
	"context"

	"github.com/bobbindb/bobbin/shared/chat"
	"github.com/bobbindb/bobbin/shared/keyring"
	"github.com/bobbindb/bobbin/shared/partition"
	"github.com/bobbindb/bobbin/shared/seal"
	"github.com/bobbindb/bobbin/shared/store"
)

// KeyInUse says which user key an owner has in use, and which KEK version wraps a new one, by
// a strong read.
func (r *Replica) KeyInUse(ctx context.Context, owner chat.Owner) (keyring.InUse, error) {
	digest := r.Hasher.Owner(owner)
	var in keyring.InUse
	_, err := r.read(ctx, digest.Slot(), chat.ReadOptions{}, func(v *partition.View) error {
		o, ok, err := store.GetOwner(v, digest)
		if err != nil {
			return err
		}
		kek, err := store.GetKEK(v)
		if err != nil {
			return err
		}
		in = keyring.InUse{KEK: keyring.Version(kek.Current)}
		if ok {
			in.ID = seal.KeyID(o.Key)
		}
		return nil
	})
	return in, err
}
