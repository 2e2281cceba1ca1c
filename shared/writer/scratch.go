package writer

import (
	"github.com/bobbindb/bobbin/shared/chat"
	"github.com/bobbindb/bobbin/shared/commitlog"
	"github.com/bobbindb/bobbin/shared/store"
)

// scratch is the state that a batch is decided on: a base, and over it what the batch
// decided so far. What the command at hand writes is staged until keep or drop.
//
// Records that many commands of a batch change are held decoded, and encoded once when
// the batch's ops are asked for.
type scratch struct {
	base   store.Reader
	kept   layer
	staged layer

	digests map[chat.Owner]chat.Digest
}

// layer is what was written since some point, in the order of first touch.
type layer struct {
	cells   map[string]*cell
	written []*cell
	ranges  []commitlog.Op // delete-ranges: they come before every cell
	control []commitlog.Op // and these before the ranges
}

// cell is what one key holds.
type cell struct {
	key     []byte
	value   []byte
	exists  bool
	written bool
	record  any           // what value says, decoded; nil when nobody asked
	encode  func() []byte // set when value is not yet what record says
}

func newScratch(base store.Reader) *scratch {
	return &scratch{
		base:    base,
		kept:    layer{cells: make(map[string]*cell)},
		staged:  layer{cells: make(map[string]*cell)},
		digests: make(map[chat.Owner]chat.Digest),
	}
}

var _ store.Reader = (*scratch)(nil)

// Get implements store.Reader.
func (s *scratch) Get(key []byte) ([]byte, bool, error) {
	if c := s.find(key); c != nil {
		return c.bytes(), c.exists, nil
	}
	return s.below(key)
}

// find is the newest cell of a key, nil when the base has the word.
func (s *scratch) find(key []byte) *cell {
	if c := s.staged.cells[string(key)]; c != nil {
		return c
	}
	return s.kept.cells[string(key)]
}

// below reads the base, less the ranges that the batch deletes.
func (s *scratch) below(key []byte) ([]byte, bool, error) {
	for _, l := range []*layer{&s.staged, &s.kept} {
		for _, r := range l.ranges {
			if string(r.Key) <= string(key) && string(key) < string(r.Value) {
				return nil, false, nil
			}
		}
	}
	return s.base.Get(key)
}

// bytes is the cell's value, encoded if it is not yet.
func (c *cell) bytes() []byte {
	if c.encode != nil {
		c.value, c.encode = c.encode(), nil
	}
	return c.value
}

// load reads a record that the batch may read again, decoded once. The copy is the
// caller's to change; what it points to is not.
func load[T any](s *scratch, key []byte, decode func([]byte) (*T, error)) (record *T, ok bool, err error) {
	c := s.find(key)
	if c == nil {
		value, exists, err := s.below(key)
		if err != nil {
			return nil, false, err
		}
		c = &cell{key: key, value: value, exists: exists}
		s.kept.cells[string(key)] = c
	}
	if !c.exists {
		return nil, false, nil
	}
	if c.record == nil {
		decoded, err := decode(c.value)
		if err != nil {
			return nil, false, err
		}
		c.record = decoded
	}
	own := *c.record.(*T)
	return &own, true, nil
}

// put writes a record that the batch may read again.
func put[T any](s *scratch, key []byte, record *T, encode func(*T) []byte) {
	own := *record
	s.stage(&cell{key: key, exists: true, written: true, record: &own, encode: func() []byte { return encode(&own) }})
}

func (s *scratch) set(key, value []byte) {
	s.stage(&cell{key: key, value: value, exists: true, written: true})
}

func (s *scratch) delete(key []byte) { s.stage(&cell{key: key, written: true}) }

func (s *scratch) stage(c *cell) { s.staged.write(c) }

// deleteRange deletes what the base has from a key to before another. What the batch
// itself sets there stays. It is for keys that nobody loads as records.
func (s *scratch) deleteRange(from, to []byte) {
	s.staged.ranges = append(s.staged.ranges, commitlog.Op{Kind: commitlog.OpDeleteRange, Key: from, Value: to})
}

// clear deletes every key from one to before another, whether the base has it or the
// batch set it.
func (s *scratch) clear(from, to []byte) {
	for _, l := range []*layer{&s.kept, &s.staged} {
		for _, c := range l.written {
			if c.exists && string(from) <= string(c.key) && string(c.key) < string(to) {
				s.delete(c.key)
			}
		}
	}
	s.deleteRange(from, to)
}

// thaw ends the maintenance window by a control record. Whoever applies it clears the
// window's key, so no other op does.
func (s *scratch) thaw() {
	s.staged.control = append(s.staged.control, commitlog.Op{Kind: commitlog.OpControl, Key: []byte(store.ControlThaw), Value: []byte{}})
	s.stage(&cell{key: store.KeyControl(store.ControlFreeze)})
}

// write puts a cell into the layer, in the place of the key's first touch.
func (l *layer) write(c *cell) {
	if old := l.cells[string(c.key)]; old != nil {
		c.written = c.written || old.written
		if !old.written && c.written {
			l.written = append(l.written, old)
		}
		*old = *c
		return
	}
	l.cells[string(c.key)] = c
	if c.written {
		l.written = append(l.written, c)
	}
}

// keep makes what is staged part of the batch.
func (s *scratch) keep() {
	for _, c := range s.staged.written {
		s.kept.write(c)
	}
	for _, c := range s.staged.cells {
		if !c.written {
			s.kept.write(c)
		}
	}
	s.kept.ranges = append(s.kept.ranges, s.staged.ranges...)
	s.kept.control = append(s.kept.control, s.staged.control...)
	s.drop()
}

// drop forgets what is staged.
func (s *scratch) drop() {
	clear(s.staged.cells)
	clear(s.staged.written)
	s.staged.written = s.staged.written[:0]
	s.staged.ranges, s.staged.control = nil, nil
}

// ops is what the batch came to: control records, delete-ranges, then one op a key.
func (s *scratch) ops() []commitlog.Op {
	l := &s.kept
	ops := make([]commitlog.Op, 0, len(l.control)+len(l.ranges)+len(l.written))
	ops = append(append(ops, l.control...), l.ranges...)
	for _, c := range l.written {
		if c.exists {
			ops = append(ops, commitlog.Op{Kind: commitlog.OpSet, Key: c.key, Value: c.bytes()})
		} else {
			ops = append(ops, commitlog.Op{Kind: commitlog.OpDelete, Key: c.key})
		}
	}
	return ops
}

// digest is an owner's hash, computed once a batch.
func (s *scratch) digest(h chat.Hasher, o chat.Owner) chat.Digest {
	d, ok := s.digests[o]
	if !ok {
		d = h.Owner(o)
		s.digests[o] = d
	}
	return d
}
