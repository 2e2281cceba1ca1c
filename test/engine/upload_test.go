package engine_test

import (
	"context"
	"testing"
	"time"

	mathrand "math/rand/v2"

	"github.com/bobbindb/bobbin/shared/blob/memblob"
	"github.com/bobbindb/bobbin/shared/chat"
	"github.com/bobbindb/bobbin/test/engine"
)

// BenchmarkUpload measures how many bytes of tables a store uploads for each byte
// committed, when every commit is one message of 1 KB and a checkpoint is taken every
// 64 commits.
func BenchmarkUpload(b *testing.B) {
	ctx := context.Background()
	bucket := memblob.New(time.Now)
	s, err := engine.Create(ctx, bucket, 1)
	if err != nil {
		b.Fatal(err)
	}
	threads, err := engine.Fill(ctx, bucket, s, size(b, 100_000), 1000)
	if err != nil {
		b.Fatal(err)
	}
	call := chat.Call{Caller: chat.Owner{User: "u1"}}
	random := mathrand.NewChaCha8([32]byte{2})
	pick := mathrand.New(mathrand.NewPCG(3, 4))
	var committed, tables, objects int64
	b.ResetTimer()
	for range b.N {
		e, err := engine.Open(ctx, bucket, s)
		if err != nil {
			b.Fatal(err)
		}
		for range 64 {
			ref := chat.ThreadRef{ID: threads[pick.IntN(len(threads))]}
			if _, err := e.Service.PostMessage(ctx, call, ref, chat.Post{Body: engine.Text(random)}); err != nil {
				b.Fatal(err)
			}
		}
		committed += e.Partitions[0].Tail().Bytes
		if err := e.Close(); err != nil {
			b.Fatal(err)
		}
		r, err := engine.Compact(ctx, bucket, s, 0)
		if err != nil {
			b.Fatal(err)
		}
		tables += r.TableBytes
		objects += r.ObjectBytes
	}
	b.ReportMetric(float64(tables)/float64(committed), "tableB/B")
	b.ReportMetric(float64(objects)/float64(committed), "objectB/B")
}
