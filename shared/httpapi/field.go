package httpapi

import (
	"encoding/json"
	"strconv"

	"github.com/bobbindb/bobbin/shared/chat"
)

// The sizes of optional fields, in bytes.
const (
	maxName     = 128 // of role, format and model
	maxSlug     = 256
	maxReplyTo  = 256
	maxUsage    = 4 << 10
	maxMetadata = chat.MaxMetadata
)

// fields checks optional fields and remembers the first that is wrong. A field that is
// absent, null or "" is not set.
type fields struct {
	now int64
	err error
}

func (f *fields) refuse(field, what string) {
	if f.err == nil {
		f.err = fieldError(field, what)
	}
}

func (f *fields) body(raw json.RawMessage) {
	if isNull(raw) && f.err == nil {
		f.err = chat.ErrBodyEmpty
	}
}

func (f *fields) text(field, value string, limit int) {
	switch {
	case len(value) > limit:
		f.refuse(field, tooLong(limit))
	case !printable(value):
		f.refuse(field, "contains invalid control characters")
	}
}

// string reads a field of a patch. null is "".
func (f *fields) string(field string, raw json.RawMessage, into *string) {
	if err := json.Unmarshal(raw, into); err != nil {
		f.refuse(field, "must be a string")
	}
}

// newExpiry reads when something ends from now on; null is never.
func (f *fields) newExpiry(raw json.RawMessage) *int64 {
	var at *int64
	if err := json.Unmarshal(raw, &at); err != nil {
		f.refuse("expires_at", "must be an integer")
		return nil
	}
	expires := f.expiry(at)
	return &expires
}

func (f *fields) object(field string, raw json.RawMessage, limit int) []byte {
	switch {
	case isNull(raw):
		return nil
	case !isObject(raw):
		f.refuse(field, "must be an object")
	case len(raw) > limit:
		f.refuse(field, tooLong(limit))
	}
	return raw
}

func tooLong(limit int) string { return "cannot exceed " + strconv.Itoa(limit) + " bytes" }

// expiry reads when something ends. What has ended already was meant otherwise: most
// likely in seconds.
func (f *fields) expiry(at *int64) int64 {
	if at == nil {
		return 0
	}
	if *at <= f.now {
		f.refuse("expires_at", "must be a time to come, in nanoseconds since 1970")
	}
	return *at
}

func (f *fields) parent(key string) *chat.MessageRef {
	if key == "" {
		return nil
	}
	ref, err := chat.ParseMessage(key)
	if err != nil {
		f.refuse("parent", "must be a message key")
	}
	return &ref
}

func (f *fields) threadStatus(name string) chat.Status {
	switch name {
	case "", "open":
		return chat.Open
	case "archived":
		return chat.Archived
	}
	f.refuse("status", "must be open or archived")
	return chat.Open
}

// statusNames are the states of a message by number.
var statusNames = [...]string{0: "", chat.InProgress: "in_progress", chat.Completed: "completed", chat.Incomplete: "incomplete", chat.Failed: "failed"}

func statusName(s chat.MessageStatus) string {
	if int(s) < len(statusNames) {
		return statusNames[s]
	}
	return ""
}

func (f *fields) messageStatus(name string) chat.MessageStatus {
	for s, known := range statusNames {
		if name == known {
			return chat.MessageStatus(s)
		}
	}
	f.refuse("status", "must be in_progress, completed, incomplete or failed")
	return 0
}
