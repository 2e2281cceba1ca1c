package retention_test

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/bobbindb/bobbin/shared/blob"
	"github.com/bobbindb/bobbin/shared/blob/blobtest"
	"github.com/bobbindb/bobbin/shared/blob/memblob"
	"github.com/bobbindb/bobbin/shared/catalog"
	"github.com/bobbindb/bobbin/shared/chat"
	"github.com/bobbindb/bobbin/shared/checkpoint"
	"github.com/bobbindb/bobbin/shared/commitlog"
	"github.com/bobbindb/bobbin/shared/job"
	"github.com/bobbindb/bobbin/shared/partition"
	"github.com/bobbindb/bobbin/shared/replica"
	"github.com/bobbindb/bobbin/shared/retention"
	"github.com/bobbindb/bobbin/shared/seal/sealtest"
	"github.com/bobbindb/bobbin/shared/store"
	"github.com/bobbindb/bobbin/shared/writer"
)

// keep is short: every second of a bubble's clock costs something where a database is
// open.
const keep = time.Hour

// world is a store in a bucket in memory, in a bubble whose clock passes only while
// everybody waits.
type world struct {
	*testing.T
	bucket blob.Bucket
	store  *catalog.Store
	ids    atomic.Uint64
}

func inWorld(t *testing.T, partitions int, test func(*world)) {
	t.Helper()
	// What compresses keeps a channel for the process, which must not be a bubble's.
	body, err := new(checkpoint.Object).Encode()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := checkpoint.Decode(body); err != nil {
		t.Fatal(err)
	}
	synctest.Test(t, func(t *testing.T) {
		w := &world{T: t, bucket: memblob.New(time.Now)}
		if w.store, err = catalog.New(partitions); err != nil {
			t.Fatal(err)
		}
		for n := range partitions {
			if err := partition.Create(t.Context(), w.options(w.bucket, n)); err != nil {
				t.Fatal(err)
			}
		}
		test(w)
	})
}

func (w *world) options(bucket blob.Bucket, number int) partition.Options {
	return partition.Options{
		Bucket: bucket, Store: w.store, Branch: w.store.Branch, Number: number, Use: store.Live, BlockCache: 1 << 20,
		Now: time.Now, Release: "test", Log: slog.New(slog.DiscardHandler),
	}
}

// process is what one process has of the store.
type process struct {
	*world
	parts   []*partition.Partition
	writers *writer.Set
	service *chat.Service
	purger  *retention.Purger
	close   func()
}

func (w *world) process(bucket blob.Bucket) *process {
	w.Helper()
	hasher := chat.NewHasher(w.store.Salt)
	p := &process{world: w, writers: &writer.Set{Store: w.store}}
	for n := range w.store.Partitions() {
		part, err := partition.Open(w.Context(), w.options(bucket, n))
		if err != nil {
			w.Fatal(err)
		}
		p.parts = append(p.parts, part)
		p.writers.Writers = append(p.writers.Writers, writer.New(part, writer.Options{Hasher: hasher, Log: slog.New(slog.DiscardHandler)}))
	}
	newID := func() (id chat.CommandID) {
		binary.BigEndian.PutUint64(id[:], w.ids.Add(1))
		return id
	}
	p.service = &chat.Service{
		Reader: &replica.Replica{Store: w.store, Partitions: p.parts, Hasher: hasher},
		Writer: p.writers, Sealer: sealtest.Copier{}, Hasher: hasher, Now: time.Now, NewID: newID,
	}
	p.purger = retention.New(retention.Options{
		Store: w.store, Partitions: p.parts, Writer: p.writers, Keep: keep, Now: time.Now, NewID: newID,
	})
	p.close = sync.OnceFunc(func() {
		p.writers.Close()
		for _, part := range p.parts {
			if err := part.Close(); err != nil {
				w.Error(err)
			}
		}
	})
	w.Cleanup(p.close)
	return p
}

func call(user string) chat.Call { return chat.Call{Caller: chat.Owner{User: user}} }

