package checkpoint

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"hash/crc32"
	"strings"
	"sync"
	"time"

	"github.com/klauspost/compress/zstd"

	"github.com/bobbindb/bobbin/shared/blob"
	"github.com/bobbindb/bobbin/shared/commitlog"
)

// Object is a checkpoint as its object in the bucket tells it: everything that it
// takes to open the database except the bytes of the tables.
type Object struct {
	Seq    commitlog.Seq  // of the last commit in the checkpoint
	Hash   commitlog.Hash // of that commit
	Time   int64          // of that commit, in nanoseconds since 1970 UTC
	Files  []File         // every small file of the database directory
	Tables []Table
}

// File is a small file of a database directory.
type File struct {
	Name string
	Body []byte
}

// Table is an sstable or blob file of Pebble, which is an object of its own.
type Table struct {
	Name   string            // in the database directory
	SHA256 [sha256.Size]byte // of the content
	Nonce  string            // of the upload
	Size   int64             // in bytes

	// What lies where, for reading ahead. It is zero for blob files.
	Meta     int64    // offset of the first byte behind the data blocks: index, filter, footer
	Smallest []byte   // user key; nil with Largest when the bounds are not known
	Largest  []byte   // user key, inclusive
	Fences   [][]byte // fence i parts the blocks that begin in chunk i from those before it

	local identity // of the file it was uploaded from, known in the process that did
}

// identity tells whether a local file is still the one that was hashed.
type identity struct {
	size     int64
	modified time.Time
}

// Key is where the table lies in the bucket.
func (t *Table) Key() string { return "tables/" + t.id() }

// id is the last segment of the key, and names the table in the cache.
func (t *Table) id() string { return hex.EncodeToString(t.SHA256[:]) + "-" + t.Nonce }

// isSSTable reports whether the table is an sstable, not a blob file.
func (t *Table) isSSTable() bool { return strings.HasSuffix(t.Name, ".sst") }

// TableBytes is the size of all tables together.
func (o *Object) TableBytes() int64 {
	var n int64
	for i := range o.Tables {
		n += o.Tables[i].Size
	}
	return n
}

// table is the table of that local name, or nil.
func (o *Object) table(name string) *Table {
	for i := range o.Tables {
		if o.Tables[i].Name == name {
			return &o.Tables[i]
		}
	}
	return nil
}

// ObjectKey is where the checkpoint object of a partition at seq lies.
func ObjectKey(prefix string, seq commitlog.Seq, nonce string) string {
	return prefix + "/checkpoints/" + seq.String() + "-" + nonce
}

// Load reads a checkpoint object. One that is missing is blob.ErrNotExist.
func Load(ctx context.Context, bucket blob.Bucket, key string) (*Object, error) {
	object, err := bucket.Get(ctx, key)
	if err != nil {
		return nil, fmt.Errorf("load checkpoint %s: %w", key, err)
	}
	o, err := Decode(object.Body)
	if err != nil {
		return nil, fmt.Errorf("load checkpoint %s: %w", key, err)
	}
	return o, nil
}

