package store

import (
	"bytes"
	"encoding/hex"
	"errors"
	"math/rand/v2"
	"reflect"
	"testing"

	"github.com/bobbindb/bobbin/shared/chat"
	"github.com/bobbindb/bobbin/shared/commitlog"
)

// codec is how a kind of record is written and read, and one with every field set.
type codec struct {
	name    string
	example any
	encode  func(any) []byte
	decode  func([]byte) (any, error)
	golden  string
}

// The thread and message that records are decoded beside; their keys hold the ids.
var (
	recordThread  = &chat.Thread{ID: thread1, Owner: chat.Owner{Tenant: "ten", User: "ann"}}
	recordMessage = &chat.Message{ID: chat.MessageID{Thread: thread1, Time: 70, Seq: 3}, Author: chat.Owner{Tenant: "ten", User: "bob"}}
)

func codecs() []codec {
	digest := chat.Digest{1, 15: 2}
	return []codec{
		{
			name: "thread",
			example: &chat.Thread{
				ID: thread1, Owner: chat.Owner{Tenant: "ten", User: "ann"}, ClientID: "c1", Created: 1, Updated: 2, Deleted: 3, Expires: 4,
				Status: chat.Archived, Members: []chat.Member{{User: "bob", Role: chat.RoleWriter}, {User: "eve", Role: chat.RoleReader}},
				Revision: 5, Title: chat.Sealed("ti"), Slug: chat.Sealed("sl"), Metadata: chat.Sealed("me"), SlugHash: digest, Content: digest,
				Head: 6, LastTime: 7, NextSeq: 8, LastMessage: 9, Live: 300, Dead: 11, Changed: 12,
				Keys:   []chat.DataKey{{ID: 1, Author: chat.Owner{Tenant: "ten", User: "bob"}, UserKey: [16]byte{1}, Wrapped: []byte("wr"), Uses: 7}},
				Purged: 13, TitleRevision: 14, SlugRevision: 15, MetadataRevision: 16,
			},
			encode: func(x any) []byte { return EncodeThread(x.(*chat.Thread)) },
			decode: func(b []byte) (any, error) { return DecodeThread(thread1, b) },
			golden: "010a0374656e1203616e6e1a026331200128023003380440014a070a03626f6210024a070a03657665100150055a0274696202736c6a026d657210010000000000000000000000000000027a1001000000000000000000000000000002800106880107900108980109a001ac02a8010bb0010cba01240801120374656e1a03626f622210010000000000000000000000000000002a0277723007c0010dc8010ed0010fd80110",
		},
		{
			name: "message",
			example: &chat.Message{
				ID: recordMessage.ID, Author: chat.Owner{Tenant: "ten", User: "bob"}, ClientID: "c2", Created: 71, Updated: 72, Deleted: 73, Expires: 74,
				Status: chat.Completed, Parent: 60, Revision: 5, Role: "user", Format: "text", Model: "m", ReplyTo: "r", Usage: []byte("{}"),
				Body: chat.Sealed("body"), Metadata: chat.Sealed("me"), Content: digest, Changed: 12, MetadataRevision: 4,
			},
			encode: func(x any) []byte { return EncodeMessage(x.(*chat.Message)) },
			decode: func(b []byte) (any, error) { return DecodeMessage(recordThread, 70, b) },
			golden: "0108031203626f621a026332204728483049384a4002483c50055a04757365726204746578746a016d7201727a027b7d820104626f64798a01026d659201100100000000000000000000000000000298010ca00104",
		},
		{
			name: "revision",
			example: &chat.Revision{
				Message: recordMessage.ID, Revision: 4, Author: chat.Owner{Tenant: "ten", User: "bob"}, Written: 71,
				Body: chat.Sealed("old"), Metadata: chat.Sealed("me"), MetadataRevision: 3,
			},
			encode: func(x any) []byte { return EncodeRevision(x.(*chat.Revision)) },
			decode: func(b []byte) (any, error) { return DecodeRevision(recordMessage, 4, b) },
			golden: "010a03626f6210471a036f6c6422026d652803",
		},
		{
			name:    "owner",
			example: &Owner{Owner: chat.Owner{Tenant: "ten", User: "ann"}, Created: 1, Open: 2, Archived: 3, Deleted: 4, Key: [16]byte{5}},
			encode:  func(x any) []byte { return EncodeOwner(x.(*Owner)) },
			decode:  func(b []byte) (any, error) { return DecodeOwner(b) },
			golden:  "010a0374656e1203616e6e18012002280330043a1005000000000000000000000000000000",
		},
		{
			name:    "counters",
			example: &Counters{Owners: 1, Threads: 2, DeletedThreads: 3, Messages: 4, DeadMessages: 5, LastThread: 6, Quarter: 7, Day: 8},
			encode:  func(x any) []byte { return EncodeCounters(x.(*Counters)) },
			decode: func(b []byte) (any, error) {
				c, err := DecodeCounters(b)
				return &c, err
			},
			golden: "0108011002180320042805300638074008",
		},
		{
			name: "entry",
			example: &Entry{
				Request: digest, RequestID: "rq", Seq: 1, Thread: thread1, Revision: 2, Created: 3,
				Messages: []chat.MessageID{{Thread: thread1, Time: 70, Seq: 3}, {Thread: thread1, Time: 71, Seq: 4}},
			},
			encode: func(x any) []byte { return EncodeEntry(x.(*Entry)) },
			decode: func(b []byte) (any, error) { return DecodeEntry(b) },
			golden: "010a100100000000000000000000000000000212027271180120888e98a8c0e080810128b42432040846100332040847100438024003",
		},
		{
			name:    "freeze",
			example: &Freeze{Until: 300},
			encode:  func(x any) []byte { return EncodeFreeze(*x.(*Freeze)) },
			decode: func(b []byte) (any, error) {
				f, err := DecodeFreeze(b)
				return &f, err
			},
			golden: "0108ac02",
		},
		{
			name:    "seal",
			example: &Seal{Next: "main-2"},
			encode:  func(x any) []byte { return EncodeSeal(*x.(*Seal)) },
			decode: func(b []byte) (any, error) {
				s, err := DecodeSeal(b)
				return &s, err
			},
			golden: "010a066d61696e2d32",
		},
		{
			name:    "kek",
			example: &KEK{Current: 3, Closed: []uint32{1, 2}},
			encode:  func(x any) []byte { return EncodeKEK(*x.(*KEK)) },
			decode: func(b []byte) (any, error) {
				k, err := DecodeKEK(b)
				return &k, err
			},
			golden: "01080310011002",
		},
		{
			name:    "format",
			example: &Format{Version: 2},
			encode:  func(x any) []byte { return EncodeFormat(*x.(*Format)) },
			decode: func(b []byte) (any, error) {
				f, err := DecodeFormat(b)
				return &f, err
			},
			golden: "010802",
		},
		{
			name:    "position",
			example: &Position{Seq: 258, Hash: commitlog.Hash{1, 31: 2}, Time: 3},
			encode:  func(x any) []byte { return encodePosition(*x.(*Position)) },
			decode: func(b []byte) (any, error) {
				p, err := decodePosition(b)
				return &p, err
			},
			golden: "01000000000000010200000000000000030100000000000000000000000000000000000000000000000000000000000002",
		},
		{
			name:    "time",
			example: ptr(int64(258)),
			encode:  func(x any) []byte { return EncodeTime(*x.(*int64)) },
			decode: func(b []byte) (any, error) {
				n, err := DecodeTime(b)
				return &n, err
			},
			golden: "010000000000000102",
		},
	}
}

