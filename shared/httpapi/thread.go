package httpapi

import (
	"encoding/json"
	"net/http"
	"net/url"

	"github.com/bobbindb/bobbin/shared/chat"
)

// threadRequest is the payload of create-thread.
type threadRequest struct {
	Title     string           `json:"title"`
	ID        string           `json:"id"`
	Slug      string           `json:"slug"`
	Status    string           `json:"status"`
	Metadata  json.RawMessage  `json:"metadata"`
	ExpiresAt json.RawMessage  `json:"expires_at"`
	Messages  []messageRequest `json:"messages"`
}

// threadUpdate is the payload of update-thread.
type threadUpdate struct {
	Title string `json:"title"`
}

// threadPatch is the payload of patch-thread. A member that is absent is nil; null
// arrives as it is.
type threadPatch struct {
	Title     json.RawMessage `json:"title"`
	Slug      json.RawMessage `json:"slug"`
	Status    json.RawMessage `json:"status"`
	Metadata  json.RawMessage `json:"metadata"`
	Head      json.RawMessage `json:"head"`
	ExpiresAt json.RawMessage `json:"expires_at"`
}

// maxMessages is how many messages one request may bring.
const maxMessages = 100

// createThread makes a thread, with messages when the payload has some.
func (a *API) createThread(x *exchange) error {
	call, err := x.changing()
	if err != nil {
		return err
	}
	var in threadRequest
	if err := x.decode(&call, &in, max(MaxBatchBody, a.MaxBody), errThreadPayload); err != nil {
		return err
	}
	thread, err := a.newThread(&in, int64(len(call.Body)))
	if err != nil {
		return err
	}
	result, err := a.Service.CreateThread(x.r.Context(), call, thread)
	x.at(result.Position)
	if err != nil {
		return err
	}
	x.answerCreated(result)
	return nil
}

// newThread checks the payload's fields. Only messages may make it larger than another.
func (a *API) newThread(in *threadRequest, size int64) (chat.NewThread, error) {
	if len(in.Messages) == 0 && size > a.MaxBody {
		return chat.NewThread{}, errTooLarge
	}
	if len(in.Messages) > maxMessages {
		return chat.NewThread{}, fieldError("messages", "cannot exceed 100")
	}
	out := chat.NewThread{Title: in.Title, ClientID: chat.ClientID(in.ID), Slug: in.Slug}
	if out.Title == "" {
		return chat.NewThread{}, chat.ErrTitleEmpty
	}
	f := fields{now: a.Now().UnixNano()}
	f.text("slug", in.Slug, maxSlug)
	out.Status = f.threadStatus(in.Status)
	out.Metadata = f.object("metadata", in.Metadata, maxMetadata)
	out.Expires = f.expiry(in.ExpiresAt)
	for i := range in.Messages {
		out.Messages = append(out.Messages, in.Messages[i].post(&f))
	}
	return out, f.err
}

// answerCreated sends the key of a thread, and the keys of its messages when it has
// some.
func (x *exchange) answerCreated(result chat.Result) {
	x.tag(result.Revision)
	x.located(threadPath(result.Thread))
	if len(result.Messages) == 0 {
		x.answerKey(http.StatusCreated, result.Thread)
		return
	}
	x.out = append(x.out[:0], '{')
	x.out = appendKey(x.out, "key", result.Thread)
	x.out = append(appendKeys(x.out, result.Messages), '}')
	x.answer(http.StatusCreated)
}

// appendKeys appends the keys of messages as a member.
func appendKeys(b []byte, messages []chat.MessageID) []byte {
	b = append(appendName(b, "keys"), '[')
	for i, id := range messages {
		if i > 0 {
			b = append(b, ',')
		}
		b = append(id.AppendTo(append(b, '"')), '"')
	}
	return append(b, ']')
}

// getThread shows a thread.
func (a *API) getThread(x *exchange) error {
	ref, err := x.thread()
	if err != nil {
		return err
	}
	call, err := x.reading()
	if err != nil {
		return err
	}
	thread, position, err := a.Service.GetThread(x.r.Context(), call, ref)
	return x.answerThread(&thread, position, err)
}

