package conversation_test

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"encoding/json"
	"errors"
	"os"
	"reflect"
	"strings"
	"testing"

	"github.com/bobbindb/bobbin/shared/chat"
	"github.com/bobbindb/bobbin/shared/conversation"
)

// stored is what a store makes of a conversation: keys, heads, parents and times.
func stored(c chat.Conversation) (chat.OpenThread, []chat.OpenMessage) {
	t := &chat.Thread{
		ID: chat.ThreadID{Time: 1_800_000_000_000_000_000}, Owner: c.Owner, ClientID: c.ClientID, Created: c.Created,
		Updated: c.Updated, Deleted: c.Deleted, Expires: c.Expires, Status: c.Status, Members: c.Members,
	}
	if t.Updated == 0 {
		t.Updated = t.Created
		for i, p := range c.Messages {
			if t.Updated = max(t.Updated, p.Created); i == 0 {
				t.Updated = p.Created
			}
		}
	}
	times := map[chat.ClientID]int64{}
	var messages []chat.OpenMessage
	for i, p := range c.Messages {
		m := &chat.Message{
			ID:     chat.MessageID{Thread: t.ID, Time: t.ID.Time + 1 + int64(i), Seq: uint32(i)},
			Author: chat.Owner{User: p.Author}, ClientID: p.ClientID, Created: p.Created, Updated: p.Updated, Deleted: p.Deleted,
			Expires: p.Expires, Status: p.Status, Parent: t.Head, Revision: p.Revision, Role: p.Role, Format: p.Format,
			Model: p.Model, ReplyTo: p.ReplyTo, Usage: p.Usage,
		}
		if p.Parent != nil {
			m.Parent = times[p.Parent.ClientID]
		}
		if !p.Branch {
			t.Head = m.ID.Time
		}
		times[p.ClientID] = m.ID.Time
		messages = append(messages, chat.OpenMessage{Message: m, Body: p.Body, Metadata: p.Metadata})
	}
	return chat.OpenThread{Thread: t, Title: c.Title, Slug: c.Slug, Metadata: c.Metadata}, messages
}

func again(t *testing.T, line []byte) []byte {
	t.Helper()
	c, err := conversation.Parse(line)
	if err != nil {
		t.Fatalf("Parse(%.200s): %v", line, err)
	}
	thread, messages := stored(c)
	return conversation.Append(nil, thread, messages)
}

func equal(t *testing.T, got, want []byte) {
	t.Helper()
	decode := func(b []byte) (v any) {
		d := json.NewDecoder(bytes.NewReader(b))
		d.UseNumber()
		if err := d.Decode(&v); err != nil {
			t.Fatalf("%.200s: %v", b, err)
		}
		return v
	}
	if !reflect.DeepEqual(decode(got), decode(want)) {
		t.Errorf("got  %.2000s\nwant %.2000s", got, want)
	}
}

