package main

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
)

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"bobbin": main})
}

func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir:                 "testdata",
		RequireExplicitExec: true,
		RequireUniqueNames:  true,
		Setup: func(env *testscript.Env) error {
			env.Setenv("NO_COLOR", "1")
			env.Values[serversKey{}] = &servers{running: map[string]*server{}}
			env.Defer(func() { env.Values[serversKey{}].(*servers).killAll() })
			return nil
		},
		Cmds: map[string]func(ts *testscript.TestScript, neg bool, args []string){
			"serve":  serve,
			"end":    end,
			"exit":   exit,
			"flip":   flip,
			"cut":    cut,
			"zip":    zip,
			"idof":   idOf,
			"runjob": runJob,
			"until":  until,
		},
	})
}

type serversKey struct{}

// servers are the processes that a script started.
type servers struct {
	mu      sync.Mutex
	running map[string]*server
}

type server struct {
	cmd    *exec.Cmd
	stderr string // a file
}

func (s *servers) killAll() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, server := range s.running {
		server.cmd.Process.Kill()
		server.cmd.Wait()
	}
}

// serve starts "bobbin serve" in the background and waits for its first line:
//
//	serve NAME [ARG...]
//
// The members of that line become variables: $NAME_url, $NAME_backend_key and so on.
// What it writes to stderr is in the file NAME.stderr.
func serve(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) == 0 {
		ts.Fatalf("usage: serve NAME [ARG...]")
	}
	name := args[0]
	stderr, err := os.Create(ts.MkAbs(name + ".stderr"))
	ts.Check(err)
	defer stderr.Close()
	path, err := exec.LookPath("bobbin") // testscript put it on the PATH
	ts.Check(err)
	// Not bound to the script's context: end says how the process ends.
	cmd := exec.Command(path, append([]string{"serve", "--addr", "127.0.0.1:0", "--json"}, args[1:]...)...)
	cmd.Dir = ts.MkAbs(".")
	cmd.Env = append(os.Environ(), "NO_COLOR=1")
	cmd.Stderr = stderr
	stdout, err := cmd.StdoutPipe()
	ts.Check(err)
	ts.Check(cmd.Start())
	all := ts.Value(serversKey{}).(*servers)
	all.mu.Lock()
	all.running[name] = &server{cmd: cmd, stderr: stderr.Name()}
	all.mu.Unlock()
	first, err := bufio.NewReader(io.LimitReader(stdout, 1<<16)).ReadBytes('\n')
	if err != nil {
		ts.Fatalf("serve said nothing: %v\n%s", err, ts.ReadFile(name+".stderr"))
	}
	var said map[string]string
	ts.Check(json.Unmarshal(first, &said))
	for member, value := range said {
		ts.Setenv(name+"_"+member, value)
	}
	ts.Setenv(name+"_addr", strings.TrimPrefix(said["url"], "http://"))
}

// end ends a server and waits for it: "end NAME" with SIGTERM, after which it must exit
// with 0, or "end NAME kill" with SIGKILL.
func end(ts *testscript.TestScript, _ bool, args []string) {
	all := ts.Value(serversKey{}).(*servers)
	all.mu.Lock()
	s := all.running[args[0]]
	delete(all.running, args[0])
	all.mu.Unlock()
	if s == nil {
		ts.Fatalf("no server is called %s", args[0])
	}
	signal := syscall.SIGTERM
	if len(args) > 1 && args[1] == "kill" {
		signal = syscall.SIGKILL
	}
	ts.Check(s.cmd.Process.Signal(signal))
	if err := s.cmd.Wait(); err != nil && signal == syscall.SIGTERM {
		text, _ := os.ReadFile(s.stderr)
		ts.Fatalf("serve ended with %v\n%s", err, text)
	}
}

