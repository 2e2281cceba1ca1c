package commitlog

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"slices"
	"strings"
	"sync"

	"github.com/klauspost/compress/zstd"
	"golang.org/x/sync/errgroup"

	"github.com/bobbindb/bobbin/shared/blob"
)

const (
	segmentMagic  = "bbsg"
	segmentFormat = 1
	segmentHeader = 5 // magic, format
)

// codec makes the zstd encoder once; it is safe for concurrent use.
var codec = sync.OnceValues(func() (*zstd.Encoder, error) {
	return zstd.NewWriter(nil, zstd.WithEncoderConcurrency(1))
})

// EncodeSegment is the bytes of a segment of encoded commits, oldest first, each
// chained to the one before.
func EncodeSegment(commits []*Commit) ([]byte, error) {
	if err := checkRun(commits); err != nil {
		return nil, fmt.Errorf("encode segment: %w", err)
	}
	encoder, err := codec()
	if err != nil {
		return nil, fmt.Errorf("encode segment: %w", err)
	}
	size := 0
	for _, c := range commits {
		size += 4 + len(c.core)
	}
	raw := make([]byte, 0, size)
	for _, c := range commits {
		raw = binary.BigEndian.AppendUint32(raw, uint32(len(c.core)))
		raw = append(raw, c.core...)
	}
	b := append([]byte(segmentMagic), segmentFormat)
	b = encoder.EncodeAll(raw, b)
	return binary.BigEndian.AppendUint32(b, crc32.Checksum(b, castagnoli)), nil
}

// DecodeSegment reads what EncodeSegment wrote: at least one commit, oldest first, each
// chained to the one before. What the first and the last chain to is for the caller to
// prove.
func DecodeSegment(b []byte) ([]*Commit, error) {
	if len(b) < segmentHeader+4 || string(b[:4]) != segmentMagic {
		return nil, fmt.Errorf("not a segment: %w", ErrDamaged)
	}
	if b[4] != segmentFormat {
		return nil, fmt.Errorf("segment format %d, this release reads %d: %w", b[4], segmentFormat, ErrUnknownFormat)
	}
	body, sum := b[:len(b)-4], binary.BigEndian.Uint32(b[len(b)-4:])
	if crc32.Checksum(body, castagnoli) != sum {
		return nil, fmt.Errorf("segment checksum: %w", ErrDamaged)
	}
	frame, err := zstd.NewReader(bytes.NewReader(body[segmentHeader:]), zstd.WithDecoderConcurrency(1))
	if err != nil {
		return nil, fmt.Errorf("decode segment: %w: %w", ErrDamaged, err)
	}
	defer frame.Close()
	var commits []*Commit
	for {
		c, err := readCore(frame)
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, fmt.Errorf("decode segment: commit %d of it: %w", len(commits), err)
		}
		commits = append(commits, c)
	}
	if err := checkRun(commits); err != nil {
		return nil, fmt.Errorf("decode segment: %w", err)
	}
	return commits, nil
}

// readCore reads one commit off a segment's frame, and io.EOF after the last. It takes
// no more memory than bytes come, whatever length they claim.
func readCore(frame io.Reader) (*Commit, error) {
	var size [4]byte
	if _, err := io.ReadFull(frame, size[:]); err != nil {
		if errors.Is(err, io.EOF) {
			return nil, io.EOF
		}
		return nil, fmt.Errorf("%w: %w", ErrDamaged, err)
	}
	n := binary.BigEndian.Uint32(size[:])
	if n > coreHeader+maxCore {
		return nil, fmt.Errorf("commit of %d bytes: %w", n, ErrDamaged)
	}
	var core bytes.Buffer
	core.Grow(int(min(n, 64<<10)))
	if m, err := io.CopyN(&core, frame, int64(n)); err != nil {
		return nil, fmt.Errorf("commit of %d bytes ends after %d: %w", n, m, ErrDamaged)
	}
	return decodeCore(core.Bytes())
}

// checkRun reports whether commits are encoded, follow one another and are chained.
func checkRun(commits []*Commit) error {
	if len(commits) == 0 {
		return fmt.Errorf("no commits: %w", ErrDamaged)
	}
	for i, c := range commits {
		if c.core == nil {
			return fmt.Errorf("commit %s is not encoded: %w", c.Seq, ErrDamaged)
		}
		if i > 0 && (c.Seq != commits[i-1].Seq+1 || c.Prev != commits[i-1].hash) {
			return fmt.Errorf("commit %s does not chain to the one before, %s: %w", c.Seq, commits[i-1].Seq, ErrDamaged)
		}
	}
	return nil
}

