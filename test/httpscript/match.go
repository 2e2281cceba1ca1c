package httpscript

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
)

func (p *player) matchHeader(want header, got http.Header) error {
	values := got.Values(want.name)
	if want.value == "-" {
		if len(values) > 0 {
			return fmt.Errorf("header %s is %q, want none", want.name, values)
		}
		return nil
	}
	if len(values) == 0 {
		return fmt.Errorf("header %s is missing, want %q", want.name, want.value)
	}
	if err := p.matchText(want.value, strings.Join(values, ", ")); err != nil {
		return fmt.Errorf("header %s: %w", want.name, err)
	}
	return nil
}

func (p *player) matchBody(want, got string) error {
	switch {
	case want == "":
		return nil
	case want == "=":
		if got != "" {
			return errors.New("body is not empty")
		}
		return nil
	case strings.HasPrefix(want, "= "):
		text, err := p.expand(want[2:] + "\n")
		if err == nil && text != got {
			err = fmt.Errorf("body is not %q", text)
		}
		return err
	case strings.HasPrefix(want, "~ "), strings.HasPrefix(want, "!~ "):
		return p.contains(want, got)
	}
	return p.matchJSON(want, got)
}

func (p *player) contains(want, got string) error {
	for line := range strings.SplitSeq(want, "\n") {
		mark, text, ok := strings.Cut(line, "~ ")
		if !ok {
			return fmt.Errorf("%q is not of the form ~ text", line)
		}
		text, err := p.expand(text)
		if err != nil {
			return err
		}
		if strings.Contains(got, text) == (mark == "!") {
			return fmt.Errorf("body, for %q", line)
		}
	}
	return nil
}

func (p *player) matchJSON(want, got string) error {
	wants, err := values(want)
	if err != nil {
		return fmt.Errorf("script: %w", err)
	}
	gots, err := values(got)
	if err != nil {
		return fmt.Errorf("body: %w", err)
	}
	if len(wants) != len(gots) {
		return fmt.Errorf("%d JSON values, want %d", len(gots), len(wants))
	}
	for i := range wants {
		if err := p.matchValue("$", wants[i], gots[i]); err != nil {
			return err
		}
	}
	return nil
}

// values reads all the JSON values of a text.
func values(text string) ([]any, error) {
	d := json.NewDecoder(strings.NewReader(text))
	d.UseNumber()
	var out []any
	for {
		var v any
		err := d.Decode(&v)
		if errors.Is(err, io.EOF) {
			return out, nil
		}
		if err != nil {
			return nil, err
		}
		out = append(out, v)
	}
}

func (p *player) matchValue(at string, want, got any) error {
	switch want := want.(type) {
	case map[string]any:
		got, ok := got.(map[string]any)
		if !ok {
			return fmt.Errorf("%s is no object", at)
		}
		return p.matchObject(at, want, got)
	case []any:
		got, ok := got.([]any)
		if !ok || len(got) != len(want) {
			return fmt.Errorf("%s is not a list of %d", at, len(want))
		}
		for i := range want {
			if err := p.matchValue(fmt.Sprintf("%s[%d]", at, i), want[i], got[i]); err != nil {
				return err
			}
		}
		return nil
	case string:
		text, isText := got.(string)
		if !isText {
			if placeholder.FindString(want) != want || want == "" {
				return fmt.Errorf("%s is %v, want %q", at, got, want)
			}
			b, err := json.Marshal(got)
			if err != nil {
				return err
			}
			text = string(b)
		}
		if err := p.matchText(want, text); err != nil {
			return fmt.Errorf("%s: %w", at, err)
		}
		return nil
	}
	if want != got {
		return fmt.Errorf("%s is %v, want %v", at, got, want)
	}
	return nil
}

func (p *player) matchObject(at string, want, got map[string]any) error {
	_, open := want["..."]
	names := make([]string, 0, len(want))
	for name := range want {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		if name == "..." {
			continue
		}
		value, ok := got[name]
		if !ok {
			return fmt.Errorf("%s.%s is missing", at, name)
		}
		if err := p.matchValue(at+"."+name, want[name], value); err != nil {
			return err
		}
	}
	for name, value := range got {
		if _, ok := want[name]; !ok && !open {
			return fmt.Errorf("%s.%s is there: %v", at, name, value)
		}
	}
	return nil
}

// matchText compares a text with a pattern, and remembers what its placeholders took.
func (p *player) matchText(pattern, got string) error {
	var expr bytes.Buffer
	type capture struct {
		name    string
		escaped bool
	}
	var captures []capture
	rest := pattern
	expr.WriteString("(?s)^")
	for _, at := range placeholder.FindAllStringSubmatchIndex(pattern, -1) {
		from := len(pattern) - len(rest)
		expr.WriteString(regexp.QuoteMeta(pattern[from:at[0]]))
		rest = pattern[at[1]:]
		name := pattern[at[2]:at[3]]
		if value, known := p.vars[name]; known {
			if at[4] >= 0 {
				value = url.QueryEscape(value)
			}
			expr.WriteString(regexp.QuoteMeta(value))
			continue
		}
		expr.WriteString("(.*?)")
		captures = append(captures, capture{name, at[4] >= 0})
	}
	expr.WriteString(regexp.QuoteMeta(rest) + "$")
	found := regexp.MustCompile(expr.String()).FindStringSubmatch(got)
	if found == nil {
		return fmt.Errorf("%q does not match %q", got, pattern)
	}
	for i, c := range captures {
		value := found[i+1]
		if c.escaped {
			var err error
			if value, err = url.QueryUnescape(value); err != nil {
				return err
			}
		}
		if c.name != "_" {
			p.vars[c.name] = value
		}
	}
	return nil
}
