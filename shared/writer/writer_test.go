package writer_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/bobbindb/bobbin/shared/blob/blobtest"
	"github.com/bobbindb/bobbin/shared/blob/fileblob"
	"github.com/bobbindb/bobbin/shared/catalog"
	"github.com/bobbindb/bobbin/shared/chat"
	"github.com/bobbindb/bobbin/shared/checkpoint"
	"github.com/bobbindb/bobbin/shared/commitlog"
	"github.com/bobbindb/bobbin/shared/partition"
	"github.com/bobbindb/bobbin/shared/store"
	"github.com/bobbindb/bobbin/shared/writer"
)

// Whatever becomes of a PUT: the command has one effect, under its own name and under
// its Idempotency-Key, in this process and in another.
func TestOutcomes(t *testing.T) {
	for _, c := range []struct {
		fault blobtest.Fault
		times int // 0 for as long as the batch lives
		want  *chat.Error
	}{
		{blobtest.NotStored, 1, nil},
		{blobtest.LostReply, 1, nil},
		{blobtest.Conflict409, 1, nil},
		{blobtest.Unavailable503, 1, nil},
		{blobtest.Delayed, 1, nil},
		{blobtest.NotStored, 0, chat.ErrUnknownOutcome},
		{blobtest.Conflict409, 0, chat.ErrUnknownOutcome},
		{blobtest.Delayed, 0, chat.ErrUnknownOutcome},
		{blobtest.Denied, 0, chat.ErrUnwritable},
		{blobtest.Full, 0, chat.ErrUnwritable},
	} {
		t.Run(fmt.Sprintf("%s, %d times", c.fault, c.times), func(t *testing.T) {
			inWorld(t, func(w *world) {
				f := blobtest.NewFaults(w.bucket, nil)
				p, q := w.process(f), w.process(w.bucket)
				p.thread()
				cmd := w.post("once")
				cmd.Idempotency = &chat.Idempotency{Key: chat.Digest{1}, Request: chat.Digest{2}}
				if c.times == 1 {
					once(f, func() blobtest.Fault { return c.fault })
				} else {
					f.Decide(puts(c.fault))
				}
				if c.want == nil {
					p.does(cmd)
				} else {
					p.refuses(cmd, c.want)
					p.holds() // and reads go on
				}
				f.Decide(nil)
				f.Release()
				first := p.does(cmd)
				twin := w.post("once")
				twin.Idempotency = cmd.Idempotency
				for _, again := range []*process{p, q} {
					for _, cmd := range []*chat.Command{cmd, twin} {
						if got := again.does(cmd); !slices.Equal(got.Messages, first.Messages) {
							t.Errorf("Do() = %v, want %v", got.Messages, first.Messages)
						}
					}
				}
				p.does(w.post("next"))
				p.holds("once", "next")
				q.holds("once", "next")
				w.walk()
			})
		})
	}
}

// A commit that lands after its batch was answered is acknowledged for no other batch.
func TestLandsLate(t *testing.T) {
	inWorld(t, func(w *world) {
		f := blobtest.NewFaults(w.bucket, nil)
		p := w.process(f)
		p.thread()
		late := w.post("late")
		f.Decide(puts(blobtest.Delayed))
		p.refuses(late, chat.ErrUnknownOutcome)
		// It lands just before the next batch's PUT.
		once(f, func() blobtest.Fault { f.Release(); return blobtest.None })
		p.does(w.post("next"))
		p.holds("late", "next")
		p.does(late)
		p.holds("late", "next")
		w.walk()
	})
}

func TestFull(t *testing.T) {
	inWorld(t, func(w *world) {
		f := blobtest.NewFaults(w.bucket, nil)
		p := w.process(f)
		p.thread()
		p.does(w.post("before"))
		f.Decide(puts(blobtest.Full))
		for range 3 {
			p.refuses(w.post("full"), chat.ErrUnwritable)
		}
		p.refuses(w.refused(), chat.ErrNotParticipant) // needs no space
		p.holds("before")
		f.Decide(nil)
		p.does(w.post("after"))
		p.holds("before", "after")
	})
}