// SegmentName names a segment: the commits in it, both ends included, and the nonce of
// its upload, which makes the name new.
type SegmentName struct {
	From, To Seq
	Nonce    string // letters and digits
}

// String is "<from>-<to>-<nonce>".
func (n SegmentName) String() string { return n.From.String() + "-" + n.To.String() + "-" + n.Nonce }

// ParseSegmentName reads what String writes.
func ParseSegmentName(s string) (SegmentName, error) {
	const from, to, nonce = 20, 41, 42 // where each ends, or begins
	if len(s) <= nonce || s[from] != '-' || s[to] != '-' || !isNonce(s[nonce:]) {
		return SegmentName{}, fmt.Errorf("parse segment name %q: want <from>-<to>-<nonce>", s)
	}
	first, err1 := ParseSeq(s[:from])
	last, err2 := ParseSeq(s[from+1 : to])
	if err := errors.Join(err1, err2); err != nil {
		return SegmentName{}, fmt.Errorf("parse segment name %q: %w", s, err)
	}
	if first == 0 || last < first {
		return SegmentName{}, fmt.Errorf("parse segment name %q: no such range", s)
	}
	return SegmentName{From: first, To: last, Nonce: s[nonce:]}, nil
}

func isNonce(s string) bool {
	for i := range len(s) {
		if c := s[i]; !('a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9') {
			return false
		}
	}
	return s != ""
}

// SegmentKey is the key of a segment under a partition's prefix.
func SegmentKey(prefix string, name SegmentName) string { return segmentDir(prefix) + name.String() }

func segmentDir(prefix string) string { return prefix + "/segments/" }

// WriteSegment stores commits as one segment under a partition's prefix. An answer that
// leaves it open is followed by reading back. After an error the segment may or may not
// be there: it harms nobody, and the next attempt takes another nonce.
func WriteSegment(ctx context.Context, bucket blob.Bucket, prefix string, commits []*Commit, nonce string) (SegmentName, error) {
	body, err := EncodeSegment(commits)
	if err != nil {
		return SegmentName{}, err
	}
	name := SegmentName{From: commits[0].Seq, To: commits[len(commits)-1].Seq, Nonce: nonce}
	if _, err := ParseSegmentName(name.String()); err != nil {
		return SegmentName{}, fmt.Errorf("write segment: %w", err)
	}
	key := SegmentKey(prefix, name)
	_, err = blob.Settle(ctx, bucket, blob.Write{Key: key, Body: body, When: blob.IfAbsent()})
	if errors.Is(err, blob.ErrLostSwap) {
		err = fmt.Errorf("there are other bytes: %w", ErrDamaged)
	}
	if err != nil {
		return SegmentName{}, fmt.Errorf("write segment %s: %w", name, err)
	}
	return name, nil
}

// ErrMissing: no segments hold all commits of a range as a chain from the commit named.
var ErrMissing = errors.New("commits are missing from the segments")

// parallelSegments is how many segments are read at once.
const parallelSegments = 8

// segmentReach is how far before a range ReadSegments first looks for the segment that
// holds its beginning. Names sort by where a segment begins; one that begins earlier is
// found in a second look, at all of them.
const segmentReach = 1 << 12

// ReadSegments reads the commits from one seq to another, both included, from the
// segments under a partition's prefix. A commit counts only where it chains forward,
// hash by hash, to the last one, whose hash is given: the caller has it from a manifest
// or from roots.json. Of several segments that overlap, any that chains serves; others
// are passed over, damaged ones too.
func ReadSegments(ctx context.Context, bucket blob.Bucket, prefix string, from, to Seq, named Hash) ([]*Commit, error) {
	if from == 0 || to < from {
		return nil, fmt.Errorf("read segments %s to %s: no such range", from, to)
	}
	starts := []Seq{0}
	if from > segmentReach {
		starts = []Seq{from - segmentReach, 0}
	}
	var err error
	for _, start := range starts {
		r := segmentReader{bucket: bucket, dir: segmentDir(prefix), from: from, read: map[SegmentName]segment{}}
		var commits []*Commit
		if commits, err = r.run(ctx, start, to, named); err == nil {
			return commits, nil
		}
		if !errors.Is(err, ErrMissing) {
			break
		}
	}
	return nil, fmt.Errorf("read segments %s to %s: %w", from, to, err)
}

