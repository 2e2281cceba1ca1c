package commitlog

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"hash/crc32"
	"strconv"
)

// Seq numbers the commits of a partition from 1. Seq 0 is the empty store.
type Seq uint64

// String is the 20 digits that stand in an object's key, so that keys sort as
// numbers do.
func (s Seq) String() string {
	var digits [20]byte
	for i := len(digits) - 1; i >= 0; i-- {
		digits[i] = byte('0' + s%10)
		s /= 10
	}
	return string(digits[:])
}

// ParseSeq reads the 20 digits that String writes.
func ParseSeq(digits string) (Seq, error) {
	if len(digits) != 20 {
		return 0, fmt.Errorf("parse seq %q: want 20 digits", digits)
	}
	n, err := strconv.ParseUint(digits, 10, 64) // takes no sign and, in base 10, no "_"
	if err != nil {
		return 0, fmt.Errorf("parse seq %q: %w", digits, err)
	}
	return Seq(n), nil
}

// Hash is the SHA-256 of a commit's core.
type Hash [sha256.Size]byte

// String is the hash in lower-case hex.
func (h Hash) String() string { return hex.EncodeToString(h[:]) }

// MarshalText writes the hash as hex, as it stands in manifests.
func (h Hash) MarshalText() ([]byte, error) { return []byte(h.String()), nil }

// UnmarshalText reads what MarshalText writes.
func (h *Hash) UnmarshalText(text []byte) error {
	if len(text) != 2*len(h) {
		return fmt.Errorf("parse hash: %d characters, want %d", len(text), 2*len(h))
	}
	_, err := hex.Decode(h[:], text)
	return err
}

// Genesis is the hash that the first commit of a partition chains to. It binds a
// log to its store, so that a commit of another store never fits.
func Genesis(storeID string, partition int) Hash {
	return sha256.Sum256(fmt.Appendf(nil, "bobbin genesis\n%s\n%d\n", storeID, partition))
}

// Nonce makes every attempt to commit its own: two processes never write equal bytes.
type Nonce [16]byte

// OpKind says what an Op does.
type OpKind byte

// The kinds of op. A reader that meets another stops: it never guesses.
const (
	OpSet         OpKind = 1 // Key gets Value
	OpDelete      OpKind = 2 // Key goes
	OpDeleteRange OpKind = 3 // every key from Key to before Value goes
	OpControl     OpKind = 4 // the rules change from here on: Key names how, Value says the rest
)

// Op is one decided change. It needs no rules and no clock to be applied.
type Op struct {
	Kind  OpKind
	Key   []byte
	Value []byte
}

// Commit is one immutable step of a partition from Seq-1 to Seq.
type Commit struct {
	Seq     Seq
	Time    int64 // nanoseconds since 1970 UTC, strictly increasing within a partition
	Prev    Hash  // of the commit before
	Nonce   Nonce
	Release string // that wrote it
	Ops     []Op

	core []byte // the encoded core, set by Encode and Decode
	hash Hash
}

// Hash is the SHA-256 of the core. It is zero before Encode or Decode.
func (c *Commit) Hash() Hash { return c.hash }

// Bytes counts keys and values of the ops: the unit in which write amplification
// and tail length are measured.
func (c *Commit) Bytes() int64 {
	var n int64
	for _, op := range c.Ops {
		n += int64(len(op.Key) + len(op.Value))
	}
	return n
}

// ErrDamaged: the bytes read are not what was written.
var ErrDamaged = errors.New("damaged")

// ErrUnknownFormat: a newer release wrote this, in a format that this one cannot read.
var ErrUnknownFormat = errors.New("unknown format")

