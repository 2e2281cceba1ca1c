package writer

import (
	"context"
	"crypto/rand"
	"errors"
	"log/slog"
	mathrand "math/rand/v2"
	"sync"
	"time"

	"github.com/bobbindb/bobbin/shared/blob"
	"github.com/bobbindb/bobbin/shared/catalog"
	"github.com/bobbindb/bobbin/shared/chat"
	"github.com/bobbindb/bobbin/shared/checkpoint"
	"github.com/bobbindb/bobbin/shared/commitlog"
	"github.com/bobbindb/bobbin/shared/partition"
	"github.com/bobbindb/bobbin/shared/store"
	"github.com/bobbindb/bobbin/shared/telemetry"
)

// Options bounds a writer. Zero values mean the defaults.
type Options struct {
	Hasher chat.Hasher
	Log    *slog.Logger

	Deadline   time.Duration // of one batch; 0 means 10 s
	BatchCount int           // commands in one commit; 0 means 512
	BatchBytes int           // of their contents; 0 means 4 MiB
	QueueCount int           // commands waiting; 0 means 4096
	QueueBytes int           // of their contents; 0 means 64 MiB

	Random func() float64 // in [0, 1), spreads those who meet again and again; nil means math/rand

	// Committed is called after every commit, with what lies after the newest
	// checkpoint now; nil for nobody.
	Committed func(tail partition.Tail)
	Metrics   Metrics           // nil for nobody
	Tracer    *telemetry.Tracer // nil traces nothing
}

// Metrics is who counts what a writer does.
type Metrics interface {
	Committed(commands int)
	Conflict()
	UnknownOutcome()
}

func (o *Options) fill() {
	def := func(v *int, n int) {
		if *v <= 0 {
			*v = n
		}
	}
	def(&o.BatchCount, 512)
	def(&o.BatchBytes, 4<<20)
	def(&o.QueueCount, 4096)
	def(&o.QueueBytes, 64<<20)
	if o.Deadline <= 0 {
		o.Deadline = 10 * time.Second
	}
	if o.Random == nil {
		o.Random = mathrand.Float64
	}
	if o.Committed == nil {
		o.Committed = func(partition.Tail) {}
	}
}

// Writer commits to one partition. While one commit is under way the next batch
// gathers; nothing is pipelined past a commit whose outcome is open.
type Writer struct {
	Options
	part      *partition.Partition
	decider   decider
	overtaken int // how many batches to come look for others' commits first; the loop's own

	mu     sync.Mutex
	queue  []*request
	bytes  int
	closed bool
	wake   chan struct{} // has room for one
	done   chan struct{} // closed when the loop has ended
}

// request is one command on its way.
type request struct {
	cmd    *chat.Command
	origin telemetry.Origin
	size   int
	answer chan answer // has room for one

	result  chat.Result
	changed bool
	known   bool // it was decided to have happened already, or to change nothing
	err     error
}

type answer struct {
	result chat.Result
	err    error
}

// New starts a writer. Close ends it.
func New(part *partition.Partition, opts Options) *Writer {
	opts.fill()
	w := &Writer{
		Options: opts,
		part:    part,
		decider: decider{hasher: opts.Hasher},
		wake:    make(chan struct{}, 1),
		done:    make(chan struct{}),
	}
	go w.loop()
	return w
}

// Do implements chat.Writer.
func (w *Writer) Do(ctx context.Context, cmd *chat.Command) (chat.Result, error) {
	r := &request{cmd: cmd, origin: w.Tracer.OriginOf(ctx), size: sizeOf(cmd), answer: make(chan answer, 1)}
	if !w.enqueue(r) {
		return chat.Result{}, chat.ErrBusy
	}
	select {
	case a := <-r.answer:
		return a.result, a.err
	case <-ctx.Done():
		return chat.Result{}, chat.ErrUnknownOutcome.Because(ctx.Err())
	}
}

