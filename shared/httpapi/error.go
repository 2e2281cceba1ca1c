package httpapi

import (
	"context"
	"errors"
	"log/slog"
	"math"
	"net/http"
	"strconv"

	"github.com/bobbindb/bobbin/shared/chat"
	"github.com/bobbindb/bobbin/shared/telemetry"
)

// statuses maps each kind of error to its status. A kind that is not here is internal.
var statuses = map[chat.Kind]int{
	chat.Internal:        http.StatusInternalServerError,
	chat.Invalid:         http.StatusBadRequest,
	chat.Unauthenticated: http.StatusUnauthorized,
	chat.Denied:          http.StatusForbidden,
	chat.NotFound:        http.StatusNotFound,
	chat.Conflict:        http.StatusConflict,
	chat.Precondition:    http.StatusPreconditionFailed,
	chat.TooLarge:        http.StatusRequestEntityTooLarge,
	chat.Busy:            http.StatusServiceUnavailable,
	chat.Unknown:         http.StatusServiceUnavailable,
	chat.TooOften:        http.StatusTooManyRequests,
	chat.Damaged:         http.StatusInternalServerError,
}

// The answers that are HTTP's own. Texts are part of the contract.
var (
	errInternal          = &chat.Error{Kind: chat.Internal, Code: "internal", Text: "internal error"}
	errNotFound          = &chat.Error{Kind: chat.NotFound, Code: "not_found", Text: "not found"}
	errNotReady          = &chat.Error{Kind: chat.Busy, Code: "not_ready", Text: "not ready"}
	errUnauthorized      = &chat.Error{Kind: chat.Unauthenticated, Code: "unauthorized", Text: "unauthorized"}
	errForbidden         = &chat.Error{Kind: chat.Denied, Code: "forbidden", Text: "forbidden"}
	errSignatureRequired = &chat.Error{Kind: chat.Unauthenticated, Code: "signature_required", Text: "signature required"}
	errMissingUser       = &chat.Error{Kind: chat.Unauthenticated, Code: "missing_user", Text: "missing user id"}
	errInvalidSignature  = &chat.Error{Kind: chat.Unauthenticated, Code: "invalid_signature", Text: "invalid signature"}
	errSignatureExpired  = &chat.Error{Kind: chat.Unauthenticated, Code: "signature_expired", Text: "signature expired"}
	errAuthorMismatch    = &chat.Error{Kind: chat.Denied, Code: "author_mismatch", Text: "author mismatch between signature and query param"}
	errAuthorRequired    = &chat.Error{Kind: chat.Invalid, Code: "author_required", Text: "author required for backend requests"}
	errAuthorTooLong     = &chat.Error{Kind: chat.Invalid, Code: "author_too_long", Text: "author too long"}
	errAuthorInvalid     = &chat.Error{Kind: chat.Invalid, Code: "author_invalid", Text: "author contains invalid characters"}
	errRateLimit         = &chat.Error{Kind: chat.TooOften, Code: "rate_limited", Text: "rate limit exceeded"}
	errTooLarge          = &chat.Error{Kind: chat.TooLarge, Code: "payload_too_large", Text: "payload too large"}

	errThreadPayload        = invalidPayload("invalid thread payload")
	errThreadUpdatePayload  = invalidPayload("invalid thread update payload")
	errMessagePayload       = invalidPayload("invalid message payload")
	errMessageUpdatePayload = invalidPayload("invalid message update payload")
	errSignPayload          = invalidPayload("invalid JSON payload")
	errImportPayload        = invalidPayload("invalid import payload")
)

func invalidPayload(text string) *chat.Error {
	return &chat.Error{Kind: chat.Invalid, Code: "invalid_payload", Text: text}
}

// fieldError says what is wrong with one field of a request.
func fieldError(field, what string) *chat.Error {
	return &chat.Error{Kind: chat.Invalid, Code: "validation_failed", Text: "validation errors: " + field + ": " + what}
}

// fail answers with an error. What is internal goes to the log and is not shown.
func (x *exchange) fail(err error) {
	e := x.classify(err)
	status := statuses[e.Kind]
	x.logFailure(status, err)
	if x.status != 0 {
		return // an answer is under way; it cannot be taken back
	}
	if e.Kind == chat.Busy || e.Kind == chat.Unknown || e.Kind == chat.TooOften {
		retry := max(1, int(math.Ceil(e.Retry.Seconds())))
		x.w.Header().Set("Retry-After", strconv.Itoa(retry))
	}
	x.out = append(x.out[:0], `{"error":`...)
	x.out = appendString(x.out, e.Text)
	x.out = append(x.out, `,"code":`...)
	x.out = appendString(x.out, e.Code)
	x.out = append(x.out, `,"request_id":`...)
	x.out = appendString(x.out, x.id)
	x.out = append(x.out, '}')
	x.answer(status)
}

// classify finds the answer in an error. A caller who stopped waiting learns no more
// than that: a change may still happen.
func (x *exchange) classify(err error) *chat.Error {
	var e *chat.Error
	switch {
	case errors.As(err, &e):
		if _, known := statuses[e.Kind]; known && e.Kind != chat.Internal {
			return e
		}
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		if x.r.Method == http.MethodGet || x.r.Method == http.MethodHead {
			return chat.ErrUnavailable
		}
		return chat.ErrUnknownOutcome
	}
	return errInternal
}

// logFailure logs what an operator should see: never a refusal, which is the
// caller's own affair, as it is to leave before the answer.
func (x *exchange) logFailure(status int, err error) {
	level := slog.LevelDebug
	switch {
	case status == http.StatusServiceUnavailable && x.r.Context().Err() != nil:
	case status == http.StatusServiceUnavailable:
		level = slog.LevelWarn
	case status >= http.StatusInternalServerError:
		level = slog.LevelError
	}
	x.api.Log.LogAttrs(x.r.Context(), level, "request failed",
		telemetry.RequestID(x.id), slog.String("route", x.route), slog.Int("status", status), slog.Any("cause", err))
}