func TestRoundTrip(t *testing.T) {
	for name, line := range map[string]string{
		"small":  `{"thread":{"id":"a","author":"u1","title":"x","created_ts":1},"messages":[]}`,
		"tenant": `{"thread":{"id":"a","author":"u1","tenant":"acme","title":"x","created_ts":1},"messages":[]}`,
		"member": `{"thread":{"id":"a","author":"u1","title":"x","created_ts":1,"members":["u2","u3"]},"messages":[]}`,
		"roles":  `{"thread":{"id":"a","author":"u1","title":"x","created_ts":1,"members":{"u2":"writer","u3":"reader","u4":"owner"}},"messages":[]}`,
		"thread": `{"thread":{"id":"a","author":"u1","title":"<b>&\" é\u0001","created_ts":1,"slug":"s","status":"archived","metadata":{"n":1.50},"updated_ts":9,"deleted":10,"expires_at":11},"messages":[]}`,
		"messages": `{"thread":{"id":"a","author":"u1","title":"x","created_ts":1},"messages":[
			{"id":"m0","author":"u1","role":"user","created_ts":1,"body":{"n":12345678901234567890,"z":1,"a":"<&>"}},
			{"id":"m1","author":"u2","created_ts":2,"body":"x","updated_ts":5,"deleted":6,"status":"failed","format":"f","model":"m","usage":{"t":1e2},"reply_to":"r","metadata":{"k":[]},"revision":3,"expires_at":7}]}`,
		"newest not last": `{"thread":{"id":"a","author":"u1","title":"x","created_ts":1},"messages":[{"id":"m0","author":"u","created_ts":9,"body":1},{"id":"m1","author":"u","created_ts":2,"body":1}]}`,
		"updated later":   `{"thread":{"id":"a","author":"u1","title":"x","created_ts":1,"updated_ts":99},"messages":[{"id":"m0","author":"u","created_ts":9,"body":1}]}`,
		"tree": `{"thread":{"id":"a","author":"u1","title":"x","created_ts":1},"messages":[
			{"id":"m0","author":"u","created_ts":1,"body":1},{"id":"m1","author":"u","created_ts":2,"body":1},
			{"id":"m2","author":"u","created_ts":3,"body":1,"parent":"id:m0"},{"id":"m3","author":"u","created_ts":4,"body":1}]}`,
		"branch": `{"thread":{"id":"a","author":"u1","title":"x","created_ts":1},"messages":[
			{"id":"m0","author":"u","created_ts":1,"body":1},{"id":"m1","author":"u","created_ts":2,"body":1},
			{"id":"m2","author":"u","created_ts":3,"body":1,"parent":"id:m0","branch":true},{"id":"m3","author":"u","created_ts":4,"body":1,"branch":true}]}`,
	} {
		t.Run(name, func(t *testing.T) {
			line = strings.ReplaceAll(line, "\n", "")
			if !strings.Contains(line, `"members"`) {
				line = strings.Replace(line, `"title"`, `"members":[],"title"`, 1)
			}
			first := again(t, []byte(line))
			equal(t, first, []byte(line))
			if second := again(t, first); !bytes.Equal(first, second) {
				t.Errorf("second export %s\nfirst %s", second, first)
			}
			if n := bytes.Count(first, []byte("\n")); n != 1 || first[len(first)-1] != '\n' {
				t.Errorf("%d line breaks in %q", n, first)
			}
		})
	}
}

// TestRealConversations round-trips what people really said to each other.
func TestRealConversations(t *testing.T) {
	file, err := os.Open("../../../shared/data/chitchat.ndjson.gz")
	if err != nil {
		t.Skip("no data: ", err)
	}
	defer file.Close()
	z, err := gzip.NewReader(file)
	if err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(z)
	lines.Buffer(nil, 64<<20)
	want := 6163
	if testing.Short() {
		want = 300
	}
	n := 0
	for ; n < want && lines.Scan() && !t.Failed(); n++ {
		equal(t, again(t, lines.Bytes()), lines.Bytes())
	}
	if err := lines.Err(); err != nil || n != want {
		t.Errorf("%d conversations, %v; want %d", n, err, want)
	}
}

func TestBodiesStayAsTheyAre(t *testing.T) {
	const body = `{"n":1.50, "u":"\u00fc<>&\/","n":2E5}`
	line := `{"thread":{"id":"a","author":"u","title":"x","created_ts":1},"messages":[{"author":"u","created_ts":1,"body":` + body + `}]}`
	c, err := conversation.Parse([]byte(line))
	if err != nil || string(c.Messages[0].Body) != body {
		t.Errorf("body is %s, %v, want %s", c.Messages[0].Body, err, body)
	}
	if out := again(t, []byte(line)); !bytes.Contains(out, []byte(body)) {
		t.Errorf("%s does not hold %s", out, body)
	}
}

func TestBodyWithLineBreaks(t *testing.T) {
	out := conversation.Append(nil, chat.OpenThread{Thread: &chat.Thread{}}, []chat.OpenMessage{{Message: &chat.Message{}, Body: []byte("{\r\n\"a\":\"\\n\"\n}")}})
	if bytes.Count(out, []byte("\n")) != 1 || !bytes.Contains(out, []byte(`{  "a":"\n" }`)) {
		t.Errorf("line is %q", out)
	}
}

func TestIDs(t *testing.T) {
	const rest = `"author":"u","title":"x","created_ts":1},"messages":[{"author":"u","created_ts":1,"body":1},{"key":"t:1:m:2:0","author":"u","created_ts":1,"body":1}]}`
	for _, tt := range []struct{ name, head, want string }{
		{"own", `{"thread":{"id":"a","key":"t:1",`, "a"},
		{"of the key", `{"thread":{"key":"t:123",`, "t-123"},
		{"of the line", `{"thread":{`, "line-"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c, err := conversation.Parse([]byte(tt.head + rest))
			if err != nil {
				t.Fatal(err)
			}
			if !strings.HasPrefix(string(c.ClientID), tt.want) || c.Messages[0].ClientID != "m0" || c.Messages[1].ClientID != "t-1-m-2-0" {
				t.Errorf("ids %q, %q, %q", c.ClientID, c.Messages[0].ClientID, c.Messages[1].ClientID)
			}
			twice, err := conversation.Parse([]byte("  " + tt.head + rest + "\r\n"))
			if err != nil || twice.ClientID != c.ClientID {
				t.Errorf("with space around it: %q, %v, want %q", twice.ClientID, err, c.ClientID)
			}
		})
	}
}

