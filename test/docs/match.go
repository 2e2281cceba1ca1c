package docs

import (
	"fmt"
	"regexp"
	"strings"
)

// Match compares what a command printed with what a page shows.
func Match(shown []string, printed string) error {
	json := len(shown) > 0 && strings.HasPrefix(shown[0], "{")
	if json {
		shown = unbroken(shown)
	}
	pattern := "^"
	for _, line := range shown {
		if line == "..." {
			pattern += `(?:.*\n)*?`
			continue
		}
		pattern += patternOf(line, json) + `\n`
	}
	printed = tidy(printed)
	if !regexp.MustCompile(pattern + "$").MatchString(printed) {
		return fmt.Errorf("it printed\n%.4000sand the page shows\n%s", printed, strings.Join(append(shown, ""), "\n"))
	}
	return nil
}

// tidy takes away what nobody sees: the ends of lines, and a missing last one.
func tidy(printed string) string {
	if printed == "" {
		return ""
	}
	lines := strings.Split(strings.TrimSuffix(printed, "\n"), "\n")
	for i := range lines {
		lines[i] = strings.TrimRight(lines[i], " \t\r")
	}
	return strings.Join(lines, "\n") + "\n"
}

// unbroken joins an indented line to the one above.
func unbroken(lines []string) []string {
	var out []string
	for _, line := range lines {
		text := strings.TrimLeft(line, " ")
		if len(out) > 0 && text != line {
			out[len(out)-1] += text
		} else {
			out = append(out, line)
		}
	}
	return out
}

// patternOf is the regular expression of one line. What is left out within a JSON string
// does not reach past its end.
func patternOf(line string, json bool) string {
	pattern, quoted := "", false
	for i, part := range strings.Split(strings.TrimRight(line, " "), "...") {
		if i > 0 {
			if pattern += ".+"; quoted {
				pattern = pattern[:len(pattern)-2] + `[^"]+`
			}
		}
		pattern += regexp.QuoteMeta(part)
		if json && strings.Count(strings.ReplaceAll(part, `\"`, ""), `"`)%2 == 1 {
			quoted = !quoted
		}
	}
	return pattern
}
