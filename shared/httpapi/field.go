package httpapi

import (
	"encoding/json"
	"math/big"
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
// likely in seconds. 0 is never.
func (f *fields) expiry(raw json.RawMessage) int64 {
	if isNull(raw) {
		return 0
	}
	at, ok := integer(raw)
	switch {
	case !ok:
		f.refuse("expires_at", "must be an integer")
	case at <= f.now:
		f.refuse("expires_at", "must be a time to come, in nanoseconds since 1970")
	}
	return at
}

// integer reads a JSON number that is an integer, however it is spelt: many languages
// write a large one as 1.8e18.
func integer(raw json.RawMessage) (int64, bool) {
	if n, err := strconv.ParseInt(string(raw), 10, 64); err == nil {
		return n, true
	}
	const most, bits = 32, 128 // digits that are read, and what holds them exactly
	if len(raw) > most || raw[0] != '-' && (raw[0] < '0' || raw[0] > '9') {
		return 0, false
	}
	f, _, err := big.ParseFloat(string(raw), 10, bits, big.ToNearestEven)
	if err != nil || !f.IsInt() {
		return 0, false
	}
	n, exact := f.Int64()
	return n, exact == big.Exact
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

func (f *fields) messageStatus(name string) chat.MessageStatus {
	status, ok := chat.ParseMessageStatus(name)
	if !ok {
		f.refuse("status", "must be in_progress, completed, incomplete or failed")
	}
	return status
}
