//go:build unix

package docs

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// Setting is where the shell of a page runs.
type Setting struct {
	Dir     string   // its working folder
	Scratch string   // a folder for what the page does not see
	Env     []string // where 127.0.0.1:8080 is no other address
}

// address is what a page calls its servers.
var address = regexp.MustCompile(`127\.0\.0\.1:8[0-9]{3}\b`)

// DefaultAddress is where a server of a page listens that is not told where to.
const DefaultAddress = "127.0.0.1:8080"

// Run runs the blocks of a page that are to be run, in their order and in one bash. Every
// address 127.0.0.1:8nnn of the page is another one, with a free port, and BOBBIN_ADDR
// tells a server that is told nothing. The error names the first command that failed, or
// else every one whose output is not what the page shows. When Run returns, nothing that
// the page started is left.
func Run(ctx context.Context, page Page, in Setting) error {
	r := run{Setting: in, ports: map[string]string{}, shown: map[string]string{}}
	if err := r.write(page); err != nil {
		return err
	}
	code, err := r.bash(ctx)
	if err != nil {
		return err
	}
	return r.check(code)
}

// run is one run of a page.
type run struct {
	Setting
	ports    map[string]string // from the address on the page to the one it has
	shown    map[string]string // and back
	commands []Command
}

func (r *run) script() string         { return filepath.Join(r.Scratch, "script") }
func (r *run) output(i int) string    { return filepath.Join(r.Scratch, strconv.Itoa(i)) }
func quote(path string) string        { return "'" + strings.ReplaceAll(path, "'", `'\''`) + "'" }
func (r *run) goes(i int) string      { return " >" + quote(r.output(i)) + " 2>&1" }
func (r *run) own(text string) string { return r.renamed(text, r.ports) }

// write writes the script. Each command has a file for what it prints, which is there as
// soon as it began.
func (r *run) write(page Page) error {
	script := "set -euo pipefail\n"
	for _, b := range page.Blocks {
		if b.NotRun != "" {
			continue
		}
		for _, c := range b.Commands {
			if err := r.takePorts(c.Text); err != nil {
				return err
			}
			i, text := len(r.commands), r.own(c.Text)
			r.commands = append(r.commands, c)
			if b.Beside {
				script += "(\n" + text + "\n)" + r.goes(i) + " &\n" +
					"until grep -q '^listening on ' " + quote(r.output(i)) + "; do kill -0 $!; sleep 0.05; done\n"
			} else {
				script += "{\n" + text + "\n}" + r.goes(i) + "\n"
			}
		}
	}
	if err := r.takePorts(DefaultAddress); err != nil {
		return err
	}
	return os.WriteFile(r.script(), []byte(script), 0o600)
}

// takePorts finds a free port for every address in a text that has none yet.
func (r *run) takePorts(text string) error {
	for _, shown := range address.FindAllString(text, -1) {
		if r.ports[shown] != "" {
			continue
		}
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return fmt.Errorf("find a free port: %w", err)
		}
		free := l.Addr().String()
		r.ports[shown], r.shown[free] = free, shown
		if err := l.Close(); err != nil {
			return fmt.Errorf("find a free port: %w", err)
		}
	}
	return nil
}

func (r *run) renamed(text string, names map[string]string) string {
	for from, to := range names {
		text = regexp.MustCompile(regexp.QuoteMeta(from)+`\b`).ReplaceAllLiteralString(text, to)
	}
	return text
}

// bash runs the script to its end. Then, or when ctx is done, it ends the group of
// processes that it made, and waits for the last of them: they all hold the end of a pipe.
func (r *run) bash(ctx context.Context) (code int, err error) {
	alive, held, err := os.Pipe()
	if err != nil {
		return 0, err
	}
	defer alive.Close()
	cmd := exec.Command("bash", r.script())
	cmd.Dir, cmd.Env = r.Dir, append(r.Env, "BOBBIN_ADDR="+r.ports[DefaultAddress])
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.ExtraFiles = []*os.File{held}
	err = cmd.Start()
	if err := errors.Join(err, held.Close()); err != nil {
		return 0, err
	}
	end := func() { _ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) } // nobody may be left
	stop := context.AfterFunc(ctx, end)
	err = cmd.Wait()
	stop()
	end()
	if err := alive.SetReadDeadline(time.Now().Add(10 * time.Second)); err != nil {
		return 0, err
	}
	if _, err := io.Copy(io.Discard, alive); err != nil {
		return 0, fmt.Errorf("wait for what the page started: %w", err)
	}
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		return 0, err
	}
	return cmd.ProcessState.ExitCode(), nil
}

// check says which command failed, or what was printed otherwise than shown.
func (r *run) check(code int) error {
	var errs []error
	for i, c := range r.commands {
		b, err := os.ReadFile(r.output(i))
		if err != nil {
			return fmt.Errorf("line %d: it never came to this command: %w", c.Line, errors.Join(errs...))
		}
		_, err = os.Stat(r.output(i + 1))
		if last := err != nil; last && code != 0 {
			return fmt.Errorf("line %d: the command ended with %d:\n%.4000s", c.Line, code, b)
		}
		if !c.Shown {
			continue
		}
		if err := Match(c.Output, r.renamed(string(b), r.shown)); err != nil {
			errs = append(errs, fmt.Errorf("line %d: %w", c.Line, err))
		}
	}
	return errors.Join(errs...)
}
