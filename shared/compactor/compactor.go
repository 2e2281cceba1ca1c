// Package compactor takes checkpoints: it turns the log's tail into tables that a cold
// reader opens without replaying.
package compactor

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/bobbindb/bobbin/shared/blob"
	"github.com/bobbindb/bobbin/shared/checkpoint"
	"github.com/bobbindb/bobbin/shared/commitlog"
	"github.com/bobbindb/bobbin/shared/partition"
	"github.com/bobbindb/bobbin/shared/store"
)

// Options says how to take a checkpoint.
type Options struct {
	Window time.Duration // the restore window; 0 means 7 days, 24 hours on a folder
	// Young is under what age an upload may still be named by a manifest that lost a
	// swap: what is older the janitor may have condemned. 0 means 1 hour.
	Young  time.Duration
	Settle time.Duration // how long the database may compact before; 0 for a live one, which compacts by itself
	Nonce  func() string // names uploads: 8 to 40 letters and digits, never the same twice; called concurrently
	Now    func() time.Time
}

const (
	defaultWindow = 7 * 24 * time.Hour
	folderWindow  = 24 * time.Hour
	defaultYoung  = time.Hour
	maxRounds     = 5
)

// Result is what a checkpoint cost.
type Result struct {
	Seq         commitlog.Seq // of the newest checkpoint
	Taken       bool          // false when there was nothing to do
	Tables      int           // uploaded
	TableBytes  int64         // uploaded in tables
	ObjectBytes int64         // of the checkpoint object
}

// Take takes a checkpoint of an open partition and makes it the newest. It does
// nothing where the newest one has everything. Only one Take a partition may be under
// way in a process; of several processes one wins and the others start over.
func Take(ctx context.Context, p *partition.Partition, opts Options) (Result, error) {
	if opts.Young <= 0 {
		opts.Young = defaultYoung
	}
	if opts.Window <= 0 {
		opts.Window = defaultWindow
		if _, folder := p.Bucket.(blob.Folder); folder {
			opts.Window = folderWindow
		}
	}
	for range maxRounds {
		result, err := take(ctx, p, opts)
		if !errors.Is(err, blob.ErrLostSwap) {
			return result, err
		}
	}
	return Result{}, fmt.Errorf("take checkpoint of partition %d: others were faster %d times: %w", p.Number, maxRounds, blob.ErrLostSwap)
}

func take(ctx context.Context, p *partition.Partition, opts Options) (Result, error) {
	m, err := checkpoint.Read(ctx, p.Bucket, p.Prefix())
	if err != nil {
		return Result{}, err
	}
	held, err := hold(ctx, p, m)
	if err != nil {
		return Result{}, err
	}
	defer held.Release()
	if held.DB.Position().Seq == m.Seq {
		return Result{Seq: m.Seq}, nil
	}
	settle(ctx, held.DB, opts)
	dir := held.Dir + "-checkpoint"
	if err := held.FS.RemoveAll(dir); err != nil {
		return Result{}, fmt.Errorf("clear checkpoint directory: %w", err)
	}
	defer held.FS.RemoveAll(dir)
	at, err := held.DB.Checkpoint(ctx, dir)
	if err != nil {
		return Result{}, err
	}
	up, err := checkpoint.Upload(ctx, p.Bucket, checkpoint.UploadOptions{
		FS: held.FS, Dir: dir, Prefix: p.Prefix(), Base: held.Base,
		Seq: at.Seq, Hash: at.Hash, Time: at.Time, Nonce: opts.Nonce,
	})
	if err != nil {
		return Result{}, err
	}
	if err := segment(ctx, p, m, at, opts); err != nil {
		return Result{}, err
	}
	named, err := publish(ctx, p, m, up, opts)
	if err != nil {
		return Result{}, err
	}
	p.Extended(held, up.Object, named)
	return Result{Seq: at.Seq, Taken: true, Tables: up.Tables, TableBytes: up.TableBytes, ObjectBytes: up.ObjectBytes}, nil
}

// hold takes the database when it extends the checkpoint that the manifest names; else
// it reopens there first, or each process would store a whole copy of its own.
func hold(ctx context.Context, p *partition.Partition, m *checkpoint.Manifest) (*partition.Held, error) {
	held, err := p.Hold()
	if err != nil || held.Key == m.Checkpoint {
		return held, err
	}
	held.Release()
	if err := p.Reopen(ctx); err != nil {
		return nil, err
	}
	if held, err = p.Hold(); err != nil {
		return nil, err
	}
	if held.Key != m.Checkpoint {
		held.Release()
		return nil, fmt.Errorf("reopened on another checkpoint: %w", blob.ErrLostSwap)
	}
	return held, nil
}

// settle lets the database compact until nothing is left to do or time is up.
func settle(ctx context.Context, db *store.DB, opts Options) {
	if opts.Settle <= 0 {
		return
	}
	if err := db.Flush(ctx); err != nil {
		return // Checkpoint will say it
	}
	ctx, cancel := context.WithTimeout(ctx, opts.Settle)
	defer cancel()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for !db.Quiet() {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// segment writes the commits since the last checkpoint again, as one object: below the
// floor it is all that is left of them.
func segment(ctx context.Context, p *partition.Partition, m *checkpoint.Manifest, to store.Position, opts Options) error {
	commits, err := p.Commits(ctx, m.Seq+1, to.Seq)
	if err != nil {
		return fmt.Errorf("read commits for a segment: %w", err)
	}
	if commits[0].Prev != m.Hash || commits[len(commits)-1].Hash() != to.Hash {
		return fmt.Errorf("commits %s to %s of the log are not those of the checkpoint: %w", m.Seq+1, to.Seq, commitlog.ErrDamaged)
	}
	_, err = commitlog.WriteSegment(ctx, p.Bucket, p.Prefix(), commits, opts.Nonce())
	return err
}

// publish makes an uploaded checkpoint the newest. A swap that loses to one that
// changed only nonce or floor is tried again while the upload is young. Its age counts
// from the answer that the manifest came with, before anything was uploaded: the Date of
// an upload's own answer may be that of a later look.
func publish(ctx context.Context, p *partition.Partition, m *checkpoint.Manifest, up *checkpoint.Uploaded, opts Options) (*checkpoint.Manifest, error) {
	began := m.Date
	for {
		next := *m
		next.History = m.Thin(checkpoint.Past{Key: up.Key, Seq: up.Object.Seq, Time: up.Object.Time, Hash: up.Object.Hash}, opts.Window, m.Date)
		next.Checkpoint, next.Seq, next.Hash, next.Time = up.Key, up.Object.Seq, up.Object.Hash, up.Object.Time
		next.Tables, next.TableBytes, next.ObjectBytes = len(up.Object.Tables), up.Object.TableBytes(), up.ObjectBytes
		next.Written, next.Release = opts.Now().UnixNano(), p.Release
		named, err := checkpoint.Swap(ctx, p.Bucket, p.Prefix(), m, next)
		if err == nil {
			return named, nil
		}
		if !errors.Is(err, blob.ErrLostSwap) || named == nil {
			return nil, err
		}
		if age := named.Date.Sub(began); named.Checkpoint != m.Checkpoint || age >= opts.Young || age < -blob.MaxSkew {
			return nil, err
		}
		m = named
	}
}
