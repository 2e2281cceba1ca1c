//go:build linux

package peer

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5"
)

// superuser is the database's own name for whoever owns it.
const superuser = "bench"

// ErrNoPostgres says that this machine has no PostgreSQL server installed.
var ErrNoPostgres = errors.New("no PostgreSQL under /usr/lib/postgresql: run scripts/install-bench-peer")

// Postgres is one database folder and, while it runs, its postmaster.
type Postgres struct {
	bin        string // the folder of initdb and postgres
	data       string
	socket     string
	credential *syscall.Credential // nil: run as whoever we are
	process    *exec.Cmd
	exited     chan error
}

// NewPostgres makes an empty database under dir, which must not exist yet.
// The server refuses to run as root; then dir belongs to the user postgres,
// who must be able to reach it.
func NewPostgres(ctx context.Context, dir string) (*Postgres, error) {
	bin, err := findBinaries()
	if err != nil {
		return nil, err
	}
	p := &Postgres{bin: bin, data: filepath.Join(dir, "data"), socket: dir}
	if err := os.Mkdir(dir, 0o700); err != nil {
		return nil, fmt.Errorf("make database folder: %w", err)
	}
	if os.Geteuid() == 0 {
		if err := p.giveTo(dir, "postgres"); err != nil {
			return nil, err
		}
	}
	initdb := p.command(ctx, "initdb", "--pgdata", p.data, "--username", superuser, "--auth", "trust", "--encoding", "UTF8", "--locale", "C")
	if out, err := initdb.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("initdb: %w: %s", err, out)
	}
	return p, nil
}

// findBinaries returns the newest version's folder.
func findBinaries() (string, error) {
	found, err := filepath.Glob("/usr/lib/postgresql/*/bin/postgres")
	if err != nil || len(found) == 0 {
		return "", ErrNoPostgres
	}
	version := func(path string) int {
		n, _ := strconv.Atoi(filepath.Base(filepath.Dir(filepath.Dir(path))))
		return n
	}
	newest := slices.MaxFunc(found, func(a, b string) int { return version(a) - version(b) })
	return filepath.Dir(newest), nil
}

// giveTo makes a user the owner of dir and of the processes to come.
func (p *Postgres) giveTo(dir, name string) error {
	owner, err := user.Lookup(name)
	if err != nil {
		return fmt.Errorf("PostgreSQL refuses to run as root: %w", err)
	}
	uid, _ := strconv.Atoi(owner.Uid)
	gid, _ := strconv.Atoi(owner.Gid)
	if err := os.Chown(dir, uid, gid); err != nil {
		return fmt.Errorf("give database folder to %s: %w", name, err)
	}
	p.credential = &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}
	return nil
}

func (p *Postgres) command(ctx context.Context, name string, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, filepath.Join(p.bin, name), args...)
	cmd.Dir = p.socket
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: p.credential, Setpgid: true}
	return cmd
}

// Settings are what the server runs with beside its defaults.
func Settings() []string {
	return []string{
		"listen_addresses=", "fsync=on", "synchronous_commit=on", "shared_buffers=512MB", "max_connections=40",
	}
}

