package telemetry

import (
	"context"
	"errors"
	"os"
	"time"

	"github.com/bobbindb/bobbin/shared/blob"
	"github.com/prometheus/client_golang/prometheus"
)

// Bucket returns a bucket whose calls m counts, and t traces within what is traced; a nil
// t does not. It is a blob.Folder if inner is one.
func Bucket(inner blob.Bucket, m *Metrics, t *Tracer) blob.Bucket {
	b := &bucket{
		inner:  inner,
		tracer: t,
		get:    m.operation("get"),
		rng:    m.operation("get_range"),
		put:    m.operation("put"),
		list:   m.operation("list"),
		remove: m.operation("delete"),
	}
	if f, ok := inner.(blob.Folder); ok {
		return &folder{bucket: b, inner: f, open: m.operation("open"), look: m.operation("look"), link: m.operation("link")}
	}
	return b
}

type outcome int

const (
	ok outcome = iota
	notExist
	exists
	denied
	notStored
	unavailable
	cancelled
	failed
	outcomes
)

var outcomeNames = [outcomes]string{"ok", "not_exist", "exists", "denied", "not_stored", "unavailable", "cancelled", "error"}

func outcomeOf(err error) outcome {
	switch {
	case err == nil:
		return ok
	case errors.Is(err, blob.ErrNotExist):
		return notExist
	case errors.Is(err, blob.ErrExists):
		return exists
	case errors.Is(err, blob.ErrDenied):
		return denied
	case errors.Is(err, blob.ErrNotStored):
		return notStored
	case errors.Is(err, blob.ErrUnavailable):
		return unavailable
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		return cancelled
	}
	return failed
}

// operation counts the calls of one operation.
type operation struct {
	span    string // the name of one
	calls   [outcomes]prometheus.Counter
	latency prometheus.Observer
}

func (m *Metrics) operation(name string) *operation {
	o := &operation{span: "bucket " + name, latency: m.bucketLatency.WithLabelValues(name)}
	for i, outcome := range outcomeNames {
		o.calls[i] = m.bucketCalls.WithLabelValues(name, outcome)
	}
	return o
}

// call is one call under way.
type call struct {
	*operation
	ctx   context.Context
	began time.Time
	span  *Span
}

// begin begins a call. Its context is for the call itself.
func (o *operation) begin(ctx context.Context, t *Tracer, key string) (context.Context, call) {
	inner, span := t.within(ctx, o.span, key)
	return inner, call{o, ctx, time.Now(), span}
}

func (c *call) done(err error) {
	took, outcome := time.Since(c.began), outcomeOf(err)
	c.calls[outcome].Inc()
	c.latency.Observe(took.Seconds())
	countCall(c.ctx, took)
	c.span.done(outcome)
}

type bucket struct {
	inner  blob.Bucket
	tracer *Tracer
	get    *operation
	rng    *operation
	put    *operation
	list   *operation
	remove *operation
}

var _ blob.Bucket = (*bucket)(nil)

func (b *bucket) Get(ctx context.Context, key string) (blob.Object, error) {
	ctx, c := b.get.begin(ctx, b.tracer, key)
	object, err := b.inner.Get(ctx, key)
	c.done(err)
	return object, err
}

func (b *bucket) GetRange(ctx context.Context, key string, offset, size int64) (blob.Object, error) {
	ctx, c := b.rng.begin(ctx, b.tracer, key)
	object, err := b.inner.GetRange(ctx, key, offset, size)
	c.done(err)
	return object, err
}

func (b *bucket) Put(ctx context.Context, key string, body []byte, when blob.Condition) (blob.Info, error) {
	ctx, c := b.put.begin(ctx, b.tracer, key)
	info, err := b.inner.Put(ctx, key, body, when)
	c.done(err)
	return info, err
}

func (b *bucket) List(ctx context.Context, opts blob.ListOptions) (blob.Listing, error) {
	ctx, c := b.list.begin(ctx, b.tracer, opts.Prefix)
	listing, err := b.inner.List(ctx, opts)
	c.done(err)
	return listing, err
}

func (b *bucket) Delete(ctx context.Context, key string) error {
	ctx, c := b.remove.begin(ctx, b.tracer, key)
	err := b.inner.Delete(ctx, key)
	c.done(err)
	return err
}

type folder struct {
	*bucket
	inner blob.Folder
	open  *operation
	look  *operation
	link  *operation
}

var _ blob.Folder = (*folder)(nil)

func (f *folder) Unchanged(key string, tag blob.ETag) bool {
	_, c := f.look.begin(context.Background(), nil, key)
	same := f.inner.Unchanged(key, tag)
	c.done(nil)
	return same
}

func (f *folder) OpenFile(key string) (*os.File, error) {
	_, c := f.open.begin(context.Background(), nil, key)
	file, err := f.inner.OpenFile(key)
	c.done(err)
	return file, err
}

func (f *folder) PutFile(ctx context.Context, key, path string) (blob.Info, error) {
	ctx, c := f.put.begin(ctx, f.tracer, key)
	info, err := f.inner.PutFile(ctx, key, path)
	c.done(err)
	return info, err
}

func (f *folder) LinkFile(key, path string) error {
	_, c := f.link.begin(context.Background(), nil, key)
	err := f.inner.LinkFile(key, path)
	c.done(err)
	return err
}

func (f *folder) Dir() string { return f.inner.Dir() }
