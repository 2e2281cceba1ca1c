package main

import (
	"context"
	"net/http"
	"slices"
	"sync"
	"time"
)

// bencher loads a server with requests to threads of its own.
type bencher struct {
	*client
	key     string
	body    []byte
	threads []string
}

func (b *bencher) makeThreads(ctx context.Context, n int) error {
	for range n {
		var made struct{ Key string }
		if err := b.call(ctx, b.asUser(http.MethodPost, threadPath(""), []byte(`{"title":"bench"}`)), &made); err != nil {
			return err
		}
		b.threads = append(b.threads, made.Key)
	}
	return nil
}

// cleanUp deletes the threads, as many as it can in half a minute.
func (b *bencher) cleanUp(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	for _, thread := range b.threads {
		if _, err := b.do(ctx, b.asUser(http.MethodDelete, threadPath(thread), nil)); err != nil {
			return
		}
	}
}

// worker is what one client of a load saw.
type worker struct {
	took   []time.Duration // of the requests that succeeded
	errors int
	first  error
}

// load makes one kind of request from all clients until the time is up.
func (b *bencher) load(ctx context.Context, name string, o benchOptions, call func(context.Context, string) error) benchLoad {
	workers := make([]worker, o.clients)
	began := time.Now()
	var running sync.WaitGroup
	for i := range workers {
		running.Go(func() {
			w := &workers[i]
			for n := i; time.Since(began) < o.duration && ctx.Err() == nil && w.errors < 100; n += o.clients {
				w.measure(func() error { return call(ctx, b.threads[n%len(b.threads)]) })
			}
		})
	}
	running.Wait()
	return summarize(name, time.Since(began), workers)
}

func (w *worker) measure(call func() error) {
	began := time.Now()
	err := call()
	if err == nil {
		w.took = append(w.took, time.Since(began))
		return
	}
	w.errors++
	if w.first == nil {
		w.first = err
	}
}

func summarize(name string, elapsed time.Duration, workers []worker) benchLoad {
	l := benchLoad{Load: name, Seconds: elapsed.Seconds()}
	var took []time.Duration
	for _, w := range workers {
		took = append(took, w.took...)
		l.Errors += w.errors
		if w.first != nil && l.FirstError == "" {
			l.FirstError = w.first.Error()
		}
	}
	l.Requests = len(took) + l.Errors
	if len(took) == 0 {
		return l
	}
	slices.Sort(took)
	l.Rate = float64(len(took)) / elapsed.Seconds()
	l.P50, l.P99, l.Max = quantile(took, 50), quantile(took, 99), quantile(took, 100)
	return l
}

// quantile is the time in milliseconds within which so many of 100 were done. took is
// sorted and not empty.
func quantile(took []time.Duration, percent int) float64 {
	i := (len(took)*percent+99)/100 - 1
	return float64(took[max(i, 0)].Microseconds()) / 1000
}
