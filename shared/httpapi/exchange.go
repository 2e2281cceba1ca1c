package httpapi

import (
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"runtime"
	"runtime/debug"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/bobbindb/bobbin/shared/chat"
	"github.com/bobbindb/bobbin/shared/telemetry"
)

// exchange is one request and its answer. It is the ResponseWriter that ServeMux hands
// to a route, so that what was found out before the route is there after it.
type exchange struct {
	api   *API
	w     http.ResponseWriter
	r     *http.Request
	began time.Time
	id    string // the request's
	route string
	meter *telemetry.HTTPRoute
	calls *telemetry.Calls // to the bucket; nil before the route is known
	span  *telemetry.Span  // nil when it is not traced
	grant Grant
	user  string     // as signed, or as a backend named it
	query url.Values // parsed when first asked for

	status int    // of the answer, 0 before there is one
	in     []byte // the request's body
	out    []byte // the answer's body
}

// exchanges keeps buffers from one request to the next. Nothing that outlives its
// request may alias them.
var exchanges = sync.Pool{New: func() any { return new(exchange) }}

// maxKept is the largest buffer that is kept for the next request.
const maxKept = 256 << 10

func (a *API) begin(w http.ResponseWriter, r *http.Request) *exchange {
	x := exchanges.Get().(*exchange)
	*x = exchange{api: a, w: w, r: r, began: a.Now(), meter: a.nowhere, route: "none", in: x.in[:0], out: x.out[:0]}
	x.id = first(r.Header, "X-Request-Id")
	if !validRequestID(x.id) {
		x.id = a.NewRequestID()
	}
	w.Header()["X-Request-Id"] = []string{x.id}
	if a.Tracer != nil && !isProbe(r.URL.Path) {
		x.r, x.span = a.Tracer.Request(r, x.id)
	}
	if len(r.TransferEncoding) > 0 && r.ProtoMajor == 1 {
		// The request may have had a Content-Length too, by which a proxy tells where it
		// ends, and net/http does not say so. What follows is nobody's request.
		w.Header()["Connection"] = []string{"close"}
	}
	return x
}

// isProbe reports whether a path is asked for again and again by machines that watch.
func isProbe(path string) bool {
	return path == "/metrics" || roomOf(path) == health
}

// end counts and logs the answer. A panic is answered like any internal error.
func (x *exchange) end() {
	if p := recover(); p != nil {
		x.panicked(p)
	}
	took := x.api.Now().Sub(x.began)
	x.meter.Answered(x.status, took)
	x.span.Answered(x.status)
	if ctx := x.r.Context(); x.api.Log.Enabled(ctx, slog.LevelDebug) {
		x.api.Log.LogAttrs(ctx, slog.LevelDebug, "request answered", telemetry.RequestID(x.id),
			slog.String("route", x.route), slog.Int("status", x.status), slog.Duration("took", took))
	}
	in, out := x.in, x.out
	if cap(in) > maxKept {
		in = nil
	}
	if cap(out) > maxKept {
		out = nil
	}
	*x = exchange{in: in, out: out}
	exchanges.Put(x)
}

// panicked answers for a handler that could not. When its answer had begun, the
// connection is cut, so that half an answer is not taken for a whole one.
func (x *exchange) panicked(p any) {
	if p == http.ErrAbortHandler { //nolint:errorlint // the very value that net/http looks for
		panic(p)
	}
	x.api.Log.LogAttrs(x.r.Context(), slog.LevelError, "handler panicked",
		telemetry.RequestID(x.id), slog.String("route", x.route), slog.String("panic", panicText(p)), slog.String("stack", string(debug.Stack())))
	if x.status != 0 {
		panic(http.ErrAbortHandler)
	}
	x.fail(errInternal)
}

// panicText says what a panic is about as far as it cannot hold what a caller sent: the
// runtime's own words, and of others the type. The stack says where.
func panicText(p any) string {
	if err, ok := p.(runtime.Error); ok {
		return err.Error()
	}
	return fmt.Sprintf("%T", p)
}

// validRequestID reports whether an id may be echoed: 1 to 128 characters that need
// no care in a header or a log line.
func validRequestID(id string) bool {
	if len(id) < 1 || len(id) > 128 {
		return false
	}
	for i := range len(id) {
		c := id[i]
		switch {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9':
		case c == '-', c == '_', c == '.', c == ':', c == '/', c == '+', c == '=', c == '@', c == '~':
		default:
			return false
		}
	}
	return true
}

// Header is the answer's header.
func (x *exchange) Header() http.Header { return x.w.Header() }

// WriteHeader begins the answer.
func (x *exchange) WriteHeader(status int) {
	if x.status == 0 {
		x.status = status
		x.timing()
	}
	x.w.WriteHeader(status)
}

// Write sends a part of the answer's body.
func (x *exchange) Write(b []byte) (int, error) {
	if x.status == 0 {
		x.WriteHeader(http.StatusOK)
	}
	return x.w.Write(b)
}

// Unwrap is for http.ResponseController.
func (x *exchange) Unwrap() http.ResponseWriter { return x.w }

// jsonType is shared by every answer and never changed.
var jsonType = []string{"application/json"}

