// Package engine puts the core together on any bucket, as the functions will: a
// writer, a compactor and cold readers that share nothing but the bucket. Tests and
// benchmarks of the whole stand on it.
package engine

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"iter"
	"log/slog"
	mathrand "math/rand/v2"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/bobbindb/bobbin/shared/app"
	"github.com/bobbindb/bobbin/shared/blob"
	"github.com/bobbindb/bobbin/shared/catalog"
	"github.com/bobbindb/bobbin/shared/chat"
	"github.com/bobbindb/bobbin/shared/checkpoint"
	"github.com/bobbindb/bobbin/shared/compactor"
	"github.com/bobbindb/bobbin/shared/job"
	"github.com/bobbindb/bobbin/shared/keyring"
	"github.com/bobbindb/bobbin/shared/partition"
	"github.com/bobbindb/bobbin/shared/replica"
	"github.com/bobbindb/bobbin/shared/retention"
	"github.com/bobbindb/bobbin/shared/seal"
	"github.com/bobbindb/bobbin/shared/seal/sealtest"
	"github.com/bobbindb/bobbin/shared/store"
	"github.com/bobbindb/bobbin/shared/writer"
)

// Engine is a store with one process's writers on it.
type Engine struct {
	Service    *chat.Service
	Catalog    *catalog.Store
	Bucket     blob.Bucket
	Partitions []*partition.Partition
	Keys       *keyring.Keyring
	writers    *writer.Set
}

// Keeper holds the top key of a store that this package makes.
func Keeper() *sealtest.Keeper { return sealtest.KeeperOf([seal.KeySize]byte{1}) }

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
	keys, err := newKeys(bucket, s, Keeper(), nil)
	if err != nil {
		return nil, err
	}
	defer keys.Close()
	if _, err := keys.Rotate(ctx, 0); err != nil {
		return nil, err
	}
	return s, catalog.Create(ctx, bucket, s)
}

func newKeys(bucket blob.Bucket, s *catalog.Store, keeper seal.Keeper, owners keyring.Owners) (*keyring.Keyring, error) {
	return keyring.New(keyring.Options{
		Bucket: bucket, Store: s.ID, Hasher: chat.NewHasher(s.Salt), Keeper: keeper, Owners: owners, Now: time.Now,
	})
}

func options(bucket blob.Bucket, s *catalog.Store, p int, use store.Use) partition.Options {
	return partition.Options{
		Bucket: bucket, Store: s, Branch: s.Branch, Number: p, Use: use, BlockCache: 16 << 20,
		Now: time.Now, Release: "test", Log: slog.New(slog.DiscardHandler),
	}
}

// Open opens every partition, cold, as a process that has nothing local does.
func Open(ctx context.Context, bucket blob.Bucket, s *catalog.Store) (*Engine, error) {
	return OpenWith(ctx, bucket, s, Keeper())
}

// OpenWith is Open with a Keeper of the caller's.
func OpenWith(ctx context.Context, bucket blob.Bucket, s *catalog.Store, keeper seal.Keeper) (*Engine, error) {
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
	reader := &replica.Replica{Store: s, Partitions: e.Partitions, Hasher: hasher}
	newID := func() (id chat.CommandID) { rand.Read(id[:]); return id }
	var err error
	e.Keys, err = newKeys(bucket, s, keeper, &app.Owners{Reader: reader, Writer: e.writers, Hasher: hasher, Now: time.Now, NewID: newID})
	if err != nil {
		return nil, err
	}
	sealer, err := seal.NewSealer(seal.SealerOptions{Store: s.ID, Keys: e.Keys})
	if err != nil {
		return nil, err
	}
	e.Service = &chat.Service{Reader: reader, Writer: e.writers, Sealer: sealer, Hasher: hasher, Now: time.Now, NewID: newID}
	return e, nil
}

