package engine_test

import (
	"context"
	"log/slog"
	"sync"
	"testing"
	"time"

	mathrand "math/rand/v2"

	"github.com/bobbindb/bobbin/shared/blob"
	"github.com/bobbindb/bobbin/shared/blob/fileblob"
	"github.com/bobbindb/bobbin/shared/catalog"
	"github.com/bobbindb/bobbin/shared/chat"
	"github.com/bobbindb/bobbin/shared/partition"
	"github.com/bobbindb/bobbin/shared/store"
	"github.com/bobbindb/bobbin/test/engine"
)

// BenchmarkReplay measures how quickly a process on a folder opens a partition with a
// long tail, as after kill -9 under load. Beside it, in the same run: a process that was
// open all the time and takes over the same commits one by one.
func BenchmarkReplay(b *testing.B) {
	ctx := context.Background()
	folder, err := fileblob.Open(b.TempDir(), fileblob.Options{})
	if err != nil {
		b.Fatal(err)
	}
	defer folder.Close()
	s, err := engine.Create(ctx, folder, 1)
	if err != nil {
		b.Fatal(err)
	}
	follower := openLive(b, folder, s)
	defer follower.Close()
	if err := postUnderLoad(ctx, folder, s, 20_000); err != nil {
		b.Fatal(err)
	}
	began := time.Now()
	if err := follower.Probe(ctx); err != nil {
		b.Fatal(err)
	}
	followed := time.Since(began)
	bytes := follower.Tail().Bytes
	for b.Loop() {
		p := openLive(b, folder, s)
		if p.Position() != follower.Position() {
			b.Fatalf("opened at %+v, want %+v", p.Position(), follower.Position())
		}
		b.StopTimer()
		if err := p.Close(); err != nil {
			b.Fatal(err)
		}
		b.StartTimer()
	}
	replayed := b.Elapsed().Seconds() / float64(b.N)
	b.ReportMetric(float64(bytes)/1e6/replayed, "MB/s")
	b.ReportMetric(followed.Seconds()/replayed, "x-one-by-one")
}

// openLive opens the only partition as bobbin serve does.
func openLive(b *testing.B, bucket blob.Bucket, s *catalog.Store) *partition.Partition {
	b.Helper()
	p, err := partition.Open(b.Context(), partition.Options{
		Bucket: bucket, Store: s, Branch: s.Branch, Use: store.Live, BlockCache: 64 << 20, Dir: b.TempDir(),
		Now: time.Now, Release: "test", Log: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		b.Fatal(err)
	}
	return p
}

// postUnderLoad posts messages of 1 KB from 64 clients, each into a thread of its own,
// and takes no checkpoint.
func postUnderLoad(ctx context.Context, bucket blob.Bucket, s *catalog.Store, messages int) error {
	e, err := engine.Open(ctx, bucket, s)
	if err != nil {
		return err
	}
	const clients = 64
	call := chat.Call{Caller: chat.Owner{User: "u1"}}
	errs := make(chan error, clients)
	var wg sync.WaitGroup
	for c := range clients {
		wg.Go(func() {
			random := mathrand.NewChaCha8([32]byte{byte(c)})
			r, err := e.Service.CreateThread(ctx, call, chat.NewThread{Title: "t"})
			for i := 0; i < messages/clients && err == nil; i++ {
				_, err = e.Service.PostMessage(ctx, call, chat.ThreadRef{ID: r.Thread}, chat.Post{Body: engine.Text(random)})
			}
			errs <- err
		})
	}
	wg.Wait()
	for range clients {
		if err := <-errs; err != nil {
			return err
		}
	}
	return e.Close()
}
