package blobtest

import (
	"context"
	"os"
	"slices"
	"sync"

	"github.com/bobbindb/bobbin/shared/blob"
)

var (
	_ blob.Bucket = (*Recorder)(nil)
	_ blob.Folder = (*FolderRecorder)(nil)
)

// Recorder is a bucket that remembers every call of it. It is no blob.Folder even
// if the bucket in it is one.
type Recorder struct {
	inner blob.Bucket

	mu    sync.Mutex
	begun int
	calls []Call
}

// NewRecorder returns a Recorder of the calls of inner.
func NewRecorder(inner blob.Bucket) *Recorder { return &Recorder{inner: inner} }

// Calls returns the calls that have ended, in the order in which they did.
func (r *Recorder) Calls() []Call {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.calls)
}

// Count returns how many calls asked for any of these ops, or how many there were in
// all when none is named.
func (r *Recorder) Count(ops ...Op) int {
	n := 0
	for _, call := range r.Calls() {
		if len(ops) == 0 || slices.Contains(ops, call.Op) {
			n++
		}
	}
	return n
}

// Stored returns the keys that were stored under, in order, once per Put or PutFile
// that succeeded.
func (r *Recorder) Stored() []string {
	var keys []string
	for _, call := range r.Calls() {
		if (call.Op == Put || call.Op == PutFile) && call.Err == nil {
			keys = append(keys, call.Key)
		}
	}
	return keys
}

// Reset forgets the calls so far.
func (r *Recorder) Reset() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.begun, r.calls = 0, nil
}

func (r *Recorder) begin(call Call) Call {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.begun++
	call.N = r.begun
	return call
}

func (r *Recorder) end(call Call, size int, err error) {
	call.Bytes, call.Err = int64(size), err
	r.mu.Lock()
	defer r.mu.Unlock()
	r.calls = append(r.calls, call)
}

// Get implements blob.Bucket.
func (r *Recorder) Get(ctx context.Context, key string) (blob.Object, error) {
	call := r.begin(Call{Op: Get, Key: key})
	object, err := r.inner.Get(ctx, key)
	r.end(call, len(object.Body), err)
	return object, err
}

// GetRange implements blob.Bucket.
func (r *Recorder) GetRange(ctx context.Context, key string, offset, size int64) (blob.Object, error) {
	call := r.begin(Call{Op: GetRange, Key: key})
	object, err := r.inner.GetRange(ctx, key, offset, size)
	r.end(call, len(object.Body), err)
	return object, err
}

// Put implements blob.Bucket.
func (r *Recorder) Put(ctx context.Context, key string, body []byte, when blob.Condition) (blob.Info, error) {
	call := r.begin(Call{Op: Put, Key: key, When: when})
	info, err := r.inner.Put(ctx, key, body, when)
	r.end(call, len(body), err)
	return info, err
}

// List implements blob.Bucket.
func (r *Recorder) List(ctx context.Context, opts blob.ListOptions) (blob.Listing, error) {
	call := r.begin(Call{Op: List, Key: opts.Prefix})
	page, err := r.inner.List(ctx, opts)
	r.end(call, 0, err)
	return page, err
}

// Delete implements blob.Bucket.
func (r *Recorder) Delete(ctx context.Context, key string) error {
	call := r.begin(Call{Op: Delete, Key: key})
	err := r.inner.Delete(ctx, key)
	r.end(call, 0, err)
	return err
}

// FolderRecorder is a Recorder that is a blob.Folder.
type FolderRecorder struct {
	*Recorder
	folder blob.Folder
}

// NewFolderRecorder returns a FolderRecorder of the calls of inner.
func NewFolderRecorder(inner blob.Folder) *FolderRecorder {
	return &FolderRecorder{Recorder: NewRecorder(inner), folder: inner}
}

// Unchanged implements blob.Folder.
func (r *FolderRecorder) Unchanged(key string, tag blob.ETag) bool {
	call := r.begin(Call{Op: Unchanged, Key: key})
	same := r.folder.Unchanged(key, tag)
	r.end(call, 0, nil)
	return same
}

// OpenFile implements blob.Folder.
func (r *FolderRecorder) OpenFile(key string) (*os.File, error) {
	call := r.begin(Call{Op: OpenFile, Key: key})
	f, err := r.folder.OpenFile(key)
	r.end(call, 0, err)
	return f, err
}

// PutFile implements blob.Folder.
func (r *FolderRecorder) PutFile(ctx context.Context, key, path string) (blob.Info, error) {
	call := r.begin(Call{Op: PutFile, Key: key, When: blob.IfAbsent()})
	info, err := r.folder.PutFile(ctx, key, path)
	r.end(call, int(info.Size), err)
	return info, err
}

// LinkFile implements blob.Folder.
func (r *FolderRecorder) LinkFile(key, path string) error {
	call := r.begin(Call{Op: LinkFile, Key: key})
	err := r.folder.LinkFile(key, path)
	r.end(call, 0, err)
	return err
}

// Dir implements blob.Folder.
func (r *FolderRecorder) Dir() string { return r.folder.Dir() }
