package chat

// MessageStatus says how far a message got: an assistant's answer may be in progress.
type MessageStatus byte

// The states of a message. Zero means that none was given.
const (
	InProgress MessageStatus = 1
	Completed  MessageStatus = 2
	Incomplete MessageStatus = 3
	Failed     MessageStatus = 4
)

// Message is one message as it is stored. Times are nanoseconds since 1970 UTC; 0
// means "not set".
type Message struct {
	ID       MessageID
	Author   Owner
	ClientID ClientID
	Created  int64 // as the client sees it; an import keeps the original
	Updated  int64
	Deleted  int64
	Expires  int64
	Status   MessageStatus
	Parent   int64 // time of the message it answers, 0 for none
	Revision uint32

	Role    string
	Format  string
	Model   string
	ReplyTo string
	Usage   []byte // JSON, in clear

	Body     Sealed // JSON
	Metadata Sealed // nil when not set, else a JSON object

	// MetadataRevision is the revision at which the metadata was written; the body is
	// that of Revision.
	MetadataRevision uint32

	Content Digest // of what it was created with, zero without a client id
	Changed uint64 // seq of the commit in which it last changed
}

// Revision is an earlier text of an edited message.
type Revision struct {
	Message  MessageID
	Revision uint32
	Author   Owner
	Written  int64 // when this text was written
	Body     Sealed
	Metadata Sealed

	MetadataRevision uint32 // at which the metadata was written
}
