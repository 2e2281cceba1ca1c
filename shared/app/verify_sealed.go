package app

import (
	"context"
	"errors"

	"github.com/bobbindb/bobbin/shared/chat"
	"github.com/bobbindb/bobbin/shared/keyring"
	"github.com/bobbindb/bobbin/shared/partition"
	"github.com/bobbindb/bobbin/shared/seal"
	"github.com/bobbindb/bobbin/shared/store"
)

// keys opens every key record, once. Those that are damaged are named, and what they
// close is not named besides. current is the KEK version in use.
func (v *verifier) keys(ctx context.Context, current keyring.Version) error {
	if v.report.Keys != nil {
		return nil
	}
	checked, err := v.sealing.keys.Check(ctx, current, func(key string, err error) {
		v.noted[key] = true
		v.note(key, "%s", describe(key, err))
	})
	if err != nil {
		return err
	}
	v.report.Keys = new(checked.Keys)
	return nil
}

// texts opens every text of a partition. A record that does not open is named by its own
// key; one whose author's key was erased is counted.
func (v *verifier) texts(ctx context.Context, view *partition.View) error {
	kek, err := store.GetKEK(view)
	if err != nil {
		return err
	}
	if err := v.keys(ctx, keyring.Version(kek.Current)); err != nil {
		return err
	}
	return view.EachThread(0, 1<<16-1, func(t *chat.Thread) error {
		_, err := v.service.OpenThread(ctx, t)
		if err := v.opened(t.ID.String(), err); err != nil {
			return err
		}
		return view.EachMessage(t, func(m *chat.Message) error {
			_, err := v.service.OpenMessage(ctx, t, m)
			if err := v.opened(m.ID.String(), err); err != nil || m.Revision == 0 {
				return err
			}
			return view.EachRevision(m, func(r *chat.Revision) error {
				_, err := v.service.OpenRevision(ctx, t, r)
				return v.opened(m.ID.String(), err)
			})
		})
	})
}

// opened counts a record whose texts were to be opened, and notes what is wrong with it.
func (v *verifier) opened(record string, err error) error {
	var failed *seal.UserKeyError
	switch byKey := errors.As(err, &failed); {
	case err == nil:
		v.sealed++
	case errors.Is(err, seal.ErrErased):
		v.erased++
	case byKey && errors.Is(err, seal.ErrDamaged), byKey && errors.Is(err, seal.ErrWrongKey):
		key := keyring.UserKey(v.hasher().Owner(failed.Author), failed.ID)
		if kek := (&keyring.KEKError{}); !v.noted[key] && errors.As(err, &kek) {
			key = keyring.KEKKey(kek.Version)
		}
		if !v.noted[key] {
			v.noted[key] = true
			v.note(key, "%s", describe(key, failed.Err))
		}
	case errors.Is(err, seal.ErrDamaged):
		v.note(record, "it does not open: its text, its name or its key was changed")
	default:
		return err
	}
	return nil
}
