package checkpoint

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/bobbindb/bobbin/shared/blob"
	"github.com/bobbindb/bobbin/shared/commitlog"
)

// ErrTableGone: a table that the checkpoint names is not in the bucket any more: the
// janitor took it with the checkpoint. Reopen on the newest manifest.
var ErrTableGone = errors.New("table is gone from the bucket")

// TableError says what is wrong with the bytes of a table.
type TableError struct {
	Key string // in the bucket
	Err error
}

// Error names the table and says what is wrong.
func (e *TableError) Error() string { return e.Key + ": " + e.Err.Error() }

// Unwrap is what is wrong.
func (e *TableError) Unwrap() error { return e.Err }

// Table is the table's key. Whoever reads tables through Pebble finds the error by this.
func (e *TableError) Table() string { return e.Key }

const (
	maxRun       = 4  // chunks in one GET
	maxAhead     = 32 // GETs under way for those who do not wait yet
	fetchTimeout = 10 * time.Second
)

// fetcher brings chunks from the bucket: each once, however many ask.
type fetcher struct {
	bucket  blob.Bucket
	cache   *Cache
	timeout time.Duration // of one GET
	onGone  func(key string)

	ctx    context.Context // of the fetches; they outlive whoever asked first
	cancel context.CancelFunc
	work   sync.WaitGroup
	ahead  chan struct{} // a place for each GET that nobody waits for yet

	mu      sync.Mutex
	closed  bool
	flights map[chunkID]*flight
	gone    map[string]bool // tables, by id

	gets, bytes atomic.Int64 // ranged GETs of tables, retries included, and what they brought
}

// flight is a chunk on its way. Before done is closed, nobody reads data and err.
type flight struct {
	done chan struct{} // nil if it has always been there
	data []byte
	err  error
}

// claim is a flight that its goroutine has to land.
type claim struct {
	*flight
	id   chunkID
	size int64
}

