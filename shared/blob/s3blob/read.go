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
	return b.get(ctx, key, &s3.GetObjectInput{ChecksumMode: types.ChecksumModeEnabled})
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
	object, err := b.get(ctx, key, &s3.GetObjectInput{Range: aws.String(fmt.Sprintf("bytes=%d-%d", offset, last))})
	object.Body = object.Body[:min(size, int64(len(object.Body)))]
	return object, err
}

// get sends a GET and reads what comes.
func (b *Bucket) get(ctx context.Context, key string, in *s3.GetObjectInput) (blob.Object, error) {
	limited, d := b.deadline(ctx, 0)
	defer d.done()
	in.Bucket, in.Key = aws.String(b.name), aws.String(b.prefix+key)
	out, err := b.client.GetObject(limited, in, thrice)
	if isPastEnd(err) {
		return b.head(ctx, key)
	}
	if err != nil {
		date, err := b.fail(ctx, opGet, key, err)
		return blob.Object{Info: blob.Info{Date: date}}, err
	}
	defer out.Body.Close()
	length := aws.ToInt64(out.ContentLength)
	d.extend(length)
	body := make([]byte, length)
	if _, err := io.ReadFull(out.Body, body); err != nil {
		_, err := b.fail(ctx, opGet, key, fmt.Errorf("after the answer began: %w", err))
		return blob.Object{}, err
	}
	// The end of the body is where its checksum is compared.
	if n, err := out.Body.Read(make([]byte, 1)); n > 0 || err != nil && !errors.Is(err, io.EOF) {
		_, err := b.fail(ctx, opGet, key, fmt.Errorf("at the end of the body: %w", err))
		return blob.Object{}, err
	}
	size, err := wholeSize(aws.ToString(out.ContentRange), length)
	if err != nil {
		return blob.Object{}, fmt.Errorf("get %s: %w: %w", key, blob.ErrUnavailable, err)
	}
	return blob.Object{Info: blob.Info{ETag: blob.ETag(aws.ToString(out.ETag)), Size: size, Date: dateIn(out.ResultMetadata)}, Body: body}, nil
}

// isPastEnd reports whether a range was refused for beginning past the end.
func isPastEnd(err error) bool {
	var answer *smithyhttp.ResponseError
	return errors.As(err, &answer) && answer.HTTPStatusCode() == http.StatusRequestedRangeNotSatisfiable
}

// head reads what there is to say about an object of which no bytes were asked for.
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

// wholeSize is the size of an object of which a range was read: what stands after the
// slash of "bytes 0-9/100". Without a range it is the length that came.
func wholeSize(contentRange string, length int64) (int64, error) {
	if contentRange == "" {
		return length, nil
	}
	_, total, _ := strings.Cut(contentRange, "/")
	size, err := strconv.ParseInt(total, 10, 64)
	if err != nil {
		return 0, fmt.Errorf("Content-Range %q has no size", contentRange)
	}
	return size, nil
}
