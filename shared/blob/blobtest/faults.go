package blobtest

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"slices"
	"sync"

	"github.com/bobbindb/bobbin/shared/blob"
)

var (
	_ blob.Bucket = (*Faults)(nil)
	_ blob.Folder = (*FolderFaults)(nil)
)

// Fault is what befalls a call.
type Fault int

const (
	// None: the call is done and answered.
	None Fault = iota

	// NotStored: the call is not done. The error is ErrUnavailable.
	NotStored

	// LostReply: the call is done, whatever comes of it. The error is ErrUnavailable.
	LostReply

	// Delayed: the error is ErrUnavailable at once; the call is done when the test
	// calls Release.
	Delayed

	// Conflict409: the call is not done. The error is ErrUnavailable, and says 409
	// ConditionalRequestConflict.
	Conflict409

	// Unavailable503: the call is not done. The error is ErrUnavailable, and says 503.
	Unavailable503

	// PartialRead: the first half of the body, or of the entries, comes back, with
	// ErrUnavailable. A call that returns neither is as with NotStored.
	PartialRead

	// Denied: the call is not done. The error is ErrDenied.
	Denied

	// Full: the call is not done. The error of a Put or PutFile is ErrNotStored, that
	// of any other is ErrUnavailable.
	Full
)

var faultNames = [...]string{"none", "not stored", "reply lost", "delayed", "409 ConditionalRequestConflict",
	"503", "body cut short", "denied", "full"}

// String says what happens.
func (f Fault) String() string { return faultNames[f] }

// Faults is a bucket that fails on cue. It is no blob.Folder even if the bucket in it
// is one.
type Faults struct {
	inner blob.Bucket

	mu      sync.Mutex
	decide  func(Call) Fault
	begun   int
	delayed []delayedCall
}

type delayedCall struct {
	call Call
	do   func() (int64, error)
}

// NewFaults returns a bucket around inner that does to each call what decide says,
// and nothing while decide is nil.
//
// Concurrent calls call decide concurrently, before anything is done for them. It may
// block, which holds its call back, and it may use inner, as another process would.
func NewFaults(inner blob.Bucket, decide func(Call) Fault) *Faults {
	return &Faults{inner: inner, decide: decide}
}

// Decide replaces what decides on the calls that begin from now on.
func (f *Faults) Decide(decide func(Call) Fault) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.decide = decide
}

// Delayed returns the calls that wait for Release, in the order in which they were
// made.
func (f *Faults) Delayed() []Call {
	f.mu.Lock()
	defer f.mu.Unlock()
	var calls []Call
	for _, d := range f.delayed {
		calls = append(calls, d.call)
	}
	return calls
}

// Release does delayed calls, one after another, and returns them with their
// outcomes. which are positions in what Delayed returns, in the order in which to do
// them; without any, all are done as they were made.
func (f *Faults) Release(which ...int) []Call {
	f.mu.Lock()
	waiting := f.delayed
	if len(which) == 0 {
		for i := range waiting {
			which = append(which, i)
		}
	}
	f.delayed = nil
	for i, d := range waiting {
		if !slices.Contains(which, i) {
			f.delayed = append(f.delayed, d)
		}
	}
	f.mu.Unlock()
	var done []Call
	for _, i := range which {
		d := waiting[i]
		d.call.Bytes, d.call.Err = d.do()
		done = append(done, d.call)
	}
	return done
}

// fate counts the call and asks what becomes of it.
func (f *Faults) fate(call Call) (Call, Fault) {
	f.mu.Lock()
	f.begun++
	call.N = f.begun
	decide := f.decide
	f.mu.Unlock()
	if decide == nil {
		return call, None
	}
	return call, decide(call)
}

// failing is a call of T that a fault may befall.
type failing[T any] struct {
	call Call
	do   func(context.Context) (T, error)
	size func(T) int64 // bytes received, for the outcome; nil for what the call sent
	half func(T) T     // for a PartialRead; nil where there is none
}

func inject[T any](ctx context.Context, f *Faults, c failing[T]) (T, error) {
	call, fault := f.fate(c.call)
	var nothing T
	failed := func(err error) error { return fmt.Errorf("%s %s: %s: %w", call.Op, call.Key, fault, err) }
	switch {
	case fault == None:
		return c.do(ctx)
	case fault == LostReply:
		_, _ = c.do(ctx) // Nobody learns what came of it.
	case fault == Delayed:
		f.delay(call, func() (int64, error) {
			answer, err := c.do(context.WithoutCancel(ctx))
			if c.size == nil {
				return call.Bytes, err
			}
			return c.size(answer), err
		})
	case fault == PartialRead && c.half != nil:
		answer, err := c.do(ctx)
		if err != nil {
			return answer, err
		}
		return c.half(answer), failed(blob.ErrUnavailable)
	case fault == Denied:
		return nothing, failed(blob.ErrDenied)
	case fault == Full && (call.Op == Put || call.Op == PutFile):
		return nothing, failed(blob.ErrNotStored)
	}
	return nothing, failed(blob.ErrUnavailable)
}

