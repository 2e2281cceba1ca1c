// Package retention purges what has been soft-deleted for longer than it is kept, and
// what has expired.
//
// It finds what is due in the picture of a partition that is here already, and sends a
// chat.Purge for each thread; the writer decides on the newest state, so that what
// somebody brought back meanwhile stays. Nothing of a pass is kept but what its commits
// did: one that broke off is continued by the next, in whatever process, and two at once
// do no harm. A partition that has nothing due is asked for nothing, and is not looked at
// again before it changes or its next item is due.
package retention

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"time"

	"golang.org/x/sync/semaphore"

	"github.com/bobbindb/bobbin/shared/blob"
	"github.com/bobbindb/bobbin/shared/catalog"
	"github.com/bobbindb/bobbin/shared/chat"
	"github.com/bobbindb/bobbin/shared/commitlog"
	"github.com/bobbindb/bobbin/shared/partition"
	"github.com/bobbindb/bobbin/shared/store"
)

// Options says what is purged, and how.
type Options struct {
	Store      *catalog.Store
	Partitions []*partition.Partition // by number
	Writer     chat.Writer            // nil for a Purger that only counts
	Keep       time.Duration          // for which what is soft-deleted is kept

	Now     func() time.Time
	NewID   func() chat.CommandID
	Log     *slog.Logger
	Metrics Metrics // nil for nobody
}

// Metrics is who counts what is purged.
type Metrics interface {
	Purged(threads, messages int)
	PurgePassed(err error)
}

const (
	// step is how many messages one command looks at.
	step = 256

	// underway is how many messages and threads are on their way to the writer at once.
	// So many together are what one commit holds at most.
	underway = 1024

	// shown is how many items a report names.
	shown = 100
)

// Report is what a pass purged or, of a dry one, what it would have.
type Report struct {
	DryRun   bool   `json:"dry_run"`
	Threads  int    `json:"threads"`
	Messages int    `json:"messages"` // those of the threads included
	Items    []Item `json:"items"`    // of a dry run, the first hundred
}

// Item is a thread or message that is due.
type Item struct {
	Key      string `json:"key"`
	Cause    string `json:"cause"`    // "deleted" or "expired"
	Since    int64  `json:"since_ts"` // when it was deleted, or expired
	Messages int    `json:"messages"` // in a thread; 1 for a message
}

// Purger purges a store.
type Purger struct {
	Options

	mu    sync.Mutex
	quiet []quiet // by partition
}

// quiet is a partition that had nothing due.
type quiet struct {
	seq  commitlog.Seq // as it was
	next int64         // when it will have; 0 for never
	ok   bool
}

// New returns a Purger.
func New(opts Options) *Purger {
	if opts.Log == nil {
		opts.Log = slog.New(slog.DiscardHandler)
	}
	return &Purger{Options: opts, quiet: make([]quiet, len(opts.Partitions))}
}

// Purge purges what is due in every partition. progress is told after each step; nil for
// nobody. What it reports with an error was done.
func (p *Purger) Purge(ctx context.Context, progress func(Report)) (Report, error) {
	report := Report{Items: []Item{}}
	var errs []error
	for number := range p.Partitions {
		s := &sweep{Purger: p, number: number, report: &report, progress: progress}
		if err := s.run(ctx); err != nil {
			errs = append(errs, fmt.Errorf("purge partition %d: %w", number, err))
		}
	}
	err := errors.Join(errs...)
	if p.Metrics != nil {
		p.Metrics.PurgePassed(err)
	}
	if report.Threads+report.Messages > 0 {
		p.Log.Info("purged what was due", "threads", report.Threads, "messages", report.Messages)
	}
	return report, err
}

// sweep is a pass over one partition.
type sweep struct {
	*Purger
	number int

	progress func(Report)
	mu       sync.Mutex
	report   *Report
}

func (s *sweep) part() *partition.Partition { return s.Partitions[s.number] }

// run purges one partition. Whether there is anything to do it finds out from what is
// here; only then it asks the bucket what others did.
func (s *sweep) run(ctx context.Context) error {
	if s.isQuiet() {
		return nil
	}
	due, err := s.look(ctx)
	if err != nil || !due {
		return err
	}
	if err := s.part().Probe(ctx); err != nil {
		return err
	}
	if err := s.forget(ctx); err != nil {
		return err
	}
	return s.pages(func(page []store.Due) error { return s.purge(ctx, page) })
}

func (s *sweep) isQuiet() bool {
	s.Purger.mu.Lock()
	defer s.Purger.mu.Unlock()
	q := s.quiet[s.number]
	return q.ok && q.seq == s.part().Position().Seq && (q.next == 0 || s.Now().UnixNano() < q.next)
}

// look reports whether anything is due, and remembers the partition when nothing is.
func (s *sweep) look(ctx context.Context) (due bool, err error) {
	v, err := s.part().View()
	if err != nil {
		return false, err
	}
	defer v.Close()
	now := s.Now().UnixNano()
	next, err := v.Stale()
	if err != nil || next != 0 && next <= now {
		return true, err
	}
	for _, slots := range s.slots() {
		page, err := v.Due(s.query(slots, 1, now))
		if err != nil || len(page.Items) > 0 {
			return true, err
		}
		if page.Deleted != 0 {
			next = first(next, page.Deleted+int64(s.Keep))
		}
		next = first(next, page.Expired)
	}
	s.Purger.mu.Lock()
	defer s.Purger.mu.Unlock()
	s.quiet[s.number] = quiet{seq: v.Position().Seq, next: next, ok: true}
	return false, ctx.Err()
}

// first is the earlier of two times of which 0 is none.
func first(a, b int64) int64 { return min(cmp.Or(a, b), cmp.Or(b, a)) }

