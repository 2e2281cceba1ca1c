package seal_test

import (
	"bytes"
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"testing/cryptotest"
	"time"

	"github.com/bobbindb/bobbin/shared/chat"
	"github.com/bobbindb/bobbin/shared/seal"
)

const storeID = "abcdefghijklmnopqrstuvwxyz"

var (
	ada    = chat.Owner{User: "ada"}
	bob    = chat.Owner{Tenant: "ten", User: "bob"}
	thread = chat.ThreadID{Time: 1795507930897598533, Slot: 27831}
	body   = chat.Name{Thread: thread, Message: 1795507930911852740, Field: chat.FieldBody}
)

// userKeys holds user keys in memory. A key that is asked for after it was wiped or aged
// is made again from its bytes, as a keyring does.
type userKeys struct {
	mu      sync.Mutex
	secrets map[seal.KeyID][]byte
	inUse   map[chat.Owner]seal.KeyID
	live    map[seal.KeyID]*seal.UserKey
	usable  func() bool
	asked   int
	lives   []time.Duration
	err     error
}

func newUserKeys() *userKeys {
	return &userKeys{secrets: map[seal.KeyID][]byte{}, inUse: map[chat.Owner]seal.KeyID{}, live: map[seal.KeyID]*seal.UserKey{}}
}

func (u *userKeys) InUse(ctx context.Context, author chat.Owner, life time.Duration) (*seal.UserKey, error) {
	u.mu.Lock()
	id, ok := u.inUse[author]
	if !ok {
		id = seal.KeyID(seal.RandomBytes(16))
		u.inUse[author], u.secrets[id] = id, seal.RandomBytes(seal.UserKeySize)
	}
	u.lives = append(u.lives, life)
	u.mu.Unlock()
	return u.Named(ctx, author, id)
}

func (u *userKeys) Named(_ context.Context, author chat.Owner, id seal.KeyID) (*seal.UserKey, error) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.asked++
	if u.err != nil {
		return nil, u.err
	}
	if key := u.live[id]; key != nil {
		return key, nil
	}
	key, err := seal.NewUserKey(author, id, u.secrets[id], u.usable)
	u.live[id] = key
	return key, err
}

// wipe wipes every key, as an eviction does.
func (u *userKeys) wipe() {
	u.mu.Lock()
	defer u.mu.Unlock()
	for id, key := range u.live {
		key.Wipe()
		delete(u.live, id)
	}
}

