package partition_test

import (
	"errors"
	"sync/atomic"
	"testing"
	"time"

	"github.com/bobbindb/bobbin/shared/blob"
	"github.com/bobbindb/bobbin/shared/blob/blobtest"
	"github.com/bobbindb/bobbin/shared/blob/fileblob"
	"github.com/bobbindb/bobbin/shared/checkpoint"
	"github.com/bobbindb/bobbin/shared/commitlog"
	"github.com/bobbindb/bobbin/shared/partition"
)

var strong = partition.Freshness{}

func TestProofAge(t *testing.T) {
	const floor = "get manifest"
	for _, c := range []struct {
		name string
		wait time.Duration
		off  time.Duration // of the bucket's Date, afterwards
		want []string
	}{
		{"4m59s", 5*time.Minute - time.Second, 0, []string{getLog(2)}},
		{"5m", 5 * time.Minute, 0, []string{getLog(2)}},
		{"5m01s", 5*time.Minute + time.Second, 0, []string{getLog(2), floor}},
		{"dated 5s before", time.Second, -6 * time.Second, []string{getLog(2)}},
		{"dated 6s before", time.Second, -7 * time.Second, []string{getLog(2), floor}},
	} {
		t.Run(c.name, func(t *testing.T) {
			inWorld(t, func(w *world) {
				r := blobtest.NewRecorder(w.bucket)
				p := w.open(r)
				w.commit(p, "a")
				r.Reset()
				time.Sleep(c.wait)
				w.off.Store(int64(c.off))
				w.reads(p, strong, "a")
				w.wants(r, c.want...)
				w.reads(p, strong, "a")
				w.wants(r, getLog(2))
			})
		})
	}
}

// The proof's age counts for an append as well.
func TestProofAgeOfAppend(t *testing.T) {
	inWorld(t, func(w *world) {
		r := blobtest.NewRecorder(w.bucket)
		p := w.open(r)
		r.Reset()
		time.Sleep(4*time.Minute + 59*time.Second)
		w.commit(p, "a")
		w.wants(r, putLog(1))
		time.Sleep(4*time.Minute + 59*time.Second)
		w.commit(p, "b")
		w.wants(r, putLog(2))
		time.Sleep(5*time.Minute + time.Second)
		w.commit(p, "c")
		w.wants(r, putLog(3), "get manifest")
	})
}

// Who meets others' commits, one every few minutes, looks at the floor all the same: a
// commit that is there proves nothing about the next.
func TestFoundCommitIsNoProof(t *testing.T) {
	inWorld(t, func(w *world) {
		q := w.open(w.bucket)
		r := blobtest.NewRecorder(w.bucket)
		f := blobtest.NewFaults(r, nil)
		p := w.open(f, func(o *partition.Options) { o.Timeout = time.Hour })
		w.commits(q, "q", 3)
		r.Reset()
		f.Decide(func(c blobtest.Call) blobtest.Fault {
			if c.Key == w.logKey(2) || c.Key == w.logKey(3) {
				time.Sleep(4 * time.Minute)
			}
			return blobtest.None
		})
		w.reads(p, strong, "q2")
		w.wants(r, getLog(1), getLog(2), getLog(3), "get manifest", getLog(4))
	})
}

// Nor does a lost number: what has it is somebody's commit.
func TestLostAppendIsNoProof(t *testing.T) {
	inWorld(t, func(w *world) {
		q := w.open(w.bucket)
		r := blobtest.NewRecorder(w.bucket)
		p := w.open(r)
		w.commits(q, "q", 2)
		r.Reset()
		time.Sleep(4 * time.Minute)
		_, err := w.try(p, "p")
		w.is(err, commitlog.ErrLost)
		w.wants(r, putLog(1), getLog(1))
		time.Sleep(2 * time.Minute)
		_, err = w.try(p, "p")
		w.is(err, commitlog.ErrLost)
		w.wants(r, putLog(2), getLog(2), "get manifest")
	})
}

