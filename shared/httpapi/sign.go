package httpapi

import (
	"encoding/json"
	"errors"
	"net/http"
	"time"
	"unicode"

	"github.com/bobbindb/bobbin/shared/chat"
)

// signRequest is the payload of sign-user.
type signRequest struct {
	UserID    string          `json:"userId"`
	ExpiresIn json.RawMessage `json:"expires_in"` // seconds
}

// maxSigned is the longest that an expiring signature lasts, in seconds: a year.
const maxSigned = 365 * 24 * 60 * 60

var errNoSigningKey = errors.New("no signing key is active")

// signUser signs a user's id, so that a front end can act for the user.
func (a *API) signUser(x *exchange) error {
	var in signRequest
	if err := x.decode(nil, &in, a.MaxBody, errSignPayload); err != nil {
		return err
	}
	lasts, err := in.check()
	if err != nil {
		return err
	}
	access := a.Access()
	if len(access.Signing) == 0 {
		return errNoSigningKey
	}
	signature := Sign(access.Signing[0], in.UserID)
	if lasts > 0 {
		signature = SignUntil(access.Signing[0], in.UserID, a.Now().Add(lasts))
	}
	x.out = appendText(append(x.out[:0], '{'), "signature", signature)
	x.out = append(appendText(x.out, "userId", in.UserID), '}')
	x.answer(http.StatusOK)
	return nil
}

// check says how long the signature is to last, 0 for ever.
func (in *signRequest) check() (time.Duration, error) {
	switch {
	case in.UserID == "":
		return 0, invalidUser("user ID cannot be empty")
	case len(in.UserID) > chat.MaxUserID:
		return 0, invalidUser("user ID too long (maximum 128 characters)")
	}
	for _, r := range in.UserID {
		if unicode.IsControl(r) {
			return 0, invalidUser("user ID contains invalid control characters")
		}
	}
	if isNull(in.ExpiresIn) {
		return 0, nil
	}
	seconds, ok := integer(in.ExpiresIn)
	switch {
	case !ok:
		return 0, fieldError("expires_in", "must be an integer")
	case seconds < 1 || seconds > maxSigned:
		return 0, fieldError("expires_in", "must be 1 to 31536000 seconds")
	}
	return time.Duration(seconds) * time.Second, nil
}

func invalidUser(what string) *chat.Error {
	return &chat.Error{Kind: chat.Invalid, Code: "invalid_user_id", Text: "invalid user ID: " + what}
}
