package janitor

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	"golang.org/x/sync/errgroup"

	"github.com/bobbindb/bobbin/shared/blob"
	"github.com/bobbindb/bobbin/shared/checkpoint"
	"github.com/bobbindb/bobbin/shared/commitlog"
)

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
