// Package doctor checks that a bucket keeps the promises that a store stands on.
//
// A bucket that lets two processes create one object, or that swaps a version which is
// no longer there, loses messages without a word. So it is tried: by races, by what is
// refused, by what a read or a list sees afterwards, and by its clock. Everything
// happens under a prefix, or in a folder, of the doctor's own, which is removed
// afterwards.
package doctor

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// ErrBroken: the bucket did what it promises not to do, or promised what it did not do.
// No store is safe there.
var ErrBroken = errors.New("a promise is not kept")

// Verdict is the outcome of a check.
type Verdict string

// The outcomes.
const (
	OK      Verdict = "ok"
	Warning Verdict = "warning" // a store works, but somebody should know
	Failed  Verdict = "failed"
	Skipped Verdict = "skipped" // an earlier failure, or the system, left nothing to check
)

// Finding is what one check found.
type Finding struct {
	Check   string  `json:"check"`
	Verdict Verdict `json:"verdict"`
	Seen    string  `json:"seen,omitempty"`   // what was found
	Advice  string  `json:"advice,omitempty"` // what to do about it
	Ms      float64 `json:"ms"`

	Err error `json:"-"` // of a failure
}

// Report is what all checks found.
type Report struct {
	Bucket string    `json:"bucket"`
	OK     bool      `json:"ok"` // no check failed
	Checks []Finding `json:"checks"`
}

// NewReport is a report on a bucket.
func NewReport(bucket string, checks []Finding) Report {
	return Report{Bucket: bucket, OK: Err(checks) == nil, Checks: checks}
}

// Err names the checks that failed; nil when none did.
func Err(checks []Finding) error {
	var errs []error
	for _, f := range checks {
		if f.Verdict == Failed {
			errs = append(errs, fmt.Errorf("%s: %w", f.Check, f.Err))
		}
	}
	return errors.Join(errs...)
}

func ok(format string, args ...any) Finding {
	return Finding{Verdict: OK, Seen: fmt.Sprintf(format, args...)}
}

func warn(advice, format string, args ...any) Finding {
	return Finding{Verdict: Warning, Seen: fmt.Sprintf(format, args...), Advice: advice}
}

func skip(why string) Finding { return Finding{Verdict: Skipped, Seen: why} }

func fail(advice string, err error) Finding {
	return Finding{Verdict: Failed, Seen: err.Error(), Advice: advice, Err: err}
}

// broken is the error of a promise that is not kept.
func broken(format string, args ...any) error {
	return fmt.Errorf("%w: %s", ErrBroken, fmt.Sprintf(format, args...))
}

// check is one thing to find out.
type check struct {
	name   string
	vital  bool // without it the rest says nothing
	advice string
	run    func(ctx context.Context) (Finding, error)
}

// run runs checks one after another. After a vital one failed, the rest is skipped.
func run(ctx context.Context, checks []check) []Finding {
	findings := make([]Finding, 0, len(checks))
	var because string
	for _, c := range checks {
		began := time.Now()
		var f Finding
		if because != "" {
			f = skip("after " + because)
		} else if got, err := c.run(ctx); err != nil {
			f = fail(c.advice, err)
		} else {
			f = got
		}
		f.Check, f.Ms = c.name, float64(time.Since(began).Microseconds())/1000
		if f.Verdict == Failed && c.vital {
			because = c.name
		}
		findings = append(findings, f)
	}
	return findings
}
