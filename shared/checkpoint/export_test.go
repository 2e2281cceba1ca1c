package checkpoint

import "context"

// Body is the decompressed part of a checkpoint object: its frozen bytes do not hang
// on the compressor's release.
func (o *Object) Body() []byte { return o.appendBody(nil) }

// ChunkSize is the unit in which tables are fetched.
const ChunkSize = chunkSize

// DecodeBody reads what Body returns.
func DecodeBody(b []byte) (*Object, error) { return decodeBody(b) }

// OnTheirWay is how many tables of which something is being fetched.
func (f *FS) OnTheirWay() int {
	f.fetch.mu.Lock()
	defer f.fetch.mu.Unlock()
	tables := map[string]bool{}
	for id := range f.fetch.flights {
		tables[id.table] = true
	}
	return len(tables)
}

// Gone reports whether any table was found gone.
func (f *FS) Gone() bool {
	f.fetch.mu.Lock()
	defer f.fetch.mu.Unlock()
	return len(f.fetch.gone) > 0
}

// Stats counts what an FS did since it was made.
type Stats struct {
	Gets  int64 // ranged GETs of tables, retries included
	Bytes int64 // that they brought
}

// Stats returns the counts so far.
func (f *FS) Stats() Stats { return Stats{f.fetch.gets.Load(), f.fetch.bytes.Load()} }

// TailChunks fetches what a reader needs of each file before it can find a data
// block: index, filter, properties and footer. It is Prefetch otherwise.
func (f *FS) TailChunks(ctx context.Context, names []string) error {
	var plan []span
	for _, name := range names {
		if table := f.remote(name); table != nil {
			plan = append(plan, table.tail())
		}
	}
	return f.run(ctx, plan)
}
