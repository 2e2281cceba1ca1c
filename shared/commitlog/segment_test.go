package commitlog

import (
	"encoding/binary"
	"encoding/hex"
	"errors"
	"hash/crc32"
	"testing"
	"testing/synctest"

	"github.com/bobbindb/bobbin/shared/blob"
	"github.com/bobbindb/bobbin/shared/blob/blobtest"
)

// run makes n chained commits after prev.
func run(prev *Commit, n int, nonce byte) []*Commit {
	var commits []*Commit
	for range n {
		prev = commitAfter(prev, 20, nonce)
		commits = append(commits, prev)
	}
	return commits
}

// The bytes of a segment of two commits, as first released. What the compressor makes of
// the same commits may change; that they are read may not.
const goldenSegment = "626273670128b52ffd0400b50300e405000000786262636d010000006f0001953a1ab1afc65c9b68d25dbcbd7bdaea5089cc4c75623cff0dfc6d8aa37e236f050002763101011430311400020213be4098b10b9d084a5710816325eb35dbee598aba31ecade256e5e7e56da248320900e01301e043767f98035006f08c70f257de05e694dd58e513848e3619"

func TestGoldenSegment(t *testing.T) {
	golden, err := hex.DecodeString(goldenSegment)
	if err != nil {
		t.Fatal(err)
	}
	want := run(nil, 2, 5)
	got, err := DecodeSegment(golden)
	if err != nil || !sameCommits(got, want) {
		t.Errorf("DecodeSegment() = %+v, %v", got, err)
	}
	b, err := EncodeSegment(want)
	if err != nil || hex.EncodeToString(b[:9]) != "6262736701"+"28b52ffd" {
		t.Errorf("EncodeSegment() = %x, %v, want magic, format 1 and a zstd frame", b, err)
	}
	if got, err = DecodeSegment(b); err != nil || !sameCommits(got, want) {
		t.Errorf("DecodeSegment() = %+v, %v", got, err)
	}
}

// sealed ends a segment's bytes with their checksum.
func sealed(b []byte) []byte {
	return binary.BigEndian.AppendUint32(b, crc32.Checksum(b, castagnoli))
}

func TestDecodeSegmentDamaged(t *testing.T) {
	good, err := EncodeSegment(run(nil, 3, 0))
	if err != nil {
		t.Fatal(err)
	}
	encoder, err := codec()
	if err != nil {
		t.Fatal(err)
	}
	for i := range good {
		b := append([]byte(nil), good...)
		b[i] ^= 0x10
		if _, err := DecodeSegment(b); !errors.Is(err, ErrDamaged) && !errors.Is(err, ErrUnknownFormat) {
			t.Errorf("DecodeSegment() with byte %d changed = %v", i, err)
		}
		if _, err := DecodeSegment(good[:i]); !errors.Is(err, ErrDamaged) {
			t.Errorf("DecodeSegment() of %d bytes = %v", i, err)
		}
	}
	head := append([]byte(segmentMagic), segmentFormat)
	for name, b := range map[string][]byte{
		"frame cut short":    sealed(good[:len(good)-6]),
		"no commits":         sealed(encoder.EncodeAll(nil, head)),
		"length too large":   sealed(encoder.EncodeAll([]byte{0xff, 0xff, 0xff, 0xff}, head)),
		"length past end":    sealed(encoder.EncodeAll([]byte{0, 0xff, 0xff, 0xff, 1}, head)),
		"half a length":      sealed(encoder.EncodeAll([]byte{0, 0}, head)),
		"no commit in it":    sealed(encoder.EncodeAll([]byte{0, 0, 0, 1, 7}, head)),
		"commit of no bytes": sealed(encoder.EncodeAll([]byte{0, 0, 0, 0}, head)),
	} {
		if _, err := DecodeSegment(b); !errors.Is(err, ErrDamaged) {
			t.Errorf("DecodeSegment() of %s = %v, want ErrDamaged", name, err)
		}
	}
	newer := append([]byte(nil), good...)
	newer[4] = 2
	if _, err := DecodeSegment(newer); !errors.Is(err, ErrUnknownFormat) {
		t.Errorf("DecodeSegment() of format 2 = %v, want ErrUnknownFormat", err)
	}
}