// sizeOf is roughly what a command brings into a commit.
func sizeOf(cmd *chat.Command) int {
	n := 512
	switch a := cmd.Action.(type) {
	case *chat.PostMessages:
		n += sizeOfMessages(a.Messages)
	case *chat.CreateThread:
		n += a.Draft.Size + sizeOfMessages(a.Messages)
	case *chat.ImportThread:
		n += a.Draft.Size + sizeOfMessages(a.Messages)
	case *chat.EditMessage:
		n += a.Draft.Size
	case *chat.UpdateThread:
		n += a.Draft.Size
	case *chat.Purge:
		n += purgedSize * len(a.Messages)
	}
	return n
}

// purgedSize is about what the removal of a message brings into a commit: deletes of its
// record and of up to four index entries, and the link that it leaves.
const purgedSize = 400

func sizeOfMessages(messages []chat.NewMessage) int {
	n := 0
	for i := range messages {
		n += 256 + messages[i].Draft.Size
	}
	return n
}

// enqueue refuses when the queue is full: the caller learns at once that nothing was
// stored.
func (w *Writer) enqueue(r *request) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.closed || len(w.queue) >= w.QueueCount || w.bytes+r.size > w.QueueBytes && w.bytes > 0 {
		return false
	}
	w.queue = append(w.queue, r)
	w.bytes += r.size
	select {
	case w.wake <- struct{}{}:
	default:
	}
	return true
}

// Close takes no more commands, commits those that wait, and returns when the last is
// answered.
func (w *Writer) Close() {
	w.mu.Lock()
	if !w.closed {
		w.closed = true
		close(w.wake)
	}
	w.mu.Unlock()
	<-w.done
}

func (w *Writer) loop() {
	defer close(w.done)
	for range w.wake {
		w.drain()
	}
	w.drain()
}

func (w *Writer) drain() {
	for {
		batch := w.gather()
		if len(batch) == 0 {
			return
		}
		w.commit(batch)
	}
}

// gather takes the next batch off the queue.
func (w *Writer) gather() []*request {
	w.mu.Lock()
	defer w.mu.Unlock()
	n, size := 0, 0
	for n < len(w.queue) && n < w.BatchCount && (n == 0 || size+w.queue[n].size <= w.BatchBytes) {
		size += w.queue[n].size
		n++
	}
	batch := append([]*request(nil), w.queue[:n]...)
	w.queue = append(w.queue[:0], w.queue[n:]...)
	clear(w.queue[len(w.queue) : len(w.queue)+n])
	w.bytes -= size
	return batch
}

// attempt is a batch on its way to being answered.
type attempt struct {
	batch    []*request
	tries    int
	open     bool  // a commit that holds the batch may be in a history that was lost sight of
	reopened bool  // for a table that was gone
	err      error // that it ended in, for whoever traces it
}

// commit decides a batch and makes it durable, again and again where others commit
// first, until it is answered. The deadline is the batch's own: no client's going away
// disturbs it.
func (w *Writer) commit(batch []*request) {
	ctx, cancel := context.WithTimeout(context.Background(), w.Deadline)
	defer cancel()
	ctx, span := w.trace(ctx, batch)
	a := &attempt{batch: batch}
	defer func() { span.Set("tries", int64(a.tries)+1); span.End(a.err) }()
	for ; ; a.tries++ {
		settled, err := w.try(ctx, a)
		switch {
		case settled:
			return
		case err != nil:
			w.fail(a, err)
			return
		case ctx.Err() != nil:
			w.fail(a, chat.ErrBusy.Because(ctx.Err()))
			return
		}
		w.pause(ctx, a.tries)
	}
}

// trace begins the span of a batch, within those of the requests that are in it.
func (w *Writer) trace(ctx context.Context, batch []*request) (context.Context, *telemetry.Span) {
	if w.Tracer == nil {
		return ctx, nil
	}
	origins := make([]telemetry.Origin, len(batch))
	for i, r := range batch {
		origins[i] = r.origin
	}
	ctx, span := w.Tracer.StartFor(ctx, "commit", origins)
	span.Set("partition", int64(w.part.Number))
	span.Set("commands", int64(len(batch)))
	return ctx, span
}

