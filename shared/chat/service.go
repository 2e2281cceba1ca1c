package chat

import (
	"bytes"
	"context"
	"errors"
	"time"
)

// Service turns what a caller asks into commands and reads. It checks the rules that
// need no state, seals and opens texts, and leaves every decision about what is there
// to the Writer and the Reader.
type Service struct {
	Reader Reader
	Writer Writer
	Sealer Sealer
	Hasher Hasher
	Now    func() time.Time
	NewID  func() CommandID

	// Resealed is called for every command whose texts were sealed for a name that its
	// writer refused; nil for nobody.
	Resealed func()
}

// Call is who asks, and how.
type Call struct {
	Caller    Owner
	RequestID string
	Read      ReadOptions

	// IdempotencyKey names the request for 24 hours; "" when the caller gave none.
	// Method, Path and Body are what makes it the same request.
	IdempotencyKey string
	Method         string
	Path           string
	Body           []byte
}

// command gives an action its name and its deadline.
func (s *Service) command(call Call, slot Slot, action Action) *Command {
	cmd := &Command{
		ID:        s.NewID(),
		RequestID: call.RequestID,
		Caller:    call.Caller,
		Slot:      slot,
		NotAfter:  s.Now().Add(Lifetime).UnixNano(),
		Action:    action,
	}
	if call.IdempotencyKey != "" {
		tenant, user := []byte(call.Caller.Tenant), []byte(call.Caller.User)
		cmd.Idempotency = &Idempotency{
			Key:     s.Hasher.Sum("idempotency key", tenant, user, []byte(call.IdempotencyKey)),
			Request: s.Hasher.Sum("idempotent request", []byte(call.Method), []byte(call.Path), call.Body),
		}
	}
	return cmd
}

// home is the slot where an owner's threads live.
func (s *Service) home(o Owner) Slot { return s.Hasher.Owner(o).Slot() }

// slotOf is the slot that a thread reference leads to for this caller.
func (s *Service) slotOf(caller Owner, ref ThreadRef) Slot {
	if ref.ClientID != "" {
		return s.home(caller)
	}
	return ref.ID.Slot
}

// headroom is how far a second proposal goes past the time that the writer allows, so
// that two routes proposing at once seldom collide twice.
const headroom = 50 * time.Microsecond

// do sends a command. When a writer in another process refuses a proposed time, the
// texts are sealed again for the next one; in one process the writer seals for the
// time that it decides, and nobody is refused.
func (s *Service) do(ctx context.Context, cmd *Command) (Result, error) {
	result, err := s.Writer.Do(ctx, cmd)
	var refused *TimeError
	for tries := 0; errors.As(err, &refused) && tries < 8; tries++ {
		repropose(cmd.Action, refused.Next, int64(headroom)*int64(tries))
		if s.Resealed != nil {
			s.Resealed()
		}
		result, err = s.Writer.Do(ctx, cmd)
	}
	return result, err
}

// repropose moves the drafts of an action to a later time, with room for others. What
// an edit and an update propose is a revision, and there is only one next.
func repropose(a Action, next, room int64) {
	at := next + room
	switch a := a.(type) {
	case *PostMessages:
		for i := range a.Messages {
			a.Messages[i].Draft.At = at + int64(i)
		}
	case *CreateThread:
		a.Draft.At = at
		for i := range a.Messages {
			a.Messages[i].Draft.At = at + int64(i)
		}
	case *ImportThread:
		a.Draft.At = at
		for i := range a.Messages {
			a.Messages[i].Draft.At = at + int64(i)
		}
	case *EditMessage:
		a.Draft.At = next
	case *UpdateThread:
		a.Draft.At = next
	}
}

// plain is a draft's texts before they are sealed. A nil field is absent.
type plain struct {
	title, slug, body, metadata []byte
}

