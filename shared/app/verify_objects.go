package app

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"strings"

	"golang.org/x/sync/errgroup"

	"github.com/bobbindb/bobbin/shared/blob"
	"github.com/bobbindb/bobbin/shared/checkpoint"
	"github.com/bobbindb/bobbin/shared/commitlog"
)

// named is a checkpoint, the object that names it, and how to see whether that still
// does: the janitor may take away what was let go meanwhile.
type named struct {
	checkpoint.Past
	by    string
	still func(key string) (bool, error)
}

// checkpoint checks one checkpoint object and its tables, once. It reports whether they
// are whole.
func (v *verifier) checkpoint(ctx context.Context, n named) (whole bool, err error) {
	if whole, seen := v.objects[n.Key]; seen {
		return whole, nil
	}
	object, err := checkpoint.Load(ctx, v.bucket, n.Key)
	if errors.Is(err, blob.ErrNotExist) {
		if still, err := n.still(n.Key); err != nil || !still {
			return false, err
		}
	}
	v.objects[n.Key] = false
	if err != nil {
		return false, v.found(n.Key, err)
	}
	// The object has a checksum; what names it has none.
	if object.Seq != n.Seq || n.Hash != (commitlog.Hash{}) && (object.Hash != n.Hash || object.Time != n.Time) {
		v.note(n.by, "it says of %s that it is at commit %s, which is not so", n.Key, n.Seq)
		return false, nil
	}
	whole = true
	for i := range object.Tables {
		ok, err := v.table(ctx, &object.Tables[i], n)
		if err != nil {
			return false, err
		}
		whole = whole && ok
	}
	v.objects[n.Key] = whole
	return whole, nil
}

// table checks one table, once.
func (v *verifier) table(ctx context.Context, t *checkpoint.Table, n named) (whole bool, err error) {
	if whole, seen := v.tables[t.Key()]; seen {
		return whole, nil
	}
	err = v.readTable(ctx, t)
	if errors.Is(err, blob.ErrNotExist) {
		if still, err := n.still(n.Key); err != nil || !still {
			return false, err
		}
	}
	v.tables[t.Key()] = err == nil
	return err == nil, v.found(t.Key(), err)
}

// tableRead is how much of a table is in memory at a time.
const tableRead = 1 << 20

// readTable reads a table back and compares its hash.
func (v *verifier) readTable(ctx context.Context, t *checkpoint.Table) error {
	hash := sha256.New()
	for at := int64(0); at < t.Size; at += tableRead {
		o, err := v.bucket.GetRange(ctx, t.Key(), at, tableRead)
		if err != nil {
			return err
		}
		if o.Size != t.Size {
			return fmt.Errorf("it has %d bytes, its checkpoint says %d: %w", o.Size, t.Size, commitlog.ErrDamaged)
		}
		hash.Write(o.Body)
		v.done += int64(len(o.Body))
		if v.progress != nil {
			v.progress(v.done, max(v.done, v.total))
		}
	}
	v.tableBytes += t.Size
	if [sha256.Size]byte(hash.Sum(nil)) != t.SHA256 {
		return fmt.Errorf("they do not have the hash in its name: %w", commitlog.ErrDamaged)
	}
	return nil
}

// logVerifier checks a partition's commits and segments.
type logVerifier struct {
	*verifier
	prefix   string
	log      *commitlog.Log
	manifest *checkpoint.Manifest
	hashes   map[commitlog.Seq]commitlog.Hash
	whole    bool
}

// run checks that the commits from the floor on are one chain through the checkpoint's,
// and that the segments hold the rest of the restore window as a chain that ends in it.
// It reports whether the commits are whole; segments are of no use to the newest state.
func (l *logVerifier) run(ctx context.Context) (whole bool, err error) {
	l.whole, l.hashes = true, map[commitlog.Seq]commitlog.Hash{l.manifest.Seq: l.manifest.Hash}
	if err := l.checkCommits(ctx); err != nil {
		return false, err
	}
	damaged := len(l.report.Damage)
	if err := l.checkSegments(ctx); err != nil || len(l.report.Damage) > damaged {
		return l.whole, err // what is named broke the window's chain, too
	}
	return l.whole, l.checkWindow(ctx)
}

// foundCommit notes what is wrong with a commit.
func (l *logVerifier) foundCommit(seq commitlog.Seq, err error) error {
	l.whole = false
	return l.found(l.log.Key(seq), err)
}

// commitsAtOnce bounds how many commits are in memory.
const commitsAtOnce = 256

