package httpapi_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	sdktrace "go.opentelemetry.io/otel/sdk/trace"

	"github.com/bobbindb/bobbin/shared/chat"
	"github.com/bobbindb/bobbin/shared/httpapi"
	"github.com/bobbindb/bobbin/shared/job"
	"github.com/bobbindb/bobbin/shared/seal/sealtest"
	"github.com/bobbindb/bobbin/shared/telemetry"
	"github.com/bobbindb/bobbin/test/httpscript/contract"
)

// noon is when everything was made that is read.
var noon = contract.Now().UnixNano()

// stub answers every call with the same thread and messages at once, so that what is
// measured is this package, chat.Service and the seal.
type stub struct {
	chat.Reader // what no benchmark reads

	thread   chat.Thread
	messages []*chat.Message
	result   chat.Result
	position chat.Position
}

func (s *stub) Do(context.Context, *chat.Command) (chat.Result, error) { return s.result, nil }

func (s *stub) Thread(context.Context, chat.Owner, chat.ThreadRef, chat.ReadOptions) (*chat.Thread, chat.Position, error) {
	return &s.thread, s.position, nil
}

func (s *stub) Threads(context.Context, chat.Owner, chat.ThreadQuery, chat.ReadOptions) (chat.ThreadPage, chat.Position, error) {
	return chat.ThreadPage{Threads: []*chat.Thread{&s.thread}}, s.position, nil
}

func (s *stub) Message(context.Context, chat.Owner, chat.ThreadRef, chat.MessageRef, chat.ReadOptions) (*chat.Thread, *chat.Message, chat.Position, error) {
	return &s.thread, s.messages[0], s.position, nil
}

func (s *stub) Messages(context.Context, chat.Owner, chat.ThreadRef, chat.MessageQuery, chat.ReadOptions) (chat.MessagePage, chat.Position, error) {
	return chat.MessagePage{Thread: &s.thread, Messages: s.messages, Page: chat.Page{Total: len(s.messages)}}, s.position, nil
}

func (s *stub) Revisions(context.Context, chat.Owner, chat.ThreadRef, chat.MessageRef, chat.RevisionQuery, chat.ReadOptions) (chat.RevisionPage, chat.Position, error) {
	return chat.RevisionPage{Thread: &s.thread, Message: s.messages[0]}, s.position, nil
}

func (s *stub) Stats(context.Context) (chat.Stats, chat.Position, error) {
	return chat.Stats{Partitions: make([]chat.PartitionStats, 16)}, s.position, nil
}

func (s *stub) Users(context.Context, chat.Cursor) (chat.UserPage, chat.Position, error) {
	return chat.UserPage{Users: make([]chat.User, 50)}, s.position, nil
}

func (s *stub) Keys(context.Context, chat.KeyQuery) (chat.KeyPage, chat.Position, error) {
	return chat.KeyPage{Keys: make([]chat.StoredKey, 50)}, s.position, nil
}

func (s *stub) Key(context.Context, int, []byte) (chat.StoredKey, chat.Position, error) {
	return chat.StoredKey{}, s.position, nil
}

// stubJobs answers with the same job at once.
type stubJobs struct{}

func (stubJobs) Start(context.Context, job.Kind, json.RawMessage, string) (*job.Record, error) {
	return &job.Record{ID: "1700000000000000000-a", Kind: "purge", State: job.Pending}, nil
}

func (j stubJobs) Get(ctx context.Context, _ job.ID) (*job.Record, error) {
	return j.Start(ctx, "purge", nil, "")
}

func (j stubJobs) List(ctx context.Context, _ chat.Cursor) (job.Page, error) {
	record, err := j.Get(ctx, "")
	return job.Page{Jobs: slices.Repeat([]*job.Record{record}, 50)}, err
}

