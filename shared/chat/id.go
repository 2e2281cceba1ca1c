package chat

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"strconv"
	"strings"
)

// Slot is an owner's place on the ring that partitions divide. It never changes.
type Slot uint16

// Owner is whose a thread is: a user of a tenant. The default tenant is "".
type Owner struct {
	Tenant string
	User   string
}

// MaxUserID is the longest user id, in bytes.
const MaxUserID = 128

// ThreadID names a thread: when it was made, in nanoseconds since 1970 UTC, and its
// owner's slot. The time is unique within the thread's partition.
type ThreadID struct {
	Time int64
	Slot Slot
}

// MessageID names a message: its thread, its own time there, which is unique in the
// thread, and its number in commit order.
type MessageID struct {
	Thread ThreadID
	Time   int64
	Seq    uint32
}

// NoSeq is the Seq of a message id that was given without its number.
const NoSeq = ^uint32(0)

const (
	timeDigits = 19
	slotDigits = 5
	seqDigits  = 9
	// MaxSeq is the largest message number that nine digits hold.
	MaxSeq = 999_999_999
)

// String is the thread's key: "t:" and 24 digits.
func (t ThreadID) String() string {
	return string(t.append(make([]byte, 0, 2+timeDigits+slotDigits)))
}

// AppendTo appends the thread's key to b.
func (t ThreadID) AppendTo(b []byte) []byte { return t.append(b) }

func (t ThreadID) append(b []byte) []byte {
	b = append(b, "t:"...)
	b = appendDigits(b, uint64(t.Time), timeDigits)
	return appendDigits(b, uint64(t.Slot), slotDigits)
}

// String is the message's key; without ":<sequence>" when Seq is NoSeq.
func (m MessageID) String() string {
	return string(m.AppendTo(make([]byte, 0, 2+timeDigits+slotDigits+3+timeDigits+1+seqDigits)))
}

// AppendTo appends the message's key to b.
func (m MessageID) AppendTo(b []byte) []byte {
	b = m.Thread.append(b)
	b = append(b, ":m:"...)
	b = appendDigits(b, uint64(m.Time), timeDigits)
	if m.Seq != NoSeq {
		b = append(b, ':')
		b = appendDigits(b, uint64(m.Seq), seqDigits)
	}
	return b
}

func appendDigits(b []byte, n uint64, width int) []byte {
	var digits [20]byte
	for i := width - 1; i >= 0; i-- {
		digits[i] = byte('0' + n%10)
		n /= 10
	}
	return append(b, digits[:width]...)
}

// ClientID is a name that a client gave: unique among an owner's threads, or among
// a thread's messages.
type ClientID string

// Valid reports whether the id has 1 to 128 characters of A-Za-z0-9._~@-.
func (id ClientID) Valid() bool {
	if len(id) < 1 || len(id) > 128 {
		return false
	}
	for i := range len(id) {
		c := id[i]
		switch {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9':
		case c == '.', c == '_', c == '~', c == '@', c == '-':
		default:
			return false
		}
	}
	return true
}

// ThreadRef points at a thread by its key or, when ClientID is set, by the name that
// its owner gave it.
type ThreadRef struct {
	ID       ThreadID
	ClientID ClientID
}

// MessageRef points at a message of a thread likewise.
type MessageRef struct {
	ID       MessageID
	ClientID ClientID
}

// ParseThread reads what stands for a thread in a path: a thread key or "id:<id>".
func ParseThread(s string) (ThreadRef, error) {
	if name, ok := strings.CutPrefix(s, "id:"); ok {
		if !ClientID(name).Valid() {
			return ThreadRef{}, ErrThreadNotFound
		}
		return ThreadRef{ClientID: ClientID(name)}, nil
	}
	id, rest, ok := cutThread(s)
	if !ok {
		return ThreadRef{}, ErrThreadNotFound
	}
	if rest == "" {
		return ThreadRef{ID: id}, nil
	}
	if _, ok := cutMessage(id, rest); ok {
		return ThreadRef{}, ErrWantThreadKey
	}
	return ThreadRef{}, ErrThreadNotFound
}

