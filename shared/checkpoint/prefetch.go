package checkpoint

import (
	"bytes"
	"cmp"
	"context"
	"slices"
	"sort"
	"strings"
)

const (
	// A table of at most so many bytes is fetched whole, by one GET.
	wholeTable = maxRun * chunkSize

	// Chunks that lie at most so far apart are fetched by one GET with those between.
	maxGap = 2

	defaultMaxChunks  = 64
	defaultDataChunks = 2
)

// Request names a range of a remote file to fetch.
type Request struct {
	Name string // as it is opened
	Off  int64
	Len  int64 // 0 to the end of the file
}

// Prefetch fetches ranges in parallel, as whole chunks, and waits for them. What is in
// memory or on its way is not fetched again. Local and unknown names are passed over.
// An error may be ignored: whoever reads the range asks again and gets it.
func (f *FS) Prefetch(ctx context.Context, requests []Request) error {
	var plan []span
	for _, request := range requests {
		if table := f.remote(request.Name); table != nil {
			first, end := chunkSpan(table, request.Off, request.Len)
			plan = append(plan, span{table, first, end})
		}
	}
	return f.run(ctx, plan)
}

// RangeOptions bounds a PrefetchRange.
type RangeOptions struct {
	Reverse    bool // the range will be read from its end
	DataChunks int  // of each table, from where reading begins; 0 means 2
	MaxChunks  int  // in all; 0 means 64. Tails come first, then the first data chunk of each table, then the second
}

// PrefetchRange fetches, in one round of parallel GETs, what reading the keys of
// [lo, hi) will touch: of every remote table that may hold such keys the tail, and the
// data chunks in which they begin; small tables whole. A nil hi is no bound. It is
// Prefetch otherwise.
func (f *FS) PrefetchRange(ctx context.Context, lo, hi []byte, opts RangeOptions) error {
	if f.folder != nil {
		return nil
	}
	if opts.DataChunks <= 0 {
		opts.DataChunks = defaultDataChunks
	}
	if opts.MaxChunks <= 0 {
		opts.MaxChunks = defaultMaxChunks
	}
	return f.run(ctx, planRange(f.overlapping(lo, hi), lo, hi, opts))
}

// PrefetchKeys fetches, in one round of parallel GETs, what looking the keys up begins
// with: the tail of every remote table that may hold one of them and that was never
// opened. It is Prefetch otherwise.
func (f *FS) PrefetchKeys(ctx context.Context, keys [][]byte) error {
	if f.folder != nil {
		return nil
	}
	keys = slices.Clone(keys)
	slices.SortFunc(keys, bytes.Compare)
	return f.run(ctx, f.planKeys(keys))
}

// planKeys are the tails of the tables, never opened, that may hold one of the keys, which
// are in order. It goes through all tables, once a batch of commands: it compares little.
func (f *FS) planKeys(keys [][]byte) []span {
	f.mu.Lock()
	defer f.mu.Unlock()
	var plan []span
	for _, table := range f.names {
		if table.Smallest == nil || f.looked[table] {
			continue
		}
		i := sort.Search(len(keys), func(i int) bool { return bytes.Compare(keys[i], table.Smallest) >= 0 })
		if i < len(keys) && bytes.Compare(keys[i], table.Largest) <= 0 {
			plan = append(plan, table.tail())
		}
	}
	return plan
}

// overlapping are the remote tables that may hold keys of [lo, hi), by key.
func (f *FS) overlapping(lo, hi []byte) []*Table {
	f.mu.Lock()
	defer f.mu.Unlock()
	var tables []*Table
	for _, table := range f.names {
		if table.overlaps(lo, hi) {
			tables = append(tables, table)
		}
	}
	slices.SortFunc(tables, compareTables)
	return slices.CompactFunc(tables, func(a, b *Table) bool { return compareTables(a, b) == 0 })
}

// compareTables orders tables by key. One table may have several names.
func compareTables(a, b *Table) int {
	if c := bytes.Compare(a.SHA256[:], b.SHA256[:]); c != 0 {
		return c
	}
	return strings.Compare(a.Nonce, b.Nonce)
}

// span is chunks of one table, from first to before end.
type span struct {
	table      *Table
	first, end int64
}

// tail is the span of a table's tail chunks.
func (t *Table) tail() span {
	first, end := t.tailChunks()
	return span{t, first, end}
}

// after is the remote table with the least keys that are all greater than those of t,
// or nil.
func (f *FS) after(t *Table) *Table {
	if t.Largest == nil {
		return nil
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.sorted == nil {
		f.sorted = make([]*Table, 0, len(f.names))
		for _, table := range f.names {
			if table.Smallest != nil {
				f.sorted = append(f.sorted, table)
			}
		}
		slices.SortFunc(f.sorted, func(a, b *Table) int { return bytes.Compare(a.Smallest, b.Smallest) })
	}
	i := sort.Search(len(f.sorted), func(i int) bool { return bytes.Compare(f.sorted[i].Smallest, t.Largest) > 0 })
	if i == len(f.sorted) {
		return nil
	}
	return f.sorted[i]
}

// planRange says which chunks of the tables to fetch for [lo, hi).
func planRange(tables []*Table, lo, hi []byte, opts RangeOptions) []span {
	var plan []span
	var large []*Table
	left := int64(opts.MaxChunks)
	add := func(s span) {
		s.end = min(s.end, s.first+max(0, left))
		left -= s.end - s.first
		plan = append(plan, s)
	}
	for _, table := range tables {
		if table.Size <= wholeTable {
			add(span{table, 0, chunkCount(table.Size)})
			continue
		}
		add(table.tail())
		large = append(large, table)
	}
	for depth := range int64(opts.DataChunks) {
		for _, table := range large {
			first, end := table.dataChunks(lo, hi)
			if depth >= end-first {
				continue
			}
			n := first + depth
			if opts.Reverse {
				n = end - 1 - depth
			}
			add(span{table, n, n + 1})
		}
	}
	return plan
}

// run fetches what a plan says and waits for it.
func (f *FS) run(ctx context.Context, plan []span) error {
	var flights []*flight
	for _, s := range merge(plan) {
		flights = append(flights, f.fetch.chunks(s.table, s.first, s.end, false)...)
	}
	var first error
	for _, flight := range flights {
		if _, err := flight.wait(ctx); err != nil && first == nil {
			first = err
		}
	}
	return first
}

// merge joins spans of a table that touch or nearly do, for one GET costs more than
// the chunk between.
func merge(plan []span) []span {
	slices.SortFunc(plan, func(a, b span) int {
		if c := compareTables(a.table, b.table); c != 0 {
			return c
		}
		return cmp.Compare(a.first, b.first)
	})
	var merged []span
	for _, s := range plan {
		if s.first >= s.end {
			continue
		}
		if n := len(merged); n > 0 && compareTables(merged[n-1].table, s.table) == 0 && s.first <= merged[n-1].end+maxGap {
			merged[n-1].end = max(merged[n-1].end, s.end)
			continue
		}
		merged = append(merged, s)
	}
	return merged
}
