package access

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/bobbindb/bobbin/shared/blob"
)

// How old the list may be.
const (
	rereadAfter = 30 * time.Second // it is read again, and still used when that fails
	failAfter   = 60 * time.Second // it is used no more
	retryAfter  = time.Second      // a reading that failed is repeated
)

// Watch keeps what a process makes of the list, T, and makes it anew when the list
// changed. It asks the bucket only when somebody asks it, so that an idle process asks
// for nothing. T itself heeds when a key expires.
type Watch[T any] struct {
	bucket blob.Bucket
	build  func(ctx context.Context, l *List) (T, error)
	now    func() time.Time

	current atomic.Pointer[reading[T]] // nil before the first, and after Drop

	mu     sync.Mutex // held while the list is read: who waits gets the same answer
	last   *reading[T]
	failed time.Time // when a reading failed, zero after one that did not
	err    error
}

// reading is what a list said when it was read.
type reading[T any] struct {
	value T
	tag   blob.ETag
	began time.Time
}

// age is how old the reading is. A clock that went back makes it as old as can be.
func (r *reading[T]) age(now time.Time) time.Duration {
	if age := now.Sub(r.began); age >= 0 {
		return age
	}
	return failAfter
}

// NewWatch watches a bucket's list.
func NewWatch[T any](bucket blob.Bucket, now func() time.Time, build func(ctx context.Context, l *List) (T, error)) *Watch[T] {
	return &Watch[T]{bucket: bucket, build: build, now: now}
}

// Now returns what the list says, as of at most a minute ago.
func (w *Watch[T]) Now(ctx context.Context) (T, error) {
	if r := w.current.Load(); r != nil && r.age(w.now()) < rereadAfter {
		return r.value, nil
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	now := w.now()
	r := w.current.Load()
	if r != nil && r.age(now) < rereadAfter {
		return r.value, nil
	}
	if w.err == nil || now.Sub(w.failed) >= retryAfter || now.Before(w.failed) {
		w.err = w.reread(ctx, now)
		w.failed, r = now, w.current.Load()
	}
	if w.err != nil && (r == nil || r.age(now) >= failAfter) {
		var nothing T
		return nothing, fmt.Errorf("know who may call: %w", w.err)
	}
	return r.value, nil
}

// Drop makes the next Now read the list, whatever its age: this process changed it.
func (w *Watch[T]) Drop() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.current.Store(nil)
	w.err = nil
}

// reread reads the list, or on a folder looks whether it is still the one last read.
func (w *Watch[T]) reread(ctx context.Context, began time.Time) error {
	if folder, ok := w.bucket.(blob.Folder); ok && w.last != nil && w.last.tag != "" && folder.Unchanged(ObjectKey, w.last.tag) {
		w.keep(&reading[T]{value: w.last.value, tag: w.last.tag, began: began})
		return nil
	}
	l, err := Read(ctx, w.bucket)
	if err != nil {
		return err
	}
	if w.last != nil && l.ETag == w.last.tag {
		w.keep(&reading[T]{value: w.last.value, tag: w.last.tag, began: began})
		return nil
	}
	value, err := w.build(ctx, l)
	if err != nil {
		return err
	}
	w.keep(&reading[T]{value: value, tag: l.ETag, began: began})
	return nil
}

func (w *Watch[T]) keep(r *reading[T]) {
	w.last = r
	w.current.Store(r)
}
