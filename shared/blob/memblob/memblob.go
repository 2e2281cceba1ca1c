// Package memblob is a blob.Bucket in memory, for tests and for whatever may be
// forgotten when the process ends.
package memblob

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/bobbindb/bobbin/shared/blob"
)

var _ blob.Bucket = (*Bucket)(nil)

// Bucket is a map from keys to bodies. A version's ETag is the number of the Put
// that made it, so no two versions ever share one.
type Bucket struct {
	now func() time.Time

	mu         sync.Mutex
	objects    map[string]version
	generation uint64
}

type version struct {
	body []byte
	tag  blob.ETag
}

// New returns an empty bucket that dates its answers by now.
func New(now func() time.Time) *Bucket {
	return &Bucket{now: now, objects: map[string]version{}}
}

// Get implements blob.Bucket.
func (b *Bucket) Get(ctx context.Context, key string) (blob.Object, error) {
	object, err := b.read(ctx, key, func(body []byte) []byte { return body })
	if err != nil {
		return object, fmt.Errorf("get %s: %w", key, err)
	}
	return object, nil
}

// GetRange implements blob.Bucket.
func (b *Bucket) GetRange(ctx context.Context, key string, offset, size int64) (blob.Object, error) {
	if offset < 0 || size < 0 {
		return blob.Object{}, fmt.Errorf("get %s: range of %d bytes from %d", key, size, offset)
	}
	object, err := b.read(ctx, key, func(body []byte) []byte {
		from := min(offset, int64(len(body)))
		return body[from : from+min(size, int64(len(body))-from)]
	})
	if err != nil {
		return object, fmt.Errorf("get %s: %w", key, err)
	}
	return object, nil
}

func (b *Bucket) read(ctx context.Context, key string, part func([]byte) []byte) (blob.Object, error) {
	if err := errors.Join(ctx.Err(), blob.CheckKey(key)); err != nil {
		return blob.Object{}, err
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	v, ok := b.objects[key]
	if !ok {
		return blob.Object{Info: blob.Info{Date: b.now()}}, blob.ErrNotExist
	}
	return blob.Object{Info: b.info(v), Body: slices.Clone(part(v.body))}, nil
}

// Put implements blob.Bucket.
func (b *Bucket) Put(ctx context.Context, key string, body []byte, when blob.Condition) (blob.Info, error) {
	if err := errors.Join(ctx.Err(), blob.CheckKey(key)); err != nil {
		return blob.Info{}, fmt.Errorf("put %s: %w", key, err)
	}
	if when == (blob.Condition{}) {
		return blob.Info{}, fmt.Errorf("put %s: %w: no condition was given", key, blob.ErrNotStored)
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	old, there := b.objects[key]
	if there == when.Absent() || there && old.tag != when.Match() {
		return blob.Info{Date: b.now()}, fmt.Errorf("put %s: %w", key, blob.ErrExists)
	}
	b.generation++
	v := version{body: slices.Clone(body), tag: blob.ETag("g" + strconv.FormatUint(b.generation, 10))}
	b.objects[key] = v
	return b.info(v), nil
}

// List implements blob.Bucket.
func (b *Bucket) List(ctx context.Context, opts blob.ListOptions) (blob.Listing, error) {
	if err := ctx.Err(); err != nil {
		return blob.Listing{}, fmt.Errorf("list %s: %w", opts.Prefix, err)
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	var entries []blob.Entry
	for key, v := range b.objects {
		if strings.HasPrefix(key, opts.Prefix) && key > opts.After {
			entries = append(entries, blob.Entry{Key: key, Size: int64(len(v.body))})
		}
	}
	slices.SortFunc(entries, func(x, y blob.Entry) int { return strings.Compare(x.Key, y.Key) })
	page := blob.Listing{Entries: entries, Date: b.now()}
	if limit := opts.PageSize(); len(entries) > limit {
		page.Entries, page.More = slices.Clip(entries[:limit]), true
	}
	return page, nil
}

// Delete implements blob.Bucket.
func (b *Bucket) Delete(ctx context.Context, key string) error {
	if err := errors.Join(ctx.Err(), blob.CheckKey(key)); err != nil {
		return fmt.Errorf("delete %s: %w", key, err)
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	delete(b.objects, key)
	return nil
}

func (b *Bucket) info(v version) blob.Info {
	return blob.Info{ETag: v.tag, Size: int64(len(v.body)), Date: b.now()}
}
