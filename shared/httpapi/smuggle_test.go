package httpapi_test

import (
	"cmp"
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
