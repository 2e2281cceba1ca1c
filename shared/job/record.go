package job

import (
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/bobbindb/bobbin/shared/commitlog"
)

// ID names a job: 19 digits of the nanosecond in which it was asked for, a hyphen and a
// random word. So ids sort by age.
type ID string

// Kind is what a job does.
type Kind string

// State is how far a job is.
type State string

// The states of a job. The last two are for good.
const (
	Pending State = "pending" // nobody works on it
	Running State = "running"
	Done    State = "done"
	Failed  State = "failed"
)

// Prefix is where jobs lie in the bucket.
const Prefix = "jobs/"

const (
	recordFormat = 1
	timeDigits   = 19
	maxWord      = 64
)

// Record is a job as it is stored. Times are nanoseconds since 1970 UTC; 0 means "not
// set".
type Record struct {
	Format    int             `json:"format"`
	Nonce     string          `json:"nonce"` // new at every swap
	ID        ID              `json:"id"`
	Kind      Kind            `json:"kind"`
	State     State           `json:"state"`
	Request   json.RawMessage `json:"request,omitempty"`
	RequestID string          `json:"request_id,omitempty"` // of who asked for it
	Created   int64           `json:"created_ts"`
	Started   int64           `json:"started_ts,omitempty"` // when somebody began, the last time
	Updated   int64           `json:"updated_ts"`
	Ended     int64           `json:"ended_ts,omitempty"`
	Progress  Progress        `json:"progress"`
	Result    json.RawMessage `json:"result,omitempty"` // of a job that is done
	Error     string          `json:"error,omitempty"`  // why it failed

	// Owner is the runner that works on it, "" for nobody; Beat is a Date of the bucket
	// that this runner lived to see; Attempts is how often somebody began.
	Owner    string `json:"owner,omitempty"`
	Beat     int64  `json:"beat_ts,omitempty"`
	Attempts int    `json:"attempts,omitempty"`
}

// Progress is how much of a job is done, in steps of its own. Total is 0 where nobody
// knows it.
type Progress struct {
	Done  int64 `json:"done"`
	Total int64 `json:"total"`
}

// Over reports whether nobody will work on the job any more.
func (r *Record) Over() bool { return r.State == Done || r.State == Failed }

// abandoned reports whether whoever works on the job gave no sign of life for so long,
// by a Date of the bucket, or gave it back.
func (r *Record) abandoned(date time.Time, lapse time.Duration) bool {
	if r.Over() || r.Owner == "" {
		return !r.Over()
	}
	return date.UnixNano()-max(r.Beat, r.Created) > int64(lapse)
}

// Lapsed reports whether a job ended so long before a Date of the bucket, or has not
// been heard of since, that nobody asks for it any more.
func (r *Record) Lapsed(date time.Time, age time.Duration) bool {
	return date.UnixNano()-max(r.Created, r.Updated, r.Beat) > int64(age)
}

// newID makes the name of a job.
func newID(now time.Time, word string) ID {
	b := make([]byte, timeDigits, timeDigits+1+len(word))
	for i, n := timeDigits-1, now.UnixNano(); i >= 0; i, n = i-1, n/10 {
		b[i] = '0' + byte(n%10)
	}
	return ID(append(append(b, '-'), word...))
}

// Valid reports whether the id may name a job, so that its key is one of the bucket's.
func (id ID) Valid() bool {
	_, ok := id.Time()
	return ok
}

// Time is when the job was asked for.
func (id ID) Time() (time.Time, bool) {
	if len(id) < timeDigits+2 || len(id) > timeDigits+1+maxWord || id[timeDigits] != '-' {
		return time.Time{}, false
	}
	for i := timeDigits + 1; i < len(id); i++ {
		if c := id[i]; (c < 'a' || c > 'z') && (c < '0' || c > '9') {
			return time.Time{}, false
		}
	}
	n, err := strconv.ParseUint(string(id[:timeDigits]), 10, 63)
	if err != nil {
		return time.Time{}, false
	}
	return time.Unix(0, int64(n)), true
}

// Key is where the job lies in the bucket.
func (id ID) Key() string { return Prefix + string(id) }

// IDOf is the job that lies under a key.
func IDOf(key string) (ID, bool) {
	name, ok := strings.CutPrefix(key, Prefix)
	return ID(name), ok && ID(name).Valid()
}

// Encode is the job as it is stored.
func (r *Record) Encode() ([]byte, error) {
	body, err := json.Marshal(r)
	if err != nil {
		return nil, fmt.Errorf("encode job %s: %w", r.ID, err)
	}
	return body, nil
}

// Decode reads what Encode wrote.
func Decode(id ID, body []byte) (*Record, error) {
	r := &Record{}
	if err := json.Unmarshal(body, r); err != nil {
		return nil, fmt.Errorf("read job %s: %w: %w", id, commitlog.ErrDamaged, err)
	}
	if r.Format != recordFormat {
		return nil, fmt.Errorf("read job %s: format %d, this release reads %d: %w", id, r.Format, recordFormat, commitlog.ErrUnknownFormat)
	}
	if r.ID != id {
		return nil, fmt.Errorf("read job %s: it says that it is %q: %w", id, r.ID, commitlog.ErrDamaged)
	}
	return r, nil
}