// A repeated command in a batch that fails is not told that nothing was stored.
func TestRepeatedInAFailedBatch(t *testing.T) {
	for _, c := range []struct {
		fault blobtest.Fault
		want  *chat.Error
	}{{blobtest.Full, chat.ErrUnwritable}, {blobtest.NotStored, chat.ErrUnknownOutcome}} {
		t.Run(c.fault.String(), func(t *testing.T) {
			inWorld(t, func(w *world) {
				f := blobtest.NewFaults(w.bucket, nil)
				p := w.process(f)
				p.thread()
				known := w.post("known")
				p.does(known)
				gate := blocked(f)
				first := p.start(w.post("first"))
				answers := []<-chan error{p.start(known), p.start(w.post("new")), p.start(w.refused())}
				f.Decide(puts(c.fault))
				close(gate)
				if err := <-first; err != nil {
					t.Fatal(err)
				}
				if err := <-answers[0]; !errors.Is(err, chat.ErrUnknownOutcome) {
					t.Errorf("repeated: %v, want outcome unknown", err)
				}
				if err := <-answers[1]; !errors.Is(err, c.want) {
					t.Errorf("new: %v, want %v", err, c.want)
				}
				if err := <-answers[2]; chat.KindOf(err) != chat.Busy {
					t.Errorf("refused: %v, want busy", err)
				}
			})
		})
	}
}

// Two processes commit to one bucket at once: nothing is lost, nothing is there twice,
// and everybody comes to the same state as a replay from the beginning.
func TestTwoWriters(t *testing.T) {
	for _, c := range []struct {
		name string
		ms   time.Duration // of a bucket call
	}{{"near", 0}, {"far", 15 * time.Millisecond}} {
		t.Run(c.name, func(t *testing.T) {
			inWorld(t, func(w *world) {
				const commands, clients = 1000, 10
				far := blobtest.NewLatency(w.bucket, blobtest.LatencyOptions{Get: c.ms, Put: 2 * c.ms})
				a, b := w.process(far), w.process(far)
				a.thread()
				var want []string
				var group sync.WaitGroup
				for client := range clients {
					p := []*process{a, b}[client%2]
					for n := range commands / clients {
						want = append(want, fmt.Sprintf("%d-%d", client, n))
					}
					group.Go(func() {
						for n := range commands / clients {
							p.does(w.post(fmt.Sprintf("%d-%d", client, n)))
						}
					})
				}
				group.Wait()
				a.holds(want...)
				log := w.walk()
				fresh := w.process(w.bucket) // from the empty store
				dump := fresh.dump()
				if a.dump() != dump || b.dump() != dump {
					t.Error("the processes differ from a replay")
				}
				t.Logf("%d commits", len(log))
			})
		})
	}
}

func ahead(d time.Duration) func(*partition.Options, *writer.Options) {
	return func(o *partition.Options, _ *writer.Options) {
		o.Now = func() time.Time { return time.Now().Add(d) }
	}
}

func TestClocks(t *testing.T) {
	inWorld(t, func(w *world) {
		a, b := w.process(w.bucket, ahead(2*time.Second)), w.process(w.bucket, ahead(-2*time.Second))
		a.thread()
		var want []string
		for i := range 20 {
			text := fmt.Sprint(i)
			want = append(want, text)
			[]*process{a, b}[i%2].does(w.post(text))
		}
		if got := a.texts(); !slices.Equal(got, want) {
			t.Errorf("messages = %q, want them in the order of commit", got)
		}
		w.walk() // times increase
	})
}