func TestEncodeSegmentRefuses(t *testing.T) {
	commits := run(nil, 3, 0)
	for name, c := range map[string][]*Commit{
		"nothing":       nil,
		"a gap":         {commits[0], commits[2]},
		"another chain": {commits[0], commitAfter(run(nil, 1, 9)[0], 20, 0)},
		"not encoded":   {{Seq: 1}},
	} {
		if _, err := EncodeSegment(c); !errors.Is(err, ErrDamaged) {
			t.Errorf("EncodeSegment() of %s = %v, want ErrDamaged", name, err)
		}
	}
}

func TestSegmentKey(t *testing.T) {
	name := SegmentName{From: 1, To: 64, Nonce: "abc7"}
	const want = prefix + "/segments/00000000000000000001-00000000000000000064-abc7"
	if got := SegmentKey(prefix, name); got != want {
		t.Errorf("SegmentKey() = %s, want %s", got, want)
	}
	if got, err := ParseSegmentName(name.String()); err != nil || got != name {
		t.Errorf("ParseSegmentName(%s) = %+v, %v", name, got, err)
	}
	for _, s := range []string{
		"", "00000000000000000001-00000000000000000064-", "00000000000000000001-00000000000000000064",
		"00000000000000000064-00000000000000000001-a", "00000000000000000000-00000000000000000001-a",
		"0000000000000000001x-00000000000000000064-a", "00000000000000000001-0000000000000000006x-a",
		"00000000000000000001_00000000000000000064-a", "00000000000000000001-00000000000000000064-a/b",
		"00000000000000000001-00000000000000000064-a-b",
	} {
		if got, err := ParseSegmentName(s); err == nil {
			t.Errorf("ParseSegmentName(%q) = %+v, want an error", s, got)
		}
	}
}

func TestWriteSegment(t *testing.T) {
	for _, tt := range []struct {
		name   string
		faults []blobtest.Fault // of the Puts, in order
		want   error
		puts   int
	}{
		{"stored", nil, nil, 1},
		{"not stored", []blobtest.Fault{blobtest.NotStored}, nil, 2},
		{"reply lost", []blobtest.Fault{blobtest.LostReply}, nil, 1},
		{"409", []blobtest.Fault{blobtest.Conflict409}, nil, 2},
		{"delayed", []blobtest.Fault{blobtest.Delayed}, nil, 2},
		{"denied", []blobtest.Fault{blobtest.Denied}, blob.ErrDenied, 1},
		{"full", []blobtest.Fault{blobtest.Full}, blob.ErrNotStored, 1},
		{"503 again and again", []blobtest.Fault{5, 5, 5, 5, 5, 5, 5}, blob.ErrUnavailable, 5},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				inner := newBucket()
				puts := 0
				bucket := blobtest.NewFaults(inner, func(c blobtest.Call) blobtest.Fault {
					if c.Op != blobtest.Put {
						return blobtest.None
					}
					if puts++; puts <= len(tt.faults) {
						return tt.faults[puts-1]
					}
					return blobtest.None
				})
				commits := run(nil, 3, 0)
				name, err := WriteSegment(t.Context(), bucket, prefix, commits, "n1")
				if !errors.Is(err, tt.want) || puts != tt.puts {
					t.Errorf("WriteSegment() = %v after %d Puts, want %v after %d", err, puts, tt.want, tt.puts)
				}
				bucket.Decide(nil)
				bucket.Release()
				if err != nil {
					return
				}
				if want := (SegmentName{From: 1, To: 3, Nonce: "n1"}); name != want {
					t.Errorf("WriteSegment() = %s, want %s", name, want)
				}
				got, err := ReadSegments(t.Context(), inner, prefix, 1, 3, commits[2].Hash())
				if err != nil || !sameCommits(got, commits) {
					t.Errorf("ReadSegments() = %d commits, %v", len(got), err)
				}
			})
		})
	}
}

