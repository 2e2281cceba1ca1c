package httpapi_test

import (
	"bytes"
	"cmp"
	"compress/gzip"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/bobbindb/bobbin/shared/httpapi"
)

// Whoever stands before the store may believe the last of two headers, or both joined
// by a comma. The store believes neither.
func TestIdentityGivenTwice(t *testing.T) {
	signature := httpapi.Sign([]byte("sign_example"), "u1")
	for name, tt := range map[string]struct {
		header [][2]string
		status int
		text   string
		path   string
	}{
		"one key":                         {[][2]string{{"Authorization", "Bearer back"}, {"X-User-ID", "u1"}}, 200, "", ""},
		"two keys":                        {[][2]string{{"Authorization", "Bearer back"}, {"Authorization", "Bearer front"}, {"X-User-ID", "u1"}}, 401, "unauthorized", ""},
		"the same key twice":              {[][2]string{{"Authorization", "Bearer back"}, {"Authorization", "Bearer back"}, {"X-User-ID", "u1"}}, 401, "unauthorized", ""},
		"a key after nothing":             {[][2]string{{"Authorization", ""}, {"Authorization", "Bearer back"}, {"X-User-ID", "u1"}}, 401, "unauthorized", ""},
		"two keys of the other header":    {[][2]string{{"X-API-Key", "back"}, {"X-API-Key", "front"}, {"X-User-ID", "u1"}}, 401, "unauthorized", ""},
		"keys joined by a comma":          {[][2]string{{"Authorization", "Bearer back,Bearer back"}, {"X-User-ID", "u1"}}, 401, "unauthorized", ""},
		"other keys joined by a comma":    {[][2]string{{"X-API-Key", "back, back"}, {"X-User-ID", "u1"}}, 401, "unauthorized", ""},
		"a key in each header":            {[][2]string{{"Authorization", "Bearer back"}, {"X-API-Key", "front"}, {"X-User-ID", "u1"}}, 200, "", ""},
		"two users":                       {[][2]string{{"X-API-Key", "back"}, {"X-User-ID", "u1"}, {"X-User-ID", "u2"}}, 400, "author contains invalid characters", ""},
		"a user after nothing":            {[][2]string{{"X-API-Key", "back"}, {"X-User-ID", ""}, {"X-User-ID", "u2"}}, 400, "author contains invalid characters", ""},
		"two signed users":                {[][2]string{{"X-API-Key", "front"}, {"X-User-ID", "u1"}, {"X-User-ID", "u2"}, {"X-User-Signature", signature}}, 401, "invalid signature", ""},
		"two signatures":                  {[][2]string{{"X-API-Key", "front"}, {"X-User-ID", "u1"}, {"X-User-Signature", signature}, {"X-User-Signature", "x"}}, 401, "invalid signature", ""},
		"signed users joined":             {[][2]string{{"X-API-Key", "front"}, {"X-User-ID", "u1,u2"}, {"X-User-Signature", signature}}, 401, "invalid signature", ""},
		"a name that is written low":      {[][2]string{{"authorization", "bearer back"}, {"x-user-id", "u1"}}, 200, "", ""},
		"a name with underscores":         {[][2]string{{"X-API-Key", "back"}, {"X_User_ID", "u1"}}, 400, "author required for backend requests", ""},
		"two authors":                     {[][2]string{{"X-API-Key", "back"}}, 400, "author contains invalid characters", "/frontend/v1/threads?author=u1&author=u2"},
		"two authors, one of them signed": {[][2]string{{"X-API-Key", "front"}, {"X-User-ID", "u1"}, {"X-User-Signature", signature}}, 403, "author mismatch between signature and query param", "/frontend/v1/threads?author=u1&author=u2"},
	} {
		t.Run(name, func(t *testing.T) {
			o, _ := newOptions()
			r := httptest.NewRequest(http.MethodGet, cmp.Or(tt.path, "/frontend/v1/threads"), nil)
			for _, h := range tt.header {
				r.Header.Add(h[0], h[1])
			}
			got := serve(httpapi.New(o), r)
			if got.Code != tt.status || !strings.Contains(got.Body.String(), `"error":"`+tt.text+`"`) && tt.text != "" {
				t.Errorf("%d %s, want %d %s", got.Code, got.Body, tt.status, tt.text)
			}
		})
	}
}

