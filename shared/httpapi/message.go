package httpapi

import (
	"encoding/json"
	"net/http"
	"net/url"

	"github.com/bobbindb/bobbin/shared/chat"
)

// messageRequest is the payload of post-message, and each message of create-thread.
type messageRequest struct {
	Body      json.RawMessage `json:"body"`
	ID        string          `json:"id"`
	Parent    string          `json:"parent"`
	Branch    bool            `json:"branch"`
	Role      string          `json:"role"`
	Status    string          `json:"status"`
	Format    string          `json:"format"`
	Model     string          `json:"model"`
	Usage     json.RawMessage `json:"usage"`
	ReplyTo   string          `json:"reply_to"`
	Metadata  json.RawMessage `json:"metadata"`
	ExpiresAt json.RawMessage `json:"expires_at"`
}

// messageUpdate is the payload of update-message.
type messageUpdate struct {
	Body json.RawMessage `json:"body"`
}

// post checks the payload's fields.
func (in *messageRequest) post(f *fields) chat.Post {
	f.body(in.Body)
	f.text("role", in.Role, maxName)
	f.text("format", in.Format, maxName)
	f.text("model", in.Model, maxName)
	f.text("reply_to", in.ReplyTo, maxReplyTo)
	return chat.Post{
		Body:     in.Body,
		ClientID: chat.ClientID(in.ID),
		Parent:   f.parent(in.Parent),
		Branch:   in.Branch,
		Status:   f.messageStatus(in.Status),
		Role:     in.Role,
		Format:   in.Format,
		Model:    in.Model,
		ReplyTo:  in.ReplyTo,
		Usage:    f.object("usage", in.Usage, maxUsage),
		Metadata: f.object("metadata", in.Metadata, maxMetadata),
		Expires:  f.expiry(in.ExpiresAt),
	}
}

// newPost checks the payload of post-message.
func (a *API) newPost(in *messageRequest) (chat.Post, error) {
	f := fields{now: a.Now().UnixNano()}
	post := in.post(&f)
	return post, f.err
}

// postMessage appends a message to a thread.
func (a *API) postMessage(x *exchange) error {
	thread, err := x.thread()
	if err != nil {
		return err
	}
	call, err := x.changing()
	if err != nil {
		return err
	}
	var in messageRequest
	if err := x.decode(&call, &in, a.MaxBody, errMessagePayload); err != nil {
		return err
	}
	post, err := a.newPost(&in)
	if err != nil {
		return err
	}
	result, err := a.Service.PostMessage(x.r.Context(), call, thread, post)
	return x.answerMessage(http.StatusCreated, result, err)
}

// batchRequest is the payload of post-messages.
type batchRequest struct {
	Messages []messageRequest `json:"messages"`
}

// posts checks the payload's fields.
func (a *API) posts(in *batchRequest) ([]chat.Post, error) {
	switch {
	case len(in.Messages) == 0:
		return nil, fieldError("messages", "cannot be empty")
	case len(in.Messages) > maxMessages:
		return nil, fieldError("messages", "cannot exceed 100")
	}
	f := fields{now: a.Now().UnixNano()}
	posts := make([]chat.Post, len(in.Messages))
	for i := range in.Messages {
		posts[i] = in.Messages[i].post(&f)
	}
	return posts, f.err
}

// postMessages appends messages to a thread, all or none.
func (a *API) postMessages(x *exchange) error {
	thread, err := x.thread()
	if err != nil {
		return err
	}
	call, err := x.changing()
	if err != nil {
		return err
	}
	var in batchRequest
	if err := x.decode(&call, &in, max(MaxBatchBody, a.MaxBody), errMessagePayload); err != nil {
		return err
	}
	posts, err := a.posts(&in)
	if err != nil {
		return err
	}
	result, err := a.Service.PostMessages(x.r.Context(), call, thread, posts)
	x.at(result.Position)
	if err != nil {
		return err
	}
	x.out = append(appendKeys(append(x.out[:0], '{'), result.Messages), '}')
	x.answer(http.StatusCreated)
	return nil
}

// answerMessage answers a change of one message.
func (x *exchange) answerMessage(status int, result chat.Result, err error) error {
	x.at(result.Position)
	if err != nil {
		return err
	}
	id := result.Messages[0]
	switch {
	case status == http.StatusCreated:
		x.located(messagePath(id))
		x.tag(result.Revision)
	case x.r.Method != http.MethodDelete:
		x.tag(result.Revision)
	}
	x.answerKey(status, id)
	return nil
}

// getMessage shows a message.
func (a *API) getMessage(x *exchange) error {
	thread, ref, err := x.message()
	if err != nil {
		return err
	}
	call, err := x.reading()
	if err != nil {
		return err
	}
	message, position, err := a.Service.GetMessage(x.r.Context(), call, thread, ref)
	x.at(position)
	if err != nil {
		return err
	}
	x.tag(message.Revision)
	if x.notModified(message.Revision) {
		return nil
	}
	x.out = append(x.out[:0], `{"message":`...)
	x.out = append(appendMessage(x.out, &message), '}')
	x.answer(http.StatusOK)
	return nil
}