// answerThread shows a thread, unless it was read and the request has it already.
func (x *exchange) answerThread(thread *chat.OpenThread, position chat.Position, err error) error {
	x.at(position)
	if err != nil {
		return err
	}
	x.tag(thread.Revision)
	if x.r.Method != http.MethodPatch && x.notModified(thread.Revision) {
		return nil
	}
	x.out = append(x.out[:0], `{"thread":`...)
	x.out = append(appendThread(x.out, thread), '}')
	x.answer(http.StatusOK)
	return nil
}

// listThreads shows a page of the caller's threads, newest first.
func (a *API) listThreads(x *exchange) error {
	call, err := x.reading()
	if err != nil {
		return err
	}
	query, err := a.threadQuery(x, call.Caller)
	if err != nil {
		return err
	}
	page, position, err := a.Service.ListThreads(x.r.Context(), call, query)
	x.at(position)
	if err != nil {
		return err
	}
	x.out = appendThreadPage(x.out[:0], &page)
	x.answerList()
	return nil
}

func (a *API) threadQuery(x *exchange, caller chat.Owner) (chat.ThreadQuery, error) {
	cursor, err := x.cursor()
	if err != nil {
		return chat.ThreadQuery{}, err
	}
	sortBy, err := x.sortBy()
	if err != nil {
		return chat.ThreadQuery{}, err
	}
	q := chat.ThreadQuery{Cursor: cursor, SortBy: sortBy}
	var f fields
	if name := x.param("status"); name != "" {
		status := f.threadStatus(name)
		q.Status = &status
	}
	slug := x.param("slug")
	if slug == "" || f.err != nil {
		return q, f.err
	}
	if q.Status != nil || sortBy != chat.ByCreated {
		return q, errSlugAlone
	}
	q.SlugHash = a.Service.SlugHash(caller, slug)
	return q, nil
}

// updateThread gives a thread another title.
func (a *API) updateThread(x *exchange) error {
	ref, err := x.thread()
	if err != nil {
		return err
	}
	call, err := x.changing()
	if err != nil {
		return err
	}
	var in threadUpdate
	if err := x.decode(&call, &in, a.MaxBody, errThreadUpdatePayload); err != nil {
		return err
	}
	result, err := a.Service.UpdateThread(x.r.Context(), call, ref, in.Title, x.ifMatch())
	x.at(result.Position)
	if err != nil {
		return err
	}
	x.tag(result.Revision)
	x.answerKey(http.StatusOK, result.Thread)
	return nil
}

// patchThread changes what the payload names, and shows the thread.
func (a *API) patchThread(x *exchange) error {
	ref, err := x.thread()
	if err != nil {
		return err
	}
	call, err := x.changing()
	if err != nil {
		return err
	}
	var in threadPatch
	if err := x.decode(&call, &in, a.MaxBody, errThreadUpdatePayload); err != nil {
		return err
	}
	change, err := a.threadChange(&in)
	if err != nil {
		return err
	}
	thread, position, err := a.Service.PatchThread(x.r.Context(), call, ref, change, x.ifMatch())
	return x.answerThread(&thread, position, err)
}

// threadChange checks the payload's fields. null takes away what a thread can be
// without.
func (a *API) threadChange(in *threadPatch) (chat.ThreadChange, error) {
	f := fields{now: a.Now().UnixNano()}
	var out chat.ThreadChange
	if in.Title != nil {
		if f.string("title", in.Title, &out.Title); out.Title == "" && f.err == nil {
			return out, chat.ErrTitleEmpty
		}
	}
	if in.Slug != nil {
		out.Slug = new(string)
		f.string("slug", in.Slug, out.Slug)
		f.text("slug", *out.Slug, maxSlug)
	}
	if in.Status != nil {
		var name string
		if f.string("status", in.Status, &name); name == "" {
			f.refuse("status", "must be open or archived")
		}
		status := f.threadStatus(name)
		out.Status = &status
	}
	if out.NoMetadata = string(in.Metadata) == "null"; !out.NoMetadata {
		out.Metadata = f.object("metadata", in.Metadata, maxMetadata)
	}
	if in.ExpiresAt != nil {
		expires := f.expiry(in.ExpiresAt)
		out.Expires = &expires
	}
	if in.Head == nil || f.err != nil {
		return out, f.err
	}
	var head string
	if f.string("head", in.Head, &head); f.err != nil {
		return out, f.err
	}
	message, err := chat.ParseMessage(head)
	out.Head = &message
	return out, err
}

