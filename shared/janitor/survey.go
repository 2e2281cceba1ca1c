package janitor

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/bobbindb/bobbin/shared/blob"
	"github.com/bobbindb/bobbin/shared/catalog"
	"github.com/bobbindb/bobbin/shared/checkpoint"
	"github.com/bobbindb/bobbin/shared/commitlog"
)

// place is a partition of a branch.
type place struct {
	branch    string
	partition int
}

func (at place) prefix() string { return catalog.Prefix(at.branch, at.partition) }

// survey is what keeps objects alive, as it was read.
type survey struct {
	store     *catalog.Store
	roots     *catalog.Roots
	live      map[string]bool // branches
	manifests map[place]*checkpoint.Manifest
	seen      time.Time // the newest Date of an answer
}

// Partitions is how many partitions the store has.
func (s *survey) Partitions() int { return s.store.Partitions() }

// places lists the partitions that have a manifest, in order.
func (s *survey) places() []place {
	return slices.SortedFunc(maps.Keys(s.manifests), func(a, b place) int { return strings.Compare(a.prefix(), b.prefix()) })
}

// look reads the store, its roots and every manifest. One that is missing is an error
// in the active branch; another branch may be on its way in or out.
func look(ctx context.Context, bucket blob.Bucket, want *catalog.Store) (*survey, error) {
	store, err := catalog.Read(ctx, bucket)
	if err != nil {
		return nil, err
	}
	if store.ID != want.ID {
		return nil, fmt.Errorf("this is store %s: %w", store.ID, catalog.ErrNoStore)
	}
	roots, err := catalog.LookRoots(ctx, bucket, store)
	if err != nil {
		return nil, err
	}
	s := &survey{store: store, roots: roots, live: liveBranches(store, roots), manifests: map[place]*checkpoint.Manifest{}}
	var places []place
	for branch := range s.live {
		for p := range s.Partitions() {
			places = append(places, place{branch, p})
		}
	}
	read := make([]*checkpoint.Manifest, len(places))
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(parallel)
	for i, at := range places {
		group.Go(func() (err error) {
			read[i], err = checkpoint.Read(ctx, bucket, at.prefix())
			switch gone := errors.Is(err, checkpoint.ErrGone); {
			case gone && at.branch == store.Branch:
				return fmt.Errorf("%w: %w", ErrGone, err)
			case gone:
				return nil
			}
			return err
		})
	}
	if err := group.Wait(); err != nil {
		return nil, err
	}
	for i, at := range places {
		if m := read[i]; m != nil {
			s.manifests[at] = m
			if m.Date.After(s.seen) {
				s.seen = m.Date
			}
		}
	}
	return s, nil
}

// liveBranches are those that roots.json or bobbin.json names.
func liveBranches(store *catalog.Store, roots *catalog.Roots) map[string]bool {
	live := map[string]bool{store.Branch: true}
	for _, b := range roots.Branches {
		live[b.Name] = true
	}
	if store.Moving != nil {
		for _, name := range []string{store.Moving.From, store.Moving.To} {
			if name != "" {
				live[name] = true
			}
		}
	}
	return live
}

// allRoots is every root in roots.json.
func (s *survey) allRoots() []catalog.Root {
	var out []catalog.Root
	for _, b := range s.roots.Branches {
		out = append(out, b.Forks...)
	}
	for _, p := range s.roots.Pins {
		out = append(out, p.Roots...)
	}
	return out
}

// span is a range of commits that a root needs, and a commit at or over its end whose
// hash is known.
type span struct {
	after, to commitlog.Seq
	hash      commitlog.Hash // of the commit at to
}

// spans are the ranges of a partition's commits that roots need. The first is the
// window's: from the oldest checkpoint of the history on; a root that reaches into it
// makes it longer.
func (s *survey) spans(at place) []span {
	var roots []catalog.Root
	for _, root := range s.allRoots() {
		if root.Branch == at.branch && root.Partition == at.partition {
			roots = append(roots, root)
		}
	}
	slices.SortFunc(roots, func(a, b catalog.Root) int { return cmp.Compare(b.End, a.End) })
	var out []span
	if m := s.manifests[at]; m != nil {
		out = append(out, span{after: lowest(m).Seq, to: m.Seq, hash: m.Hash})
	}
	for _, root := range roots {
		if len(out) > 0 && s.manifests[at] != nil && root.End >= out[0].after {
			out[0].after = min(out[0].after, root.Seq)
			continue
		}
		if root.End > root.Seq {
			out = append(out, span{after: root.Seq, to: root.End, hash: root.Hash})
		}
	}
	return out
}