// draft promises to seal some texts once their name is decided. What that needs is
// fetched now: the batch that decides waits for nobody.
func (s *Service) draft(ctx context.Context, author Owner, p plain) (Draft, error) {
	if p.title != nil || p.slug != nil || p.body != nil || p.metadata != nil {
		if err := s.Sealer.Warm(ctx, author); err != nil {
			return Draft{}, err
		}
	}
	ctx = context.WithoutCancel(ctx) // the batch that decides outlives the caller
	size := len(p.title) + len(p.slug) + len(p.body) + len(p.metadata)
	return Draft{At: s.Now().UnixNano(), Size: size, Seal: func(thread ThreadID, message int64, revision uint32, keys []DataKey) (Texts, *DataKey, error) {
		var texts Texts
		var made *DataKey
		for _, f := range []struct {
			field Field
			text  []byte
			into  *Sealed
		}{
			{FieldTitle, p.title, &texts.Title},
			{FieldSlug, p.slug, &texts.Slug},
			{FieldBody, p.body, &texts.Body},
			{FieldMetadata, p.metadata, &texts.Metadata},
		} {
			if f.text == nil {
				continue
			}
			sealed, key, err := s.Sealer.Seal(ctx, Name{thread, message, revision, f.field}, author, keys, f.text)
			if err != nil {
				return Texts{}, nil, err
			}
			if key != nil {
				made, keys = key, append(keys[:len(keys):len(keys)], *key)
			}
			*f.into = sealed
		}
		return texts, made, nil
	}}, nil
}

// OpenThread is a thread with its texts opened.
type OpenThread struct {
	*Thread
	Title    string
	Slug     string
	Metadata []byte // a JSON object, nil when not set
}

// OpenMessage is a message with its texts opened.
type OpenMessage struct {
	*Message
	Body     []byte // JSON, exactly as it was sent
	Metadata []byte // a JSON object, nil when not set
}

// OpenThread opens a thread's texts, or fails whole.
func (s *Service) OpenThread(ctx context.Context, t *Thread) (OpenThread, error) {
	title, err := s.open(ctx, t, Name{Revision: t.TitleRevision, Field: FieldTitle}, t.Title)
	if err != nil {
		return OpenThread{}, err
	}
	slug, err := s.open(ctx, t, Name{Revision: t.SlugRevision, Field: FieldSlug}, t.Slug)
	if err != nil {
		return OpenThread{}, err
	}
	metadata, err := s.open(ctx, t, Name{Revision: t.MetadataRevision, Field: FieldMetadata}, t.Metadata)
	if err != nil {
		return OpenThread{}, err
	}
	return OpenThread{Thread: t, Title: string(title), Slug: string(slug), Metadata: metadata}, nil
}

// OpenMessage opens a message's texts, or fails whole.
func (s *Service) OpenMessage(ctx context.Context, t *Thread, m *Message) (OpenMessage, error) {
	body, err := s.open(ctx, t, Name{Message: m.ID.Time, Revision: m.Revision, Field: FieldBody}, m.Body)
	if err != nil {
		return OpenMessage{}, err
	}
	metadata, err := s.open(ctx, t, Name{Message: m.ID.Time, Revision: m.MetadataRevision, Field: FieldMetadata}, m.Metadata)
	if err != nil {
		return OpenMessage{}, err
	}
	return OpenMessage{Message: m, Body: body, Metadata: metadata}, nil
}

// open opens a text of a thread, nil when there is none.
func (s *Service) open(ctx context.Context, t *Thread, name Name, sealed Sealed) ([]byte, error) {
	if sealed == nil {
		return nil, nil
	}
	name.Thread = t.ID
	return s.Sealer.Open(ctx, name, t.Keys, sealed)
}

// checkBody refuses a body that is absent or null. Any other JSON is a body.
func checkBody(body []byte) error {
	if trimmed := bytes.TrimSpace(body); len(trimmed) == 0 || bytes.Equal(trimmed, []byte("null")) {
		return ErrBodyEmpty
	}
	return nil
}
