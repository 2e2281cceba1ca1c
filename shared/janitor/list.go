package janitor

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/bobbindb/bobbin/shared/blob"
	"github.com/bobbindb/bobbin/shared/commitlog"
	"github.com/bobbindb/bobbin/shared/job"
)

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
	for _, prefix := range []string{branchesPrefix, tablesPrefix, exportsPrefix, job.Prefix} {
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
	for page, err := range blob.Pages(ctx, bucket, blob.ListOptions{Prefix: prefix}) {
		if err != nil {
			return nil, date, fmt.Errorf("list %s: %w", prefix, err)
		}
		if date.IsZero() {
			date = page.Date
		}
		entries = append(entries, page.Entries...)
	}
	return entries, date, nil
}
