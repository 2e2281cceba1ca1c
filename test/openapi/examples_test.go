package openapi_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/bobbindb/bobbin/shared/blob/memblob"
	"github.com/bobbindb/bobbin/shared/chat"
	"github.com/bobbindb/bobbin/shared/httpapi"
	"github.com/bobbindb/bobbin/shared/job"
	"github.com/bobbindb/bobbin/test/engine"
	"github.com/bobbindb/bobbin/test/httpscript/contract"
	"github.com/bobbindb/bobbin/test/openapi"
)

// setup is what the examples find in the store. ada owns the threads hello and gone,
// bob private, and carol shared, in which ada may write.
const setup = `
ada POST /frontend/v1/threads {"title":"Hello","id":"hello","slug":"greetings","messages":[{"body":{"text":"Hi"},"id":"question","role":"user"},{"body":{"text":"Hi there"},"id":"answer","role":"assistant"},{"body":"hm","id":"gone"}]}
ada DELETE /frontend/v1/threads/id:hello/messages/id:gone
ada PUT /frontend/v1/threads/id:hello/messages/id:question {"body":{"text":"Hello"}}
ada POST /frontend/v1/threads {"title":"Gone","id":"gone"}
ada DELETE /frontend/v1/threads/id:gone
bob POST /frontend/v1/threads {"title":"Private","id":"private"}
admin POST /admin/import {"thread":{"id":"shared","author":"carol","title":"Shared","created_ts":1000,"members":["ada"]},"messages":[{"id":"m0","author":"carol","created_ts":1001,"body":"first"}]}
`

// world is a store with what the examples find there.
type world struct {
	options httpapi.Options
	keys    map[string]string // of threads, by their ids
}

func newWorld(t *testing.T) *world {
	t.Helper()
	bucket := memblob.New(time.Now)
	e := engine.New(t, bucket, 1)
	w := &world{options: contract.Options(e.Service), keys: map[string]string{}}
	w.options.Admin.Inspector = e.Service.Reader.(chat.Inspector)
	jobs := e.Jobs()
	t.Cleanup(jobs.Close)
	w.options.Admin.Jobs = jobs
	api := httpapi.New(w.options)
	id := regexp.MustCompile(`"id":"(\w+)"`)
	key := regexp.MustCompile(`"key":"(t:\d+)"`)
	for line := range strings.SplitSeq(strings.TrimSpace(setup), "\n") {
		words := strings.SplitN(line+" ", " ", 4)
		r := request(words[1], words[2], words[3])
		r.Header.Set("X-API-Key", "back")
		r.Header.Set("X-User-ID", words[0])
		if words[0] == "admin" {
			r.Header.Set("X-API-Key", "admin")
		}
		got := httptest.NewRecorder()
		api.ServeHTTP(got, r)
		if got.Code >= 300 {
			t.Fatalf("%s: %d %s", line, got.Code, got.Body)
		}
		if name, made := id.FindStringSubmatch(words[3]), key.FindStringSubmatch(got.Body.String()); name != nil && made != nil {
			w.keys[name[1]] = made[1]
		}
	}
	return w
}

func request(method, path, body string) *http.Request {
	r := httptest.NewRequest(method, path, strings.NewReader(body))
	r.RemoteAddr = "192.0.2.1:1234"
	return r
}

