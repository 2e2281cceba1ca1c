package writer_test

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
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
	"github.com/bobbindb/bobbin/shared/partition"
	"github.com/bobbindb/bobbin/shared/replica"
	"github.com/bobbindb/bobbin/shared/seal/sealtest"
	"github.com/bobbindb/bobbin/shared/store"
	"github.com/bobbindb/bobbin/shared/writer"
)

// world is a store of one partition in a bucket in memory, in a bubble whose clock
// passes only while everybody waits.
type world struct {
	*testing.T
	bucket blob.Bucket // as it is, without faults
	store  *catalog.Store
	ids    atomic.Uint64
}

func inWorld(t *testing.T, test func(*world)) {
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
		if w.store, err = catalog.New(1); err != nil {
			t.Fatal(err)
		}
		if err := partition.Create(t.Context(), w.options(w.bucket)); err != nil {
			t.Fatal(err)
		}
		test(w)
	})
}

func (w *world) options(bucket blob.Bucket) partition.Options {
	return partition.Options{
		Bucket: bucket, Store: w.store, Branch: w.store.Branch, Use: store.Live, BlockCache: 1 << 20,
		Now: time.Now, Release: "test", Log: slog.New(slog.DiscardHandler),
	}
}

// process is a partition, its writer and its replica, as one process has them.
type process struct {
	*world
	part   *partition.Partition
	writer *writer.Writer
	reader *replica.Replica
}

// process starts one on a bucket of its own.
func (w *world) process(bucket blob.Bucket, change ...func(*partition.Options, *writer.Options)) *process {
	w.Helper()
	opts := w.options(bucket)
	hasher := chat.NewHasher(w.store.Salt)
	wopts := writer.Options{Hasher: hasher, Log: opts.Log}
	for _, c := range change {
		c(&opts, &wopts)
	}
	p, err := partition.Open(w.Context(), opts)
	if err != nil {
		w.Fatal(err)
	}
	out := &process{world: w, part: p, writer: writer.New(p, wopts)}
	out.reader = &replica.Replica{Store: w.store, Partitions: []*partition.Partition{p}, Hasher: hasher}
	w.Cleanup(func() {
		out.writer.Close()
		if err := p.Close(); err != nil {
			w.Error(err)
		}
	})
	return out
}

var ada = chat.Owner{User: "ada"}

// command gives an action of ada's a new name.
func (w *world) command(a chat.Action) *chat.Command {
	cmd := &chat.Command{
		Caller: ada, Slot: chat.NewHasher(w.store.Salt).Owner(ada).Slot(),
		NotAfter: time.Now().Add(chat.Lifetime).UnixNano(), Action: a,
	}
	binary.BigEndian.PutUint64(cmd.ID[:], w.ids.Add(1))
	return cmd
}

func draft(text string) chat.Draft {
	return chat.Draft{Size: len(text), Seal: func(chat.ThreadID, int64, uint32, []chat.DataKey) (chat.Texts, *chat.DataKey, error) {
		return chat.Texts{Title: sealtest.Frame(1, []byte(text)), Body: sealtest.Frame(1, []byte(text))}, &chat.DataKey{ID: 1}, nil
	}}
}

// thread makes ada's thread, which is named "t".
func (p *process) thread() {
	p.Helper()
	p.does(p.command(&chat.CreateThread{ClientID: "t", Draft: draft("thread")}))
}

func (w *world) post(text string) *chat.Command {
	return w.command(&chat.PostMessages{Thread: chat.ThreadRef{ClientID: "t"}, Messages: []chat.NewMessage{{Draft: draft(text)}}})
}

// refused is a command that is refused on every state.
func (w *world) refused() *chat.Command {
	return w.command(&chat.DeleteThread{Thread: chat.ThreadRef{ClientID: "none"}})
}

func (p *process) does(cmd *chat.Command) chat.Result {
	p.Helper()
	result, err := p.writer.Do(context.Background(), cmd)
	if err != nil {
		p.Fatalf("Do() = %v", err)
	}
	return result
}

// refuses wants the command to be refused so.
func (p *process) refuses(cmd *chat.Command, want *chat.Error) {
	p.Helper()
	if _, err := p.writer.Do(context.Background(), cmd); !errors.Is(err, want) {
		p.Errorf("Do() = %v, want %v", err, want)
	}
}

// start sends a command and returns where its answer comes.
func (p *process) start(cmd *chat.Command) <-chan error {
	answer := make(chan error, 1)
	go func() {
		_, err := p.writer.Do(context.Background(), cmd)
		answer <- err
	}()
	synctest.Wait()
	return answer
}

