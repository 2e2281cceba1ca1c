// Package engine puts the core together on any bucket, as the functions will: a
// writer, a compactor and cold readers that share nothing but the bucket. Tests and
// benchmarks of the whole stand on it.
package engine

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"fmt"
	"log/slog"
	mathrand "math/rand/v2"
	"strings"
	"sync"
	"time"

	"github.com/bobbindb/bobbin/shared/blob"
	"github.com/bobbindb/bobbin/shared/catalog"
	"github.com/bobbindb/bobbin/shared/chat"
	"github.com/bobbindb/bobbin/shared/compactor"
	"github.com/bobbindb/bobbin/shared/job"
	"github.com/bobbindb/bobbin/shared/partition"
	"github.com/bobbindb/bobbin/shared/replica"
	"github.com/bobbindb/bobbin/shared/retention"
	"github.com/bobbindb/bobbin/shared/seal"
	"github.com/bobbindb/bobbin/shared/store"
	"github.com/bobbindb/bobbin/shared/writer"
)

// Engine is a store with one process's writers on it.
type Engine struct {
	Service    *chat.Service
	Catalog    *catalog.Store
	Bucket     blob.Bucket
	Partitions []*partition.Partition
	writers    *writer.Set
}

// Create makes a store.
func Create(ctx context.Context, bucket blob.Bucket, partitions int) (*catalog.Store, error) {
	s, err := catalog.New(partitions)
	if err != nil {
		return nil, err
	}
	for p := range partitions {
		if err := partition.Create(ctx, options(bucket, s, p, store.Lazy)); err != nil {
			return nil, err
		}
	}
	return s, catalog.Create(ctx, bucket, s)
}

func options(bucket blob.Bucket, s *catalog.Store, p int, use store.Use) partition.Options {
	return partition.Options{
		Bucket: bucket, Store: s, Branch: s.Branch, Number: p, Use: use, BlockCache: 16 << 20,
		Now: time.Now, Release: "test", Log: slog.New(slog.DiscardHandler),
	}
}

// Open opens every partition, cold, as a process that has nothing local does.
func Open(ctx context.Context, bucket blob.Bucket, s *catalog.Store) (*Engine, error) {
	e := &Engine{Catalog: s, Bucket: bucket}
	hasher := chat.NewHasher(s.Salt)
	e.writers = &writer.Set{Store: s}
	for i := range s.Partitions() {
		p, err := partition.Open(ctx, options(bucket, s, i, store.Lazy))
		if err != nil {
			return nil, err
		}
		e.Partitions = append(e.Partitions, p)
		e.writers.Writers = append(e.writers.Writers, writer.New(p, writer.Options{Hasher: hasher, Log: slog.New(slog.DiscardHandler)}))
	}
	e.Service = &chat.Service{
		Reader: &replica.Replica{Store: s, Partitions: e.Partitions, Hasher: hasher},
		Writer: e.writers, Sealer: seal.Plain{}, Hasher: hasher, Now: time.Now,
		NewID: func() (id chat.CommandID) { rand.Read(id[:]); return id },
	}
	return e, nil
}

// Close closes writers and partitions.
func (e *Engine) Close() error {
	e.writers.Close()
	for _, p := range e.Partitions {
		if err := p.Close(); err != nil {
			return err
		}
	}
	return nil
}

// Jobs runs the engine's long work. Close it.
func (e *Engine) Jobs() *job.Runner {
	purger := retention.New(retention.Options{
		Store: e.Catalog, Partitions: e.Partitions, Writer: e.Service.Writer, Now: time.Now, NewID: e.Service.NewID,
	})
	return job.New(job.Options{
		Bucket: e.Bucket, Name: "one", Now: time.Now, Kinds: map[job.Kind]job.Work{retention.Kind: purger.Work()},
		Nonce: func() string { return strings.ToLower(rand.Text()) },
	})
}

// Compact takes a checkpoint of a partition as the compactor function does: cold.
func Compact(ctx context.Context, bucket blob.Bucket, s *catalog.Store, number int) (compactor.Result, error) {
	p, err := partition.Open(ctx, options(bucket, s, number, store.Compact))
	if err != nil {
		return compactor.Result{}, err
	}
	defer p.Close()
	return compactor.Take(ctx, p, compactor.Options{
		Settle: time.Minute,
		Nonce:  func() string { return strings.ToLower(rand.Text())[:16] },
		Now:    time.Now,
	})
}

// Text is a JSON string of about 1 KB that does not compress.
func Text(r *mathrand.ChaCha8) []byte {
	raw := make([]byte, 765)
	r.Read(raw)
	b := append(make([]byte, 0, 1024), '"')
	return append(base64.StdEncoding.AppendEncode(b, raw), '"')
}

// Fill posts messages of 1 KB over some threads, 10 in a command, and takes a
// checkpoint whenever some more bytes are in the log. It returns the threads.
func Fill(ctx context.Context, bucket blob.Bucket, s *catalog.Store, messages, threads int) ([]chat.ThreadID, error) {
	e, err := Open(ctx, bucket, s)
	if err != nil {
		return nil, err
	}
	caller := chat.Owner{User: "u1"}
	var ids []chat.ThreadID
	for i := range threads {
		r, err := e.Service.CreateThread(ctx, chat.Call{Caller: caller}, chat.NewThread{Title: fmt.Sprint("thread ", i)})
		if err != nil {
			return nil, err
		}
		ids = append(ids, r.Thread)
	}
	random := mathrand.NewChaCha8([32]byte{1})
	const round = 64 << 10
	for done := 0; done < messages; done += round {
		if err := e.post(ctx, caller, ids, min(round, messages-done), random); err != nil {
			return nil, err
		}
		if err := e.Close(); err != nil {
			return nil, err
		}
		for p := range s.Partitions() {
			if _, err := Compact(ctx, bucket, s, p); err != nil {
				return nil, err
			}
		}
		if e, err = Open(ctx, bucket, s); err != nil {
			return nil, err
		}
	}
	return ids, e.Close()
}

// post posts n messages, 10 in a command, to one thread after the other.
func (e *Engine) post(ctx context.Context, caller chat.Owner, ids []chat.ThreadID, n int, random *mathrand.ChaCha8) error {
	const batch, parallel = 10, 32
	type job struct {
		thread chat.ThreadID
		posts  []chat.Post
	}
	work := make(chan job)
	errs := make(chan error, parallel)
	var wg sync.WaitGroup
	for range parallel {
		wg.Go(func() {
			var failed error
			for j := range work {
				if failed == nil {
					_, failed = e.Service.PostMessages(ctx, chat.Call{Caller: caller}, chat.ThreadRef{ID: j.thread}, j.posts)
				}
			}
			errs <- failed
		})
	}
	for done := 0; done < n; done += batch {
		posts := make([]chat.Post, min(batch, n-done))
		for i := range posts {
			posts[i].Body = Text(random)
		}
		work <- job{ids[done/batch%len(ids)], posts}
	}
	close(work)
	wg.Wait()
	close(errs)
	for err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}