func ptr[T any](x T) *T { return &x }

func TestGoldenRecords(t *testing.T) {
	for _, c := range codecs() {
		t.Run(c.name, func(t *testing.T) {
			wantNoZero(t, c.name, reflect.ValueOf(c.example).Elem())
			if got := hex.EncodeToString(c.encode(c.example)); got != c.golden {
				t.Errorf("encoded = %s, want %s", got, c.golden)
			}
			golden, err := hex.DecodeString(c.golden)
			if err != nil {
				t.Fatal(err)
			}
			if got, err := c.decode(golden); err != nil || !reflect.DeepEqual(got, c.example) {
				t.Errorf("decoded = %+v, %v, want %+v", got, err, c.example)
			}
		})
	}
}

// wantNoZero fails where a field of an example is not set: a codec that forgets it would
// pass unseen.
func wantNoZero(t *testing.T, path string, v reflect.Value) {
	t.Helper()
	if v.IsZero() {
		t.Errorf("%s is not set in the example", path)
	}
	if v.Kind() == reflect.Struct {
		for i := range v.NumField() {
			wantNoZero(t, path+"."+v.Type().Field(i).Name, v.Field(i))
		}
	}
}

// What is encoded is decoded, whichever fields are set.
func TestRecordsRoundTrip(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for _, c := range codecs() {
		t.Run(c.name, func(t *testing.T) {
			for range 500 {
				x := reflect.New(reflect.TypeOf(c.example).Elem())
				x.Elem().Set(reflect.ValueOf(c.example).Elem())
				mutate(r, x.Elem(), "")
				if got, err := c.decode(c.encode(x.Interface())); err != nil || !reflect.DeepEqual(got, x.Interface()) {
					t.Fatalf("decoded = %+v, %v, want %+v", got, err, x.Interface())
				}
			}
		})
	}
}

