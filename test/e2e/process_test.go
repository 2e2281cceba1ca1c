//go:build unix

package e2e

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

const (
	startWithin = 30 * time.Second
	exitWithin  = 30 * time.Second
	runWithin   = 2 * time.Minute
)

// hello is the line that serve prints when it listens.
type hello struct {
	URL      string `json:"url"`
	Backend  string `json:"backend_key"`
	Frontend string `json:"frontend_key"`
	Admin    string `json:"admin_key"`
	Signing  string `json:"signing_key"`
}

// process is one `bobbin serve`.
type process struct {
	hello
	cmd    *exec.Cmd
	stderr string // a file
	ready  chan struct{}
	exited chan struct{}
}

// environment is ours without what the program would read from it.
func environment() []string {
	var env []string
	for _, e := range os.Environ() {
		if !strings.HasPrefix(e, "BOBBIN_") {
			env = append(env, e)
		}
	}
	return env
}

// launch starts a server and does not wait for it to listen. The test's end kills it.
func launch(t *testing.T, db string, flags ...string) *process {
	t.Helper()
	log, err := os.CreateTemp(t.TempDir(), "stderr")
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	args := append([]string{"serve", "--db", db, "--addr", "127.0.0.1:0", "--json"}, flags...)
	p := &process{
		cmd:    exec.Command(binary, args...),
		stderr: log.Name(),
		ready:  make(chan struct{}),
		exited: make(chan struct{}),
	}
	p.cmd.Env, p.cmd.Stderr = environment(), log
	out, err := p.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go p.follow(out)
	t.Cleanup(func() {
		p.kill()
		if t.Failed() {
			t.Logf("stderr of process %d:\n%s", p.cmd.Process.Pid, p.log())
		}
	})
	return p
}

// follow reads what the process prints until it ends.
func (p *process) follow(out io.Reader) {
	lines := bufio.NewReader(out)
	line, err := lines.ReadBytes('\n')
	if err == nil && json.Unmarshal(line, &p.hello) == nil && p.URL != "" {
		close(p.ready)
	}
	io.Copy(io.Discard, lines) // ends with the process
	p.cmd.Wait()               // its state says how it ended
	close(p.exited)
}

// start starts a server and waits until it listens.
func start(t *testing.T, db string, flags ...string) *process {
	t.Helper()
	p := launch(t, db, flags...)
	select {
	case <-p.ready:
	case <-p.exited:
		t.Fatalf("serve ended at its start: %s\n%s", p.cmd.ProcessState, p.log())
	case <-time.After(startWithin):
		t.Fatalf("serve did not listen within %s\n%s", startWithin, p.log())
	}
	return p
}

// log is the end of what the process told its operator.
func (p *process) log() string {
	b, err := os.ReadFile(p.stderr)
	if err != nil {
		return err.Error()
	}
	return string(b[max(0, len(b)-4<<10):])
}

func (p *process) signal(t *testing.T, s syscall.Signal) {
	t.Helper()
	if err := p.cmd.Process.Signal(s); err != nil {
		t.Fatalf("signal %s: %v", s, err)
	}
}

// kill ends the process, stopped or not, and waits until it is gone.
func (p *process) kill() {
	p.cmd.Process.Kill() // it may have ended already
	<-p.exited
}

// exit waits for the process to end by itself. The result is its exit code.
func (p *process) exit(t *testing.T, within time.Duration) int {
	t.Helper()
	select {
	case <-p.exited:
	case <-time.After(within):
		t.Fatalf("serve did not end within %s\n%s", within, p.log())
	}
	return p.cmd.ProcessState.ExitCode()
}

// stop ends the process as an operator does.
func (p *process) stop(t *testing.T) {
	t.Helper()
	p.signal(t, syscall.SIGTERM)
	if code := p.exit(t, exitWithin); code != 0 {
		t.Errorf("exit code after SIGTERM = %d, want 0\n%s", code, p.log())
	}
}

// result is how a command ended.
type result struct {
	stdout, stderr string
	code           int
}

// run runs a command to its end.
func run(t *testing.T, args ...string) result {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), runWithin)
	defer cancel()
	var stdout, stderr bytes.Buffer
	cmd := exec.CommandContext(ctx, binary, args...)
	cmd.Env, cmd.Stdout, cmd.Stderr = environment(), &stdout, &stderr
	err := cmd.Run()
	var exit *exec.ExitError
	if err != nil && (!errors.As(err, &exit) || ctx.Err() != nil) {
		t.Fatalf("bobbin %s: %v\n%s", strings.Join(args, " "), err, stderr.String())
	}
	return result{stdout.String(), stderr.String(), cmd.ProcessState.ExitCode()}
}

// succeed runs a command that must succeed. The result is what it printed.
func succeed(t *testing.T, args ...string) string {
	t.Helper()
	r := run(t, args...)
	if r.code != 0 {
		t.Fatalf("bobbin %s: exit code %d\n%s%s", strings.Join(args, " "), r.code, r.stdout, r.stderr)
	}
	return r.stdout
}

// verified is what verify reports, as far as tests look at it.
type verified struct {
	OK       bool
	Threads  int
	Messages int
	Commits  int
	Segments int
}

// verify checks that nothing in the store is damaged.
func verify(t *testing.T, db string) verified {
	t.Helper()
	r := run(t, "verify", "--db", db, "--json")
	var v verified
	if err := json.Unmarshal([]byte(r.stdout), &v); err != nil || r.code != 0 || !v.OK {
		t.Fatalf("verify: exit code %d, %v\n%s%s", r.code, err, r.stdout, r.stderr)
	}
	return v
}

// folder is where a test's store will be.
func folder(t *testing.T) string {
	t.Helper()
	return filepath.Join(t.TempDir(), "db")
}
