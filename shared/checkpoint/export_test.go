package checkpoint

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
