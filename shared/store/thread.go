package store

import (
	"google.golang.org/protobuf/encoding/protowire"

	"github.com/bobbindb/bobbin/shared/chat"
)

// EncodeThread is the record of a thread. Its key holds the id.
func EncodeThread(t *chat.Thread) []byte {
	w := newWriter(192 + len(t.Title) + len(t.Slug) + len(t.Metadata))
	w.string(1, t.Owner.Tenant)
	w.string(2, t.Owner.User)
	w.string(3, string(t.ClientID))
	w.uint(4, uint64(t.Created))
	w.uint(5, uint64(t.Updated))
	w.uint(6, uint64(t.Deleted))
	w.uint(7, uint64(t.Expires))
	w.uint(8, uint64(t.Status))
	for _, m := range t.Members {
		w.message(9, func(w *writer) {
			w.string(1, m.User)
			w.uint(2, uint64(m.Role))
		})
	}
	w.uint(10, uint64(t.Revision))
	w.bytes(11, t.Title)
	w.bytes(12, t.Slug)
	w.bytes(13, t.Metadata)
	w.digest(14, t.SlugHash)
	w.digest(15, t.Content)
	w.uint(16, uint64(t.Head))
	w.uint(17, uint64(t.LastTime))
	w.uint(18, uint64(t.NextSeq))
	w.uint(19, uint64(t.LastMessage))
	w.uint(20, uint64(t.Live))
	w.uint(21, uint64(t.Dead))
	w.uint(22, t.Changed)
	for _, k := range t.Keys {
		w.message(23, func(w *writer) {
			w.uint(1, uint64(k.ID))
			w.string(2, k.Author.Tenant)
			w.string(3, k.Author.User)
			w.bytes(4, k.UserKey[:])
			w.bytes(5, k.Wrapped)
			w.uint(6, k.Uses)
		})
	}
	w.uint(24, uint64(t.Purged))
	w.uint(25, uint64(t.TitleRevision))
	w.uint(26, uint64(t.SlugRevision))
	w.uint(27, uint64(t.MetadataRevision))
	return w.b
}

// DecodeThread reads what EncodeThread wrote. The thread's bytes alias b.
func DecodeThread(id chat.ThreadID, b []byte) (*chat.Thread, error) {
	t := &chat.Thread{ID: id}
	err := each(b, func(field protowire.Number, v uint64, data []byte) bool {
		switch field {
		case 1:
			t.Owner.Tenant = string(data)
		case 2:
			t.Owner.User = string(data)
		case 3:
			t.ClientID = chat.ClientID(data)
		case 4:
			t.Created = int64(v)
		case 5:
			t.Updated = int64(v)
		case 6:
			t.Deleted = int64(v)
		case 7:
			t.Expires = int64(v)
		case 8:
			t.Status = chat.Status(v)
		case 9:
			return addMember(t, data)
		case 10:
			t.Revision = uint32(v)
		case 11:
			t.Title = data
		case 12:
			t.Slug = data
		case 13:
			t.Metadata = data
		case 14:
			return setDigest(&t.SlugHash, data)
		case 15:
			return setDigest(&t.Content, data)
		case 16:
			t.Head = int64(v)
		case 17:
			t.LastTime = int64(v)
		case 18:
			t.NextSeq = uint32(v)
		case 19:
			t.LastMessage = int64(v)
		case 20:
			t.Live = uint32(v)
		case 21:
			t.Dead = uint32(v)
		case 22:
			t.Changed = v
		case 23:
			return addDataKey(t, data)
		case 24:
			t.Purged = int64(v)
		case 25:
			t.TitleRevision = uint32(v)
		case 26:
			t.SlugRevision = uint32(v)
		case 27:
			t.MetadataRevision = uint32(v)
		default:
			return false
		}
		return true
	})
	if err != nil {
		return nil, err
	}
	return t, nil
}

// addMember decodes a member and adds it to the thread.
func addMember(t *chat.Thread, b []byte) bool {
	var m chat.Member
	err := eachField(b, func(field protowire.Number, v uint64, data []byte) bool {
		switch field {
		case 1:
			m.User = string(data)
		case 2:
			m.Role = chat.Role(v)
		default:
			return false
		}
		return true
	})
	t.Members = append(t.Members, m)
	return err == nil
}

// addDataKey decodes a wrapped key and adds it to the thread.
func addDataKey(t *chat.Thread, b []byte) bool {
	var k chat.DataKey
	err := eachField(b, func(field protowire.Number, v uint64, data []byte) bool {
		switch field {
		case 1:
			k.ID = uint32(v)
		case 2:
			k.Author.Tenant = string(data)
		case 3:
			k.Author.User = string(data)
		case 4:
			copy(k.UserKey[:], data)
			return len(data) == len(k.UserKey)
		case 5:
			k.Wrapped = data
		case 6:
			k.Uses = v
		default:
			return false
		}
		return true
	})
	t.Keys = append(t.Keys, k)
	return err == nil
}
