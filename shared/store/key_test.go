package store

import (
	"bytes"
	"encoding/hex"
	"slices"
	"testing"

	"github.com/bobbindb/bobbin/shared/chat"
)

var (
	owner1  = chat.Digest{0x12, 0x34, 15: 0xff, 31: 0xee}
	thread1 = chat.ThreadID{Time: 0x0102030405060708, Slot: 0x1234}
)

const (
	ownerHex  = "123400000000000000000000000000ff"
	threadHex = "10" + "1234" + "74" + "0102030405060708"
	slotHex   = "10" + "1234"
)

func TestGoldenKeys(t *testing.T) {
	from, to := ThreadRange(thread1)
	links, linksEnd := LinkRange(thread1)
	for _, tt := range []struct {
		name string
		got  []byte
		want string
	}{
		{"counters", KeyCounters(), "0063"},
		{"position", KeyPosition(), "0070"},
		{"control", KeyControl("seal"), "00787365616c"},
		{"idempotency", KeyIdempotency(0x0a0b0c0d, owner1), "010a0b0c0d" + ownerHex},
		{"command", KeyCommand(0x0a0b0c0d, chat.CommandID{1, 15: 2}), "020a0b0c0d01000000000000000000000000000002"},
		{"change", KeyChange(owner1, 5, 6, 7), slotHex + "63" + ownerHex + "000000000000000500000000000000060000000000000007"},
		{"deletion", KeyDeleted(0x1234, 5, 6, 7), slotHex + "64" + "000000000000000500000000000000060000000000000007"},
		{"expiry", KeyExpiry(0x1234, 5, 6, 7), slotHex + "65" + "000000000000000500000000000000060000000000000007"},
		{"thread's client id", KeyThreadID(owner1, "ab"), slotHex + "69" + ownerHex + "6162"},
		{"list", KeyList(owner1, StateOpen, 6), slotHex + "6c" + ownerHex + "6f" + "0000000000000006"},
		{"owner", KeyOwner(owner1), slotHex + "6f" + ownerHex},
		{"slug", KeySlug(owner1, chat.Digest{7, 31: 9}, 6), slotHex + "73" + ownerHex + "07000000000000000000000000000000" + "0000000000000006"},
		{"thread", KeyThread(thread1), threadHex + "00"},
		{"message's client id", KeyMessageID(thread1, "ab"), threadHex + "696162"},
		{"message", KeyMessage(thread1, 7), threadHex + "6d0000000000000007"},
		{"deleted message", KeyDeadMessage(thread1, 7), threadHex + "6e0000000000000007"},
		{"link", KeyLink(thread1, 7), threadHex + "700000000000000007"},
		{"links from", links, threadHex + "70"},
		{"links to", linksEnd, threadHex + "71"},
		{"revision", KeyRevision(thread1, 7, 8), threadHex + "720000000000000007" + "00000008"},
		{"updated", KeyUpdated(owner1, StateArchived, 5, 6), slotHex + "75" + ownerHex + "61" + "00000000000000050000000000000006"},
		{"thread range from", from, threadHex},
		{"thread range to", to, slotHex + "74" + "0102030405060709"},
	} {
		if got := hex.EncodeToString(tt.got); got != tt.want {
			t.Errorf("key of %s = %s, want %s", tt.name, got, tt.want)
		}
		if cap(tt.got) > len(tt.got)+16 {
			t.Errorf("key of %s has %d bytes of room for %d", tt.name, cap(tt.got), len(tt.got))
		}
	}
}

// Keys sort as what they are made of.
func TestKeysSort(t *testing.T) {
	times := []int64{0, 1, 255, 256, 1 << 32, 1_700_000_000_000_000_000, 1<<63 - 1}
	var keys [][]byte
	for _, day := range []uint32{0, 1, 256, 1<<32 - 1} {
		keys = append(keys, KeyIdempotency(day, owner1))
	}
	for _, quarter := range []uint32{0, 1, 256, 1<<32 - 1} {
		keys = append(keys, KeyCommand(quarter, chat.CommandID{}))
	}
	for _, slot := range []chat.Slot{0, 1, 256, 1<<16 - 1} {
		owner := chat.Digest{byte(slot >> 8), byte(slot)}
		for _, seq := range []uint64{1, 256, 1 << 60} {
			for _, time := range times {
				keys = append(keys, KeyChange(owner, seq, 5, time))
			}
		}
		for _, time := range times {
			keys = append(keys, KeyExpiry(slot, time, 1, 0), KeyExpiry(slot, time, 1, 2), KeyExpiry(slot, time, 2, 0))
		}
		for _, s := range []State{StateArchived, StateDeleted, StateOpen} {
			for _, time := range times {
				keys = append(keys, KeyList(owner, s, time))
			}
		}
		keys = append(keys, KeyOwner(owner))
		for _, time := range times[:len(times)-1] {
			id := chat.ThreadID{Slot: slot, Time: time}
			from, to := ThreadRange(id)
			keys = append(keys, from, KeyThread(id), KeyMessageID(id, "a"), KeyMessageID(id, "b"))
			for _, at := range times {
				keys = append(keys, KeyMessage(id, at))
			}
			for _, at := range times {
				keys = append(keys, KeyDeadMessage(id, at))
			}
			for _, revision := range []uint32{1, 256, 1<<32 - 1} {
				keys = append(keys, KeyRevision(id, 9, revision))
			}
			if last := keys[len(keys)-1]; bytes.Compare(last, to) >= 0 {
				t.Errorf("%x lies beyond the range of its thread, which ends at %x", last, to)
			}
		}
		for _, s := range []State{StateArchived, StateDeleted, StateOpen} {
			for _, updated := range times {
				keys = append(keys, KeyUpdated(owner, s, updated, 1), KeyUpdated(owner, s, updated, 2))
			}
		}
	}
	if !slices.IsSortedFunc(keys, bytes.Compare) {
		for i := range len(keys) - 1 {
			if bytes.Compare(keys[i], keys[i+1]) > 0 {
				t.Errorf("%x sorts after %x", keys[i], keys[i+1])
			}
		}
	}
}

func TestStateOf(t *testing.T) {
	for _, tt := range []struct {
		thread chat.Thread
		want   State
	}{
		{chat.Thread{}, StateOpen},
		{chat.Thread{Status: chat.Archived}, StateArchived},
		{chat.Thread{Deleted: 1}, StateDeleted},
		{chat.Thread{Status: chat.Archived, Deleted: 1}, StateDeleted},
	} {
		if got := StateOf(&tt.thread); got != tt.want {
			t.Errorf("StateOf(%+v) = %c, want %c", tt.thread, got, tt.want)
		}
	}
}

func TestPrefixEnd(t *testing.T) {
	for _, tt := range []struct{ prefix, want []byte }{
		{[]byte{1, 2}, []byte{1, 3}}, {[]byte{1, 0xff}, []byte{2}}, {[]byte{0xff, 0xff}, nil},
	} {
		if got := prefixEnd(tt.prefix); !bytes.Equal(got, tt.want) {
			t.Errorf("prefixEnd(%x) = %x, want %x", tt.prefix, got, tt.want)
		}
	}
}