func newSealer(t testing.TB, keys seal.UserKeys) *seal.Sealer {
	t.Helper()
	s, err := seal.NewSealer(seal.SealerOptions{Store: storeID, Keys: keys})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// close seals a text and adds a data key that came of it to the thread's.
func closeText(t testing.TB, s *seal.Sealer, name chat.Name, author chat.Owner, keys *[]chat.DataKey, text string) chat.Sealed {
	t.Helper()
	sealed, made, err := s.Seal(t.Context(), name, author, *keys, []byte(text))
	if err != nil {
		t.Fatalf("Seal() = %v", err)
	}
	if made != nil {
		*keys = append(*keys, *made)
	}
	return sealed
}

func TestSeal(t *testing.T) {
	keys := newUserKeys()
	s := newSealer(t, keys)
	var dataKeys []chat.DataKey
	for _, text := range []string{"", "x", `{"text":"hello"}`, strings.Repeat("long and dull ", 1000), string(seal.RandomBytes(5000))} {
		sealed := closeText(t, s, body, ada, &dataKeys, text)
		if len(text) > 8 && bytes.Contains(sealed, []byte(text[:8])) {
			t.Errorf("Seal() holds the text")
		}
		for _, opener := range []*seal.Sealer{s, newSealer(t, keys)} {
			got, err := opener.Open(t.Context(), body, dataKeys, sealed)
			if err != nil || string(got) != text {
				t.Errorf("Open() = %.20q, %v, want %.20q", got, err, text)
			}
		}
	}
	if len(dataKeys) != 1 || dataKeys[0].ID != 1 || dataKeys[0].Author != ada {
		t.Errorf("data keys = %+v, want one of ada's", dataKeys)
	}
}

// TestBinding seals one text under many names and opens each under each: only its own
// opens it.
func TestBinding(t *testing.T) {
	keys := newUserKeys()
	s := newSealer(t, keys)
	other := chat.ThreadID{Time: thread.Time, Slot: thread.Slot + 1}
	names := []chat.Name{
		body,
		{Thread: thread, Message: body.Message + 1, Field: chat.FieldBody},
		{Thread: other, Message: body.Message, Field: chat.FieldBody},
		{Thread: chat.ThreadID{Time: thread.Time + 1, Slot: thread.Slot}, Message: body.Message, Field: chat.FieldBody},
		{Thread: thread, Message: body.Message, Revision: 1, Field: chat.FieldBody},
		{Thread: thread, Message: body.Message, Revision: 256, Field: chat.FieldBody},
		{Thread: thread, Message: body.Message, Field: chat.FieldMetadata},
		{Thread: thread, Field: chat.FieldMetadata},
		{Thread: thread, Field: chat.FieldTitle},
		{Thread: thread, Field: chat.FieldSlug},
	}
	for _, author := range []chat.Owner{ada, bob} {
		var dataKeys []chat.DataKey
		sealed := make([]chat.Sealed, len(names))
		for i, name := range names {
			mine := dataKeys
			if name.Thread != thread {
				mine = nil
			}
			text, made, err := s.Seal(t.Context(), name, author, mine, []byte("the same text"))
			if err != nil {
				t.Fatal(err)
			}
			if made != nil && name.Thread == thread {
				dataKeys = append(dataKeys, *made)
			}
			sealed[i] = text
		}
		for i, name := range names {
			for j := range names {
				got, err := s.Open(t.Context(), name, dataKeys, sealed[j])
				if i == j && name.Thread == thread {
					if err != nil || string(got) != "the same text" {
						t.Errorf("Open(%+v) = %q, %v", name, got, err)
					}
				} else if !errors.Is(err, seal.ErrDamaged) || got != nil {
					t.Errorf("Open(%+v) of what was sealed as %+v = %q, %v, want ErrDamaged", name, names[j], got, err)
				}
			}
		}
	}
}

func TestAnotherStore(t *testing.T) {
	keys := newUserKeys()
	var dataKeys []chat.DataKey
	sealed := closeText(t, newSealer(t, keys), body, ada, &dataKeys, "text")
	other, err := seal.NewSealer(seal.SealerOptions{Store: "zyxwvutsrqponmlkjihgfedcba", Keys: keys})
	if err != nil {
		t.Fatal(err)
	}
	if got, err := other.Open(t.Context(), body, dataKeys, sealed); !errors.Is(err, seal.ErrDamaged) || got != nil {
		t.Errorf("Open() = %q, %v in another store, want ErrDamaged", got, err)
	}
}

// TestDataKeyBinding moves a wrapped data key to where it does not belong.
func TestDataKeyBinding(t *testing.T) {
	keys := newUserKeys()
	var dataKeys []chat.DataKey
	sealed := closeText(t, newSealer(t, keys), body, ada, &dataKeys, "text")
	otherUser := closeText(t, newSealer(t, keys), body, bob, &dataKeys, "of bob")
	if otherUser[4] == sealed[4] {
		t.Fatal("two authors share a data key")
	}
	for name, change := range map[string]func(k *chat.DataKey, in *chat.Name){
		"its author's name":     func(k *chat.DataKey, _ *chat.Name) { k.Author.User = "adb" },
		"its author's tenant":   func(k *chat.DataKey, _ *chat.Name) { k.Author.Tenant = "x" },
		"another's user key":    func(k *chat.DataKey, _ *chat.Name) { k.UserKey = dataKeys[1].UserKey },
		"an unknown user key":   func(k *chat.DataKey, _ *chat.Name) { k.UserKey = [16]byte{1} },
		"another's wrapped key": func(k *chat.DataKey, _ *chat.Name) { k.Wrapped = dataKeys[1].Wrapped },
		"another thread":        func(_ *chat.DataKey, in *chat.Name) { in.Thread.Time++ },
		"cut short":             func(k *chat.DataKey, _ *chat.Name) { k.Wrapped = k.Wrapped[:60] },
		"no wrapped key":        func(k *chat.DataKey, _ *chat.Name) { k.Wrapped = nil },
		"a changed version":     func(k *chat.DataKey, _ *chat.Name) { k.Wrapped[0]++ },
		"a changed byte":        func(k *chat.DataKey, _ *chat.Name) { k.Wrapped[20] ^= 1 },
		"another id":            func(k *chat.DataKey, _ *chat.Name) { k.ID = 9 },
	} {
		t.Run(name, func(t *testing.T) {
			key, in := dataKeys[0], body
			key.Wrapped = bytes.Clone(key.Wrapped)
			change(&key, &in)
			s := newSealer(t, keys)
			got, err := s.Open(t.Context(), in, []chat.DataKey{key}, sealed)
			if !errors.Is(err, seal.ErrDamaged) || got != nil {
				t.Errorf("Open() = %q, %v, want ErrDamaged", got, err)
			}
		})
	}
	s := newSealer(t, keys)
	if got, err := s.Open(t.Context(), body, nil, sealed); !errors.Is(err, seal.ErrNoDataKey) || got != nil {
		t.Errorf("Open() = %q, %v without the data key, want %v", got, err, seal.ErrNoDataKey)
	}
	twice := []chat.DataKey{dataKeys[0], dataKeys[0]}
	if got, err := s.Open(t.Context(), body, twice, sealed); !errors.Is(err, seal.ErrDamaged) || got != nil {
		t.Errorf("Open() = %q, %v with the data key twice, want ErrDamaged", got, err)
	}
}

func TestOpenChanged(t *testing.T) {
	s := newSealer(t, newUserKeys())
	var dataKeys []chat.DataKey
	sealed := closeText(t, s, body, ada, &dataKeys, "text")
	for i := range sealed {
		changed := bytes.Clone(sealed)
		changed[i] ^= 1 << (i % 8)
		if got, err := s.Open(t.Context(), body, dataKeys, changed); !errors.Is(err, seal.ErrDamaged) || got != nil {
			t.Errorf("Open() with byte %d changed = %q, %v, want ErrDamaged", i, got, err)
		}
	}
	for n := range sealed {
		if got, err := s.Open(t.Context(), body, dataKeys, sealed[:n]); !errors.Is(err, seal.ErrDamaged) || got != nil {
			t.Errorf("Open() of %d bytes = %q, %v, want ErrDamaged", n, got, err)
		}
	}
	plain := append(chat.Sealed{0}, "a text that is as long as a sealed one must be"...)
	if got, err := s.Open(t.Context(), body, dataKeys, plain); !errors.Is(err, seal.ErrDamaged) || got != nil {
		t.Errorf("Open() of plaintext = %q, %v, want ErrDamaged", got, err)
	}
}

func TestKeysUnavailable(t *testing.T) {
	keys := newUserKeys()
	var dataKeys []chat.DataKey
	sealed := closeText(t, newSealer(t, keys), body, ada, &dataKeys, "text")
	keys.err = seal.ErrUnavailable
	s := newSealer(t, keys)
	if got, err := s.Open(t.Context(), body, dataKeys, sealed); !errors.Is(err, seal.ErrUnavailable) || got != nil {
		t.Errorf("Open() = %q, %v, want %v", got, err, seal.ErrUnavailable)
	}
	got, made, err := s.Seal(t.Context(), body, ada, dataKeys, []byte("text"))
	if !errors.Is(err, seal.ErrUnavailable) || got != nil || made != nil {
		t.Errorf("Seal() = %q, %v, %v, want %v", got, made, err, seal.ErrUnavailable)
	}
	if err := s.Warm(t.Context(), ada); !errors.Is(err, seal.ErrUnavailable) {
		t.Errorf("Warm() = %v, want %v", err, seal.ErrUnavailable)
	}
}

// A caller learns whether trying again helps, and which record is damaged, and no more.
func TestAnswers(t *testing.T) {
	keys := newUserKeys()
	var dataKeys []chat.DataKey
	sealed := closeText(t, newSealer(t, keys), body, ada, &dataKeys, "text")
	busy := chat.ErrFrozen.Because(errors.New("a window"))
	cancelled, cancel := context.WithCancel(t.Context())
	cancel()
	for _, tt := range []struct {
		name string
		err  error
		ctx  context.Context
		kind chat.Kind
		text string
	}{
		{"unavailable", seal.ErrUnavailable, t.Context(), chat.Busy, "keys unavailable"},
		{"another key", seal.ErrWrongKey, t.Context(), chat.Busy, "keys unavailable"},
		{"a bucket that does not answer", errors.New("bucket"), t.Context(), chat.Busy, "keys unavailable"},
		{"an unknown outcome", chat.ErrUnknownOutcome, t.Context(), chat.Busy, "keys unavailable"},
		{"frozen", busy, t.Context(), chat.Busy, "store is frozen for maintenance"},
		{"damaged", seal.ErrDamaged, t.Context(), chat.Damaged, "sealed record damaged: " + body.Key()},
		{"erased", seal.ErrErased, t.Context(), chat.Internal, ""},
		{"cancelled", context.Canceled, cancelled, chat.Internal, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			keys.err = tt.err
			text, err := newSealer(t, keys).Open(tt.ctx, body, dataKeys, sealed)
			var said *chat.Error
			errors.As(err, &said)
			if text != nil || chat.KindOf(err) != tt.kind || !errors.Is(err, tt.err) && tt.kind != chat.Busy || tt.text != "" && said.Text != tt.text {
				t.Errorf("Open() = %q, %v, want kind %d and %q", text, err, tt.kind, tt.text)
			}
			if tt.kind == chat.Damaged {
				err = newSealer(t, keys).Warm(tt.ctx, ada)
				if chat.KindOf(err) != tt.kind {
					t.Errorf("Warm() = %v, want kind %d", err, tt.kind)
				}
			}
		})
	}
}

