package s3blob

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"net/http"
	"strconv"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	awsmiddleware "github.com/aws/aws-sdk-go-v2/aws/middleware"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
	"github.com/aws/smithy-go/middleware"
	smithyhttp "github.com/aws/smithy-go/transport/http"

	"github.com/bobbindb/bobbin/shared/blob"
)

// middlewareResponse is the answer as HTTP has it.
func middlewareResponse(m middleware.Metadata) (*smithyhttp.Response, bool) {
	answer, ok := awsmiddleware.GetRawResponse(m).(*smithyhttp.Response)
	return answer, ok
}

// Get implements blob.Bucket. The body's checksum is compared with the one that the
// object was stored with.
func (b *Bucket) Get(ctx context.Context, key string) (blob.Object, error) {
	if err := errors.Join(ctx.Err(), blob.CheckKey(key)); err != nil {
		return blob.Object{}, fmt.Errorf("get %s: %w", key, err)
	}
	whole, err := b.get(ctx, key, &s3.GetObjectInput{ChecksumMode: types.ChecksumModeEnabled})
	return whole.Object, err
}

// GetRange implements blob.Bucket.
func (b *Bucket) GetRange(ctx context.Context, key string, offset, size int64) (blob.Object, error) {
	if err := errors.Join(ctx.Err(), blob.CheckKey(key)); err != nil {
		return blob.Object{}, fmt.Errorf("get %s: %w", key, err)
	}
	if offset < 0 || size < 0 {
		return blob.Object{}, fmt.Errorf("get %s: range of %d bytes from %d", key, size, offset)
	}
	last := int64(math.MaxInt64)
	if size <= math.MaxInt64-offset {
		last = offset + max(size, 1) - 1 // HTTP has no range of no bytes.
	}
	part, err := b.get(ctx, key, &s3.GetObjectInput{Range: aws.String(fmt.Sprintf("bytes=%d-%d", offset, last))})
	if err != nil {
		return part.Object, err
	}
	// A service may send all of an object for a part of it, and a cache between may send
	// another part.
	skip := offset - part.from
	if skip < 0 {
		return blob.Object{}, fmt.Errorf("get %s: %w: bytes from %d came, not from %d", key, blob.ErrUnavailable, part.from, offset)
	}
	part.Body = part.Body[min(skip, int64(len(part.Body))):]
	part.Body = part.Body[:min(size, int64(len(part.Body)))]
	return part.Object, nil
}

// part is what came of an object, and where in it that begins.
type part struct {
	blob.Object
	from int64
}

// get sends a GET and reads what comes.
func (b *Bucket) get(ctx context.Context, key string, in *s3.GetObjectInput) (part, error) {
	limited, d := b.deadline(ctx, 0)
	defer d.done()
	in.Bucket, in.Key = aws.String(b.name), aws.String(b.prefix+key)
	out, err := b.client.GetObject(limited, in, thrice)
	if isPastEnd(err) {
		object, err := b.head(ctx, key)
		return part{Object: object}, err
	}
	if err != nil {
		date, err := b.fail(ctx, opGet, key, err)
		return part{Object: blob.Object{Info: blob.Info{Date: date}}}, err
	}
	defer out.Body.Close()
	length := aws.ToInt64(out.ContentLength)
	d.extend(length)
	body := make([]byte, length)
	if _, err := io.ReadFull(out.Body, body); err != nil {
		_, err := b.fail(ctx, opGet, key, fmt.Errorf("after the answer began: %w", err))
		return part{}, err
	}
	// The end of the body is where its checksum is compared.
	if n, err := out.Body.Read(make([]byte, 1)); n > 0 || err != nil && !errors.Is(err, io.EOF) {
		_, err := b.fail(ctx, opGet, key, fmt.Errorf("at the end of the body: %w", err))
		return part{}, err
	}
	from, size, err := parseRange(aws.ToString(out.ContentRange), length)
	if err != nil {
		return part{}, fmt.Errorf("get %s: %w: %w", key, blob.ErrUnavailable, err)
	}
	info := blob.Info{ETag: blob.ETag(aws.ToString(out.ETag)), Size: size, Date: dateIn(out.ResultMetadata)}
	return part{Object: blob.Object{Info: info, Body: body}, from: from}, nil
}

// isPastEnd reports whether a range was refused for beginning past the end.
func isPastEnd(err error) bool {
	var answer *smithyhttp.ResponseError
	return errors.As(err, &answer) && answer.HTTPStatusCode() == http.StatusRequestedRangeNotSatisfiable
}

// head reads what there is to say about an object of which no bytes were asked for. An
// answer without a body cannot say that the object is absent so that it counts: whoever
// reads again is told by a GET.
func (b *Bucket) head(ctx context.Context, key string) (blob.Object, error) {
	limited, d := b.deadline(ctx, 0)
	defer d.done()
	out, err := b.client.HeadObject(limited, &s3.HeadObjectInput{Bucket: aws.String(b.name), Key: aws.String(b.prefix + key)}, thrice)
	if err != nil {
		date, err := b.fail(ctx, opGet, key, err)
		return blob.Object{Info: blob.Info{Date: date}}, err
	}
	return blob.Object{Info: blob.Info{
		ETag: blob.ETag(aws.ToString(out.ETag)),
		Size: aws.ToInt64(out.ContentLength),
		Date: dateIn(out.ResultMetadata),
	}}, nil
}

// parseRange reads "bytes 10-19/100": where what came begins, and the size of the whole.
// Without a range all of it came.
func parseRange(contentRange string, length int64) (from, size int64, err error) {
	if contentRange == "" {
		return 0, length, nil
	}
	span, total, _ := strings.Cut(strings.TrimPrefix(contentRange, "bytes "), "/")
	first, _, _ := strings.Cut(span, "-")
	from, err = strconv.ParseInt(first, 10, 64)
	if err == nil {
		size, err = strconv.ParseInt(total, 10, 64)
	}
	if err != nil || from < 0 {
		return 0, 0, fmt.Errorf("Content-Range %q says not which bytes came", contentRange)
	}
	return from, size, nil
}
