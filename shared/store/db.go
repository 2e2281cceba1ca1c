package store

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/bloom"
	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/bobbindb/bobbin/shared/commitlog"
)

// pebbleFormat is the format that Pebble may write. It is one-way: it is raised only
// by a finalized format of ours.
const pebbleFormat = pebble.FormatTableFormatV6

// Use says what a database is opened for.
type Use int

// What a database is opened for.
const (
	// Live: a long-running process with its tables on local disk. It compacts by
	// itself, and checkpoints are taken from it.
	Live Use = iota
	// Lazy: a reader over tables that are fetched on first touch. It never compacts
	// and never touches a table that no read needs.
	Lazy
	// Compact: a compactor over such tables. Its levels keep small what a checkpoint
	// has to upload and few what a cold reader has to fetch.
	Compact
)

// Options says how to open a database.
type Options struct {
	FS    vfs.FS
	Dir   string
	Use   Use
	Cache int64        // bytes of block cache
	Log   func(string) // what Pebble says about errors; nil for silence

	// NameOf names a file of the database as an operator finds it; nil for its path.
	NameOf func(path string) string
	// Damaged is called when a table is found damaged, with its name, by a reader, who gets
	// an error too, or by a compaction, whose error nobody gets; nil to ignore.
	Damaged func(table string)

	// Genesis is what the first commit chains to, and the hash of an empty database's
	// position. Zero leaves the first commit unchecked.
	Genesis commitlog.Hash

	// At is the position inside, for whoever knows it from the checkpoint object and
	// would have to fetch a table only to read it again. Nil reads it.
	At *Position
}

// DB is one partition's database at some position of its log.
type DB struct {
	pebble *pebble.DB
	opts   *pebble.Options
	harm   *harm

	mu       sync.Mutex // serializes Apply
	position Position
	newest   *picture // of position, nil until somebody looks
	budget   int64    // bytes of one batch that still fit a memtable
	room     blockRoom
}

// memTable is the size that memtables grow to: they start small and double.
const memTable = 64 << 20

// blockRoom keeps the block cache at its size. Pebble takes the memory of memtables out
// of the cache, where two of full size, one in use and one to be used next, would leave
// nothing for blocks. So the cache is made larger by those two, and what memtables do not
// take yet is taken here.
type blockRoom struct {
	cache   *pebble.Cache
	give    func() // ends the reservation
	applied int64  // bytes since the last look
}

// memTables is what two memtables take at most.
const memTables = 2 * memTable

// firstMemTable is the size of the smallest memtable, so it takes as many bytes applied
// until the next one is made.
const firstMemTable = 256 << 10

func newBlockRoom(cache *pebble.Cache) blockRoom {
	return blockRoom{cache: cache, give: cache.Reserve(memTables)}
}

// look adjusts the reservation to what memtables take.
func (r *blockRoom) look(p *pebble.DB) {
	r.applied = 0
	m := p.Metrics().MemTable
	r.give()
	r.give = r.cache.Reserve(int(max(0, memTables-int64(m.Size+m.ZombieSize))))
}

func (r *blockRoom) close() {
	r.give()
	r.cache.Unref()
}

// Open opens the database in a directory, or makes an empty one.
func Open(o Options) (*DB, error) {
	h := &harm{}
	opts := pebbleOptions(o, h)
	room := newBlockRoom(opts.Cache)
	p, err := pebble.Open(o.Dir, opts)
	if err != nil {
		room.close()
		return nil, fmt.Errorf("open database: %w", h.explain(err))
	}
	db := &DB{pebble: p, opts: opts, harm: h, budget: memTable / 4, room: room}
	db.room.look(p)
	if o.At != nil {
		db.position = *o.At
	} else if db.position, err = db.readPosition(); err != nil {
		return nil, errors.Join(err, db.Close())
	}
	if db.position.Seq == 0 {
		db.position.Hash = o.Genesis
	}
	return db, nil
}

// diskFullWait is how long all writing waits when the disk is full: Pebble tries again
// at once, and for ever.
const diskFullWait = 500 * time.Millisecond

