// Package partition holds one partition's open database in a process: it hydrates it
// from a checkpoint, replays the log, probes for newer commits and appends its own.
//
// A Partition never trusts an old picture. That n is the end of the log it believes on
// a proof only: a manifest whose floor is at most n, or, while the last proof is fresh,
// a bucket's answer that n+1 is not there, or its own creation of n+1. An answer that
// finds the proof stale counts only after the manifest was read again.
package partition

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/bobbindb/bobbin/shared/blob"
	"github.com/bobbindb/bobbin/shared/catalog"
	"github.com/bobbindb/bobbin/shared/checkpoint"
	"github.com/bobbindb/bobbin/shared/commitlog"
	"github.com/bobbindb/bobbin/shared/store"
	"github.com/bobbindb/bobbin/shared/telemetry"
)

// Options says which partition to open, and how.
type Options struct {
	Bucket blob.Bucket
	Store  *catalog.Store
	Branch string
	Number int

	Dir        string // this process's own working directory; "" keeps it in memory
	Use        store.Use
	BlockCache int64             // bytes
	Chunks     *checkpoint.Cache // nil for one of its own, in memory

	// MaxReplay is how many bytes of commits a Lazy database takes on before it makes
	// way for a newer checkpoint; 0 means 32 MiB, half of its memtable.
	MaxReplay int64

	Now     func() time.Time
	Release string
	Log     *slog.Logger
	Tracer  *telemetry.Tracer // nil traces nothing

	ProofAge time.Duration // how long a proof is fresh; 0 means 5 minutes
	Timeout  time.Duration // of one probe, with all that it finds, or one reopening; 0 means 10 s
}

const (
	defaultProofAge  = 5 * time.Minute
	defaultTimeout   = 10 * time.Second
	defaultMaxReplay = 32 << 20
)

var (
	// ErrClock: this machine's clock is too far from the bucket's. Whoever commits
	// under such a clock would poison the partition for everybody.
	ErrClock = errors.New("this machine's clock is wrong")

	// ErrSealed: the branch takes no more commits.
	ErrSealed = errors.New("branch is sealed")

	// ErrClosed: the partition was closed.
	ErrClosed = errors.New("partition is closed")
)

// Partition is one partition's open database. All methods may be called concurrently;
// only one Append may be under way at a time.
type Partition struct {
	Options
	prefix string
	log    *commitlog.Log
	opens  atomic.Int64 // names working directories

	life context.Context // of what is done for nobody in particular; Close ends it
	end  context.CancelFunc
	work sync.WaitGroup // that which Close waits for

	changing sync.Mutex // held by whoever changes or replaces the database; taken before mu

	mu       sync.Mutex // guards what follows; never held while the bucket is asked
	closed   bool
	manifest *checkpoint.Manifest
	proof    time.Time // Date of the answer that proved the end of the log last
	proved   time.Time // when the request for that answer was sent, by our clock
	date     time.Time // newest Date known
	skew     time.Duration
	db       *opened
	tail     Tail
	next     *round // the probe that readers wait for and that is not sent yet
	probing  bool
	renewing bool

	damage damage
}

// Tail is how much log a cold reader of this partition would have to replay.
type Tail struct {
	Commits int
	Bytes   int64
}

// Open opens the newest checkpoint and replays the log.
func Open(ctx context.Context, opts Options) (*Partition, error) {
	if opts.ProofAge <= 0 {
		opts.ProofAge = defaultProofAge
	}
	if opts.Timeout <= 0 {
		opts.Timeout = defaultTimeout
	}
	if opts.MaxReplay <= 0 {
		opts.MaxReplay = defaultMaxReplay
	}
	prefix := catalog.Prefix(opts.Branch, opts.Number)
	p := &Partition{Options: opts, prefix: prefix, log: commitlog.New(opts.Bucket, prefix)}
	p.life, p.end = context.WithCancel(context.Background())
	if err := p.Reopen(ctx); err != nil {
		p.end()
		return nil, err
	}
	return p, nil
}

// Close ends what is under way and closes the database once nobody reads from it.
func (p *Partition) Close() error {
	p.mu.Lock()
	was := p.closed
	p.closed = true
	p.mu.Unlock()
	if was {
		return nil
	}
	p.end()
	p.work.Wait()
	p.changing.Lock() // a change under way is made on the database that is closed here
	defer p.changing.Unlock()
	p.db.release()
	<-p.db.closed
	return nil
}

// Create makes the manifest of a partition of a new branch: the empty store.
func Create(ctx context.Context, opts Options) error {
	now := opts.Now()
	_, err := checkpoint.Create(ctx, opts.Bucket, catalog.Prefix(opts.Branch, opts.Number), checkpoint.Manifest{
		Store:     opts.Store.ID,
		Branch:    opts.Branch,
		Partition: opts.Number,
		Hash:      commitlog.Genesis(opts.Store.ID, opts.Number),
		Formats:   checkpoint.FormatRange{Min: store.FormatVersion, Max: store.FormatVersion},
		Written:   now.UnixNano(),
		Release:   opts.Release,
	})
	return err
}

// Prefix is where the partition keeps its objects, without a slash at its end.
func (p *Partition) Prefix() string { return p.prefix }

// Position is the last commit applied, the zero one after Close.
func (p *Partition) Position() store.Position {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return store.Position{}
	}
	return p.db.Position()
}

// Tail is how much log lies after the newest checkpoint known.
func (p *Partition) Tail() Tail {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.tail
}

// Manifest is the newest manifest known.
func (p *Partition) Manifest() *checkpoint.Manifest {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.manifest
}

// Commits reads the commits of a range from the log.
func (p *Partition) Commits(ctx context.Context, from, to commitlog.Seq) ([]*commitlog.Commit, error) {
	return p.log.Range(ctx, from, to)
}

// apply applies one commit that follows the last, or passes over one that is applied
// already. changing is held.
func (p *Partition) apply(c *commitlog.Commit) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return ErrClosed
	}
	at := p.db.Position()
	switch {
	case c.Seq < at.Seq, c.Seq == at.Seq && c.Hash() == at.Hash:
		return nil
	case c.Seq == at.Seq:
		return fmt.Errorf("commit %s is not the one that was applied: %w", c.Seq, commitlog.ErrDamaged)
	case c.Prev != at.Hash:
		return fmt.Errorf("commit %s does not chain to the one before: %w", c.Seq, commitlog.ErrDamaged)
	}
	if err := p.db.Apply(c); err != nil {
		return err
	}
	p.log.Remember(c)
	p.tail.Commits++
	p.tail.Bytes += c.Bytes()
	p.replayed(c.Bytes())
	return nil
}
