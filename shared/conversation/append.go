package conversation

import (
	"bytes"
	"encoding/json"
	"strconv"
	"strings"

	"github.com/bobbindb/bobbin/shared/chat"
)

// Append appends the line of a thread and all its messages, in their order and with
// a newline at its end. Bodies go byte for byte, except that a line break between two
// tokens of one becomes a space.
func Append(b []byte, t chat.OpenThread, messages []chat.OpenMessage) []byte {
	names := make(map[int64]string, len(messages))
	head := len(messages) - 1
	if t.Head == 0 {
		head = -1
	}
	for i, m := range messages {
		names[m.ID.Time] = messageID(m.Message)
		if m.ID.Time == t.Head {
			head = i
		}
	}
	b = append(b, `{"thread":`...)
	b = appendThread(b, t, messages)
	b = append(b, `,"messages":[`...)
	for i, m := range messages {
		if i > 0 {
			b = append(b, ',')
		}
		w := writer{append(b, '{')}
		w.message(m)
		if m.Parent != 0 && (i == 0 || m.Parent != messages[i-1].ID.Time) && names[m.Parent] != "" {
			w.text("parent", "id:"+names[m.Parent])
		}
		if i > head {
			w.raw("branch", []byte("true"))
		}
		w.extras(m)
		b = append(w.b, '}')
	}
	return append(b, "]}\n"...)
}

func appendThread(b []byte, t chat.OpenThread, messages []chat.OpenMessage) []byte {
	w := writer{append(b, '{')}
	w.text("id", threadID(t.Thread))
	w.text("author", t.Owner.User)
	w.optionalText("tenant", t.Owner.Tenant)
	w.text("title", t.Title)
	w.int("created_ts", t.Created)
	w.members(t.Members)
	w.optionalText("slug", t.Slug)
	if t.Status == chat.Archived {
		w.text("status", "archived")
	}
	w.raw("metadata", t.Metadata)
	if t.Updated != assumedUpdate(t, messages) {
		w.int("updated_ts", t.Updated)
	}
	w.int("deleted", t.Deleted)
	w.int("expires_at", t.Expires)
	return append(w.b, '}')
}

// assumedUpdate is when a thread was last updated, as a line tells that does not say.
func assumedUpdate(t chat.OpenThread, messages []chat.OpenMessage) int64 {
	if len(messages) == 0 {
		return t.Created
	}
	var newest int64
	for _, m := range messages {
		newest = max(newest, m.Created)
	}
	return newest
}

// threadID is the id under which a thread leaves: its owner's, or one from its key.
func threadID(t *chat.Thread) string {
	if t.ClientID != "" {
		return string(t.ClientID)
	}
	return strings.ReplaceAll(t.ID.String(), ":", "-")
}

func messageID(m *chat.Message) string {
	if m.ClientID != "" {
		return string(m.ClientID)
	}
	return strings.ReplaceAll(m.ID.String(), ":", "-")
}

// writer appends the members of an object. What is not set it leaves out.
type writer struct{ b []byte }

func (w *writer) message(m chat.OpenMessage) {
	w.text("id", messageID(m.Message))
	w.text("author", m.Author.User)
	w.optionalText("role", m.Role)
	w.int("created_ts", m.Created)
	w.raw("body", m.Body)
	if m.Updated != m.Created {
		w.int("updated_ts", m.Updated)
	}
	w.int("deleted", m.Deleted)
}

func (w *writer) extras(m chat.OpenMessage) {
	w.optionalText("status", m.Status.String())
	w.optionalText("format", m.Format)
	w.optionalText("model", m.Model)
	w.raw("usage", m.Usage)
	w.optionalText("reply_to", m.ReplyTo)
	w.raw("metadata", m.Metadata)
	w.int("revision", int64(m.Revision))
	w.int("expires_at", m.Expires)
}

func (w *writer) members(members []chat.Member) {
	open, end := byte('['), byte(']')
	for _, m := range members {
		if m.Role != chat.RoleWriter {
			open, end = '{', '}'
		}
	}
	w.name("members")
	w.b = append(w.b, open)
	for i, m := range members {
		if i > 0 {
			w.b = append(w.b, ',')
		}
		w.string(m.User)
		if open == '{' {
			w.b = append(w.b, ':')
			w.string(m.Role.String())
		}
	}
	w.b = append(w.b, end)
}

func (w *writer) name(name string) {
	if w.b[len(w.b)-1] != '{' {
		w.b = append(w.b, ',')
	}
	w.b = append(append(append(w.b, '"'), name...), '"', ':')
}

func (w *writer) text(name, value string) {
	w.name(name)
	w.string(value)
}

func (w *writer) optionalText(name, value string) {
	if value != "" {
		w.text(name, value)
	}
}

// string appends a JSON string without escaping HTML.
func (w *writer) string(s string) {
	var out bytes.Buffer
	e := json.NewEncoder(&out)
	e.SetEscapeHTML(false)
	if err := e.Encode(s); err != nil {
		panic(err) // a string always encodes
	}
	w.b = append(w.b, bytes.TrimSuffix(out.Bytes(), []byte("\n"))...)
}

func (w *writer) int(name string, value int64) {
	if value != 0 {
		w.name(name)
		w.b = strconv.AppendInt(w.b, value, 10)
	}
}

// raw appends JSON as it is. A line break can only stand between two of its tokens,
// where a space means the same and does not end the line.
func (w *writer) raw(name string, value []byte) {
	if len(value) == 0 {
		return
	}
	w.name(name)
	from := len(w.b)
	w.b = append(w.b, value...)
	for i := from; i < len(w.b); i++ {
		if w.b[i] == '\n' || w.b[i] == '\r' {
			w.b[i] = ' '
		}
	}
}
