package httpscript

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

// Run plays every script that the pattern names, each as a subtest against a handler
// of its own. vars are known to each script from its start.
func Run(t *testing.T, pattern string, open func(t *testing.T) http.Handler, vars map[string]string) {
	t.Helper()
	files, err := filepath.Glob(pattern)
	if err != nil || len(files) == 0 {
		t.Fatalf("no scripts at %s: %v", pattern, err)
	}
	for _, file := range files {
		name := strings.TrimSuffix(filepath.Base(file), filepath.Ext(file))
		t.Run(name, func(t *testing.T) {
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			s, err := parse(string(text))
			if err != nil {
				t.Fatalf("%s: %v", file, err)
			}
			p := player{handler: open(t), headers: s.headers, vars: maps.Clone(vars)}
			if p.vars == nil {
				p.vars = map[string]string{}
			}
			for _, x := range s.cases {
				t.Run(x.name, func(t *testing.T) {
					if err := p.play(x); err != nil {
						t.Errorf("%s:%d: %v", file, x.line, err)
					}
				})
			}
		})
	}
}

// player plays the cases of one script, one after another.
type player struct {
	handler http.Handler
	headers []header
	vars    map[string]string
}

func (p *player) play(x exchange) error {
	request, err := p.request(x)
	if err != nil {
		return err
	}
	recorder := httptest.NewRecorder()
	p.handler.ServeHTTP(recorder, request)
	got := recorder.Result()
	body := recorder.Body.Bytes()
	if got.Header.Get("Content-Encoding") == "gzip" {
		if body, err = inflate(body); err != nil {
			return err
		}
	}
	if got.StatusCode != x.status {
		return fmt.Errorf("status %d, want %d; body:\n%s", got.StatusCode, x.status, body)
	}
	for _, h := range x.wantHeaders {
		if err := p.matchHeader(h, got.Header); err != nil {
			return fmt.Errorf("%w; body:\n%s", err, body)
		}
	}
	if err := p.matchBody(x.want, string(body)); err != nil {
		return fmt.Errorf("%w; body:\n%s", err, body)
	}
	return nil
}

// request makes the request as a server would read it from the wire.
func (p *player) request(x exchange) (*http.Request, error) {
	body, err := p.body(x.body)
	if err != nil {
		return nil, err
	}
	headers := http.Header{}
	for _, h := range append(p.headers[:len(p.headers):len(p.headers)], x.headers...) {
		value, err := p.expand(h.value)
		if err != nil {
			return nil, err
		}
		if headers.Del(h.name); value != "-" {
			headers.Set(h.name, value)
		}
	}
	if headers.Get("Content-Encoding") == "gzip" && !strings.HasPrefix(x.body, `"`) {
		body = deflate(body)
	}
	path, err := p.expand(x.path)
	if err != nil {
		return nil, err
	}
	var wire bytes.Buffer
	fmt.Fprintf(&wire, "%s %s HTTP/1.1\r\nHost: store.example\r\nContent-Length: %d\r\n", x.method, path, len(body))
	headers.Write(&wire)
	wire.WriteString("\r\n")
	wire.Write(body)
	request, err := http.ReadRequest(bufio.NewReader(&wire))
	if err != nil {
		return nil, err
	}
	request.RemoteAddr = "192.0.2.1:1234"
	return request, nil
}

func (p *player) body(text string) ([]byte, error) {
	if strings.HasPrefix(text, `"`) {
		raw, err := strconv.Unquote(text)
		return []byte(raw), err
	}
	text, err := p.expand(text)
	return []byte(text), err
}

var placeholder = regexp.MustCompile(`\$\{(\w+)(\|escape)?\}`)

// expand puts variables in.
func (p *player) expand(text string) (string, error) {
	var err error
	out := placeholder.ReplaceAllStringFunc(text, func(s string) string {
		parts := placeholder.FindStringSubmatch(s)
		value, ok := p.vars[parts[1]]
		if !ok {
			err = fmt.Errorf("variable %s is not set", parts[1])
		}
		if parts[2] != "" {
			value = url.QueryEscape(value)
		}
		return value
	})
	return out, err
}

func inflate(b []byte) ([]byte, error) {
	z, err := gzip.NewReader(bytes.NewReader(b))
	if err != nil {
		return nil, err
	}
	var out bytes.Buffer
	_, err = out.ReadFrom(z)
	return out.Bytes(), err
}

func deflate(b []byte) []byte {
	var out bytes.Buffer
	z := gzip.NewWriter(&out)
	z.Write(b) // a bytes.Buffer takes everything
	z.Close()
	return out.Bytes()
}
