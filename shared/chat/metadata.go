package chat

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strconv"
)

// MaxMetadata is how large metadata may be, in bytes.
const MaxMetadata = 16 << 10

// ErrMetadataLarge refuses metadata that is too large once it is merged.
var ErrMetadataLarge = invalid("validation_failed", "validation errors: metadata: cannot exceed "+strconv.Itoa(MaxMetadata)+" bytes")

// member is one member of a JSON object, its value as it was spelt.
type member struct {
	name  string
	value json.RawMessage
}

// mergeObject applies a JSON merge patch (RFC 7396) to the members of an object, and
// not to what is inside them: a member of the patch replaces, and null takes away. old
// is nil for an empty object. Order and spelling survive.
func mergeObject(old, patch []byte) ([]byte, error) {
	members, err := membersOf(old)
	if err != nil {
		return nil, err
	}
	changes, err := membersOf(patch)
	if err != nil {
		return nil, err
	}
	at := make(map[string]int, len(members))
	for i, m := range members {
		at[m.name] = i
	}
	for _, c := range changes {
		i, ok := at[c.name]
		if !ok {
			i = len(members)
			members, at[c.name] = append(members, c), i
		}
		members[i].value = c.value
	}
	return writeObject(members)
}

func membersOf(object []byte) (members []member, err error) {
	if object == nil {
		return nil, nil
	}
	d := json.NewDecoder(bytes.NewReader(object))
	if _, err := d.Token(); err != nil { // the brace
		return nil, fmt.Errorf("read metadata: %w", err)
	}
	for d.More() {
		name, err := d.Token()
		if err != nil {
			return nil, fmt.Errorf("read metadata: %w", err)
		}
		m := member{}
		m.name, _ = name.(string) // an object's names are strings
		if err := d.Decode(&m.value); err != nil {
			return nil, fmt.Errorf("read metadata: %w", err)
		}
		members = append(members, m)
	}
	return members, nil
}

// writeObject writes the members that are not null.
func writeObject(members []member) ([]byte, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	b.WriteByte('{')
	for _, m := range members {
		if string(m.value) == "null" {
			continue
		}
		if b.Len() > 1 {
			b.WriteByte(',')
		}
		if err := e.Encode(m.name); err != nil {
			return nil, fmt.Errorf("write metadata: %w", err)
		}
		b.Truncate(b.Len() - 1) // the encoder's line break
		b.WriteByte(':')
		b.Write(m.value)
	}
	b.WriteByte('}')
	if b.Len() > MaxMetadata {
		return nil, ErrMetadataLarge
	}
	return b.Bytes(), nil
}