func (f *flight) wait(ctx context.Context) ([]byte, error) {
	if f.done == nil {
		return f.data, f.err
	}
	select {
	case <-f.done:
		return f.data, f.err
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// chunks returns the flights of the chunks of t from first to before end. Those that
// are not in memory nor on their way are started. Someone who does not wait for them
// at once fetches ahead, and yields to those who do.
func (f *fetcher) chunks(t *Table, first, end int64, ahead bool) []*flight {
	flights := make([]*flight, 0, end-first)
	id := chunkID{table: t.id()}
	var claims []claim
	f.mu.Lock()
	defer f.mu.Unlock()
	for n := first; n < end; n++ {
		id.n = n
		fl := f.flights[id]
		if fl == nil {
			if data := f.cache.fromMemory(id); data != nil {
				fl = &flight{data: data}
				f.cache.meter.CacheHit()
			}
		}
		if fl == nil && f.closed {
			fl = &flight{err: fmt.Errorf("read table %s: %w", t.Name, errClosed)}
		}
		if fl == nil {
			fl = &flight{done: make(chan struct{})}
			f.flights[id] = fl
			claims = append(claims, claim{fl, id, chunkLength(t, n)})
		}
		flights = append(flights, fl)
	}
	if len(claims) > 0 {
		f.work.Go(func() { f.land(t, claims, ahead) })
	}
	return flights
}

var errClosed = errors.New("file system is closed")

func chunkLength(t *Table, n int64) int64 {
	return min(chunkSize, t.Size-n*chunkSize)
}

// land finishes every claim, from disk or from the bucket.
func (f *fetcher) land(t *Table, claims []claim, ahead bool) {
	var run []claim
	var runs [][]claim
	for _, c := range claims {
		if data := f.cache.fromDisk(c.id, c.size); data != nil {
			f.cache.meter.CacheHit()
			f.finish(c, data, nil)
			continue
		}
		if len(run) > 0 && (len(run) == maxRun || run[len(run)-1].id.n+1 != c.id.n) {
			runs, run = append(runs, run), nil
		}
		run = append(run, c)
	}
	if len(run) == 0 {
		return
	}
	for _, other := range runs {
		f.work.Go(func() { f.landRun(t, other, ahead) })
	}
	f.landRun(t, run, ahead)
}

// landRun fetches adjacent chunks by one GET. The readers have them before the disk.
func (f *fetcher) landRun(t *Table, run []claim, ahead bool) {
	if ahead {
		f.ahead <- struct{}{}
		defer func() { <-f.ahead }()
	}
	body, err := f.fetch(t, run[0].id.n*chunkSize, runLength(run))
	for _, c := range run {
		if err != nil {
			f.finish(c, nil, err)
			continue
		}
		data := body[:c.size:c.size]
		body = body[c.size:]
		if len(run) > 1 {
			data = append(make([]byte, 0, c.size), data...) // or one chunk would keep all of them
		}
		f.finish(c, data, nil)
	}
	if err != nil {
		return
	}
	for _, c := range run {
		f.cache.meter.CacheMiss()
		f.cache.toDisk(c.id, c.data)
	}
}

func runLength(run []claim) int64 {
	var n int64
	for _, c := range run {
		n += c.size
	}
	return n
}

// finish hands a chunk, or what went wrong, to all who wait for it.
func (f *fetcher) finish(c claim, data []byte, err error) {
	if err == nil {
		f.cache.toMemory(c.id, data)
	}
	f.mu.Lock()
	delete(f.flights, c.id)
	f.mu.Unlock()
	c.flight.data, c.flight.err = data, err
	close(c.done)
}

// tries bounds how often a range of a table is read, the first time included.
const tries = 5

// firstPause is how long a second such read waits; each further one twice as long.
const firstPause = 20 * time.Millisecond

// fetch reads a range of a table, and tries again where the bucket did not answer.
func (f *fetcher) fetch(t *Table, offset, size int64) ([]byte, error) {
	var last error
	for try := range tries {
		if err := blob.Pause(f.ctx, firstPause, try); err != nil {
			return nil, fmt.Errorf("read table %s: %w", t.Name, errClosed)
		}
		if f.isGone(t) {
			return nil, &TableError{Key: t.Key(), Err: ErrTableGone}
		}
		body, err := f.get(t, offset, size)
		if err == nil {
			return body, nil
		}
		last = &TableError{Key: t.Key(), Err: err}
		if !errors.Is(err, blob.ErrUnavailable) && !errors.Is(err, context.DeadlineExceeded) {
			break
		}
	}
	return nil, last
}

func (f *fetcher) get(t *Table, offset, size int64) ([]byte, error) {
	ctx, cancel := context.WithTimeout(f.ctx, f.timeout)
	defer cancel()
	f.gets.Add(1)
	object, err := f.bucket.GetRange(ctx, t.Key(), offset, size)
	switch {
	case errors.Is(err, blob.ErrNotExist):
		f.markGone(t)
		return nil, ErrTableGone
	case err != nil:
		return nil, err
	case int64(len(object.Body)) != size:
		return nil, fmt.Errorf("%d bytes at %d, want %d: %w", len(object.Body), offset, size, commitlog.ErrDamaged)
	}
	f.bytes.Add(size)
	return object.Body, nil
}

func (f *fetcher) isGone(t *Table) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.gone[t.id()]
}

// markGone records that a table is gone and tells the owner, once a table.
func (f *fetcher) markGone(t *Table) {
	f.mu.Lock()
	first := !f.gone[t.id()]
	f.gone[t.id()] = true
	f.mu.Unlock()
	if first && f.onGone != nil {
		f.onGone(t.Key())
	}
}

// close ends every fetch and waits for them.
func (f *fetcher) close() {
	f.mu.Lock()
	f.closed = true
	f.mu.Unlock()
	f.cancel()
	f.work.Wait()
}
