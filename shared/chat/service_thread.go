package chat

import (
	"context"
	"errors"
	"slices"
)

// NewThread is a thread to make.
type NewThread struct {
	Title    string
	ClientID ClientID
	Slug     string
	Status   Status
	Metadata []byte // a JSON object, nil for none
	Members  []Member
	Expires  int64
	Messages []Post
}

// CreateThread makes a thread of the caller's. The result names it.
func (s *Service) CreateThread(ctx context.Context, call Call, in NewThread) (Result, error) {
	if in.Title == "" {
		return Result{}, ErrTitleEmpty
	}
	if in.ClientID != "" && !in.ClientID.Valid() {
		return Result{}, ErrClientID
	}
	draft, err := s.draft(ctx, call.Caller, plain{title: []byte(in.Title), slug: optional(in.Slug), metadata: in.Metadata})
	if err != nil {
		return Result{}, err
	}
	action := &CreateThread{
		ClientID: in.ClientID,
		Status:   in.Status,
		Members:  in.Members,
		Expires:  in.Expires,
		Draft:    draft,
	}
	if in.ClientID != "" {
		action.Content = s.Hasher.Sum("created with", call.Body)
	}
	if in.Slug != "" {
		action.SlugHash = s.slugHash(call.Caller, in.Slug)
	}
	messages, err := s.newMessages(ctx, call, in.Messages)
	if err != nil {
		return Result{}, err
	}
	action.Messages = messages
	return s.do(ctx, s.command(call, s.home(call.Caller), action))
}

// GetThread reads a thread that the caller takes part in.
func (s *Service) GetThread(ctx context.Context, call Call, ref ThreadRef) (OpenThread, Position, error) {
	t, pos, err := s.Reader.Thread(ctx, call.Caller, ref, call.Read)
	if err != nil {
		return OpenThread{}, pos, err
	}
	open, err := s.OpenThread(ctx, t)
	return open, pos, err
}

// OpenThreadPage is a page of threads with their texts opened.
type OpenThreadPage struct {
	Page
	Threads []OpenThread
}

// ListThreads lists the caller's own threads, newest first.
func (s *Service) ListThreads(ctx context.Context, call Call, q ThreadQuery) (OpenThreadPage, Position, error) {
	page, pos, err := s.Reader.Threads(ctx, call.Caller, q, call.Read)
	if err != nil {
		return OpenThreadPage{}, pos, err
	}
	out := OpenThreadPage{Page: page.Page}
	out.Threads, err = fit(&out.Page, len(page.Threads), q.Cursor, first, threadAnchorOf(page.Threads, q.Anchor), func(i int) (OpenThread, int, error) {
		t, err := s.OpenThread(ctx, page.Threads[i])
		return t, len(t.Title) + len(t.Slug) + len(t.Metadata), err
	})
	if err != nil {
		return OpenThreadPage{}, pos, err
	}
	return out, pos, nil
}

// UpdateThread gives a thread another title.
func (s *Service) UpdateThread(ctx context.Context, call Call, ref ThreadRef, title string, ifMatch []uint32) (Result, error) {
	if title == "" {
		return Result{}, ErrTitleEmpty
	}
	draft, err := s.draft(ctx, call.Caller, plain{title: []byte(title)})
	if err != nil {
		return Result{}, err
	}
	action := &UpdateThread{Thread: ref, IfMatch: ifMatch, Draft: draft}
	return s.do(ctx, s.command(call, s.slotOf(call.Caller, ref), action))
}

// ThreadChange says what becomes of a thread. What is nil stays.
type ThreadChange struct {
	Title   string  // "" stays
	Slug    *string // "" for none
	Status  *Status
	Expires *int64 // 0 for never
	Head    *MessageRef

	// Metadata is a JSON object whose members replace those of the thread's metadata;
	// null takes a member away.
	Metadata   []byte
	NoMetadata bool // takes the metadata away
}

// maxPatches is how often metadata is merged again because the thread changed
// meanwhile.
const maxPatches = 8

// PatchThread changes a thread and shows it as it is afterwards.
func (s *Service) PatchThread(ctx context.Context, call Call, ref ThreadRef, in ThreadChange, ifMatch []uint32) (OpenThread, Position, error) {
	result, err := s.patchThread(ctx, call, ref, in, ifMatch)
	for tries := 1; in.Metadata != nil && ifMatch == nil && errors.Is(err, ErrPrecondition) && tries < maxPatches; tries++ {
		result, err = s.patchThread(ctx, call, ref, in, nil)
	}
	if in.Metadata != nil && ifMatch == nil && errors.Is(err, ErrPrecondition) {
		err = ErrBusy.Because(err) // others keep changing it, and the caller set no condition
	}
	if err != nil {
		return OpenThread{}, result.Position, err
	}
	call.Read = ReadOptions{Consistency: Session, Min: result.Position}
	return s.GetThread(ctx, call, ref)
}

// patchThread sends a change once. Metadata is merged here, where texts are open, and
// is right only for the revision that it was read at.
func (s *Service) patchThread(ctx context.Context, call Call, ref ThreadRef, in ThreadChange, ifMatch []uint32) (Result, error) {
	p := plain{title: optional(in.Title)}
	action := &UpdateThread{
		Thread: ref, IfMatch: ifMatch, Status: in.Status, Expires: in.Expires, Head: in.Head, NoMetadata: in.NoMetadata,
	}
	if in.Slug != nil {
		p.slug, action.Slug = optional(*in.Slug), &Digest{}
		if *in.Slug != "" {
			*action.Slug = s.slugHash(call.Caller, *in.Slug)
		}
	}
	if in.Metadata != nil {
		old, pos, err := s.GetThread(ctx, Call{Caller: call.Caller, RequestID: call.RequestID}, ref)
		if err != nil {
			return Result{Position: pos}, err
		}
		if p.metadata, err = mergeObject(old.Metadata, in.Metadata); err != nil {
			return Result{Position: pos}, err
		}
		// The writer refuses an empty list too, unless it knows the answer already.
		if action.IfMatch = []uint32{}; ifMatch == nil || slices.Contains(ifMatch, old.Revision) {
			action.IfMatch = []uint32{old.Revision}
		}
	}
	draft, err := s.draft(ctx, call.Caller, p)
	if err != nil {
		return Result{}, err
	}
	action.Draft = draft
	return s.do(ctx, s.command(call, s.slotOf(call.Caller, ref), action))
}

// DeleteThread makes a thread a tombstone.
func (s *Service) DeleteThread(ctx context.Context, call Call, ref ThreadRef, ifMatch []uint32) (Result, error) {
	return s.do(ctx, s.command(call, s.slotOf(call.Caller, ref), &DeleteThread{Thread: ref, IfMatch: ifMatch}))
}

// UndeleteThread makes a deleted thread what it was.
func (s *Service) UndeleteThread(ctx context.Context, call Call, ref ThreadRef) (Result, error) {
	return s.do(ctx, s.command(call, s.slotOf(call.Caller, ref), &UndeleteThread{Thread: ref}))
}

// SlugHash is what a list is asked by for an owner's threads of a slug.
func (s *Service) SlugHash(o Owner, slug string) Digest { return s.slugHash(o, slug) }

func (s *Service) slugHash(o Owner, slug string) Digest {
	return s.Hasher.Sum("slug", []byte(o.Tenant), []byte(o.User), []byte(slug))
}

// optional is the text's bytes, nil when there is none.
func optional(text string) []byte {
	if text == "" {
		return nil
	}
	return []byte(text)
}
