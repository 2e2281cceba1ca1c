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

// Name is what a sealed text is bound to: opened as anything else, it does not open. Its
// revision is that of the thread or the message at which the text was written.
type Name struct {
	Thread   ThreadID
	Message  int64 // the time in the message's key; 0 for a field of the thread
	Revision uint32
	Field    Field
}

// Key is the key of the thread or message that the text is of, a message's without its
// number.
func (n Name) Key() string { return string(n.AppendKey(nil)) }

// AppendKey appends it to b.
func (n Name) AppendKey(b []byte) []byte {
	if n.Message == 0 {
		return n.Thread.AppendTo(b)
	}
	return MessageID{Thread: n.Thread, Time: n.Message, Seq: NoSeq}.AppendTo(b)
}

// Sealer closes and opens texts. It is the only way for a text into or out of a
// record. Errors that a caller is told of are *Error: ErrKeysUnavailable where a key
// cannot be had now, and one of Damaged where a text or a key is not what was stored.
type Sealer interface {
	// Warm sees to it that a Seal for this author within a minute waits for nobody.
	Warm(ctx context.Context, author Owner) error

	// Seal closes text under its name for its author. keys are the thread's data
	// keys; when none serves, a new one is returned and must be stored with the text.
	Seal(ctx context.Context, name Name, author Owner, keys []DataKey, text []byte) (Sealed, *DataKey, error)

	// Open returns the text, or an error: never a text that was not sealed under
	// this name. The result may alias sealed.
	Open(ctx context.Context, name Name, keys []DataKey, sealed Sealed) ([]byte, error)
}