// ParseMessage reads what stands for a message in a path: a message key, with or
// without its number, or "id:<id>".
func ParseMessage(s string) (MessageRef, error) {
	if name, ok := strings.CutPrefix(s, "id:"); ok {
		if !ClientID(name).Valid() {
			return MessageRef{}, ErrMessageNotFound
		}
		return MessageRef{ClientID: ClientID(name)}, nil
	}
	thread, rest, ok := cutThread(s)
	if !ok {
		return MessageRef{}, ErrMessageNotFound
	}
	if rest == "" {
		return MessageRef{}, ErrWantMessageKey
	}
	id, ok := cutMessage(thread, rest)
	if !ok {
		return MessageRef{}, ErrMessageNotFound
	}
	return MessageRef{ID: id}, nil
}

// cutThread reads a thread key at the beginning of s.
func cutThread(s string) (ThreadID, string, bool) {
	const width = 2 + timeDigits + slotDigits
	if len(s) < width || s[:2] != "t:" {
		return ThreadID{}, "", false
	}
	time, ok1 := parseDigits(s[2 : 2+timeDigits])
	slot, ok2 := parseDigits(s[2+timeDigits : width])
	if !ok1 || !ok2 || time > 1<<63-1 || slot > 1<<16-1 {
		return ThreadID{}, "", false
	}
	return ThreadID{Time: int64(time), Slot: Slot(slot)}, s[width:], true
}

// cutMessage reads the rest of a message key: ":m:<time>" or ":m:<time>:<sequence>".
func cutMessage(thread ThreadID, s string) (MessageID, bool) {
	const short, long = 3 + timeDigits, 3 + timeDigits + 1 + seqDigits
	if len(s) != short && len(s) != long || s[:3] != ":m:" {
		return MessageID{}, false
	}
	time, ok := parseDigits(s[3:short])
	if !ok || time > 1<<63-1 {
		return MessageID{}, false
	}
	id := MessageID{Thread: thread, Time: int64(time), Seq: NoSeq}
	if len(s) == long {
		seq, ok := parseDigits(s[short+1:])
		if !ok || s[short] != ':' {
			return MessageID{}, false
		}
		id.Seq = uint32(seq)
	}
	return id, true
}

func parseDigits(s string) (uint64, bool) {
	for i := range len(s) {
		if s[i] < '0' || s[i] > '9' {
			return 0, false
		}
	}
	n, err := strconv.ParseUint(s, 10, 64)
	return n, err == nil
}

// Digest is a keyed hash: it tells equal things apart from others and nothing else.
type Digest [32]byte

// Hasher makes keyed hashes under a store's salt, so that nothing which identifies a
// text can be computed by who does not hold the store.
type Hasher struct{ salt []byte }

// NewHasher returns the Hasher of the store with this salt.
func NewHasher(salt []byte) Hasher { return Hasher{salt: salt} }

// Owner is the owner's hash: HMAC-SHA-256 over the length-prefixed tenant and user.
// Its first 16 bits are the owner's slot.
func (h Hasher) Owner(o Owner) Digest {
	return h.sum("", []byte(o.Tenant), []byte(o.User))
}

// Slot is the owner's home slot.
func (d Digest) Slot() Slot { return Slot(binary.BigEndian.Uint16(d[:])) }

// Sum is the keyed hash of some parts for one purpose.
func (h Hasher) Sum(purpose string, parts ...[]byte) Digest { return h.sum(purpose, parts...) }

func (h Hasher) sum(purpose string, parts ...[]byte) Digest {
	mac := hmac.New(sha256.New, h.salt)
	var size [4]byte
	if purpose != "" {
		binary.BigEndian.PutUint32(size[:], uint32(len(purpose)))
		mac.Write(size[:])
		mac.Write([]byte(purpose))
	}
	for _, p := range parts {
		binary.BigEndian.PutUint32(size[:], uint32(len(p)))
		mac.Write(size[:])
		mac.Write(p)
	}
	var d Digest
	mac.Sum(d[:0])
	return d
}

// CommandID names a command, so that it has one effect however often it arrives.
type CommandID [16]byte

// String is the id in hex.
func (id CommandID) String() string { return fmt.Sprintf("%x", id[:]) }
