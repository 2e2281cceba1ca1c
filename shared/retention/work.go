package retention

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"

	"github.com/bobbindb/bobbin/shared/chat"
	"github.com/bobbindb/bobbin/shared/job"
)

// Kind is the kind of job that purges.
const Kind job.Kind = "purge"

// request is what a job of this kind is asked for.
type request struct {
	DryRun bool `json:"dry_run"`
}

var errRequest = &chat.Error{
	Kind: chat.Invalid, Code: "validation_failed", Text: "validation errors: dry_run: must be true or false",
}

// parse is strict: a dry run that was asked for by another name is no purge.
func parse(body json.RawMessage) (r request, err error) {
	if len(bytes.TrimSpace(body)) == 0 {
		return r, nil
	}
	var fields map[string]json.RawMessage // whose names are exact, unlike those of a struct
	if err := json.Unmarshal(body, &fields); err != nil {
		return r, job.ErrPayload.Because(err)
	}
	for name := range fields {
		if name != "dry_run" {
			return r, job.ErrPayload.Because(fmt.Errorf("unknown field %q", name))
		}
	}
	if err := json.Unmarshal(body, &r); err != nil {
		return r, errRequest.Because(err)
	}
	return r, nil
}

// Work is what a job of this kind does. Its result is a Report of its last attempt.
func (p *Purger) Work() job.Work {
	return job.Work{
		Check: func(body json.RawMessage) error {
			_, err := parse(body)
			return err
		},
		Do: func(ctx context.Context, task *job.Task) (any, error) {
			r, err := parse(task.Request)
			if err != nil {
				return nil, err
			}
			if r.DryRun {
				return p.Count(ctx)
			}
			return p.Purge(ctx, func(r Report) { task.Progress(int64(r.Threads+r.Messages), 0) })
		},
	}
}