func TestWarm(t *testing.T) {
	keys := newUserKeys()
	s := newSealer(t, keys)
	if err := s.Warm(t.Context(), ada); err != nil {
		t.Fatal(err)
	}
	var dataKeys []chat.DataKey
	closeText(t, s, body, ada, &dataKeys, "text")
	if got, want := fmt.Sprint(keys.lives), "[1m0s 0s]"; got != want {
		t.Errorf("lives asked for = %s, want %s", got, want)
	}
}

// TestDataKeyChoice says which of a thread's data keys seals.
func TestDataKeyChoice(t *testing.T) {
	keys := newUserKeys()
	s := newSealer(t, keys)
	var dataKeys []chat.DataKey
	idOf := func(author chat.Owner) uint32 {
		t.Helper()
		id, err := seal.DataKeyID(closeText(t, s, body, author, &dataKeys, "text"))
		if err != nil {
			t.Fatal(err)
		}
		return id
	}
	steps := []struct {
		name   string
		before func()
		author chat.Owner
		want   uint32
	}{
		{"the first", func() {}, ada, 1},
		{"again", func() {}, ada, 1},
		{"another author", func() {}, bob, 2},
		{"the last use", func() { dataKeys[0].Uses = seal.MaxUses - 1 }, ada, 1},
		{"used up", func() { dataKeys[0].Uses = seal.MaxUses }, ada, 3},
		{"the one that is not used up", func() {}, ada, 3},
		{"begun again with another user key", func() { delete(keys.inUse, ada) }, ada, 4},
	}
	for _, step := range steps {
		step.before()
		if got := idOf(step.author); got != step.want {
			t.Errorf("%s: sealed under %d, want %d", step.name, got, step.want)
		}
	}
	last := []chat.DataKey{{ID: math.MaxUint32}}
	if _, made, err := s.Seal(t.Context(), body, ada, last, nil); err == nil {
		t.Errorf("Seal() made %+v after the last id", made)
	}
}

