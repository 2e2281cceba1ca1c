package janitor

import (
	"cmp"
	"context"
	"errors"
	"slices"

	"github.com/bobbindb/bobbin/shared/blob"
	"github.com/bobbindb/bobbin/shared/checkpoint"
	"github.com/bobbindb/bobbin/shared/commitlog"
)

// tidy sees to one partition's manifest and log: it thins the history, raises the
// floor, notes the floor and deletes the commits that an old enough one has passed.
func (r *run) tidy(ctx context.Context, at place, log []commitlog.Seq) error {
	m := r.manifests[at]
	if m.State != "" {
		return nil
	}
	notes := r.notes[at.partition]
	notes.see(at.branch, m)
	next, due, err := r.due(ctx, at, m)
	if err != nil {
		return err
	}
	if due {
		switch _, err := checkpoint.Swap(ctx, r.Bucket, at.prefix(), m, next); {
		case errors.Is(err, blob.ErrLostSwap):
			// A compactor was faster. The next run will see.
		case err != nil:
			return err
		default:
			r.report.Thinned += len(m.History) - len(next.History)
			if next.Floor > m.Floor {
				r.report.Floors++
			}
		}
		// What counts is the answer to a look at the floor, not that it was raised.
		if m, err = checkpoint.Read(ctx, r.Bucket, at.prefix()); err != nil {
			return err
		}
		notes.see(at.branch, m)
		r.manifests[at] = m
		if m.Date.After(r.seen) {
			r.seen = m.Date
		}
	}
	floor := notes.stood(at.branch, r.report.Date.Add(-r.FloorAge))
	log = slices.DeleteFunc(slices.Clone(log), func(seq commitlog.Seq) bool { return seq >= floor })
	if len(log) == 0 {
		return nil
	}
	return r.deleteCommits(ctx, at, m, log)
}

// due says what the manifest should become. The floor rises to the checkpoint's seq
// once segments hold every commit below it that a root needs.
func (r *run) due(ctx context.Context, at place, m *checkpoint.Manifest) (next checkpoint.Manifest, due bool, err error) {
	next = *m
	if len(m.Thin(m.Past(), r.Window, m.Date.Add(-min(thinLate, r.Window)))) < len(m.History) {
		next.History = m.Thin(m.Past(), r.Window, m.Date)
		due = true
	}
	if m.Seq > m.Floor {
		held, err := r.held(ctx, at, m)
		if err != nil {
			return next, false, err
		}
		if held {
			next.Floor, due = m.Seq, true
		}
	}
	next.Written, next.Release = r.Now().UnixNano(), cmp.Or(r.Release, m.Release)
	return next, due, nil
}

// held reports whether segments hold what roots need of the commits that would come
// to lie below the floor.
func (r *run) held(ctx context.Context, at place, m *checkpoint.Manifest) (bool, error) {
	for _, s := range r.spans(at) {
		from := max(s.after+1, m.Floor)
		err := r.walk(ctx, at, from, s.to, s.hash, nil)
		if errors.Is(err, commitlog.ErrMissing) {
			r.report.Held++
			r.Log.Warn("floor stays, since segments lack commits", "error", err, "branch", at.branch, "partition", at.partition)
			return false, nil
		}
		if err != nil {
			return false, err
		}
	}
	return true, nil
}

// walkChunk is how many commits walk holds in memory.
const walkChunk = 1 << 10

// walk visits the commits from to down to from, newest first, as segments hold them,
// chained from the one whose hash is given.
func (r *run) walk(ctx context.Context, at place, from, to commitlog.Seq, hash commitlog.Hash, visit func([]*commitlog.Commit) error) error {
	for to >= from && to > 0 {
		start := from
		if to-from >= walkChunk {
			start = to - walkChunk + 1
		}
		commits, err := commitlog.ReadSegments(ctx, r.Bucket, at.prefix(), start, to, hash)
		if err != nil {
			return err
		}
		if visit != nil {
			if err := visit(commits); err != nil {
				return err
			}
		}
		to, hash = start-1, commits[0].Prev
	}
	return nil
}

// deleteCommits deletes commits that the floor passed long ago: those that no root
// needs, and those that segments hold.
func (r *run) deleteCommits(ctx context.Context, at place, m *checkpoint.Manifest, log []commitlog.Seq) error {
	old := r.report.Date.Add(-r.FloorAge).UnixNano()
	rest := map[commitlog.Seq]bool{}
	for _, seq := range log {
		rest[seq] = true
	}
	for _, s := range r.spans(at) {
		from, to := bounds(log, s)
		if from == 0 {
			continue
		}
		for seq := range rest {
			if seq > s.after && seq <= s.to {
				delete(rest, seq)
			}
		}
		if s.to == m.Seq {
			past := named(m, to)
			s.to, s.hash = past.Seq, past.Hash
		}
		err := r.walk(ctx, at, from, s.to, s.hash, func(commits []*commitlog.Commit) error {
			var keys []string
			for _, c := range commits {
				if _, listed := slices.BinarySearch(log, c.Seq); listed && c.Time <= old {
					keys = append(keys, commitKey(at, c.Seq))
				}
			}
			return r.deleteLog(ctx, keys)
		})
		if errors.Is(err, commitlog.ErrMissing) {
			r.report.Held++
			r.Log.Warn("commits stay, since segments lack them", "error", err, "branch", at.branch, "partition", at.partition)
			continue
		}
		if err != nil {
			return err
		}
	}
	return r.deleteUnneeded(ctx, at, m, rest, old)
}

// bounds are the least and the greatest of the commits within a span, 0 when there is
// none.
func bounds(log []commitlog.Seq, s span) (from, to commitlog.Seq) {
	for _, seq := range log {
		if seq > s.after && seq <= s.to {
			if from == 0 {
				from = seq
			}
			to = seq
		}
	}
	return from, to
}

// deleteUnneeded deletes commits that no root needs: the history begins after them, and
// with it says how old they are at the least.
func (r *run) deleteUnneeded(ctx context.Context, at place, m *checkpoint.Manifest, seqs map[commitlog.Seq]bool, old int64) error {
	first := lowest(m)
	if first.Time > old {
		return nil
	}
	var keys []string
	for seq := range seqs {
		if seq <= first.Seq {
			keys = append(keys, commitKey(at, seq))
		}
	}
	slices.Sort(keys)
	return r.deleteLog(ctx, keys)
}

func (r *run) deleteLog(ctx context.Context, keys []string) error {
	n, err := r.remove(ctx, keys)
	r.report.Commits += n
	return err
}

func commitKey(at place, seq commitlog.Seq) string { return commitlog.CommitKey(at.prefix(), seq) }