// Tables remembers which tables each checkpoint names. Checkpoints never change, so
// what it remembers is true for ever.
type Tables struct {
	named map[string][]string // keys of tables, by the key of the checkpoint
	keys  map[string]string   // one copy of each key
}

// NewTables remembers nothing yet. It serves one run at a time.
func NewTables() *Tables {
	return &Tables{named: map[string][]string{}, keys: map[string]string{}}
}

// load reads those of the checkpoints that are not known, and forgets all others.
func (t *Tables) load(ctx context.Context, bucket blob.Bucket, checkpoints map[string]class) error {
	var missing []string
	for key := range checkpoints {
		if _, ok := t.named[key]; !ok {
			missing = append(missing, key)
		}
	}
	objects := make([]*checkpoint.Object, len(missing))
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(parallel)
	for i, key := range missing {
		group.Go(func() (err error) {
			objects[i], err = checkpoint.Load(ctx, bucket, key)
			return err
		})
	}
	if err := group.Wait(); err != nil {
		return err
	}
	for i, key := range missing {
		keys := make([]string, len(objects[i].Tables))
		for j := range keys {
			keys[j] = t.one(objects[i].Tables[j].Key())
		}
		t.named[key] = keys
	}
	maps.DeleteFunc(t.named, func(key string, _ []string) bool { return checkpoints[key] == classNone })
	return nil
}

func (t *Tables) one(key string) string {
	if have, ok := t.keys[key]; ok {
		return have
	}
	t.keys[key] = key
	return key
}

// class is why an object is kept. The greater one counts.
type class int

const (
	classNone   class = iota
	classExport       // kept for a day
	classWindow       // the restore window needs it
	classPinned       // a pin or a branch's fork needs it
	classLog          // a commit of a live branch
	classLive         // the newest state needs it, or it is not the janitor's to judge
)

// reach says what is kept, and why.
type reach struct {
	*survey
	objects map[string]class // tables and checkpoint objects
	needed  map[place][]span
}

// mark follows every root. A checkpoint that it cannot read is an error: nobody could
// say what is unreached.
func (s *survey) mark(ctx context.Context, bucket blob.Bucket, tables *Tables) (*reach, error) {
	checkpoints := map[string]class{}
	add := func(key string, c class) {
		if key != "" {
			checkpoints[key] = max(checkpoints[key], c)
		}
	}
	k := &reach{survey: s, objects: map[string]class{}, needed: map[place][]span{}}
	for at, m := range s.manifests {
		add(m.Checkpoint, classLive)
		for _, past := range m.History {
			add(past.Key, classWindow)
		}
		k.needed[at] = s.spans(at)
	}
	for _, root := range s.allRoots() {
		add(root.Checkpoint, classPinned)
		at := place{root.Branch, root.Partition}
		k.needed[at] = s.spans(at)
	}
	if err := tables.load(ctx, bucket, checkpoints); err != nil {
		return nil, fmt.Errorf("follow roots: %w", err)
	}
	for key, c := range checkpoints {
		k.objects[key] = c
		for _, table := range tables.named[key] {
			k.objects[table] = max(k.objects[table], c)
		}
	}
	return k, nil
}

// class says why an object is kept, classNone when nothing keeps it.
func (k *reach) class(key string) class {
	switch {
	case strings.HasPrefix(key, tablesPrefix):
		return k.objects[key]
	case strings.HasPrefix(key, exportsPrefix):
		return classExport
	}
	o, ok := parse(key)
	if !ok {
		if branch, ok := branchOf(key); ok && !k.live[branch] {
			return classNone
		}
		return classLive
	}
	if c := k.objects[key]; c != classNone {
		return c
	}
	if !k.live[o.branch] {
		return k.classOfGone(o)
	}
	if k.manifests[o.place] == nil {
		return classLive // on its way in or out
	}
	switch o.kind {
	case "log":
		return classLog
	case "segments":
		return k.classOfSegment(o)
	case "checkpoints":
		return classNone
	}
	return classLive
}