func TestWiped(t *testing.T) {
	keys := newUserKeys()
	s := newSealer(t, keys)
	var dataKeys []chat.DataKey
	sealed := closeText(t, s, body, ada, &dataKeys, "text")
	user := keys.live[dataKeys[0].UserKey]
	keys.wipe()
	if _, err := user.Hash("slug"); !errors.Is(err, seal.ErrWiped) {
		t.Errorf("Hash() = %v under a wiped key, want %v", err, seal.ErrWiped)
	}
	if got, err := s.Reseal(user, body, dataKeys[0], []byte{0}); !errors.Is(err, seal.ErrWiped) {
		t.Errorf("a wiped key sealed %x, %v, want %v", got, err, seal.ErrWiped)
	}
	// The key is fetched again, and nothing is to be seen of it.
	if got, err := s.Open(t.Context(), body, dataKeys, sealed); err != nil || string(got) != "text" {
		t.Errorf("Open() = %q, %v, want text", got, err)
	}
	if again := closeText(t, s, body, ada, &dataKeys, "text"); len(dataKeys) != 1 {
		t.Errorf("Seal() = %x under a new data key", again)
	}
}

func TestAged(t *testing.T) {
	keys := newUserKeys()
	young := true
	keys.usable = func() bool { return young }
	s := newSealer(t, keys)
	var dataKeys []chat.DataKey
	sealed := closeText(t, s, body, ada, &dataKeys, "text")
	young = false
	if got, err := s.Open(t.Context(), body, dataKeys, sealed); !errors.Is(err, seal.ErrWiped) || got != nil {
		t.Errorf("Open() = %q, %v under an old key, want %v", got, err, seal.ErrWiped)
	}
	if _, _, err := s.Seal(t.Context(), body, ada, dataKeys, nil); !errors.Is(err, seal.ErrWiped) {
		t.Errorf("Seal() = %v under an old key, want %v", err, seal.ErrWiped)
	}
}

