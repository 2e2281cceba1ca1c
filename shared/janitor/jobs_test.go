package janitor_test

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/bobbindb/bobbin/shared/blob"
	"github.com/bobbindb/bobbin/shared/job"
	"github.com/bobbindb/bobbin/shared/store"
)

// The record of a job goes a month after anything was heard of it, and a grace.
func TestOldJobsGo(t *testing.T) {
	w := inMemory(t)
	w.hours(w.Process(w.Bucket, store.Live), 1)
	const month = 30 * 24 * time.Hour
	began := w.Clock.Now()
	put := func(name string, asked time.Time, body string) string {
		t.Helper()
		id := job.ID(fmt.Sprintf("%019d-%s", asked.UnixNano(), name))
		if body == "" {
			encoded, err := (&job.Record{
				Format: 1, ID: id, Kind: "purge", State: job.Running, Created: asked.UnixNano(), Updated: began.UnixNano(), Beat: began.UnixNano(),
			}).Encode()
			if err != nil {
				t.Fatal(err)
			}
			body = string(encoded)
		}
		if _, err := w.Bucket.Put(t.Context(), id.Key(), []byte(body), blob.IfAbsent()); err != nil {
			t.Fatal(err)
		}
		return id.Key()
	}
	alive := put("alive", began.Add(-2*month), "") // somebody works on it
	newer := put("newer", began.Add(-2*month), `{"format":2}`)
	broken := put("broken", began.Add(-2*month), `{`)
	other := "jobs/readme"
	w.put(other)
	is := func(want map[string]bool) {
		t.Helper()
		for key, there := range want {
			if _, err := w.Bucket.Get(t.Context(), key); errors.Is(err, blob.ErrNotExist) == there {
				t.Errorf("%s: %v, want it there %t", key, err, there)
			}
		}
	}
	w.clean()
	is(map[string]bool{alive: true, newer: true, broken: true, other: true})
	w.Clock.Advance(grace)
	w.clean()
	is(map[string]bool{alive: true, newer: true, broken: false, other: true})
	w.Clock.Advance(month)
	w.clean()
	is(map[string]bool{alive: true})
	w.Clock.Advance(grace)
	if report := w.clean(); report.Objects == 0 {
		t.Errorf("report = %+v, want an object deleted", report)
	}
	is(map[string]bool{alive: false, newer: true, broken: false, other: true})
	w.Check()
}
