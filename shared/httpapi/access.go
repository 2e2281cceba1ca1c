package httpapi

import (
	"crypto/hmac"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/bobbindb/bobbin/shared/chat"
)

// Role is what an API key may do.
type Role byte

// The roles of an API key.
const (
	Frontend Role = 1 // acts for the user whose signature comes with the request
	Backend  Role = 2 // acts for whatever user it names
	Admin    Role = 3 // operates the store and acts for nobody
)

// mayEnter reports whether the role may use a room.
func (r Role) mayEnter(in room) bool {
	switch in {
	case frontend:
		return r == Frontend || r == Backend
	case backend:
		return r == Backend
	case admin:
		return r == Admin
	}
	return false
}

// Grant is what an API key stands for.
type Grant struct {
	Role   Role
	Tenant string
}

// KeyHash is the SHA-256 of an API key. Keys are looked for by their hash, so that the
// time it takes says nothing about a key.
type KeyHash [sha256.Size]byte

// HashKey returns the key's hash.
func HashKey(key string) KeyHash { return sha256.Sum256([]byte(key)) }

// Access is who may call, as of now. It is never changed, only replaced.
type Access struct {
	Grants  map[KeyHash]Grant
	Signing [][]byte // active signing keys; the first one signs, any verifies

	// RequireExpiry refuses signatures that never expire.
	RequireExpiry bool
}

// lookup finds what the request's API key stands for.
func (a *Access) lookup(h http.Header) (KeyHash, Grant, bool) {
	key, ok := bearer(sole(h["Authorization"]))
	if !ok {
		key = sole(h["X-Api-Key"])
	}
	if key == "" {
		return KeyHash{}, Grant{}, false
	}
	hash := HashKey(key)
	grant, ok := a.Grants[hash]
	return hash, grant, ok
}

// bearer takes the key from an Authorization header, if it is well-formed.
func bearer(header string) (string, bool) {
	const scheme = "Bearer "
	if len(header) <= len(scheme) || !strings.EqualFold(header[:len(scheme)], scheme) {
		return "", false
	}
	key := strings.Trim(header[len(scheme):], " ")
	return key, key != "" && !strings.ContainsAny(key, " \t\n")
}

// enter finds out whether the key's role may use a room, and for whom.
func (x *exchange) enter(in room, access *Access) error {
	if !x.grant.Role.mayEnter(in) {
		return errForbidden
	}
	return x.identify(access)
}

// identify finds out which user is calling. For a frontend key the user must be
// signed; a backend key may name any, and whether it named one is checked where a
// user is needed.
func (x *exchange) identify(access *Access) error {
	user := sole(x.r.Header["X-User-Id"])
	switch x.grant.Role {
	case Frontend:
		if err := access.verify(user, sole(x.r.Header["X-User-Signature"]), x.api.Now()); err != nil {
			return err
		}
		if author := sole(x.params("author")); author != "" && author != user {
			return errAuthorMismatch
		}
	case Backend:
		if user == "" {
			user = sole(x.params("author"))
		}
	}
	x.user = user
	return nil
}

const expiringPrefix = "v1."

// verify checks that a user's signature was made with an active signing key.
func (a *Access) verify(user, signature string, now time.Time) error {
	if signature == "" {
		return errSignatureRequired
	}
	if user == "" {
		return errMissingUser
	}
	rest, expiring := strings.CutPrefix(signature, expiringPrefix)
	if !expiring {
		if a.RequireExpiry || !a.signedBy(user, signature) {
			return errInvalidSignature
		}
		return nil
	}
	until, mac, ok := strings.Cut(rest, ".")
	expires, err := strconv.ParseInt(until, 10, 64)
	if !ok || err != nil || !a.signedBy(expiringText(until, user), mac) {
		return errInvalidSignature
	}
	if now.Unix() >= expires {
		return errSignatureExpired
	}
	return nil
}

// signedBy reports whether mac is the text's signature under any active key. It tries
// them all, each in constant time.
func (a *Access) signedBy(text, mac string) bool {
	found := 0
	for _, key := range a.Signing {
		want := sign(key, text)
		found |= subtle.ConstantTimeCompare(want[:], []byte(mac))
	}
	return found == 1
}

// sign returns the lower-case hex HMAC-SHA-256 of a text.
func sign(key []byte, text string) [2 * sha256.Size]byte {
	mac := hmac.New(sha256.New, key)
	mac.Write([]byte(text))
	var sum [sha256.Size]byte
	var out [2 * sha256.Size]byte
	hex.Encode(out[:], mac.Sum(sum[:0]))
	return out
}

// Sign returns the signature of a user that never expires.
func Sign(key []byte, user string) string {
	s := sign(key, user)
	return string(s[:])
}

// SignUntil returns the signature of a user that is good until the time given.
func SignUntil(key []byte, user string, until time.Time) string {
	unix := strconv.FormatInt(until.Unix(), 10)
	s := sign(key, expiringText(unix, user))
	return expiringPrefix + unix + "." + string(s[:])
}

// expiringText is what an expiring signature signs.
func expiringText(unix, user string) string { return "v1\n" + unix + "\n" + user }

// caller is the owner for whom the request acts.
func (x *exchange) caller() (chat.Owner, error) {
	switch {
	case x.user == "":
		return chat.Owner{}, errAuthorRequired
	case len(x.user) > chat.MaxUserID:
		return chat.Owner{}, errAuthorTooLong
	case !printable(x.user):
		return chat.Owner{}, errAuthorInvalid
	}
	return chat.Owner{Tenant: x.grant.Tenant, User: x.user}, nil
}

// sole is the value of something that says who is calling. Given twice it is neither
// value: whoever stands before the store may have believed the other one. The line
// break between them is in no key, signature or user.
func sole(values []string) string {
	if len(values) == 1 {
		return values[0]
	}
	return strings.Join(values, "\n")
}

// first is a header's first value. The name must be in canonical form.
func first(h http.Header, canonical string) string {
	if v := h[canonical]; len(v) > 0 {
		return v[0]
	}
	return ""
}
