package janitor_test

import (
	"errors"
	"testing"
	"time"

	"github.com/bobbindb/bobbin/shared/blob"
	"github.com/bobbindb/bobbin/shared/blob/blobtest"
	"github.com/bobbindb/bobbin/shared/janitor"
	"github.com/bobbindb/bobbin/shared/store"
)

func TestLoop(t *testing.T) {
	w := inMemory(t)
	w.Commit(w.Process(w.Bucket, store.Live), 1)
	faults := blobtest.NewFaults(w.Bucket, nil)
	asked, over := make(chan time.Duration), make(chan time.Time)
	done := make(chan error)
	loop := janitor.StartLoop(janitor.LoopOptions{
		Options: w.options(faults),
		Every:   time.Hour,
		Jitter:  func(d time.Duration) time.Duration { return d / 10 },
		After: func(d time.Duration) <-chan time.Time {
			asked <- d
			return over
		},
		Done: func(_ janitor.Report, err error) { done <- err },
	})
	for _, fault := range []blobtest.Fault{blobtest.None, blobtest.Denied, blobtest.None} {
		if d := <-asked; d != time.Hour+6*time.Minute {
			t.Errorf("waits %s, want an hour and its jitter", d)
		}
		faults.Decide(func(blobtest.Call) blobtest.Fault { return fault })
		over <- time.Time{}
		if err := <-done; errors.Is(err, blob.ErrDenied) != (fault == blobtest.Denied) {
			t.Errorf("run under %s: %v", fault, err)
		}
	}
	<-asked
	loop.Close()
}
