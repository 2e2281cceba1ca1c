package writer_test

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"log/slog"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/bobbindb/bobbin/shared/blob"
	"github.com/bobbindb/bobbin/shared/blob/fileblob"
	"github.com/bobbindb/bobbin/shared/catalog"
	"github.com/bobbindb/bobbin/shared/chat"
	"github.com/bobbindb/bobbin/shared/partition"
	"github.com/bobbindb/bobbin/shared/replica"
	"github.com/bobbindb/bobbin/shared/seal/sealtest"
	"github.com/bobbindb/bobbin/shared/store"
	"github.com/bobbindb/bobbin/shared/writer"
)

// newService is a store of one partition on a bucket, as serve has it.
func newService(tb testing.TB, bucket blob.Bucket, dir string) *chat.Service {
	tb.Helper()
	ctx := context.Background()
	s, err := catalog.New(1)
	if err != nil {
		tb.Fatal(err)
	}
	opts := partition.Options{
		Bucket: bucket, Store: s, Branch: s.Branch, Dir: dir, Use: store.Live, BlockCache: 64 << 20,
		Now: time.Now, Release: "test", Log: slog.New(slog.DiscardHandler),
	}
	if err := partition.Create(ctx, opts); err != nil {
		tb.Fatal(err)
	}
	p, err := partition.Open(ctx, opts)
	if err != nil {
		tb.Fatal(err)
	}
	hasher := chat.NewHasher(s.Salt)
	w := writer.New(p, writer.Options{Hasher: hasher, Log: opts.Log})
	tb.Cleanup(func() {
		w.Close()
		if err := p.Close(); err != nil {
			tb.Error(err)
		}
	})
	return &chat.Service{
		Reader: &replica.Replica{Store: s, Partitions: []*partition.Partition{p}, Hasher: hasher},
		Writer: &writer.Set{Store: s, Writers: []*writer.Writer{w}},
		Sealer: sealtest.Copier{}, Hasher: hasher, Now: time.Now,
		NewID: func() (id chat.CommandID) { rand.Read(id[:]); return id },
	}
}

func benchmarkPost(b *testing.B, clients, threads int) {
	bucket, err := fileblob.Open(b.TempDir(), fileblob.Options{})
	if err != nil {
		b.Fatal(err)
	}
	defer bucket.Close()
	svc := newService(b, bucket, b.TempDir())
	ctx := context.Background()
	call := chat.Call{Caller: chat.Owner{User: "u1"}}
	refs := make([]chat.ThreadRef, threads)
	for i := range refs {
		r, err := svc.CreateThread(ctx, call, chat.NewThread{Title: "bench"})
		if err != nil {
			b.Fatal(err)
		}
		refs[i] = chat.ThreadRef{ID: r.Thread}
	}
	raw := make([]byte, 760)
	rand.Read(raw)
	body := []byte(`"` + base64.StdEncoding.EncodeToString(raw) + `"`)
	var next atomic.Int64
	b.ResetTimer()
	var wg sync.WaitGroup
	for range clients {
		wg.Go(func() {
			for {
				i := next.Add(1)
				if i > int64(b.N) {
					return
				}
				if _, err := svc.PostMessage(ctx, call, refs[int(i)%threads], chat.Post{Body: body}); err != nil {
					b.Error(err)
					return
				}
			}
		})
	}
	wg.Wait()
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "posts/s")
}

func BenchmarkPost(b *testing.B) {
	b.Run("clients=1", func(b *testing.B) { benchmarkPost(b, 1, 1000) })
	b.Run("clients=64", func(b *testing.B) { benchmarkPost(b, 64, 1000) })
	b.Run("clients=64/threads=1", func(b *testing.B) { benchmarkPost(b, 64, 1) })
}

func BenchmarkList50(b *testing.B) {
	bucket, err := fileblob.Open(b.TempDir(), fileblob.Options{})
	if err != nil {
		b.Fatal(err)
	}
	defer bucket.Close()
	svc := newService(b, bucket, b.TempDir())
	ctx := context.Background()
	call := chat.Call{Caller: chat.Owner{User: "u1"}}
	r, err := svc.CreateThread(ctx, call, chat.NewThread{Title: "bench"})
	if err != nil {
		b.Fatal(err)
	}
	ref := chat.ThreadRef{ID: r.Thread}
	body := make([]byte, 1000)
	for i := range body {
		body[i] = '7'
	}
	for range 1000 {
		if _, err := svc.PostMessage(ctx, call, ref, chat.Post{Body: body}); err != nil {
			b.Fatal(err)
		}
	}
	b.ResetTimer()
	for range b.N {
		page, _, err := svc.ListMessages(ctx, call, ref, chat.MessageQuery{Cursor: chat.Cursor{Limit: 50}})
		if err != nil || len(page.Messages) != 50 {
			b.Fatal(len(page.Messages), err)
		}
	}
}