// answer sends the status and what was appended to x.out, as one line: a terminal goes
// on below it.
func (x *exchange) answer(status int) {
	x.w.Header()["Content-Type"] = jsonType
	x.out = append(x.out, '\n')
	x.send(status, x.out)
}

func (x *exchange) send(status int, body []byte) {
	x.w.Header()["Content-Length"] = []string{strconv.Itoa(len(body))}
	x.WriteHeader(status)
	if x.r.Method != http.MethodHead {
		x.w.Write(body) // a client that went away needs no answer
	}
}

// answerList sends a list as one line, compressed for a client that accepts that. An answer with
// an ETag never comes this way: a strong tag names exact bytes.
func (x *exchange) answerList() {
	x.out = append(x.out, '\n')
	x.answerCompressed(jsonType)
}

// answerCompressed sends a text of some type, compressed for a client that accepts that
// when it is worth it.
func (x *exchange) answerCompressed(contentType []string) {
	h := x.w.Header()
	h["Content-Type"] = contentType
	if x.api.CompressFrom < 0 {
		x.send(http.StatusOK, x.out)
		return
	}
	h.Set("Vary", strings.Join(append(h["Vary"], "Accept-Encoding"), ", ")) // one line: a gateway joins lines without the space
	if len(x.out) < x.api.CompressFrom || !acceptsGzip(first(x.r.Header, "Accept-Encoding")) {
		x.send(http.StatusOK, x.out)
		return
	}
	h.Set("Content-Encoding", "gzip")
	x.send(http.StatusOK, compress(x.out))
}

// answerKey sends the key of what was changed.
func (x *exchange) answerKey(status int, key interface{ AppendTo([]byte) []byte }) {
	x.out = append(x.out[:0], `{"key":"`...)
	x.out = key.AppendTo(x.out)
	x.out = append(x.out, `"}`...)
	x.answer(status)
}

// at tells the client which position the answer was read or written at.
func (x *exchange) at(p chat.Position) {
	if p.Branch != "" && len(p.Seqs) > 0 {
		x.w.Header()["Bobbin-Position"] = []string{p.String()}
	}
}

// tag tells the client which revision the answer shows.
func (x *exchange) tag(revision uint32) {
	x.w.Header()["Etag"] = []string{etag(revision)}
}

// params is every value that the query has for a parameter.
func (x *exchange) params(name string) []string {
	if x.r.URL.RawQuery == "" {
		return nil
	}
	if x.query == nil {
		x.query = x.r.URL.Query()
	}
	return x.query[name]
}

// param is a parameter of the query, "" when it is absent.
func (x *exchange) param(name string) string {
	if v := x.params(name); len(v) > 0 {
		return v[0]
	}
	return ""
}

// has reports whether the query names a parameter at all.
func (x *exchange) has(name string) bool {
	x.param(name)
	return x.query.Has(name)
}

// thread is the thread that the path names.
func (x *exchange) thread() (chat.ThreadRef, error) {
	return chat.ParseThread(x.r.PathValue("thread"))
}

// message is the message that the path names, and its thread.
func (x *exchange) message() (chat.ThreadRef, chat.MessageRef, error) {
	thread, err := x.thread()
	if err != nil {
		return chat.ThreadRef{}, chat.MessageRef{}, err
	}
	message, err := chat.ParseMessage(x.r.PathValue("message"))
	return thread, message, err
}

// reading begins a call that changes nothing.
func (x *exchange) reading() (chat.Call, error) {
	caller, err := x.caller()
	if err != nil {
		return chat.Call{}, err
	}
	if x.has("as_of") {
		return chat.Call{}, fieldError("as_of", "is not available in this release")
	}
	opts, err := readOptions(x.r.Header)
	return chat.Call{Caller: caller, RequestID: x.id, Read: opts}, err
}

// changing begins a call that changes something.
func (x *exchange) changing() (chat.Call, error) {
	caller, err := x.caller()
	if err != nil {
		return chat.Call{}, err
	}
	call := chat.Call{
		Caller:         caller,
		RequestID:      x.id,
		IdempotencyKey: first(x.r.Header, "Idempotency-Key"),
		Method:         x.r.Method,
		Path:           x.r.URL.Path,
	}
	if len(call.IdempotencyKey) > 255 || !printable(call.IdempotencyKey) {
		return chat.Call{}, fieldError("Idempotency-Key", "must be at most 255 printable bytes")
	}
	return call, nil
}

// readOptions says how new a read must be.
func readOptions(h http.Header) (chat.ReadOptions, error) {
	var opts chat.ReadOptions
	switch first(h, "Bobbin-Consistency") {
	case "", "strong":
		opts.Consistency = chat.Strong
	case "session":
		opts.Consistency = chat.Session
	case "stale":
		opts.Consistency = chat.Stale
	default:
		return chat.ReadOptions{}, fieldError("Bobbin-Consistency", "must be strong, session or stale")
	}
	if position := first(h, "Bobbin-Min-Position"); position != "" {
		var err error
		if opts.Min, err = chat.ParsePosition(position); err != nil {
			return chat.ReadOptions{}, err
		}
	}
	return opts, nil
}