func TestDataKeysAreBounded(t *testing.T) {
	keys := newUserKeys()
	s, err := seal.NewSealer(seal.SealerOptions{Store: storeID, Keys: keys, DataKeys: 3})
	if err != nil {
		t.Fatal(err)
	}
	type sealedText struct {
		name chat.Name
		keys []chat.DataKey
		text chat.Sealed
	}
	var texts []sealedText
	for i := range 10 {
		one := sealedText{name: body}
		one.name.Thread.Time += int64(i)
		one.text = closeText(t, s, one.name, ada, &one.keys, "text")
		texts = append(texts, one)
	}
	if got, want := s.Kept(), 3; got != want {
		t.Errorf("kept %d data keys, want %d", got, want)
	}
	before := keys.asked
	for _, one := range []sealedText{texts[9], texts[8], texts[7]} {
		if _, err := s.Open(t.Context(), one.name, one.keys, one.text); err != nil {
			t.Errorf("Open() = %v", err)
		}
	}
	if keys.asked != before {
		t.Errorf("Open() with kept data keys asked for %d user keys", keys.asked-before)
	}
	if got, err := s.Open(t.Context(), texts[0].name, texts[0].keys, texts[0].text); err != nil || string(got) != "text" {
		t.Errorf("Open() = %q, %v of one that is not kept", got, err)
	}
}

func TestConcurrent(t *testing.T) {
	keys := newUserKeys()
	s, err := seal.NewSealer(seal.SealerOptions{Store: storeID, Keys: keys, DataKeys: 2})
	if err != nil {
		t.Fatal(err)
	}
	var group sync.WaitGroup
	for i := range 8 {
		group.Go(func() {
			author := []chat.Owner{ada, bob}[i%2]
			name := body
			name.Thread.Time += int64(i)
			var dataKeys []chat.DataKey
			for n := range 50 {
				text := fmt.Sprint(author, n)
				sealed, made, err := s.Seal(t.Context(), name, author, dataKeys, []byte(text))
				if made != nil {
					dataKeys = append(dataKeys, *made)
				}
				if err != nil {
					t.Errorf("Seal() = %v", err)
					return
				}
				if got, err := s.Open(t.Context(), name, dataKeys, sealed); err != nil || string(got) != text {
					t.Errorf("Open() = %q, %v, want %q", got, err, text)
				}
			}
		})
	}
	group.Wait()
}