func TestFolderAlwaysLooks(t *testing.T) {
	w := &world{T: t}
	folder, err := fileblob.Open(t.TempDir(), fileblob.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer folder.Close()
	w.bucket = folder
	w.create()
	r := blobtest.NewFolderRecorder(folder)
	p := w.open(r)
	defer p.Close()
	r.Reset()
	w.commit(p, "a")
	w.wants(r.Recorder, putLog(1), "unchanged manifest")
	w.reads(p, strong, "a")
	w.wants(r.Recorder, getLog(2), "unchanged manifest")
	w.touch(0) // another process swaps it
	w.reads(p, strong, "a")
	w.wants(r.Recorder, getLog(2), "unchanged manifest", "get manifest")
	w.reads(p, strong, "a")
	w.wants(r.Recorder, getLog(2), "unchanged manifest")

	q := w.open(folder)
	defer q.Close()
	w.commit(q, "b")
	w.reads(p, strong, "b")
	w.wants(r.Recorder, getLog(2), "unchanged manifest", getLog(3), "unchanged manifest")
}

// frozen is a partition that was put to sleep at commit 3, and woke three hours later:
// others went on to commit 20, took a checkpoint and forgot the log below it.
func frozen(w *world, bucket blob.Bucket) (p, q *partition.Partition) {
	w.Helper()
	p = w.open(bucket)
	w.commits(p, "p", 3)
	q = w.open(w.bucket)
	pass(w, q)
	return p, q
}

func pass(w *world, q *partition.Partition) {
	w.Helper()
	time.Sleep(time.Hour)
	w.reads(q, strong)
	w.commits(q, "q", 17)
	w.checkpoint(q)
	w.forget()
	time.Sleep(time.Hour)
}

func TestZombieReads(t *testing.T) {
	inWorld(t, func(w *world) {
		r := blobtest.NewRecorder(w.bucket)
		p, q := frozen(w, r)
		w.commit(q, "new")
		w.reads(p, partition.Freshness{Consistency: 1}, "p2", "-new") // it asked for nothing newer
		r.Reset()
		w.reads(p, strong, "p2", "q16", "new")
		if r.Count(blobtest.Get) < 3 || r.Calls()[1].Key != checkpoint.ManifestKey(w.prefix()) {
			t.Errorf("calls = %v", r.Calls())
		}
	})
}

// A zombie creates its old number again. Nobody is told that it worked, and nobody
// reads it.
func TestZombieAppends(t *testing.T) {
	inWorld(t, func(w *world) {
		p, q := frozen(w, w.bucket)
		_, err := w.try(p, "junk")
		w.is(err, commitlog.ErrBehind)
		if _, err := w.bucket.Get(w.Context(), w.logKey(4)); err != nil {
			t.Errorf("the old number was not created again, so this proves nothing: %v", err)
		}
		w.reads(p, partition.Freshness{Consistency: 1}, "q16", "-junk")
		if seq := w.commit(p, "p3"); seq != 21 {
			t.Errorf("Append() = %s, want 21", seq)
		}
		w.reads(q, strong, "p3", "-junk")
		w.reads(w.open(w.bucket), strong, "q16", "p3", "-junk")
	})
}

// The zombie's PUT was on its way when it fell asleep, and a read in the same process
// reopens before the answer is looked at: the proof is fresh then, but not of the
// number that was created.
func TestZombieAppendsBehindAReopening(t *testing.T) {
	inWorld(t, func(w *world) {
		f := blobtest.NewFaults(w.bucket, nil)
		p := w.open(f)
		w.commits(p, "p", 3)
		q := w.open(w.bucket)
		f.Decide(on(blobtest.Put, w.logKey(4), func() blobtest.Fault {
			pass(w, q)
			w.reads(p, strong, "q16")
			return blobtest.None
		}))
		base, err := p.Base()
		if err != nil {
			t.Fatal(err)
		}
		defer base.Close()
		_, err = p.Append(noDeadline{}, base, w.nonce(), set("junk"))
		w.is(err, commitlog.ErrBehind)
		if _, err := w.bucket.Get(w.Context(), w.logKey(4)); err != nil {
			t.Errorf("the old number was not created again, so this proves nothing: %v", err)
		}
		w.reads(p, strong, "q16", "-junk")
	})
}

// The same for a probe: it was told that the old number is not there, by a log that was
// forgotten, and an append reopens before that answer is looked at.
func TestZombieProbesBehindAReopening(t *testing.T) {
	inWorld(t, func(w *world) {
		l := &late{Bucket: w.bucket}
		p, q := frozen(w, l)
		l.once(blobtest.Get, w.logKey(4), func() {
			_, err := w.try(p, "junk")
			w.is(err, commitlog.ErrBehind)
			w.commit(q, "new") // after p's reopening, acknowledged before the read below comes
		})
		probed := make(chan error)
		go func() { probed <- p.Probe(w.Context()) }()
		if err := <-probed; err != nil {
			t.Fatal(err)
		}
		w.reads(p, partition.Freshness{Consistency: 1}, "new", "-junk")
	})
}

// Between the PUT that met a commit and the look at it the commit is forgotten.
func TestExistsThenGone(t *testing.T) {
	inWorld(t, func(w *world) {
		f := blobtest.NewFaults(w.bucket, nil)
		p := w.open(f)
		w.commits(p, "p", 3)
		q := w.open(w.bucket)
		w.commits(q, "q", 17)
		w.checkpoint(q)
		f.Decide(on(blobtest.Get, w.logKey(4), func() blobtest.Fault {
			f.Decide(nil)
			w.forget()
			return blobtest.None
		}))
		base, err := p.Base()
		if err != nil {
			t.Fatal(err)
		}
		defer base.Close()
		_, err = p.Append(noDeadline{}, base, w.nonce(), set("x"))
		w.is(err, commitlog.ErrBehind)
		if seq := w.commit(p, "y"); seq != 21 {
			t.Errorf("Append() = %s, want 21", seq)
		}
		w.reads(q, strong, "y", "-x")
	})
}

// An opening falls asleep between the manifest and the log. When it wakes, what
// followed is forgotten, and a zombie has put junk in its place, which chains.
func TestOpenAsleep(t *testing.T) {
	inWorld(t, func(w *world) {
		z := w.open(w.bucket)
		w.commits(z, "z", 3)
		w.checkpoint(z)
		q := w.open(w.bucket)
		f := blobtest.NewFaults(w.bucket, nil)
		f.Decide(on(blobtest.Get, w.logKey(4), func() blobtest.Fault {
			f.Decide(nil)
			pass(w, q)
			_, err := w.try(z, "junk")
			w.is(err, commitlog.ErrBehind)
			return blobtest.None
		}))
		w.reads(w.open(f), partition.Freshness{Consistency: 1}, "z2", "q16", "-junk")
	})
}

func TestClock(t *testing.T) {
	for _, c := range []struct {
		name string
		off  time.Duration // of the bucket's clock
		slow time.Duration // that an answer takes after it was dated
		want error
	}{
		{"right", 0, 0, nil},
		{"4s behind", 4 * time.Second, 0, nil},
		{"4s ahead", -4 * time.Second, 0, nil},
		{"ahead within the second that a Date leaves out", -5900 * time.Millisecond, 0, nil},
		{"5.1s behind", 5100 * time.Millisecond, 0, partition.ErrClock},
		{"6.1s ahead", -6100 * time.Millisecond, 0, partition.ErrClock},
		{"an hour behind", time.Hour, 0, partition.ErrClock},
		{"an hour ahead", -time.Hour, 0, partition.ErrClock},
		{"slow answer", 0, 8 * time.Second, nil},
		{"slow answer, an hour ahead", -time.Hour, 8 * time.Second, partition.ErrClock},
	} {
		t.Run(c.name, func(t *testing.T) {
			inWorld(t, func(w *world) {
				l := &late{Bucket: w.bucket}
				l.with(func(blobtest.Op, string) { time.Sleep(c.slow) })
				w.off.Store(int64(c.off))
				p := w.open(l)
				base, err := p.Base()
				if !errors.Is(err, c.want) {
					t.Errorf("Base() = %v, want %v", err, c.want)
				}
				if err == nil {
					base.Close()
				}
				// A slow answer does not hide what a quick one showed.
				l.with(func(blobtest.Op, string) { time.Sleep(6 * time.Second) })
				w.reads(p, strong)
				if _, err := w.try(p, "x"); !errors.Is(err, c.want) {
					t.Errorf("Append() = %v, want %v", err, c.want)
				}
			})
		})
	}
}

// Time goes on within a partition whatever the clocks of those who commit say.
func TestTimesIncrease(t *testing.T) {
	inWorld(t, func(w *world) {
		ahead := w.open(w.bucket, func(o *partition.Options) {
			o.Now = func() time.Time { return time.Now().Add(4 * time.Second) }
		})
		behind := w.open(w.bucket)
		var last int64
		for i := range 6 {
			p := []*partition.Partition{ahead, behind}[i%2]
			w.reads(p, strong)
			w.commit(p, string(rune('a'+i)))
			v, err := p.View()
			if err != nil {
				t.Fatal(err)
			}
			if at := v.Position().Time; at <= last {
				t.Errorf("commit %d has time %d, after %d", i+1, at, last)
			}
			last = v.Position().Time
			v.Close()
		}
	})
}

func TestManifestNotToBeServed(t *testing.T) {
	for _, c := range []struct {
		name   string
		change func(*checkpoint.Manifest)
		want   error
	}{
		{"deleted", func(m *checkpoint.Manifest) { m.State = "deleted" }, checkpoint.ErrGone},
		{"of a newer release", func(m *checkpoint.Manifest) { m.Formats.Max = 1000 }, commitlog.ErrUnknownFormat},
	} {
		t.Run(c.name, func(t *testing.T) {
			inWorld(t, func(w *world) {
				p := w.open(w.bucket)
				m := p.Manifest()
				next := *m
				c.change(&next)
				if _, err := checkpoint.Swap(w.Context(), w.bucket, w.prefix(), m, next); err != nil {
					t.Fatal(err)
				}
				_, err := partition.Open(w.Context(), w.options(w.bucket))
				w.is(err, c.want)
				time.Sleep(time.Hour)
				w.is(p.Probe(w.Context()), c.want)
				_, err = w.try(p, "x")
				w.is(err, c.want, commitlog.ErrUnknown)
			})
		})
	}
}

// slowLook is a folder whose next look at an object that may be unchanged waits.
type slowLook struct {
	blob.Folder
	next atomic.Pointer[chan struct{}] // is received from once, then sent to
}

func (s *slowLook) Unchanged(key string, tag blob.ETag) bool {
	if gate := s.next.Swap(nil); gate != nil {
		*gate <- struct{}{}
		<-*gate
	}
	return s.Folder.Unchanged(key, tag)
}

// Readers who find nothing new do not wait for each other's look at the manifest.
func TestFolderReadersDoNotQueue(t *testing.T) {
	w := &world{T: t}
	folder, err := fileblob.Open(t.TempDir(), fileblob.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer folder.Close()
	w.bucket = folder
	w.create()
	slow := &slowLook{Folder: folder}
	p := w.open(slow)
	defer p.Close()
	w.commit(p, "a")
	gate, read := make(chan struct{}), make(chan struct{})
	slow.next.Store(&gate)
	go func() {
		defer close(read)
		w.reads(p, strong, "a")
	}()
	<-gate
	w.reads(p, strong, "a")
	q := w.open(folder)
	defer q.Close()
	w.commit(q, "b")
	w.reads(p, strong, "b")
	gate <- struct{}{}
	<-read
	w.reads(p, strong, "b")
}