type segmentReader struct {
	bucket blob.Bucket
	dir    string
	from   Seq
	names  []SegmentName // that overlap the range

	mu   sync.Mutex
	read map[SegmentName]segment
}

// segment is what a segment's object came to.
type segment struct {
	commits []*Commit
	err     error // why it does not count
}

// run walks backwards from the commit named, from segment to segment.
func (r *segmentReader) run(ctx context.Context, start, to Seq, named Hash) ([]*Commit, error) {
	if err := r.list(ctx, start, to); err != nil {
		return nil, err
	}
	if err := r.prefetch(ctx, to); err != nil {
		return nil, err
	}
	var commits []*Commit // newest first
	for seq, hash := to, named; seq >= r.from; {
		found, err := r.find(ctx, seq, hash)
		if err != nil {
			return nil, err
		}
		for i := len(found) - 1; i >= 0 && seq >= r.from; i-- {
			commits, hash = append(commits, found[i]), found[i].Prev
			seq--
		}
	}
	slices.Reverse(commits)
	return commits, nil
}

// list finds the names of segments that begin at start or later and overlap the range.
// Those that begin earliest come first.
func (r *segmentReader) list(ctx context.Context, start, to Seq) error {
	// A name is greater than the seq it begins with, and less than that of the next one.
	opts := blob.ListOptions{Prefix: r.dir, After: r.dir + start.String()}
	for page, err := range blob.Pages(ctx, r.bucket, opts) {
		if err != nil {
			return fmt.Errorf("list segments: %w", err)
		}
		for _, e := range page.Entries {
			name, err := ParseSegmentName(strings.TrimPrefix(e.Key, r.dir))
			if err != nil {
				continue
			}
			if name.From > to {
				return nil
			}
			if name.To >= r.from {
				r.names = append(r.names, name)
			}
		}
	}
	return nil
}

// at returns the names of segments that hold a seq, the longest before it first.
func (r *segmentReader) at(seq Seq) []SegmentName {
	var names []SegmentName
	for _, n := range r.names {
		if n.From > seq {
			break
		}
		if n.To >= seq {
			names = append(names, n)
		}
	}
	return names
}

// prefetch reads in parallel the segments that find will want if all is well.
func (r *segmentReader) prefetch(ctx context.Context, to Seq) error {
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(parallelSegments)
	for seq := to; seq >= r.from; {
		names := r.at(seq)
		if len(names) == 0 {
			break // find says so.
		}
		group.Go(func() error {
			_, err := r.get(ctx, names[0])
			return err
		})
		seq = names[0].From - 1
	}
	return group.Wait()
}

// find returns the commits of a segment up to the one with this seq and hash.
func (r *segmentReader) find(ctx context.Context, seq Seq, hash Hash) ([]*Commit, error) {
	var why error
	for _, name := range r.at(seq) {
		s, err := r.get(ctx, name)
		if err != nil {
			return nil, err
		}
		if s.err != nil {
			why = s.err
			continue
		}
		if i := int(seq - name.From); s.commits[i].hash == hash {
			return s.commits[:i+1], nil
		}
	}
	if why != nil {
		return nil, fmt.Errorf("commit %s with hash %s: %w: %w", seq, hash, ErrMissing, why)
	}
	return nil, fmt.Errorf("commit %s with hash %s: %w", seq, hash, ErrMissing)
}

// get reads a segment once. A segment that is gone, damaged, of another format or not
// what its name says is an answer; a bucket that does not answer is an error.
func (r *segmentReader) get(ctx context.Context, name SegmentName) (segment, error) {
	r.mu.Lock()
	s, ok := r.read[name]
	r.mu.Unlock()
	if ok {
		return s, nil
	}
	o, err := r.bucket.Get(ctx, r.dir+name.String())
	if err != nil && !errors.Is(err, blob.ErrNotExist) {
		return segment{}, fmt.Errorf("segment %s: %w", name, err)
	}
	if err == nil {
		s.commits, err = DecodeSegment(o.Body)
	}
	if err == nil && (s.commits[0].Seq != name.From || s.commits[len(s.commits)-1].Seq != name.To) {
		err = fmt.Errorf("it holds another range: %w", ErrDamaged)
	}
	if err != nil {
		s = segment{err: fmt.Errorf("segment %s: %w", name, err)}
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.read[name] = s
	return s, nil
}
