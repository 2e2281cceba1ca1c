// Package janitor deletes what nothing keeps alive.
//
// It is the only one that may delete. What it finds unreached it first notes, under
// the bucket's date, and deletes no sooner than one grace later, in a run that made
// every manifest and roots.json new before it read them: whoever read one of them
// before that loses the swap by which it would have made a root of what goes. Single
// commits go once the floor has passed them for an hour and a segment holds them. All
// time is the bucket's Date.
package janitor

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/bobbindb/bobbin/shared/blob"
	"github.com/bobbindb/bobbin/shared/catalog"
	"github.com/bobbindb/bobbin/shared/checkpoint"
	"github.com/bobbindb/bobbin/shared/commitlog"
)

// Options says which store to clean, and how patiently.
type Options struct {
	Bucket blob.Bucket
	Store  *catalog.Store // which store it must be; its branches are read anew

	Window time.Duration // the restore window; 0 means 7 days, 24 hours on a folder

	// Grace is from unreached to deleted; 0 means 24 hours, 1 hour on a folder. A
	// compactor must not name an upload that is older (its Young).
	Grace time.Duration

	// FloorAge is from a floor seen to commits deleted below it; 0 means 1 hour. It must
	// be several times what any process takes for a fresh proof.
	FloorAge time.Duration

	Now     func() time.Time // only says when a manifest was written; nil for time.Now
	Nonce   func() string    // makes every version of the notes its own; nil for random ones
	Release string           // that writes manifests
	Log     *slog.Logger

	// Tables remembers from run to run which tables each checkpoint names; nil for one
	// of the run's own.
	Tables *Tables
}

const (
	defaultFloorAge = time.Hour
	exportAge       = 24 * time.Hour
	thinLate        = time.Hour // how far an entry may be out of a window, unless that is shorter, before it is due

	parallel   = 8 // calls of the bucket at a time
	fenceTries = 5
)