// Whoever was idle knows an old Date only, and takes commands all the same, by one PUT.
func TestIdleWriter(t *testing.T) {
	inWorld(t, func(w *world) {
		r := blobtest.NewRecorder(w.bucket)
		p := w.process(r)
		p.thread()
		r.Reset()
		time.Sleep(4 * time.Minute)
		p.does(w.post("a"))
		w.wants(r, putLog(2))
		time.Sleep(20 * time.Minute)
		p.does(w.post("b"))
		w.wants(r, putLog(3), "get manifest")
		far := w.post("far")
		far.NotAfter += int64(time.Minute)
		p.refuses(far, chat.ErrBusy)
		passed := w.post("passed")
		passed.NotAfter = time.Now().Add(-6 * time.Second).UnixNano()
		time.Sleep(time.Minute)
		p.refuses(passed, chat.ErrBusy)
	})
}

func TestWrongClock(t *testing.T) {
	inWorld(t, func(w *world) {
		off := time.Hour
		p := w.process(w.bucket, func(o *partition.Options, _ *writer.Options) {
			o.Now = func() time.Time { return time.Now().Add(off) }
		})
		q := w.process(w.bucket)
		q.thread()
		_, err := p.writer.Do(context.Background(), w.post("poison"))
		if !errors.Is(err, chat.ErrUnwritable) || !errors.Is(err, partition.ErrClock) || !strings.Contains(err.Error(), "59m59s") {
			t.Errorf("Do() = %v, want the clock and how far it is off", err)
		}
		p.holds() // it still reads
		off = 0
		p.does(w.post("healthy"))
		q.holds("healthy")
	})
}

// A command is delivered to two writers, minutes apart, the first of them frozen in
// between with its PUT on the way.
func TestDeliveredTwice(t *testing.T) {
	for _, c := range []struct {
		name string
		wait time.Duration
	}{{"minutes", 8 * time.Minute}, {"hours", 3 * time.Hour}} {
		t.Run(c.name, func(t *testing.T) {
			inWorld(t, func(w *world) {
				f := blobtest.NewFaults(w.bucket, nil)
				p, q := w.process(f, patient), w.process(w.bucket)
				p.thread()
				cmd := w.post("once")
				gate := blocked(f)
				first := p.start(cmd)
				time.Sleep(time.Minute)
				q.does(cmd)
				for i := range 10 {
					q.does(w.post(fmt.Sprint(i)))
				}
				time.Sleep(c.wait)
				q.does(w.post("later"))
				close(gate)
				err := <-first
				if c.wait < chat.Lifetime && err != nil {
					t.Errorf("the first delivery: %v", err)
				}
				if c.wait > chat.Lifetime && !errors.Is(err, chat.ErrUnknownOutcome) {
					t.Errorf("the first delivery: %v, want outcome unknown", err)
				}
				p.holds("once", "0", "1", "2", "3", "4", "5", "6", "7", "8", "9", "later")
				q.holds("once", "0", "1", "2", "3", "4", "5", "6", "7", "8", "9", "later")
				w.walk()
			})
		})
	}
}

// patient gives batches more time than any test takes.
func patient(_ *partition.Options, o *writer.Options) { o.Deadline = 24 * time.Hour }

// A writer sleeps with its PUT on the way until the log behind it is forgotten. Its
// number is free again, and what it stores there is nobody's.
func TestZombie(t *testing.T) {
	inWorld(t, func(w *world) {
		f := blobtest.NewFaults(w.bucket, nil)
		p, q := w.process(f, patient), w.process(w.bucket)
		p.thread()
		cmd := w.post("zombie")
		gate := blocked(f)
		first := p.start(cmd)
		for i := range 5 {
			q.does(w.post(fmt.Sprint(i)))
		}
		q.forget()
		time.Sleep(time.Hour)
		q.does(w.post("new"))
		close(gate)
		if err := <-first; !errors.Is(err, chat.ErrUnknownOutcome) {
			t.Errorf("the zombie was told %v, want outcome unknown", err)
		}
		if _, err := w.bucket.Get(w.Context(), w.logKey(2)); err != nil {
			t.Errorf("the old number was not created again, so this proves nothing: %v", err)
		}
		for _, r := range []*process{p, q, w.process(w.bucket)} {
			r.holds("0", "1", "2", "3", "4", "new")
		}
		p.does(w.post("awake"))
		q.holds("0", "1", "2", "3", "4", "new", "awake")
	})
}