func TestWriteSegmentRefuses(t *testing.T) {
	recorder := blobtest.NewRecorder(newBucket())
	for _, nonce := range []string{"", "a/b", "a-b"} {
		if _, err := WriteSegment(t.Context(), recorder, prefix, run(nil, 1, 0), nonce); err == nil {
			t.Errorf("WriteSegment() with nonce %q = nil, want an error", nonce)
		}
	}
	if recorder.Count() != 0 {
		t.Errorf("WriteSegment() made %d calls, want none", recorder.Count())
	}
	commits := run(nil, 2, 0)
	if _, err := WriteSegment(t.Context(), recorder, prefix, commits, "n1"); err != nil {
		t.Fatal(err)
	}
	if _, err := WriteSegment(t.Context(), recorder, prefix, run(nil, 2, 9), "n1"); !errors.Is(err, ErrDamaged) {
		t.Errorf("WriteSegment() over other bytes = %v, want ErrDamaged", err)
	}
}

func mustWrite(t *testing.T, bucket blob.Bucket, commits []*Commit, nonce string) {
	t.Helper()
	if _, err := WriteSegment(t.Context(), bucket, prefix, commits, nonce); err != nil {
		t.Fatal(err)
	}
}

func mustPut(t *testing.T, bucket blob.Bucket, key string, body []byte) {
	t.Helper()
	if _, err := bucket.Put(t.Context(), key, body, blob.IfAbsent()); err != nil {
		t.Fatal(err)
	}
}

func TestReadSegments(t *testing.T) {
	bucket := newBucket()
	commits := run(nil, 100, 0)
	// A zombie took another way after 40, and wrote segments of that.
	zombie := run(commits[39], 60, 9)
	mustWrite(t, bucket, append(commits[9:40:40], zombie...), "a") // 10 to 100, longest and wrong past 40
	mustWrite(t, bucket, zombie[10:30], "a")
	mustWrite(t, bucket, commits[:20], "b")
	mustWrite(t, bucket, commits[:20], "c") // a twin
	mustWrite(t, bucket, commits[20:50], "b")
	mustWrite(t, bucket, commits[45:80], "b") // overlaps
	mustWrite(t, bucket, commits[80:], "b")
	// Junk of every kind.
	dir := prefix + "/segments/"
	mustPut(t, bucket, dir+"junk", nil)
	mustPut(t, bucket, dir+"00000000000000000001-00000000000000000100-a", []byte("damaged"))
	moved, err := EncodeSegment(commits[30:40])
	if err != nil {
		t.Fatal(err)
	}
	mustPut(t, bucket, dir+"00000000000000000001-00000000000000000090-a", moved) // not what its name says
	mustPut(t, bucket, dir+"00000000000000000031-00000000000000000090-a", moved)

	for from := Seq(1); from <= 100; from += 3 {
		for to := from; to <= 100; to += 7 {
			got, err := ReadSegments(t.Context(), bucket, prefix, from, to, commits[to-1].Hash())
			if err != nil || !sameCommits(got, commits[from-1:to]) {
				t.Errorf("ReadSegments(%d, %d) = %d commits, %v", from, to, len(got), err)
			}
		}
	}
	for name, tt := range map[string]struct {
		from, to Seq
		hash     Hash
		want     error
	}{
		"a hash of nobody":    {1, 100, Hash{1}, ErrMissing},
		"past the end":        {90, 101, commits[99].Hash(), ErrMissing},
		"a hash of elsewhere": {1, 50, commits[50].Hash(), ErrMissing},
	} {
		if _, err := ReadSegments(t.Context(), bucket, prefix, tt.from, tt.to, tt.hash); !errors.Is(err, tt.want) {
			t.Errorf("ReadSegments() of %s = %v, want %v", name, err, tt.want)
		}
	}
	for _, r := range [][2]Seq{{0, 5}, {6, 5}} {
		if _, err := ReadSegments(t.Context(), bucket, prefix, r[0], r[1], Hash{}); err == nil {
			t.Errorf("ReadSegments(%d, %d) = nil, want an error", r[0], r[1])
		}
	}
}

