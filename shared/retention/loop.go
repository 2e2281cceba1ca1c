package retention

import (
	"context"
	"time"
)

// LoopOptions says how often to purge.
type LoopOptions struct {
	Every  time.Duration
	Jitter func(time.Duration) time.Duration // what to add to each wait, so that processes do not run in step; nil for nothing
	Done   func(Report, error)               // called after each pass; nil logs an error
}

// Loop purges a store again and again.
type Loop struct {
	cancel context.CancelFunc
	done   chan struct{}
}

// StartLoop starts a loop that first waits, then purges. Close ends it.
func StartLoop(p *Purger, opts LoopOptions) *Loop {
	if opts.Jitter == nil {
		opts.Jitter = func(time.Duration) time.Duration { return 0 }
	}
	ctx, cancel := context.WithCancel(context.Background())
	if opts.Done == nil {
		opts.Done = func(_ Report, err error) {
			if err != nil && ctx.Err() == nil {
				p.Log.Warn("purge ended early; the next goes on", "error", err)
			}
		}
	}
	l := &Loop{cancel: cancel, done: make(chan struct{})}
	go func() {
		defer close(l.done)
		timer := time.NewTimer(opts.Every + opts.Jitter(opts.Every))
		defer timer.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-timer.C:
			}
			report, err := p.Purge(ctx, nil)
			opts.Done(report, err)
			timer.Reset(opts.Every + opts.Jitter(opts.Every))
		}
	}()
	return l
}

// Close ends the loop. A pass under way stops where it is: the next one goes on.
func (l *Loop) Close() {
	l.cancel()
	<-l.done
}
