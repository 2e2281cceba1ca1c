package s3blob

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"

	"github.com/bobbindb/bobbin/shared/blob"
)

// answer is what the service says to one request.
type answer func(*http.Request) (*http.Response, error)

// service answers each request with the next of its answers, the last one again and
// again, and keeps the requests.
type service struct {
	mu       sync.Mutex
	answers  []answer
	requests []*http.Request
}

func (s *service) Do(r *http.Request) (*http.Response, error) {
	s.mu.Lock()
	next := s.answers[0]
	if len(s.answers) > 1 {
		s.answers = s.answers[1:]
	}
	s.requests = append(s.requests, r)
	s.mu.Unlock()
	if r.Body != nil {
		if _, err := io.Copy(io.Discard, r.Body); err != nil {
			return nil, err
		}
	}
	return next(r)
}

// date is that of every answer.
const date = "Tue, 24 Nov 2026 09:00:00 GMT"

func respond(status int, header http.Header, body string) answer {
	return func(r *http.Request) (*http.Response, error) {
		res := &http.Response{
			StatusCode: status, Header: http.Header{"Date": {date}}, Request: r,
			Body: io.NopCloser(strings.NewReader(body)), ContentLength: int64(len(body)),
		}
		for name, values := range header {
			res.Header[http.CanonicalHeaderKey(name)] = values
		}
		return res, nil
	}
}

func refuse(status int, code string) answer {
	return respond(status, http.Header{"Content-Type": {"application/xml"}},
		fmt.Sprintf("<Error><Code>%s</Code><Message>no</Message></Error>", code))
}

// reset breaks the connection off after the request was done.
func reset(*http.Request) (*http.Response, error) { return nil, io.ErrUnexpectedEOF }

// silence never answers.
func silence(r *http.Request) (*http.Response, error) {
	<-r.Context().Done()
	return nil, r.Context().Err()
}

// cut announces a body and breaks off in its midst.
func cut(r *http.Request) (*http.Response, error) {
	res, err := respond(http.StatusOK, http.Header{"Content-Length": {"10"}, "ETag": {`"e"`}}, "12345")(r)
	res.ContentLength = 10
	return res, err
}

// stall announces a body and sends half of it, and then nothing.
func stall(r *http.Request) (*http.Response, error) {
	res, err := respond(http.StatusOK, http.Header{"Content-Length": {"10"}, "ETag": {`"e"`}}, "")(r)
	res.ContentLength = 10
	res.Body = io.NopCloser(io.MultiReader(strings.NewReader("12345"), stalled{r.Context()}))
	return res, err
}

type stalled struct{ ctx context.Context }

func (s stalled) Read([]byte) (int, error) {
	<-s.ctx.Done()
	return 0, s.ctx.Err()
}

func open(answers ...answer) (*Bucket, *service) {
	s := &service{answers: answers}
	cfg := aws.Config{Region: "eu-central-1", HTTPClient: s, Credentials: credentials.NewStaticCredentialsProvider("id", "secret", "")}
	return Open(cfg, Options{Bucket: "threads", Prefix: "p", Timeout: 5 * time.Second}), s
}

