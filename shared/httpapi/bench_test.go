package httpapi_test

import (
	"bytes"
	"context"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/bobbindb/bobbin/shared/chat"
	"github.com/bobbindb/bobbin/shared/httpapi"
	"github.com/bobbindb/bobbin/shared/seal"
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

func newStub() *stub {
	owner := chat.Owner{User: "u1"}
	s := &stub{position: chat.Position{Branch: "main-7f3k2q", Seqs: []chat.PartitionSeq{{Partition: 0, Seq: 12345}}}}
	s.thread = chat.Thread{
		ID: chat.ThreadID{Time: noon, Slot: 7}, Owner: owner, Created: noon, Updated: noon,
		Title: seal.EncodePlain([]byte("a title")),
	}
	for n := range 50 {
		s.messages = append(s.messages, &chat.Message{
			ID: chat.MessageID{Thread: s.thread.ID, Time: noon + int64(n), Seq: uint32(n)}, Author: owner,
			Created: noon + int64(n), Updated: noon + int64(n), Parent: noon + int64(n) - 1,
			Role: "user", Body: seal.EncodePlain([]byte(kilobyte)),
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

func benchmark(b *testing.B, method, path, body string, want int, change ...func(*httpapi.Options)) {
	s := newStub()
	o, _ := newOptions()
	o.Service = &chat.Service{Reader: s, Writer: s, Sealer: seal.Plain{}, Hasher: chat.NewHasher([]byte("salt")), Now: contract.Now, NewID: o.Service.NewID}
	o.AllowedAddrs, o.Origins, o.NewRequestID, o.Now = nil, nil, nil, nil
	for _, c := range change {
		c(&o)
	}
	api := httpapi.New(o)
	r := as(method, path, nil)
	r.Header = http.Header{
		"Authorization": {"Bearer front"}, "X-User-Id": {"u1"},
		"X-User-Signature": {httpapi.Sign([]byte("sign_example"), "u1")}, "Content-Type": {"application/json"},
	}
	payload := new(repeated)
	r.Body, r.ContentLength = payload, int64(len(body))
	w := &nowhere{header: http.Header{}}
	b.ReportAllocs()
	for b.Loop() {
		clear(w.header)
		payload.Reset([]byte(body))
		api.ServeHTTP(w, r)
	}
	if w.status != want {
		b.Fatalf("status %d, want %d", w.status, want)
	}
	b.ReportMetric(float64(w.size)/float64(b.N), "B/answer")
}

func threadURL() string {
	return fmt.Sprintf("/frontend/v1/threads/t%%3A%d00007", noon)
}

func BenchmarkPostMessage(b *testing.B) {
	benchmark(b, "POST", threadURL()+"/messages", `{"body":`+kilobyte+`}`, http.StatusCreated)
}

func BenchmarkListMessages50(b *testing.B) {
	benchmark(b, "GET", threadURL()+"/messages?limit=50", "", http.StatusOK)
}

func BenchmarkGetMessage(b *testing.B) {
	benchmark(b, "GET", fmt.Sprintf("%s/messages/t%%3A%d00007%%3Am%%3A%d%%3A000000000", threadURL(), noon, noon), "", http.StatusOK)
}

func BenchmarkGetThread(b *testing.B) {
	benchmark(b, "GET", threadURL(), "", http.StatusOK)
}

func BenchmarkGetThreadLimited(b *testing.B) {
	benchmark(b, "GET", threadURL(), "", http.StatusOK, func(o *httpapi.Options) { o.Rate = httpapi.Rate{PerSecond: 1e9} })
}