// exit runs a command that must end with the exit code given: "exit CODE COMMAND...".
// What it printed is in the files stdout.txt and stderr.txt.
func exit(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: exit CODE COMMAND [ARG...]")
	}
	want, err := strconv.Atoi(args[0])
	ts.Check(err)
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	var out, text strings.Builder
	cmd := exec.CommandContext(ctx, args[1], args[2:]...)
	cmd.Dir = ts.MkAbs(".")
	cmd.Env = append(os.Environ(), "NO_COLOR=1")
	cmd.Stdout, cmd.Stderr = &out, &text
	err = cmd.Run()
	ts.Check(os.WriteFile(ts.MkAbs("stdout.txt"), []byte(out.String()), 0o600))
	ts.Check(os.WriteFile(ts.MkAbs("stderr.txt"), []byte(text.String()), 0o600))
	got := 0
	if ended := (*exec.ExitError)(nil); errors.As(err, &ended) {
		got = ended.ExitCode()
	} else {
		ts.Check(err)
	}
	if got != want {
		ts.Fatalf("%s exits with %d, want %d\n%s%s", strings.Join(args[1:], " "), got, want, out.String(), text.String())
	}
}

// flip changes a byte in the middle of every file that a pattern matches.
func flip(ts *testscript.TestScript, _ bool, args []string) {
	rewrite(ts, args[0], func(b []byte) []byte {
		b[len(b)/2] ^= 0xff
		return b
	})
}

// cut leaves the first half of every file that a pattern matches.
func cut(ts *testscript.TestScript, _ bool, args []string) {
	rewrite(ts, args[0], func(b []byte) []byte { return b[:len(b)/2] })
}

func rewrite(ts *testscript.TestScript, pattern string, change func([]byte) []byte) {
	names, err := filepath.Glob(ts.MkAbs(pattern))
	ts.Check(err)
	if len(names) == 0 {
		ts.Fatalf("no file matches %s", pattern)
	}
	for _, name := range names {
		b, err := os.ReadFile(name)
		ts.Check(err)
		if len(b) == 0 {
			ts.Fatalf("%s is empty", name)
		}
		ts.Check(os.WriteFile(name, change(b), 0o600))
	}
	ts.Logf("changed %s", fmt.Sprint(names))
}

// zip compresses a file: "zip FROM TO".
func zip(ts *testscript.TestScript, _ bool, args []string) {
	var packed bytes.Buffer
	z := gzip.NewWriter(&packed)
	_, err := z.Write([]byte(ts.ReadFile(args[0])))
	ts.Check(errors.Join(err, z.Close()))
	ts.Check(os.WriteFile(ts.MkAbs(args[1]), packed.Bytes(), 0o600))
}

// idOf writes the store's id, of a status document, to a file: "idof STATUS FILE".
func idOf(ts *testscript.TestScript, _ bool, args []string) {
	var status struct{ Store string }
	ts.Check(json.Unmarshal([]byte(ts.ReadFile(args[0])), &status))
	ts.Check(os.WriteFile(ts.MkAbs(args[1]), []byte(status.Store+"\n"), 0o600))
}

// within bounds what a script waits for.
const within = 30 * time.Second

// runJob starts a job and waits until it is over: "runjob URL KEY KIND REQUEST FILE". What
// a server says of it then is in the file.
func runJob(ts *testscript.TestScript, _ bool, args []string) {
	ctx, cancel := context.WithTimeout(context.Background(), within)
	defer cancel()
	server, err := newClient(args[0], 1)
	ts.Check(err)
	said, err := server.do(ctx, request{method: "POST", path: "/admin/jobs/" + args[2], key: args[1], body: []byte(args[3])})
	ts.Check(err)
	var got struct{ Job struct{ ID, State string } }
	ts.Check(json.Unmarshal(said, &got))
	for path := "/admin/jobs/" + got.Job.ID; got.Job.State != "done" && got.Job.State != "failed"; {
		said, err = server.do(ctx, request{method: "GET", path: path, key: args[1]})
		ts.Check(err)
		ts.Check(json.Unmarshal(said, &got))
	}
	ts.Check(os.WriteFile(ts.MkAbs(args[4]), said, 0o600))
}

// until asks a server until its answer contains a text: "until URL KEY PATH TEXT".
func until(ts *testscript.TestScript, _ bool, args []string) {
	ctx, cancel := context.WithTimeout(context.Background(), within)
	defer cancel()
	server, err := newClient(args[0], 1)
	ts.Check(err)
	for {
		said, err := server.do(ctx, request{method: "GET", path: args[2], key: args[1]})
		ts.Check(err)
		if strings.Contains(string(said), args[3]) {
			return
		}
	}
}