// The batch learns that it is behind, and cannot reopen before its time is up: it may
// be in the history that it lost sight of.
func TestBehindAndNoManifest(t *testing.T) {
	inWorld(t, func(w *world) {
		f := blobtest.NewFaults(w.bucket, nil)
		p, q := w.process(f), w.process(w.bucket)
		p.thread()
		once(f, func() blobtest.Fault {
			q.does(w.post("q"))
			q.forget()
			f.Decide(func(c blobtest.Call) blobtest.Fault {
				if c.Key == checkpoint.ManifestKey(w.prefix()) {
					return blobtest.Unavailable503
				}
				return blobtest.None
			})
			return blobtest.None
		})
		p.refuses(w.post("p"), chat.ErrUnknownOutcome)
		f.Decide(nil)
		p.holds("q")
	})
}

// forget takes a checkpoint of what is open, raises the floor to it and, an hour later,
// deletes the log below.
func (p *process) forget() {
	p.Helper()
	m := p.part.Manifest()
	held, err := p.part.Hold()
	if err != nil {
		p.Fatal(err)
	}
	defer held.Release()
	dir := held.Dir + "-checkpoint"
	at, err := held.DB.Checkpoint(context.Background(), dir)
	if err != nil {
		p.Fatal(err)
	}
	defer held.FS.RemoveAll(dir)
	up, err := checkpoint.Upload(context.Background(), p.bucket, checkpoint.UploadOptions{
		FS: held.FS, Dir: dir, Prefix: p.prefix(), Seq: at.Seq, Hash: at.Hash, Time: at.Time,
	})
	if err != nil {
		p.Fatal(err)
	}
	next := *m
	next.Checkpoint, next.Seq, next.Hash, next.Time, next.Floor = up.Key, at.Seq, at.Hash, at.Time, at.Seq
	if m, err = checkpoint.Swap(context.Background(), p.bucket, p.prefix(), m, next); err != nil {
		p.Fatal(err)
	}
	p.part.Extended(held, up.Object, m)
	time.Sleep(time.Hour + time.Minute)
	for seq := commitlog.Seq(1); seq < at.Seq; seq++ {
		if err := p.bucket.Delete(context.Background(), p.logKey(seq)); err != nil {
			p.Fatal(err)
		}
	}
}

// While one commit is under way the next batch gathers, within its bounds.
func TestGroupCommit(t *testing.T) {
	for _, c := range []struct {
		name   string
		change func(*writer.Options)
		want   int // commits for 100 commands
	}{
		{"all", func(*writer.Options) {}, 1},
		{"by count", func(o *writer.Options) { o.BatchCount = 40 }, 3},
		{"by bytes", func(o *writer.Options) { o.BatchBytes = 20 * (512 + 256 + 2) }, 5},
		{"one larger than allowed", func(o *writer.Options) { o.BatchBytes = 1 }, 100},
	} {
		t.Run(c.name, func(t *testing.T) {
			inWorld(t, func(w *world) {
				r := blobtest.NewRecorder(w.bucket)
				f := blobtest.NewFaults(r, nil)
				p := w.process(f, func(_ *partition.Options, o *writer.Options) { c.change(o) })
				p.thread()
				gate := blocked(f)
				first := p.start(w.post("first"))
				var answers []<-chan error
				want := []string{"first"}
				for i := range 100 {
					text := fmt.Sprintf("%02d", i)
					want = append(want, text)
					answers = append(answers, p.start(w.post(text)))
				}
				r.Reset()
				close(gate)
				for _, answer := range append(answers, first) {
					if err := <-answer; err != nil {
						t.Fatal(err)
					}
				}
				if got := r.Count(blobtest.Put); got != 1+c.want {
					t.Errorf("%d PUTs, want %d", got, 1+c.want)
				}
				if r.Count() != r.Count(blobtest.Put) {
					t.Errorf("calls = %v, want PUTs only", r.Calls())
				}
				p.holds(want...)
			})
		})
	}
}