func TestKeysOfAStoreBecomeIDs(t *testing.T) {
	id := chat.ThreadID{Time: 1, Slot: 2}
	out := conversation.Append(nil, chat.OpenThread{Thread: &chat.Thread{ID: id, Owner: chat.Owner{User: "u"}, Created: 1, Updated: 1}, Title: "x"},
		[]chat.OpenMessage{{Message: &chat.Message{ID: chat.MessageID{Thread: id, Time: 3}, Author: chat.Owner{User: "u"}, Created: 1, Updated: 1}, Body: []byte("1")}})
	c, err := conversation.Parse(out)
	if err != nil || c.ClientID != "t-000000000000000000100002" || c.Messages[0].ClientID != "t-000000000000000000100002-m-0000000000000000003-000000000" {
		t.Errorf("%+v, %v", c, err)
	}
}

func TestDeleted(t *testing.T) {
	for text, want := range map[string][2]int64{"true": {5, 7}, "false": {0, 0}, "null": {0, 0}, "77": {77, 77}} {
		c, err := conversation.Parse([]byte(`{"thread":{"id":"a","author":"u","title":"x","created_ts":1,"deleted":` + text + `},"messages":[` +
			`{"author":"u","created_ts":5,"updated_ts":7,"deleted":` + text + `,"body":1}]}`))
		if err != nil || c.Deleted != want[0] || c.Messages[0].Deleted != want[1] {
			t.Errorf("%s: %d and %d, %v; want %d", text, c.Deleted, c.Messages[0].Deleted, err, want)
		}
	}
}

