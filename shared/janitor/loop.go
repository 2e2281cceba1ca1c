package janitor

import (
	"context"
	"time"
)

// LoopOptions says how often to clean.
type LoopOptions struct {
	Options
	Every  time.Duration                        // 0 means 10 minutes
	Jitter func(time.Duration) time.Duration    // what to add to each wait, so that processes do not run in step; nil for nothing
	After  func(time.Duration) <-chan time.Time // nil for time.After
	Done   func(Report, error)                  // called after each run; nil for nobody
}

const defaultEvery = 10 * time.Minute

// Loop cleans a store again and again.
type Loop struct {
	cancel context.CancelFunc
	done   chan struct{}
}

// StartLoop starts a loop that first waits, then cleans. Close ends it.
func StartLoop(opts LoopOptions) *Loop {
	opts.fill()
	if opts.Every <= 0 {
		opts.Every = defaultEvery
	}
	if opts.Jitter == nil {
		opts.Jitter = func(time.Duration) time.Duration { return 0 }
	}
	if opts.After == nil {
		opts.After = time.After
	}
	ctx, cancel := context.WithCancel(context.Background())
	l := &Loop{cancel: cancel, done: make(chan struct{})}
	go func() {
		defer close(l.done)
		for {
			select {
			case <-ctx.Done():
				return
			case <-opts.After(opts.Every + opts.Jitter(opts.Every)):
			}
			clean(ctx, opts)
		}
	}()
	return l
}

func clean(ctx context.Context, opts LoopOptions) {
	report, err := Run(ctx, opts.Options)
	if err != nil && ctx.Err() == nil {
		opts.Log.Warn("janitor run ended early", "error", err)
	}
	if opts.Done != nil {
		opts.Done(report, err)
	}
}

// Close ends the loop. A run under way stops where it is: whatever it left, the next
// one goes on.
func (l *Loop) Close() {
	l.cancel()
	<-l.done
}