func TestQueueFull(t *testing.T) {
	for _, c := range []struct {
		name   string
		change func(*writer.Options)
	}{
		{"count", func(o *writer.Options) { o.QueueCount = 3 }},
		{"bytes", func(o *writer.Options) { o.QueueBytes = 3 * (512 + 256 + 1) }},
	} {
		t.Run(c.name, func(t *testing.T) {
			inWorld(t, func(w *world) {
				f := blobtest.NewFaults(w.bucket, nil)
				p := w.process(f, func(_ *partition.Options, o *writer.Options) { c.change(o) })
				p.thread()
				gate := blocked(f)
				answers := []<-chan error{p.start(w.post("0"))}
				for i := range 3 {
					answers = append(answers, p.start(w.post(fmt.Sprint(i+1))))
				}
				began := time.Now()
				p.refuses(w.post("x"), chat.ErrBusy)
				if took := time.Since(began); took != 0 {
					t.Errorf("refused after %s", took)
				}
				close(gate)
				for _, answer := range answers {
					if err := <-answer; err != nil {
						t.Error(err)
					}
				}
				p.does(w.post("4"))
				p.holds("0", "1", "2", "3", "4")
			})
		})
	}
}

// A refusal is true only of the state it was made on: without a commit that proves it,
// it waits for a probe sent after the command came.
func TestRefusalIsProbed(t *testing.T) {
	inWorld(t, func(w *world) {
		r := blobtest.NewRecorder(w.bucket)
		p, q := w.process(r), w.process(w.bucket)
		p.thread()
		r.Reset()
		p.refuses(w.refused(), chat.ErrNotParticipant)
		w.wants(r, getLog(2))

		// Another process made what p knows nothing of yet.
		q.does(w.command(&chat.CreateThread{ClientID: "u", Draft: draft("u")}))
		p.does(w.command(&chat.DeleteThread{Thread: chat.ThreadRef{ClientID: "u"}}))
		w.wants(r, getLog(2), getLog(3), getLog(3), putLog(3))

		known := w.post("known")
		p.does(known)
		r.Reset()
		p.does(known)
		w.wants(r, getLog(5))
	})
}

// A refusal beside a commit is proved by it.
func TestRefusalBesideACommit(t *testing.T) {
	inWorld(t, func(w *world) {
		r := blobtest.NewRecorder(w.bucket)
		f := blobtest.NewFaults(r, nil)
		p := w.process(f)
		p.thread()
		gate := blocked(f)
		first, refused, posted := p.start(w.post("0")), p.start(w.refused()), p.start(w.post("1"))
		r.Reset()
		close(gate)
		if err := errors.Join(<-first, <-posted); err != nil {
			t.Error(err)
		}
		if err := <-refused; !errors.Is(err, chat.ErrNotParticipant) {
			t.Errorf("Do() = %v", err)
		}
		w.wants(r, putLog(2), putLog(3))
	})
}

// A writer that was overtaken looks before its next PUTs, and after a while no more.
func TestOvertaken(t *testing.T) {
	inWorld(t, func(w *world) {
		r := blobtest.NewRecorder(w.bucket)
		p, q := w.process(r), w.process(w.bucket)
		p.thread()
		r.Reset()
		p.does(w.post("p"))
		w.wants(r, putLog(2))
		q.does(w.post("q"))
		p.does(w.post("p"))
		w.wants(r, putLog(3), getLog(3), getLog(4), putLog(4))
		q.does(w.post("q"))
		p.does(w.post("p"))
		w.wants(r, getLog(5), getLog(6), putLog(6))
		for range 16 {
			p.does(w.post("p"))
		}
		if got := r.Count(blobtest.Get); got != 16 {
			t.Errorf("%d GETs in 16 commits, want 16", got)
		}
		r.Reset()
		p.does(w.post("p"))
		w.wants(r, putLog(23))
	})
}