// A proxy that goes by Content-Length, where the store goes by Transfer-Encoding, sees
// one request where the store would see two. So there is no second one.
func TestConnectionEndsAfterChunks(t *testing.T) {
	o, _ := newOptions()
	o.AllowedAddrs = nil
	server := httptest.NewServer(httpapi.New(o))
	defer server.Close()
	const (
		head    = "POST /frontend/v1/threads HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer back\r\nX-User-ID: u1\r\n"
		hidden  = "GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n"
		body    = `{"title":"one"}`
		chunked = "f\r\n" + body + "\r\n0\r\n\r\n"
	)
	for name, tt := range map[string]struct {
		request string
		answers int
	}{
		"a length":              {head + "Content-Length: 15\r\n\r\n" + body, 2},
		"chunks":                {head + "Transfer-Encoding: chunked\r\n\r\n" + chunked, 1},
		"chunks and a length":   {head + "Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n" + chunked, 1},
		"a length, then chunks": {head + "Transfer-Encoding: chunked\r\nContent-Length: 4\r\n\r\n" + chunked, 1},
		"two lengths":           {head + "Content-Length: 15\r\nContent-Length: 4\r\n\r\n" + body, 1},
		"an unknown encoding":   {head + "Transfer-Encoding: chunked, identity\r\n\r\n" + chunked, 1},
	} {
		t.Run(name, func(t *testing.T) {
			conn, err := net.Dial("tcp", server.Listener.Addr().String())
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			if _, err := io.WriteString(conn, tt.request+hidden); err != nil {
				t.Fatal(err)
			}
			conn.(*net.TCPConn).CloseWrite()
			got, _ := io.ReadAll(conn) // what was not wanted may be answered by a reset
			if n := strings.Count(string(got), "HTTP/1.1 "); n != tt.answers {
				t.Errorf("%d answers, want %d:\n%s", n, tt.answers, got)
			}
		})
	}
}

// A line that was cut off is not taken, though it may look whole: nobody has checked it.
func TestImportThatIsCutOff(t *testing.T) {
	line := func(id string) string {
		return `{"thread":{"id":"` + id + `","author":"u1","title":"x","created_ts":1},"messages":[]}`
	}
	text := line("c1") + "\n" + line("c2")
	var zipped bytes.Buffer
	z := gzip.NewWriter(&zipped)
	io.WriteString(z, text)
	z.Close()
	for name, tt := range map[string]struct {
		body string
		gzip bool
		want []string
	}{
		"whole":             {text, false, []string{`"id":"c1"`, `"id":"c2"`}},
		"whole, as gzip":    {zipped.String(), true, []string{`"id":"c1"`, `"id":"c2"`}},
		"without a trailer": {zipped.String()[:zipped.Len()-8], true, []string{`"id":"c1"`, `"error":"invalid import payload"`}},
		"a wrong checksum":  {zipped.String()[:zipped.Len()-8] + "wrong sum", true, []string{`"id":"c1"`, `"error":"invalid import payload"`}},
	} {
		t.Run(name, func(t *testing.T) {
			o, _ := newOptions()
			r := as(http.MethodPost, "/admin/import", strings.NewReader(tt.body))
			r.Header.Set("Authorization", "Bearer admin")
			if tt.gzip {
				r.Header.Set("Content-Encoding", "gzip")
			}
			got := serve(httpapi.New(o), r)
			lines := strings.Split(strings.TrimSpace(got.Body.String()), "\n")
			for i, want := range tt.want {
				if i >= len(lines) || !strings.Contains(lines[i], want) {
					t.Errorf("%d %s, want %q", got.Code, got.Body, tt.want)
				}
			}
			if len(lines) != len(tt.want) {
				t.Errorf("%d lines, want %d:\n%s", len(lines), len(tt.want), got.Body)
			}
		})
	}
}
