package engine_test

import (
	"context"
	"fmt"
	"slices"
	"sync"
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

// far puts a bucket 25 ms away for a GET and 28 ms for a PUT.
func far(inner blob.Bucket) blob.Bucket {
	return blobtest.NewLatency(inner, blobtest.LatencyOptions{
		Get: 25 * time.Millisecond, Put: 28 * time.Millisecond,
		List: 25 * time.Millisecond, Delete: 25 * time.Millisecond,
	})
}

// BenchmarkWarm measures what one client of a warm process waits for on a far bucket,
// and what it pays: a commit is one PUT, a strong read one GET.
func BenchmarkWarm(b *testing.B) {
	ctx := context.Background()
	recorder := blobtest.NewRecorder(memblob.New(time.Now))
	s, err := engine.Create(ctx, recorder, 1)
	if err != nil {
		b.Fatal(err)
	}
	e, err := engine.Open(ctx, far(recorder), s)
	if err != nil {
		b.Fatal(err)
	}
	defer e.Close()
	call := chat.Call{Caller: chat.Owner{User: "u1"}}
	r, err := e.Service.CreateThread(ctx, call, chat.NewThread{Title: "warm"})
	if err != nil {
		b.Fatal(err)
	}
	ref := chat.ThreadRef{ID: r.Thread}
	measure := func(b *testing.B, op func() error) {
		recorder.Reset()
		took := make([]time.Duration, b.N)
		for i := range b.N {
			began := time.Now()
			if err := op(); err != nil {
				b.Fatal(err)
			}
			took[i] = time.Since(began)
		}
		slices.Sort(took)
		b.ReportMetric(float64(took[b.N/2].Microseconds())/1000, "p50-ms")
		b.ReportMetric(float64(recorder.Count(blobtest.Put))/float64(b.N), "puts/op")
		b.ReportMetric(float64(recorder.Count(blobtest.Get))/float64(b.N), "gets/op")
	}
	random := mathrand.NewChaCha8([32]byte{5})
	b.Run("append", func(b *testing.B) {
		measure(b, func() error {
			_, err := e.Service.PostMessage(ctx, call, ref, chat.Post{Body: engine.Text(random)})
			return err
		})
	})
	b.Run("strong", func(b *testing.B) {
		measure(b, func() error {
			_, _, err := e.Service.ListMessages(ctx, call, ref, chat.MessageQuery{Cursor: chat.Cursor{Limit: 50}})
			return err
		})
	})
}

// BenchmarkPartitions measures messages a second on a far bucket with four clients a
// partition: throughput grows with partitions.
func BenchmarkPartitions(b *testing.B) {
	rates := map[int]float64{}
	for _, partitions := range []int{1, 16} {
		b.Run(fmt.Sprintf("partitions=%d", partitions), func(b *testing.B) {
			rates[partitions] = benchmarkPartitions(b, partitions)
		})
	}
	b.Run("ratio", func(b *testing.B) { b.ReportMetric(rates[16]/rates[1], "x") })
}

func benchmarkPartitions(b *testing.B, partitions int) float64 {
	ctx := context.Background()
	bucket := memblob.New(time.Now)
	s, err := engine.Create(ctx, bucket, partitions)
	if err != nil {
		b.Fatal(err)
	}
	e, err := engine.Open(ctx, far(bucket), s)
	if err != nil {
		b.Fatal(err)
	}
	defer e.Close()
	clients := make([]chat.Owner, 0, 4*partitions)
	counts := make([]int, partitions)
	for i := 0; len(clients) < cap(clients); i++ {
		o := chat.Owner{User: fmt.Sprint("u", i)}
		if p := s.PartitionOf(chat.NewHasher(s.Salt).Owner(o).Slot()); counts[p] < 4 {
			counts[p]++
			clients = append(clients, o)
		}
	}
	var left atomic.Int64
	left.Store(int64(b.N * partitions))
	var wg sync.WaitGroup
	b.ResetTimer()
	for i, o := range clients {
		wg.Go(func() {
			random := mathrand.NewChaCha8([32]byte{byte(i)})
			r, err := e.Service.CreateThread(ctx, chat.Call{Caller: o}, chat.NewThread{Title: "t"})
			for err == nil && left.Add(-1) >= 0 {
				_, err = e.Service.PostMessage(ctx, chat.Call{Caller: o}, chat.ThreadRef{ID: r.Thread}, chat.Post{Body: engine.Text(random)})
			}
			if err != nil {
				b.Error(err)
			}
		})
	}
	wg.Wait()
	rate := float64(b.N*partitions) / b.Elapsed().Seconds()
	b.ReportMetric(rate, "msgs/s")
	return rate
}
