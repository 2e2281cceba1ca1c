package job

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/bobbindb/bobbin/shared/blob"
	"github.com/bobbindb/bobbin/shared/chat"
)

// Work is what a kind of job does.
type Work struct {
	// Check refuses a request that can never be done, with a *chat.Error.
	Check func(request json.RawMessage) error

	// Do does it, from its beginning. It returns when ctx is done. It may be called
	// again, here or elsewhere, while it is under way or after it ended: see the package.
	Do func(ctx context.Context, task *Task) (result any, err error)
}

// Task is one call of Work.Do.
type Task struct {
	ID      ID
	Kind    Kind
	Request json.RawMessage

	mu       sync.Mutex
	progress Progress
}

// Progress says how far the work is; total is 0 when nobody knows. It costs nothing: the
// record says so with the next sign of life.
func (t *Task) Progress(done, total int64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.progress = Progress{done, total}
}

func (t *Task) soFar() Progress {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.progress
}

// Metrics is who counts jobs.
type Metrics interface {
	JobStarted(kind string)
	JobStopped(kind, outcome string) // "done", "failed", "released", "lost" or "unstored"
}

// outcome is what became of a job at this runner.
type outcome string

const (
	done     outcome = "done"
	failed   outcome = "failed"
	released outcome = "released" // given back: the process ends
	lost     outcome = "lost"     // to another process, which took it over
	unstored outcome = "unstored" // what it came to could not be written: it will be done again
)

// Options says what a runner works on, and how. Zero durations and counts mean the
// defaults.
type Options struct {
	Bucket blob.Bucket
	Kinds  map[Kind]Work
	Name   string // of this runner, like no other's

	Every    time.Duration // between two signs of life; 0 means 10 s
	Lapse    time.Duration // without one, after which a job is anybody's; 0 means 60 s
	Most     int           // jobs that this runner works on at a time; 0 means 4
	Attempts int           // after which a job fails that nobody brought to an end; 0 means 5

	Now     func() time.Time
	Nonce   func() string // random, of lower-case letters and digits
	Log     *slog.Logger
	Metrics Metrics // nil for nobody
}

func (o *Options) fill() {
	if o.Every <= 0 {
		o.Every = 10 * time.Second
	}
	if o.Lapse <= 0 {
		o.Lapse = time.Minute
	}
	if o.Most <= 0 {
		o.Most = 4
	}
	if o.Attempts <= 0 {
		o.Attempts = 5
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
}

// The answers of a runner. Texts are part of the HTTP contract.
var (
	ErrUnknownKind = &chat.Error{Kind: chat.NotFound, Code: "not_found", Text: "not found"}
	ErrPayload     = &chat.Error{Kind: chat.Invalid, Code: "invalid_payload", Text: "invalid job payload"}
	ErrNotFound    = &chat.Error{Kind: chat.NotFound, Code: "job_not_found", Text: "job not found"}
)

// Runner works on jobs in this process.
type Runner struct {
	Options
	life context.Context // of all work; Close ends it
	end  context.CancelFunc
	work sync.WaitGroup

	mu      sync.Mutex
	closed  bool
	running map[ID]bool
	over    map[ID]bool // jobs that nobody need look at again
}

// New returns a runner. Close ends it.
func New(opts Options) *Runner {
	opts.fill()
	r := &Runner{Options: opts, running: map[ID]bool{}, over: map[ID]bool{}}
	r.life, r.end = context.WithCancel(context.Background())
	return r
}

// Close stops the work that is under way, which goes back to whoever takes it up, and
// returns when all has stopped.
func (r *Runner) Close() {
	r.mu.Lock()
	r.closed = true
	r.mu.Unlock()
	r.end()
	r.work.Wait()
}

// Start stores a job and begins to work on it. It returns as soon as the job is stored.
func (r *Runner) Start(ctx context.Context, kind Kind, request json.RawMessage, requestID string) (*Record, error) {
	work, ok := r.Kinds[kind]
	if !ok {
		return nil, ErrUnknownKind
	}
	if err := work.Check(request); err != nil {
		return nil, err
	}
	now := r.Now()
	id := newID(now, r.Nonce())
	if !r.claim(id) {
		return nil, chat.ErrBusy
	}
	stored, err := r.swap(ctx, nil, Record{
		ID: id, Kind: kind, State: Pending, Request: request, RequestID: requestID, Created: now.UnixNano(), Owner: r.Name,
	})
	if err != nil {
		r.unclaim(id)
		return nil, unavailable(err)
	}
	r.begin(stored)
	return &stored.Record, nil
}

// claim takes a place for a job among those that this runner works on.
func (r *Runner) claim(id ID) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed || r.running[id] || len(r.running) >= r.Most {
		return false
	}
	r.running[id] = true
	r.work.Add(1)
	return true
}

func (r *Runner) unclaim(id ID) {
	r.mu.Lock()
	delete(r.running, id)
	r.mu.Unlock()
	r.work.Done()
}