// listMessages shows a page of a thread's messages, oldest first.
func (a *API) listMessages(x *exchange) error {
	thread, err := x.thread()
	if err != nil {
		return err
	}
	call, err := x.reading()
	if err != nil {
		return err
	}
	query, err := x.messageQuery()
	if err != nil {
		return err
	}
	page, position, err := a.Service.ListMessages(x.r.Context(), call, thread, query)
	x.at(position)
	if err != nil {
		return err
	}
	x.out = appendMessagePage(x.out[:0], &page)
	x.answerList()
	return nil
}

func (x *exchange) messageQuery() (chat.MessageQuery, error) {
	cursor, err := x.cursor()
	if err != nil {
		return chat.MessageQuery{}, err
	}
	if _, err := x.sortBy(); err != nil { // accepted, and without effect
		return chat.MessageQuery{}, err
	}
	q := chat.MessageQuery{Cursor: cursor, IncludeDeleted: x.param("include_deleted") == "true"}
	switch x.param("path") {
	case "", "all":
		return q, nil
	case "head":
		if q.Line = true; cursor.After != "" || cursor.Anchor != "" {
			return q, errPathBackwards
		}
		return q, nil
	}
	return q, errPath
}

// updateMessage gives a message another body.
func (a *API) updateMessage(x *exchange) error {
	thread, ref, err := x.message()
	if err != nil {
		return err
	}
	call, err := x.changing()
	if err != nil {
		return err
	}
	var in messageUpdate
	if err := x.decode(&call, &in, a.MaxBody, errMessageUpdatePayload); err != nil {
		return err
	}
	result, err := a.Service.UpdateMessage(x.r.Context(), call, thread, ref, in.Body, x.ifMatch())
	return x.answerMessage(http.StatusOK, result, err)
}

// deleteMessage makes a message a tombstone.
func (a *API) deleteMessage(x *exchange) error {
	thread, ref, err := x.message()
	if err != nil {
		return err
	}
	call, err := x.changing()
	if err != nil {
		return err
	}
	result, err := a.Service.DeleteMessage(x.r.Context(), call, thread, ref, x.ifMatch())
	return x.answerMessage(http.StatusOK, result, err)
}

// undeleteMessage makes a deleted message what it was.
func (a *API) undeleteMessage(x *exchange) error {
	thread, ref, err := x.message()
	if err != nil {
		return err
	}
	call, err := x.changing()
	if err != nil {
		return err
	}
	result, err := a.Service.UndeleteMessage(x.r.Context(), call, thread, ref)
	return x.answerMessage(http.StatusOK, result, err)
}

// appendMessagePage appends a page of messages as clients see it.
func appendMessagePage(b []byte, page *chat.OpenMessagePage) []byte {
	b = append(appendKey(append(b, '{'), "thread", page.Thread), `,"messages":[`...)
	for i := range page.Messages {
		if i > 0 {
			b = append(b, ',')
		}
		b = appendMessage(b, &page.Messages[i])
	}
	b = append(b, ']')
	var first, last chat.MessageID
	if n := len(page.Messages); n > 0 {
		first, last = page.Messages[0].ID, page.Messages[n-1].ID
	}
	return append(appendPage(b, page.Page, len(page.Messages), first, last), '}')
}

// appendMessage appends a message as clients see it.
func appendMessage(b []byte, m *chat.OpenMessage) []byte {
	b = append(b, '{')
	b = appendKey(b, "key", m.ID)
	b = appendKey(b, "thread", m.ID.Thread)
	b = appendText(b, "author", m.Author.User)
	b = appendInt(b, "created_ts", m.Created)
	b = appendInt(b, "updated_ts", max(m.Updated, m.Created))
	b = appendRaw(b, "body", m.Body)
	if m.Deleted != 0 {
		b = appendBool(b, "deleted", true)
	}
	b = appendOptionalText(b, "id", string(m.ClientID))
	if m.Parent != 0 {
		b = appendKey(b, "parent", chat.MessageID{Thread: m.ID.Thread, Time: m.Parent, Seq: chat.NoSeq})
	}
	b = appendOptionalText(b, "role", m.Role)
	b = appendOptionalText(b, "status", m.Status.String())
	b = appendOptionalText(b, "format", m.Format)
	b = appendOptionalText(b, "model", m.Model)
	b = appendOptionalRaw(b, "usage", m.Usage)
	b = appendOptionalText(b, "reply_to", m.ReplyTo)
	b = appendOptionalRaw(b, "metadata", m.Metadata)
	b = appendOptionalInt(b, "revision", int64(m.Revision))
	b = appendOptionalInt(b, "expires_at", m.Expires)
	return append(b, '}')
}

func messagePath(id chat.MessageID) string {
	return threadPath(id.Thread) + "/messages/" + url.QueryEscape(id.String())
}