func TestAnswers(t *testing.T) {
	create := func(b *Bucket) (time.Time, error) {
		info, err := b.Put(context.Background(), "k", []byte("text"), blob.IfAbsent())
		return info.Date, err
	}
	swap := func(b *Bucket) (time.Time, error) {
		info, err := b.Put(context.Background(), "k", []byte("text"), blob.IfMatch(`"e"`))
		return info.Date, err
	}
	get := func(b *Bucket) (time.Time, error) {
		object, err := b.Get(context.Background(), "k")
		return object.Date, err
	}
	list := func(b *Bucket) (time.Time, error) {
		page, err := b.List(context.Background(), blob.ListOptions{})
		return page.Date, err
	}
	remove := func(b *Bucket) (time.Time, error) { return time.Time{}, b.Delete(context.Background(), "k") }
	tests := []struct {
		name     string
		call     func(*Bucket) (time.Time, error)
		answer   answer
		want     error
		dated    bool
		requests int
	}{
		{"create of what is there", create, refuse(412, "PreconditionFailed"), blob.ErrExists, true, 1},
		{"swap of another version", swap, refuse(412, "PreconditionFailed"), blob.ErrExists, true, 1},
		{"swap of nothing", swap, refuse(404, "NoSuchKey"), blob.ErrExists, true, 1},
		{"create beside another", create, refuse(409, "ConditionalRequestConflict"), blob.ErrUnavailable, true, 1},
		{"swap beside another", swap, refuse(409, "ConditionalRequestConflict"), blob.ErrUnavailable, true, 1},
		{"create when it is busy", create, refuse(503, "SlowDown"), blob.ErrUnavailable, true, 1},
		{"create when it fails", create, refuse(500, "InternalError"), blob.ErrUnavailable, true, 1},
		{"create whose reply is lost", create, reset, blob.ErrUnavailable, false, 1},
		{"swap whose reply is lost", swap, reset, blob.ErrUnavailable, false, 1},
		{"create that is damaged on the way", create, refuse(400, "BadDigest"), blob.ErrUnavailable, true, 1},
		{"create that is refused", create, refuse(403, "AccessDenied"), blob.ErrDenied, true, 1},
		{"create under an expired token", create, refuse(400, "ExpiredToken"), blob.ErrDenied, true, 1},
		{"create by a wrong clock", create, refuse(403, "RequestTimeTooSkewed"), blob.ErrUnavailable, true, 1},
		{"create in no bucket", create, refuse(404, "NoSuchBucket"), blob.ErrNotStored, true, 1},
		{"create where conditions are not known", create, refuse(501, "NotImplemented"), blob.ErrNotStored, true, 1},
		{"create where nothing fits", create, refuse(507, "InsufficientStorage"), blob.ErrNotStored, true, 1},
		{"create that is too large", create, refuse(400, "EntityTooLarge"), blob.ErrNotStored, true, 1},
		{"get of nothing", get, refuse(404, "NoSuchKey"), blob.ErrNotExist, true, 1},
		{"get that is refused", get, refuse(403, "AccessDenied"), blob.ErrDenied, true, 1},
		{"get from no bucket", get, refuse(404, "NoSuchBucket"), blob.ErrUnavailable, true, 1},
		{"get by an account that is not known", get, refuse(404, "XAdminUserNotFound"), blob.ErrUnavailable, true, 1},
		{"swap by an account that is not known", swap, refuse(404, "XAdminUserNotFound"), blob.ErrUnavailable, true, 1},
		{"get when it is busy", get, refuse(503, "SlowDown"), blob.ErrUnavailable, true, 3},
		{"get without an answer", get, reset, blob.ErrUnavailable, false, 3},
		{"get that breaks off", get, cut, blob.ErrUnavailable, false, 1},
		{"get of a damaged body", get, respond(200, http.Header{"X-Amz-Checksum-Crc32c": {"AAAAAA=="}, "Content-Length": {"4"}}, "text"), blob.ErrUnavailable, false, 1},
		{"list that is refused", list, refuse(403, "AccessDenied"), blob.ErrDenied, false, 1},
		{"list when it is busy", list, refuse(503, "SlowDown"), blob.ErrUnavailable, false, 3},
		{"delete of nothing", remove, refuse(404, "NoSuchKey"), nil, false, 1},
		{"delete that is refused", remove, refuse(403, "AccessDenied"), blob.ErrDenied, false, 1},
		{"delete from no bucket", remove, refuse(404, "NoSuchBucket"), blob.ErrUnavailable, false, 1},
	}
	all := []error{blob.ErrExists, blob.ErrNotExist, blob.ErrDenied, blob.ErrNotStored, blob.ErrUnavailable}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			b, s := open(tt.answer)
			got, err := tt.call(b)
			for _, known := range all {
				if errors.Is(err, known) != errors.Is(tt.want, known) {
					t.Errorf("error = %v, want %v alone", err, tt.want)
				}
			}
			if got.IsZero() == tt.dated {
				t.Errorf("Date = %v, want one: %t", got, tt.dated)
			}
			if len(s.requests) != tt.requests {
				t.Errorf("%d requests were sent, want %d", len(s.requests), tt.requests)
			}
		})
	}
}

func TestGetAfterABusyAnswer(t *testing.T) {
	b, s := open(refuse(503, "SlowDown"), respond(200, http.Header{"ETag": {`"e"`}, "Content-Length": {"4"}}, "text"))
	got, err := b.Get(t.Context(), "k")
	if err != nil || string(got.Body) != "text" || got.ETag != `"e"` || len(s.requests) != 2 {
		t.Errorf("Get() = %q, tag %s, %v after %d requests, want text after 2", got.Body, got.ETag, err, len(s.requests))
	}
}

