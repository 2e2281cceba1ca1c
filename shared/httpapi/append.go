package httpapi

import (
	"strconv"
	"unicode/utf8"
)

// appendString appends a JSON string. Only what JSON demands is escaped: not HTML.
// Bytes that are not UTF-8 become U+FFFD.
func appendString(b []byte, s string) []byte {
	const hex = "0123456789abcdef"
	b = append(b, '"')
	from := 0
	for i := 0; i < len(s); {
		c := s[i]
		if c >= 0x20 && c != '"' && c != '\\' && c < utf8.RuneSelf {
			i++
			continue
		}
		if c >= utf8.RuneSelf {
			r, size := utf8.DecodeRuneInString(s[i:])
			if r == utf8.RuneError && size == 1 {
				b = append(append(b, s[from:i]...), "\ufffd"...)
				from = i + 1
			}
			i += size
			continue
		}
		b = append(b, s[from:i]...)
		switch c {
		case '"', '\\':
			b = append(b, '\\', c)
		case '\n':
			b = append(b, '\\', 'n')
		case '\r':
			b = append(b, '\\', 'r')
		case '\t':
			b = append(b, '\\', 't')
		default:
			b = append(b, '\\', 'u', '0', '0', hex[c>>4], hex[c&15])
		}
		i++
		from = i
	}
	return append(append(b, s[from:]...), '"')
}

// The append functions below add one member of an object, with the comma before it.
// Those called optional add nothing for a value that is not set.

func appendText(b []byte, name, value string) []byte {
	return appendString(appendName(b, name), value)
}

func appendOptionalText(b []byte, name, value string) []byte {
	if value == "" {
		return b
	}
	return appendText(b, name, value)
}

func appendInt(b []byte, name string, value int64) []byte {
	return strconv.AppendInt(appendName(b, name), value, 10)
}

func appendOptionalInt(b []byte, name string, value int64) []byte {
	if value == 0 {
		return b
	}
	return appendInt(b, name, value)
}

func appendRaw(b []byte, name string, value []byte) []byte {
	return append(appendName(b, name), value...)
}

func appendOptionalRaw(b []byte, name string, value []byte) []byte {
	if len(value) == 0 {
		return b
	}
	return appendRaw(b, name, value)
}

func appendBool(b []byte, name string, value bool) []byte {
	return strconv.AppendBool(appendName(b, name), value)
}

func appendKey(b []byte, name string, key interface{ AppendTo([]byte) []byte }) []byte {
	return append(key.AppendTo(append(appendName(b, name), '"')), '"')
}

// appendName appends a member's name. The first of an object has no comma before it.
func appendName(b []byte, name string) []byte {
	if n := len(b); n > 0 && b[n-1] != '{' {
		b = append(b, ',')
	}
	b = append(b, '"')
	b = append(b, name...)
	return append(b, '"', ':')
}
