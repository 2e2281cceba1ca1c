// Package gateway turns HTTP into the events of an Amazon API Gateway HTTP API, payload
// version 2.0, and back, as badly as the gateway does it: names of headers in lower
// case, repeated ones joined by commas, the path decoded.
package gateway

import (
	"encoding/base64"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/aws/aws-lambda-go/events"

	"github.com/bobbindb/bobbin/shared/httpapi"
)

// maxPayload is the most that a function takes or gives, in bytes: 6 MB, Base64 included.
const maxPayload = 6 << 20

// Handler answers HTTP by a function.
func Handler(function httpapi.LambdaHandler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		event, err := Event(r)
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		if len(event.Body) > maxPayload {
			http.Error(w, `{"message":"Request Entity Too Large"}`, http.StatusRequestEntityTooLarge)
			return
		}
		answer, err := function(r.Context(), event)
		if err != nil || len(answer.Body) > maxPayload {
			http.Error(w, `{"message":"Internal Server Error"}`, http.StatusInternalServerError)
			return
		}
		if err := Answer(w, answer); err != nil {
			http.Error(w, err.Error(), http.StatusBadGateway)
		}
	})
}

// Event is the event of a request.
func Event(r *http.Request) (events.APIGatewayV2HTTPRequest, error) {
	var body []byte
	if r.Body != nil {
		var err error
		if body, err = io.ReadAll(r.Body); err != nil {
			return events.APIGatewayV2HTTPRequest{}, fmt.Errorf("read body: %w", err)
		}
	}
	event := events.APIGatewayV2HTTPRequest{
		Version:        "2.0",
		RouteKey:       "$default",
		RawPath:        r.URL.Path,
		RawQueryString: r.URL.RawQuery,
		Headers:        map[string]string{},
		Body:           string(body),
	}
	for name, values := range r.Header {
		if name == "Cookie" {
			event.Cookies = strings.Split(strings.Join(values, "; "), "; ")
			continue
		}
		event.Headers[strings.ToLower(name)] = strings.Join(values, ",")
	}
	if !utf8.Valid(body) || event.Headers["content-encoding"] != "" {
		event.Body, event.IsBase64Encoded = base64.StdEncoding.EncodeToString(body), true
	}
	host, _, err := net.SplitHostPort(r.RemoteAddr)
	if err != nil {
		host = r.RemoteAddr
	}
	event.RequestContext = events.APIGatewayV2HTTPRequestContext{
		Stage:      "$default",
		DomainName: r.Host,
		TimeEpoch:  time.Now().UnixMilli(),
		HTTP: events.APIGatewayV2HTTPRequestContextHTTPDescription{
			Method: r.Method, Path: r.URL.Path, Protocol: r.Proto, SourceIP: host, UserAgent: r.UserAgent(),
		},
	}
	return event, nil
}

// Answer writes what a function answered.
func Answer(w http.ResponseWriter, answer events.APIGatewayV2HTTPResponse) error {
	body := []byte(answer.Body)
	if answer.IsBase64Encoded {
		var err error
		if body, err = base64.StdEncoding.DecodeString(answer.Body); err != nil {
			return fmt.Errorf("decode the function's answer: %w", err)
		}
	}
	for name, value := range answer.Headers {
		w.Header().Set(name, value)
	}
	for _, cookie := range answer.Cookies {
		w.Header().Add("Set-Cookie", cookie)
	}
	w.WriteHeader(answer.StatusCode)
	if len(body) == 0 {
		return nil
	}
	_, err := w.Write(body)
	return err
}
