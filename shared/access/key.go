package access

import (
	"crypto/rand"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/bobbindb/bobbin/shared/blob"
)

// prefixes begin an API key, so that whoever finds one knows what it is.
var prefixes = map[Role]string{Frontend: "fk_", Backend: "bk_", Admin: "ak_"}

// NewKey is what is wanted of a key.
type NewKey struct {
	Role    Role
	Tenant  string
	Name    string
	Expires time.Time // zero for never
}

// Create adds a key made now, and returns it with the secret, which is kept nowhere.
func (l *List) Create(want NewKey, now time.Time) (Key, string) {
	secret := prefixes[want.Role] + strings.ToLower(rand.Text()+rand.Text())
	return l.Add(want, secret, now), secret
}

// Add adds a key whose secret is known already. One that is there is left as it is.
func (l *List) Add(want NewKey, secret string, now time.Time) Key {
	hash := HashOf(secret)
	if i := slices.IndexFunc(l.Keys, func(k Key) bool { return Hash(k.Hash) == hash }); i >= 0 {
		return l.Keys[i]
	}
	k := Key{
		ID: "key_" + blob.Nonce(12), Name: want.Name, Role: want.Role, Tenant: want.Tenant,
		Hash: hash[:], Created: now.UnixNano(),
	}
	if !want.Expires.IsZero() {
		k.Expires = want.Expires.UnixNano()
	}
	l.Keys = append(l.Keys, k)
	return k
}

// Revoke ends a key now. The last key of an operator is kept: without one nobody could
// make another. A key that is revoked already stays so.
func (l *List) Revoke(id string, now time.Time) error {
	k, err := l.find(id)
	if err != nil {
		return err
	}
	if k.Revoked != 0 {
		return nil
	}
	if k.Role == Admin && k.Active(now) && l.admins(now) == 1 {
		return fmt.Errorf("key %s: %w", id, ErrLastKey)
	}
	k.Revoked = now.UnixNano()
	return nil
}

// Rotate makes a key that may do what another may, and lets that one expire once
// overlap has passed; one that expires sooner keeps its time.
func (l *List) Rotate(id string, overlap time.Duration, now time.Time) (Key, string, error) {
	old, err := l.find(id)
	if err != nil {
		return Key{}, "", err
	}
	if !old.Active(now) {
		return Key{}, "", fmt.Errorf("key %s is over: %w", id, ErrUnknownKey)
	}
	if until := now.Add(overlap).UnixNano(); old.Expires == 0 || old.Expires > until {
		old.Expires = until
	}
	made, secret := l.Create(NewKey{Role: old.Role, Tenant: old.Tenant, Name: old.Name}, now)
	return made, secret, nil
}

// Used notes that a key was used on now's day. It reports whether that was news.
func (l *List) Used(id string, now time.Time) bool {
	k, err := l.find(id)
	day := now.UTC().Format(time.DateOnly)
	if err != nil || k.LastUsed >= day {
		return false
	}
	k.LastUsed = day
	return true
}

// find returns the key of an id, to be changed in place.
func (l *List) find(id string) (*Key, error) {
	for i := range l.Keys {
		if l.Keys[i].ID == id {
			return &l.Keys[i], nil
		}
	}
	return nil, fmt.Errorf("key %s: %w", id, ErrUnknownKey)
}

// admins counts the operators' keys that open something.
func (l *List) admins(now time.Time) int {
	n := 0
	for i := range l.Keys {
		if l.Keys[i].Role == Admin && l.Keys[i].Active(now) {
			n++
		}
	}
	return n
}
