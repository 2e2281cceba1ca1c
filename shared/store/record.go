package store

import (
	"fmt"

	"google.golang.org/protobuf/encoding/protowire"

	"github.com/bobbindb/bobbin/shared/chat"
	"github.com/bobbindb/bobbin/shared/commitlog"
)

// recordVersion begins every record. A released version never changes.
const recordVersion = 1

// ErrDamaged: a record's bytes are not what a release wrote. It is a
// commitlog.ErrDamaged too, for those who ask only whether anything is damaged.
var ErrDamaged = fmt.Errorf("record is %w", commitlog.ErrDamaged)

// writer appends fields; zero values are absent.
type writer struct{ b []byte }

func newWriter(size int) writer { return writer{b: append(make([]byte, 0, size), recordVersion)} }

func (w *writer) uint(field protowire.Number, v uint64) {
	if v != 0 {
		w.b = protowire.AppendVarint(protowire.AppendTag(w.b, field, protowire.VarintType), v)
	}
}

func (w *writer) bytes(field protowire.Number, v []byte) {
	if len(v) != 0 {
		w.b = protowire.AppendBytes(protowire.AppendTag(w.b, field, protowire.BytesType), v)
	}
}

func (w *writer) string(field protowire.Number, v string) {
	if v != "" {
		w.b = protowire.AppendString(protowire.AppendTag(w.b, field, protowire.BytesType), v)
	}
}

func (w *writer) digest(field protowire.Number, d chat.Digest) {
	if d != (chat.Digest{}) {
		w.bytes(field, d[:16])
	}
}

// message appends a nested record without a version byte.
func (w *writer) message(field protowire.Number, fill func(*writer)) {
	var inner writer
	fill(&inner)
	w.b = protowire.AppendBytes(protowire.AppendTag(w.b, field, protowire.BytesType), inner.b)
}

// each calls visit for every field of a record. Values alias b. A field that visit
// does not know is damage: a release never writes what it cannot read.
func each(b []byte, visit func(field protowire.Number, v uint64, data []byte) bool) error {
	if len(b) == 0 || b[0] != recordVersion {
		return fmt.Errorf("record version: %w", ErrDamaged)
	}
	return eachField(b[1:], visit)
}

func eachField(b []byte, visit func(field protowire.Number, v uint64, data []byte) bool) error {
	last := protowire.Number(0)
	for len(b) > 0 {
		field, typ, n := protowire.ConsumeTag(b)
		if n < 0 || field < last {
			return fmt.Errorf("record field after %d: %w", last, ErrDamaged)
		}
		b, last = b[n:], field
		var v uint64
		var data []byte
		switch typ {
		case protowire.VarintType:
			v, n = protowire.ConsumeVarint(b)
		case protowire.BytesType:
			data, n = protowire.ConsumeBytes(b)
		default:
			n = -1
		}
		if n < 0 || !visit(field, v, data) {
			return fmt.Errorf("record field %d: %w", field, ErrDamaged)
		}
		b = b[n:]
	}
	return nil
}

func setDigest(d *chat.Digest, b []byte) bool {
	copy(d[:16], b)
	return len(b) == 16
}

// clone copies what would otherwise keep a larger buffer alive.
func clone(b []byte) []byte { return append(make([]byte, 0, len(b)), b...) }

// words are strings that come again from record to record: each is allocated once.
type words struct {
	known [8]string
	next  int
}

// of returns the bytes as a string.
func (w *words) of(b []byte) string {
	for _, s := range w.known {
		if s == string(b) {
			return s
		}
	}
	s := string(b)
	w.known[w.next%len(w.known)] = s
	w.next++
	return s
}
