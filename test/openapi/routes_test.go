package openapi_test

import (
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"github.com/bobbindb/bobbin/shared/httpapi"
	"github.com/bobbindb/bobbin/test/openapi"
)

func load(t *testing.T) *openapi.Document {
	t.Helper()
	d, err := openapi.Load()
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// The description and the table of routes name the same operations.
func TestEveryRouteIsDescribed(t *testing.T) {
	described := map[string]string{}
	for _, op := range load(t).Operations {
		described[op.Method+" "+op.Path] = op.ID
	}
	for _, route := range httpapi.Routes {
		at := route.Method + " " + route.Path
		if id, ok := described[at]; !ok {
			t.Errorf("route %s (%s) is not described", route.Name, at)
		} else if id != route.Name {
			t.Errorf("%s is described as %q, want %q", at, id, route.Name)
		}
		delete(described, at)
	}
	for at, id := range described {
		t.Errorf("%s (%s) is described and is no route", id, at)
	}
}

// Each operation takes the keys that open its part of the API, and the parameters of
// its path.
func TestOperationsAreWhole(t *testing.T) {
	d := load(t)
	for _, op := range d.Operations {
		want := []string{"apiKey", "bearer"}
		switch {
		case strings.HasPrefix(op.Path, "/frontend/"):
			want = []string{"apiKey+user", "apiKey+signature+user", "bearer+user", "bearer+signature+user"}
		case op.Path == "/healthz", op.Path == "/readyz", op.Path == "/openapi.yaml":
			want = nil
		}
		slices.Sort(want)
		if got := security(op); !slices.Equal(got, want) {
			t.Errorf("%s takes the keys %q, want %q", op.ID, got, want)
		}
		parameters, err := d.Parameters(op)
		if err != nil {
			t.Fatal(err)
		}
		for segment := range strings.SplitSeq(op.Path, "/") {
			name := strings.Trim(segment, "{}")
			if _, ok := parameters["path "+name]; !ok && name != segment {
				t.Errorf("%s does not describe {%s}", op.ID, name)
			}
		}
		for _, part := range []string{"summary", "tags", "responses"} {
			if op.Object[part] == nil {
				t.Errorf("%s has no %s", op.ID, part)
			}
		}
	}
}

func security(op openapi.Operation) []string {
	var out []string
	list, _ := op.Object["security"].(openapi.List)
	for _, alternative := range list {
		schemes := slices.Sorted(maps.Keys(alternative.(openapi.Object)))
		out = append(out, strings.Join(schemes, "+"))
	}
	slices.Sort(out)
	return out
}

// Every reference in the document leads somewhere.
func TestReferencesLeadSomewhere(t *testing.T) {
	d := load(t)
	used := map[string]bool{}
	var walk func(at string, value any)
	walk = func(at string, value any) {
		switch value := value.(type) {
		case openapi.Object:
			if ref, ok := value["$ref"].(string); ok {
				used[ref] = true
				if _, _, err := d.Resolve(at, value); err != nil {
					t.Error(err)
				}
			}
			for name, child := range value {
				walk(at+"/"+name, child)
			}
		case openapi.List:
			for _, child := range value {
				walk(at, child)
			}
		}
	}
	walk("", d.Root)
	for kind, components := range d.Root["components"].(openapi.Object) {
		for name := range components.(openapi.Object) {
			if kind != "securitySchemes" && !used["#/components/"+kind+"/"+name] {
				t.Errorf("nothing refers to components/%s/%s", kind, name)
			}
		}
	}
}

// A method that the description does not name is answered 404 like an unknown path, on
// every path and for the key that opens it.
func TestOtherMethodsAreNotFound(t *testing.T) {
	d := load(t)
	w := newWorld(t)
	api := d.Checked(t, httpapi.New(w.options))
	known := map[string]bool{}
	for _, op := range d.Operations {
		known[op.Method+" "+op.Path] = true
	}
	for _, op := range d.Operations {
		for _, method := range []string{"GET", "PUT", "POST", "DELETE", "PATCH", "TRACE", "CONNECT", "QUERY"} {
			if known[method+" "+op.Path] {
				continue
			}
			r := request(method, "/", "")
			r.URL.Path = strings.NewReplacer("{thread}", "id:hello", "{message}", "id:question", "{user}", "ada", "{key}", "0063").Replace(op.Path)
			w.authenticate(r, example{op: op})
			got := httptest.NewRecorder()
			if api.ServeHTTP(got, r); got.Code != http.StatusNotFound {
				t.Errorf("%s %s: %d, want 404", method, op.Path, got.Code)
			}
		}
	}
}