const (
	objectMagic  = "bbck"
	objectFormat = 1
	objectHeader = 5
	maxObject    = 256 << 20 // refuses sizes that no compactor makes
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// codec makes the zstd coder once; both directions are safe for concurrent use.
var codec = struct {
	encoder func() (*zstd.Encoder, error)
	decoder func() (*zstd.Decoder, error)
}{
	encoder: sync.OnceValues(func() (*zstd.Encoder, error) {
		return zstd.NewWriter(nil, zstd.WithEncoderConcurrency(1))
	}),
	decoder: sync.OnceValues(func() (*zstd.Decoder, error) {
		return zstd.NewReader(nil, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxMemory(maxObject))
	}),
}

// Encode is the bytes of the checkpoint object.
func (o *Object) Encode() ([]byte, error) {
	encoder, err := codec.encoder()
	if err != nil {
		return nil, fmt.Errorf("encode checkpoint: %w", err)
	}
	b := append([]byte(objectMagic), objectFormat)
	b = encoder.EncodeAll(o.appendBody(nil), b)
	return binary.BigEndian.AppendUint32(b, crc32.Checksum(b, castagnoli)), nil
}

// Decode reads what Encode writes.
func Decode(b []byte) (*Object, error) {
	if len(b) < objectHeader+4 || string(b[:4]) != objectMagic {
		return nil, fmt.Errorf("not a checkpoint object: %w", commitlog.ErrDamaged)
	}
	if b[4] != objectFormat {
		return nil, fmt.Errorf("checkpoint format %d, this release reads %d: %w", b[4], objectFormat, commitlog.ErrUnknownFormat)
	}
	end := len(b) - 4
	if crc32.Checksum(b[:end], castagnoli) != binary.BigEndian.Uint32(b[end:]) {
		return nil, fmt.Errorf("checkpoint object checksum: %w", commitlog.ErrDamaged)
	}
	decoder, err := codec.decoder()
	if err != nil {
		return nil, fmt.Errorf("decode checkpoint: %w", err)
	}
	body, err := decoder.DecodeAll(b[objectHeader:end], nil)
	if err != nil {
		return nil, fmt.Errorf("decompress checkpoint object: %w: %w", commitlog.ErrDamaged, err)
	}
	return decodeBody(body)
}

func (o *Object) appendBody(b []byte) []byte {
	b = binary.BigEndian.AppendUint64(b, uint64(o.Seq))
	b = append(b, o.Hash[:]...)
	b = binary.BigEndian.AppendUint64(b, uint64(o.Time))
	b = binary.AppendUvarint(b, uint64(len(o.Files)))
	for _, file := range o.Files {
		b = appendString(b, file.Name)
		b = appendString(b, file.Body)
	}
	b = binary.AppendUvarint(b, uint64(len(o.Tables)))
	for i := range o.Tables {
		b = o.Tables[i].append(b)
	}
	return b
}

func (t *Table) append(b []byte) []byte {
	b = appendString(b, t.Name)
	b = append(b, t.SHA256[:]...)
	b = appendString(b, t.Nonce)
	b = binary.AppendUvarint(b, uint64(t.Size))
	b = binary.AppendUvarint(b, uint64(t.Meta))
	b = appendString(b, t.Smallest)
	b = appendString(b, t.Largest)
	b = binary.AppendUvarint(b, uint64(len(t.Fences)))
	for _, fence := range t.Fences {
		b = appendString(b, fence)
	}
	return b
}

// decodeBody reads the decompressed part. The result aliases b.
func decodeBody(b []byte) (*Object, error) {
	r := reader{b: b}
	o := &Object{Seq: commitlog.Seq(r.uint64())}
	copy(o.Hash[:], r.take(len(o.Hash)))
	o.Time = int64(r.uint64())
	for range r.count() {
		o.Files = append(o.Files, File{Name: string(r.string()), Body: r.string()})
	}
	for range r.count() {
		o.Tables = append(o.Tables, r.table())
	}
	if r.bad || len(r.b) != 0 {
		return nil, fmt.Errorf("checkpoint object of %d bytes does not parse: %w", len(b), commitlog.ErrDamaged)
	}
	if err := o.check(); err != nil {
		return nil, fmt.Errorf("checkpoint object: %w: %w", commitlog.ErrDamaged, err)
	}
	return o, nil
}

// check reports names that would lead out of the directory or the bucket's tables,
// and sizes that cannot be.
func (o *Object) check() error {
	seen := make(map[string]bool, len(o.Files)+len(o.Tables))
	for _, file := range o.Files {
		if seen[file.Name] || kindOf(file.Name) != smallFile {
			return fmt.Errorf("file name %q", file.Name)
		}
		seen[file.Name] = true
	}
	for i := range o.Tables {
		t := &o.Tables[i]
		if seen[t.Name] || kindOf(t.Name) != tableFile {
			return fmt.Errorf("table name %q", t.Name)
		}
		seen[t.Name] = true
		if !blob.IsSegment(t.id()) {
			return fmt.Errorf("table nonce %q", t.Nonce)
		}
		if t.Size < 0 || t.Meta < 0 || t.Meta > t.Size || int64(len(t.Fences)) > chunkCount(t.Size) {
			return fmt.Errorf("table %s of %d bytes, %d of them data, with %d fences", t.Name, t.Size, t.Meta, len(t.Fences))
		}
	}
	return nil
}

// kind says what a file of a database directory is to a checkpoint.
type kind int

const (
	otherFile kind = iota
	smallFile      // stands in the checkpoint object
	tableFile      // is an object of its own
)

// kindOf tells a file by its name, as Pebble names them.
func kindOf(name string) kind {
	stem, ext, dotted := strings.Cut(name, ".")
	switch {
	case !blob.IsSegment(name):
		return otherFile
	case strings.HasPrefix(name, "marker."):
		return smallFile
	case !dotted && (isNumbered(name, "MANIFEST-") || isNumbered(name, "OPTIONS-")):
		return smallFile
	case ext == "log" && isDigits(strings.ReplaceAll(stem, "-", "")):
		return smallFile
	case (ext == "sst" || ext == "blob") && isDigits(stem):
		return tableFile
	}
	return otherFile
}

func isNumbered(name, prefix string) bool {
	rest, ok := strings.CutPrefix(name, prefix)
	return ok && isDigits(rest)
}

func isDigits(s string) bool {
	return s != "" && strings.Trim(s, "0123456789") == ""
}

func appendString[T string | []byte](b []byte, s T) []byte {
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

func (r *reader) uint64() uint64 {
	if b := r.take(8); b != nil {
		return binary.BigEndian.Uint64(b)
	}
	return 0
}

func (r *reader) uvarint() uint64 {
	n, width := binary.Uvarint(r.b)
	if width <= 0 {
		r.bad, r.b = true, nil
		return 0
	}
	r.take(width)
	return n
}

// count is the number of items to come. Each takes at least one byte.
func (r *reader) count() int {
	n := r.uvarint()
	if n > uint64(len(r.b)) {
		r.bad, r.b = true, nil
		return 0
	}
	return int(n)
}

func (r *reader) string() []byte { return r.take(r.count()) }

func (r *reader) table() Table {
	t := Table{Name: string(r.string())}
	copy(t.SHA256[:], r.take(len(t.SHA256)))
	t.Nonce = string(r.string())
	t.Size = int64(r.uvarint())
	t.Meta = int64(r.uvarint())
	t.Smallest, t.Largest = r.key(), r.key()
	if n := r.count(); n > 0 {
		t.Fences = make([][]byte, n)
	}
	for i := range t.Fences {
		t.Fences[i] = r.string()
	}
	return t
}

// key is a string that is nil when empty.
func (r *reader) key() []byte {
	if s := r.string(); len(s) > 0 {
		return s
	}
	return nil
}