// On a folder a PUT costs no more than a look.
func TestOvertakenOnAFolder(t *testing.T) {
	folder, err := fileblob.Open(t.TempDir(), fileblob.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer folder.Close()
	s, err := catalog.New(1)
	if err != nil {
		t.Fatal(err)
	}
	w := &world{T: t, bucket: folder, store: s}
	if err := partition.Create(t.Context(), w.options(folder)); err != nil {
		t.Fatal(err)
	}
	r := blobtest.NewFolderRecorder(folder)
	p, q := w.process(r), w.process(folder)
	defer p.part.Close()
	defer q.part.Close()
	defer p.writer.Close()
	defer q.writer.Close()
	p.thread()
	q.does(w.post("q"))
	p.does(w.post("p"))
	r.Reset()
	p.does(w.post("p"))
	w.wants(r.Recorder, putLog(4), "unchanged manifest")
	p.holds("p", "p", "q")
}

// Those who meet again and again wait for as long as chance says.
func TestJitter(t *testing.T) {
	inWorld(t, func(w *world) {
		q := w.process(w.bucket)
		f := blobtest.NewFaults(w.bucket, nil)
		var asked int
		p := w.process(f, func(_ *partition.Options, o *writer.Options) {
			o.Random = func() float64 { asked++; return 0.5 }
		})
		p.thread()
		losses := 0
		f.Decide(func(c blobtest.Call) blobtest.Fault {
			if c.Op == blobtest.Put && losses < 3 {
				losses++
				q.does(w.post("q"))
			}
			return blobtest.None
		})
		began := time.Now()
		p.does(w.post("p"))
		if took := time.Since(began); asked != 2 || took != 30*time.Millisecond {
			t.Errorf("%d waits of %s in all, want 2 of 30ms: half of 20 and of 40", asked, took)
		}
	})
}

// A client that goes away takes nobody with it, and its own command happens.
func TestClientGoesAway(t *testing.T) {
	inWorld(t, func(w *world) {
		f := blobtest.NewFaults(w.bucket, nil)
		p := w.process(f)
		p.thread()
		gate := blocked(f)
		ctx, cancel := context.WithCancel(context.Background())
		left := make(chan error, 1)
		go func() {
			_, err := p.writer.Do(ctx, w.post("left"))
			left <- err
		}()
		synctest.Wait()
		stays := p.start(w.post("stays"))
		cancel()
		if err := <-left; !errors.Is(err, chat.ErrUnknownOutcome) {
			t.Errorf("Do() = %v, want outcome unknown", err)
		}
		close(gate)
		if err := <-stays; err != nil {
			t.Error(err)
		}
		p.holds("left", "stays")
	})
}

func TestCloseDrains(t *testing.T) {
	inWorld(t, func(w *world) {
		f := blobtest.NewFaults(w.bucket, nil)
		p := w.process(f)
		p.thread()
		gate := blocked(f)
		answers := []<-chan error{p.start(w.post("0")), p.start(w.post("1")), p.start(w.post("2"))}
		closed := make(chan struct{})
		go func() {
			p.writer.Close()
			p.writer.Close() // as often as one likes
			close(closed)
		}()
		synctest.Wait()
		p.refuses(w.post("x"), chat.ErrBusy)
		select {
		case <-closed:
			t.Error("closed with commands under way")
		default:
		}
		close(gate)
		<-closed
		for _, answer := range answers {
			if err := <-answer; err != nil {
				t.Error(err)
			}
		}
		p.holds("0", "1", "2")
	})
}

// A command's time runs out while its batch loses races: a twin of it may have been
// answered and forgotten.
func TestNotAfterRunsOut(t *testing.T) {
	inWorld(t, func(w *world) {
		f := blobtest.NewFaults(w.bucket, nil)
		p, q := w.process(f, patient), w.process(w.bucket)
		p.thread()
		old := w.post("old")
		old.NotAfter = time.Now().Add(time.Minute).UnixNano()
		gate := blocked(f)
		first := p.start(w.post("first"))
		both := []<-chan error{p.start(old), p.start(w.post("young"))}
		once(f, func() blobtest.Fault {
			time.Sleep(2 * time.Minute)
			q.does(w.post("q"))
			return blobtest.None
		})
		close(gate)
		if err := errors.Join(<-first, <-both[1]); err != nil {
			t.Error(err)
		}
		if err := <-both[0]; !errors.Is(err, chat.ErrUnknownOutcome) {
			t.Errorf("Do() = %v, want outcome unknown", err)
		}
		p.holds("first", "young", "q")
	})
}

func TestFrozenAndSealed(t *testing.T) {
	inWorld(t, func(w *world) {
		p, q := w.process(w.bucket), w.process(w.bucket)
		p.thread()
		known := w.post("known")
		p.does(known)
		until := time.Now().Add(time.Minute)
		q.control(store.ControlFreeze, store.EncodeFreeze(store.Freeze{Until: until.UnixNano()}))
		p.refuses(w.post("frozen"), chat.ErrFrozen)
		p.does(known)
		p.holds("known")
		time.Sleep(time.Minute + time.Second)
		q.does(w.post("thawed")) // whoever comes first commits the thaw
		p.does(w.post("on"))
		thaws := 0
		for _, c := range w.walk() {
			for _, op := range c.Ops {
				if op.Kind == commitlog.OpControl && string(op.Key) == store.ControlThaw {
					thaws++
				}
			}
		}
		if thaws != 1 {
			t.Errorf("%d thaws, want 1", thaws)
		}
		q.control(store.ControlSeal, store.EncodeSeal(store.Seal{Next: "main-2"}))
		_, err := p.writer.Do(context.Background(), w.post("sealed"))
		if !errors.Is(err, chat.ErrUnwritable) || !errors.Is(err, partition.ErrSealed) || !strings.Contains(err.Error(), "main-2") {
			t.Errorf("Do() = %v, want the next branch", err)
		}
		p.does(known)
		p.holds("known", "thawed", "on")
	})
}

// What this release cannot read is no reason to try again.
func TestUnknownRecord(t *testing.T) {
	inWorld(t, func(w *world) {
		p, q := w.process(w.bucket), w.process(w.bucket)
		p.thread()
		if err := q.part.Probe(w.Context()); err != nil {
			t.Fatal(err)
		}
		base, err := q.part.Base()
		if err != nil {
			t.Fatal(err)
		}
		op := commitlog.Op{Kind: commitlog.OpControl, Key: []byte("of the future"), Value: []byte{}}
		q.part.Append(w.Context(), base, commitlog.Nonce{1}, []commitlog.Op{op}) // is stored, and stops q
		base.Close()
		began := time.Now()
		_, err = p.writer.Do(context.Background(), w.post("x"))
		if chat.KindOf(err) != chat.Internal || !errors.Is(err, store.ErrUnknownRecord) || time.Since(began) > time.Second {
			t.Errorf("Do() = %v after %s", err, time.Since(began))
		}
	})
}

// A table that the janitor took is met while deciding: the batch is decided again on
// the newest checkpoint.
func TestTableGone(t *testing.T) {
	inWorld(t, func(w *world) {
		q := w.process(w.bucket)
		q.thread()
		q.forget()
		q.does(w.post("0"))
		q.forget()
		old := q.part.Manifest()
		p := w.process(w.bucket, func(o *partition.Options, _ *writer.Options) { o.Use = store.Lazy })
		q.does(w.post("1"))
		q.forget()
		object, err := checkpoint.Load(w.Context(), w.bucket, old.Checkpoint)
		if err != nil {
			t.Fatal(err)
		}
		for i := range object.Tables {
			if err := w.bucket.Delete(w.Context(), object.Tables[i].Key()); err != nil {
				t.Fatal(err)
			}
		}
		p.does(w.post("2"))
		p.holds("0", "1", "2")
	})
}