func TestPack(t *testing.T) {
	s := newSealer(t, newUserKeys())
	english := strings.Repeat("It was the best of times, it was the worst of times. ", 20)
	random := string(seal.RandomBytes(1024))
	for _, tt := range []struct {
		name, text string
		want       byte
	}{
		{"empty", "", 0},
		{"short", english[:127], 0},
		{"dull", english, 1},
		{"random", random, 0},
		{"saves too little", random[:100] + strings.Repeat("a", 40), 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			packed, err := s.Pack([]byte(tt.text))
			if err != nil || packed[0] != tt.want || len(packed) > len(tt.text)+1 {
				t.Errorf("Pack() = %d bytes beginning with %d, %v, want %d", len(packed), packed[0], err, tt.want)
			}
			got, err := s.Unpack(packed)
			if err != nil || string(got) != tt.text {
				t.Errorf("Unpack() = %.20q, %v, want %.20q", got, err, tt.text)
			}
		})
	}
	for _, packed := range [][]byte{{}, {2, 'x'}, {1}, {1, 'x'}, {1, 0x28, 0xb5, 0x2f, 0xfd}} {
		if got, err := s.Unpack(packed); len(got) > 0 || !errors.Is(err, seal.ErrDamaged) && len(packed) != 1 {
			t.Errorf("Unpack(%x) = %q, %v, want ErrDamaged", packed, got, err)
		}
	}
}

func TestHash(t *testing.T) {
	one, err := seal.NewUserKey(ada, seal.KeyID{1}, bytes.Repeat([]byte{1}, seal.UserKeySize), nil)
	if err != nil {
		t.Fatal(err)
	}
	two, err := seal.NewUserKey(ada, seal.KeyID{1}, bytes.Repeat([]byte{2}, seal.UserKeySize), nil)
	if err != nil {
		t.Fatal(err)
	}
	seen := map[chat.Digest]bool{}
	for _, key := range []*seal.UserKey{one, two} {
		for _, parts := range [][][]byte{{[]byte("ab"), []byte("c")}, {[]byte("a"), []byte("bc")}, {[]byte("abc")}, {}} {
			for _, purpose := range []string{"slug", "posted"} {
				d, err := key.Hash(purpose, parts...)
				again, errAgain := key.Hash(purpose, parts...)
				if err != nil || errAgain != nil || d != again || seen[d] {
					t.Errorf("Hash(%s, %q) = %x, %v, then %x, %v", purpose, parts, d, err, again, errAgain)
				}
				seen[d] = true
			}
		}
	}
	// HMAC-SHA-256 under 32 bytes 01 of "\0\0\0\4slug\0\0\0\1x", as computed elsewhere.
	want := "4c5b78705e8459debc99a45ce0c4de3e980e7772bd6f64b271c999c208ff7320"
	if d, err := one.Hash("slug", []byte("x")); err != nil || hex.EncodeToString(d[:]) != want {
		t.Errorf("Hash() = %x, %v, want %s", d, err, want)
	}
}

func TestKeySizes(t *testing.T) {
	if _, err := seal.NewKey(make([]byte, 31)); !errors.Is(err, seal.ErrDamaged) {
		t.Errorf("NewKey() = %v of 31 bytes, want ErrDamaged", err)
	}
	if _, err := seal.NewUserKey(ada, seal.KeyID{}, make([]byte, 63), nil); !errors.Is(err, seal.ErrDamaged) {
		t.Errorf("NewUserKey() = %v of 63 bytes, want ErrDamaged", err)
	}
}

