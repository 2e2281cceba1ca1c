package httpapi

import (
	"errors"
	"net/http"
	"time"
	"unicode"

	"github.com/bobbindb/bobbin/shared/chat"
)

// signRequest is the payload of sign-user.
type signRequest struct {
	UserID    string `json:"userId"`
	ExpiresIn *int64 `json:"expires_in"` // seconds
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
	if err := in.check(); err != nil {
		return err
	}
	access := a.Access()
	if len(access.Signing) == 0 {
		return errNoSigningKey
	}
	signature := Sign(access.Signing[0], in.UserID)
	if in.ExpiresIn != nil {
		signature = SignUntil(access.Signing[0], in.UserID, a.Now().Add(time.Duration(*in.ExpiresIn)*time.Second))
	}
	x.out = appendText(append(x.out[:0], '{'), "signature", signature)
	x.out = append(appendText(x.out, "userId", in.UserID), '}')
	x.answer(http.StatusOK)
	return nil
}

func (in *signRequest) check() error {
	switch {
	case in.UserID == "":
		return invalidUser("user ID cannot be empty")
	case len(in.UserID) > chat.MaxUserID:
		return invalidUser("user ID too long (maximum 128 characters)")
	case in.ExpiresIn != nil && (*in.ExpiresIn < 1 || *in.ExpiresIn > maxSigned):
		return fieldError("expires_in", "must be 1 to 31536000 seconds")
	}
	for _, r := range in.UserID {
		if unicode.IsControl(r) {
			return invalidUser("user ID contains invalid control characters")
		}
	}
	return nil
}

func invalidUser(what string) *chat.Error {
	return &chat.Error{Kind: chat.Invalid, Code: "invalid_user_id", Text: "invalid user ID: " + what}
}