// thread makes a user's thread with some messages.
func (p *process) thread(user string, messages int) (chat.ThreadRef, []chat.MessageID) {
	p.Helper()
	r, err := p.service.CreateThread(context.Background(), call(user), chat.NewThread{Title: "t"})
	if err != nil {
		p.Fatal(err)
	}
	ref := chat.ThreadRef{ID: r.Thread}
	var ids []chat.MessageID
	for len(ids) < messages {
		posts := make([]chat.Post, min(100, messages-len(ids)))
		for i := range posts {
			posts[i].Body = fmt.Appendf(nil, "%d", len(ids)+i)
		}
		r, err := p.service.PostMessages(context.Background(), call(user), ref, posts)
		if err != nil {
			p.Fatal(err)
		}
		ids = append(ids, r.Messages...)
	}
	return ref, ids
}

func (p *process) deleteThread(user string, ref chat.ThreadRef) {
	p.Helper()
	if _, err := p.service.DeleteThread(context.Background(), call(user), ref, nil); err != nil {
		p.Fatal(err)
	}
}

func (p *process) deleteMessage(user string, ref chat.ThreadRef, id chat.MessageID) {
	p.Helper()
	if _, err := p.service.DeleteMessage(context.Background(), call(user), ref, chat.MessageRef{ID: id}, nil); err != nil {
		p.Fatal(err)
	}
}

// purges wants a pass to purge so much.
func (p *process) purges(threads, messages int) {
	p.Helper()
	got, err := p.purger.Purge(context.Background(), nil)
	if err != nil || got.Threads != threads || got.Messages != messages {
		p.Errorf("Purge() = %+v, %v, want %d threads and %d messages", got, err, threads, messages)
	}
}

// counts wants a dry run to find so much.
func (p *process) counts(threads, messages int) retention.Report {
	p.Helper()
	got, err := p.purger.Count(context.Background())
	if err != nil || got.Threads != threads || got.Messages != messages {
		p.Errorf("Count() = %+v, %v, want %d threads and %d messages", got, err, threads, messages)
	}
	return got
}

// audit compares indexes and counters with records, and returns what is there.
func (p *process) audit() (all store.Totals) {
	p.Helper()
	for _, part := range p.parts {
		v, err := part.Read(context.Background(), partition.Freshness{})
		if err != nil {
			p.Fatal(err)
		}
		findings, totals, err := v.Audit(chat.NewHasher(p.store.Salt))
		if err := errors.Join(err, v.Close()); err != nil {
			p.Fatal(err)
		}
		for _, f := range findings {
			p.Errorf("partition %d: %s", part.Number, f)
		}
		all.Threads += totals.Threads
		all.DeletedThreads += totals.DeletedThreads
		all.PurgedThreads += totals.PurgedThreads
		all.Messages += totals.Messages
		all.DeadMessages += totals.DeadMessages
		all.IndexEntries += totals.IndexEntries
	}
	return all
}

// holds wants so much to be there.
func (p *process) holds(threads, deleted, messages, dead uint64) {
	p.Helper()
	got := p.audit()
	got.IndexEntries = 0
	if want := (store.Totals{Threads: threads, DeletedThreads: deleted, Messages: messages, DeadMessages: dead}); got != want {
		p.Errorf("totals = %+v, want %+v", got, want)
	}
}