func newStub() *stub {
	owner := chat.Owner{User: "u1"}
	s := &stub{position: chat.Position{Branch: "main-7f3k2q", Seqs: []chat.PartitionSeq{{Partition: 0, Seq: 12345}}}}
	s.thread = chat.Thread{
		ID: chat.ThreadID{Time: noon, Slot: 7}, Owner: owner, Created: noon, Updated: noon,
		Title: sealtest.Frame(1, []byte("a title")),
	}
	for n := range 50 {
		s.messages = append(s.messages, &chat.Message{
			ID: chat.MessageID{Thread: s.thread.ID, Time: noon + int64(n), Seq: uint32(n)}, Author: owner,
			Created: noon + int64(n), Updated: noon + int64(n), Parent: noon + int64(n) - 1,
			Role: "user", Body: sealtest.Frame(1, []byte(kilobyte)),
		})
	}
	s.result = chat.Result{Thread: s.thread.ID, Messages: []chat.MessageID{s.messages[0].ID}, Position: s.position}
	return s
}

// kilobyte is a body of 1 KB.
var kilobyte = `{"text":"` + strings.Repeat("The quick brown fox jumps over the lazy dog. ", 22) + `"}`

// nowhere is a ResponseWriter that costs nothing.
type nowhere struct {
	header http.Header
	status int
	size   int
}

func (w *nowhere) Header() http.Header         { return w.header }
func (w *nowhere) WriteHeader(status int)      { w.status = status }
func (w *nowhere) Write(b []byte) (int, error) { w.size += len(b); return len(b), nil }

type repeated struct{ bytes.Reader }

func (*repeated) Close() error { return nil }

// caller sends one request again and again.
type caller struct {
	api     *httpapi.API
	request *http.Request
	body    []byte
	payload *repeated
	answer  nowhere
}

// newCaller makes a caller with the key and the user that a path wants.
func newCaller(method, path, body string, change ...func(*httpapi.Options)) *caller {
	s := newStub()
	o, _ := newOptions()
	o.Service = &chat.Service{Reader: s, Writer: s, Sealer: sealtest.Copier{}, Hasher: chat.NewHasher([]byte("salt")), Now: contract.Now, NewID: o.Service.NewID}
	o.AllowedAddrs, o.Origins, o.NewRequestID, o.Now = nil, nil, nil, nil
	o.Admin = httpapi.AdminHooks{Inspector: s, Jobs: stubJobs{}, Status: func(context.Context) (any, error) { return struct{}{}, nil }}
	for _, c := range change {
		c(&o)
	}
	c := &caller{api: httpapi.New(o), request: as(method, path, nil), body: []byte(body), payload: new(repeated), answer: nowhere{header: http.Header{}}}
	c.request.Header = http.Header{"Authorization": {"Bearer front"}, "X-User-Id": {"u1"},
		"X-User-Signature": {httpapi.Sign([]byte("sign_example"), "u1")}, "Content-Type": {"application/json"}}
	switch {
	case strings.HasPrefix(path, "/backend"):
		c.request.Header.Set("Authorization", "Bearer back")
	case strings.HasPrefix(path, "/admin"), path == "/metrics":
		c.request.Header.Set("Authorization", "Bearer admin")
	}
	c.request.Body, c.request.ContentLength = c.payload, int64(len(body))
	return c
}

func (c *caller) call() {
	clear(c.answer.header)
	c.payload.Reset(c.body)
	c.api.ServeHTTP(&c.answer, c.request)
}

func benchmark(b *testing.B, method, path, body string, want int) {
	c := newCaller(method, path, body)
	b.ReportAllocs()
	for b.Loop() {
		c.call()
	}
	if c.answer.status != want {
		b.Fatalf("status %d, want %d", c.answer.status, want)
	}
	b.ReportMetric(float64(c.answer.size)/float64(b.N), "B/answer")
}

func threadURL() string {
	return fmt.Sprintf("/frontend/v1/threads/t%%3A%d00007", noon)
}

func messageURL() string {
	return fmt.Sprintf("%s/messages/t%%3A%d00007%%3Am%%3A%d%%3A000000000", threadURL(), noon, noon)
}

