package partition

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/bobbindb/bobbin/shared/blob"
	"github.com/bobbindb/bobbin/shared/checkpoint"
	"github.com/bobbindb/bobbin/shared/commitlog"
	"github.com/bobbindb/bobbin/shared/store"
)

// opened is a database and what it stands on. It closes when nobody uses it any more.
type opened struct {
	*store.DB
	fs     *checkpoint.FS
	dir    string
	base   *checkpoint.Object // nil for an empty store; guarded by Partition.mu, like key
	key    string             // of the checkpoint that it extends
	refs   atomic.Int64
	close  func()
	closed chan struct{} // closed when the database is

	replayed int64 // bytes of commits applied since it was opened; guarded by Partition.mu
	renewAt  int64 // of these, when to look for a newer checkpoint
}

func (o *opened) release() {
	if o.refs.Add(-1) == 0 {
		o.close()
		close(o.closed)
	}
}

// hydrated is a database with the whole log applied, and the proof that it was whole.
type hydrated struct {
	*opened
	manifest *checkpoint.Manifest
	proof    time.Time
	end      reply // that the log ends where the database does
	tail     Tail
}

// maxHydrations bounds how often a newer manifest is tried where what one names is gone.
const maxHydrations = 3

// hydrate opens a manifest's checkpoint and replays the log; nil stands for the newest
// manifest. Where the janitor was faster than we were it starts over on the newest.
func (p *Partition) hydrate(ctx context.Context, m *checkpoint.Manifest) (next *hydrated, err error) {
	ctx, span := p.Tracer.Start(ctx, "hydrate")
	span.Set("partition", int64(p.Number))
	defer func() { span.End(err) }()
	for try := range maxHydrations {
		if m == nil || try > 0 {
			newest, readErr := p.readManifest(ctx, nil)
			if readErr != nil {
				return nil, readErr
			}
			if m != nil && newest.ETag == m.ETag {
				return nil, err // nobody took away what is missing
			}
			m = newest
		}
		next, err = p.hydrateOn(ctx, m)
		if !errors.Is(err, blob.ErrNotExist) && !errors.Is(err, checkpoint.ErrTableGone) && !errors.Is(err, commitlog.ErrBehind) {
			return next, err
		}
	}
	return nil, err
}

// hydrateOn opens a manifest's checkpoint and replays the log onto it. The checkpoint is
// opened while the tail is read.
func (p *Partition) hydrateOn(ctx context.Context, m *checkpoint.Manifest) (_ *hydrated, err error) {
	next := &hydrated{manifest: m, proof: m.Date}
	defer func() {
		if err != nil && next.opened != nil {
			next.release()
		}
	}()
	group, together := errgroup.WithContext(ctx)
	group.Go(func() (err error) {
		next.opened, err = p.openCheckpoint(together, m)
		return err
	})
	var tail commitlog.Tail
	sent := p.Now()
	group.Go(func() (err error) {
		tail, err = p.log.Tail(together, m.Seq, m.Hash)
		next.end = p.replied(sent, tail.Date)
		return err
	})
	if err := group.Wait(); err != nil {
		return nil, err
	}
	if err := p.settle(ctx, next, m.Seq+commitlog.Seq(len(tail.Commits))); err != nil {
		return nil, err
	}
	if err := p.replay(ctx, next, tail.Commits); err != nil {
		return nil, err
	}
	for _, c := range tail.Commits {
		next.replayed += c.Bytes()
		if c.Seq > next.manifest.Seq {
			next.tail.Commits++
			next.tail.Bytes += c.Bytes()
		}
	}
	return next, nil
}

// replay applies the log's tail to a database that was opened.
func (p *Partition) replay(ctx context.Context, next *hydrated, commits []*commitlog.Commit) (err error) {
	_, span := p.Tracer.Start(ctx, "replay")
	span.Set("commits", int64(len(commits)))
	defer func() { span.End(err) }()
	return next.Apply(commits...)
}

// settle makes the bucket's answer that the log ends at n count, before anything of
// what was found is applied.
func (p *Partition) settle(ctx context.Context, next *hydrated, n commitlog.Seq) error {
	if p.stale(next.proof, next.end.date) {
		m, err := p.readManifest(ctx, next.manifest)
		if err != nil {
			return err
		}
		if m.Floor > n {
			return fmt.Errorf("tail ends at %s, floor is %s: %w", n, m.Floor, commitlog.ErrBehind)
		}
		next.manifest, next.proof = m, m.Date
	}
	if next.end.date.After(next.proof) {
		next.proof = next.end.date
	}
	return nil
}

