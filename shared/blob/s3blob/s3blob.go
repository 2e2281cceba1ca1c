// Package s3blob is a blob.Bucket on Amazon S3 and on whatever speaks its protocol
// truthfully: If-None-Match and If-Match on PUT, read-after-write, listings in byte
// order, and a Date on every answer.
//
// What the service answers is mapped once, in error.go. The two that matter most: 403
// is never "absent", and 409 ConditionalRequestConflict says nothing about who won.
//
// A PUT is sent once. The SDK would repeat one whose reply was lost and report the 412
// that its own first attempt caused; whoever puts reads back instead, as blob.Bucket
// says. Reads are repeated by the SDK, within the call's deadline.
package s3blob

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/retry"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/smithy-go/logging"

	"github.com/bobbindb/bobbin/shared/blob"
)

var _ blob.Bucket = (*Bucket)(nil)

// DefaultTimeout is how long a call may take, plus a second for each MiB of its body.
const DefaultTimeout = 3 * time.Second

// slowest is the speed, in bytes a second, at which a body is still waited for.
const slowest = 1 << 20

// connections is the most that one process opens to the service: enough for a fan-out
// of tail reads and prefetches beside uploads, and a bound where a service is slow.
const connections = 128

// Options say which bucket, and how it is reached.
type Options struct {
	Bucket string // its name
	Prefix string // of every key, without a slash at either end; "" for none

	Endpoint  string // of a service that is not Amazon's; "" for Amazon's
	PathStyle bool   // the bucket's name stands in the path, not in the host name

	Timeout time.Duration // of one call; 0 for DefaultTimeout
}

// Bucket is the objects of an S3 bucket whose keys begin with a prefix.
type Bucket struct {
	client  *s3.Client
	name    string
	prefix  string // with its slash
	timeout time.Duration
}

// Open returns a bucket that is reached with cfg's region, credentials and, if it has
// one, HTTP client. It sends nothing.
func Open(cfg aws.Config, opts Options) *Bucket {
	if cfg.HTTPClient == nil {
		cfg.HTTPClient = httpClient()
	}
	client := s3.NewFromConfig(cfg, func(o *s3.Options) {
		o.UsePathStyle = opts.PathStyle
		o.Logger = logging.Nop{} // It talks to standard error; what matters is in the errors.
		// A PUT brings its checksum as a header, never as a trailer: some services do
		// not know the chunked form that a trailer needs.
		o.RequestChecksumCalculation = aws.RequestChecksumCalculationWhenRequired
		if opts.Endpoint != "" {
			o.BaseEndpoint = aws.String(opts.Endpoint)
		}
	})
	b := &Bucket{client: client, name: opts.Bucket, timeout: opts.Timeout}
	if opts.Prefix != "" {
		b.prefix = strings.Trim(opts.Prefix, "/") + "/"
	}
	if b.timeout == 0 {
		b.timeout = DefaultTimeout
	}
	return b
}

// httpClient bounds how many connections there are, how long one takes to be made, and
// how long an idle one is trusted.
func httpClient() aws.HTTPClient {
	return awshttp.NewBuildableClient().WithTransportOptions(func(t *http.Transport) {
		t.MaxConnsPerHost = connections
		t.MaxIdleConns = connections
		t.MaxIdleConnsPerHost = connections
		t.IdleConnTimeout = 30 * time.Second
		t.TLSHandshakeTimeout = 2 * time.Second
		t.DisableCompression = true
	})
}

// once sends a request a single time.
func once(o *s3.Options) { o.Retryer = aws.NopRetryer{} }

// thrice repeats a request that had no answer, or a passing one.
func thrice(o *s3.Options) {
	o.Retryer = retry.NewStandard(func(r *retry.StandardOptions) {
		r.MaxAttempts = 3
		r.MaxBackoff = 500 * time.Millisecond
	})
}

// errSlow ends a call that has outlasted its deadline.
var errSlow = errors.New("no answer in time")

// deadline bounds a call. More time is given, from now on, when it turns out how large
// a body is.
type deadline struct {
	cancel context.CancelCauseFunc
	timer  *time.Timer
	base   time.Duration
}

func (b *Bucket) deadline(ctx context.Context, size int64) (context.Context, *deadline) {
	ctx, cancel := context.WithCancelCause(ctx)
	d := &deadline{cancel: cancel, base: b.timeout}
	d.timer = time.AfterFunc(d.allow(size), func() { cancel(errSlow) })
	return ctx, d
}

func (d *deadline) allow(size int64) time.Duration {
	return d.base + time.Duration(float64(size)/slowest*float64(time.Second))
}

// extend starts anew for a body of size bytes.
func (d *deadline) extend(size int64) { d.timer.Reset(d.allow(size)) }

// done frees what the deadline holds.
func (d *deadline) done() {
	d.timer.Stop()
	d.cancel(context.Canceled)
}