func pebbleOptions(o Options, h *harm) *pebble.Options {
	opts := &pebble.Options{
		FS:                          vfs.OnDiskFull(o.FS, func() { time.Sleep(diskFullWait) }),
		Cache:                       pebble.NewCache(o.Cache + memTables),
		DisableWAL:                  true, // the log in the bucket is the truth
		FormatMajorVersion:          pebbleFormat,
		MemTableSize:                memTable,
		MemTableStopWritesThreshold: 4,
		MaxManifestFileSize:         1 << 20, // it goes into every checkpoint object
		L0CompactionThreshold:       4,
		L0CompactionFileThreshold:   1000,
		L0StopWritesThreshold:       1000,
		Logger:                      logger{o.Log},
		MaxOpenFiles:                4096,
		EventListener: &pebble.EventListener{
			// Pebble's own answer to a damaged table is to end the process.
			DataCorruption: func(info pebble.DataCorruptionInfo) {
				table := info.Path
				if o.NameOf != nil {
					table = o.NameOf(info.Path)
				}
				h.seen(table)
				if o.Damaged != nil {
					o.Damaged(table)
				}
			},
		},
	}
	opts.Experimental.MultiLevelCompactionHeuristic = pebble.NoMultiLevel{}
	for i := range opts.Levels {
		l := &opts.Levels[i]
		l.BlockSize = 16 << 10
		l.FilterPolicy = bloom.FilterPolicy(10)
		l.FilterType = pebble.TableFilter
		opts.TargetFileSizes[i] = 4 << 20
	}
	switch o.Use {
	case Live:
		opts.LBaseMaxBytes = 32 << 20
		opts.CompactionConcurrencyRange = func() (int, int) { return 1, 2 }
	case Lazy:
		opts.DisableAutomaticCompactions = true
		opts.DisableTableStats = true
	case Compact:
		opts.DisableTableStats = true
		shapeForUploads(opts)
	}
	return opts
}

// shapeForUploads sets the levels for checkpoints that follow a few dozen commits each,
// where every table that a compaction writes is uploaded, and every level is a table or
// two that a cold page fetches.
//
// The factor between levels counts most: as many levels as there are, each six times the
// one above, write less than few at Pebble's default of ten. How large tables are hardly
// matters to what is written. What more levels cost a reader is won back in part: a flush
// is merged into the first level at once, which is small enough for that, so that a
// checkpoint has nothing in level 0; and above the last level tables are of a size that a
// reader fetches by one GET, index and data together. The last level holds nearly
// everything: its tables are large, for each has its entry in every checkpoint object.
func shapeForUploads(opts *pebble.Options) {
	const whole, large = 960 << 10, 4 << 20 // a table is a little larger than its target
	opts.L0CompactionThreshold = 2          // Pebble compares it with twice the depth
	opts.LBaseMaxBytes = 256 << 10
	opts.Experimental.LevelMultiplier = 6
	for i := 1; i < len(opts.TargetFileSizes)-1; i++ {
		opts.TargetFileSizes[i] = whole
	}
	opts.TargetFileSizes[len(opts.TargetFileSizes)-1] = large
}

// logger hands Pebble's complaints to ours. A fatal one panics: the process has no
// state that a restart would not rebuild from the log.
type logger struct{ say func(string) }

func (l logger) Infof(string, ...any) {}

func (l logger) Errorf(format string, args ...any) {
	if l.say != nil {
		l.say(fmt.Sprintf(format, args...))
	}
}

func (l logger) Fatalf(format string, args ...any) {
	panic(fmt.Sprintf("pebble: "+format, args...))
}

// Close closes the database. What was not flushed is in the log.
func (db *DB) Close() error {
	db.mu.Lock()
	defer db.mu.Unlock()
	err := errors.Join(db.moveOn(), db.pebble.Close())
	db.room.close()
	return err
}

// Position is the last commit applied.
func (db *DB) Position() Position {
	db.mu.Lock()
	defer db.mu.Unlock()
	return db.position
}

func (db *DB) readPosition() (Position, error) {
	at, err := positionIn(db.pebble)
	return at, db.harm.explain(err)
}

func positionIn(p pebble.Reader) (Position, error) {
	value, closer, err := p.Get(KeyPosition())
	if errors.Is(err, pebble.ErrNotFound) {
		return Position{}, nil
	}
	if err != nil {
		return Position{}, fmt.Errorf("read position: %w", err)
	}
	defer closer.Close()
	return decodePosition(value)
}

// ErrGap: a commit does not extend the state it was to be applied to.
var ErrGap = errors.New("commit does not follow the position")

// ErrUnknownRecord: a commit holds a control record of a newer release. Whoever meets
// one stops: it never guesses.
var ErrUnknownRecord = errors.New("unknown control record")

// Apply applies commits, oldest first. Those that are applied already are passed over;
// the first of the others must chain to the position by number and hash. A commit is
// applied whole or not at all, and after an error the position says which ones were.
func (db *DB) Apply(commits ...*commitlog.Commit) error {
	db.mu.Lock()
	defer db.mu.Unlock()
	for len(commits) > 0 {
		n, err := db.applyBatch(commits)
		if err != nil {
			return err
		}
		commits = commits[n:]
	}
	return nil
}

