package chat

import (
	"context"
	"slices"
	"strconv"
)

// Post is a message to post.
type Post struct {
	Body     []byte // JSON, kept exactly
	ClientID ClientID
	Parent   *MessageRef
	Branch   bool
	Status   MessageStatus
	Role     string
	Format   string
	Model    string
	ReplyTo  string
	Usage    []byte
	Metadata []byte
	Expires  int64
}

// PostMessage appends a message to a thread. The result names it.
func (s *Service) PostMessage(ctx context.Context, call Call, ref ThreadRef, in Post) (Result, error) {
	return s.PostMessages(ctx, call, ref, []Post{in})
}

// PostMessages appends messages in one commit, all or none.
func (s *Service) PostMessages(ctx context.Context, call Call, ref ThreadRef, in []Post) (Result, error) {
	messages, err := s.newMessages(ctx, call, in)
	if err != nil {
		return Result{}, err
	}
	return s.do(ctx, s.command(call, s.slotOf(call.Caller, ref), &PostMessages{Thread: ref, Messages: messages}))
}

// newMessages checks messages and drafts their texts.
func (s *Service) newMessages(ctx context.Context, call Call, in []Post) ([]NewMessage, error) {
	if len(in) == 0 {
		return nil, nil
	}
	out := make([]NewMessage, len(in))
	for i, p := range in {
		if err := checkBody(p.Body); err != nil {
			return nil, err
		}
		if p.ClientID != "" && !p.ClientID.Valid() {
			return nil, ErrClientID
		}
		m, err := s.newMessage(ctx, call.Caller, p)
		if err != nil {
			return nil, err
		}
		out[i] = m
	}
	return out, nil
}

// newMessage drafts a message's texts for its author.
func (s *Service) newMessage(ctx context.Context, author Owner, p Post) (NewMessage, error) {
	draft, err := s.draft(ctx, author, plain{body: p.Body, metadata: p.Metadata})
	if err != nil {
		return NewMessage{}, err
	}
	m := NewMessage{
		ClientID: p.ClientID,
		Parent:   p.Parent,
		Branch:   p.Branch,
		Status:   p.Status,
		Role:     p.Role,
		Format:   p.Format,
		Model:    p.Model,
		ReplyTo:  p.ReplyTo,
		Usage:    p.Usage,
		Expires:  p.Expires,
		Draft:    draft,
	}
	if p.ClientID != "" {
		m.Content = s.Hasher.Sum("posted", []byte(author.User), p.Body, p.Metadata)
	}
	return m, nil
}

// GetMessage reads one message of a thread that the caller takes part in.
func (s *Service) GetMessage(ctx context.Context, call Call, thread ThreadRef, ref MessageRef) (OpenMessage, Position, error) {
	t, m, pos, err := s.Reader.Message(ctx, call.Caller, thread, ref, call.Read)
	if err != nil {
		return OpenMessage{}, pos, err
	}
	open, err := s.OpenMessage(ctx, t, m)
	return open, pos, err
}

// OpenMessagePage is a page of messages with their texts opened.
type OpenMessagePage struct {
	Page
	Thread   ThreadID
	Messages []OpenMessage
}

// ListMessages lists a thread's messages, oldest first.
func (s *Service) ListMessages(ctx context.Context, call Call, ref ThreadRef, q MessageQuery) (OpenMessagePage, Position, error) {
	page, pos, err := s.Reader.Messages(ctx, call.Caller, ref, q, call.Read)
	if err != nil {
		return OpenMessagePage{}, pos, err
	}
	out := OpenMessagePage{Page: page.Page, Thread: page.Thread.ID}
	out.Messages, err = fit(&out.Page, len(page.Messages), q.Cursor, last, anchorOf(page.Messages, q.Anchor), func(i int) (OpenMessage, int, error) {
		m, err := s.OpenMessage(ctx, page.Thread, page.Messages[i])
		return m, len(m.Body) + len(m.Metadata), err
	})
	if err != nil {
		return OpenMessagePage{}, pos, err
	}
	return out, pos, nil
}

// OpenRevision is an earlier text of a message, opened.
type OpenRevision struct {
	*Revision
	Body     []byte
	Metadata []byte
}

// OpenRevisionPage is a page of earlier texts, opened.
type OpenRevisionPage struct {
	Page
	Message   MessageID
	Revisions []OpenRevision
}

// ListRevisions lists the earlier texts of a message, oldest first. The text that it
// has now is not among them.
func (s *Service) ListRevisions(ctx context.Context, call Call, thread ThreadRef, ref MessageRef, q RevisionQuery) (OpenRevisionPage, Position, error) {
	page, pos, err := s.Reader.Revisions(ctx, call.Caller, thread, ref, q, call.Read)
	if err != nil {
		return OpenRevisionPage{}, pos, err
	}
	out := OpenRevisionPage{Page: page.Page, Message: page.Message.ID}
	anchor := slices.IndexFunc(page.Revisions, func(r *Revision) bool {
		return strconv.FormatUint(uint64(r.Revision), 10) == q.Anchor
	})
	out.Revisions, err = fit(&out.Page, len(page.Revisions), q.Cursor, last, anchor, func(i int) (OpenRevision, int, error) {
		r, err := s.OpenRevision(ctx, page.Thread, page.Revisions[i])
		return r, len(r.Body) + len(r.Metadata), err
	})
	if err != nil {
		return OpenRevisionPage{}, pos, err
	}
	return out, pos, nil
}

// OpenRevision opens an earlier text of a message, or fails whole.
func (s *Service) OpenRevision(ctx context.Context, t *Thread, r *Revision) (OpenRevision, error) {
	body, err := s.open(ctx, t, Name{Message: r.Message.Time, Revision: r.Revision, Field: FieldBody}, r.Body)
	if err != nil {
		return OpenRevision{}, err
	}
	metadata, err := s.open(ctx, t, Name{Message: r.Message.Time, Revision: r.MetadataRevision, Field: FieldMetadata}, r.Metadata)
	if err != nil {
		return OpenRevision{}, err
	}
	return OpenRevision{Revision: r, Body: body, Metadata: metadata}, nil
}

// UpdateMessage gives a message another body and keeps the earlier one as a revision.
func (s *Service) UpdateMessage(ctx context.Context, call Call, thread ThreadRef, ref MessageRef, body []byte, ifMatch []uint32) (Result, error) {
	if err := checkBody(body); err != nil {
		return Result{}, err
	}
	draft, err := s.draft(ctx, call.Caller, plain{body: body})
	if err != nil {
		return Result{}, err
	}
	action := &EditMessage{Thread: thread, Message: ref, IfMatch: ifMatch, Draft: draft}
	return s.do(ctx, s.command(call, s.slotOf(call.Caller, thread), action))
}

// DeleteMessage makes a message a tombstone.
func (s *Service) DeleteMessage(ctx context.Context, call Call, thread ThreadRef, ref MessageRef, ifMatch []uint32) (Result, error) {
	action := &DeleteMessage{Thread: thread, Message: ref, IfMatch: ifMatch}
	return s.do(ctx, s.command(call, s.slotOf(call.Caller, thread), action))
}

// UndeleteMessage makes a deleted message what it was.
func (s *Service) UndeleteMessage(ctx context.Context, call Call, thread ThreadRef, ref MessageRef) (Result, error) {
	return s.do(ctx, s.command(call, s.slotOf(call.Caller, thread), &UndeleteMessage{Thread: thread, Message: ref}))
}
