package httpapi

import (
	"context"
	"net"
	"net/http"
	"net/textproto"
	"net/url"
	"strings"

	"github.com/aws/aws-lambda-go/events"
	"github.com/awslabs/aws-lambda-go-api-proxy/httpadapter"
)

// LambdaHandler answers the events of an HTTP API, payload version 2.0.
type LambdaHandler func(context.Context, events.APIGatewayV2HTTPRequest) (events.APIGatewayV2HTTPResponse, error)

// Lambda makes a function's handler of an http.Handler, so that a request means there
// what it means in serve. The gateway lower-cases the names of headers, joins those that
// come again with commas, and decodes the path; so path, query, headers, cookies and the
// peer's address are taken from the event as it came, and the adapter does the rest.
func Lambda(h http.Handler) LambdaHandler {
	return func(ctx context.Context, event events.APIGatewayV2HTTPRequest) (events.APIGatewayV2HTTPResponse, error) {
		path := pathOf(&event)
		// The adapter parses it as a URL: what the gateway decoded is encoded again.
		event.RawPath = (&url.URL{Path: path}).EscapedPath()
		adapter := httpadapter.NewV2(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			r.Header = headersOf(&event)
			r.Host = event.RequestContext.DomainName
			r.RemoteAddr = net.JoinHostPort(event.RequestContext.HTTP.SourceIP, "0")
			h.ServeHTTP(w, r)
		}))
		return adapter.ProxyWithContext(ctx, event)
	}
}

// pathOf is the path that was asked for, decoded, without the name of the stage.
func pathOf(event *events.APIGatewayV2HTTPRequest) string {
	stage := "/" + event.RequestContext.Stage
	if path, ok := strings.CutPrefix(event.RawPath, stage); ok && strings.HasPrefix(path, "/") {
		return path
	}
	return event.RawPath
}

// headersOf is an event's headers under their canonical names, each as one value: what
// the gateway joined cannot be told from what came with a comma in it.
func headersOf(event *events.APIGatewayV2HTTPRequest) http.Header {
	header := make(http.Header, len(event.Headers)+1)
	for name, value := range event.Headers {
		header[textproto.CanonicalMIMEHeaderKey(name)] = []string{value}
	}
	if len(event.Cookies) > 0 {
		header["Cookie"] = []string{strings.Join(event.Cookies, "; ")}
	}
	return header
}
