package store

import (
	"google.golang.org/protobuf/encoding/protowire"

	"github.com/bobbindb/bobbin/shared/chat"
)

// EncodeMessage is the record of a message. Its key holds the thread and the time.
// The author's tenant is the thread's.
func EncodeMessage(m *chat.Message) []byte {
	w := newWriter(96 + len(m.Body) + len(m.Metadata) + len(m.Usage))
	w.uint(1, uint64(m.ID.Seq))
	w.string(2, m.Author.User)
	w.string(3, string(m.ClientID))
	if m.Created != m.ID.Time {
		w.uint(4, uint64(m.Created))
	}
	if m.Updated != m.Created {
		w.uint(5, uint64(m.Updated))
	}
	w.uint(6, uint64(m.Deleted))
	w.uint(7, uint64(m.Expires))
	w.uint(8, uint64(m.Status))
	w.uint(9, uint64(m.Parent))
	w.uint(10, uint64(m.Revision))
	w.string(11, m.Role)
	w.string(12, m.Format)
	w.string(13, m.Model)
	w.string(14, m.ReplyTo)
	w.bytes(15, m.Usage)
	w.bytes(16, m.Body)
	w.bytes(17, m.Metadata)
	w.digest(18, m.Content)
	w.uint(19, m.Changed)
	w.uint(20, uint64(m.MetadataRevision))
	return w.b
}

// DecodeMessage reads what EncodeMessage wrote. The message's bytes alias b.
func DecodeMessage(thread *chat.Thread, time int64, b []byte) (*chat.Message, error) {
	m := &chat.Message{}
	if err := decodeMessage(m, thread, time, b, &words{}); err != nil {
		return nil, err
	}
	return m, nil
}

// decodeMessage is DecodeMessage into a message that is zero.
func decodeMessage(m *chat.Message, thread *chat.Thread, time int64, b []byte, w *words) error {
	m.ID = chat.MessageID{Thread: thread.ID, Time: time}
	m.Author.Tenant = thread.Owner.Tenant
	m.Created = time
	err := each(b, func(field protowire.Number, v uint64, data []byte) bool {
		switch field {
		case 1:
			m.ID.Seq = uint32(v)
		case 2:
			m.Author.User = w.of(data)
		case 3:
			m.ClientID = chat.ClientID(data)
		case 4:
			m.Created = int64(v)
		case 5:
			m.Updated = int64(v)
		case 6:
			m.Deleted = int64(v)
		case 7:
			m.Expires = int64(v)
		case 8:
			m.Status = chat.MessageStatus(v)
		case 9:
			m.Parent = int64(v)
		case 10:
			m.Revision = uint32(v)
		case 11:
			m.Role = w.of(data)
		case 12:
			m.Format = w.of(data)
		case 13:
			m.Model = w.of(data)
		case 14:
			m.ReplyTo = string(data)
		case 15:
			m.Usage = data
		case 16:
			m.Body = data
		case 17:
			m.Metadata = data
		case 18:
			return setDigest(&m.Content, data)
		case 19:
			m.Changed = v
		case 20:
			m.MetadataRevision = uint32(v)
		default:
			return false
		}
		return true
	})
	if m.Updated == 0 {
		m.Updated = m.Created
	}
	return err
}

// EncodeRevision is the record of an earlier text. Its key holds message and number.
func EncodeRevision(r *chat.Revision) []byte {
	w := newWriter(48 + len(r.Body) + len(r.Metadata))
	w.string(1, r.Author.User)
	w.uint(2, uint64(r.Written))
	w.bytes(3, r.Body)
	w.bytes(4, r.Metadata)
	w.uint(5, uint64(r.MetadataRevision))
	return w.b
}

// DecodeRevision reads what EncodeRevision wrote. Its bytes alias b.
func DecodeRevision(message *chat.Message, number uint32, b []byte) (*chat.Revision, error) {
	r := &chat.Revision{Message: message.ID, Revision: number, Author: chat.Owner{Tenant: message.Author.Tenant}}
	err := each(b, func(field protowire.Number, v uint64, data []byte) bool {
		switch field {
		case 1:
			r.Author.User = string(data)
		case 2:
			r.Written = int64(v)
		case 3:
			r.Body = data
		case 4:
			r.Metadata = data
		case 5:
			r.MetadataRevision = uint32(v)
		default:
			return false
		}
		return true
	})
	if err != nil {
		return nil, err
	}
	return r, nil
}
