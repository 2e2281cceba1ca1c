package httpapi

import (
	"bytes"
	"context"
	"encoding/json"
	"net/http"
	"unicode/utf8"

	"github.com/bobbindb/bobbin/shared/chat"
	"github.com/bobbindb/bobbin/shared/job"
)

// Jobs is long work. Errors are *chat.Error where the caller can do something about them.
type Jobs interface {
	// Start stores a job and begins to work on it. It does not wait for it.
	Start(ctx context.Context, kind job.Kind, request json.RawMessage, requestID string) (*job.Record, error)
	// Get reads a job.
	Get(ctx context.Context, id job.ID) (*job.Record, error)
	// List lists jobs, newest first.
	List(ctx context.Context, c chat.Cursor) (job.Page, error)
}

var _ Jobs = (*job.Runner)(nil)

// jobs are the whole store's, all tenants of it: never shown to the key of one.
func (a *API) jobs(x *exchange) (Jobs, error) {
	switch {
	case a.Admin.Jobs == nil:
		return nil, errNotFound
	case x.grant.Tenant != "":
		return nil, errForbidden
	}
	return a.Admin.Jobs, nil
}

// startJob begins long work and answers before it is done.
func (a *API) startJob(x *exchange) error {
	jobs, err := a.jobs(x)
	if err != nil {
		return err
	}
	request, err := x.jobRequest()
	if err != nil {
		return err
	}
	started, err := jobs.Start(x.r.Context(), job.Kind(x.r.PathValue("job")), request, x.id)
	if err != nil {
		return err
	}
	x.Header().Set("Location", "/admin/jobs/"+string(started.ID))
	x.out = append(appendJob(append(appendName(append(x.out[:0], '{'), "job"), '{'), started), "}}"...)
	x.answer(http.StatusAccepted)
	return nil
}

// jobRequest is the body, a JSON object or nothing. It outlives the request.
func (x *exchange) jobRequest() (json.RawMessage, error) {
	body, err := x.read(x.api.MaxBody, job.ErrPayload)
	if err != nil {
		return nil, err
	}
	if len(bytes.TrimSpace(body)) == 0 {
		return nil, nil
	}
	if !utf8.Valid(body) || !isObject(body) || !json.Valid(body) {
		return nil, job.ErrPayload
	}
	return bytes.Clone(body), nil
}

// showJob says how far a job is, or what came of it.
func (a *API) showJob(x *exchange) error {
	jobs, err := a.jobs(x)
	if err != nil {
		return err
	}
	found, err := jobs.Get(x.r.Context(), job.ID(x.r.PathValue("job")))
	if err != nil {
		return err
	}
	x.out = append(appendJob(append(appendName(append(x.out[:0], '{'), "job"), '{'), found), "}}"...)
	x.answer(http.StatusOK)
	return nil
}

// listJobs lists jobs, newest first.
func (a *API) listJobs(x *exchange) error {
	jobs, err := a.jobs(x)
	if err != nil {
		return err
	}
	cursor, err := x.cursor()
	if err != nil {
		return err
	}
	page, err := jobs.List(x.r.Context(), cursor)
	if err != nil {
		return err
	}
	x.out = appendJobPage(x.out[:0], &page)
	x.answerList()
	return nil
}

// jobKey is a job's id as a cursor.
type jobKey job.ID

// AppendTo appends the id.
func (k jobKey) AppendTo(b []byte) []byte { return append(b, k...) }

func appendJobPage(b []byte, page *job.Page) []byte {
	b = append(b, `{"jobs":[`...)
	var first, last jobKey
	for i, j := range page.Jobs {
		if last = jobKey(j.ID); i == 0 {
			first = last
		} else {
			b = append(b, ',')
		}
		b = append(appendJob(append(b, '{'), j), '}')
	}
	b = append(b, ']')
	return append(appendPage(b, page.Page, len(page.Jobs), first, last), '}')
}

func appendJob(b []byte, j *job.Record) []byte {
	b = appendText(b, "id", string(j.ID))
	b = appendText(b, "kind", string(j.Kind))
	b = appendText(b, "state", string(j.State))
	b = appendOptionalRaw(b, "request", j.Request)
	b = appendInt(b, "created_ts", j.Created)
	b = appendInt(b, "updated_ts", j.Updated)
	b = appendOptionalInt(b, "started_ts", j.Started)
	b = appendOptionalInt(b, "ended_ts", j.Ended)
	b = append(appendName(b, "progress"), '{')
	b = appendInt(b, "done", j.Progress.Done)
	b = append(appendOptionalInt(b, "total", j.Progress.Total), '}')
	b = appendOptionalRaw(b, "result", j.Result)
	return appendOptionalText(b, "error", j.Error)
}
