package openapi_test

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/bobbindb/bobbin/test/openapi"
)

func TestCheck(t *testing.T) {
	const thread = "t:177262560000000000012345"
	d := load(t)
	for _, tt := range []struct {
		name, method, path, sent string
		status                   int
		body, wrong              string
		header                   map[string]string
	}{
		{name: "as described", method: "DELETE", path: "/frontend/v1/threads/" + thread, status: 200, body: `{"key":"` + thread + `"}`},
		{name: "a key of another kind", method: "DELETE", path: "/frontend/v1/threads/" + thread, status: 200, body: `{"key":"x"}`, wrong: "/key"},
		{name: "a member more", method: "DELETE", path: "/frontend/v1/threads/" + thread, status: 200, body: `{"key":"` + thread + `","x":1}`, wrong: "additional"},
		{name: "another status", method: "DELETE", path: "/frontend/v1/threads/" + thread, status: 202, wrong: "status 202"},
		{name: "another text", method: "DELETE", path: "/frontend/v1/threads/" + thread, status: 404, body: `{"error":"no thread","code":"thread_not_found","request_id":"x"}`, wrong: "/error"},
		{name: "another code", method: "DELETE", path: "/frontend/v1/threads/" + thread, status: 404, body: `{"error":"thread not found","code":"gone","request_id":"x"}`, wrong: "/code"},
		{name: "no JSON", method: "DELETE", path: "/frontend/v1/threads/" + thread, status: 200, body: "oops", wrong: "no JSON"},
		{name: "another type", method: "GET", path: "/healthz", status: 200, body: `{"status":"ok"}`, wrong: "text/html", header: map[string]string{"Content-Type": "text/html"}},
		{name: "a header is missing", method: "DELETE", path: "/frontend/v1/threads/" + thread, status: 200, body: `{"key":"` + thread + `"}`, wrong: "Bobbin-Position is missing", header: map[string]string{"Bobbin-Position": ""}},
		{name: "a header is odd", method: "DELETE", path: "/frontend/v1/threads/" + thread, status: 200, body: `{"key":"` + thread + `"}`, wrong: "Bobbin-Position is", header: map[string]string{"Bobbin-Position": "7"}},
		{name: "a body where none is", method: "GET", path: "/frontend/v1/threads/" + thread, status: 304, body: "{}", wrong: "has a body"},
		{name: "a parameter that nobody knows", method: "GET", path: "/admin/users?colour=red", status: 200, body: `{"users":[],"pagination":{"before_anchor":"","after_anchor":"","has_before":false,"has_after":false,"count":0}}`, wrong: "colour"},
		{name: "a request that should be refused", method: "PUT", path: "/frontend/v1/threads/" + thread, sent: `{"title":""}`, status: 200, body: `{"key":"` + thread + `"}`, wrong: "title"},
		{name: "a line", method: "POST", path: "/admin/import", status: 200, body: "{\"line\":1,\"error\":\"x\",\"code\":\"y\"}\n{\"line\":0}", wrong: "validat", header: map[string]string{"Content-Type": "application/x-ndjson"}},
		{name: "nowhere", method: "GET", path: "/nowhere", status: 404, body: `{"error":"not found","code":"not_found","request_id":"x"}`},
		{name: "nowhere, and found", method: "GET", path: "/nowhere", status: 200, body: `{}`, wrong: "no operation"},
		{name: "options", method: "OPTIONS", path: "/healthz", status: 204},
		{name: "options, answered", method: "OPTIONS", path: "/healthz", status: 200, wrong: "204"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			h := http.Header{"Content-Type": {"application/json"}, "X-Request-Id": {"x"}, "Bobbin-Position": {"main-1:0=1"}, "Server-Timing": {"total;dur=0.1"}, "Etag": {`"1"`}}
			for name, value := range tt.header {
				h.Set(name, value)
			}
			err := d.Check(openapi.Exchange{
				Request: httptest.NewRequest(tt.method, tt.path, nil), Sent: []byte(tt.sent),
				Status: tt.status, Header: h, Body: []byte(tt.body),
			})
			switch {
			case tt.wrong == "" && err != nil:
				t.Errorf("Check() = %v", err)
			case tt.wrong != "" && (err == nil || !strings.Contains(err.Error(), tt.wrong)):
				t.Errorf("Check() = %v, want %q", err, tt.wrong)
			}
		})
	}
}