func TestKeysArePrintedWithoutSecrets(t *testing.T) {
	secret := bytes.Repeat([]byte{0x5a}, seal.UserKeySize)
	user, err := seal.NewUserKey(ada, seal.KeyID{1}, secret, nil)
	if err != nil {
		t.Fatal(err)
	}
	key, err := seal.NewKey(secret[:seal.KeySize])
	if err != nil {
		t.Fatal(err)
	}
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%x", "%d"} {
		for _, k := range []any{user, key, []any{user, key}} {
			got := fmt.Sprintf(verb, k)
			for _, shown := range []string{"5a5a", "5A5A", "90 90", "0x5a", "ZZ"} {
				if strings.Contains(got, shown) {
					t.Errorf("%s of %T prints %s", verb, k, got)
				}
			}
		}
	}
}

func TestParseKeyID(t *testing.T) {
	id := seal.KeyID(seal.RandomBytes(16))
	if got, ok := seal.ParseKeyID(id.String()); !ok || got != id {
		t.Errorf("ParseKeyID(%s) = %s, %t", id, got, ok)
	}
	for _, s := range []string{"", "00", strings.Repeat("g", 32), strings.Repeat("A", 32), strings.Repeat("0", 33)} {
		if got, ok := seal.ParseKeyID(s); ok {
			t.Errorf("ParseKeyID(%q) = %s", s, got)
		}
	}
}

func TestGoldenAssociated(t *testing.T) {
	for _, tt := range []struct {
		name string
		in   chat.Name
		want string
	}{
		{"a body", chat.Name{Thread: thread, Message: 1795507930911852740, Revision: 3, Field: chat.FieldBody},
			"\x00\x00\x00\x04text\x00\x00\x00\x1aabcdefghijklmnopqrstuvwxyz" +
				"\x00\x00\x00\x30t:179550793089759853327831:m:1795507930911852740\x00\x00\x00\x04\x00\x00\x00\x03\x00\x00\x00\x01\x04"},
		{"a title", chat.Name{Thread: thread, Field: chat.FieldTitle},
			"\x00\x00\x00\x04text\x00\x00\x00\x1aabcdefghijklmnopqrstuvwxyz" +
				"\x00\x00\x00\x1at:179550793089759853327831\x00\x00\x00\x04\x00\x00\x00\x00\x00\x00\x00\x01\x01"},
	} {
		if got := string(seal.AssociatedText(storeID, tt.in)); got != tt.want {
			t.Errorf("%s is bound to\n%q, want\n%q", tt.name, got, tt.want)
		}
	}
}

// goldenUserKey is the user key under which the golden texts were sealed.
func goldenUserKeys() *userKeys {
	keys := newUserKeys()
	id := seal.KeyID{0xaa, 0xbb}
	keys.inUse[ada], keys.secrets[id] = id, bytes.Repeat([]byte{0x17}, seal.UserKeySize)
	return keys
}

const (
	goldenWrapped = "01064ece49b0e10e69a20176733cd8d68f28970e623565d969bc99d642f59b6237fe75fc9ea5961ec1c76dffb910ba3be363d5b9ac8d01afcc3554df04"
	goldenText    = "0100000001b202d3099f1906299a49fc6c4133e9a2d2e1261e5cbc4dfc9c6e0248e58be92bdfca1dcc057477d48b2e180f98"
	goldenZstd    = "0100000001bd048a2d2668954d83d9872f8468b30007b7399517364ab8d55fe7e0fbbb512aea869e48a985a150eeb84833960dd9f0b308eb6729446e4d469b7c592bcc90f556e36f5537"
)

