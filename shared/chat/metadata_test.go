package chat

import (
	"errors"
	"strings"
	"testing"
)

func TestMergeObject(t *testing.T) {
	for _, tt := range []struct{ old, patch, want string }{
		{``, `{"a":1,"b":null}`, `{"a":1}`},
		{`{"a":1}`, `{}`, `{"a":1}`},
		{`{"b":1.0,"a":12345678901234567890}`, `{"c":"<é>","b":2e0}`, `{"b":2e0,"a":12345678901234567890,"c":"<é>"}`},
		{`{"a":1}`, `{"a":null}`, `{}`},
		{`{"a":{"x":1,"y":2}}`, `{"a":{"x":null}}`, `{"a":{"x":null}}`},
		{`{"a":1}`, `{"a":null,"a":2}`, `{"a":2}`},
		{`{"a":1}`, `{"\u0061":3}`, `{"a":3}`},
	} {
		var old []byte
		if tt.old != "" {
			old = []byte(tt.old)
		}
		got, err := mergeObject(old, []byte(tt.patch))
		if err != nil || string(got) != tt.want {
			t.Errorf("mergeObject(%s, %s) = %s, %v, want %s", tt.old, tt.patch, got, err, tt.want)
		}
	}
	half := `":"` + strings.Repeat("x", MaxMetadata/2) + `"}`
	if _, err := mergeObject([]byte(`{"a`+half), []byte(`{"b`+half)); !errors.Is(err, ErrMetadataLarge) {
		t.Errorf("two halves too many: %v", err)
	}
}