// pause spreads those who met more than once.
func (w *Writer) pause(ctx context.Context, tries int) {
	if tries == 0 {
		return
	}
	longest := 10 * time.Millisecond << min(tries, 5)
	_ = blob.Wait(ctx, time.Duration(w.Random()*float64(longest))) // whoever tries next finds out that ctx is over
}

// wary is for how many batches a writer that was overtaken looks before it leaps: its
// rival is likely to be still there, and a lost PUT costs more than a GET that finds
// nothing. On a folder both cost little, and only a batch that lost looks.
const wary = 16

// try decides the batch on the newest state and appends what came of it. It reports
// whether the batch was answered; neither that nor an error means that the log went on
// and the batch is to be decided again.
func (w *Writer) try(ctx context.Context, a *attempt) (settled bool, err error) {
	looked, err := w.look(ctx, a)
	if err != nil {
		return false, unavailable(err)
	}
	base, err := w.base(ctx)
	if err != nil {
		return false, err
	}
	at := base.Position().Seq
	w.fetchAhead(ctx, base, a.batch)
	ops := w.decide(base, a.batch, a.tries > 0)
	if !a.reopened && tableGone(a.batch) {
		a.reopened = true
		base.Close()
		return false, unavailable(w.part.ReopenSince(ctx, base.View))
	}
	if len(ops) == 0 {
		base.Close()
		return w.confirm(ctx, a, at, looked)
	}
	seq, err := w.part.Append(ctx, base, newNonce(), ops)
	base.Close()
	switch {
	case err == nil:
		w.answer(a.batch, seq)
		w.Committed(w.part.Tail())
		return true, nil
	case errors.Is(err, commitlog.ErrUnknown):
		a.err = err
		w.unknown(a.batch, err)
		return true, nil
	case errors.Is(err, commitlog.ErrLost), errors.Is(err, commitlog.ErrBehind):
		a.open = a.open || errors.Is(err, commitlog.ErrBehind)
		w.overtaken = wary
		if w.Metrics != nil {
			w.Metrics.Conflict()
		}
		return false, nil
	case errors.Is(err, blob.ErrNotStored), errors.Is(err, blob.ErrDenied):
		return false, chat.ErrUnwritable.Because(err)
	}
	return false, unavailable(err)
}

// look applies what others committed, where that is likely or the batch lost to it
// already. It reports whether it did.
func (w *Writer) look(ctx context.Context, a *attempt) (looked bool, err error) {
	_, folder := w.part.Bucket.(blob.Folder)
	if a.tries == 0 && (w.overtaken == 0 || folder) {
		return false, nil
	}
	before := w.part.Position().Seq
	if err := w.part.Probe(ctx); err != nil {
		return false, err
	}
	if w.part.Position().Seq != before {
		w.overtaken = wary
	} else if a.tries == 0 {
		w.overtaken--
	}
	return true, nil
}

// base takes the state to decide on. The bucket is asked once more where its last
// answer showed this machine's clock to be wrong, which may have been set since.
func (w *Writer) base(ctx context.Context) (*partition.Base, error) {
	base, err := w.part.Base()
	if errors.Is(err, partition.ErrClock) {
		if err := w.part.Probe(ctx); err != nil {
			return nil, unavailable(err)
		}
		base, err = w.part.Base()
	}
	if errors.Is(err, partition.ErrClock) {
		return nil, chat.ErrUnwritable.Because(err)
	}
	return base, unavailable(err)
}

// fetchAhead fetches, all at once, what the batch's decisions are likely to look up: one
// by one, on tables that are not here, each level of the database would be a round trip.
// What it did not get, whoever looks it up asks for again.
func (w *Writer) fetchAhead(ctx context.Context, base *partition.Base, batch []*request) {
	if _, folder := w.part.Bucket.(blob.Folder); folder {
		return
	}
	keys := [][]byte{store.KeyCounters()}
	for _, r := range batch {
		keys = append(keys, lookedUp(r.cmd, base.Time)...)
	}
	if err := base.PrefetchKeys(ctx, keys); err != nil {
		w.Log.Debug("fetch ahead", "error", err, "partition", w.part.Number)
	}
}