func TestDeadline(t *testing.T) {
	for name, silent := range map[string]answer{"no answer": silence, "half a body": stall} {
		t.Run(name, func(t *testing.T) {
			b, _ := open(silent)
			b.timeout = 20 * time.Millisecond
			if _, err := b.Get(t.Context(), "k"); !errors.Is(err, blob.ErrUnavailable) || errors.Is(err, context.Canceled) {
				t.Errorf("Get() = %v, want ErrUnavailable and not the end of a context", err)
			}
		})
	}
}

// A caller that goes away gets the end of its context, whatever the call had come to.
func TestCallerGoesAway(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	b, _ := open(func(r *http.Request) (*http.Response, error) {
		cancel()
		return silence(r)
	})
	if _, err := b.Put(ctx, "k", []byte("text"), blob.IfAbsent()); !errors.Is(err, context.Canceled) || errors.Is(err, blob.ErrUnavailable) {
		t.Errorf("Put() = %v, want the end of the context", err)
	}
}

// What goes over the wire: a condition on every PUT, its checksum in a header (a
// trailer is not known everywhere), and the key under its prefix.
func TestPutRequest(t *testing.T) {
	for _, tt := range []struct {
		name        string
		when        blob.Condition
		none, match string
	}{
		{"create", blob.IfAbsent(), "*", ""},
		{"swap", blob.IfMatch(`"e"`), "", `"e"`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			b, s := open(respond(200, http.Header{"ETag": {`"f"`}}, ""))
			info, err := b.Put(t.Context(), "dir/k", []byte("123456789"), tt.when)
			if err != nil || info.ETag != `"f"` || info.Size != 9 || info.Date.IsZero() {
				t.Fatalf("Put() = %+v, %v, want tag \"f\", 9 bytes and a date", info, err)
			}
			r := s.requests[0]
			if got := r.URL.String(); got != "https://threads.s3.eu-central-1.amazonaws.com/p/dir/k?x-id=PutObject" {
				t.Errorf("URL = %s", got)
			}
			// The CRC-32C of "123456789" is e3069283, its test vector.
			for name, want := range map[string]string{"If-None-Match": tt.none, "If-Match": tt.match,
				"X-Amz-Checksum-Crc32c": "4waSgw==", "X-Amz-Trailer": "", "Content-Encoding": ""} {
				if got := r.Header.Get(name); got != want {
					t.Errorf("%s = %q, want %q", name, got, want)
				}
			}
		})
	}
}

// A page that the service ends early is made full, and only then may say that there is
// more.
func TestShortPages(t *testing.T) {
	page := func(truncated bool, token string, keys ...string) answer {
		var xml bytes.Buffer
		fmt.Fprintf(&xml, "<ListBucketResult><IsTruncated>%t</IsTruncated><NextContinuationToken>%s</NextContinuationToken>", truncated, token)
		for _, key := range keys {
			fmt.Fprintf(&xml, "<Contents><Key>p/%s</Key><Size>7</Size></Contents>", key)
		}
		xml.WriteString("</ListBucketResult>")
		return respond(200, http.Header{"Content-Type": {"application/xml"}}, xml.String())
	}
	b, s := open(page(true, "t1", "a"), page(true, "t2"), page(true, "t3", "b", "c"), page(false, "", "d"))
	got, err := b.List(t.Context(), blob.ListOptions{Prefix: "", After: "0", Limit: 3})
	if err != nil || fmt.Sprint(got.Entries) != "[{a 7} {b 7} {c 7}]" || !got.More || got.Date.IsZero() {
		t.Errorf("List() = %+v, %v, want a, b, c, more, and a date", got, err)
	}
	if len(s.requests) != 3 {
		t.Fatalf("%d requests were sent, want 3", len(s.requests))
	}
	last := s.requests[2].URL.Query()
	if last.Get("continuation-token") != "t2" || last.Get("max-keys") != "2" || last.Get("start-after") != "p/0" {
		t.Errorf("the last request asks for %v, want 2 keys from token t2", last)
	}
}

func TestOpenNamesAnEndpoint(t *testing.T) {
	s := &service{answers: []answer{refuse(404, "NoSuchKey")}}
	cfg := aws.Config{Region: "r", HTTPClient: s, Credentials: credentials.NewStaticCredentialsProvider("id", "secret", "")}
	b := Open(cfg, Options{Bucket: "b", Endpoint: "http://127.0.0.1:9/", PathStyle: true})
	if _, err := b.Get(t.Context(), "k"); !errors.Is(err, blob.ErrNotExist) {
		t.Fatalf("Get() = %v, want ErrNotExist", err)
	}
	if got := s.requests[0].URL.String(); got != "http://127.0.0.1:9/b/k?x-id=GetObject" {
		t.Errorf("URL = %s", got)
	}
}
