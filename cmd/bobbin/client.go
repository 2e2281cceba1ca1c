package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"
)

// client calls a server.
type client struct {
	base string
	http *http.Client
}

// request is one call. Key is the API key.
type request struct {
	method    string
	path      string
	key       string
	user      string
	signature string
	body      []byte
	encoding  string // of the body, "" for none
}

// answer is what a server said that refused.
type answer struct {
	status int
	text   string
	code   string
}

// Error is what the server said.
func (a *answer) Error() string { return fmt.Sprintf("the server answered %d: %s", a.status, a.text) }

// exit is the exit code that the answer means.
func (a *answer) exit() (code int, do string) {
	switch {
	case a.status == http.StatusUnauthorized, a.status == http.StatusForbidden:
		return exitDenied, "check the API keys"
	case a.code == "outcome_unknown":
		return exitUnknown, "repeat the command"
	case a.status == http.StatusServiceUnavailable, a.status == http.StatusTooManyRequests:
		return exitBusy, "try again in a moment"
	}
	return exitFailed, "see the server's log"
}

// newClient returns a client that keeps so many connections.
func newClient(address string, connections int) (*client, error) {
	u, err := url.Parse(address)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" {
		return nil, usage("--url %q: want an address like http://127.0.0.1:8080", address)
	}
	return &client{
		base: strings.TrimSuffix(address, "/"),
		http: &http.Client{
			Timeout: time.Minute,
			Transport: &http.Transport{
				Proxy:               http.ProxyFromEnvironment,
				MaxIdleConns:        connections,
				MaxIdleConnsPerHost: connections,
			},
		},
	}, nil
}

// do makes a call and returns the body of an answer of status 2xx. Any other is *answer.
func (c *client) do(ctx context.Context, r request) ([]byte, error) {
	req, err := http.NewRequestWithContext(ctx, r.method, c.base+r.path, bytes.NewReader(r.body))
	if err != nil {
		return nil, err
	}
	for name, value := range map[string]string{
		"Authorization":    "Bearer " + r.key,
		"X-User-ID":        r.user,
		"X-User-Signature": r.signature,
		"Content-Encoding": r.encoding,
	} {
		if value != "" && value != "Bearer " {
			req.Header.Set(name, value)
		}
	}
	if r.body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	response, err := c.http.Do(req)
	if err != nil {
		return nil, err
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		return nil, err
	}
	if response.StatusCode/100 == 2 {
		return body, nil
	}
	a := &answer{status: response.StatusCode, text: http.StatusText(response.StatusCode)}
	var said struct{ Error, Code string }
	if json.Unmarshal(body, &said) == nil && said.Error != "" {
		a.text, a.code = said.Error, said.Code
	}
	return nil, a
}

// call makes a call and reads its answer into a value; nil reads nothing.
func (c *client) call(ctx context.Context, r request, into any) error {
	body, err := c.do(ctx, r)
	if err != nil || into == nil {
		return err
	}
	if err := json.Unmarshal(body, into); err != nil {
		return errors.Join(errors.New("the answer is not the JSON that was expected; is this a Bobbin server?"), err)
	}
	return nil
}

// threadPath is the path of a thread, or of what is below it.
func threadPath(key string, below ...string) string {
	path := "/frontend/v1/threads"
	for _, part := range append([]string{key}, below...) {
		if part != "" {
			path += "/" + url.PathEscape(part)
		}
	}
	return path
}