func (o *Options) fill() {
	window, grace := 7*24*time.Hour, 24*time.Hour
	if _, folder := o.Bucket.(blob.Folder); folder {
		window, grace = 24*time.Hour, time.Hour
	}
	if o.Window <= 0 {
		o.Window = window
	}
	if o.Grace <= 0 {
		o.Grace = grace
	}
	if o.FloorAge <= 0 {
		o.FloorAge = defaultFloorAge
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Nonce == nil {
		o.Nonce = rand.Text
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Tables == nil {
		o.Tables = NewTables()
	}
}

// Report is what a run found and did.
type Report struct {
	Date      time.Time // the bucket's, when the run began
	Floors    int       // raised
	Thinned   int       // history entries dropped
	Held      int       // partitions whose floor or commits stay, since segments lack commits
	Unreached int       // objects that nothing keeps alive, and prefixes of branches that are gone
	Condemned int       // of these, as many were so one grace ago
	Commits   int       // deleted from logs
	Objects   int       // deleted otherwise, records of jobs among them
}

// ErrGone: what the active branch stands on is missing. Nothing is deleted.
var ErrGone = errors.New("the active branch lacks a manifest")

// ErrBusy: others changed the same objects all the time. Nothing was deleted; the next
// run goes on.
var ErrBusy = errors.New("others were faster")

// run is one run over a store.
type run struct {
	Options
	report Report
	notes  []*notes        // by partition
	jobs   map[string]bool // records of jobs that nobody asks for any more
	*survey
}

// Run cleans a store once. Whatever it returns, all that is reachable is intact, and
// another run goes on from there. When nothing is condemned or due it writes nothing.
func Run(ctx context.Context, opts Options) (Report, error) {
	opts.fill()
	r := &run{Options: opts}
	err := r.run(ctx)
	if err != nil {
		err = fmt.Errorf("clean store %s: %w", opts.Store.ID, err)
	}
	return r.report, err
}

func (r *run) run(ctx context.Context) error {
	// The listing comes first: what it holds and nothing reaches afterwards is unreached.
	found, err := list(ctx, r.Bucket)
	if err != nil {
		return err
	}
	r.report.Date = found.date
	if r.survey, err = look(ctx, r.Bucket, r.Store); err != nil {
		return err
	}
	if r.notes, err = readNotes(ctx, r.Bucket, r.Partitions()); err != nil {
		return err
	}
	if r.jobs, err = oldJobs(ctx, r.Bucket, found); err != nil {
		return err
	}
	err = r.clean(ctx, found)
	return errors.Join(err, r.writeNotes(ctx))
}

func (r *run) clean(ctx context.Context, found *listing) error {
	var errs []error
	for _, at := range r.places() {
		if err := r.tidy(ctx, at, found.logs[at]); err != nil {
			errs = append(errs, fmt.Errorf("partition %d of branch %s: %w", at.partition, at.branch, err))
		}
	}
	// One partition's trouble does not keep the others' logs, but what they share stays.
	if err := errors.Join(errs...); err != nil {
		return err
	}
	kept, err := r.mark(ctx, r.Bucket, r.Tables)
	if err != nil {
		return err
	}
	condemned := r.judge(found, kept)
	if len(condemned) == 0 {
		return nil
	}
	if err := r.fence(ctx); err != nil {
		return err
	}
	// From here on nobody who looked before can make a root of what is condemned.
	if kept, err = r.markAgain(ctx); err != nil {
		return err
	}
	return r.sweep(ctx, condemned, kept)
}

// judge notes what is unreached, and returns what was so already one grace ago.
func (r *run) judge(found *listing, kept *reach) []string {
	unreached := make([]map[string]bool, len(r.notes))
	for i := range unreached {
		unreached[i] = map[string]bool{}
	}
	for _, e := range found.entries {
		if r.unreached(kept, e.Key) {
			key := kept.noted(e.Key)
			unreached[shard(key, len(r.notes))][key] = true
		}
	}
	var condemned []string
	for i, n := range r.notes {
		r.report.Unreached += len(unreached[i])
		n.keep(unreached[i], r.seen)
		condemned = append(condemned, n.condemned(found.date, r.Grace)...)
	}
	slices.Sort(condemned)
	r.report.Condemned = len(condemned)
	return condemned
}

// unreached reports whether nothing keeps an object alive, or only its age.
func (r *run) unreached(kept *reach, key string) bool {
	if isJob(key) {
		return r.jobs[key]
	}
	class := kept.class(key)
	return class == classNone || class == classExport
}

// fence swaps roots.json and every manifest for the same content under a new nonce.
func (r *run) fence(ctx context.Context) error {
	var roots *catalog.Roots
	for try := 0; ; try++ {
		old, err := catalog.ReadRoots(ctx, r.Bucket, r.store)
		if err != nil {
			return err
		}
		roots, err = catalog.SwapRoots(ctx, r.Bucket, old, *old)
		if err == nil {
			break
		}
		if !errors.Is(err, blob.ErrLostSwap) || try == fenceTries {
			return fmt.Errorf("fence: %w", err)
		}
	}
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(parallel)
	for branch := range liveBranches(r.store, roots) {
		for p := range r.Partitions() {
			group.Go(func() error { return r.renew(ctx, catalog.Prefix(branch, p)) })
		}
	}
	return group.Wait()
}

// renew swaps one manifest for the same content.
func (r *run) renew(ctx context.Context, prefix string) error {
	for try := 0; ; try++ {
		m, err := checkpoint.Read(ctx, r.Bucket, prefix)
		if errors.Is(err, checkpoint.ErrGone) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("fence: %w", err)
		}
		if _, err = checkpoint.Swap(ctx, r.Bucket, prefix, m, *m); err == nil {
			return nil
		}
		if !errors.Is(err, blob.ErrLostSwap) || try == fenceTries {
			return fmt.Errorf("fence: %w", err)
		}
	}
}

// markAgain marks what is reached after the fence. A root that moves from a manifest
// to roots.json meanwhile is not missed: it looks again until roots.json stood still.
func (r *run) markAgain(ctx context.Context) (*reach, error) {
	for range fenceTries {
		s, err := look(ctx, r.Bucket, r.Store)
		if err != nil {
			return nil, err
		}
		again, err := catalog.ReadRoots(ctx, r.Bucket, s.store)
		if err != nil {
			return nil, err
		}
		if again.ETag == s.roots.ETag {
			return s.mark(ctx, r.Bucket, r.Tables)
		}
	}
	return nil, fmt.Errorf("read roots: %w", ErrBusy)
}

// sweep deletes what is condemned and not kept.
func (r *run) sweep(ctx context.Context, condemned []string, kept *reach) error {
	var keys []string
	for _, key := range condemned {
		if branch, ok := prefixOf(key); ok {
			inside, err := r.inside(ctx, branch, kept)
			if err != nil {
				return err
			}
			keys = append(keys, inside...)
		} else if r.unreached(kept, key) {
			keys = append(keys, key)
		}
	}
	n, err := r.remove(ctx, keys)
	r.report.Objects += n
	if err != nil {
		return err
	}
	gone := map[string]bool{}
	for _, key := range condemned {
		gone[key] = true
	}
	for _, n := range r.notes {
		n.forget(gone)
	}
	return nil
}

// inside lists what goes of a branch that is gone. Its manifests go first: whoever
// looks then finds that the branch is gone, whatever is left.
func (r *run) inside(ctx context.Context, branch string, kept *reach) ([]string, error) {
	entries, _, err := listPrefix(ctx, r.Bucket, branchKey(branch))
	if err != nil {
		return nil, err
	}
	var first, rest []string
	for _, e := range entries {
		if kept.class(e.Key) != classNone {
			continue
		}
		if o, ok := parse(e.Key); ok && o.kind == "manifest" {
			first = append(first, e.Key)
		} else {
			rest = append(rest, e.Key)
		}
	}
	n, err := r.remove(ctx, first)
	r.report.Objects += n
	return rest, err
}

// remove deletes objects, a few at a time, and says how many are certainly gone.
func (r *run) remove(ctx context.Context, keys []string) (int, error) {
	done := make([]bool, len(keys))
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(parallel)
	for i, key := range keys {
		if ctx.Err() != nil {
			break
		}
		group.Go(func() error {
			if err := r.Bucket.Delete(ctx, key); err != nil {
				return fmt.Errorf("delete %s: %w", key, err)
			}
			done[i] = true
			return nil
		})
	}
	err := group.Wait()
	n := 0
	for _, ok := range done {
		if ok {
			n++
		}
	}
	return n, err
}

// writeNotes swaps the notes that changed.
func (r *run) writeNotes(ctx context.Context) error {
	var errs []error
	for p, n := range r.notes {
		errs = append(errs, n.write(ctx, r.Bucket, p, r.Nonce))
	}
	return errors.Join(errs...)
}

// lowest is the newest of the checkpoints below the window, or the oldest there is.
func lowest(m *checkpoint.Manifest) checkpoint.Past {
	if len(m.History) > 0 {
		return m.History[0]
	}
	return m.Past()
}

// named is the commit with the least seq, not under the one given, whose hash the
// manifest tells.
func named(m *checkpoint.Manifest, seq commitlog.Seq) checkpoint.Past {
	for _, past := range m.History {
		if past.Seq >= seq {
			return past
		}
	}
	return m.Past()
}
