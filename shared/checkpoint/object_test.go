package checkpoint_test

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"hash/crc32"
	"reflect"
	"testing"
	"time"

	"github.com/bobbindb/bobbin/shared/blob"
	"github.com/bobbindb/bobbin/shared/blob/memblob"
	"github.com/bobbindb/bobbin/shared/checkpoint"
	"github.com/bobbindb/bobbin/shared/commitlog"
)

func sampleObject() *checkpoint.Object {
	return &checkpoint.Object{
		Seq:  130,
		Hash: commitlog.Genesis("st-1", 3),
		Time: 1790000000000000000,
		Files: []checkpoint.File{
			{Name: "MANIFEST-000007", Body: []byte("edits")},
			{Name: "OPTIONS-000003", Body: []byte("[Version]\n")},
			{Name: "marker.manifest.000001.MANIFEST-000007", Body: []byte{}},
		},
		Tables: []checkpoint.Table{
			{Name: "000005.sst", SHA256: [32]byte{1, 2, 3}, Nonce: "n1", Size: 600000, Meta: 580000,
				Smallest: []byte("a"), Largest: []byte("zz"), Fences: [][]byte{[]byte("a"), []byte("k"), []byte("q")}},
			{Name: "000006.blob", SHA256: [32]byte{4}, Nonce: "n2", Size: 9},
		},
	}
}

func TestObjectGolden(t *testing.T) {
	golden(t, "object-1.hex", []byte(hex.EncodeToString(sampleObject().Body())+"\n"))
	b, err := sampleObject().Encode()
	if err != nil {
		t.Fatal(err)
	}
	if got := hex.EncodeToString(b[:9]); got != "6262636b01"+"28b52ffd" {
		t.Errorf("object begins with %s, want the magic, format 1 and a zstd frame", got)
	}
	got, err := checkpoint.Decode(b)
	if err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(got, sampleObject()) {
		t.Errorf("Decode(Encode()) = %+v, want %+v", got, sampleObject())
	}
}

// The encoded file of the first release stays readable, whatever the compressor does.
func TestObjectGoldenFile(t *testing.T) {
	if *update {
		b, err := sampleObject().Encode()
		if err != nil {
			t.Fatal(err)
		}
		golden(t, "object-1.bin.hex", []byte(hex.EncodeToString(b)+"\n"))
	}
	got, err := checkpoint.Decode(goldenObject(t))
	if err != nil || !reflect.DeepEqual(got, sampleObject()) {
		t.Errorf("Decode() = %+v, %v, want %+v", got, err, sampleObject())
	}
}

func goldenObject(t testing.TB) []byte {
	t.Helper()
	b, err := hex.DecodeString(string(bytes.TrimSpace(readTestdata(t, "object-1.bin.hex"))))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestDecodeRefuses(t *testing.T) {
	good := goldenObject(t)
	resum := func(b []byte) []byte {
		end := len(b) - 4
		binary.BigEndian.PutUint32(b[end:], crc32.Checksum(b[:end], crc32.MakeTable(crc32.Castagnoli)))
		return b
	}
	change := func(i int, v byte) []byte {
		b := bytes.Clone(good)
		b[i] = v
		return b
	}
	for name, test := range map[string]struct {
		b    []byte
		want error
	}{
		"empty":          {nil, commitlog.ErrDamaged},
		"other magic":    {change(0, 'x'), commitlog.ErrDamaged},
		"newer format":   {change(4, 2), commitlog.ErrUnknownFormat},
		"flipped bit":    {change(40, good[40]^1), commitlog.ErrDamaged},
		"cut":            {good[:len(good)-1], commitlog.ErrDamaged},
		"not compressed": {resum(change(5, 0)), commitlog.ErrDamaged},
	} {
		t.Run(name, func(t *testing.T) {
			if _, err := checkpoint.Decode(test.b); !errors.Is(err, test.want) {
				t.Errorf("Decode() = %v, want %v", err, test.want)
			}
		})
	}
}

func TestDecodeRefusesNames(t *testing.T) {
	for name, change := range map[string]func(*checkpoint.Object){
		"file outside":       func(o *checkpoint.Object) { o.Files[0].Name = "../MANIFEST-000001" },
		"file of no kind":    func(o *checkpoint.Object) { o.Files[0].Name = "notes.txt" },
		"file twice":         func(o *checkpoint.Object) { o.Files[0].Name = o.Files[1].Name },
		"table outside":      func(o *checkpoint.Object) { o.Tables[0].Name = "../1.sst" },
		"table of no kind":   func(o *checkpoint.Object) { o.Tables[0].Name = "MANIFEST-000001" },
		"table twice":        func(o *checkpoint.Object) { o.Tables[0].Name = o.Tables[1].Name },
		"nonce with a slash": func(o *checkpoint.Object) { o.Tables[0].Nonce = "/../../keys" },
		"meta past the end":  func(o *checkpoint.Object) { o.Tables[0].Meta = o.Tables[0].Size + 1 },
		"too many fences":    func(o *checkpoint.Object) { o.Tables[1].Fences = make([][]byte, 2) },
	} {
		t.Run(name, func(t *testing.T) {
			o := sampleObject()
			change(o)
			b, err := o.Encode()
			if err != nil {
				t.Fatal(err)
			}
			if _, err := checkpoint.Decode(b); !errors.Is(err, commitlog.ErrDamaged) {
				t.Errorf("Decode() = %v, want %v", err, commitlog.ErrDamaged)
			}
		})
	}
}

func TestLoadMissing(t *testing.T) {
	_, err := checkpoint.Load(t.Context(), memblob.New(time.Now), checkpoint.ObjectKey(prefix, 5, "n"))
	if !errors.Is(err, blob.ErrNotExist) {
		t.Errorf("Load() = %v, want %v", err, blob.ErrNotExist)
	}
}

func FuzzDecode(f *testing.F) {
	f.Add(goldenObject(f))
	f.Add([]byte("bbck\x01"))
	f.Fuzz(func(t *testing.T, b []byte) {
		o, err := checkpoint.Decode(b)
		if err != nil {
			if !errors.Is(err, commitlog.ErrDamaged) && !errors.Is(err, commitlog.ErrUnknownFormat) {
				t.Fatalf("Decode() = %v, which is neither damaged nor unknown", err)
			}
			return
		}
		again, err := o.Encode()
		if err != nil {
			t.Fatal(err)
		}
		if back, err := checkpoint.Decode(again); err != nil || !bytes.Equal(back.Body(), o.Body()) {
			t.Fatalf("Decode(Encode()) = %v, %v", back, err)
		}
	})
}

// FuzzDecodeBody goes past the checksum and the compression.
func FuzzDecodeBody(f *testing.F) {
	f.Add(sampleObject().Body())
	f.Fuzz(func(t *testing.T, body []byte) {
		o, err := checkpoint.DecodeBody(body)
		if err != nil {
			if !errors.Is(err, commitlog.ErrDamaged) {
				t.Fatalf("DecodeBody() = %v, which is not damaged", err)
			}
			return
		}
		if back, err := checkpoint.DecodeBody(o.Body()); err != nil || !bytes.Equal(back.Body(), o.Body()) {
			t.Fatalf("DecodeBody(Body()) = %v, %v", back, err)
		}
	})
}
