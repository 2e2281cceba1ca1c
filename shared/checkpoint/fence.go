package checkpoint

import (
	"bytes"
	"context"
	"fmt"
	"sort"

	"github.com/cockroachdb/pebble/v2/sstable"
	"github.com/cockroachdb/pebble/v2/sstable/block"
	"github.com/cockroachdb/pebble/v2/sstable/block/blockkind"
	"github.com/cockroachdb/pebble/v2/sstable/colblk"
	"github.com/cockroachdb/pebble/v2/sstable/rowblk"
)

// chunkSize is the unit in which tables are fetched and cached.
const chunkSize = 256 << 10

// chunkCount is how many chunks a table of size bytes has. The last may be shorter.
func chunkCount(size int64) int64 { return (size + chunkSize - 1) / chunkSize }

// survey reads a table's index and sets what t says about its layout: Meta, bounds and
// fences. It closes the file. Reading only the index, two data blocks and the range
// deletions, it costs a small part of what hashing the table does.
func (t *Table) survey(ctx context.Context, file sstable.ReadableFile, opts sstable.ReaderOptions) error {
	readable, err := sstable.NewSimpleReadable(file)
	if err != nil {
		return fmt.Errorf("survey table %s: %w", t.Name, err)
	}
	table, err := sstable.NewReader(ctx, readable, opts)
	if err != nil {
		return fmt.Errorf("survey table %s: %w", t.Name, err)
	}
	defer table.Close()
	if err := t.surveyBounds(ctx, table); err != nil {
		return fmt.Errorf("survey bounds of table %s: %w", t.Name, err)
	}
	if err := t.surveyIndex(ctx, table); err != nil {
		return fmt.Errorf("survey index of table %s: %w", t.Name, err)
	}
	return nil
}

// surveyBounds sets the smallest and the largest user key, range deletions included.
func (t *Table) surveyBounds(ctx context.Context, table *sstable.Reader) error {
	points, err := table.NewIter(sstable.NoTransforms, nil, nil, sstable.DebugHandlesBlobContext)
	if err != nil {
		return err
	}
	defer func() { _ = points.Close() }()
	if kv := points.First(); kv != nil {
		t.widen(kv.K.UserKey, kv.K.UserKey)
	}
	if kv := points.Last(); kv != nil {
		t.widen(kv.K.UserKey, kv.K.UserKey)
	}
	if err := points.Error(); err != nil {
		return err
	}
	spans, err := table.NewRawRangeDelIter(ctx, sstable.NoFragmentTransforms, sstable.NoReadEnv)
	if err != nil || spans == nil {
		return err
	}
	defer spans.Close()
	span, err := spans.First()
	for ; span != nil; span, err = spans.Next() {
		t.widen(span.Start, span.End)
	}
	return err
}

// widen makes the bounds include the two keys.
func (t *Table) widen(smallest, largest []byte) {
	if t.Smallest == nil || bytes.Compare(smallest, t.Smallest) < 0 {
		t.Smallest = bytes.Clone(smallest)
	}
	if t.Largest == nil || bytes.Compare(largest, t.Largest) > 0 {
		t.Largest = bytes.Clone(largest)
	}
}

// surveyIndex sets Meta and the fences from the index blocks.
func (t *Table) surveyIndex(ctx context.Context, table *sstable.Reader) error {
	layout, err := table.Layout()
	if err != nil {
		return err
	}
	columnar := layout.Format.BlockColumnar()
	initialize := func(*block.Metadata, []byte) error { return nil }
	if columnar {
		initialize = colblk.InitIndexBlockMetadata
	}
	separator := t.Smallest // of the blocks seen so far from those to come
	for _, handle := range layout.Index {
		h, err := table.BlockReader().Read(ctx, block.NoReadEnv, nil, handle, blockkind.Index, initialize)
		if err != nil {
			return err
		}
		var rows block.IndexBlockIterator = new(rowblk.IndexIter)
		if columnar {
			rows = new(colblk.IndexIter)
		}
		if err = rows.Init(table.Comparer, h.BlockData(), block.NoTransforms); err == nil {
			separator, err = t.addFences(rows, separator)
		}
		h.Release()
		if err != nil {
			return err
		}
	}
	return nil
}

// addFences adds the fences of the chunks in which the blocks of one index block
// begin, and returns the separator behind its last block. A chunk in which no block
// begins gets the fence of the next that does.
func (t *Table) addFences(rows block.IndexBlockIterator, separator []byte) ([]byte, error) {
	for ok := rows.First(); ok; ok = rows.Next() {
		data, err := rows.BlockHandleWithProperties()
		if err != nil {
			return nil, err
		}
		for int64(data.Offset)/chunkSize >= int64(len(t.Fences)) {
			t.Fences = append(t.Fences, separator)
		}
		separator = bytes.Clone(rows.Separator())
		t.Meta = int64(data.Offset + data.Length + block.TrailerLen)
	}
	return separator, nil
}

// overlaps reports whether the table may hold keys of [lo, hi). Either may be nil,
// for no bound.
func (t *Table) overlaps(lo, hi []byte) bool {
	if t.Smallest == nil {
		return false
	}
	return bytes.Compare(t.Largest, lo) >= 0 && (hi == nil || bytes.Compare(t.Smallest, hi) < 0)
}

// dataChunks are the chunks, from first to before end, in which the data blocks begin
// that may hold keys of [lo, hi). They are empty where the table holds none.
func (t *Table) dataChunks(lo, hi []byte) (first, end int64) {
	n := len(t.Fences)
	// Keys of blocks that begin in chunk i lie from fence i to fence i+1, inclusive.
	from := sort.Search(n, func(i int) bool { return i == n-1 || bytes.Compare(t.Fences[i+1], lo) >= 0 })
	to := n
	if hi != nil {
		to = sort.Search(n, func(i int) bool { return bytes.Compare(t.Fences[i], hi) >= 0 })
	}
	return int64(from), int64(max(from, to))
}

// tailChunks are the chunks, from first to before end, that hold what a reader needs
// before it can find a data block: index, filter, properties and footer.
func (t *Table) tailChunks() (first, end int64) {
	end = chunkCount(t.Size)
	meta := t.Meta
	if meta == 0 || meta < t.Size-maxTail {
		meta = max(0, t.Size-defaultTail)
	}
	return min(meta/chunkSize, max(0, end-1)), end
}

const (
	defaultTail = chunkSize     // of a table whose layout is not known
	maxTail     = 4 * chunkSize // a longer tail holds more than indexes
)
