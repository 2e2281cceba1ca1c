package openapi

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"

	"github.com/klauspost/compress/gzip"
	"github.com/santhosh-tekuri/jsonschema/v6"
)

// Exchange is a request and its answer.
type Exchange struct {
	Request *http.Request
	Sent    []byte // the request's body
	Status  int
	Header  http.Header
	Body    []byte // of the answer, inflated
}

// Checked is a handler whose answers are held to the description. What the description
// does not say fails the test.
func Checked(t testing.TB, h http.Handler) http.Handler {
	t.Helper()
	d, err := Load()
	if err != nil {
		t.Fatal(err)
	}
	return d.Checked(t, h)
}

// Checked is Checked, by a description that was loaded before.
func (d *Document) Checked(t testing.TB, h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		sent, err := io.ReadAll(r.Body)
		if err != nil {
			t.Errorf("%s %s: read the request: %v", r.Method, r.URL, err)
		}
		r.Body = io.NopCloser(bytes.NewReader(sent))
		recorder := httptest.NewRecorder()
		h.ServeHTTP(recorder, r)
		x := Exchange{Request: r, Sent: sent, Status: recorder.Code, Header: recorder.Header(), Body: recorder.Body.Bytes()}
		if err := errors.Join(x.inflate(), d.Check(x)); err != nil {
			t.Errorf("%s %s: %d %.300s: %v", r.Method, r.URL, x.Status, x.Body, err)
		}
		for name, values := range recorder.Header() {
			w.Header()[name] = values
		}
		w.WriteHeader(recorder.Code)
		w.Write(recorder.Body.Bytes())
	})
}

func (x *Exchange) inflate() error {
	if x.Header.Get("Content-Encoding") != "gzip" {
		return nil
	}
	z, err := gzip.NewReader(bytes.NewReader(x.Body))
	if err != nil {
		return fmt.Errorf("inflate the answer: %w", err)
	}
	x.Body, err = io.ReadAll(z)
	return err
}

// Check holds an exchange to the description.
func (d *Document) Check(x Exchange) error {
	op, ok := d.find(x.Request.Method, x.Request.URL.EscapedPath())
	if !ok {
		return d.checkElsewhere(x)
	}
	responses := op.Object["responses"].(Object)
	status := strconv.Itoa(x.Status)
	value, ok := responses[status]
	if !ok {
		return fmt.Errorf("%s does not document status %s", op.ID, status)
	}
	at, response, err := d.Resolve(op.at+pointer("responses", status), value)
	if err != nil {
		return err
	}
	errs := []error{d.checkHeaders(at, response, x), d.checkBody(at, response, x)}
	if x.Status < 300 {
		errs = append(errs, d.checkRequest(op, x))
	}
	return errors.Join(errs...)
}

// elsewhere is what a request may be answered that no operation describes.
var elsewhere = map[int]string{
	http.StatusUnauthorized:    "Unauthenticated",
	http.StatusForbidden:       "Denied",
	http.StatusNotFound:        "NotFound",
	http.StatusTooManyRequests: "TooOften",
}

func (d *Document) checkElsewhere(x Exchange) error {
	if x.Request.Method == http.MethodOptions {
		if x.Status != http.StatusNoContent || len(x.Body) > 0 {
			return errors.New("OPTIONS is answered with 204 and nothing")
		}
		return nil
	}
	schema, ok := elsewhere[x.Status]
	if !ok {
		return errors.New("no operation describes this")
	}
	return d.validateJSON(pointer("components", "schemas", schema), x.Body)
}

func (d *Document) checkHeaders(at string, response Object, x Exchange) error {
	headers, _ := response["headers"].(Object)
	var errs []error
	for name, value := range headers {
		at, header, err := d.Resolve(at+pointer("headers", name), value)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		got := x.Header.Get(name)
		if got == "" {
			if header["required"] == true {
				errs = append(errs, fmt.Errorf("header %s is missing", name))
			}
			continue
		}
		var parsed any = got
		if header["schema"].(Object)["type"] == "integer" {
			if parsed, err = jsonschema.UnmarshalJSON(strings.NewReader(got)); err != nil {
				errs = append(errs, fmt.Errorf("header %s is %q: %w", name, got, err))
				continue
			}
		}
		if err := d.validate(at+"/schema", parsed); err != nil {
			errs = append(errs, fmt.Errorf("header %s is %q: %w", name, got, err))
		}
	}
	return errors.Join(errs...)
}

func (d *Document) checkBody(at string, response Object, x Exchange) error {
	if x.Request.Method == http.MethodHead {
		return nil
	}
	content, ok := response["content"].(Object)
	if !ok {
		if len(x.Body) > 0 {
			return errors.New("the answer has a body that is not documented")
		}
		return nil
	}
	mediaType, _, _ := strings.Cut(x.Header.Get("Content-Type"), ";")
	media, ok := content[mediaType].(Object)
	if !ok {
		return fmt.Errorf("content of type %q is not documented", mediaType)
	}
	at += pointer("content", mediaType)
	if _, lines := media["x-item-schema"]; lines {
		return d.validateLines(at+"/x-item-schema", x.Body)
	}
	switch mediaType {
	case "application/json":
		return d.validateJSON(at+"/schema", x.Body)
	case "application/yaml":
		value, err := parseYAML(x.Body)
		if err != nil {
			return err
		}
		return d.validate(at+"/schema", value)
	}
	return d.validate(at+"/schema", string(x.Body))
}

// checkRequest holds a request that was accepted to what the operation says it takes.
func (d *Document) checkRequest(op Operation, x Exchange) error {
	parameters, err := d.Parameters(op)
	if err != nil {
		return err
	}
	for name := range x.Request.URL.Query() {
		if _, ok := parameters["query "+name]; !ok {
			return fmt.Errorf("%s does not document the parameter %s", op.ID, name)
		}
	}
	body, ok := op.Object["requestBody"].(Object)
	if !ok || x.Request.Header.Get("Content-Encoding") == "gzip" {
		return nil
	}
	if _, ok := body["content"].(Object)["application/json"]; !ok {
		return nil
	}
	if required, _ := body["required"].(bool); !required && len(x.Sent) == 0 {
		return nil
	}
	if err := d.validateJSON(op.at+pointer("requestBody", "content", "application/json", "schema"), x.Sent); err != nil {
		return fmt.Errorf("the request was accepted, and is not as documented: %w", err)
	}
	return nil
}

func (d *Document) validateJSON(at string, text []byte) error {
	value, err := jsonschema.UnmarshalJSON(bytes.NewReader(text))
	if err != nil {
		return fmt.Errorf("the body is no JSON: %w", err)
	}
	return d.validate(at, value)
}

func (d *Document) validateLines(at string, text []byte) error {
	lines := bufio.NewScanner(bytes.NewReader(text))
	lines.Buffer(nil, len(text)+1)
	for lines.Scan() {
		if err := d.validateJSON(at, lines.Bytes()); err != nil {
			return err
		}
	}
	return lines.Err()
}