// texts are the messages of ada's thread, by a strong read.
func (p *process) texts() []string {
	p.Helper()
	query := chat.MessageQuery{Cursor: chat.Cursor{Limit: 10000}}
	page, _, err := p.reader.Messages(context.Background(), ada, chat.ThreadRef{ClientID: "t"}, query, chat.ReadOptions{})
	if err != nil {
		p.Fatalf("Messages() = %v", err)
	}
	var texts []string
	for _, m := range page.Messages {
		text, err := sealtest.Unframe(m.Body)
		if err != nil {
			p.Fatal(err)
		}
		texts = append(texts, string(text))
	}
	return texts
}

// holds wants ada's thread to hold these messages, in whatever order.
func (p *process) holds(want ...string) {
	p.Helper()
	got := p.texts()
	slices.Sort(got)
	slices.Sort(want)
	if !slices.Equal(got, want) {
		p.Errorf("messages = %q, want %q", got, want)
	}
}

// dump is everything in the partition, as text.
func (p *process) dump() string {
	p.Helper()
	v, err := p.part.Read(context.Background(), partition.Freshness{})
	if err != nil {
		p.Fatal(err)
	}
	defer v.Close()
	var b strings.Builder
	fmt.Fprintln(&b, v.Position())
	err = v.EachThread(0, 1<<16-1, func(t *chat.Thread) error {
		fmt.Fprintf(&b, "%+v\n", *t)
		return v.EachMessage(t, func(m *chat.Message) error {
			fmt.Fprintf(&b, "%+v\n", *m)
			return nil
		})
	})
	if err != nil {
		p.Fatal(err)
	}
	return b.String()
}

func (w *world) prefix() string { return catalog.Prefix(w.store.Branch, 0) }

func (w *world) logKey(seq commitlog.Seq) string { return w.prefix() + "/log/" + seq.String() }

// walk reads the whole log, which must be one chain.
func (w *world) walk() []*commitlog.Commit {
	w.Helper()
	l := commitlog.New(w.bucket, w.prefix())
	tail, err := l.Tail(w.Context(), 0, commitlog.Genesis(w.store.ID, 0))
	if err != nil {
		w.Fatal(err)
	}
	for i, c := range tail.Commits {
		if i > 0 && c.Time <= tail.Commits[i-1].Time {
			w.Errorf("commit %s is not later than the one before", c.Seq)
		}
	}
	return tail.Commits
}

// control commits a control record.
func (p *process) control(name string, value []byte) {
	p.Helper()
	if err := p.part.Probe(context.Background()); err != nil {
		p.Fatal(err)
	}
	base, err := p.part.Base()
	if err != nil {
		p.Fatal(err)
	}
	defer base.Close()
	op := commitlog.Op{Kind: commitlog.OpControl, Key: []byte(name), Value: value}
	if _, err := p.part.Append(context.Background(), base, commitlog.Nonce{1}, []commitlog.Op{op}); err != nil {
		p.Fatal(err)
	}
}

// puts lets a fault befall every PUT of a commit, until the test says otherwise.
func puts(fault blobtest.Fault) func(blobtest.Call) blobtest.Fault {
	return func(c blobtest.Call) blobtest.Fault {
		if c.Op == blobtest.Put && strings.Contains(c.Key, "/log/") {
			return fault
		}
		return blobtest.None
	}
}

// once lets something happen at the first PUT of a commit.
func once(f *blobtest.Faults, do func() blobtest.Fault) {
	var done atomic.Bool
	f.Decide(func(c blobtest.Call) blobtest.Fault {
		if c.Op == blobtest.Put && strings.Contains(c.Key, "/log/") && done.CompareAndSwap(false, true) {
			return do()
		}
		return blobtest.None
	})
}

// blocked holds the first PUT of a commit back until the channel is closed.
func blocked(f *blobtest.Faults) chan struct{} {
	gate := make(chan struct{})
	once(f, func() blobtest.Fault { <-gate; return blobtest.None })
	return gate
}

// wants compares the calls of a recorder and forgets them.
func (w *world) wants(r *blobtest.Recorder, want ...string) {
	w.Helper()
	var got []string
	for _, c := range r.Calls() {
		got = append(got, string(c.Op)+" "+strings.TrimPrefix(c.Key, w.prefix()+"/"))
	}
	r.Reset()
	if !slices.Equal(got, want) {
		w.Errorf("calls = %q, want %q", got, want)
	}
}

func getLog(seq commitlog.Seq) string { return "get log/" + seq.String() }
func putLog(seq commitlog.Seq) string { return "put log/" + seq.String() }