func TestPurge(t *testing.T) {
	inWorld(t, 3, func(w *world) {
		p := w.process(w.bucket)
		var users []string
		for n := range 12 {
			users = append(users, fmt.Sprint("user", n))
		}
		for _, user := range users {
			gone, _ := p.thread(user, 3)
			p.deleteThread(user, gone)
			stays, ids := p.thread(user, 4)
			p.deleteMessage(user, stays, ids[1])
			_, err := p.service.CreateThread(w.Context(), call(user), chat.NewThread{
				Title: "t", Expires: time.Now().Add(keep + time.Hour).UnixNano(), Messages: []chat.Post{{Body: []byte("1")}},
			})
			if err != nil {
				w.Fatal(err)
			}
		}
		p.holds(24, 12, 12*7, 12)
		p.counts(0, 0)
		p.purges(0, 0)
		time.Sleep(keep + time.Second)
		report := p.counts(12, 12*4)
		if len(report.Items) != 24 || report.Items[0].Cause != "deleted" || report.Items[0].Since == 0 {
			w.Errorf("items = %+v", report.Items)
		}
		p.purges(12, 12*4)
		p.counts(0, 0)
		p.holds(24, 0, 12*4, 0)
		time.Sleep(2 * time.Hour)
		if report := p.counts(12, 12); report.Items[0].Cause != "expired" {
			w.Errorf("items = %+v", report.Items)
		}
		p.purges(12, 12)
		p.holds(12, 0, 12*3, 0)
		for _, user := range users {
			page, _, err := p.service.ListThreads(w.Context(), call(user), chat.ThreadQuery{Cursor: chat.Cursor{Limit: 10}})
			if err != nil || len(page.Threads) != 1 || page.Total != 1 {
				w.Errorf("threads of %s: %+v, %v, want one", user, page.Page, err)
			}
		}
	})
}

// What is due under two causes, or goes with its thread, counts once.
func TestCountsOnce(t *testing.T) {
	inWorld(t, 1, func(w *world) {
		p := w.process(w.bucket)
		soon := time.Now().Add(time.Hour).UnixNano()
		r, err := p.service.CreateThread(w.Context(), call("ada"), chat.NewThread{
			Title: "t", Expires: soon, Messages: []chat.Post{{Body: []byte("1"), Expires: soon}, {Body: []byte("2")}},
		})
		if err != nil {
			w.Fatal(err)
		}
		p.deleteThread("ada", chat.ThreadRef{ID: r.Thread})
		stays, _ := p.thread("ada", 2)
		posted, err := p.service.PostMessage(w.Context(), call("ada"), stays, chat.Post{Body: []byte("3"), Expires: soon})
		if err != nil {
			w.Fatal(err)
		}
		p.deleteMessage("ada", stays, posted.Messages[0])
		time.Sleep(keep + time.Second)
		if report := p.counts(1, 3); len(report.Items) != 2 {
			w.Errorf("items = %+v", report.Items)
		}
		p.purges(1, 3)
		p.holds(1, 0, 2, 0)
	})
}

// Where nothing is due the bucket is asked for nothing, whatever is to come.
func TestNothingDueCostsNothing(t *testing.T) {
	inWorld(t, 1, func(w *world) {
		recorder := blobtest.NewRecorder(w.bucket)
		p := w.process(recorder)
		gone, _ := p.thread("ada", 3)
		p.deleteThread("ada", gone)
		p.thread("ada", 3)
		time.Sleep(keep / 2)
		p.purges(0, 0) // lets go of what commands are remembered by
		recorder.Reset()
		for range 20 {
			time.Sleep(time.Minute)
			p.purges(0, 0)
		}
		if n := recorder.Count(); n != 0 {
			w.Errorf("passes with nothing due made %d calls, want none: %v", n, recorder.Calls())
		}
		time.Sleep(keep + time.Second)
		p.purges(1, 3)
		if list, put := recorder.Count(blobtest.List), recorder.Count(blobtest.Put); list != 0 || put != 1 {
			w.Errorf("one thread is purged by %v, want one commit", recorder.Calls())
		}
		recorder.Reset()
		p.purges(0, 0)
		if n := recorder.Count(); n != 0 {
			w.Errorf("the next pass made %d calls: %v", n, recorder.Calls())
		}
	})
}