// states are stores that are not well, or that are set up otherwise.
var states = map[string]func(*httpapi.Options){
	"broken":      func(o *httpapi.Options) { o.Access = func() *httpapi.Access { panic("a secret") } },
	"busy":        failing(chat.ErrBusy),
	"frozen":      failing(chat.ErrFrozen),
	"full":        failing(chat.ErrThreadFull),
	"unwritable":  failing(chat.ErrUnwritable),
	"unavailable": failing(chat.ErrUnavailable),
	"tampered": func(o *httpapi.Options) {
		service := *o.Service
		service.Sealer = tampered{service.Sealer}
		o.Service = &service
	},
	"keyless": failing(chat.ErrKeysUnavailable),
	"unknown": failing(chat.ErrUnknownOutcome),
	"guarded": func(o *httpapi.Options) { o.AllowedAddrs = []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")} },
	"limited": func(o *httpapi.Options) { o.Rate = httpapi.Rate{PerSecond: 0.001, Burst: 1} },
	"not ready": func(o *httpapi.Options) {
		o.Ready = func(context.Context) error { return errors.New("no bucket") }
		o.Admin.Health = o.Ready
		o.Admin.Status = func(context.Context) (any, error) { return nil, errors.New("no bucket") }
	},
}

// tampered is a Sealer to which nothing is what was sealed.
type tampered struct{ chat.Sealer }

func (tampered) Open(_ context.Context, name chat.Name, _ []chat.DataKey, _ chat.Sealed) ([]byte, error) {
	return nil, chat.ErrDamaged(name.Key())
}

// failing makes everything that asks the store fail.
func failing(err error) func(*httpapi.Options) {
	return func(o *httpapi.Options) {
		service := *o.Service
		service.Reader, service.Writer = broken{err: err}, broken{err: err}
		o.Service = &service
		o.Admin.Inspector = broken{err: err}
		o.Admin.Jobs = brokenJobs{err}
	}
}

// brokenJobs is long work that answers with one error.
type brokenJobs struct{ err error }

func (b brokenJobs) Start(context.Context, job.Kind, json.RawMessage, string) (*job.Record, error) {
	return nil, b.err
}

func (b brokenJobs) Get(context.Context, job.ID) (*job.Record, error) { return nil, b.err }

func (b brokenJobs) List(context.Context, chat.Cursor) (job.Page, error) { return job.Page{}, b.err }

// broken is a reader, a writer and an inspector that answer with one error.
type broken struct {
	chat.Reader
	chat.Writer
	err error
}

func (b broken) Do(context.Context, *chat.Command) (chat.Result, error) { return chat.Result{}, b.err }

func (b broken) Thread(context.Context, chat.Owner, chat.ThreadRef, chat.ReadOptions) (*chat.Thread, chat.Position, error) {
	return nil, chat.Position{}, b.err
}

func (b broken) Threads(context.Context, chat.Owner, chat.ThreadQuery, chat.ReadOptions) (chat.ThreadPage, chat.Position, error) {
	return chat.ThreadPage{}, chat.Position{}, b.err
}

func (b broken) Message(context.Context, chat.Owner, chat.ThreadRef, chat.MessageRef, chat.ReadOptions) (*chat.Thread, *chat.Message, chat.Position, error) {
	return nil, nil, chat.Position{}, b.err
}

func (b broken) Messages(context.Context, chat.Owner, chat.ThreadRef, chat.MessageQuery, chat.ReadOptions) (chat.MessagePage, chat.Position, error) {
	return chat.MessagePage{}, chat.Position{}, b.err
}

func (b broken) Revisions(context.Context, chat.Owner, chat.ThreadRef, chat.MessageRef, chat.RevisionQuery, chat.ReadOptions) (chat.RevisionPage, chat.Position, error) {
	return chat.RevisionPage{}, chat.Position{}, b.err
}

func (b broken) Stats(context.Context) (chat.Stats, chat.Position, error) {
	return chat.Stats{}, chat.Position{}, b.err
}

func (b broken) Users(context.Context, chat.Cursor) (chat.UserPage, chat.Position, error) {
	return chat.UserPage{}, chat.Position{}, b.err
}

func (b broken) Keys(context.Context, chat.KeyQuery) (chat.KeyPage, chat.Position, error) {
	return chat.KeyPage{}, chat.Position{}, b.err
}

func (b broken) Key(context.Context, int, []byte) (chat.StoredKey, chat.Position, error) {
	return chat.StoredKey{}, chat.Position{}, b.err
}

// example is one answer that the description shows, and what its request is.
type example struct {
	op     openapi.Operation
	name   string
	status int
	when   openapi.Object // what it changes in the operation's own request
	value  any
	lines  bool // the value is a text of lines
}

// examples are all of them, in order.
func examples(t *testing.T, d *openapi.Document) []example {
	t.Helper()
	var out []example
	for _, op := range d.Operations {
		responses := op.Object["responses"].(openapi.Object)
		for _, status := range slices.Sorted(maps.Keys(responses)) {
			_, response, err := d.Resolve(op.ID, responses[status])
			if err != nil {
				t.Fatal(err)
			}
			content, _ := response["content"].(openapi.Object)
			for mediaType, media := range content {
				shown, _ := media.(openapi.Object)["examples"].(openapi.Object)
				for _, name := range slices.Sorted(maps.Keys(shown)) {
					_, object, err := d.Resolve(op.ID, shown[name])
					if err != nil {
						t.Fatal(err)
					}
					code, err := strconv.Atoi(status)
					if err != nil {
						t.Fatal(err)
					}
					when, _ := object["x-when"].(openapi.Object)
					out = append(out, example{op, name, code, when, object["value"], mediaType == "application/x-ndjson"})
				}
			}
		}
	}
	return out
}

// Every example is sent to the engine, and gives the answer that the description shows.
func TestExamples(t *testing.T) {
	d := load(t)
	all := examples(t, d)
	if len(all) < 300 {
		t.Errorf("found %d examples", len(all))
	}
	for _, e := range all {
		t.Run(fmt.Sprintf("%s/%d/%s", e.op.ID, e.status, e.name), func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			state, _ := e.when["store"].(string)
			if change, ok := states[state]; ok {
				change(&w.options)
			} else if state != "" {
				t.Fatalf("there is no store that is %s", state)
			}
			api := d.Checked(t, httpapi.New(w.options))
			got := httptest.NewRecorder()
			switch {
			case state == "limited":
				api.ServeHTTP(httptest.NewRecorder(), w.request(t, d, e))
			case hasHeader(e, "Idempotency-Key", "used"):
				api.ServeHTTP(httptest.NewRecorder(), w.earlier("used"))
			}
			api.ServeHTTP(got, w.request(t, d, e))
			if got.Code != e.status {
				t.Fatalf("status %d, want %d; body:\n%s", got.Code, e.status, got.Body)
			}
			compare(t, e, got.Body.String())
		})
	}
}

