package keyring

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/bobbindb/bobbin/shared/chat"
	"github.com/bobbindb/bobbin/shared/seal"
)

// Version numbers a KEK. The first is 1.
type Version uint32

// String is the version as it stands in an object's key.
func (v Version) String() string { return fmt.Sprintf("%08d", uint32(v)) }

// MaxVersion is the largest version that eight digits hold.
const MaxVersion Version = 99_999_999

// Where keys lie in the bucket.
const (
	kekPrefix  = "keys/kek/"
	UserPrefix = "keys/users/"
)

// KEKKey is the object of a KEK version.
func KEKKey(v Version) string { return kekPrefix + v.String() }

// OwnerPrefix is where an owner's keys lie.
func OwnerPrefix(owner chat.Digest) string { return fmt.Sprintf("%s%x/", UserPrefix, owner[:]) }

// UserKey is the object of a user key.
func UserKey(owner chat.Digest, id seal.KeyID) string { return OwnerPrefix(owner) + id.String() }

// parseKEKKey reads what KEKKey wrote.
func parseKEKKey(key string) (Version, bool) {
	digits, ok := strings.CutPrefix(key, kekPrefix)
	if !ok || len(digits) != 8 {
		return 0, false
	}
	n, err := strconv.ParseUint(digits, 10, 32)
	return Version(n), err == nil && n > 0 && Version(n).String() == digits
}

// parseUserKey reads what UserKey wrote.
func parseUserKey(key string) (owner chat.Digest, id seal.KeyID, ok bool) {
	rest, ok := strings.CutPrefix(key, UserPrefix)
	if !ok || len(rest) != 2*len(owner)+1+2*len(id) {
		return owner, id, false
	}
	high, ok1 := seal.ParseKeyID(rest[:32])
	low, ok2 := seal.ParseKeyID(rest[32:64])
	id, ok3 := seal.ParseKeyID(rest[65:])
	copy(owner[:], append(high[:], low[:]...))
	return owner, id, ok1 && ok2 && ok3 && rest[64] == '/'
}

const (
	recordVersion = 1

	stateInUse = 1
	stateDead  = 2

	nonceSize       = 16
	wrappedUserSize = seal.UserKeySize + seal.WrapOverhead
	kekHeader       = 1 + 1 + 4 + 8
	tombstoneSize   = 1 + 1 + 8 + nonceSize
)

// kekRecord is a KEK as it is stored.
type kekRecord struct {
	version Version
	retired bool
	time    int64 // when it was made, or retired
	keeper  string
	wrapped []byte
	nonce   [nonceSize]byte // of a retired one
}

func (k *kekRecord) encode() []byte {
	state := byte(stateInUse)
	if k.retired {
		state = stateDead
	}
	b := []byte{recordVersion, state}
	b = binary.BigEndian.AppendUint32(b, uint32(k.version))
	b = binary.BigEndian.AppendUint64(b, uint64(k.time))
	if k.retired {
		return append(b, k.nonce[:]...)
	}
	for _, part := range [][]byte{[]byte(k.keeper), k.wrapped} {
		b = binary.BigEndian.AppendUint16(b, uint16(len(part)))
		b = append(b, part...)
	}
	return b
}

func decodeKEK(b []byte) (*kekRecord, error) {
	if len(b) < kekHeader || b[0] != recordVersion {
		return nil, seal.ErrDamaged
	}
	k := &kekRecord{
		version: Version(binary.BigEndian.Uint32(b[2:])),
		time:    int64(binary.BigEndian.Uint64(b[6:])),
		retired: b[1] == stateDead,
	}
	rest := b[kekHeader:]
	if k.retired {
		copy(k.nonce[:], rest)
		return k, size(rest, nonceSize)
	}
	keeper, rest, ok := cut(rest)
	wrapped, rest, ok2 := cut(rest)
	if !ok || !ok2 || len(rest) > 0 || len(wrapped) == 0 || b[1] != stateInUse {
		return nil, seal.ErrDamaged
	}
	k.keeper, k.wrapped = string(keeper), bytes.Clone(wrapped)
	return k, nil
}

// size refuses bytes of another size.
func size(b []byte, want int) error {
	if len(b) != want {
		return seal.ErrDamaged
	}
	return nil
}

// cut takes a part off that stands behind its length of two bytes.
func cut(b []byte) (part, rest []byte, ok bool) {
	if len(b) < 2 {
		return nil, nil, false
	}
	n := int(binary.BigEndian.Uint16(b))
	if len(b)-2 < n {
		return nil, nil, false
	}
	return b[2 : 2+n], b[2+n:], true
}

// userRecord is a user key as it is stored.
type userRecord struct {
	kek     Version
	wrapped []byte

	erased bool
	time   int64 // when it was erased
	nonce  [nonceSize]byte
}

func newTombstone(at time.Time) *userRecord {
	return &userRecord{erased: true, time: at.UnixNano(), nonce: newNonce()}
}

func newNonce() [nonceSize]byte { return [nonceSize]byte(seal.RandomBytes(nonceSize)) }

func (u *userRecord) encode() []byte {
	if u.erased {
		b := binary.BigEndian.AppendUint64([]byte{recordVersion, stateDead}, uint64(u.time))
		return append(b, u.nonce[:]...)
	}
	b := binary.BigEndian.AppendUint32([]byte{recordVersion, stateInUse}, uint32(u.kek))
	return append(b, u.wrapped...)
}

func decodeUser(b []byte) (*userRecord, error) {
	switch {
	case len(b) < 2 || b[0] != recordVersion:
	case b[1] == stateDead && len(b) == tombstoneSize:
		u := &userRecord{erased: true, time: int64(binary.BigEndian.Uint64(b[2:]))}
		copy(u.nonce[:], b[10:])
		return u, nil
	case b[1] == stateInUse && len(b) == 2+4+wrappedUserSize:
		return &userRecord{kek: Version(binary.BigEndian.Uint32(b[2:])), wrapped: bytes.Clone(b[6:])}, nil
	}
	return nil, seal.ErrDamaged
}
