package chat

import "context"

// Field says which part of a thread or message a sealed text is.
type Field byte

// The fields that are sealed.
const (
	FieldTitle    Field = 1
	FieldSlug     Field = 2
	FieldMetadata Field = 3
	FieldBody     Field = 4
)

// Name is what a sealed text is bound to: opened as anything else, it does not open.
type Name struct {
	Thread   ThreadID
	Message  int64 // the time in the message's key; 0 for a field of the thread
	Revision uint32
	Field    Field
}

// Sealer closes and opens texts. It is the only way for a text into or out of a
// record.
type Sealer interface {
	// Seal closes text under its name for its author. keys are the thread's data
	// keys; when none serves, a new one is returned and must be stored with the text.
	Seal(ctx context.Context, name Name, author Owner, keys []DataKey, text []byte) (Sealed, *DataKey, error)

	// Open returns the text, or an error: never a text that was not sealed under
	// this name. The result may alias sealed.
	Open(ctx context.Context, name Name, keys []DataKey, sealed Sealed) ([]byte, error)
}