func hasHeader(e example, header, value string) bool {
	headers, _ := e.when["headers"].(openapi.Object)
	return headers[header] == value
}

// earlier is another request of ada's, under an idempotency key.
func (w *world) earlier(idempotencyKey string) *http.Request {
	r := request("POST", "/frontend/v1/threads", `{"title":"Earlier"}`)
	r.Header.Set("X-API-Key", "back")
	r.Header.Set("X-User-ID", "ada")
	r.Header.Set("Idempotency-Key", idempotencyKey)
	return r
}

// request is what the example sends.
func (w *world) request(t *testing.T, d *openapi.Document, e example) *http.Request {
	t.Helper()
	parameters, err := d.Parameters(e.op)
	if err != nil {
		t.Fatal(err)
	}
	part := func(name string) openapi.Object { o, _ := e.when[name].(openapi.Object); return o }
	path := e.op.Path
	for at, p := range parameters {
		if name, ok := strings.CutPrefix(at, "path "); ok {
			value, changed := part("path")[name].(string)
			if !changed {
				value = p["example"].(string)
			}
			path = strings.Replace(path, "{"+name+"}", url.PathEscape(w.expand(value)), 1)
		}
	}
	query := url.Values{}
	for name, value := range part("query") {
		query.Set(name, fmt.Sprint(value))
	}
	if len(query) > 0 {
		path += "?" + query.Encode()
	}
	r := request(e.op.Method, path, w.body(t, e))
	w.authenticate(r, e)
	for name, value := range part("headers") {
		if r.Header.Set(name, w.expand(value.(string))); value == "" {
			r.Header.Del(name)
		}
	}
	return r
}

// authenticate sends the key that the operation wants, for ada where it acts for
// somebody.
func (w *world) authenticate(r *http.Request, e example) {
	keys := map[bool]string{false: "back", true: "admin"}
	right := strings.HasPrefix(e.op.Path, "/admin/") || e.op.Path == "/metrics"
	if strings.HasPrefix(e.op.Path, "/frontend/") {
		r.Header.Set("X-User-ID", "ada")
	}
	switch e.when["key"] {
	case "none":
	case "frontend":
		r.Header.Set("Authorization", "Bearer front")
	case "wrong":
		r.Header.Set("Authorization", "Bearer "+keys[!right])
	default:
		r.Header.Set("Authorization", "Bearer "+keys[right])
	}
}

// body is the request's: the example's own, or the one of the same name, or the first.
func (w *world) body(t *testing.T, e example) string {
	t.Helper()
	value, changed := e.when["body"]
	if !changed {
		requestBody, ok := e.op.Object["requestBody"].(openapi.Object)
		if !ok {
			return ""
		}
		for _, media := range requestBody["content"].(openapi.Object) {
			shown := media.(openapi.Object)["examples"].(openapi.Object)
			name := e.name
			if _, ok := shown[name]; !ok {
				name = slices.Sorted(maps.Keys(shown))[0]
			}
			value = shown[name].(openapi.Object)["value"]
		}
	}
	if text, ok := value.(string); ok {
		return w.expand(text)
	}
	text, err := json.Marshal(value)
	if err != nil {
		t.Fatal(err)
	}
	return w.expand(strings.ReplaceAll(string(text), `"${101 messages}"`, `[{"body":1}`+strings.Repeat(`,{"body":1}`, 100)+"]"))
}

var placeholder = regexp.MustCompile(`\$\{(\w+)( bytes)?\}`)