// Answers that are remembered go once their time is over, also where nobody commits.
func TestStaleAnswersGo(t *testing.T) {
	inWorld(t, 1, func(w *world) {
		p := w.process(w.bucket)
		keyed := call("ada")
		keyed.IdempotencyKey, keyed.Method = "key", "POST"
		if _, err := p.service.CreateThread(w.Context(), keyed, chat.NewThread{Title: "t"}); err != nil {
			w.Fatal(err)
		}
		remembered := func() (n int) {
			v, err := p.parts[0].View()
			if err != nil {
				w.Fatal(err)
			}
			defer v.Close()
			for _, prefix := range []byte{1, 2} {
				from, to := store.PrefixRange([]byte{prefix})
				keys, err := v.Keys(from, to, false, 10)
				if err != nil {
					w.Fatal(err)
				}
				n += len(keys)
			}
			return n
		}
		for _, tt := range []struct {
			wait time.Duration
			want int
		}{{0, 2}, {40 * time.Minute, 1}, {3 * 24 * time.Hour, 0}} {
			p.close()
			time.Sleep(tt.wait)
			p = w.process(w.bucket)
			p.purges(0, 0)
			if got := remembered(); got != tt.want {
				w.Errorf("after %s %d answers are remembered, want %d", tt.wait, got, tt.want)
			}
		}
		before := p.parts[0].Position()
		for range 10 {
			time.Sleep(10 * time.Minute)
			p.purges(0, 0)
		}
		if after := p.parts[0].Position(); after != before {
			w.Errorf("an idle store went from %d to %d", before.Seq, after.Seq)
		}
	})
}

// A thread of any length goes in commits of bounded size.
func TestLongThread(t *testing.T) {
	messages := 100_001
	if testing.Short() {
		messages = 5_001
	}
	inWorld(t, 1, func(w *world) {
		p := w.process(w.bucket)
		long, _ := p.thread("ada", messages)
		p.deleteThread("ada", long)
		time.Sleep(keep + time.Second)
		from := p.parts[0].Position().Seq
		var steps []int
		got, err := p.purger.Purge(context.Background(), func(r retention.Report) { steps = append(steps, r.Messages) })
		if err != nil || got.Threads != 1 || got.Messages != messages {
			w.Errorf("Purge() = %+v, %v", got, err)
		}
		p.holds(0, 0, 0, 0)
		if entries := p.audit().IndexEntries; entries != 0 {
			w.Errorf("%d index entries are left", entries)
		}
		if want := messages/256 + 1; len(steps) != want {
			w.Errorf("%d steps, want %d", len(steps), want)
		}
		w.bounded(p, from)
	})
}

// bounded wants every commit after one to be small.
func (w *world) bounded(p *process, from commitlog.Seq) {
	w.Helper()
	commits, err := p.parts[0].Commits(w.Context(), from+1, p.parts[0].Position().Seq)
	if err != nil {
		w.Fatal(err)
	}
	for _, c := range commits {
		if len(c.Ops) > 8<<10 || c.Bytes() > 512<<10 {
			w.Errorf("commit %s has %d ops of %d bytes", c.Seq, len(c.Ops), c.Bytes())
		}
	}
}

// So do many short ones, many to a commit.
func TestManyThreads(t *testing.T) {
	inWorld(t, 1, func(w *world) {
		p := w.process(w.bucket)
		const threads = 1500
		for range threads {
			ref, _ := p.thread("ada", 1)
			p.deleteThread("ada", ref)
		}
		time.Sleep(keep + time.Second)
		from := p.parts[0].Position().Seq
		p.close()
		p = w.process(blobtest.NewLatency(w.bucket, blobtest.LatencyOptions{Put: 30 * time.Millisecond}))
		p.purges(threads, threads)
		p.holds(0, 0, 0, 0)
		if n := p.parts[0].Position().Seq - from; n > 20 {
			w.Errorf("%d commits for %d threads", n, threads)
		}
		w.bounded(p, from)
	})
}

// logPut reports whether a call writes a commit.
func logPut(c blobtest.Call) bool {
	return c.Op == blobtest.Put && strings.Contains(c.Key, "/log/")
}

// due makes a store with something of everything to purge, and waits until it is due.
// Purging it takes several commits.
func (w *world) due() {
	w.Helper()
	p := w.process(w.bucket)
	long, _ := p.thread("ada", 1500)
	p.deleteThread("ada", long)
	stays, ids := p.thread("bob", 10)
	for _, id := range ids[:4] {
		p.deleteMessage("bob", stays, id)
	}
	short, _ := p.thread("bob", 2)
	p.deleteThread("bob", short)
	p.close()
	time.Sleep(keep + time.Second)
}

