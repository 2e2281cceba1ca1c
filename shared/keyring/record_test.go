package keyring_test

import (
	"bytes"
	"encoding/hex"
	"errors"
	"reflect"
	"strings"
	"testing"

	"github.com/bobbindb/bobbin/shared/blob"
	"github.com/bobbindb/bobbin/shared/chat"
	"github.com/bobbindb/bobbin/shared/keyring"
	"github.com/bobbindb/bobbin/shared/seal"
)

func TestGoldenRecords(t *testing.T) {
	wrapped := bytes.Repeat([]byte{0xee}, seal.UserKeySize+seal.WrapOverhead)
	ee := strings.Repeat("ee", len(wrapped))
	for _, tt := range []struct {
		name   string
		record interface{ Encode() []byte }
		decode func([]byte) (any, error)
		want   string
	}{
		{"a KEK", keyring.NewKEKRecord(0x01020304, 0x1122334455667788, "local", []byte{0xdd, 0xdd}), decodeKEK,
			"01" + "01" + "01020304" + "1122334455667788" + "0005" + "6c6f63616c" + "0002" + "dddd"},
		{"a retired KEK", keyring.NewKEKRecord(1, 0x1122334455667788, "", nil), decodeKEK,
			"01" + "02" + "00000001" + "1122334455667788" + "aa000000000000000000000000000000"},
		{"a user key", keyring.NewUserRecord(0x01020304, 0, wrapped), decodeUser, "01" + "01" + "01020304" + ee},
		{"an erased user key", keyring.NewUserRecord(0, 0x1122334455667788, nil), decodeUser,
			"01" + "02" + "1122334455667788" + "bb000000000000000000000000000000"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			b := tt.record.Encode()
			if got := hex.EncodeToString(b); got != tt.want {
				t.Errorf("Encode() = %s, want %s", got, tt.want)
			}
			got, err := tt.decode(b)
			if err != nil || !same(got, tt.record) {
				t.Errorf("decode = %+v, %v, want %+v", got, err, tt.record)
			}
			for n := range b {
				if got, err := tt.decode(b[:n]); !errors.Is(err, seal.ErrDamaged) {
					t.Errorf("decode of %d bytes = %+v, %v, want ErrDamaged", n, got, err)
				}
			}
			for _, bad := range [][]byte{append(bytes.Clone(b), 0), append([]byte{2}, b[1:]...), append([]byte{1, 3}, b[2:]...), append([]byte{1, 0}, b[2:]...)} {
				if got, err := tt.decode(bad); !errors.Is(err, seal.ErrDamaged) {
					t.Errorf("decode of %x = %+v, %v, want ErrDamaged", bad, got, err)
				}
			}
		})
	}
}

func decodeKEK(b []byte) (any, error) {
	record, err := keyring.DecodeKEK(b)
	return record, err
}

func decodeUser(b []byte) (any, error) {
	record, err := keyring.DecodeUser(b)
	return record, err
}

// same compares what two records say.
func same(a any, b interface{ Encode() []byte }) bool {
	e, ok := a.(interface{ Encode() []byte })
	return ok && reflect.TypeOf(a) == reflect.TypeOf(b) && bytes.Equal(e.Encode(), b.Encode())
}

func TestObjectNames(t *testing.T) {
	owner := chat.NewHasher([]byte("0123456789abcdef0123456789abcdef")).Owner(chat.Owner{Tenant: "ten", User: "ann"})
	id := seal.KeyID{0xaa, 15: 0x01}
	for got, want := range map[string]string{
		keyring.KEKKey(7):          "keys/kek/00000007",
		keyring.UserKey(owner, id): "keys/users/" + hex.EncodeToString(owner[:]) + "/aa000000000000000000000000000001",
	} {
		if got != want {
			t.Errorf("object = %s, want %s", got, want)
		}
		if err := blob.CheckKey(got); err != nil {
			t.Error(err)
		}
	}
	if v, ok := keyring.ParseKEKKey(keyring.KEKKey(7)); !ok || v != 7 {
		t.Errorf("ParseKEKKey() = %d, %t, want 7", v, ok)
	}
	gotOwner, gotID, ok := keyring.ParseUserKey(keyring.UserKey(owner, id))
	if !ok || gotOwner != owner || gotID != id {
		t.Errorf("ParseUserKey() = %x, %s, %t", gotOwner, gotID, ok)
	}
	for _, key := range []string{"", "keys/kek/", "keys/kek/0000007", "keys/kek/00000000", "keys/kek/0000000x", "keys/kek/+0000007", "keys/users/00000007"} {
		if v, ok := keyring.ParseKEKKey(key); ok {
			t.Errorf("ParseKEKKey(%q) = %d", key, v)
		}
	}
}

func FuzzDecodeKEK(f *testing.F) {
	f.Add(keyring.NewKEKRecord(1, 2, "local", []byte("wrapped")).Encode())
	f.Add(keyring.NewKEKRecord(1, 2, "", nil).Encode())
	f.Fuzz(func(t *testing.T, b []byte) {
		record, err := keyring.DecodeKEK(b)
		if err == nil && !bytes.Equal(record.Encode(), b) {
			t.Errorf("%x does not encode to itself", b)
		}
	})
}

func FuzzDecodeUser(f *testing.F) {
	f.Add(keyring.NewUserRecord(1, 0, make([]byte, seal.UserKeySize+seal.WrapOverhead)).Encode())
	f.Add(keyring.NewUserRecord(0, 2, nil).Encode())
	f.Fuzz(func(t *testing.T, b []byte) {
		record, err := keyring.DecodeUser(b)
		if err == nil && !bytes.Equal(record.Encode(), b) {
			t.Errorf("%x does not encode to itself", b)
		}
	})
}

func FuzzParseUserKey(f *testing.F) {
	f.Add(keyring.UserKey(chat.Digest{1}, seal.KeyID{2}))
	f.Add("keys/users/x/y")
	f.Fuzz(func(t *testing.T, key string) {
		if owner, id, ok := keyring.ParseUserKey(key); ok && keyring.UserKey(owner, id) != key {
			t.Errorf("%q does not encode to itself", key)
		}
		if v, ok := keyring.ParseKEKKey(key); ok && keyring.KEKKey(v) != key {
			t.Errorf("%q does not encode to itself", key)
		}
	})
}