func TestDamaged(t *testing.T) {
	thread := func(fields string) string { return `{"thread":{` + fields + `},"messages":[]}` }
	messages := func(m string) string {
		return `{"thread":{"id":"a","author":"u","title":"x","created_ts":1},"messages":[` + m + `]}`
	}
	const ok = `"id":"a","author":"u","title":"x","created_ts":1`
	const okMessage = `"author":"u","created_ts":1,"body":1`
	for _, tt := range []struct{ name, line, want string }{
		{"empty", "", "not a JSON object"},
		{"garbage", "hello", "not a JSON object"},
		{"list", "[]", "not a JSON object"},
		{"cut off", `{"thread":{"id":"a"`, "unexpected end of JSON input"},
		{"two values", thread(ok) + "{}", "invalid character '{' after top-level value"},
		{"not UTF-8", "{\"\xff\":1}", "not UTF-8"},
		{"no thread", `{"messages":[]}`, "thread is missing"},
		{"number for a string", thread(`"id":5`), "thread.id: must be a string"},
		{"string for an integer", thread(`"id":"a","created_ts":"1"`), "thread.created_ts: must be an integer"},
		{"fraction for an integer", thread(`"created_ts":1.5`), "thread.created_ts: must be an integer"},
		{"list for a thread", `{"thread":[]}`, "thread: must be an object"},
		{"object for messages", `{"thread":{},"messages":{}}`, "messages: must be a list"},
		{"number for a message", messages("{" + okMessage + "},5"), "messages[1]: must be an object"},
		{"message time", messages("{" + okMessage + `},{"created_ts":"1"},{"created_ts":"1"}`), "messages[1].created_ts: must be an integer"},
		{"branch", messages(`{"branch":1}`), "messages[0].branch: must be true or false"},
		{"no title", thread(`"id":"a","author":"u","created_ts":1`), "thread: title is missing"},
		{"no author", thread(`"id":"a","title":"x","created_ts":1`), "thread: author is missing"},
		{"long author", thread(`"id":"a","title":"x","created_ts":1,"author":"` + strings.Repeat("u", 129) + `"`), "thread: author is longer than 128 bytes"},
		{"long tenant", thread(ok + `,"tenant":"` + strings.Repeat("t", 129) + `"`), "thread: tenant is longer than 128 bytes"},
		{"no time", thread(`"id":"a","author":"u","title":"x"`), "thread: created_ts is missing"},
		{"early", thread(ok + `,"updated_ts":-1`), "thread: a time is before 1970"},
		{"id", thread(`"id":"a b","author":"u","title":"x","created_ts":1`), `thread: id "a b" is not 1 to 128 characters`},
		{"status", thread(ok + `,"status":"gone"`), "thread: status must be open or archived"},
		{"metadata", thread(ok + `,"metadata":[]`), "thread: metadata is not an object"},
		{"deleted", thread(ok + `,"deleted":"x"`), "thread: deleted is neither"},
		{"members", thread(ok + `,"members":"u2"`), "thread: members is neither"},
		{"member type", thread(ok + `,"members":[5]`), "thread: members is not a list of user ids"},
		{"member twice", thread(ok + `,"members":["u2","u2"]`), `thread: member "u2" is named twice`},
		{"member role", thread(ok + `,"members":{"u2":"boss"}`), `thread: the role of member "u2" is not`},
		{"member role type", thread(ok + `,"members":{"u2":[]}`), `thread: the role of member "u2" is not a string`},
		{"member empty", thread(ok + `,"members":[""]`), "thread: a member is missing"},
		{"no body", messages(`{"author":"u","created_ts":1}`), "messages[0]: body is missing"},
		{"null body", messages(`{"author":"u","created_ts":1,"body":null}`), "messages[0]: body is missing"},
		{"no message author", messages(`{` + okMessage + `},{"created_ts":1,"body":1}`), "messages[1]: author is missing"},
		{"no message time", messages(`{"author":"u","body":1}`), "messages[0]: created_ts is missing"},
		{"message id twice", messages(`{"id":"m1",` + okMessage + `},{"id":"m1",` + okMessage + `}`), `messages[1]: id "m1" is used twice`},
		{"derived id twice", messages(`{"id":"m1",` + okMessage + `},{` + okMessage + `}`), `messages[1]: id "m1" is used twice`},
		{"parent form", messages(`{` + okMessage + `,"parent":"m0"}`), "messages[0]: parent is not of the form id:<id>"},
		{"parent later", messages(`{` + okMessage + `,"parent":"id:m1"},{` + okMessage + `}`), `messages[0]: parent "m1" is no earlier message`},
		{"message status", messages(`{` + okMessage + `,"status":"open"}`), "messages[0]: status is not"},
		{"usage", messages(`{` + okMessage + `,"usage":1}`), "messages[0]: usage is not an object"},
		{"revision", messages(`{` + okMessage + `,"revision":-1}`), "messages[0].revision: must be an integer from 0 to 4294967295"},
		{"deep", messages(`{` + okMessage + `,"metadata":` + strings.Repeat("[", 20000) + strings.Repeat("]", 20000) + `}`), "invalid character '[' exceeded max depth"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, err := conversation.Parse([]byte(tt.line))
			var e *chat.Error
			if !errors.As(err, &e) || e.Kind != chat.Invalid || !strings.HasPrefix(e.Text, "invalid conversation: "+tt.want) {
				t.Errorf("Parse() = %v, want %q", err, tt.want)
			}
		})
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte(`{"thread":{"id":"a","author":"u","title":"x","created_ts":1,"members":{"b":"reader"},"deleted":true},"messages":[{"author":"u","created_ts":1,"body":{"a":[1]},"branch":true},{"author":"u","created_ts":2,"body":2,"parent":"id:m0"}]}`))
	f.Fuzz(func(t *testing.T, line []byte) {
		c, err := conversation.Parse(line)
		if err != nil {
			return
		}
		thread, messages := stored(c)
		out := conversation.Append(nil, thread, messages)
		c2, err := conversation.Parse(out)
		if err != nil {
			t.Fatalf("Parse(Append()): %v\n%s", err, out)
		}
		thread, messages = stored(c2)
		if out2 := conversation.Append(nil, thread, messages); !bytes.Equal(out, out2) {
			t.Errorf("exports differ:\n%s%s", out, out2)
		}
	})
}

func BenchmarkParse(b *testing.B) {
	line := []byte(`{"thread":{"id":"a","author":"u","title":"x","created_ts":1},"messages":[` +
		strings.Repeat(`{"author":"u","role":"user","created_ts":1,"body":{"text":"how are you doing today, my friend?"}},`, 39) +
		`{"author":"u","created_ts":1,"body":1}]}`)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := conversation.Parse(line); err != nil {
			b.Fatal(err)
		}
	}
}
