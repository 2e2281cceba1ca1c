package compactor

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"github.com/bobbindb/bobbin/shared/partition"
)

// The tail that is worth a checkpoint.
const (
	askCommits = 64
	askBytes   = 4 << 20
)

// LoopOptions says how a loop takes checkpoints.
type LoopOptions struct {
	Options
	Every time.Duration                        // at most one checkpoint in this time, but for a long tail; 0 means 10 s
	Long  int64                                // bytes of a tail that does not wait for Every; 0 means 16 MiB
	After func(time.Duration) <-chan time.Time // nil for time.After
	Log   *slog.Logger
	Taken func(Result, error) // called after each checkpoint, taken or not; nil for nobody
}

const (
	defaultEvery = 10 * time.Second
	defaultLong  = 16 << 20
	restShare    = 2
	maxRetry     = 5 * time.Minute
)

// Loop takes a partition's checkpoints in a process that stays up: one at a time, when
// asked, and not too often.
type Loop struct {
	LoopOptions
	part   *partition.Partition
	asked  chan struct{} // has room for one
	long   chan struct{} // the tail is long, or was; has room for one
	stop   chan struct{} // closed by Close
	done   chan struct{} // closed when the goroutine has ended
	cancel context.CancelFunc
	once   sync.Once

	mu   sync.Mutex
	mark int64 // how often the tail since the last checkpoint was worth asking
}

// StartLoop starts the loop. Close ends it.
func StartLoop(p *partition.Partition, opts LoopOptions) *Loop {
	if opts.Every <= 0 {
		opts.Every = defaultEvery
	}
	if opts.Long <= 0 {
		opts.Long = defaultLong
	}
	if opts.After == nil {
		opts.After = time.After
	}
	if opts.Log == nil {
		opts.Log = slog.New(slog.DiscardHandler)
	}
	ctx, cancel := context.WithCancel(context.Background())
	l := &Loop{
		LoopOptions: opts,
		part:        p,
		asked:       make(chan struct{}, 1),
		long:        make(chan struct{}, 1),
		stop:        make(chan struct{}),
		done:        make(chan struct{}),
		cancel:      cancel,
	}
	go l.run(ctx)
	return l
}

// Committed hears of every commit, with the tail that it left: it asks for a checkpoint
// at 64 commits and at each further multiple, and at each 4 MiB. It returns at once.
func (l *Loop) Committed(tail partition.Tail) {
	mark := max(int64(tail.Commits/askCommits), tail.Bytes/askBytes)
	l.mu.Lock()
	more := mark > l.mark
	l.mark = mark
	l.mu.Unlock()
	if more {
		l.Ask()
	}
	if tail.Bytes >= l.Long {
		signal(l.long)
	}
}

// Ask asks for a checkpoint and returns at once. Any number of them before the next one
// begins come to one.
func (l *Loop) Ask() { signal(l.asked) }

func signal(to chan<- struct{}) {
	select {
	case to <- struct{}{}:
	default:
	}
}

// run serves what is asked. After a checkpoint it rests, so that one holds whatever was
// written meanwhile; after a failure it tries again by itself. A rest ends early where the
// tail is long, once it was restShare times as long as the checkpoint before it: a process
// that is killed under load leaves little to replay, and one is under way at most a third
// of the time.
func (l *Loop) run(ctx context.Context) {
	defer close(l.done)
	for retry := time.Duration(0); ; {
		if retry == 0 {
			select {
			case <-l.stop:
				return
			case <-l.asked:
			}
		}
		began, over := l.Now(), l.After(max(l.Every, retry))
		long := l.long
		if err := l.take(ctx); err == nil {
			retry = 0
		} else {
			retry, long = min(max(l.Every, 2*retry), maxRetry), nil
			l.Log.Warn("checkpoint was not taken", "error", err, "partition", l.part.Number)
		}
		ended := l.Now()
		if !l.rest(over, long, ended.Add(restShare*ended.Sub(began))) {
			return
		}
	}
}

// rest waits until the rest is over, or the tail is long and the time given has come. It
// returns false when the loop is to end.
func (l *Loop) rest(over <-chan time.Time, long <-chan struct{}, earliest time.Time) bool {
	for {
		select {
		case <-l.stop:
			return false
		case <-over:
			return true
		case <-long:
		}
		if l.part.Tail().Bytes < l.Long {
			continue // it was, before the checkpoint
		}
		left := earliest.Sub(l.Now())
		if left <= 0 {
			return true
		}
		select {
		case <-l.stop:
			return false
		case <-over:
			return true
		case <-l.After(left):
			return true
		}
	}
}

func (l *Loop) take(ctx context.Context) error {
	result, err := Take(ctx, l.part, l.Options)
	if l.Taken != nil {
		l.Taken(result, err)
	}
	return err
}

// Close ends the loop and takes a last checkpoint when there is any tail. What is under
// way is waited for until ctx ends. Without the last checkpoint nothing is lost but the
// next opening's time.
func (l *Loop) Close(ctx context.Context) error {
	l.once.Do(func() { close(l.stop) })
	stop := context.AfterFunc(ctx, l.cancel)
	<-l.done
	stop()
	l.cancel()
	if l.part.Tail().Commits == 0 {
		return nil
	}
	return l.take(ctx)
}