// slots are the partition's.
func (s *sweep) slots() (ranges []catalog.SlotRange) {
	for _, r := range s.Store.Slots {
		if r.Partition == s.number {
			ranges = append(ranges, r)
		}
	}
	return ranges
}

func (s *sweep) query(slots catalog.SlotRange, limit int, now int64) store.DueQuery {
	return store.DueQuery{From: slots.From, To: slots.To, Deleted: now - int64(s.Keep), Expired: now, Limit: limit}
}

// pages calls use with all that is due, in parts of bounded size, each read from a new
// picture.
func (s *sweep) pages(use func([]store.Due) error) error {
	for _, slots := range s.slots() {
		q := s.query(slots, underway, s.Now().UnixNano())
		for more := true; more; more = q.After != nil {
			v, err := s.part().View()
			if err != nil {
				return err
			}
			page, err := v.Due(q)
			if err := errors.Join(err, v.Close()); err != nil {
				return err
			}
			if err := use(page.Items); err != nil {
				return err
			}
			q.After = page.After
		}
	}
	return nil
}

// forget lets go of remembered answers whose time is over, where no other command will.
func (s *sweep) forget(ctx context.Context) error {
	v, err := s.part().View()
	if err != nil {
		return err
	}
	stale, err := v.Stale()
	if err := errors.Join(err, v.Close()); err != nil {
		return err
	}
	if stale == 0 || stale > s.Now().UnixNano() {
		return nil
	}
	slots := s.slots()
	if len(slots) == 0 {
		return nil
	}
	_, err = s.send(ctx, &chat.Purge{Thread: chat.ThreadID{Slot: slots[0].From}})
	return err
}

// purge purges some of what is due, thread by thread and side by side.
func (s *sweep) purge(ctx context.Context, page []store.Due) error {
	room := semaphore.NewWeighted(underway)
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var work sync.WaitGroup
	for _, one := range byThread(page) {
		work.Go(func() {
			if err := s.purgeThread(ctx, room, one); err != nil {
				cancel(err)
			}
		})
	}
	work.Wait()
	return context.Cause(ctx)
}

// dueThread is what is due of one thread.
type dueThread struct {
	id       chat.ThreadID
	whole    bool    // the thread itself
	messages []int64 // those of its messages that are due by themselves, ascending
}

// byThread sorts what is due by thread, in the order in which it was found.
func byThread(page []store.Due) (threads []*dueThread) {
	known := map[chat.ThreadID]*dueThread{}
	for _, d := range page {
		t := known[d.Thread]
		if t == nil {
			t = &dueThread{id: d.Thread}
			known[d.Thread] = t
			threads = append(threads, t)
		}
		if d.Message == 0 {
			t.whole = true
		} else {
			t.messages = append(t.messages, d.Message)
		}
	}
	for _, t := range threads {
		slices.Sort(t.messages)
		t.messages = slices.Compact(t.messages)
	}
	return threads
}

// purgeThread purges what is due of one thread, in steps.
func (s *sweep) purgeThread(ctx context.Context, room *semaphore.Weighted, t *dueThread) error {
	if t.whole {
		return s.purgeWhole(ctx, room, t.id)
	}
	for part := range slices.Chunk(t.messages, step) {
		if _, err := s.purgeSome(ctx, room, t.id, part); err != nil {
			return err
		}
	}
	return nil
}

// purgeWhole purges a thread with all its messages: until none is left, or the writer
// says that it stays.
func (s *sweep) purgeWhole(ctx context.Context, room *semaphore.Weighted, id chat.ThreadID) error {
	for after := int64(0); ; {
		v, err := s.part().View()
		if err != nil {
			return err
		}
		times, err := v.MessageTimes(id, after, step)
		if err := errors.Join(err, v.Close()); err != nil {
			return err
		}
		got, err := s.purgeSome(ctx, room, id, times)
		if err != nil || got.Left == 0 || len(times) < step {
			return err
		}
		after = times[len(times)-1]
	}
}

// purgeSome sends one command, once there is room for it.
func (s *sweep) purgeSome(ctx context.Context, room *semaphore.Weighted, id chat.ThreadID, messages []int64) (chat.Purged, error) {
	weight := int64(1 + len(messages))
	if err := room.Acquire(ctx, weight); err != nil {
		return chat.Purged{}, err
	}
	defer room.Release(weight)
	got, err := s.send(ctx, &chat.Purge{Thread: id, Messages: messages, Retention: s.Keep})
	if err != nil {
		return got, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.report.Threads += got.Threads
	s.report.Messages += got.Messages
	if s.progress != nil {
		s.progress(*s.report)
	}
	if s.Metrics != nil {
		s.Metrics.Purged(got.Threads, got.Messages)
	}
	return got, nil
}

const (
	sendTries  = 5 // of one command, the first included
	firstPause = 100 * time.Millisecond
)

// send sends one command, and again where it found no room or nobody knows what became
// of it: twice it does no more than once.
func (s *sweep) send(ctx context.Context, a *chat.Purge) (purged chat.Purged, err error) {
	for try := range sendTries {
		if err := blob.Pause(ctx, firstPause, try); err != nil {
			return chat.Purged{}, err
		}
		var result chat.Result
		result, err = s.Writer.Do(ctx, &chat.Command{
			ID: s.NewID(), Slot: a.Thread.Slot, NotAfter: s.Now().Add(chat.Lifetime).UnixNano(), Action: a,
		})
		passing := errors.Is(err, chat.ErrBusy) || errors.Is(err, chat.ErrUnavailable) || chat.KindOf(err) == chat.Unknown
		if purged = result.Purged; !passing {
			break
		}
	}
	return purged, err
}