// classOfGone is the class of an object of a branch that is gone, of which roots of
// other branches may still need a part.
func (k *reach) classOfGone(o object) class {
	needed, ok := k.needed[o.place]
	switch {
	case !ok:
		return classNone
	case o.kind == "manifest":
		return classPinned // it says where the floor is
	case o.kind == "segments":
		return k.classOfSegment(o)
	case o.kind == "log":
		seq, err := commitlog.ParseSeq(o.name)
		if err == nil && slices.ContainsFunc(needed, func(s span) bool { return seq > s.after && seq <= s.to }) {
			return classPinned
		}
	}
	return classNone
}

// classOfSegment keeps a segment that a root's range needs, twins too, and those of a
// checkpoint that is on its way.
func (k *reach) classOfSegment(o object) class {
	name, err := commitlog.ParseSegmentName(o.name)
	if err != nil {
		return classLive
	}
	for i, s := range k.needed[o.place] {
		window := i == 0 && k.manifests[o.place] != nil
		switch {
		case window && name.To > s.after:
			return classWindow
		case !window && name.To > s.after && name.From <= s.to:
			return classPinned
		}
	}
	return classNone
}

// noted is the name under which an unreached object is noted: a branch that is gone
// has one for all it left.
func (k *reach) noted(key string) string {
	if branch, ok := branchOf(key); ok && !k.live[branch] {
		return branchKey(branch)
	}
	return key
}

const (
	branchesPrefix = "branches/"
	tablesPrefix   = "tables/"
	exportsPrefix  = "exports/"
)

func branchKey(branch string) string { return branchesPrefix + branch + "/" }

// branchOf is the branch that an object belongs to.
func branchOf(key string) (string, bool) {
	rest, ok := strings.CutPrefix(key, branchesPrefix)
	if !ok {
		return "", false
	}
	branch, _, ok := strings.Cut(rest, "/")
	return branch, ok
}

// prefixOf is the branch whose every object a note names.
func prefixOf(noted string) (string, bool) {
	if !strings.HasSuffix(noted, "/") {
		return "", false
	}
	return branchOf(noted)
}

// object is the key of a partition's object.
type object struct {
	place
	kind string // "manifest", "log", "segments", "checkpoints"
	name string // "" for the manifest
}

func parse(key string) (o object, ok bool) {
	branch, ok := branchOf(key)
	if !ok {
		return o, false
	}
	dir, rest, ok := strings.Cut(strings.TrimPrefix(key, branchKey(branch)), "/")
	if !ok || len(dir) != 4 || dir[0] != 'p' {
		return o, false
	}
	o.branch = branch
	for _, c := range dir[1:] {
		if c < '0' || c > '9' {
			return o, false
		}
		o.partition = 10*o.partition + int(c-'0')
	}
	o.kind, o.name, _ = strings.Cut(rest, "/")
	return o, true
}

// listing is every object that the janitor judges.
type listing struct {
	entries []blob.Entry
	logs    map[place][]commitlog.Seq
	date    time.Time // of the first answer
}

func list(ctx context.Context, bucket blob.Bucket) (*listing, error) {
	l := &listing{logs: map[place][]commitlog.Seq{}}
	for _, prefix := range []string{branchesPrefix, tablesPrefix, exportsPrefix} {
		entries, date, err := listPrefix(ctx, bucket, prefix)
		if err != nil {
			return nil, err
		}
		if l.date.IsZero() {
			l.date = date
		}
		l.entries = append(l.entries, entries...)
	}
	for _, e := range l.entries {
		if o, ok := parse(e.Key); ok && o.kind == "log" {
			if seq, err := commitlog.ParseSeq(o.name); err == nil {
				l.logs[o.place] = append(l.logs[o.place], seq)
			}
		}
	}
	return l, nil
}

// listPrefix lists all keys that begin so. The date is that of the first answer.
func listPrefix(ctx context.Context, bucket blob.Bucket, prefix string) (entries []blob.Entry, date time.Time, err error) {
	opts := blob.ListOptions{Prefix: prefix}
	for {
		page, err := bucket.List(ctx, opts)
		if err != nil {
			return nil, date, fmt.Errorf("list %s: %w", prefix, err)
		}
		if date.IsZero() {
			date = page.Date
		}
		entries = append(entries, page.Entries...)
		if !page.More || len(page.Entries) == 0 {
			return entries, date, nil
		}
		opts.After = page.Entries[len(page.Entries)-1].Key
	}
}