// mutate sets some fields to zero and others to something else; not those that a key
// holds.
func mutate(r *rand.Rand, v reflect.Value, name string) {
	switch name {
	case "ID", "Message", "Messages", "Created", "Updated", "Tenant", "Thread", "Revision":
		return
	}
	if v.Kind() == reflect.Struct {
		for i := range v.NumField() {
			mutate(r, v.Field(i), v.Type().Field(i).Name)
		}
		return
	}
	switch r.IntN(3) {
	case 0:
		return
	case 1:
		v.SetZero()
		return
	}
	switch v.Kind() {
	case reflect.Int, reflect.Int64:
		v.SetInt(int64(r.Uint64()) >> r.IntN(64))
	case reflect.Uint8, reflect.Uint32, reflect.Uint64:
		v.SetUint(r.Uint64() & (1<<v.Type().Bits() - 1))
	case reflect.String:
		v.SetString(string(randomBytes(r)))
	case reflect.Slice:
		if v.Type().Elem().Kind() == reflect.Uint8 {
			v.SetBytes(randomBytes(r))
		}
	}
}

func randomBytes(r *rand.Rand) []byte {
	b := make([]byte, 1+r.IntN(300))
	for i := range b {
		b[i] = byte(r.Uint32())
	}
	return b
}

// A record cut short is damage or lacks its last fields; it is never another record.
func TestDecodeCutShort(t *testing.T) {
	for _, c := range codecs() {
		golden := c.encode(c.example)
		for i := range golden {
			got, err := c.decode(golden[:i])
			if err != nil {
				if !errors.Is(err, ErrDamaged) {
					t.Errorf("%s of %d bytes: %v, want ErrDamaged", c.name, i, err)
				}
				continue
			}
			if b := c.encode(got); !bytes.HasPrefix(golden, b) {
				t.Errorf("%s of %d bytes was read as %+v", c.name, i, got)
			}
		}
	}
}

func TestDecodeRefuses(t *testing.T) {
	for _, c := range codecs() {
		good := c.encode(c.example)
		for name, b := range map[string][]byte{
			"nothing":            nil,
			"another version":    append([]byte{2}, good[1:]...),
			"unknown field":      append(bytes.Clone(good), 0xf8, 0x07, 1), // field 127
			"fields in disorder": append(bytes.Clone(good), 0x08, 1),
			"a fixed32":          append([]byte{1, 0x0d, 1, 2, 3, 4}, good[1:]...),
		} {
			if name == "fields in disorder" && (c.name == "freeze" || c.name == "format" || c.name == "seal") {
				continue // they have one field
			}
			if _, err := c.decode(b); !errors.Is(err, ErrDamaged) {
				t.Errorf("%s with %s: %v, want ErrDamaged", c.name, name, err)
			}
		}
	}
}

func fuzz(f *testing.F, name string) {
	for _, c := range codecs() {
		if c.name != name {
			continue
		}
		f.Add(c.encode(c.example))
		f.Add([]byte{recordVersion})
		f.Fuzz(func(t *testing.T, b []byte) {
			x, err := c.decode(b)
			if err != nil {
				return
			}
			encoded := c.encode(x)
			y, err := c.decode(encoded)
			if err != nil {
				t.Fatalf("%x was read and, encoded again as %x, is %v", b, encoded, err)
			}
			if again := c.encode(y); !bytes.Equal(again, encoded) {
				t.Errorf("%x was read, encoded as %x, read, and encoded as %x", b, encoded, again)
			}
		})
	}
}

func FuzzDecodeThread(f *testing.F)   { fuzz(f, "thread") }
func FuzzDecodeMessage(f *testing.F)  { fuzz(f, "message") }
func FuzzDecodeRevision(f *testing.F) { fuzz(f, "revision") }
func FuzzDecodeOwner(f *testing.F)    { fuzz(f, "owner") }
func FuzzDecodeCounters(f *testing.F) { fuzz(f, "counters") }
func FuzzDecodeEntry(f *testing.F)    { fuzz(f, "entry") }
func FuzzDecodeFreeze(f *testing.F)   { fuzz(f, "freeze") }
func FuzzDecodeSeal(f *testing.F)     { fuzz(f, "seal") }
func FuzzDecodeFormat(f *testing.F)   { fuzz(f, "format") }
func FuzzDecodePosition(f *testing.F) { fuzz(f, "position") }
func FuzzDecodeTime(f *testing.F)     { fuzz(f, "time") }

func TestWords(t *testing.T) {
	var w words
	for i := range 100 {
		if got := w.of([]byte{byte(i % 11)}); got != string([]byte{byte(i % 11)}) {
			t.Errorf("of(%d) = %q", i, got)
		}
	}
	if got := w.of(nil); got != "" {
		t.Errorf("of(nil) = %q", got)
	}
}
