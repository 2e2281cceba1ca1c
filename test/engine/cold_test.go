package engine_test

import (
	"context"
	"os"
	"strconv"
	"testing"
	"time"

	"github.com/bobbindb/bobbin/shared/blob/blobtest"
	"github.com/bobbindb/bobbin/shared/blob/memblob"
	"github.com/bobbindb/bobbin/shared/chat"
	"github.com/bobbindb/bobbin/test/engine"
)

// size is how many messages of 1 KB the cold store holds.
func size(tb testing.TB, byDefault int) int {
	if s := os.Getenv("BOBBIN_BENCH_MESSAGES"); s != "" {
		n, err := strconv.Atoi(s)
		if err != nil {
			tb.Fatal(err)
		}
		return n
	}
	return byDefault
}

func BenchmarkCold(b *testing.B) {
	ctx := context.Background()
	bucket := memblob.New(time.Now)
	s, err := engine.Create(ctx, bucket, 1)
	if err != nil {
		b.Fatal(err)
	}
	began := time.Now()
	threads, err := engine.Fill(ctx, bucket, s, size(b, 100_000), 1000)
	if err != nil {
		b.Fatal(err)
	}
	b.Logf("filled in %s", time.Since(began))
	call := chat.Call{Caller: chat.Owner{User: "u1"}}
	recorder := blobtest.NewRecorder(far(bucket))
	page := func(b *testing.B) {
		calls := 0
		for i := range b.N {
			recorder.Reset()
			e, err := engine.Open(ctx, recorder, s)
			if err != nil {
				b.Fatal(err)
			}
			p, _, err := e.Service.ListMessages(ctx, call, chat.ThreadRef{ID: threads[i*37%len(threads)]}, chat.MessageQuery{Cursor: chat.Cursor{Limit: 50}})
			if err != nil || len(p.Messages) != 50 {
				b.Fatal(len(p.Messages), err)
			}
			calls += len(recorder.Calls())
			b.StopTimer()
			if err := e.Close(); err != nil {
				b.Fatal(err)
			}
			b.StartTimer()
		}
		b.ReportMetric(float64(calls)/float64(b.N), "requests/op")
		if testing.Verbose() {
			for _, c := range recorder.Calls() {
				b.Log(c.Op, c.Key, c.Bytes, c.Err)
			}
		}
	}
	post := func(b *testing.B) {
		calls := 0
		for i := range b.N {
			recorder.Reset()
			e, err := engine.Open(ctx, recorder, s)
			if err != nil {
				b.Fatal(err)
			}
			_, err = e.Service.PostMessage(ctx, call, chat.ThreadRef{ID: threads[i*37%len(threads)]}, chat.Post{Body: []byte(`"x"`)})
			if err != nil {
				b.Fatal(err)
			}
			calls += len(recorder.Calls())
			b.StopTimer()
			e.Close()
			b.StartTimer()
		}
		b.ReportMetric(float64(calls)/float64(b.N), "requests/op")
	}
	b.Run("page/tail=0", page)
	b.Run("post", post)
	if _, err := engine.Compact(ctx, bucket, s, 0); err != nil {
		b.Fatal(err)
	}
	e, err := engine.Open(ctx, bucket, s)
	if err != nil {
		b.Fatal(err)
	}
	for i := range 64 {
		body := []byte(strconv.Quote(strconv.Itoa(i)))
		if _, err := e.Service.PostMessage(ctx, call, chat.ThreadRef{ID: threads[i]}, chat.Post{Body: body}); err != nil {
			b.Fatal(err)
		}
	}
	e.Close()
	b.Run("page/tail=64", page)
}