const dueThreads, dueMessages = 2, 1506

// A process that dies at any commit leaves a store that is whole, and another goes on.
func TestDeath(t *testing.T) {
	for _, fault := range []blobtest.Fault{blobtest.Denied, blobtest.LostReply} { // before the commit, and after it
		for at := 1; ; at++ {
			survived := false
			inWorld(t, 1, func(w *world) {
				w.due()
				commits := 0
				var dead atomic.Bool
				faults := blobtest.NewFaults(w.bucket, func(c blobtest.Call) blobtest.Fault {
					if logPut(c) {
						if commits++; commits == at {
							dead.Store(true)
							return fault
						}
					}
					if dead.Load() {
						return blobtest.Denied
					}
					return blobtest.None
				})
				p := w.process(faults)
				_, err := p.purger.Purge(w.Context(), nil)
				if survived = !dead.Load(); survived != (err == nil) {
					w.Errorf("Purge() = %v of a process that survived %t", err, survived)
				}
				other := w.process(w.bucket)
				other.audit()
				if _, err := other.purger.Purge(w.Context(), nil); err != nil {
					w.Error(err)
				}
				other.holds(1, 0, 6, 0)
			})
			if survived {
				if at < 4 {
					t.Errorf("a purge made %d commits: too few to be broken off", at-1)
				}
				break
			}
		}
	}
}

// Whatever befalls whichever commit, nothing is purged twice and nothing is left.
func TestFaults(t *testing.T) {
	for fault := blobtest.NotStored; fault <= blobtest.Full; fault++ {
		for at := 1; at <= 4; at++ {
			t.Run(fmt.Sprintf("%s at commit %d", fault, at), func(t *testing.T) {
				inWorld(t, 1, func(w *world) {
					w.due()
					commits := 0
					faults := blobtest.NewFaults(w.bucket, func(c blobtest.Call) blobtest.Fault {
						if logPut(c) {
							if commits++; commits == at {
								return fault
							}
						}
						return blobtest.None
					})
					p := w.process(faults)
					_, err := p.purger.Purge(w.Context(), nil)
					if passes := fault != blobtest.Denied && fault != blobtest.Full; passes != (err == nil) {
						w.Errorf("Purge() = %v", err)
					}
					p.audit()
					faults.Release()
					if _, err := p.purger.Purge(w.Context(), nil); err != nil {
						w.Error(err)
					}
					p.holds(1, 0, 6, 0)
				})
			})
		}
	}
}

// Two processes that purge at once, while a third writes, purge everything once.
func TestSideBySide(t *testing.T) {
	inWorld(t, 1, func(w *world) {
		w.due()
		var threads, messages atomic.Int64
		var work sync.WaitGroup
		for range 2 {
			p := w.process(blobtest.NewLatency(w.bucket, blobtest.LatencyOptions{Get: 5 * time.Millisecond, Put: 10 * time.Millisecond}))
			work.Go(func() {
				got, err := p.purger.Purge(context.Background(), nil)
				if err != nil {
					w.Error(err)
				}
				threads.Add(int64(got.Threads))
				messages.Add(int64(got.Messages))
			})
		}
		p := w.process(w.bucket)
		work.Go(func() { p.thread("eve", 500) })
		work.Wait()
		if threads.Load() != dueThreads || messages.Load() != dueMessages {
			w.Errorf("both purged %d threads and %d messages, want %d and %d", threads.Load(), messages.Load(), dueThreads, dueMessages)
		}
		p.holds(2, 0, 506, 0)
	})
}

