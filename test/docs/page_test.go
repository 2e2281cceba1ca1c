package docs_test

import (
	"strings"
	"testing"

	"github.com/bobbindb/bobbin/test/docs"
)

// page writes fences as they cannot stand in a Go string.
func page(text string) string { return strings.ReplaceAll(text, "~~~", "```") }

func TestParse(t *testing.T) {
	text := page(`# A page

Some ~~~ in a line.

~~~sh
a
b
~~~

  ~~~console
  $ curl \
      -s
  {"a":1}
    more
  $ true
  ~~~

<!-- not run: needs root -->

~~~sh
reboot
~~~

<!-- in a terminal of its own -->
~~~sh
serve
~~~
~~~json
{}
~~~
`)
	got, err := docs.Parse(text)
	if err != nil {
		t.Fatalf("Parse() = %v", err)
	}
	if len(got.Blocks) != 4 {
		t.Fatalf("Parse() = %d blocks, want 4: %+v", len(got.Blocks), got)
	}
	sh, console, root, serve := got.Blocks[0], got.Blocks[1], got.Blocks[2], got.Blocks[3]
	if c := sh.Commands; len(c) != 1 || c[0].Text != "a\nb" || c[0].Line != 6 || c[0].Shown {
		t.Errorf("commands of sh = %+v", c)
	}
	if c := console.Commands; len(c) != 2 || c[0].Text != "curl \\\n    -s" || c[0].Line != 11 ||
		strings.Join(c[0].Output, "|") != `{"a":1}|  more` || c[1].Text != "true" || c[1].Output != nil || !c[1].Shown {
		t.Errorf("commands of console = %+v", c)
	}
	if root.NotRun != "needs root" || root.Line != 20 || serve.NotRun != "" || !serve.Beside {
		t.Errorf("blocks with a comment = %+v, %+v", root, serve)
	}
}

func TestParseRefusesWhatItCouldNotCheck(t *testing.T) {
	for _, tt := range []struct{ name, text, want string }{
		{"a block that does not say what it is", "~~~\nbobbin init\n~~~\n", `line 1: a block of "": say what it is`},
		{"shell by another name", "~~~bash\nls\n~~~\n", `line 1: a block of "bash"`},
		{"shell that calls itself text", "\n~~~text\nx\n$ ls\n~~~\n", "line 4: a block with a prompt is console"},
		{"no reason", "<!-- not run -->\n~~~sh\nls\n~~~\n", "line 1: say why it is not run"},
		{"an empty reason", "<!-- not run: -->\n~~~sh\nls\n~~~\n", "line 1: say why it is not run"},
		{"a comment far from its block", "<!-- not run: x -->\ntext\n~~~sh\nls\n~~~\n", "line 1: no shell follows this comment"},
		{"a comment above a block of text", "<!-- not run: x -->\n~~~text\nls\n~~~\n", "line 1: no shell follows this comment"},
		{"a comment at the end", "<!-- not run: x -->\n", "line 1: no shell follows this comment"},
		{"output before any command", "~~~console\nhello\n~~~\n", "line 2: output before any command"},
		{"no end", "~~~sh\nls\n", "line 1: the block has no end"},
		{"an address that cannot be moved", "~~~sh\ncurl localhost:8080\n~~~\n", "line 2: only 127.0.0.1 can be given another port: localhost:8"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if _, err := docs.Parse(page(tt.text)); err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("Parse() = %v, want %q in it", err, tt.want)
			}
		})
	}
}

func TestMatch(t *testing.T) {
	for _, tt := range []struct {
		name, shown, printed string
		want                 bool
	}{
		{"the same", "a\nb", "a\nb\n", true},
		{"no end of the last line", "a", "a", true},
		{"ends of lines of HTTP", "a: b", "a: b \r\n", true},
		{"nothing", "", "", true},
		{"output that is not shown", "", "a\n", false},
		{"output that does not come", "a", "", false},
		{"one line more", "a", "a\nb\n", false},
		{"one line less", "a\nb", "a\n", false},
		{"some of a line", "a ... c", "a b c\n", true},
		{"some is not none", "t:...", "t:\n", false},
		{"a point is a point", "a.c", "abc\n", false},
		{"lines", "a\n...\nd", "a\nb\nc\nd\n", true},
		{"lines that are not there", "a\n...\nd", "a\nd\n", true},
		{"lines, and then not what is shown", "a\n...\nd", "a\nb\n", false},
		{"JSON in pieces", "{\"a\":\n  1}\n{}", "{\"a\":1}\n{}\n", true},
		{"some of a string", `{"a":"t:...","b":1}`, `{"a":"t:2","b":1}`, true},
		{"some of a string ends with it", `{"a":"t:...","b":1}`, `{"a":"t:2","c":2,"z":"","b":1}`, false},
		{"some of an object", `{"a":1,...,"z":2}`, `{"a":1,"b":"x","z":2}`, true},
		{"another number", `{"a":1,...,"z":2}`, `{"a":1,"b":"x","z":3}`, false},
		{"a quote within a string", `{"a":"\"...","b":"..."}`, `{"a":"\"x","b":"y"}`, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var shown []string
			if tt.shown != "" {
				shown = strings.Split(tt.shown, "\n")
			}
			if err := docs.Match(shown, tt.printed); (err == nil) != tt.want {
				t.Errorf("Match(%q, %q) = %v, want a match: %v", tt.shown, tt.printed, err, tt.want)
			}
		})
	}
}
