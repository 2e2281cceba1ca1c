package access

import (
	"context"
	"crypto/rand"
	"fmt"
	"strings"
	"time"

	"github.com/bobbindb/bobbin/shared/blob"
)

// Sealer closes and opens a signing key under the name that the list has for it.
type Sealer interface {
	// SealSecret closes a secret.
	SealSecret(ctx context.Context, name string, secret []byte) ([]byte, error)

	// OpenSecret opens what SealSecret closed under the same name. Under another it
	// fails.
	OpenSecret(ctx context.Context, name string, sealed []byte) ([]byte, error)
}

// NewSigningKey makes a signing key and seals it. It is in no list yet.
func NewSigningKey(ctx context.Context, s Sealer, now time.Time) (SigningKey, error) {
	return SealSigningKey(ctx, s, "sk_"+strings.ToLower(rand.Text()+rand.Text()), now)
}

// SealSigningKey seals a signing key that is known already.
func SealSigningKey(ctx context.Context, s Sealer, secret string, now time.Time) (SigningKey, error) {
	k := SigningKey{ID: "sign_" + blob.Nonce(12), Created: now.UnixNano()}
	sealed, err := s.SealSecret(ctx, secretName(k.ID), []byte(secret))
	if err != nil {
		return SigningKey{}, fmt.Errorf("seal signing key %s: %w", k.ID, err)
	}
	k.Sealed = sealed
	return k, nil
}

// Open opens the key.
func (k *SigningKey) Open(ctx context.Context, s Sealer) ([]byte, error) {
	secret, err := s.OpenSecret(ctx, secretName(k.ID), k.Sealed)
	if err != nil {
		return nil, fmt.Errorf("open signing key %s: %w", k.ID, err)
	}
	return secret, nil
}

// secretName is what a signing key is sealed as.
func secretName(id string) string { return "signing/" + id }

// RotateSigning makes k the key that signs, and lets all others expire once overlap has
// passed; what expires sooner keeps its time.
func (l *List) RotateSigning(k SigningKey, overlap time.Duration, now time.Time) {
	until := now.Add(overlap).UnixNano()
	for i := range l.Signing {
		if old := &l.Signing[i]; old.Expires == 0 || old.Expires > until {
			old.Expires = until
		}
	}
	l.Signing = append(l.Signing, k)
}

// RevokeSigning takes a signing key out of the list: whatever it signed is invalid
// within a minute. The last active one is kept.
func (l *List) RevokeSigning(id string, now time.Time) error {
	kept := make([]SigningKey, 0, len(l.Signing))
	active := 0
	for _, k := range l.Signing {
		if k.ID == id {
			continue
		}
		kept = append(kept, k)
		if k.Active(now) {
			active++
		}
	}
	switch {
	case len(kept) == len(l.Signing):
		return fmt.Errorf("key %s: %w", id, ErrUnknownKey)
	case active == 0:
		return fmt.Errorf("key %s: %w", id, ErrLastKey)
	}
	l.Signing = kept
	return nil
}
