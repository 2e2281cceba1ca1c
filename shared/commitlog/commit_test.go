package commitlog

import (
	"bytes"
	"encoding/hex"
	"errors"
	"fmt"
	"reflect"
	"testing"
)

// example is a commit with every kind of op.
func example() *Commit {
	return &Commit{
		Seq: 258, Time: 1_700_000_000_000_000_001, Prev: Hash{0xaa, 31: 0xbb}, Nonce: Nonce{1, 15: 16}, Release: "v1",
		Ops: []Op{
			{Kind: OpSet, Key: []byte("k"), Value: []byte("value")},
			{Kind: OpDelete, Key: []byte("gone")},
			{Kind: OpDeleteRange, Key: []byte("a"), Value: []byte("b")},
			{Kind: OpControl, Key: []byte("thaw"), Value: nil},
		},
	}
}

const (
	goldenCore = "6262636d010000005f" + // magic, format, length
		"000000000000010217979cfe362a0001" + // seq, time
		"aa000000000000000000000000000000000000000000000000000000000000bb" + // prev
		"01000000000000000000000000000010" + // nonce
		"027631" + "04" + // release, count of ops
		"01016b0576616c7565" + "0204676f6e65" + "0301610162" + "04047468617700"
	goldenHash   = "fb0cff871debdc0f19d9594ce326bd0ba2b1085d1519a1b0b21a756c95ad77f8"
	goldenObject = goldenCore + "f99f1cfb" + // checksum
		"02" + "00000003" + "787978" + "00000001" + "7a" + // carried: count, then length and core of each
		"caa6543d" // checksum of the carried part
)

func TestGoldenCommit(t *testing.T) {
	c := example()
	if got := hex.EncodeToString(c.Encode()); got != goldenCore {
		t.Errorf("Encode() = %s, want %s", got, goldenCore)
	}
	if got := c.Hash().String(); got != goldenHash {
		t.Errorf("Hash() = %s, want %s", got, goldenHash)
	}
	object := encodeObject(c.core, [][]byte{[]byte("xyx"), []byte("z")})
	if got := hex.EncodeToString(object); got != goldenObject {
		t.Errorf("encodeObject() = %s, want %s", got, goldenObject)
	}
	got, carried, err := decodeObject(object)
	if err != nil || got.Hash() != c.Hash() || len(carried) != 2 || string(carried[0]) != "xyx" || string(carried[1]) != "z" {
		t.Fatalf("decodeObject() = %+v, %q, %v", got, carried, err)
	}
	if want := example(); got.Seq != want.Seq || got.Time != want.Time || got.Prev != want.Prev || got.Nonce != want.Nonce ||
		got.Release != want.Release || fmt.Sprint(got.Ops) != fmt.Sprint(want.Ops) {
		t.Errorf("decodeObject() = %+v, want %+v", got, want)
	}
	if got.Bytes() != 1+5+4+1+1+4 {
		t.Errorf("Bytes() = %d, want 16", got.Bytes())
	}
}

func TestGoldenGenesis(t *testing.T) {
	const want = "00bd6af25cd320454f743bc7927edbba6d6e89b7363fb778a53604350bf44972"
	if got := Genesis("store-1", 7).String(); got != want {
		t.Errorf("Genesis() = %s, want %s", got, want)
	}
	if Genesis("store-1", 8) == Genesis("store-1", 7) || Genesis("store-2", 7) == Genesis("store-1", 7) {
		t.Error("Genesis() is the same for two partitions or stores")
	}
}

// One flipped bit anywhere in an object is damage, or a format that nobody knows.
func TestDecodeObjectFlippedBit(t *testing.T) {
	c := example()
	object := encodeObject(c.Encode(), [][]byte{[]byte("xyx")})
	for i := range object {
		for bit := range 8 {
			b := bytes.Clone(object)
			b[i] ^= 1 << bit
			if _, _, err := decodeObject(b); !errors.Is(err, ErrDamaged) && !errors.Is(err, ErrUnknownFormat) {
				t.Errorf("decodeObject() with bit %d of byte %d flipped = %v, want ErrDamaged", bit, i, err)
			}
		}
		if _, _, err := decodeObject(object[:i]); !errors.Is(err, ErrDamaged) {
			t.Errorf("decodeObject() of %d bytes = %v, want ErrDamaged", i, err)
		}
	}
}

