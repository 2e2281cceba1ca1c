package conversation

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/bobbindb/bobbin/shared/chat"
)

// line is a conversation as JSON.
type line struct {
	Thread   *threadLine   `json:"thread"`
	Messages []messageLine `json:"messages"`
}

type threadLine struct {
	ID       string          `json:"id"`
	Key      string          `json:"key"`
	Author   string          `json:"author"`
	Tenant   string          `json:"tenant"`
	Title    string          `json:"title"`
	Created  int64           `json:"created_ts"`
	Updated  int64           `json:"updated_ts"`
	Deleted  json.RawMessage `json:"deleted"`
	Expires  int64           `json:"expires_at"`
	Members  json.RawMessage `json:"members"`
	Slug     string          `json:"slug"`
	Status   string          `json:"status"`
	Metadata json.RawMessage `json:"metadata"`
}

type messageLine struct {
	ID       string          `json:"id"`
	Key      string          `json:"key"`
	Author   string          `json:"author"`
	Role     string          `json:"role"`
	Created  int64           `json:"created_ts"`
	Updated  int64           `json:"updated_ts"`
	Deleted  json.RawMessage `json:"deleted"`
	Expires  int64           `json:"expires_at"`
	Body     json.RawMessage `json:"body"`
	Parent   string          `json:"parent"`
	Branch   bool            `json:"branch"`
	Status   string          `json:"status"`
	Format   string          `json:"format"`
	Model    string          `json:"model"`
	Usage    json.RawMessage `json:"usage"`
	ReplyTo  string          `json:"reply_to"`
	Metadata json.RawMessage `json:"metadata"`
	Revision uint32          `json:"revision"`
}

// Parse reads one line. Whether the tenant that it names may be believed is the caller's
// to say. An error is a *chat.Error that says where the line is damaged. The result does not alias b.
func Parse(b []byte) (chat.Conversation, error) {
	b = bytes.TrimSpace(b)
	if !utf8.Valid(b) {
		return chat.Conversation{}, damaged("not UTF-8")
	}
	if len(b) == 0 || b[0] != '{' {
		return chat.Conversation{}, damaged("not a JSON object")
	}
	var in line
	if err := json.Unmarshal(b, &in); err != nil {
		return chat.Conversation{}, damaged(wrong(b, err))
	}
	if in.Thread == nil {
		return chat.Conversation{}, damaged("thread is missing")
	}
	out, err := in.Thread.read(b)
	if err != nil {
		return chat.Conversation{}, damaged("thread: " + err.Error())
	}
	out.Messages, err = readMessages(in.Messages)
	if err != nil {
		return chat.Conversation{}, damaged(err.Error())
	}
	if out.Deleted == deletedAtUpdate {
		out.Deleted = max(out.Updated, out.Created, newest(out.Messages))
	}
	return out, nil
}

// wrong says why a line could not be decoded: which field has the wrong type, or where
// the JSON is no JSON.
func wrong(line []byte, err error) string {
	var of *json.UnmarshalTypeError
	if !errors.As(err, &of) {
		return strings.TrimPrefix(err.Error(), "json: ")
	}
	field := of.Field
	if name, ok := strings.CutPrefix(field, "messages"); ok && of.Type.Kind() != reflect.Slice {
		field = fmt.Sprintf("messages[%d]%s", wrongMessage(line), name)
	}
	return field + ": must be " + wanted(of.Type)
}

// wrongMessage is the first message of a line that has a field of the wrong type.
func wrongMessage(line []byte) int {
	var in struct{ Messages []json.RawMessage }
	if json.Unmarshal(line, &in) != nil {
		return 0
	}
	return slices.IndexFunc(in.Messages, func(m json.RawMessage) bool { return json.Unmarshal(m, new(messageLine)) != nil })
}

// wanted is what JSON calls a value of a type.
func wanted(t reflect.Type) string {
	switch t.Kind() {
	case reflect.String:
		return "a string"
	case reflect.Bool:
		return "true or false"
	case reflect.Slice:
		return "a list"
	case reflect.Uint32:
		return "an integer from 0 to 4294967295"
	case reflect.Int64:
		return "an integer"
	}
	return "an object"
}

