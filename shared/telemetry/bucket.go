package telemetry

import (
	"context"
	"errors"
	"os"
	"time"

	"github.com/bobbindb/bobbin/shared/blob"
	"github.com/prometheus/client_golang/prometheus"
)

// Bucket returns a bucket whose calls m counts. It is a blob.Folder if inner is one.
func Bucket(inner blob.Bucket, m *Metrics) blob.Bucket {
	b := &bucket{
		inner:  inner,
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
	calls   [outcomes]prometheus.Counter
	latency prometheus.Observer
}

func (m *Metrics) operation(name string) *operation {
	o := &operation{latency: m.bucketLatency.WithLabelValues(name)}
	for i, outcome := range outcomeNames {
		o.calls[i] = m.bucketCalls.WithLabelValues(name, outcome)
	}
	return o
}

func (o *operation) done(ctx context.Context, began time.Time, err error) {
	took := time.Since(began)
	o.calls[outcomeOf(err)].Inc()
	o.latency.Observe(took.Seconds())
	countCall(ctx, took)
}

type bucket struct {
	inner  blob.Bucket
	get    *operation
	rng    *operation
	put    *operation
	list   *operation
	remove *operation
}

var _ blob.Bucket = (*bucket)(nil)

func (b *bucket) Get(ctx context.Context, key string) (blob.Object, error) {
	began := time.Now()
	object, err := b.inner.Get(ctx, key)
	b.get.done(ctx, began, err)
	return object, err
}

func (b *bucket) GetRange(ctx context.Context, key string, offset, size int64) (blob.Object, error) {
	began := time.Now()
	object, err := b.inner.GetRange(ctx, key, offset, size)
	b.rng.done(ctx, began, err)
	return object, err
}

func (b *bucket) Put(ctx context.Context, key string, body []byte, when blob.Condition) (blob.Info, error) {
	began := time.Now()
	info, err := b.inner.Put(ctx, key, body, when)
	b.put.done(ctx, began, err)
	return info, err
}

func (b *bucket) List(ctx context.Context, opts blob.ListOptions) (blob.Listing, error) {
	began := time.Now()
	listing, err := b.inner.List(ctx, opts)
	b.list.done(ctx, began, err)
	return listing, err
}

func (b *bucket) Delete(ctx context.Context, key string) error {
	began := time.Now()
	err := b.inner.Delete(ctx, key)
	b.remove.done(ctx, began, err)
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
	began := time.Now()
	same := f.inner.Unchanged(key, tag)
	f.look.done(context.Background(), began, nil)
	return same
}

func (f *folder) OpenFile(key string) (*os.File, error) {
	began := time.Now()
	file, err := f.inner.OpenFile(key)
	f.open.done(context.Background(), began, err)
	return file, err
}

func (f *folder) PutFile(ctx context.Context, key, path string) (blob.Info, error) {
	began := time.Now()
	info, err := f.inner.PutFile(ctx, key, path)
	f.put.done(ctx, began, err)
	return info, err
}

func (f *folder) LinkFile(key, path string) error {
	began := time.Now()
	err := f.inner.LinkFile(key, path)
	f.link.done(context.Background(), began, err)
	return err
}

func (f *folder) Dir() string { return f.inner.Dir() }