// expand puts the keys of threads in, by their ids, and as many bytes as are named.
func (w *world) expand(text string) string {
	return placeholder.ReplaceAllStringFunc(text, func(s string) string {
		parts := placeholder.FindStringSubmatch(s)
		if n, err := strconv.Atoi(parts[1]); err == nil {
			return strings.Repeat("x", n)
		}
		return w.keys[parts[1]]
	})
}

// Keys, and members whose values are others in every store.
var (
	keyText  = regexp.MustCompile(`t:\d{24}(:m:\d{19}(:\d{9})?)?`)
	jobID    = regexp.MustCompile(`"\d{19}-[a-z2-7]{26}"`)
	volatile = regexp.MustCompile(`"(created_ts|updated_ts|last_message_ts|written_ts|seq|size|request_id)":("[^"]*"|\d+)`)
)

// compare holds an answer to the example's value. A key may be another, but the same
// one stands wherever the example shows the same.
func compare(t *testing.T, e example, got string) {
	t.Helper()
	want, isText := e.value.(string)
	if !isText || !e.lines {
		b, err := json.Marshal(e.value)
		if err != nil {
			t.Fatal(err)
		}
		want = string(b)
		var parsed any
		decoder := json.NewDecoder(strings.NewReader(got))
		decoder.UseNumber()
		if err := decoder.Decode(&parsed); err != nil {
			t.Fatal(err)
		}
		if b, err = json.Marshal(parsed); err != nil {
			t.Fatal(err)
		}
		got = string(b)
	}
	if normal(got) != normal(want) {
		t.Errorf("answer\n%s\nwant\n%s", normal(got), normal(want))
	}
}

func normal(text string) string {
	text = jobID.ReplaceAllString(volatile.ReplaceAllString(text, `"$1":"*"`), `"job"`)
	seen := map[string]int{}
	return keyText.ReplaceAllStringFunc(text, func(key string) string {
		// Threads and messages are told apart, and the short form of a message's key from
		// the whole.
		parts := strings.Split(key, ":")
		for _, part := range parts[1:] {
			if len(part) > 9 {
				if _, ok := seen[part]; !ok {
					seen[part] = len(seen)
				}
			}
		}
		parts[1] = strconv.Itoa(seen[parts[1]])
		if len(parts) > 3 {
			parts[3] = strconv.Itoa(seen[parts[3]])
		}
		return strings.Join(parts, ":")
	})
}

// Every example of a request has its answer, and every text of a refusal that the
// description lists is shown by an example that was sent.
func TestEveryRefusalHasAnExample(t *testing.T) {
	d := load(t)
	var shown []string
	for _, e := range examples(t, d) {
		if o, ok := e.value.(openapi.Object); ok {
			if text, ok := o["error"].(string); ok {
				shown = append(shown, text)
			}
		}
	}
	for name, schema := range d.Root["components"].(openapi.Object)["schemas"].(openapi.Object) {
		for _, text := range texts(schema) {
			if !slices.ContainsFunc(shown, text.matches) {
				t.Errorf("no example shows %q of %s", text, name)
			}
		}
	}
	for _, op := range d.Operations {
		body, _ := op.Object["requestBody"].(openapi.Object)
		content, _ := body["content"].(openapi.Object)
		for _, media := range content {
			for name := range media.(openapi.Object)["examples"].(openapi.Object) {
				if !slices.ContainsFunc(examples(t, d), func(e example) bool { return e.op.ID == op.ID && e.name == name && e.status < 300 }) {
					t.Errorf("%s shows the request %q without its answer", op.ID, name)
				}
			}
		}
	}
}

// refusal is a text that a schema allows, or a pattern of some.
type refusal string

func (r refusal) matches(text string) bool {
	if pattern, ok := strings.CutPrefix(string(r), "pattern "); ok {
		return regexp.MustCompile(pattern).MatchString(text)
	}
	return text == string(r)
}

// texts are those of the member error, wherever a schema has one.
func texts(schema any) []refusal {
	var out []refusal
	switch schema := schema.(type) {
	case openapi.Object:
		for name, child := range schema {
			object, _ := child.(openapi.Object)
			if name != "error" || object == nil {
				out = append(out, texts(child)...)
				continue
			}
			if text, ok := object["const"].(string); ok {
				out = append(out, refusal(text))
			}
			if pattern, ok := object["pattern"].(string); ok {
				out = append(out, refusal("pattern "+pattern))
			}
			list, _ := object["enum"].(openapi.List)
			for _, text := range list {
				out = append(out, refusal(text.(string)))
			}
		}
	case openapi.List:
		for _, child := range schema {
			out = append(out, texts(child)...)
		}
	}
	return out
}