// openCheckpoint opens the database of a manifest's checkpoint in a fresh directory.
func (p *Partition) openCheckpoint(ctx context.Context, m *checkpoint.Manifest) (_ *opened, err error) {
	var object *checkpoint.Object
	if m.Checkpoint != "" {
		if object, err = checkpoint.Load(ctx, p.Bucket, m.Checkpoint); err != nil {
			return nil, err
		}
	}
	local, dir := checkpoint.Memory(), "db"
	if p.Dir != "" {
		local, dir = checkpoint.Disk(), filepath.Join(p.Dir, fmt.Sprintf("p%03d-%d", p.Number, p.opens.Add(1)))
		if err := os.RemoveAll(dir); err != nil {
			return nil, fmt.Errorf("clear working directory: %w", err)
		}
	}
	remove := func() error {
		if p.Dir == "" {
			return nil
		}
		return os.RemoveAll(dir)
	}
	if err := local.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("make working directory: %w", err)
	}
	fs := checkpoint.NewFS(checkpoint.FSOptions{Local: local, Bucket: p.Bucket, Cache: p.Chunks})
	if object != nil {
		if err := fs.Restore(ctx, object, dir); err != nil {
			return nil, errors.Join(err, fs.Close(), remove())
		}
	}
	var at *store.Position // read from the tables only where they are at hand
	if object != nil && p.Use != store.Live {
		at = &store.Position{Seq: object.Seq, Hash: object.Hash, Time: object.Time}
	}
	db, err := store.Open(store.Options{
		FS: fs, Dir: dir, Use: p.Use, Cache: p.BlockCache, Genesis: commitlog.Genesis(p.Store.ID, p.Number), At: at,
		Log:     func(text string) { p.Log.Error("pebble", "text", text, "partition", p.Number) },
		NameOf:  fs.NameOf,
		Damaged: p.noteDamage,
	})
	if err != nil {
		return nil, errors.Join(err, fs.Close(), remove())
	}
	o := &opened{DB: db, fs: fs, dir: dir, base: object, key: m.Checkpoint, closed: make(chan struct{}), renewAt: p.MaxReplay}
	o.close = func() {
		if err := errors.Join(db.Close(), fs.Close(), remove()); err != nil {
			p.Log.Error("close database", "error", err, "partition", p.Number)
		}
	}
	o.refs.Store(1)
	if at := db.Position(); at.Seq != m.Seq || at.Hash != m.Hash {
		o.release()
		return nil, fmt.Errorf("checkpoint %q is at %s, its manifest says %s: %w", m.Checkpoint, at.Seq, m.Seq, commitlog.ErrDamaged)
	}
	return o, nil
}

// Reopen opens the newest checkpoint in the database's place.
func (p *Partition) Reopen(ctx context.Context) error {
	p.changing.Lock()
	defer p.changing.Unlock()
	if err := p.reopen(ctx); err != nil {
		return fmt.Errorf("open partition %d: %w", p.Number, err)
	}
	return nil
}

// ReopenSince is Reopen, unless the database is another than the view's already.
func (p *Partition) ReopenSince(ctx context.Context, v *View) error {
	p.changing.Lock()
	defer p.changing.Unlock()
	p.mu.Lock()
	same := p.db == v.db
	p.mu.Unlock()
	if !same {
		return nil
	}
	if err := p.reopen(ctx); err != nil {
		return fmt.Errorf("reopen partition %d: %w", p.Number, err)
	}
	return nil
}

// reopen replaces the database by one on the newest checkpoint, with the whole log
// applied. Those who read meanwhile read the old one. changing is held.
func (p *Partition) reopen(ctx context.Context) error {
	next, err := p.hydrate(ctx, nil)
	if err != nil {
		return err
	}
	return p.install(next)
}

// install puts a database in the place of the one that is open. It never goes back.
// changing is held.
func (p *Partition) install(next *hydrated) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		next.release()
		return ErrClosed
	}
	if p.db != nil {
		at, to := p.db.Position(), next.Position()
		if to.Seq < at.Seq || to.Seq == at.Seq && to.Hash != at.Hash {
			next.release()
			return fmt.Errorf("reopen at %s behind %s: %w", to.Seq, at.Seq, commitlog.ErrDamaged)
		}
		p.db.release()
	}
	known := p.manifest
	p.db, p.manifest, p.tail, p.proof = next.opened, next.manifest, next.tail, next.proof
	if known != nil {
		p.adopt(known)
	}
	p.note(next.end)
	p.proved = later(p.proved, next.end.sent)
	return nil
}

// replayed counts what was applied. When a Lazy database has taken on its share, a newer
// checkpoint is opened beside it, in the background. changing and mu are held.
func (p *Partition) replayed(bytes int64) {
	p.db.replayed += bytes
	if p.Use == store.Lazy && p.db.replayed > p.db.renewAt && !p.renewing {
		p.renewing = true
		p.work.Go(p.renew)
	}
}

// renew opens the newest checkpoint and swaps, or leaves everything as it is until some
// more was replayed.
func (p *Partition) renew() {
	ctx, cancel := context.WithTimeout(p.life, p.Timeout)
	defer cancel()
	if err := p.renewOn(ctx); err != nil && p.life.Err() == nil {
		p.Log.Warn("newer checkpoint was not opened", "error", err, "partition", p.Number)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.renewing = false
	if p.db.replayed > p.db.renewAt {
		p.db.renewAt = p.db.replayed + p.MaxReplay/4
	}
}

func (p *Partition) renewOn(ctx context.Context) error {
	m, err := p.readManifest(ctx, nil)
	if err != nil {
		return err
	}
	p.mu.Lock()
	same := m.Checkpoint == p.db.key
	p.mu.Unlock()
	if same {
		return nil
	}
	next, err := p.hydrate(ctx, m)
	if err != nil {
		return err
	}
	p.changing.Lock()
	defer p.changing.Unlock()
	if err := p.catchUp(ctx, next); err != nil {
		next.release()
		return err
	}
	return p.install(next)
}

// catchUp applies to a database what was applied to the open one while it was being
// opened. changing is held.
func (p *Partition) catchUp(ctx context.Context, next *hydrated) error {
	p.mu.Lock()
	at := p.db.Position().Seq
	next.proof = later(next.proof, p.proof)
	p.mu.Unlock()
	commits, err := p.log.Range(ctx, next.Position().Seq+1, at)
	if err != nil {
		return err
	}
	for _, c := range commits {
		next.replayed += c.Bytes()
		next.tail.Commits++
		next.tail.Bytes += c.Bytes()
	}
	return next.Apply(commits...)
}

func later(a, b time.Time) time.Time {
	if b.After(a) {
		return b
	}
	return a
}