// applyBatch applies as many of the commits as one batch holds, at least one, or passes
// over those that are applied already. It returns how many are done with.
func (db *DB) applyBatch(commits []*commitlog.Commit) (n int, err error) {
	batch := db.pebble.NewBatchWithSize(db.batchSize(commits))
	defer func() { err = errors.Join(err, batch.Close()) }()
	at := db.position
	for ; n < len(commits); n++ {
		c := commits[n]
		if c.Seq <= at.Seq {
			continue
		}
		if c.Seq != at.Seq+1 || c.Prev != at.Hash && (at.Seq > 0 || at.Hash != commitlog.Hash{}) {
			return 0, fmt.Errorf("apply commit %s on %s: %w", c.Seq, at.Seq, ErrGap)
		}
		if at != db.position && int64(batch.Len())+c.Bytes() > db.budget {
			break
		}
		if err := addOps(batch, c); err != nil {
			return 0, err
		}
		at = Position{Seq: c.Seq, Hash: c.Hash(), Time: c.Time}
	}
	if at == db.position {
		return n, nil
	}
	if err := batch.Set(KeyPosition(), encodePosition(at), nil); err != nil {
		return 0, fmt.Errorf("apply commit %s: %w", at.Seq, err)
	}
	if err := batch.Commit(pebble.NoSync); err != nil {
		return 0, fmt.Errorf("apply commit %s: %w", at.Seq, err)
	}
	if db.room.applied += int64(batch.Len()); db.room.applied >= firstMemTable {
		db.room.look(db.pebble)
	}
	db.position = at
	return n, db.moveOn()
}

// batchSize is about how many bytes a batch of the commits takes: one that is made for
// them is not copied while it grows.
func (db *DB) batchSize(commits []*commitlog.Commit) int {
	const perOp = 8 // kind and lengths
	size := int64(64)
	for _, c := range commits {
		add := c.Bytes() + perOp*int64(len(c.Ops))
		if size > 64 && size+add > db.budget {
			break
		}
		size += add
	}
	return int(size)
}

func addOps(batch *pebble.Batch, c *commitlog.Commit) error {
	for _, op := range c.Ops {
		var err error
		switch op.Kind {
		case commitlog.OpSet:
			err = batch.Set(op.Key, op.Value, nil)
		case commitlog.OpDelete:
			err = batch.Delete(op.Key, nil)
		case commitlog.OpDeleteRange:
			err = batch.DeleteRange(op.Key, op.Value, nil)
		case commitlog.OpControl:
			err = addControl(batch, string(op.Key), op.Value)
		default:
			err = fmt.Errorf("op kind %d: %w", op.Kind, commitlog.ErrUnknownFormat)
		}
		if err != nil {
			return fmt.Errorf("apply commit %s: %w", c.Seq, err)
		}
	}
	return nil
}

// Flush writes what was applied into tables. On a disk that is full it waits for room
// until ctx is done.
func (db *DB) Flush(ctx context.Context) error {
	flushed, err := db.pebble.AsyncFlush()
	if err != nil {
		return fmt.Errorf("flush database: %w", err)
	}
	select {
	case <-flushed:
	case <-ctx.Done():
		return fmt.Errorf("flush database: %w", ctx.Err())
	}
	db.mu.Lock()
	defer db.mu.Unlock()
	db.room.look(db.pebble)
	return nil
}

// Checkpoint flushes and makes a consistent copy of the database in a new directory
// of the same file system, linking what it can, and returns the position inside it.
func (db *DB) Checkpoint(ctx context.Context, dir string) (Position, error) {
	if err := db.Flush(ctx); err != nil {
		return Position{}, err
	}
	if err := db.pebble.Checkpoint(dir); err != nil {
		return Position{}, fmt.Errorf("checkpoint database: %w", err)
	}
	return positionOf(db.opts, dir)
}

// positionOf reads the position inside a checkpoint: the only one that is certainly
// that of its tables.
func positionOf(live *pebble.Options, dir string) (Position, error) {
	opts := &pebble.Options{
		FS:                 live.FS,
		ReadOnly:           true,
		FormatMajorVersion: live.FormatMajorVersion,
		DisableTableStats:  true,
		Logger:             live.Logger,
		EventListener:      live.EventListener,
		Levels:             live.Levels,
	}
	p, err := pebble.Open(dir, opts)
	if err != nil {
		return Position{}, fmt.Errorf("open checkpoint: %w", err)
	}
	at, err := positionIn(p)
	// The lock file of this opening is no part of the checkpoint.
	return at, errors.Join(err, p.Close(), live.FS.Remove(live.FS.PathJoin(dir, "LOCK")))
}

// Quiet reports whether nothing is being compacted and no level is over its size. (A
// level that is not has an estimated debt all the same.)
func (db *DB) Quiet() bool {
	m := db.pebble.Metrics()
	if m.Compact.NumInProgress != 0 || m.Flush.NumInProgress != 0 {
		return false
	}
	for _, level := range m.Levels[:len(m.Levels)-1] { // the last has nowhere to go
		if level.Score >= 1 {
			return false
		}
	}
	return true
}
