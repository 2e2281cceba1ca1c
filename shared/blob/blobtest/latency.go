package blobtest

import (
	"context"
	"fmt"
	"time"

	"github.com/bobbindb/bobbin/shared/blob"
)

var _ blob.Bucket = (*Latency)(nil)

// LatencyOptions say how long calls take at the least.
type LatencyOptions struct {
	Get    time.Duration // of a Get or GetRange
	Put    time.Duration
	List   time.Duration
	Delete time.Duration

	// BytesPerSecond adds the time that each body takes at this speed, as if every
	// call had a connection of its own. 0 adds none.
	BytesPerSecond int64
}

// Latency is a bucket at a distance: half of a call's time passes before the bucket
// in it is asked, half after it has answered. It is no blob.Folder even if that one
// is.
type Latency struct {
	inner blob.Bucket
	opts  LatencyOptions
}

// NewLatency puts inner at the distance that opts says.
func NewLatency(inner blob.Bucket, opts LatencyOptions) *Latency {
	return &Latency{inner: inner, opts: opts}
}

// Get implements blob.Bucket.
func (l *Latency) Get(ctx context.Context, key string) (blob.Object, error) {
	return travel(ctx, Get, key, l.opts.Get, func() (blob.Object, time.Duration, error) {
		object, err := l.inner.Get(ctx, key)
		return object, l.transfer(len(object.Body)), err
	})
}

// GetRange implements blob.Bucket.
func (l *Latency) GetRange(ctx context.Context, key string, offset, size int64) (blob.Object, error) {
	return travel(ctx, GetRange, key, l.opts.Get, func() (blob.Object, time.Duration, error) {
		object, err := l.inner.GetRange(ctx, key, offset, size)
		return object, l.transfer(len(object.Body)), err
	})
}

// Put implements blob.Bucket. A Put whose context ends on the way back was stored.
func (l *Latency) Put(ctx context.Context, key string, body []byte, when blob.Condition) (blob.Info, error) {
	if err := wait(ctx, l.transfer(len(body))); err != nil {
		return blob.Info{}, fmt.Errorf("put %s: %w", key, err)
	}
	return travel(ctx, Put, key, l.opts.Put, func() (blob.Info, time.Duration, error) {
		info, err := l.inner.Put(ctx, key, body, when)
		return info, 0, err
	})
}

// List implements blob.Bucket.
func (l *Latency) List(ctx context.Context, opts blob.ListOptions) (blob.Listing, error) {
	return travel(ctx, List, opts.Prefix, l.opts.List, func() (blob.Listing, time.Duration, error) {
		page, err := l.inner.List(ctx, opts)
		return page, 0, err
	})
}

// Delete implements blob.Bucket.
func (l *Latency) Delete(ctx context.Context, key string) error {
	_, err := travel(ctx, Delete, key, l.opts.Delete, func() (struct{}, time.Duration, error) {
		return struct{}{}, 0, l.inner.Delete(ctx, key)
	})
	return err
}

func (l *Latency) transfer(size int) time.Duration {
	if l.opts.BytesPerSecond <= 0 {
		return 0
	}
	return time.Duration(float64(size) / float64(l.opts.BytesPerSecond) * float64(time.Second))
}

// travel takes half of the time there, does the call, and takes the other half, and
// the time that its answer's body needs, back.
func travel[T any](ctx context.Context, op Op, key string, d time.Duration, do func() (T, time.Duration, error)) (T, error) {
	var nothing T
	if err := wait(ctx, d/2); err != nil {
		return nothing, fmt.Errorf("%s %s: %w", op, key, err)
	}
	answer, transfer, err := do()
	if err := wait(ctx, d-d/2+transfer); err != nil {
		return nothing, fmt.Errorf("%s %s: %w", op, key, err)
	}
	return answer, err
}

func wait(ctx context.Context, d time.Duration) error {
	if d <= 0 {
		return nil
	}
	return blob.Wait(ctx, d)
}