// unavailable is what a failure that stored nothing means to a client. Damage, and what
// a newer release wrote, stays what it is: an internal error, and no reason to try again.
func unavailable(err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, commitlog.ErrDamaged), errors.Is(err, commitlog.ErrUnknownFormat),
		errors.Is(err, store.ErrUnknownRecord), errors.Is(err, store.ErrGap):
		return err
	}
	return chat.ErrUnavailable.Because(err)
}

// tableGone reports whether a decision failed for a table that the janitor took.
func tableGone(batch []*request) bool {
	for _, r := range batch {
		if errors.Is(r.err, checkpoint.ErrTableGone) {
			return true
		}
	}
	return false
}

// decide decides the batch one command after another, each on what the ones before it
// left.
func (w *Writer) decide(base *partition.Base, batch []*request, again bool) []commitlog.Op {
	s := newScratch(base.View)
	m := moment{seq: uint64(base.Position().Seq) + 1, time: base.Time, date: base.Date, lastCommit: base.Position().Time}
	for _, r := range batch {
		r.result, r.changed, r.err = w.decider.decide(s, r.cmd, m, again)
		r.known = !r.changed && r.err == nil
	}
	return s.ops()
}

// confirm answers a batch that leaves nothing to commit. Such answers are true only of
// the state they were made on: like a strong read, they wait for a probe sent after the
// batch was there. One that looked before it decided has had it.
func (w *Writer) confirm(ctx context.Context, a *attempt, at commitlog.Seq, looked bool) (settled bool, err error) {
	if !looked {
		if err := w.part.Probe(ctx); err != nil {
			return false, unavailable(err)
		}
		if w.part.Position().Seq != at {
			return false, nil
		}
	}
	w.answer(a.batch, at)
	return true, nil
}

func (w *Writer) answer(batch []*request, seq commitlog.Seq) {
	pos := chat.Position{Branch: w.part.Branch, Seqs: []chat.PartitionSeq{{Partition: w.part.Number, Seq: uint64(seq)}}}
	changed := 0
	for _, r := range batch {
		r.result.Position = pos
		if r.changed {
			changed++
		}
		r.answer <- answer{r.result, r.err}
	}
	if w.Metrics != nil && changed > 0 {
		w.Metrics.Committed(changed)
	}
}

// unknown answers a batch whose commit may or may not be stored. Who was refused is
// certain that it stored nothing.
func (w *Writer) unknown(batch []*request, cause error) {
	w.Log.Warn("outcome of a commit is unknown", "error", cause, "partition", w.part.Number, "commands", len(batch))
	if w.Metrics != nil {
		w.Metrics.UnknownOutcome()
	}
	for _, r := range batch {
		err := error(chat.ErrUnavailable.Because(cause))
		if r.changed || r.known {
			err = chat.ErrUnknownOutcome.Because(cause)
		}
		r.answer <- answer{err: err}
	}
}

// fail answers a batch of which nothing was stored now. Of a command that was stored
// before, or may have been, that would be half of the truth.
func (w *Writer) fail(a *attempt, err error) {
	a.err = err
	w.Log.Warn("commit refused", "error", err, "partition", w.part.Number, "commands", len(a.batch))
	for _, r := range a.batch {
		refusal := err
		if a.open || r.known {
			refusal = chat.ErrUnknownOutcome.Because(err)
		}
		r.answer <- answer{err: refusal}
	}
}

func newNonce() (n commitlog.Nonce) {
	rand.Read(n[:])
	return n
}

// Set is the writers of a store's partitions, as one chat.Writer.
type Set struct {
	Store   *catalog.Store
	Writers []*Writer // by partition
}

// Do hands the command to the writer of its slot's partition.
func (s *Set) Do(ctx context.Context, cmd *chat.Command) (chat.Result, error) {
	return s.Writers[s.Store.PartitionOf(cmd.Slot)].Do(ctx, cmd)
}

// Close closes every writer.
func (s *Set) Close() {
	for _, w := range s.Writers {
		w.Close()
	}
}

var (
	_ chat.Writer = (*Writer)(nil)
	_ chat.Writer = (*Set)(nil)
)
