package store

import (
	"encoding/binary"
	"fmt"

	"google.golang.org/protobuf/encoding/protowire"

	"github.com/bobbindb/bobbin/shared/chat"
	"github.com/bobbindb/bobbin/shared/commitlog"
)

// Owner is what the store keeps of an owner: whose threads they are, and how many.
type Owner struct {
	Owner    chat.Owner
	Created  int64
	Open     uint64
	Archived uint64
	Deleted  uint64
	Key      [16]byte // the user key in use, zero before there is one
}

// Count is where the owner's threads of a state are counted.
func (o *Owner) Count(s State) *uint64 {
	switch s {
	case StateArchived:
		return &o.Archived
	case StateDeleted:
		return &o.Deleted
	default:
		return &o.Open
	}
}

// EncodeOwner is an owner's record.
func EncodeOwner(o *Owner) []byte {
	w := newWriter(64)
	w.string(1, o.Owner.Tenant)
	w.string(2, o.Owner.User)
	w.uint(3, uint64(o.Created))
	w.uint(4, o.Open)
	w.uint(5, o.Archived)
	w.uint(6, o.Deleted)
	if o.Key != [16]byte{} {
		w.bytes(7, o.Key[:])
	}
	return w.b
}

// DecodeOwner reads what EncodeOwner wrote.
func DecodeOwner(b []byte) (*Owner, error) {
	o := &Owner{}
	err := each(b, func(field protowire.Number, v uint64, data []byte) bool {
		switch field {
		case 1:
			o.Owner.Tenant = string(data)
		case 2:
			o.Owner.User = string(data)
		case 3:
			o.Created = int64(v)
		case 4:
			o.Open = v
		case 5:
			o.Archived = v
		case 6:
			o.Deleted = v
		case 7:
			copy(o.Key[:], data)
			return len(data) == len(o.Key)
		default:
			return false
		}
		return true
	})
	if err != nil {
		return nil, err
	}
	return o, nil
}

// Counters are kept as writes happen, for the whole partition.
type Counters struct {
	Owners         uint64
	Threads        uint64 // not deleted
	DeletedThreads uint64
	Messages       uint64 // not deleted, in any thread
	DeadMessages   uint64
	LastThread     int64  // the newest time in a thread key that this store gave itself
	Quarter        uint32 // of the newest command entry
	Day            uint32 // of the newest idempotency entry
}

// EncodeCounters is the partition's counters record.
func EncodeCounters(c *Counters) []byte {
	w := newWriter(64)
	w.uint(1, c.Owners)
	w.uint(2, c.Threads)
	w.uint(3, c.DeletedThreads)
	w.uint(4, c.Messages)
	w.uint(5, c.DeadMessages)
	w.uint(6, uint64(c.LastThread))
	w.uint(7, uint64(c.Quarter))
	w.uint(8, uint64(c.Day))
	return w.b
}

// DecodeCounters reads what EncodeCounters wrote.
func DecodeCounters(b []byte) (Counters, error) {
	var c Counters
	err := each(b, func(field protowire.Number, v uint64, _ []byte) bool {
		switch field {
		case 1:
			c.Owners = v
		case 2:
			c.Threads = v
		case 3:
			c.DeletedThreads = v
		case 4:
			c.Messages = v
		case 5:
			c.DeadMessages = v
		case 6:
			c.LastThread = int64(v)
		case 7:
			c.Quarter = uint32(v)
		case 8:
			c.Day = uint32(v)
		default:
			return false
		}
		return true
	})
	return c, err
}

// Entry is what a command or an idempotency key is remembered by: its first answer.
type Entry struct {
	Request   chat.Digest // of the request, for an idempotency key
	RequestID string
	Seq       uint64 // the commit that holds the answer
	Thread    chat.ThreadID
	Messages  []chat.MessageID // of Thread
	Revision  uint32
	Created   int
}

// EncodeEntry is the record of an answer.
func EncodeEntry(e *Entry) []byte {
	w := newWriter(64 + 24*len(e.Messages))
	w.digest(1, e.Request)
	w.string(2, e.RequestID)
	w.uint(3, e.Seq)
	w.uint(4, uint64(e.Thread.Time))
	w.uint(5, uint64(e.Thread.Slot))
	for _, m := range e.Messages {
		w.message(6, func(w *writer) {
			w.uint(1, uint64(m.Time))
			w.uint(2, uint64(m.Seq))
		})
	}
	w.uint(7, uint64(e.Revision))
	w.uint(8, uint64(e.Created))
	return w.b
}

// DecodeEntry reads what EncodeEntry wrote.
func DecodeEntry(b []byte) (*Entry, error) {
	e := &Entry{}
	err := each(b, func(field protowire.Number, v uint64, data []byte) bool {
		switch field {
		case 1:
			return setDigest(&e.Request, data)
		case 2:
			e.RequestID = string(data)
		case 3:
			e.Seq = v
		case 4:
			e.Thread.Time = int64(v)
		case 5:
			e.Thread.Slot = chat.Slot(v)
		case 6:
			var m chat.MessageID
			err := eachField(data, func(field protowire.Number, v uint64, _ []byte) bool {
				switch field {
				case 1:
					m.Time = int64(v)
				case 2:
					m.Seq = uint32(v)
				default:
					return false
				}
				return true
			})
			e.Messages = append(e.Messages, m)
			return err == nil
		case 7:
			e.Revision = uint32(v)
		case 8:
			e.Created = int(v)
		default:
			return false
		}
		return true
	})
	if err != nil {
		return nil, err
	}
	for i := range e.Messages {
		e.Messages[i].Thread = e.Thread
	}
	return e, nil
}

// Position is how far a database has come: the last commit applied.
type Position struct {
	Seq  commitlog.Seq
	Hash commitlog.Hash
	Time int64
}

// encodePosition is a version byte, seq, time and hash.
func encodePosition(p Position) []byte {
	b := append(make([]byte, 0, 49), recordVersion)
	b = binary.BigEndian.AppendUint64(b, uint64(p.Seq))
	b = binary.BigEndian.AppendUint64(b, uint64(p.Time))
	return append(b, p.Hash[:]...)
}

func decodePosition(b []byte) (Position, error) {
	if len(b) != 49 || b[0] != recordVersion {
		return Position{}, fmt.Errorf("position: %w", ErrDamaged)
	}
	p := Position{
		Seq:  commitlog.Seq(binary.BigEndian.Uint64(b[1:])),
		Time: int64(binary.BigEndian.Uint64(b[9:])),
	}
	copy(p.Hash[:], b[17:])
	return p, nil
}

// EncodeTime is the value of an index entry that leads to a time.
func EncodeTime(t int64) []byte { return appendTime([]byte{recordVersion}, t) }

// DecodeTime reads what EncodeTime wrote.
func DecodeTime(b []byte) (int64, error) {
	if len(b) != 9 || b[0] != recordVersion {
		return 0, fmt.Errorf("index entry: %w", ErrDamaged)
	}
	return int64(binary.BigEndian.Uint64(b[1:])), nil
}
