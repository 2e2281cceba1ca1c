package engine_test

import (
	"context"
	"sync/atomic"
	"testing"
	"time"

	mathrand "math/rand/v2"

	"github.com/bobbindb/bobbin/shared/blob"
	"github.com/bobbindb/bobbin/shared/blob/blobtest"
	"github.com/bobbindb/bobbin/shared/blob/memblob"
	"github.com/bobbindb/bobbin/shared/chat"
	"github.com/bobbindb/bobbin/test/engine"
)

// What an operation asks of the bucket is behaviour: it is what a function pays for and
// waits for.
func TestRequests(t *testing.T) {
	ctx := t.Context()
	recorder := blobtest.NewRecorder(memblob.New(time.Now))
	s, err := engine.Create(ctx, recorder, 1)
	if err != nil {
		t.Fatal(err)
	}
	threads, err := engine.Fill(ctx, recorder, s, 20_000, 100)
	if err != nil {
		t.Fatal(err)
	}
	call := chat.Call{Caller: chat.Owner{User: "u1"}}
	query := chat.MessageQuery{Cursor: chat.Cursor{Limit: 50}}
	random := mathrand.NewChaCha8([32]byte{7})
	cold := func(t *testing.T, most int) *engine.Engine {
		t.Helper()
		recorder.Reset()
		e, err := engine.Open(ctx, recorder, s)
		if err != nil {
			t.Fatal(err)
		}
		page, _, err := e.Service.ListMessages(ctx, call, chat.ThreadRef{ID: threads[3]}, query)
		if err != nil || len(page.Messages) != 50 {
			t.Fatalf("ListMessages() = %d messages, %v", len(page.Messages), err)
		}
		if n := recorder.Count(); n > most || recorder.Count(blobtest.Get, blobtest.GetRange) != n {
			t.Errorf("a cold page took %d requests, want at most %d, all of them reads", n, most)
		}
		return e
	}
	count := func(t *testing.T, op blobtest.Op, do func() error) {
		t.Helper()
		recorder.Reset()
		if err := do(); err != nil {
			t.Fatal(err)
		}
		if recorder.Count(op) != 1 || recorder.Count() != 1 {
			t.Errorf("calls %v, want one %s", recorder.Calls(), op)
		}
	}
	e := cold(t, 14)
	post := func() error {
		_, err := e.Service.PostMessage(ctx, call, chat.ThreadRef{ID: threads[3]}, chat.Post{Body: engine.Text(random)})
		return err
	}
	list := func() error {
		_, _, err := e.Service.ListMessages(ctx, call, chat.ThreadRef{ID: threads[3]}, query)
		return err
	}
	if err := post(); err != nil { // fetches what every post reads
		t.Fatal(err)
	}
	t.Run("a strong read of a warm process is one get", func(t *testing.T) { count(t, blobtest.Get, list) })
	t.Run("a commit is one put", func(t *testing.T) { count(t, blobtest.Put, post) })
	t.Run("a read at a position that is here asks nothing", func(t *testing.T) {
		recorder.Reset()
		session := call
		session.Read.Consistency = chat.Session
		if _, _, err := e.Service.ListMessages(ctx, session, chat.ThreadRef{ID: threads[3]}, query); err != nil || recorder.Count() != 0 {
			t.Errorf("ListMessages() = %v after %d calls, want none", err, recorder.Count())
		}
	})
	for range 62 {
		if err := post(); err != nil {
			t.Fatal(err)
		}
	}
	t.Run("sixty-four commits and their checkpoint", func(t *testing.T) {
		recorder.Reset()
		if err := e.Close(); err != nil {
			t.Fatal(err)
		}
		cold(t, 24).Close()
		recorder.Reset()
		if _, err := engine.Compact(ctx, recorder, s, 0); err != nil {
			t.Fatal(err)
		}
		if puts := 64 + recorder.Count(blobtest.Put); puts > 64*115/100 {
			t.Errorf("64 commits and their checkpoint took %d puts, want at most %d", puts, 64*115/100)
		}
	})
}

// What a cold writer looks up in tables is asked for at once: the answer to the first
// request is held back until another was sent.
func TestColdPostLooksUpAtOnce(t *testing.T) {
	ctx := t.Context()
	bucket := memblob.New(time.Now)
	s, err := engine.Create(ctx, bucket, 1)
	if err != nil {
		t.Fatal(err)
	}
	threads, err := engine.Fill(ctx, bucket, s, 20_000, 100)
	if err != nil {
		t.Fatal(err)
	}
	slow := &together{Bucket: bucket, second: make(chan struct{})}
	e, err := engine.Open(ctx, slow, s)
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close()
	// The author's key is looked for before, by the route: another engine has it already.
	warm, err := engine.Open(ctx, bucket, s)
	if err != nil {
		t.Fatal(err)
	}
	defer warm.Close()
	e.Service.Sealer = warm.Service.Sealer
	call := chat.Call{Caller: chat.Owner{User: "u1"}}
	if _, err := e.Service.PostMessage(ctx, call, chat.ThreadRef{ID: threads[3]}, chat.Post{Body: []byte(`"x"`)}); err != nil {
		t.Fatal(err)
	}
	if slow.oneByOne.Load() {
		t.Error("a second read of tables was sent only after the first was answered")
	}
}

// together holds the answer to the first read of a table back until a second is under
// way. Where one read was enough there is none.
type together struct {
	blob.Bucket
	reads    atomic.Int64
	second   chan struct{}
	answered atomic.Bool // the first, for want of a second
	oneByOne atomic.Bool
}

func (b *together) GetRange(ctx context.Context, key string, offset, size int64) (blob.Object, error) {
	switch b.reads.Add(1) {
	case 1:
		select {
		case <-b.second:
		case <-time.After(time.Second):
			b.answered.Store(true)
		case <-ctx.Done():
			return blob.Object{}, ctx.Err()
		}
	case 2:
		b.oneByOne.Store(b.answered.Load())
		close(b.second)
	}
	return b.Bucket.GetRange(ctx, key, offset, size)
}
