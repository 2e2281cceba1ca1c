package writer_test

import (
	"context"
	"log/slog"
	"sync"
	"testing"
	"time"

	"github.com/bobbindb/bobbin/shared/blob/fileblob"
	"github.com/bobbindb/bobbin/shared/chat"
	"github.com/bobbindb/bobbin/shared/partition"
	"github.com/bobbindb/bobbin/shared/replica"
	"github.com/bobbindb/bobbin/shared/store"
)

// BenchmarkReopen measures how long a start takes that finds four seconds of load in
// the log and no checkpoint: what a crash leaves.
func BenchmarkReopen(b *testing.B) {
	bucket, err := fileblob.Open(b.TempDir(), fileblob.Options{})
	if err != nil {
		b.Fatal(err)
	}
	defer bucket.Close()
	svc := newService(b, bucket, b.TempDir())
	ctx := context.Background()
	call := chat.Call{Caller: chat.Owner{User: "u1"}}
	body := make([]byte, 1000)
	for i := range body {
		body[i] = '1' + byte(i%7)
	}
	var wg sync.WaitGroup
	for range 64 {
		wg.Go(func() {
			r, err := svc.CreateThread(ctx, call, chat.NewThread{Title: "bench"})
			for range 900 {
				if err == nil {
					_, err = svc.PostMessage(ctx, call, chat.ThreadRef{ID: r.Thread}, chat.Post{Body: body})
				}
			}
			if err != nil {
				b.Error(err)
			}
		})
	}
	wg.Wait()
	r := svc.Reader.(*replica.Replica)
	opts := partition.Options{
		Bucket: bucket, Store: r.Store, Branch: r.Store.Branch, Dir: b.TempDir(), Use: store.Live, BlockCache: 64 << 20,
		Now: time.Now, Release: "test", Log: slog.New(slog.DiscardHandler),
	}
	b.ResetTimer()
	for range b.N {
		p, err := partition.Open(ctx, opts)
		if err != nil {
			b.Fatal(err)
		}
		b.StopTimer()
		if err := p.Close(); err != nil {
			b.Fatal(err)
		}
		b.StartTimer()
	}
}
