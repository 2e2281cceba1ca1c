package httpapi_test

import (
	"encoding/base64"
	"fmt"
	"io"
	"net/http"
	"testing"

	"github.com/aws/aws-lambda-go/events"

	"github.com/bobbindb/bobbin/shared/httpapi"
)

// What a handler sees of an event.
func TestLambdaRebuildsTheRequest(t *testing.T) {
	event := func(change func(*events.APIGatewayV2HTTPRequest)) events.APIGatewayV2HTTPRequest {
		e := events.APIGatewayV2HTTPRequest{RawPath: "/a", Headers: map[string]string{}}
		e.RequestContext.Stage, e.RequestContext.DomainName = "$default", "api.example"
		e.RequestContext.HTTP.Method, e.RequestContext.HTTP.SourceIP = "POST", "192.0.2.7"
		change(&e)
		return e
	}
	tests := []struct {
		name   string
		change func(*events.APIGatewayV2HTTPRequest)
		see    func(r *http.Request) string
		want   string
	}{
		{"a decoded path", func(e *events.APIGatewayV2HTTPRequest) { e.RawPath = "/t:1/a b/50%/ü" },
			func(r *http.Request) string { return r.URL.Path }, "/t:1/a b/50%/ü"},
		{"a percent sign is not decoded again", func(e *events.APIGatewayV2HTTPRequest) { e.RawPath = "/t%3A1" },
			func(r *http.Request) string { return r.URL.Path }, "/t%3A1"},
		{"a question mark in the path", func(e *events.APIGatewayV2HTTPRequest) { e.RawPath = "/a?b"; e.RawQueryString = "c=d" },
			func(r *http.Request) string { return r.URL.Path + " " + r.URL.RawQuery }, "/a?b c=d"},
		{"a stage", func(e *events.APIGatewayV2HTTPRequest) { e.RequestContext.Stage = "prod"; e.RawPath = "/prod/healthz" },
			func(r *http.Request) string { return r.URL.Path }, "/healthz"},
		{"a path that begins like the stage", func(e *events.APIGatewayV2HTTPRequest) { e.RequestContext.Stage = "prod"; e.RawPath = "/product" },
			func(r *http.Request) string { return r.URL.Path }, "/product"},
		{"a query as it was sent", func(e *events.APIGatewayV2HTTPRequest) { e.RawQueryString = "before=t%3A1&x=a+b" },
			func(r *http.Request) string { return r.URL.RawQuery }, "before=t%3A1&x=a+b"},
		{"a header with a comma", func(e *events.APIGatewayV2HTTPRequest) { e.Headers["x-user-id"] = "a,b" },
			func(r *http.Request) string { return fmt.Sprintf("%q", r.Header["X-User-Id"]) }, `["a,b"]`},
		{"names in any case", func(e *events.APIGatewayV2HTTPRequest) { e.Headers["IF-match"] = `"1"` },
			func(r *http.Request) string { return r.Header.Get("If-Match") }, `"1"`},
		{"cookies", func(e *events.APIGatewayV2HTTPRequest) { e.Cookies = []string{"a=1", "b=2"} },
			func(r *http.Request) string { return r.Header.Get("Cookie") }, "a=1; b=2"},
		{"the peer", func(*events.APIGatewayV2HTTPRequest) {},
			func(r *http.Request) string { return r.Method + " " + r.Host + " " + r.RemoteAddr }, "POST api.example 192.0.2.7:0"},
		{"a peer with an IPv6 address", func(e *events.APIGatewayV2HTTPRequest) { e.RequestContext.HTTP.SourceIP = "2001:db8::1" },
			func(r *http.Request) string { return r.RemoteAddr }, "[2001:db8::1]:0"},
		{"a body", func(e *events.APIGatewayV2HTTPRequest) {
			e.Body, e.IsBase64Encoded = base64.StdEncoding.EncodeToString([]byte{0, 255}), true
		}, func(r *http.Request) string {
			body, err := io.ReadAll(r.Body)
			return fmt.Sprintf("%x %d %v", body, r.ContentLength, err)
		}, "00ff 2 <nil>"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var got string
			answer, err := httpapi.Lambda(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				got = tt.see(r)
				w.WriteHeader(http.StatusNoContent)
			}))(t.Context(), event(tt.change))
			if err != nil || answer.StatusCode != http.StatusNoContent || got != tt.want {
				t.Errorf("the handler sees %s, status %d, %v, want %s", got, answer.StatusCode, err, tt.want)
			}
		})
	}
}