func (f *Faults) delay(call Call, do func() (int64, error)) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.delayed = append(f.delayed, delayedCall{call: call, do: do})
}

// Get implements blob.Bucket.
func (f *Faults) Get(ctx context.Context, key string) (blob.Object, error) {
	return inject(ctx, f, failing[blob.Object]{
		call: Call{Op: Get, Key: key},
		do:   func(ctx context.Context) (blob.Object, error) { return f.inner.Get(ctx, key) },
		size: bodySize, half: halfBody,
	})
}

// GetRange implements blob.Bucket.
func (f *Faults) GetRange(ctx context.Context, key string, offset, size int64) (blob.Object, error) {
	return inject(ctx, f, failing[blob.Object]{
		call: Call{Op: GetRange, Key: key},
		do:   func(ctx context.Context) (blob.Object, error) { return f.inner.GetRange(ctx, key, offset, size) },
		size: bodySize, half: halfBody,
	})
}

func bodySize(object blob.Object) int64 { return int64(len(object.Body)) }

func halfBody(object blob.Object) blob.Object {
	object.Body = object.Body[:len(object.Body)/2]
	return object
}

// Put implements blob.Bucket.
func (f *Faults) Put(ctx context.Context, key string, body []byte, when blob.Condition) (blob.Info, error) {
	sent := bytes.Clone(body) // A delayed Put stores what was given to it.
	return inject(ctx, f, failing[blob.Info]{
		call: Call{Op: Put, Key: key, When: when, Bytes: int64(len(body))},
		do:   func(ctx context.Context) (blob.Info, error) { return f.inner.Put(ctx, key, sent, when) },
	})
}

// List implements blob.Bucket.
func (f *Faults) List(ctx context.Context, opts blob.ListOptions) (blob.Listing, error) {
	return inject(ctx, f, failing[blob.Listing]{
		call: Call{Op: List, Key: opts.Prefix},
		do:   func(ctx context.Context) (blob.Listing, error) { return f.inner.List(ctx, opts) },
		half: func(page blob.Listing) blob.Listing {
			page.Entries = page.Entries[:len(page.Entries)/2]
			return page
		},
	})
}

// Delete implements blob.Bucket.
func (f *Faults) Delete(ctx context.Context, key string) error {
	_, err := inject(ctx, f, failing[struct{}]{
		call: Call{Op: Delete, Key: key},
		do:   func(ctx context.Context) (struct{}, error) { return struct{}{}, f.inner.Delete(ctx, key) },
	})
	return err
}

// FolderFaults is a Faults that is a blob.Folder.
type FolderFaults struct {
	*Faults
	folder blob.Folder
}

// NewFolderFaults is NewFaults for a folder.
func NewFolderFaults(inner blob.Folder, decide func(Call) Fault) *FolderFaults {
	return &FolderFaults{Faults: NewFaults(inner, decide), folder: inner}
}

// Unchanged implements blob.Folder. Under any fault it says false.
func (f *FolderFaults) Unchanged(key string, tag blob.ETag) bool {
	_, fault := f.fate(Call{Op: Unchanged, Key: key})
	return fault == None && f.folder.Unchanged(key, tag)
}

// OpenFile implements blob.Folder.
func (f *FolderFaults) OpenFile(key string) (*os.File, error) {
	call, fault := f.fate(Call{Op: OpenFile, Key: key})
	if fault == None {
		return f.folder.OpenFile(key)
	}
	return nil, refused(call, fault)
}

// PutFile implements blob.Folder. A delayed one stores the file as it is at Release.
func (f *FolderFaults) PutFile(ctx context.Context, key, path string) (blob.Info, error) {
	return inject(ctx, f.Faults, failing[blob.Info]{
		call: Call{Op: PutFile, Key: key, When: blob.IfAbsent()},
		do:   func(ctx context.Context) (blob.Info, error) { return f.folder.PutFile(ctx, key, path) },
		size: func(info blob.Info) int64 { return info.Size },
	})
}

// LinkFile implements blob.Folder.
func (f *FolderFaults) LinkFile(key, path string) error {
	call, fault := f.fate(Call{Op: LinkFile, Key: key})
	if fault == None {
		return f.folder.LinkFile(key, path)
	}
	return refused(call, fault)
}

// refused is the error of a call on a file of this machine, which is never done late
// or in part.
func refused(call Call, fault Fault) error {
	err := blob.ErrUnavailable
	if fault == Denied {
		err = blob.ErrDenied
	}
	return fmt.Errorf("%s %s: %s: %w", call.Op, call.Key, fault, err)
}

// Dir implements blob.Folder.
func (f *FolderFaults) Dir() string { return f.folder.Dir() }