func unhex(t *testing.T, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(s)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestGoldenOpen(t *testing.T) {
	s := newSealer(t, goldenUserKeys())
	keys := []chat.DataKey{{ID: 1, Author: ada, UserKey: seal.KeyID{0xaa, 0xbb}, Wrapped: unhex(t, goldenWrapped)}}
	for golden, want := range map[string]string{
		goldenText: `{"text":"hello"}`,
		goldenZstd: strings.Repeat("spin, measure, cut. ", 20),
	} {
		got, err := s.Open(t.Context(), body, keys, unhex(t, golden))
		if err != nil || string(got) != want {
			t.Errorf("Open(%s) = %q, %v, want %q", golden, got, err, want)
		}
	}
}

func TestGoldenSeal(t *testing.T) {
	cryptotest.SetGlobalRandom(t, 6)
	s := newSealer(t, goldenUserKeys())
	var keys []chat.DataKey
	text := closeText(t, s, body, ada, &keys, `{"text":"hello"}`)
	if got := hex.EncodeToString(keys[0].Wrapped); got != goldenWrapped {
		t.Errorf("wrapped data key = %s, want %s", got, goldenWrapped)
	}
	if got := hex.EncodeToString(text); got != goldenText {
		t.Errorf("Seal() = %s, want %s", got, goldenText)
	}
	if got, want := len(text), len(`{"text":"hello"}`)+seal.Overhead; got != want {
		t.Errorf("len(Seal()) = %d, want %d", got, want)
	}
}

// FuzzOpen opens bytes that nobody sealed: only what was sealed opens.
func FuzzOpen(f *testing.F) {
	s := newSealer(f, newUserKeys())
	var keys []chat.DataKey
	sealed := closeText(f, s, body, ada, &keys, "text")
	f.Add([]byte(sealed), keys[0].Wrapped)
	f.Add([]byte(sealed[:20]), keys[0].Wrapped[:10])
	f.Add([]byte{}, []byte{})
	f.Fuzz(func(t *testing.T, text, wrapped []byte) {
		key := keys[0]
		key.Wrapped = wrapped
		got, err := s.Open(t.Context(), body, []chat.DataKey{key}, text)
		switch genuine := bytes.Equal(text, sealed) && bytes.Equal(wrapped, keys[0].Wrapped); {
		case genuine && (err != nil || string(got) != "text"):
			t.Errorf("Open() = %q, %v of what was sealed", got, err)
		case !genuine && (got != nil || !errors.Is(err, seal.ErrDamaged)):
			t.Errorf("Open(%x) = %q, %v, want ErrDamaged", text, got, err)
		}
	})
}

// FuzzUnpack reads what somebody who held a data key might have sealed.
func FuzzUnpack(f *testing.F) {
	s := newSealer(f, newUserKeys())
	for _, text := range []string{"", "x", strings.Repeat("abc", 100)} {
		packed, err := s.Pack([]byte(text))
		if err != nil {
			f.Fatal(err)
		}
		f.Add(packed)
	}
	f.Fuzz(func(t *testing.T, packed []byte) {
		text, err := s.Unpack(packed)
		if err != nil {
			if !errors.Is(err, seal.ErrDamaged) || text != nil {
				t.Errorf("Unpack(%x) = %q, %v, want ErrDamaged", packed, text, err)
			}
			return
		}
		again, err := s.Pack(text)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := s.Unpack(again); err != nil || !bytes.Equal(got, text) {
			t.Errorf("Unpack(Pack(%q)) = %q, %v", text, got, err)
		}
	})
}

// words makes a text that reads, and compresses, a little like one.
func words(size int) []byte {
	random := rand.New(rand.NewPCG(1, 2))
	var b []byte
	for len(b) < size {
		b = append(b, strings.Repeat("the loom and thread of words", 2)[random.IntN(20):][:3+random.IntN(8)]...)
		b = append(b, ' ')
	}
	return b[:size]
}

func BenchmarkSealer(b *testing.B) {
	s := newSealer(b, newUserKeys())
	for _, text := range []struct {
		name string
		text []byte
	}{{"words", words(1024)}, {"random", seal.RandomBytes(1024)}} {
		var keys []chat.DataKey
		sealed := closeText(b, s, body, ada, &keys, string(text.text))
		b.Run("seal/"+text.name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, _, err := s.Seal(b.Context(), body, ada, keys, text.text); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(len(sealed)), "bytes-sealed")
		})
		b.Run("open/"+text.name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := s.Open(b.Context(), body, keys, sealed); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