// What comes back between the look and the commit stays, with all that is in it.
func TestUndeletedMeanwhile(t *testing.T) {
	inWorld(t, 1, func(w *world) {
		p := w.process(w.bucket)
		ref, ids := p.thread("ada", 600)
		p.deleteMessage("ada", ref, ids[3])
		p.deleteThread("ada", ref)
		time.Sleep(keep + time.Second)
		faults := blobtest.NewFaults(w.bucket, nil)
		other := w.process(faults)
		var once sync.Once
		faults.Decide(func(c blobtest.Call) blobtest.Fault {
			if logPut(c) {
				once.Do(func() { // the purge is decided and on its way
					_, err := p.service.UndeleteThread(context.Background(), call("ada"), ref)
					if err == nil {
						_, err = p.service.UndeleteMessage(context.Background(), call("ada"), ref, chat.MessageRef{ID: ids[3]})
					}
					if err != nil {
						w.Error(err)
					}
				})
			}
			return blobtest.None
		})
		other.purges(0, 0)
		other.holds(1, 0, 600, 0)
	})
}

func TestLoop(t *testing.T) {
	inWorld(t, 1, func(w *world) {
		faults := blobtest.NewFaults(w.bucket, nil)
		p := w.process(faults)
		ref, _ := p.thread("ada", 3)
		p.deleteThread("ada", ref)
		type pass struct {
			retention.Report
			err error
		}
		passes := make(chan pass)
		began := time.Now()
		loop := retention.StartLoop(p.purger, retention.LoopOptions{
			Every:  2 * time.Minute,
			Jitter: func(d time.Duration) time.Duration { return d / 8 },
			Done:   func(r retention.Report, err error) { passes <- pass{r, err} },
		})
		for range 26 {
			if got := <-passes; got.err != nil || got.Threads != 0 {
				w.Errorf("pass = %+v", got)
			}
		}
		if took := time.Since(began); took != 26*135*time.Second {
			w.Errorf("26 passes took %s, want one every 2m15s", took)
		}
		faults.Decide(func(blobtest.Call) blobtest.Fault { return blobtest.Denied })
		<-passes
		if got := <-passes; !errors.Is(got.err, blob.ErrDenied) {
			w.Errorf("pass without permission: %v", got.err)
		}
		faults.Decide(nil)
		if got := <-passes; got.err != nil || got.Threads != 1 || got.Messages != 3 {
			w.Errorf("pass = %+v, want the thread", got)
		}
		loop.Close()
	})
}

func TestWork(t *testing.T) {
	inWorld(t, 1, func(w *world) {
		w.due()
		p := w.process(w.bucket)
		work := p.purger.Work()
		for body, kind := range map[string]chat.Kind{`{"dry_run":1}`: chat.Invalid, `[]`: chat.Invalid, `{"dry_run":true,"more":1}`: chat.Invalid, `{"dry_run":true}`: 0, ``: 0} {
			if err := work.Check([]byte(body)); chat.KindOf(err) != kind || (err == nil) != (kind == 0) {
				w.Errorf("Check(%s) = %v", body, err)
			}
		}
		runner := job.New(job.Options{
			Bucket: w.bucket, Kinds: map[job.Kind]job.Work{retention.Kind: work}, Name: "r", Now: time.Now,
			Nonce: func() string { return fmt.Sprint("n", w.ids.Add(1)) },
		})
		defer runner.Close()
		for _, tt := range []struct{ request, want string }{
			{`{"dry_run":true}`, fmt.Sprintf(`{"dry_run":true,"threads":%d,"messages":%d,"items":[{"key":"t:`, dueThreads, dueMessages)},
			{`{}`, fmt.Sprintf(`{"dry_run":false,"threads":%d,"messages":%d,"items":[]}`, dueThreads, dueMessages)},
		} {
			started, err := runner.Start(w.Context(), retention.Kind, []byte(tt.request), "")
			if err != nil {
				w.Fatal(err)
			}
			synctest.Wait()
			got, err := runner.Get(w.Context(), started.ID)
			if err != nil || got.State != job.Done || !strings.HasPrefix(string(got.Result), tt.want) {
				w.Errorf("job = %+v, result %s, want %s", got, got.Result, tt.want)
			}
		}
		p.holds(1, 0, 6, 0)
	})
}