// deleteThread makes a thread a tombstone.
func (a *API) deleteThread(x *exchange) error {
	ref, err := x.thread()
	if err != nil {
		return err
	}
	call, err := x.changing()
	if err != nil {
		return err
	}
	result, err := a.Service.DeleteThread(x.r.Context(), call, ref, x.ifMatch())
	x.at(result.Position)
	if err != nil {
		return err
	}
	x.answerKey(http.StatusOK, result.Thread)
	return nil
}

// undeleteThread makes a deleted thread what it was.
func (a *API) undeleteThread(x *exchange) error {
	ref, err := x.thread()
	if err != nil {
		return err
	}
	call, err := x.changing()
	if err != nil {
		return err
	}
	result, err := a.Service.UndeleteThread(x.r.Context(), call, ref)
	x.at(result.Position)
	if err != nil {
		return err
	}
	x.tag(result.Revision)
	x.answerKey(http.StatusOK, result.Thread)
	return nil
}

// appendThreadPage appends a page of threads as clients see it.
func appendThreadPage(b []byte, page *chat.OpenThreadPage) []byte {
	b = append(b, `{"threads":[`...)
	for i := range page.Threads {
		if i > 0 {
			b = append(b, ',')
		}
		b = appendThread(b, &page.Threads[i])
	}
	b = append(b, ']')
	var first, last chat.ThreadID
	if n := len(page.Threads); n > 0 {
		first, last = page.Threads[0].ID, page.Threads[n-1].ID
	}
	return append(appendPage(b, page.Page, len(page.Threads), first, last), '}')
}

// appendThread appends a thread as clients see it.
func appendThread(b []byte, t *chat.OpenThread) []byte {
	b = append(b, '{')
	b = appendKey(b, "key", t.ID)
	b = appendText(b, "title", t.Title)
	b = appendText(b, "author", t.Owner.User)
	b = appendInt(b, "created_ts", t.Created)
	b = appendInt(b, "updated_ts", max(t.Updated, t.Created))
	if t.Deleted != 0 {
		b = appendBool(b, "deleted", true)
	}
	b = appendOptionalText(b, "id", string(t.ClientID))
	b = appendOptionalText(b, "slug", t.Slug)
	if t.Status == chat.Archived {
		b = appendText(b, "status", "archived")
	}
	b = appendOptionalRaw(b, "metadata", t.Metadata)
	if len(t.Members) > 0 {
		b = appendMembers(b, t.Members)
	}
	if t.Head != 0 {
		b = appendKey(b, "head", chat.MessageID{Thread: t.ID, Time: t.Head, Seq: chat.NoSeq})
	}
	b = appendOptionalInt(b, "last_message_ts", t.LastMessage)
	b = appendOptionalInt(b, "expires_at", t.Expires)
	return append(b, '}')
}

func appendMembers(b []byte, members []chat.Member) []byte {
	b = append(appendName(b, "members"), '{')
	for i, m := range members {
		if i > 0 {
			b = append(b, ',')
		}
		b = append(appendString(b, m.User), ':')
		b = appendString(b, m.Role.String())
	}
	return append(b, '}')
}

func threadPath(id chat.ThreadID) string {
	return "/frontend/v1/threads/" + url.QueryEscape(id.String())
}

// located tells the client where it finds what it made.
func (x *exchange) located(path string) { x.w.Header()["Location"] = []string{path} }