const (
	commitMagic  = "bbcm"
	commitFormat = 1
	coreHeader   = 9        // magic, format, length
	minOp        = 2        // bytes of the smallest op
	maxCore      = 64 << 20 // refuses lengths that no writer makes
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// Encode fixes the commit's bytes and hash. The result, without carried
// predecessors, is what a predecessor carries and a segment holds.
func (c *Commit) Encode() []byte {
	size := coreHeader + 8 + 8 + 32 + 16 + len(c.Release) + 2*binary.MaxVarintLen32
	for _, op := range c.Ops {
		size += 1 + 2*binary.MaxVarintLen32 + len(op.Key) + len(op.Value)
	}
	b := make([]byte, 0, size)
	b = append(b, commitMagic...)
	b = append(b, commitFormat)
	b = append(b, 0, 0, 0, 0)
	b = binary.BigEndian.AppendUint64(b, uint64(c.Seq))
	b = binary.BigEndian.AppendUint64(b, uint64(c.Time))
	b = append(b, c.Prev[:]...)
	b = append(b, c.Nonce[:]...)
	b = appendString(b, []byte(c.Release))
	b = binary.AppendUvarint(b, uint64(len(c.Ops)))
	for _, op := range c.Ops {
		b = append(b, byte(op.Kind))
		b = appendString(b, op.Key)
		if op.Kind != OpDelete {
			b = appendString(b, op.Value)
		}
	}
	binary.BigEndian.PutUint32(b[5:], uint32(len(b)-coreHeader))
	c.core, c.hash = b, sha256.Sum256(b)
	return b
}

// decodeCore reads one core that fills b exactly. The commit's ops alias b.
func decodeCore(b []byte) (*Commit, error) {
	n, err := coreLength(b)
	if err != nil {
		return nil, err
	}
	if n != len(b) {
		return nil, fmt.Errorf("commit core of %d bytes says %d: %w", len(b), n, ErrDamaged)
	}
	r := reader{b: b[coreHeader:]}
	c := &Commit{Seq: Seq(r.uint64()), Time: int64(r.uint64())}
	copy(c.Prev[:], r.take(len(c.Prev)))
	copy(c.Nonce[:], r.take(len(c.Nonce)))
	c.Release = string(r.string())
	count := r.uvarint()
	if count > uint64(len(r.b))/minOp {
		return nil, fmt.Errorf("commit of %d ops in %d bytes: %w", count, len(r.b), ErrDamaged)
	}
	c.Ops = make([]Op, 0, count)
	for range count {
		op := Op{Kind: OpKind(r.byte()), Key: r.string()}
		switch op.Kind {
		case OpSet, OpDeleteRange, OpControl:
			op.Value = r.string()
		case OpDelete:
		default:
			if r.bad {
				return nil, fmt.Errorf("commit ends within its ops: %w", ErrDamaged)
			}
			return nil, fmt.Errorf("commit %s has op kind %d: %w", c.Seq, op.Kind, ErrUnknownFormat)
		}
		c.Ops = append(c.Ops, op)
	}
	if r.bad || len(r.b) != 0 {
		return nil, fmt.Errorf("commit core of %d bytes does not parse: %w", len(b), ErrDamaged)
	}
	c.core, c.hash = b, sha256.Sum256(b)
	return c, nil
}

// coreLength checks the header of a core and says how long the core is.
func coreLength(b []byte) (int, error) {
	if len(b) < coreHeader || string(b[:4]) != commitMagic {
		return 0, fmt.Errorf("not a commit: %w", ErrDamaged)
	}
	if b[4] != commitFormat {
		return 0, fmt.Errorf("commit format %d, this release reads %d: %w", b[4], commitFormat, ErrUnknownFormat)
	}
	n := binary.BigEndian.Uint32(b[5:])
	if n > maxCore || int(n) > len(b)-coreHeader {
		return 0, fmt.Errorf("commit of %d bytes says %d: %w", len(b), n, ErrDamaged)
	}
	return coreHeader + int(n), nil
}

// encodeObject is the bytes of log/<seq>: the core, its checksum, and the cores of
// predecessors, newest first.
func encodeObject(core []byte, carried [][]byte) []byte {
	size := len(core) + 9
	for _, p := range carried {
		size += 4 + len(p)
	}
	b := make([]byte, 0, size)
	b = append(b, core...)
	b = binary.BigEndian.AppendUint32(b, crc32.Checksum(core, castagnoli))
	from := len(b)
	b = append(b, byte(len(carried)))
	for _, p := range carried {
		b = binary.BigEndian.AppendUint32(b, uint32(len(p)))
		b = append(b, p...)
	}
	return binary.BigEndian.AppendUint32(b, crc32.Checksum(b[from:], castagnoli))
}

// decodeObject reads the bytes of log/<seq>. The second result is the carried cores,
// newest first, not yet verified.
func decodeObject(b []byte) (*Commit, [][]byte, error) {
	n, err := coreLength(b)
	if err != nil {
		return nil, nil, err
	}
	r := reader{b: b[n:]}
	if r.uint32() != crc32.Checksum(b[:n], castagnoli) || r.bad {
		return nil, nil, fmt.Errorf("commit checksum: %w", ErrDamaged)
	}
	c, err := decodeCore(b[:n:n])
	if err != nil {
		return nil, nil, err
	}
	rest := r.b
	if len(rest) < 5 || crc32.Checksum(rest[:len(rest)-4], castagnoli) != binary.BigEndian.Uint32(rest[len(rest)-4:]) {
		return nil, nil, fmt.Errorf("commit %s: checksum of the carried part: %w", c.Seq, ErrDamaged)
	}
	r.b = rest[:len(rest)-4]
	count := r.byte()
	carried := make([][]byte, 0, count)
	for range count {
		carried = append(carried, r.take(int(r.uint32())))
	}
	if r.bad || len(r.b) != 0 {
		return nil, nil, fmt.Errorf("commit %s: carried part does not parse: %w", c.Seq, ErrDamaged)
	}
	return c, carried, nil
}

func appendString(b, s []byte) []byte {
	b = binary.AppendUvarint(b, uint64(len(s)))
	return append(b, s...)
}

// reader takes fields off a byte slice. After the first short read, bad is set and
// every field is zero.
type reader struct {
	b   []byte
	bad bool
}

func (r *reader) take(n int) []byte {
	if r.bad || n < 0 || n > len(r.b) {
		r.bad, r.b = true, nil
		return nil
	}
	out := r.b[:n:n]
	r.b = r.b[n:]
	return out
}

func (r *reader) byte() byte {
	if b := r.take(1); b != nil {
		return b[0]
	}
	return 0
}

func (r *reader) uint32() uint32 {
	if b := r.take(4); b != nil {
		return binary.BigEndian.Uint32(b)
	}
	return 0
}

func (r *reader) uint64() uint64 {
	if b := r.take(8); b != nil {
		return binary.BigEndian.Uint64(b)
	}
	return 0
}

func (r *reader) uvarint() uint64 {
	n, width := binary.Uvarint(r.b)
	if width <= 0 || width > 1 && r.b[width-1] == 0 { // one number has one encoding
		r.bad, r.b = true, nil
		return 0
	}
	r.take(width)
	return n
}

func (r *reader) string() []byte {
	n := r.uvarint()
	if n > uint64(len(r.b)) {
		r.bad, r.b = true, nil
		return nil
	}
	return r.take(int(n))
}
