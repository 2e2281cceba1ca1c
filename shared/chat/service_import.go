package chat

import "context"

// Conversation is a thread and its messages as they were elsewhere: original ids,
// authors and times.
type Conversation struct {
	Owner    Owner
	ClientID ClientID
	Title    string
	Slug     string
	Metadata []byte
	Status   Status
	Members  []Member
	Created  int64
	Updated  int64
	Deleted  int64
	Expires  int64
	Messages []Past
}

// Past is a message as it was elsewhere. Its ClientID is set.
type Past struct {
	Post
	Author   string
	Created  int64
	Updated  int64
	Deleted  int64
	Revision uint32
}

// importChunk is how many messages of one conversation go into one command.
const importChunk = 500

// Import makes a thread as it was elsewhere, or adds the messages that it lacks.
// Importing the same again changes nothing; an import that broke off is resumed by
// repeating it.
func (s *Service) Import(ctx context.Context, requestID string, in Conversation) (Result, error) {
	if err := in.check(); err != nil {
		return Result{}, err
	}
	draft, err := s.draft(ctx, in.Owner, plain{title: []byte(in.Title), slug: optional(in.Slug), metadata: in.Metadata})
	if err != nil {
		return Result{}, err
	}
	action := &ImportThread{
		ClientID: in.ClientID,
		Created:  in.Created,
		Updated:  in.Updated,
		Deleted:  in.Deleted,
		Status:   in.Status,
		Members:  in.Members,
		Expires:  in.Expires,
		Draft:    draft,
	}
	if in.Slug != "" {
		action.SlugHash = s.slugHash(in.Owner, in.Slug)
	}
	call := Call{Caller: in.Owner, RequestID: requestID}
	rest, created := in.Messages, 0
	for {
		n := min(len(rest), importChunk)
		next := *action
		if n < len(rest) {
			next.Deleted = 0 // a tombstone takes no messages: the last part sets it
		}
		for _, p := range rest[:n] {
			m, err := s.pastMessage(ctx, in.Owner, p)
			if err != nil {
				return Result{Created: created}, err
			}
			next.Messages = append(next.Messages, m)
		}
		result, err := s.do(ctx, s.command(call, s.home(in.Owner), &next))
		created += result.Created
		result.Created = created
		if rest = rest[n:]; err != nil || len(rest) == 0 {
			return result, err
		}
	}
}

func (in *Conversation) check() error {
	if in.Title == "" {
		return ErrTitleEmpty
	}
	if !in.ClientID.Valid() {
		return ErrClientID
	}
	for _, m := range in.Messages {
		if err := checkBody(m.Body); err != nil {
			return err
		}
		if !m.ClientID.Valid() {
			return ErrClientID
		}
	}
	return nil
}

// pastMessage drafts a message as it was elsewhere.
func (s *Service) pastMessage(ctx context.Context, owner Owner, p Past) (NewMessage, error) {
	m, err := s.newMessage(ctx, Owner{Tenant: owner.Tenant, User: p.Author}, p.Post)
	m.Author, m.Created, m.Updated, m.Deleted, m.Revision = p.Author, p.Created, p.Updated, p.Deleted, p.Revision
	return m, err
}
