// Package docs runs the shell that the documents show, and compares what it prints with
// what they say it prints. A document that lies fails.
//
// A block of ```sh is commands. A block of ```console is commands after "$ ", each with
// the output that it has; a line that ends in a backslash goes on in the next. In an
// output "..." stands for at least one character of a line, and within a JSON string for
// some of that string; a line of nothing but "..." stands for any lines. An indented line of
// JSON goes on where the line above ends, so that a long answer can be broken.
//
// A comment just above a block says what is special about it: why it is not run, as in
// <!-- not run: needs root -->, or that it is a server's, which is left running beside the
// others, <!-- in a terminal of its own -->.
package docs

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
)

// Page is the shell of one document.
type Page struct{ Blocks []Block }

// Block is a fenced block of shell.
type Block struct {
	Line     int    // of its fence, from 1
	NotRun   string // why it is not run; "" when it is
	Beside   bool   // it is a server's, and has a terminal of its own
	Commands []Command
}

// Command is what is typed at once, and the output that the page shows for it.
type Command struct {
	Line   int
	Text   string
	Shown  bool // the page shows its output; else it may print what it likes
	Output []string
}

var (
	fence   = regexp.MustCompile("^( *)(`{3,})([^`]*)$")
	comment = regexp.MustCompile(`^<!-- *(not run|in a terminal of its own)(.*?) *-->$`)

	// elsewhere is an address that no test may take, or that it could not give a page.
	elsewhere = regexp.MustCompile(`(localhost|0\.0\.0\.0|\[::1?\]):[0-9]`)
)

// others are the blocks that are no shell. What a block is has to be said, so that no
// shell goes unseen.
var others = []string{"text", "json", "ndjson", "http", "yaml", "ini", "go", "js", "python", "promql"}

// Parse finds the shell in a document. The error names every block that could not be
// checked as it is written.
func Parse(text string) (Page, error) {
	p := parser{lines: strings.Split(text, "\n")}
	for p.at < len(p.lines) {
		p.line()
	}
	p.markUsed()
	return p.page, errors.Join(p.errs...)
}

type parser struct {
	lines []string
	at    int
	page  Page
	errs  []error
	mark  []string // of the comment that waits for its block: what, and why
	where int      // the line of that comment
}

func (p *parser) fail(line int, format string, args ...any) {
	p.errs = append(p.errs, fmt.Errorf("line %d: %w", line, fmt.Errorf(format, args...)))
}

// line reads a line outside of any block.
func (p *parser) line() {
	text := strings.TrimSpace(p.lines[p.at])
	p.at++
	if m := comment.FindStringSubmatch(text); m != nil {
		p.markUsed()
		p.mark, p.where = m[1:], p.at
		return
	}
	if m := fence.FindStringSubmatch(p.lines[p.at-1]); m != nil {
		p.block(m[1], m[2], strings.TrimSpace(m[3]))
		return
	}
	if text != "" {
		p.markUsed()
	}
}

// markUsed complains of a comment that stands above no shell.
func (p *parser) markUsed() {
	if p.mark != nil {
		p.fail(p.where, "no shell follows this comment")
		p.mark = nil
	}
}

// block reads a block up to its end.
func (p *parser) block(indent, ticks, lang string) {
	began := p.at
	var body []string
	for ; ; p.at++ {
		if p.at == len(p.lines) {
			p.fail(began, "the block has no end")
			return
		}
		line := strings.TrimPrefix(p.lines[p.at], indent)
		if strings.TrimRight(line, " ") == ticks {
			p.at++
			break
		}
		body = append(body, line)
	}
	switch {
	case lang == "sh", lang == "console":
		p.shell(began, lang, body)
	case slices.Contains(others, lang):
		p.markUsed()
		p.noShell(began, body)
	default:
		p.fail(began, "a block of %q: say what it is: sh, console, or one of %s", lang, strings.Join(others, ", "))
	}
}

// noShell complains of shell that calls itself something else.
func (p *parser) noShell(began int, body []string) {
	for i, line := range body {
		if strings.HasPrefix(line, "$ ") {
			p.fail(began+1+i, "a block with a prompt is console")
			return
		}
	}
}

func (p *parser) shell(began int, lang string, body []string) {
	b := Block{Line: began}
	if p.mark != nil {
		reason, separated := strings.CutPrefix(p.mark[1], ": ")
		switch b.Beside = p.mark[0] != "not run"; {
		case b.Beside:
		case !separated || reason == "":
			p.fail(p.where, "say why it is not run: <!-- not run: needs root -->")
		default:
			b.NotRun = reason
		}
		p.mark = nil
	}
	if lang == "sh" {
		b.Commands = []Command{{Line: began + 1, Text: strings.Join(body, "\n")}}
	} else {
		b.Commands = p.console(began, body)
	}
	for _, c := range b.Commands {
		if b.NotRun == "" && elsewhere.MatchString(c.Text) {
			p.fail(c.Line, "only 127.0.0.1 can be given another port: %s", elsewhere.FindString(c.Text))
		}
	}
	p.page.Blocks = append(p.page.Blocks, b)
}

// console tells commands from their output.
func (p *parser) console(began int, body []string) []Command {
	var out []Command
	more := false // the command goes on in this line
	for i, line := range body {
		typed, prompted := strings.CutPrefix(line, "$ ")
		switch {
		case more:
			out[len(out)-1].Text += "\n" + line
			typed = line
		case prompted:
			out = append(out, Command{Line: began + 1 + i, Text: typed, Shown: true})
		case len(out) == 0:
			p.fail(began+1+i, "output before any command")
			return nil
		default:
			out[len(out)-1].Output = append(out[len(out)-1].Output, line)
			continue
		}
		more = strings.HasSuffix(typed, `\`)
	}
	return out
}