func damaged(what string) *chat.Error {
	return &chat.Error{Kind: chat.Invalid, Code: "invalid_conversation", Text: "invalid conversation: " + what}
}

// deletedAtUpdate stands for "deleted": true until the time of the last update is known.
const deletedAtUpdate = -1

func newest(messages []chat.Past) int64 {
	var t int64
	for _, m := range messages {
		t = max(t, m.Created)
	}
	return t
}

func (in *threadLine) read(line []byte) (chat.Conversation, error) {
	out := chat.Conversation{
		Owner:   chat.Owner{Tenant: in.Tenant, User: in.Author},
		Title:   in.Title,
		Slug:    in.Slug,
		Created: in.Created,
		Updated: in.Updated,
		Expires: in.Expires,
	}
	if in.Title == "" {
		return out, missing("title")
	}
	if err := checkUser("author", in.Author); err != nil {
		return out, err
	}
	if err := checkTimes(in.Created, in.Updated, in.Expires); err != nil {
		return out, err
	}
	if len(in.Tenant) > chat.MaxUserID {
		return out, fmt.Errorf("tenant is longer than %d bytes", chat.MaxUserID)
	}
	switch in.Status {
	case "", "open":
	case "archived":
		out.Status = chat.Archived
	default:
		return out, fmt.Errorf("status must be open or archived")
	}
	var err error
	if out.ClientID, err = idOf(in.ID, in.Key, lineID(line)); err != nil {
		return out, err
	}
	if out.Metadata, err = object("metadata", in.Metadata); err != nil {
		return out, err
	}
	if out.Deleted, err = deletion(in.Deleted); err != nil {
		return out, err
	}
	out.Members, err = readMembers(in.Members)
	return out, err
}

func readMessages(in []messageLine) ([]chat.Past, error) {
	out := make([]chat.Past, 0, len(in))
	seen := make(map[chat.ClientID]bool, len(in))
	head := -1 // which message the next one answers, unless it says otherwise
	for i := range in {
		m, err := in[i].read(i)
		if err != nil {
			return nil, fmt.Errorf("messages[%d]: %w", i, err)
		}
		if seen[m.ClientID] {
			return nil, fmt.Errorf("messages[%d]: id %q is used twice", i, m.ClientID)
		}
		if m.Parent != nil && !seen[m.Parent.ClientID] {
			return nil, fmt.Errorf("messages[%d]: parent %q is no earlier message", i, m.Parent.ClientID)
		}
		if m.Parent == nil && head != i-1 {
			m.Parent = &chat.MessageRef{ClientID: out[i-1].ClientID}
		}
		if !m.Branch {
			head = i
		}
		seen[m.ClientID] = true
		out = append(out, m)
	}
	return out, nil
}

func (in *messageLine) read(number int) (chat.Past, error) {
	out := chat.Past{
		Post: chat.Post{
			Body:    in.Body,
			Branch:  in.Branch,
			Role:    in.Role,
			Format:  in.Format,
			Model:   in.Model,
			ReplyTo: in.ReplyTo,
			Expires: in.Expires,
		},
		Author:   in.Author,
		Created:  in.Created,
		Updated:  in.Updated,
		Revision: in.Revision,
	}
	if len(in.Body) == 0 || string(in.Body) == "null" {
		return out, missing("body")
	}
	if err := checkUser("author", in.Author); err != nil {
		return out, err
	}
	if err := checkTimes(in.Created, in.Updated, in.Expires); err != nil {
		return out, err
	}
	var err error
	if out.ClientID, err = idOf(in.ID, in.Key, "m"+strconv.Itoa(number)); err != nil {
		return out, err
	}
	if out.Parent, err = parent(in.Parent); err != nil {
		return out, err
	}
	var known bool
	if out.Status, known = chat.ParseMessageStatus(in.Status); !known {
		return out, errors.New("status is not in_progress, completed, incomplete or failed")
	}
	if out.Usage, err = object("usage", in.Usage); err != nil {
		return out, err
	}
	if out.Metadata, err = object("metadata", in.Metadata); err != nil {
		return out, err
	}
	if out.Deleted, err = deletion(in.Deleted); out.Deleted == deletedAtUpdate {
		out.Deleted = max(in.Updated, in.Created)
	}
	return out, err
}

