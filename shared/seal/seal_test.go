package seal_test

import (
	"bytes"
	"context"
	"encoding/hex"
	"errors"
	"testing"

	"github.com/bobbindb/bobbin/shared/chat"
	"github.com/bobbindb/bobbin/shared/seal"
)

func TestGoldenPlain(t *testing.T) {
	for _, tt := range []struct{ name, text, want string }{
		{"text", `{"a":1}`, "00" + "7b2261223a317d"},
		{"empty", "", "00"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			sealed := seal.EncodePlain([]byte(tt.text))
			if got := hex.EncodeToString(sealed); got != tt.want {
				t.Errorf("EncodePlain(%q) = %s, want %s", tt.text, got, tt.want)
			}
			got, err := seal.DecodePlain(sealed)
			if err != nil || string(got) != tt.text {
				t.Errorf("DecodePlain() = %q, %v, want %q", got, err, tt.text)
			}
		})
	}
}

func TestGoldenBox(t *testing.T) {
	box := seal.Box{Key: 0x01020304, Nonce: [12]byte{1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12}, Ciphertext: bytes.Repeat([]byte{0xee}, 18)}
	want := "01" + "01020304" + "0102030405060708090a0b0c" + "eeee" + "eeeeeeeeeeeeeeeeeeeeeeeeeeeeeeee"
	sealed := seal.EncodeBox(box)
	if got := hex.EncodeToString(sealed); got != want {
		t.Errorf("EncodeBox() = %s, want %s", got, want)
	}
	got, err := seal.DecodeBox(sealed)
	if err != nil || got.Key != box.Key || got.Nonce != box.Nonce || !bytes.Equal(got.Ciphertext, box.Ciphertext) {
		t.Errorf("DecodeBox() = %+v, %v, want %+v", got, err, box)
	}
	if got, want := len(sealed), 2+seal.BoxOverhead; got != want {
		t.Errorf("len(EncodeBox()) = %d, want %d", got, want)
	}
}

func TestDamaged(t *testing.T) {
	box := seal.EncodeBox(seal.Box{Ciphertext: make([]byte, seal.TagSize)})
	for name, sealed := range map[string]chat.Sealed{
		"nothing":         {},
		"encrypted":       box,
		"unknown kind":    {2, 'x'},
		"highest kind":    {255},
		"nil":             nil,
		"encrypted short": {1},
	} {
		t.Run("plain/"+name, func(t *testing.T) {
			got, err := seal.Plain{}.Open(t.Context(), chat.Name{}, nil, sealed)
			if !errors.Is(err, seal.ErrDamaged) || got != nil {
				t.Errorf("Open(%x) = %q, %v, want ErrDamaged", sealed, got, err)
			}
		})
	}
	for n := range len(box) {
		if _, err := seal.DecodeBox(box[:n]); !errors.Is(err, seal.ErrDamaged) {
			t.Errorf("DecodeBox of %d bytes: %v, want ErrDamaged", n, err)
		}
	}
	if _, err := seal.DecodeBox(seal.EncodePlain(make([]byte, 64))); !errors.Is(err, seal.ErrDamaged) {
		t.Errorf("DecodeBox of plaintext: %v, want ErrDamaged", err)
	}
}

func TestPlainAliases(t *testing.T) {
	sealed, key, err := seal.Plain{}.Seal(context.Background(), chat.Name{}, chat.Owner{}, nil, []byte("hello"))
	if err != nil || key != nil {
		t.Fatalf("Seal() = %v, %v", key, err)
	}
	text, err := seal.Plain{}.Open(context.Background(), chat.Name{}, nil, sealed)
	if err != nil || string(text) != "hello" || &text[0] != &sealed[1] {
		t.Errorf("Open() = %q, %v, want hello inside the sealed text", text, err)
	}
}

func FuzzDecode(f *testing.F) {
	f.Add([]byte(seal.EncodePlain([]byte("x"))))
	f.Add([]byte(seal.EncodeBox(seal.Box{Key: 7, Ciphertext: make([]byte, 20)})))
	f.Fuzz(func(t *testing.T, b []byte) {
		if text, err := seal.DecodePlain(b); err == nil && !bytes.Equal(seal.EncodePlain(text), b) {
			t.Errorf("plain %x does not encode to itself", b)
		}
		if box, err := seal.DecodeBox(b); err == nil && !bytes.Equal(seal.EncodeBox(box), b) {
			t.Errorf("box %x does not encode to itself", b)
		}
	})
}