// BenchmarkRoute measures a request's own work on every route: what is done outside the
// store, and with bodies that are not sealed.
func BenchmarkRoute(b *testing.B) {
	message := `{"body":` + kilobyte + `}`
	bodies := map[string]string{
		"create-thread": `{"title":"a title"}`, "update-thread": `{"title":"a title"}`, "patch-thread": `{"title":"a title","metadata":{"a":1}}`,
		"post-message": message, "post-messages": `{"messages":[` + message + `]}`, "update-message": message,
		"sign-user":      `{"userId":"u1"}`,
		"import-threads": `{"thread":{"id":"c1","author":"u1","title":"x","created_ts":1},"messages":[{"author":"u1","created_ts":1,"body":` + kilobyte + `}]}`,
	}
	created := map[string]bool{"create-thread": true, "post-message": true, "post-messages": true}
	user := strings.NewReplacer("/frontend/v1", "/admin/users/u1")
	for _, route := range httpapi.Routes {
		path := route.Path
		switch {
		case strings.Contains(path, "/{message}"):
			path = messageURL() + path[strings.Index(path, "{message}")+len("{message}"):]
		case strings.Contains(path, "/{thread}"):
			path = threadURL() + path[strings.Index(path, "{thread}")+len("{thread}"):]
		}
		if strings.Contains(route.Path, "{user}") && path != route.Path {
			path = user.Replace(path)
		}
		path = strings.NewReplacer("{user}", "u1", "{key}", "0063", "{job}", "purge").Replace(path)
		want := http.StatusOK
		switch {
		case created[route.Name]:
			want = http.StatusCreated
		case route.Name == "start-job":
			want = http.StatusAccepted
		}
		b.Run(route.Name, func(b *testing.B) { benchmark(b, route.Method, path, bodies[route.Name], want) })
	}
}

// BenchmarkCost measures what an option costs: requests with it and without it, by
// turns, so that both see the same machine. "x" is the time with it over the time
// without it; "none" is how far two that are the same are apart.
func BenchmarkCost(b *testing.B) {
	traced := func(o *httpapi.Options) {
		var err error
		if o.Tracer, err = telemetry.NewTracer(b.Context(), telemetry.Release{}, discard{}); err != nil {
			b.Fatal(err)
		}
	}
	for name, change := range map[string]func(*httpapi.Options){
		"none":   func(*httpapi.Options) {},
		"rate":   func(o *httpapi.Options) { o.Rate = httpapi.Rate{PerSecond: 1e9} },
		"cors":   func(o *httpapi.Options) { o.Origins = []string{"https://app.example"} },
		"traces": traced,
	} {
		for route, method := range map[string]string{"get-thread": http.MethodGet, "post-message": http.MethodPost} {
			path, body := threadURL(), ""
			if method == http.MethodPost {
				path, body = path+"/messages", `{"body":`+kilobyte+`}`
			}
			b.Run(name+"/"+route, func(b *testing.B) {
				compare(b, newCaller(method, path, body), newCaller(method, path, body, change))
			})
		}
	}
}

// compare lets two callers take turns.
func compare(b *testing.B, without, with *caller) {
	for _, c := range []*caller{without, with} {
		c.request.Header.Set("Origin", "https://app.example")
	}
	const turn = 20
	var took [2][]time.Duration
	for b.Loop() {
		for i, c := range []*caller{without, with} {
			began := time.Now()
			for range turn {
				c.call()
			}
			took[i] = append(took[i], time.Since(began))
		}
	}
	// The lower quartile: above it are the turns in which the machine did something else.
	quartile := func(d []time.Duration) float64 {
		slices.Sort(d)
		return float64(d[len(d)/4]) / turn
	}
	b.ReportMetric(quartile(took[1])/quartile(took[0]), "x")
	b.ReportMetric(quartile(took[1]), "ns/request")
}

// discard exports to nobody.
type discard struct{}

func (discard) ExportSpans(context.Context, []sdktrace.ReadOnlySpan) error { return nil }
func (discard) Shutdown(context.Context) error                             { return nil }
