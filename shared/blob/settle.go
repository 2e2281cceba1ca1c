package blob

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"time"
)

// Errors of Settle.
var (
	// ErrLostSwap: another process was first. Nothing was changed by this write, or what
	// it changed is already the past.
	ErrLostSwap = errors.New("another process was first")

	// ErrUnknownOutcome: the write may have been stored, or may be stored later.
	ErrUnknownOutcome = errors.New("outcome of the write is unknown")
)

// Write is a Put whose outcome matters.
type Write struct {
	Key  string
	Body []byte
	When Condition

	// Ours tells whether a body that is found is the one of this write; nil compares it
	// with Body. Where a body may come again, it carries a nonce.
	Ours func(found []byte) bool

	// Put sends it; nil means the bucket's Put.
	Put func(ctx context.Context) (Info, error)
}

const (
	settleTries = 5                     // of one write, the first included
	settlePause = 20 * time.Millisecond // before the second; each further one is twice as long
)

// Settle stores an object and finds out what came of it: after an answer that leaves it
// open it reads back, and sends the same bytes again where the condition may still hold.
// It returns what is stored. With ErrLostSwap that is the object of whoever was first,
// without a Body where there is none; with any other error it is nothing.
func Settle(ctx context.Context, bucket Bucket, w Write) (Object, error) {
	if w.Ours == nil {
		w.Ours = func(found []byte) bool { return bytes.Equal(found, w.Body) }
	}
	if w.Put == nil {
		w.Put = func(ctx context.Context) (Info, error) { return bucket.Put(ctx, w.Key, w.Body, w.When) }
	}
	open := false // an earlier try may have been stored, or may be yet
	var last error
	for try := range settleTries {
		if err := Pause(ctx, settlePause, try); err != nil {
			return Object{}, outcome(open, err)
		}
		info, err := w.Put(ctx)
		if err == nil {
			return Object{Info: info, Body: w.Body}, nil
		}
		if NotStored(err) {
			return Object{}, outcome(open, err)
		}
		last, open = err, open || !errors.Is(err, ErrExists)
		found, err := bucket.Get(ctx, w.Key)
		absent := errors.Is(err, ErrNotExist)
		switch {
		case err == nil && w.Ours(found.Body):
			return found, nil
		case err == nil && (w.When.Absent() || found.ETag != w.When.Match()), absent && !w.When.Absent():
			return found, ErrLostSwap
		case err != nil && !absent:
			last = err
		}
	}
	return Object{}, outcome(open, last)
}

// outcome marks an error as ErrUnknownOutcome where an earlier try is open.
func outcome(open bool, err error) error {
	if open {
		return fmt.Errorf("%w: %w", ErrUnknownOutcome, err)
	}
	return err
}

// Pause waits before try number n, counted from 0: not at all, then as long as first
// says, then twice as long each time. It returns ctx's error.
func Pause(ctx context.Context, first time.Duration, n int) error {
	if n == 0 {
		return ctx.Err()
	}
	return Wait(ctx, first<<(n-1))
}

// Wait waits for so long, and returns ctx's error when that ends it.
func Wait(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
