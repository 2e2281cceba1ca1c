package shared_test

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"

	"github.com/bobbindb/bobbin/shared/httpapi"
)

// roles are the functions that no route of their own calls.
var roles = []string{
	"admin", "compactor", "default", "janitor", "operator", "post-traffic", "pre-traffic", "retention", "writer",
}

// samTemplate is as much of template.yaml as names functions and what calls them.
type samTemplate struct {
	Resources map[string]struct {
		Type       string `yaml:"Type"`
		Properties struct {
			FunctionName string `yaml:"FunctionName"`
			CodeURI      string `yaml:"CodeUri"`
			Events       map[string]struct {
				Type       string `yaml:"Type"`
				Properties struct {
					Method string `yaml:"Method"`
					Path   string `yaml:"Path"`
				} `yaml:"Properties"`
			} `yaml:"Events"`
		} `yaml:"Properties"`
	} `yaml:"Resources"`
}

// The routes of httpapi, the folders under functions and the functions of template.yaml
// are one list.
func TestRoutes(t *testing.T) {
	text, err := os.ReadFile("../template.yaml")
	if err != nil {
		t.Fatal(err)
	}
	var template samTemplate
	if err := yaml.Unmarshal(text, &template); err != nil {
		t.Fatal(err)
	}
	called := map[string]string{} // by method and path, the function's folder
	folders := map[string]bool{}
	for name, r := range template.Resources {
		if r.Type != "AWS::Serverless::Function" {
			continue
		}
		folder := strings.TrimSuffix(strings.TrimPrefix(r.Properties.CodeURI, "dist/"), ".zip")
		folders[folder] = true
		if want := "bobbin-${Stage}-" + folder; folder != "writer" && r.Properties.FunctionName != want {
			t.Errorf("%s is called %s, want %s", name, r.Properties.FunctionName, want)
		}
		for _, e := range r.Properties.Events {
			if e.Type == "HttpApi" {
				called[e.Properties.Method+" "+e.Properties.Path] = folder
			}
		}
	}
	want := slices.Clone(roles)
	for _, route := range httpapi.Routes {
		switch route.Group {
		case "":
			want = append(want, route.Name)
			calls(t, called, route.Method+" "+route.Path, route.Name)
			if route.Method == "GET" {
				calls(t, called, "HEAD "+route.Path, route.Name)
			}
		case "admin":
			if !strings.HasPrefix(route.Path, "/admin/") {
				t.Errorf("%s is the admin function's, which is called for /admin/ only: %s", route.Name, route.Path)
			}
		case "default":
		default:
			t.Errorf("%s is of group %q, which has no function", route.Name, route.Group)
		}
	}
	calls(t, called, "ANY /admin/{proxy+}", "admin")
	calls(t, called, " ", "default")
	for path, folder := range called {
		t.Errorf("%s calls %s in template.yaml, and httpapi has no such route", path, folder)
	}
	slices.Sort(want)
	if got := sorted(folders); !slices.Equal(got, want) {
		t.Errorf("functions of template.yaml:\n%q, want\n%q", got, want)
	}
	mains, err := filepath.Glob("../functions/*/main.go")
	if err != nil {
		t.Fatal(err)
	}
	built := map[string]bool{}
	for _, main := range mains {
		built[filepath.Base(filepath.Dir(main))] = true
	}
	if got := sorted(built); len(got) > 0 && !slices.Equal(got, want) {
		t.Errorf("folders of functions:\n%q, want\n%q", got, want)
	}
}

// calls checks that a route calls a function, and strikes it off.
func calls(t *testing.T, called map[string]string, route, want string) {
	t.Helper()
	if got := called[route]; got != want {
		t.Errorf("%s calls %q in template.yaml, want %s", route, got, want)
	}
	delete(called, route)
}

func sorted(set map[string]bool) []string {
	var names []string
	for name := range set {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}