func TestDecodeUnknown(t *testing.T) {
	c := example()
	c.Ops[1].Kind = 9
	if _, err := decodeCore(c.Encode()); !errors.Is(err, ErrUnknownFormat) {
		t.Errorf("decodeCore() with op kind 9 = %v, want ErrUnknownFormat", err)
	}
	b := example().Encode()
	b[4] = 2
	if _, err := decodeCore(b); !errors.Is(err, ErrUnknownFormat) {
		t.Errorf("decodeCore() of format 2 = %v, want ErrUnknownFormat", err)
	}
}

func TestParseSeq(t *testing.T) {
	for _, seq := range []Seq{0, 1, 1 << 40, 1<<64 - 1} {
		if got, err := ParseSeq(seq.String()); err != nil || got != seq {
			t.Errorf("ParseSeq(%s) = %d, %v", seq, got, err)
		}
	}
	for _, s := range []string{"", "1", "0000000000000000000x", "+0000000000000000001", "-0000000000000000001",
		"0x000000000000000001", "0000000000_000000001", "18446744073709551616", "000000000000000000001"} {
		if got, err := ParseSeq(s); err == nil {
			t.Errorf("ParseSeq(%q) = %d, want an error", s, got)
		}
	}
}

func TestHashText(t *testing.T) {
	text, _ := Hash{1, 31: 2}.MarshalText()
	var h Hash
	if err := h.UnmarshalText(text); err != nil || h != (Hash{1, 31: 2}) {
		t.Errorf("UnmarshalText(%s) = %v, %v", text, h, err)
	}
	for _, s := range []string{"", "00", string(text[:62]) + "zz"} {
		if err := h.UnmarshalText([]byte(s)); err == nil {
			t.Errorf("UnmarshalText(%q) = nil, want an error", s)
		}
	}
}

func FuzzParseSeq(f *testing.F) {
	f.Add("00000000000000000017")
	f.Add("+0000000000000000017")
	f.Fuzz(func(t *testing.T, s string) {
		if seq, err := ParseSeq(s); err == nil && seq.String() != s {
			t.Errorf("ParseSeq(%q) = %s", s, seq)
		}
	})
}

func FuzzDecodeCore(f *testing.F) {
	f.Add(example().Encode())
	f.Add((&Commit{Seq: 1}).Encode())
	f.Fuzz(func(t *testing.T, b []byte) {
		c, err := decodeCore(b)
		if err != nil {
			return
		}
		again := *c
		if got := again.Encode(); !bytes.Equal(got, b) {
			t.Errorf("Encode() of what was decoded from %x = %x", b, got)
		}
	})
}

func FuzzDecodeObject(f *testing.F) {
	c := example()
	f.Add(encodeObject(c.Encode(), nil))
	f.Add(encodeObject(c.core, [][]byte{c.core, nil}))
	f.Fuzz(func(t *testing.T, b []byte) {
		c, carried, err := decodeObject(b)
		if err != nil {
			return
		}
		if got := encodeObject(c.core, carried); !bytes.Equal(got, b) {
			t.Errorf("encodeObject() of what was decoded from %x = %x", b, got)
		}
	})
}

func FuzzCommit(f *testing.F) {
	f.Add(uint64(1), int64(2), "v1", []byte("key"), []byte("value"))
	f.Fuzz(func(t *testing.T, seq uint64, time int64, release string, key, value []byte) {
		want := &Commit{Seq: Seq(seq), Time: time, Release: release, Ops: []Op{
			{Kind: OpSet, Key: key, Value: value}, {Kind: OpDelete, Key: value}, {Kind: OpDeleteRange, Key: key, Value: key},
		}}
		got, err := decodeCore(want.Encode())
		if err != nil {
			t.Fatalf("decodeCore() = %v", err)
		}
		for i := range want.Ops {
			if !bytes.Equal(got.Ops[i].Key, want.Ops[i].Key) || !bytes.Equal(got.Ops[i].Value, want.Ops[i].Value) {
				t.Errorf("op %d = %+v, want %+v", i, got.Ops[i], want.Ops[i])
			}
		}
		got.Ops, want.Ops = nil, nil
		if !reflect.DeepEqual(got, want) {
			t.Errorf("decodeCore() = %+v, want %+v", got, want)
		}
	})
}