func TestReadSegmentsMissing(t *testing.T) {
	bucket := newBucket()
	commits := run(nil, 30, 0)
	mustWrite(t, bucket, commits[:10], "a")
	mustWrite(t, bucket, commits[11:], "a")
	if _, err := ReadSegments(t.Context(), bucket, prefix, 1, 30, commits[29].Hash()); !errors.Is(err, ErrMissing) {
		t.Errorf("ReadSegments() over a gap = %v, want ErrMissing", err)
	}
	if got, err := ReadSegments(t.Context(), bucket, prefix, 12, 30, commits[29].Hash()); err != nil || len(got) != 19 {
		t.Errorf("ReadSegments() after the gap = %d commits, %v", len(got), err)
	}
}

// A bucket that does not answer is not a bucket without segments.
func TestReadSegmentsFails(t *testing.T) {
	inner := newBucket()
	commits := run(nil, 30, 0)
	for i := range 3 {
		mustWrite(t, inner, commits[i*10:i*10+10], "a")
	}
	for n := 1; ; n++ {
		failed := false
		bucket := blobtest.NewFaults(inner, func(c blobtest.Call) blobtest.Fault {
			if c.N == n {
				failed = true
				return blobtest.Unavailable503
			}
			return blobtest.None
		})
		_, err := ReadSegments(t.Context(), bucket, prefix, 1, 30, commits[29].Hash())
		if !failed {
			break
		}
		if !errors.Is(err, blob.ErrUnavailable) || errors.Is(err, ErrMissing) {
			t.Errorf("ReadSegments() with request %d failing = %v, want ErrUnavailable", n, err)
		}
	}
}

// A range far into the log costs one listing and one read of each segment in it, however
// many came before.
func TestReadSegmentsCost(t *testing.T) {
	bucket := newBucket()
	commits := run(nil, 6000, 0)
	for i := 0; i < len(commits); i += 4 {
		mustWrite(t, bucket, commits[i:i+4], "a")
	}
	recorder := blobtest.NewRecorder(bucket)
	got, err := ReadSegments(t.Context(), recorder, prefix, 5001, 5040, commits[5039].Hash())
	if err != nil || !sameCommits(got, commits[5000:5040]) {
		t.Fatalf("ReadSegments() = %d commits, %v", len(got), err)
	}
	if lists, gets := recorder.Count(blobtest.List), recorder.Count(blobtest.Get); lists > 2 || gets != 10 {
		t.Errorf("ReadSegments() made %d Lists and %d Gets, want at most 2 and 10", lists, gets)
	}
}

// One segment that begins long before the range is found all the same.
func TestReadSegmentsLong(t *testing.T) {
	bucket := newBucket()
	commits := run(nil, segmentReach+100, 0)
	mustWrite(t, bucket, commits, "a")
	last := commits[len(commits)-1]
	got, err := ReadSegments(t.Context(), bucket, prefix, last.Seq-5, last.Seq, last.Hash())
	if err != nil || len(got) != 6 {
		t.Errorf("ReadSegments() = %d commits, %v, want 6", len(got), err)
	}
}

func FuzzDecodeSegment(f *testing.F) {
	for _, n := range []int{1, 3} {
		b, err := EncodeSegment(run(nil, n, 0))
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b[:len(b)-4])
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		commits, err := DecodeSegment(sealed(b))
		if err != nil {
			return
		}
		again, err := EncodeSegment(commits)
		if err != nil {
			t.Fatalf("EncodeSegment() of what was decoded = %v", err)
		}
		if got, err := DecodeSegment(again); err != nil || !sameCommits(got, commits) {
			t.Errorf("DecodeSegment() = %d commits, %v, want %d", len(got), err, len(commits))
		}
	})
}

func FuzzParseSegmentName(f *testing.F) {
	f.Add("00000000000000000001-00000000000000000064-abc7")
	f.Fuzz(func(t *testing.T, s string) {
		if n, err := ParseSegmentName(s); err == nil && n.String() != s {
			t.Errorf("ParseSegmentName(%q) = %s", s, n)
		}
	})
}