// Start starts the server and returns at once: the first connections may be
// refused. Its messages go to server.log beside the data.
func (p *Postgres) Start() error {
	args := []string{"-D", p.data, "-k", p.socket}
	for _, setting := range Settings() {
		args = append(args, "-c", setting)
	}
	log, err := os.OpenFile(filepath.Join(p.socket, "server.log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	defer log.Close()
	// The process outlives any one context: Stop and Kill end it.
	cmd := p.command(context.Background(), "postgres", args...)
	cmd.Stdout, cmd.Stderr = log, log
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("start postgres: %w", err)
	}
	p.process, p.exited = cmd, make(chan error, 1)
	go func() { p.exited <- cmd.Wait() }()
	return nil
}

// Connect waits until the server answers.
func (p *Postgres) Connect(ctx context.Context) (*pgx.Conn, error) {
	for {
		conn, err := pgx.Connect(ctx, p.ConnString())
		if err == nil {
			return conn, nil
		}
		select {
		case exit := <-p.exited:
			p.exited <- exit
			return nil, fmt.Errorf("postgres ended: %w; see %s/server.log", exit, p.socket)
		case <-ctx.Done():
			return nil, fmt.Errorf("connect to postgres: %w", err)
		case <-time.After(5 * time.Millisecond):
		}
	}
}

// ConnString names the private socket.
func (p *Postgres) ConnString() string {
	return fmt.Sprintf("host=%s user=%s dbname=postgres", p.socket, superuser)
}

// Pid is the postmaster's; its children are the backends.
func (p *Postgres) Pid() int { return p.process.Process.Pid }

// Data is the folder of the database files.
func (p *Postgres) Data() string { return p.data }

// Settle brings the tables to the state that the server's own background work
// would reach in time: statistics taken, dead rows marked, pages written.
func (p *Postgres) Settle(ctx context.Context) error {
	conn, err := p.Connect(ctx)
	if err != nil {
		return err
	}
	defer conn.Close(context.WithoutCancel(ctx))
	for _, statement := range []string{"VACUUM (ANALYZE)", "CHECKPOINT"} {
		if _, err := conn.Exec(ctx, statement); err != nil {
			return fmt.Errorf("%s: %w", statement, err)
		}
	}
	return nil
}

// Stop asks for a fast shutdown (open sessions are cut, everything is written)
// and waits for its end.
func (p *Postgres) Stop() error {
	if p.process == nil {
		return nil
	}
	defer func() { p.process = nil }()
	if err := p.process.Process.Signal(syscall.SIGINT); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("stop postgres: %w", err)
	}
	select {
	case <-p.exited:
		return nil
	case <-time.After(2 * time.Minute):
		return errors.Join(errors.New("postgres did not stop in 2 minutes"), p.Kill())
	}
}

// Kill ends the postmaster and each of its children by kill -9, as a power cut
// would: nothing is written any more. It returns when all are gone.
func (p *Postgres) Kill() error {
	if p.process == nil {
		return nil
	}
	children, err := Children(p.Pid())
	if err != nil {
		return err
	}
	if err := p.process.Process.Kill(); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("kill postgres: %w", err)
	}
	for _, pid := range children {
		if err := syscall.Kill(pid, syscall.SIGKILL); err != nil && err != syscall.ESRCH {
			return fmt.Errorf("kill postgres child %d: %w", pid, err)
		}
	}
	<-p.exited
	p.process = nil
	for _, pid := range children {
		awaitGone(pid)
	}
	return nil
}

// awaitGone waits until a killed process is no more than a zombie.
func awaitGone(pid int) {
	for range 1000 {
		stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
		if err != nil || strings.Contains(string(stat), ") Z ") {
			return
		}
		time.Sleep(time.Millisecond)
	}
}

// Children lists the pids whose parent is pid.
func Children(pid int) ([]int, error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/task/%d/children", pid, pid))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("list children of %d: %w", pid, err)
	}
	var children []int
	for field := range strings.FieldsSeq(string(text)) {
		child, err := strconv.Atoi(field)
		if err != nil {
			return nil, fmt.Errorf("list children of %d: %w", pid, err)
		}
		children = append(children, child)
	}
	return children, nil
}

// Version is what the installed server calls itself.
func Version(ctx context.Context) (string, error) {
	bin, err := findBinaries()
	if err != nil {
		return "", err
	}
	out, err := exec.CommandContext(ctx, filepath.Join(bin, "postgres"), "--version").Output()
	if err != nil {
		return "", fmt.Errorf("ask postgres its version: %w", err)
	}
	return strings.TrimPrefix(strings.TrimSpace(string(out)), "postgres "), nil
}
