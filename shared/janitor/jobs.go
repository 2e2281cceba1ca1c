package janitor

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/bobbindb/bobbin/shared/blob"
	"github.com/bobbindb/bobbin/shared/commitlog"
	"github.com/bobbindb/bobbin/shared/job"
)

// jobAge is how long a job's record is kept after anything was heard of it.
const jobAge = 30 * 24 * time.Hour

// oldJobs lists the records of jobs that nobody asks for any more, and what is so old and
// no record at all. One in the format of a newer release stays.
func oldJobs(ctx context.Context, bucket blob.Bucket, found *listing) (map[string]bool, error) {
	old := map[string]bool{}
	for _, e := range found.entries {
		id, ok := job.IDOf(e.Key)
		if !ok {
			continue
		}
		if asked, ok := id.Time(); !ok || found.date.Sub(asked) <= jobAge {
			continue
		}
		o, err := bucket.Get(ctx, e.Key)
		if errors.Is(err, blob.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("look at old jobs: %w", err)
		}
		r, err := job.Decode(id, o.Body)
		switch {
		case errors.Is(err, commitlog.ErrUnknownFormat):
		case err != nil, r.Lapsed(found.date, jobAge):
			old[e.Key] = true
		}
	}
	return old, nil
}

// isJob reports whether a key is in the jobs' part of the bucket.
func isJob(key string) bool { return strings.HasPrefix(key, job.Prefix) }