func missing(field string) error { return fmt.Errorf("%s is missing", field) }

func checkUser(field, user string) error {
	switch {
	case user == "":
		return missing(field)
	case len(user) > chat.MaxUserID:
		return fmt.Errorf("%s is longer than %d bytes", field, chat.MaxUserID)
	}
	return nil
}

func checkTimes(created, updated, expires int64) error {
	switch {
	case created == 0:
		return missing("created_ts")
	case created < 0, updated < 0, expires < 0:
		return fmt.Errorf("a time is before 1970")
	}
	return nil
}

// idOf is a line's own id: given, or made from its key, or else the last resort.
func idOf(id, key, resort string) (chat.ClientID, error) {
	if id == "" && key != "" {
		id = strings.ReplaceAll(key, ":", "-")
	}
	if id == "" {
		id = resort
	}
	if !chat.ClientID(id).Valid() {
		return "", fmt.Errorf("id %q is not 1 to 128 characters of A-Za-z0-9._~@-", id)
	}
	return chat.ClientID(id), nil
}

// lineID names a thread by its whole line, so that importing the line twice is
// importing it once.
func lineID(line []byte) string {
	sum := sha256.Sum256(line)
	return fmt.Sprintf("line-%x", sum[:16])
}

func parent(s string) (*chat.MessageRef, error) {
	if s == "" {
		return nil, nil
	}
	id, ok := strings.CutPrefix(s, "id:")
	if !ok {
		return nil, fmt.Errorf("parent is not of the form id:<id>")
	}
	return &chat.MessageRef{ClientID: chat.ClientID(id)}, nil
}

// object checks an optional JSON object.
func object(field string, raw json.RawMessage) ([]byte, error) {
	switch {
	case len(raw) == 0 || string(raw) == "null":
		return nil, nil
	case raw[0] != '{':
		return nil, fmt.Errorf("%s is not an object", field)
	}
	return raw, nil
}

func deletion(raw json.RawMessage) (int64, error) {
	switch string(raw) {
	case "", "null", "false":
		return 0, nil
	case "true":
		return deletedAtUpdate, nil
	}
	at, err := strconv.ParseInt(string(raw), 10, 64)
	if err != nil || at < 0 {
		return 0, fmt.Errorf("deleted is neither a time nor true or false")
	}
	return at, nil
}

func readMembers(raw json.RawMessage) ([]chat.Member, error) {
	if len(raw) == 0 || string(raw) == "null" {
		return nil, nil
	}
	var members []chat.Member
	if raw[0] == '[' {
		var users []string
		if err := json.Unmarshal(raw, &users); err != nil {
			return nil, fmt.Errorf("members is not a list of user ids")
		}
		for _, user := range users {
			members = append(members, chat.Member{User: user, Role: chat.RoleWriter})
		}
	} else {
		var err error
		if members, err = readRoles(raw); err != nil {
			return nil, err
		}
	}
	seen := make(map[string]bool, len(members))
	for _, m := range members {
		if err := checkUser("a member", m.User); err != nil {
			return nil, err
		}
		if seen[m.User] {
			return nil, fmt.Errorf("member %q is named twice", m.User)
		}
		seen[m.User] = true
	}
	return members, nil
}

// readRoles reads {user: role} in the order in which it is written.
func readRoles(raw json.RawMessage) ([]chat.Member, error) {
	d := json.NewDecoder(bytes.NewReader(raw))
	if t, err := d.Token(); err != nil || t != json.Delim('{') {
		return nil, fmt.Errorf("members is neither a list of user ids nor an object of roles")
	}
	var members []chat.Member
	for d.More() {
		user, err := d.Token()
		if err != nil {
			return nil, err
		}
		var name string
		if err := d.Decode(&name); err != nil {
			return nil, fmt.Errorf("the role of member %q is not a string", user)
		}
		role, ok := chat.ParseRole(name)
		if !ok {
			return nil, fmt.Errorf("the role of member %q is not reader, writer or owner", user)
		}
		members = append(members, chat.Member{User: user.(string), Role: role})
	}
	return members, nil
}
