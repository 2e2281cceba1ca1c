package httpscript

import (
	"fmt"
	"strconv"
	"strings"
)

// header is one header line.
type header struct{ name, value string }

// exchange is one case of a script.
type exchange struct {
	name    string
	line    int // in the file
	method  string
	path    string
	headers []header
	body    string

	status      int
	wantHeaders []header
	want        string
}

type script struct {
	headers []header // of every request
	cases   []exchange
}

// parse reads a script.
func parse(text string) (script, error) {
	var s script
	lines := strings.Split(text, "\n")
	for i := 0; i < len(lines); {
		line := lines[i]
		name, isCase := strings.CutPrefix(line, "=== ")
		switch {
		case isCase:
			end := i + 1
			for end < len(lines) && !strings.HasPrefix(lines[end], "=== ") {
				end++
			}
			x, err := parseCase(lines[i+1 : end])
			if err != nil {
				return script{}, fmt.Errorf("line %d: %w", i+1, err)
			}
			x.name, x.line = name, i+1
			s.cases = append(s.cases, x)
			i = end
			continue
		case line == "", strings.HasPrefix(line, "#"):
		default:
			h, err := parseHeader(line)
			if err != nil {
				return script{}, fmt.Errorf("line %d: %w", i+1, err)
			}
			s.headers = append(s.headers, h)
		}
		i++
	}
	return s, nil
}

func parseCase(lines []string) (exchange, error) {
	var x exchange
	split := -1
	for i, line := range lines {
		if strings.HasPrefix(line, "--- ") {
			split = i
			break
		}
	}
	if split < 0 {
		return x, fmt.Errorf("no line of the form --- status")
	}
	var err error
	if x.status, err = strconv.Atoi(lines[split][4:]); err != nil {
		return x, fmt.Errorf("status: %w", err)
	}
	request := dropComments(lines[:split])
	if len(request) == 0 {
		return x, fmt.Errorf("no request line")
	}
	var ok bool
	if x.method, x.path, ok = strings.Cut(request[0], " "); !ok {
		return x, fmt.Errorf("request line %q is not METHOD PATH", request[0])
	}
	if x.headers, x.body, err = parseMessage(request[1:]); err != nil {
		return x, err
	}
	x.wantHeaders, x.want, err = parseMessage(dropComments(lines[split+1:]))
	return x, err
}

// dropComments drops comments before the first empty line.
func dropComments(lines []string) []string {
	var out []string
	for i, line := range lines {
		if line == "" {
			return append(out, lines[i:]...)
		}
		if !strings.HasPrefix(line, "#") {
			out = append(out, line)
		}
	}
	return out
}

// parseMessage reads header lines, and a body after an empty line.
func parseMessage(lines []string) ([]header, string, error) {
	var headers []header
	for i, line := range lines {
		if line == "" {
			return headers, strings.TrimRight(strings.Join(lines[i+1:], "\n"), "\n"), nil
		}
		h, err := parseHeader(line)
		if err != nil {
			return nil, "", err
		}
		headers = append(headers, h)
	}
	return headers, "", nil
}

func parseHeader(line string) (header, error) {
	name, value, ok := strings.Cut(line, ":")
	if !ok {
		return header{}, fmt.Errorf("%q is no header", line)
	}
	return header{name, strings.TrimSpace(value)}, nil
}
