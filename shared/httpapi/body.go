package httpapi

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"reflect"
	"strings"
	"unicode/utf8"

	"github.com/klauspost/compress/gzip"

	"github.com/bobbindb/bobbin/shared/chat"
)

// read takes in the request's body, at most limit bytes of it before and after it is
// decompressed. What cannot be read at all is the refusal given.
func (x *exchange) read(limit int64, refusal *chat.Error) ([]byte, error) {
	if x.r.ContentLength > limit {
		return nil, errTooLarge
	}
	var from io.Reader = x.r.Body
	switch strings.ToLower(first(x.r.Header, "Content-Encoding")) {
	case "", "identity":
	case "gzip":
		z, err := gzip.NewReader(x.r.Body)
		if err != nil {
			return nil, refusal.Because(err)
		}
		from = z
	default:
		return nil, refusal
	}
	if n := x.r.ContentLength; from == io.Reader(x.r.Body) && int64(cap(x.in)) < n+1 {
		x.in = make([]byte, 0, n+1) // one more, so that the end is met without growing
	}
	var err error
	x.in, err = readInto(x.in[:0], from, limit)
	switch {
	case errors.Is(err, errTooLarge):
		return nil, err
	case err != nil:
		return nil, refusal.Because(err)
	}
	return x.in, nil
}

// readInto reads to the end of r, into b and past its capacity if need be.
func readInto(b []byte, r io.Reader, limit int64) ([]byte, error) {
	for {
		if len(b) == cap(b) {
			b = append(b, 0)[:len(b)]
		}
		n, err := r.Read(b[len(b):cap(b)])
		b = b[:len(b)+n]
		switch {
		case int64(len(b)) > limit:
			return b, errTooLarge
		case err == io.EOF:
			return b, nil
		case err != nil:
			return b, err
		}
	}
}

// decode reads a JSON object from the request's body and leaves the body in call. What
// is no object is the refusal given.
func (x *exchange) decode(call *chat.Call, into any, limit int64, refusal *chat.Error) error {
	body, err := x.read(limit, refusal)
	if err != nil {
		return err
	}
	if call != nil {
		call.Body = body
	}
	return decodeObject(body, into, refusal)
}

func decodeObject(body []byte, into any, refusal *chat.Error) error {
	if !utf8.Valid(body) || !isObject(body) {
		return refusal
	}
	err := json.Unmarshal(body, into)
	var wrong *json.UnmarshalTypeError
	if errors.As(err, &wrong) && !essential(wrong.Field) {
		return fieldError(wrong.Field, wanted(wrong.Type))
	}
	if err != nil {
		return refusal.Because(err)
	}
	return nil
}

// essential reports whether a field of the wrong type spoils the whole payload. The
// fields that clients of old send are; those that only Bobbin has are named instead.
func essential(field string) bool {
	switch field {
	case "", "title", "messages", "userId":
		return true
	}
	return false
}

// wanted says what a field should have been.
func wanted(t reflect.Type) string {
	switch t.Kind() {
	case reflect.String:
		return "must be a string"
	case reflect.Bool:
		return "must be true or false"
	}
	return "has the wrong type"
}

// isObject reports whether JSON text can only be an object.
func isObject(b []byte) bool {
	b = bytes.TrimLeft(b, " \t\r\n")
	return len(b) > 0 && b[0] == '{'
}

// isNull reports whether an optional field was left out, or sent as null.
func isNull(raw json.RawMessage) bool { return len(raw) == 0 || string(raw) == "null" }

// printable reports whether a text is valid UTF-8 without control characters.
func printable(s string) bool {
	for i, r := range s {
		if r < 0x20 || 0x7f <= r && r < 0xa0 {
			return false
		}
		if r == utf8.RuneError && !strings.HasPrefix(s[i:], string(utf8.RuneError)) {
			return false
		}
	}
	return true
}

// acceptsGzip reports whether an Accept-Encoding header names gzip and does not
// refuse it.
func acceptsGzip(header string) bool {
	for part := range strings.SplitSeq(header, ",") {
		name, weight, _ := strings.Cut(part, ";")
		if strings.EqualFold(strings.TrimSpace(name), "gzip") {
			weight = strings.ReplaceAll(weight, " ", "")
			return !strings.HasPrefix(weight, "q=0") || strings.Trim(weight, "q=0.") != ""
		}
	}
	return false
}

// compress returns the text compressed. Speed matters more than the last byte.
func compress(text []byte) []byte {
	var b bytes.Buffer
	b.Grow(len(text) / 4)
	z, err := gzip.NewWriterLevel(&b, gzip.BestSpeed)
	if err != nil {
		panic(err) // the level is a constant
	}
	_, _ = z.Write(text) // a bytes.Buffer takes everything
	_ = z.Close()
	return b.Bytes()
}

var _ http.ResponseWriter = (*exchange)(nil)
