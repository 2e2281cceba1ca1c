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
	roots, err := catalog.ReadRoots(ctx, bucket, store)
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
