package s3blob

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/smithy-go"
	"github.com/aws/smithy-go/middleware"
	smithyhttp "github.com/aws/smithy-go/transport/http"

	"github.com/bobbindb/bobbin/shared/blob"
)

// verdicts says what the service's error codes mean, where the status does not say it
// well. Codes are those of the S3 API reference, "Error responses".
var verdicts = map[string]error{
	"NoSuchKey":                  blob.ErrNotExist,
	"PreconditionFailed":         blob.ErrExists,
	"ConditionalRequestConflict": blob.ErrUnavailable,
	"OperationAborted":           blob.ErrUnavailable,

	// The request was refused as a whole, and would be again.
	"AccessDenied":          blob.ErrDenied,
	"AccountProblem":        blob.ErrDenied,
	"AllAccessDisabled":     blob.ErrDenied,
	"ExpiredToken":          blob.ErrDenied,
	"InvalidAccessKeyId":    blob.ErrDenied,
	"InvalidToken":          blob.ErrDenied,
	"SignatureDoesNotMatch": blob.ErrDenied,

	// The service cannot take the object.
	"EntityTooLarge":            blob.ErrNotStored,
	"InsufficientStorage":       blob.ErrNotStored,
	"KeyTooLongError":           blob.ErrNotStored,
	"NoSuchBucket":              blob.ErrNotStored,
	"NotImplemented":            blob.ErrNotStored,
	"QuotaExceeded":             blob.ErrNotStored,
	"XMinioStorageFull":         blob.ErrNotStored,
	"PermanentRedirect":         blob.ErrNotStored,
	"IllegalLocationConstraint": blob.ErrNotStored,

	// It would do better if tried again.
	"BadDigest":                   blob.ErrUnavailable,
	"IncompleteBody":              blob.ErrUnavailable,
	"InternalError":               blob.ErrUnavailable,
	"RequestTimeTooSkewed":        blob.ErrUnavailable,
	"RequestTimeout":              blob.ErrUnavailable,
	"ServiceUnavailable":          blob.ErrUnavailable,
	"SlowDown":                    blob.ErrUnavailable,
	"XAmzContentChecksumMismatch": blob.ErrUnavailable,
}

// op is a kind of call, as errors name it.
type op string

const (
	opGet    op = "get"
	opPut    op = "put"
	opList   op = "list"
	opDelete op = "delete"
)

// fail is the error of a call that ended in err. ctx is the caller's own: when that is
// over, its end is the error. The Date comes from the service's answer, if there was one.
func (b *Bucket) fail(ctx context.Context, what op, key string, err error) (time.Time, error) {
	date := dateOf(err)
	if ctx.Err() != nil {
		return date, fmt.Errorf("%s %s: %w", what, key, ctx.Err())
	}
	verdict := verdictOn(err)
	if errors.Is(verdict, blob.ErrNotStored) && what != opPut {
		verdict = blob.ErrUnavailable // Nothing was to be stored.
	}
	if errors.Is(verdict, blob.ErrNotExist) && what == opPut {
		verdict = blob.ErrExists // If-Match met no object at all.
	}
	return date, fmt.Errorf("%s %s: %w: %s", what, key, verdict, detail(err))
}

// verdictOn says which of blob's errors an error of the SDK is.
func verdictOn(err error) error {
	var api smithy.APIError
	if errors.As(err, &api) {
		if verdict, ok := verdicts[api.ErrorCode()]; ok {
			return verdict
		}
	}
	var answer *smithyhttp.ResponseError
	if !errors.As(err, &answer) {
		return blob.ErrUnavailable
	}
	return verdictOnStatus(answer.HTTPStatusCode())
}

// verdictOnStatus says what an answer means that has no code, or one that is not known. A
// 404 is not among them: it may be of a proxy, or about an account, and taken for an
// object that is absent it would be the end of a log.
func verdictOnStatus(status int) error {
	switch status {
	case http.StatusPreconditionFailed:
		return blob.ErrExists
	case http.StatusUnauthorized, http.StatusForbidden:
		return blob.ErrDenied
	case http.StatusRequestEntityTooLarge, http.StatusNotImplemented, http.StatusInsufficientStorage:
		return blob.ErrNotStored
	}
	return blob.ErrUnavailable
}

// detail is what the service said, without the SDK's words around it.
func detail(err error) string {
	if errors.Is(err, context.Canceled) {
		return errSlow.Error() // The caller's own context is not over.
	}
	var api smithy.APIError
	var answer *awshttp.ResponseError
	if errors.As(err, &api) && errors.As(err, &answer) {
		return fmt.Sprintf("%d %s: %s (request %s)", answer.HTTPStatusCode(), api.ErrorCode(), api.ErrorMessage(), answer.ServiceRequestID())
	}
	var sending *smithyhttp.RequestSendError
	if errors.As(err, &sending) {
		return sending.Err.Error()
	}
	return err.Error()
}

// dateOf is the Date of the answer that an error came with; zero without one.
func dateOf(err error) time.Time {
	var answer *smithyhttp.ResponseError
	if !errors.As(err, &answer) || answer.Response == nil {
		return time.Time{}
	}
	return headerDate(answer.Response.Header)
}

// dateIn is the Date of an answer; zero without one.
func dateIn(m middleware.Metadata) time.Time {
	answer, ok := middlewareResponse(m)
	if !ok {
		return time.Time{}
	}
	return headerDate(answer.Header)
}

func headerDate(h http.Header) time.Time {
	date, err := http.ParseTime(h.Get("Date"))
	if err != nil {
		return time.Time{}
	}
	return date
}
