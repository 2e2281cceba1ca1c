package openapi

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"sync"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"go.yaml.in/yaml/v3"

	"github.com/bobbindb/bobbin/shared/httpapi"
)

// Object is a JSON object of the document, and List is one of its lists.
type (
	Object = map[string]any
	List   = []any
)

// base is what the document is called to the validator.
const base = "openapi:///openapi.yaml"

// Document is the description as it is served.
type Document struct {
	Root       Object
	Operations []Operation

	mu       sync.Mutex
	compiler *jsonschema.Compiler
	compiled map[string]*jsonschema.Schema
}

// Operation is one method on one path.
type Operation struct {
	ID     string
	Method string
	Path   string // as a template
	Object Object
	at     string // its JSON pointer
}

// Load reads the description from an API that serves it.
func Load() (*Document, error) {
	w := httptest.NewRecorder()
	httpapi.New(httpapi.Options{CompressFrom: -1}).ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/openapi.yaml", nil))
	if w.Code != http.StatusOK {
		return nil, fmt.Errorf("get /openapi.yaml: status %d", w.Code)
	}
	root, err := parseYAML(w.Body.Bytes())
	if err != nil {
		return nil, err
	}
	d := &Document{Root: root.(Object), compiler: jsonschema.NewCompiler(), compiled: map[string]*jsonschema.Schema{}}
	d.compiler.DefaultDraft(jsonschema.Draft2020)
	d.Operations = operations(d.Root)
	return d, d.compiler.AddResource(base, root)
}

// parseYAML reads YAML as the JSON that it stands for.
func parseYAML(text []byte) (any, error) {
	var parsed any
	if err := yaml.Unmarshal(text, &parsed); err != nil {
		return nil, fmt.Errorf("read openapi.yaml: %w", err)
	}
	b, err := json.Marshal(parsed)
	if err != nil {
		return nil, fmt.Errorf("read openapi.yaml: %w", err)
	}
	return jsonschema.UnmarshalJSON(bytes.NewReader(b))
}

var methods = []string{"get", "put", "post", "delete", "options", "head", "patch", "trace"}

func operations(root Object) []Operation {
	var out []Operation
	for path, item := range root["paths"].(Object) {
		for _, method := range methods {
			if op, ok := item.(Object)[method].(Object); ok {
				id, _ := op["operationId"].(string)
				out = append(out, Operation{id, strings.ToUpper(method), path, op, pointer("paths", path, method)})
			}
		}
	}
	slices.SortFunc(out, func(a, b Operation) int { return strings.Compare(a.Path+a.Method, b.Path+b.Method) })
	return out
}

// pointer is a JSON pointer of names.
func pointer(names ...string) string {
	escape := strings.NewReplacer("~", "~0", "/", "~1")
	var b strings.Builder
	for _, name := range names {
		b.WriteString("/" + escape.Replace(name))
	}
	return b.String()
}

// Resolve follows a reference, and says where it led.
func (d *Document) Resolve(at string, value any) (string, Object, error) {
	object, ok := value.(Object)
	if !ok {
		return "", nil, fmt.Errorf("%s is no object", at)
	}
	ref, ok := object["$ref"].(string)
	if !ok {
		return at, object, nil
	}
	to, ok := strings.CutPrefix(ref, "#")
	if !ok {
		return "", nil, fmt.Errorf("%s refers to %s, outside the document", at, ref)
	}
	var found any = d.Root
	for name := range strings.SplitSeq(strings.TrimPrefix(to, "/"), "/") {
		parent, _ := found.(Object)
		if found, ok = parent[strings.NewReplacer("~1", "/", "~0", "~").Replace(name)]; !ok {
			return "", nil, fmt.Errorf("%s refers to %s, which is not there", at, ref)
		}
	}
	return d.Resolve(to, found)
}

// Parameters are the parameters of an operation, its path's included, by where they are
// and by name: "query limit".
func (d *Document) Parameters(op Operation) (map[string]Object, error) {
	out := map[string]Object{}
	item := d.Root["paths"].(Object)[op.Path].(Object)
	for _, from := range []Object{item, op.Object} {
		list, _ := from["parameters"].(List)
		for _, value := range list {
			_, parameter, err := d.Resolve(op.at, value)
			if err != nil {
				return nil, err
			}
			out[fmt.Sprint(parameter["in"], " ", parameter["name"])] = parameter
		}
	}
	return out, nil
}

// validate holds a value to the schema at a place of the document.
func (d *Document) validate(at string, value any) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	schema, ok := d.compiled[at]
	if !ok {
		fragment := url.URL{Fragment: at}
		var err error
		if schema, err = d.compiler.Compile(base + fragment.String()); err != nil {
			return fmt.Errorf("compile the schema at %s: %w", at, err)
		}
		d.compiled[at] = schema
	}
	return schema.Validate(value)
}

// find is the operation that a request is for. HEAD is for what answers GET.
func (d *Document) find(method, escapedPath string) (Operation, bool) {
	if method == http.MethodHead {
		method = http.MethodGet
	}
	best, most := Operation{}, -1
	for _, op := range d.Operations {
		if literal, ok := matches(op.Path, escapedPath); ok && op.Method == method && literal > most {
			best, most = op, literal
		}
	}
	return best, most >= 0
}

// matches reports whether a path is of a template, and how many of its segments are
// literal.
func matches(template, escapedPath string) (literal int, ok bool) {
	want, got := strings.Split(template, "/"), strings.Split(escapedPath, "/")
	if len(want) != len(got) {
		return 0, false
	}
	for i := range want {
		switch {
		case strings.HasPrefix(want[i], "{"):
			if got[i] == "" {
				return 0, false
			}
		case want[i] != got[i]:
			return 0, false
		default:
			literal++
		}
	}
	return literal, true
}
