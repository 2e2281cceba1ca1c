package chat

import (
	"errors"
	"time"
)

// Kind sorts errors by what a caller can do about them.
type Kind int

// The kinds of error. Internal is the zero value: whatever nobody classified is never
// shown to a client.
const (
	Internal        Kind = iota
	Invalid              // the request can never succeed as it stands
	Unauthenticated      // who is calling is not known
	Denied               // who is calling may not do this
	NotFound             // it is not there, or not there for this caller
	Conflict             // it contradicts what is there
	Precondition         // it was to happen only to another version
	TooLarge             // it is over a stated limit
	Busy                 // nothing was stored; try again later
	Unknown              // it may or may not have been stored
	TooOften             // the caller is to come again later
	Damaged              // what is stored is not what was stored
)

// Error is an answer in the domain's words. Text is what a client reads, exactly;
// Code is stable for programs.
type Error struct {
	Kind  Kind
	Code  string
	Text  string
	Retry time.Duration // for Busy, Unknown and TooOften: when to try again
	Err   error         // the cause, for the log only
}

// Error is the text and, for whoever reads a log, the cause.
func (e *Error) Error() string {
	if e.Err != nil {
		return e.Text + ": " + e.Err.Error()
	}
	return e.Text
}

// Unwrap is the cause.
func (e *Error) Unwrap() error { return e.Err }

// Is makes two errors of one code the same to errors.Is, whatever their cause.
func (e *Error) Is(target error) bool {
	t, ok := target.(*Error)
	return ok && t.Code == e.Code && t.Text == e.Text
}

// Because returns a copy of the error with its cause.
func (e *Error) Because(cause error) *Error {
	c := *e
	c.Err = cause
	return &c
}

// ErrDamaged says which record, by its key, is not what was stored. Nothing of it is
// given out.
func ErrDamaged(key string) *Error {
	return &Error{Kind: Damaged, Code: "sealed_record_damaged", Text: "sealed record damaged: " + key}
}

// KindOf classifies any error. What is not an *Error is Internal.
func KindOf(err error) Kind {
	var e *Error
	if errors.As(err, &e) {
		return e.Kind
	}
	return Internal
}

// The answers that the domain gives. Texts are part of the HTTP contract.
var (
	ErrThreadNotFound  = &Error{Kind: NotFound, Code: "thread_not_found", Text: "thread not found"}
	ErrMessageNotFound = &Error{Kind: NotFound, Code: "message_not_found", Text: "message not found"}
	ErrNotInThread     = &Error{Kind: NotFound, Code: "message_not_in_thread", Text: "message not found in thread"}
	ErrNotParticipant  = &Error{Kind: Denied, Code: "access_denied", Text: "access denied: not thread owner or participant"}
	ErrNotAuthor       = &Error{Kind: Denied, Code: "access_denied", Text: "access denied: not message author"}
	ErrWantThreadKey   = &Error{Kind: Invalid, Code: "wrong_key_kind", Text: "expected thread key, got message"}
	ErrWantMessageKey  = &Error{Kind: Invalid, Code: "wrong_key_kind", Text: "expected message key, got thread"}
	ErrTitleEmpty      = &Error{Kind: Invalid, Code: "validation_failed", Text: "validation errors: title: cannot be empty"}
	ErrBodyEmpty       = &Error{Kind: Invalid, Code: "validation_failed", Text: "validation errors: body: cannot be empty"}
	ErrClientID        = &Error{Kind: Invalid, Code: "validation_failed", Text: "validation errors: id: must be 1 to 128 characters of A-Za-z0-9._~@-"}
	ErrIDUsed          = &Error{Kind: Conflict, Code: "id_used", Text: "id already used"}
	ErrKeyReused       = &Error{Kind: Conflict, Code: "idempotency_key_reused", Text: "idempotency key reused"}
	ErrOtherBranch     = &Error{Kind: Conflict, Code: "position_of_another_branch", Text: "position of another branch"}
	ErrPrecondition    = &Error{Kind: Precondition, Code: "precondition_failed", Text: "precondition failed"}
	ErrKEKClosed       = &Error{Kind: Conflict, Code: "kek_closed", Text: "KEK version is closed to new keys"}
	ErrThreadFull      = &Error{Kind: Conflict, Code: "thread_full", Text: "thread is full"}
	ErrBusy            = &Error{Kind: Busy, Code: "busy", Text: "server busy; try again", Retry: time.Second}
	ErrFrozen          = &Error{Kind: Busy, Code: "frozen", Text: "store is frozen for maintenance", Retry: 5 * time.Second}
	ErrUnwritable      = &Error{Kind: Busy, Code: "store_unwritable", Text: "store cannot be written", Retry: 5 * time.Second}
	ErrUnavailable     = &Error{Kind: Busy, Code: "store_unavailable", Text: "store is unavailable; try again", Retry: time.Second}
	ErrKeysUnavailable = &Error{Kind: Busy, Code: "keys_unavailable", Text: "keys unavailable", Retry: time.Second}
	ErrUnknownOutcome  = &Error{Kind: Unknown, Code: "outcome_unknown", Retry: time.Second,
		Text: "outcome unknown; repeating the request with the same Idempotency-Key is safe"}
)

// invalid is an Invalid error with a text of its own.
func invalid(code, text string) *Error { return &Error{Kind: Invalid, Code: code, Text: text} }
