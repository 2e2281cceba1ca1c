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

func TestDamagedPlain(t *testing.T) {
	for name, sealed := range map[string]chat.Sealed{
		"nil":          nil,
		"nothing":      {},
		"encrypted":    append(chat.Sealed{1}, make([]byte, seal.Overhead)...),
		"unknown kind": {2, 'x'},
		"highest kind": {255},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := seal.Plain{}.Open(t.Context(), chat.Name{}, nil, sealed)
			if !errors.Is(err, seal.ErrDamaged) || got != nil {
				t.Errorf("Open(%x) = %q, %v, want ErrDamaged", sealed, got, err)
			}
		})
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

func FuzzDecodePlain(f *testing.F) {
	f.Add([]byte(seal.EncodePlain([]byte("x"))))
	f.Fuzz(func(t *testing.T, b []byte) {
		if text, err := seal.DecodePlain(b); err == nil && !bytes.Equal(seal.EncodePlain(text), b) {
			t.Errorf("plain %x does not encode to itself", b)
		}
	})
}
