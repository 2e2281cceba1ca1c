package job

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"golang.org/x/sync/errgroup"

	"github.com/bobbindb/bobbin/shared/blob"
	"github.com/bobbindb/bobbin/shared/chat"
	"github.com/bobbindb/bobbin/shared/commitlog"
)

// Page is one page of jobs, newest first.
type Page struct {
	chat.Page
	Jobs []*Record
}

const parallel = 8 // reads at a time

// Get reads a job. One that was abandoned is taken up.
func (r *Runner) Get(ctx context.Context, id ID) (*Record, error) {
	if !id.Valid() {
		return nil, ErrNotFound
	}
	job, err := read(ctx, r.Bucket, id)
	switch {
	case errors.Is(err, blob.ErrNotExist):
		return nil, ErrNotFound
	case err != nil:
		return nil, answerOf(err)
	}
	r.consider(job)
	return &job.Record, nil
}

// List lists jobs, newest first: before is newer, after is older. Those that were
// abandoned are taken up.
func (r *Runner) List(ctx context.Context, c chat.Cursor) (Page, error) {
	ids, err := r.ids(ctx)
	if err != nil {
		return Page{}, answerOf(err)
	}
	slices.Reverse(ids)
	from, to, err := window(ids, c)
	if err != nil {
		return Page{}, err
	}
	jobs, err := r.readAll(ctx, ids[from:to])
	if err != nil {
		return Page{}, answerOf(err)
	}
	page := Page{Page: chat.Page{HasBefore: from > 0, HasAfter: to < len(ids), Total: len(ids)}}
	for _, job := range jobs {
		if job != nil {
			r.consider(job)
			page.Jobs = append(page.Jobs, &job.Record)
		}
	}
	return page, nil
}

// window is the part of a list that a cursor asks for.
func window(ids []ID, c chat.Cursor) (from, to int, err error) {
	key := c.Before + c.After + c.Anchor // at most one is set
	if key == "" {
		return 0, min(c.Limit, len(ids)), nil
	}
	at := slices.Index(ids, ID(key))
	switch {
	case at < 0:
		return 0, 0, chat.ErrUnknownAnchor
	case c.Before != "":
		return max(0, at-c.Limit), at, nil
	case c.After != "":
		return at + 1, min(at+1+c.Limit, len(ids)), nil
	}
	return max(0, at-c.Limit), min(at+1+c.Limit, len(ids)), nil
}

// Resume looks at every job and takes up those that were abandoned. What is over it
// does not look at twice.
func (r *Runner) Resume(ctx context.Context) error {
	ids, err := r.ids(ctx)
	if err != nil {
		return err
	}
	jobs, err := r.readAll(ctx, r.unknown(ids))
	if err != nil {
		return err
	}
	for _, job := range jobs {
		if job != nil {
			r.consider(job)
		}
	}
	return nil
}

// Look resumes in a goroutine that Close waits for.
func (r *Runner) Look() {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed {
		return
	}
	r.work.Go(func() {
		if err := r.Resume(r.life); err != nil && r.life.Err() == nil {
			r.Log.Warn("jobs were not looked at", "error", err)
		}
	})
}

// unknown lists the jobs that are not known to be over, and forgets those that are gone.
func (r *Runner) unknown(ids []ID) (left []ID) {
	r.mu.Lock()
	defer r.mu.Unlock()
	over := make(map[ID]bool, len(r.over))
	for _, id := range ids {
		if r.over[id] {
			over[id] = true
		} else {
			left = append(left, id)
		}
	}
	r.over = over
	return left
}

// consider takes up a job that nobody works on, if this runner has room and knows how.
func (r *Runner) consider(job *held) {
	if job.Over() {
		r.mu.Lock()
		r.over[job.ID] = true
		r.mu.Unlock()
		return
	}
	if _, known := r.Kinds[job.Kind]; known && job.abandoned(job.date, r.Lapse) && r.claim(job.ID) {
		r.begin(job)
	}
}

// ids lists every job, oldest first.
func (r *Runner) ids(ctx context.Context) (ids []ID, err error) {
	for page, err := range blob.Pages(ctx, r.Bucket, blob.ListOptions{Prefix: Prefix}) {
		if err != nil {
			return nil, fmt.Errorf("list jobs: %w", err)
		}
		for _, e := range page.Entries {
			if id, ok := IDOf(e.Key); ok {
				ids = append(ids, id)
			}
		}
	}
	return ids, nil
}

// readAll reads jobs. One that is gone by now, or that this release cannot read, is nil.
func (r *Runner) readAll(ctx context.Context, ids []ID) ([]*held, error) {
	jobs := make([]*held, len(ids))
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(parallel)
	for i, id := range ids {
		group.Go(func() (err error) {
			jobs[i], err = read(ctx, r.Bucket, id)
			switch {
			case errors.Is(err, blob.ErrNotExist):
				return nil
			case errors.Is(err, commitlog.ErrDamaged), errors.Is(err, commitlog.ErrUnknownFormat):
				r.Log.Warn("job is passed over", "error", err)
				return nil
			}
			return err
		})
	}
	return jobs, group.Wait()
}

// answerOf is what a failed read means to who asked. Damage stays what it is.
func answerOf(err error) error {
	if errors.Is(err, commitlog.ErrDamaged) || errors.Is(err, commitlog.ErrUnknownFormat) {
		return err
	}
	return chat.ErrUnavailable.Because(err)
}