// begin works on a claimed job in a goroutine that Close waits for.
func (r *Runner) begin(job *held) {
	go func() {
		defer r.unclaim(job.ID)
		r.run(job)
	}()
}

// run takes a job over and works on it to its end, or until it is another's.
func (r *Runner) run(job *held) {
	log := r.Log.With("job", job.ID, "kind", job.Kind)
	next := job.Record
	next.State, next.Owner, next.Beat, next.Started = Running, r.Name, job.date.UnixNano(), r.Now().UnixNano()
	if next.Attempts++; next.Attempts > r.Attempts {
		next.State, next.Ended, next.Owner = Failed, next.Started, ""
		next.Error = fmt.Sprintf("it was begun %d times and never came to an end", r.Attempts)
	}
	job, err := r.swap(r.life, job, next)
	if err != nil {
		// It is somebody else's, or stays for whoever looks next.
		log.Debug("job was not begun", "error", err)
		return
	}
	if job.Over() {
		log.Warn("job failed", "error", job.Error)
		return
	}
	log.Info("job begun", "attempt", job.Attempts)
	if r.Metrics != nil {
		r.Metrics.JobStarted(string(job.Kind))
	}
	came := r.finish(log, r.pursue(job))
	if r.Metrics != nil {
		r.Metrics.JobStopped(string(job.Kind), string(came))
	}
}

// pursued is where a call of Work.Do came to.
type pursued struct {
	job    *held // as it was swapped last
	result any
	err    error
	lost   error // why the job is not this runner's any more, nil when it is
}

// pursue calls the work and gives signs of life until it returns.
func (r *Runner) pursue(job *held) (p pursued) {
	ctx, cancel := context.WithCancel(r.life)
	defer cancel()
	task := &Task{ID: job.ID, Kind: job.Kind, Request: job.Request}
	returned := make(chan struct{})
	p.job = job
	go func() {
		defer close(returned)
		p.result, p.err = r.do(ctx, task)
	}()
	tick := time.NewTicker(r.Every)
	defer tick.Stop()
	for {
		select {
		case <-returned:
			p.job.Progress = task.soFar()
			return p
		case <-tick.C:
		}
		if p.lost != nil {
			continue // the work is told to stop
		}
		next := p.job.Record
		next.Beat, next.Progress = p.job.date.UnixNano(), task.soFar()
		swapped, err := r.swap(ctx, p.job, next)
		switch {
		case err == nil:
			p.job = swapped
		case errors.Is(err, errLost):
			p.lost = err
			cancel()
		}
		// After any other error the next sign of life may come through.
	}
}

// do calls the work. A panic is a failure of the job, not of the process.
func (r *Runner) do(ctx context.Context, task *Task) (result any, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("the work panicked: %v", p)
		}
	}()
	return r.Kinds[task.Kind].Do(ctx, task)
}

// finish stores what came of the work, and says so in a word.
func (r *Runner) finish(log *slog.Logger, p pursued) outcome {
	if p.lost != nil {
		log.Warn("job was taken over by another process", "error", p.lost)
		return lost
	}
	came, next := done, p.job.Record
	next.State, next.Ended = Done, r.Now().UnixNano()
	if p.err == nil {
		next.Result, p.err = json.Marshal(p.result)
	}
	switch {
	case p.err == nil: // it is done
	case r.life.Err() != nil:
		// The process ends. Whoever looks next goes on at once.
		next.State, next.Ended, next.Owner, next.Beat, next.Attempts = Pending, 0, "", 0, next.Attempts-1
		came = released
	default:
		next.State, next.Error = Failed, p.err.Error()
		came = failed
	}
	if err := r.settle(p.job, next); err != nil {
		log.Warn("the end of a job could not be stored; it will be done again", "error", err)
		if errors.Is(err, errLost) {
			return lost
		}
		return unstored
	}
	took := time.Duration(r.Now().UnixNano() - next.Started)
	if came == failed {
		log.Warn("job failed", "took", took, "error", p.err)
	} else {
		log.Info("job "+string(came), "took", took)
	}
	return came
}

// closeWithin bounds how long a runner that is closed goes on trying to say where its
// jobs came to.
const closeWithin = 5 * time.Second

// settle writes a job's last word, and tries for as long as the runner lives.
func (r *Runner) settle(job *held, next Record) error {
	for {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(r.life), closeWithin)
		_, err := r.swap(ctx, job, next)
		cancel()
		if err == nil || errors.Is(err, errLost) || blob.Wait(r.life, r.Every) != nil {
			return err
		}
	}
}

// unavailable is what a failure of the bucket means to who starts a job.
func unavailable(err error) error {
	if blob.NotStored(err) && !errors.Is(err, blob.ErrUnknownOutcome) {
		return chat.ErrUnwritable.Because(err)
	}
	return chat.ErrUnknownOutcome.Because(err)
}