// Close closes writers and partitions.
func (e *Engine) Close() error {
	e.writers.Close()
	e.Keys.Close()
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

// Fill posts messages of 1 KB over some threads and takes a checkpoint whenever some more
// are in the log. Most go in thread by thread, as what is at rest was written; the last
// seventh is scattered over all threads, or the upper levels of the database would stand
// empty. What no checkpoint needs any more is swept away. It returns the threads.
func Fill(ctx context.Context, bucket blob.Bucket, s *catalog.Store, messages, threads int) ([]chat.ThreadID, error) {
	ids, err := createThreads(ctx, bucket, s, threads)
	if err != nil {
		return nil, err
	}
	const round = 64 << 10
	random := mathrand.NewChaCha8([32]byte{1})
	var work []posting
	gathered := 0
	for j := range postings(messages, ids) {
		work, gathered = append(work, j), gathered+j.messages
		if gathered < round {
			continue
		}
		if err := fillRound(ctx, bucket, s, work, random); err != nil {
			return nil, err
		}
		work, gathered = work[:0], 0
	}
	return ids, fillRound(ctx, bucket, s, work, random)
}

// posting is one command of a fill.
type posting struct {
	thread   chat.ThreadID
	messages int
}

// postings are the commands of a fill, in their order.
func postings(messages int, threads []chat.ThreadID) iter.Seq[posting] {
	const most, scattered = 100, 5 // messages in a command
	rest := messages / len(threads) * 6 / 7
	return func(yield func(posting) bool) {
		for _, id := range threads {
			for left := rest; left > 0; left -= most {
				if !yield(posting{id, min(most, left)}) {
					return
				}
			}
		}
		for i, left := 0, messages-rest*len(threads); left > 0; i, left = i+1, left-scattered {
			if !yield(posting{threads[i%len(threads)], min(scattered, left)}) {
				return
			}
		}
	}
}

// caller is the owner of all threads of a fill.
var caller = chat.Call{Caller: chat.Owner{User: "u1"}}

func createThreads(ctx context.Context, bucket blob.Bucket, s *catalog.Store, n int) ([]chat.ThreadID, error) {
	e, err := Open(ctx, bucket, s)
	if err != nil {
		return nil, err
	}
	ids := make([]chat.ThreadID, n)
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(parallel)
	for i := range ids {
		group.Go(func() error {
			r, err := e.Service.CreateThread(ctx, caller, chat.NewThread{Title: fmt.Sprint("thread ", i)})
			ids[i] = r.Thread
			return err
		})
	}
	return ids, errors.Join(group.Wait(), e.Close())
}

// parallel is how many commands of a fill are under way at a time.
const parallel = 64

// fillRound posts what the postings say, takes checkpoints and sweeps.
func fillRound(ctx context.Context, bucket blob.Bucket, s *catalog.Store, work []posting, random *mathrand.ChaCha8) error {
	e, err := Open(ctx, bucket, s)
	if err != nil {
		return err
	}
	group, together := errgroup.WithContext(ctx)
	group.SetLimit(parallel)
	for _, j := range work {
		posts := make([]chat.Post, j.messages)
		for i := range posts {
			posts[i].Body = Text(random)
		}
		group.Go(func() error {
			_, err := e.Service.PostMessages(together, caller, chat.ThreadRef{ID: j.thread}, posts)
			return err
		})
	}
	if err := errors.Join(group.Wait(), e.Close()); err != nil {
		return err
	}
	for p := range s.Partitions() {
		if _, err := Compact(ctx, bucket, s, p); err != nil {
			return err
		}
	}
	return Sweep(ctx, bucket, s)
}

// Sweep deletes tables, checkpoints, segments and commits that the newest checkpoint of a
// store that stands still does not need, as a janitor would days later.
func Sweep(ctx context.Context, bucket blob.Bucket, s *catalog.Store) error {
	keep := map[string]bool{}
	prefixes := []string{"tables/"}
	for p := range s.Partitions() {
		prefix := catalog.Prefix(s.Branch, p)
		m, err := checkpoint.Read(ctx, bucket, prefix)
		if err != nil {
			return err
		}
		keep[m.Checkpoint] = true
		object, err := checkpoint.Load(ctx, bucket, m.Checkpoint)
		if err != nil {
			return err
		}
		for i := range object.Tables {
			keep[object.Tables[i].Key()] = true
		}
		prefixes = append(prefixes, prefix+"/checkpoints/", prefix+"/segments/", prefix+"/log/")
	}
	for _, prefix := range prefixes {
		if err := sweep(ctx, bucket, prefix, keep); err != nil {
			return err
		}
	}
	return nil
}

func sweep(ctx context.Context, bucket blob.Bucket, prefix string, keep map[string]bool) error {
	for page, err := range blob.Pages(ctx, bucket, blob.ListOptions{Prefix: prefix}) {
		if err != nil {
			return err
		}
		for _, entry := range page.Entries {
			if keep[entry.Key] {
				continue
			}
			if err := bucket.Delete(ctx, entry.Key); err != nil {
				return err
			}
		}
	}
	return nil
}