// checkCommits reads every commit from the floor to the last one there is.
func (l *logVerifier) checkCommits(ctx context.Context) error {
	last, err := l.last(ctx)
	if err != nil {
		return err
	}
	var before *commitlog.Commit
	for from := max(l.manifest.Floor, 1); from <= last; from += commitsAtOnce {
		commits := make([]*commitlog.Commit, min(commitsAtOnce, last-from+1))
		errs := make([]error, len(commits))
		group, together := errgroup.WithContext(ctx)
		group.SetLimit(16)
		for i := range commits {
			group.Go(func() error {
				commits[i], _, _, errs[i] = l.log.Get(together, from+commitlog.Seq(i))
				return nil // each has an outcome of its own
			})
		}
		if err := errors.Join(group.Wait(), ctx.Err()); err != nil {
			return err
		}
		for i, c := range commits {
			if err := l.checkCommit(ctx, from+commitlog.Seq(i), c, errs[i], before); err != nil {
				return err
			}
			before = c
		}
	}
	return nil
}

// checkCommit checks what reading a commit came to. before is the one before it, nil if
// that could not be read.
func (l *logVerifier) checkCommit(ctx context.Context, seq commitlog.Seq, c *commitlog.Commit, err error, before *commitlog.Commit) error {
	if errors.Is(err, blob.ErrNotExist) {
		now, err := checkpoint.Reread(ctx, l.bucket, l.prefix, l.manifest)
		if err != nil || seq < now.Floor {
			return err // the janitor took it meanwhile
		}
	}
	if err != nil {
		return l.foundCommit(seq, err)
	}
	l.commits++
	l.hashes[seq] = c.Hash()
	switch {
	case seq == l.manifest.Seq && c.Hash() != l.manifest.Hash:
		return l.foundCommit(seq, fmt.Errorf("it is not the commit that the checkpoint ends with: %w", commitlog.ErrDamaged))
	case before != nil && c.Prev != before.Hash():
		return l.foundCommit(seq, fmt.Errorf("it does not follow the commit before it: %w", commitlog.ErrDamaged))
	}
	return nil
}

// last is the number of the last commit that is there, or of the checkpoint's.
func (l *logVerifier) last(ctx context.Context) (commitlog.Seq, error) {
	dir := l.prefix + "/log/"
	last := l.manifest.Seq
	err := l.each(ctx, blob.ListOptions{Prefix: dir, After: l.log.Key(last)}, func(key string) error {
		seq, err := commitlog.ParseSeq(strings.TrimPrefix(key, dir))
		if err != nil {
			return nil // no commit has such a name, and nobody reads it
		}
		last = max(last, seq)
		return nil
	})
	return last, err
}

// each calls visit with the key of every object of a list.
func (v *verifier) each(ctx context.Context, opts blob.ListOptions, visit func(key string) error) error {
	for page, err := range blob.Pages(ctx, v.bucket, opts) {
		if err != nil {
			return err
		}
		for _, e := range page.Entries {
			if err := visit(e.Key); err != nil {
				return err
			}
		}
	}
	return nil
}

// checkSegments decodes every segment and compares it with its name and with the commits
// that are still there.
func (l *logVerifier) checkSegments(ctx context.Context) error {
	dir := l.prefix + "/segments/"
	return l.each(ctx, blob.ListOptions{Prefix: dir}, func(key string) error {
		err := l.checkSegment(ctx, key, strings.TrimPrefix(key, dir))
		if errors.Is(err, blob.ErrNotExist) {
			return nil // the janitor took it meanwhile
		}
		l.segments++
		return l.found(key, err)
	})
}

func (l *logVerifier) checkSegment(ctx context.Context, key, name string) error {
	o, err := l.bucket.Get(ctx, key)
	if err != nil {
		return err
	}
	commits, err := commitlog.DecodeSegment(o.Body)
	if err != nil {
		return err
	}
	says, err := commitlog.ParseSegmentName(name)
	if err != nil || commits[0].Seq != says.From || commits[len(commits)-1].Seq != says.To {
		return fmt.Errorf("it holds commits %s to %s, which is not what its name says: %w", commits[0].Seq, commits[len(commits)-1].Seq, commitlog.ErrDamaged)
	}
	for _, c := range commits {
		if h, ok := l.hashes[c.Seq]; ok && h != c.Hash() {
			return fmt.Errorf("it holds another commit %s than the log: %w", c.Seq, commitlog.ErrDamaged)
		}
	}
	return nil
}

// checkWindow checks that the segments hold every commit of the restore window.
func (l *logVerifier) checkWindow(ctx context.Context) error {
	for m := l.manifest; ; {
		if len(m.History) == 0 || m.History[0].Seq == m.Seq {
			return nil
		}
		from := m.History[0].Seq + 1
		_, err := commitlog.ReadSegments(ctx, l.bucket, l.prefix, from, m.Seq, m.Hash)
		if !errors.Is(err, commitlog.ErrMissing) {
			return err
		}
		now, err := checkpoint.Reread(ctx, l.bucket, l.prefix, m)
		if err != nil {
			return err
		}
		if now.ETag == m.ETag {
			l.note(l.prefix+"/segments/", "of commits %s to %s some are in no segment: one of them is missing", from, m.Seq)
			return nil
		}
		m = now // the window moved on meanwhile
	}
}
