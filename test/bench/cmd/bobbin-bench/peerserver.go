//go:build linux

package main

import (
	"bufio"
	"context"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/bobbindb/bobbin/test/bench/peer"
)

// runPeerServer is the peer's HTTP process: it prints its address and serves
// until it is told to stop.
func runPeerServer(ctx context.Context, connString string, post peer.Post) error {
	connectCtx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	handler, err := peer.NewServer(connectCtx, connString, post)
	if err != nil {
		return err
	}
	defer handler.Close()
	listener, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		return err
	}
	fmt.Println(listener.Addr())
	server := &http.Server{Handler: handler.Handler()}
	stopped := make(chan struct{})
	go func() {
		defer close(stopped)
		<-ctx.Done()
		server.Close()
	}()
	if err := server.Serve(listener); err != http.ErrServerClosed {
		return err
	}
	<-stopped
	return nil
}

// postgres is the peer: the database and, in a process of its own, its server.
// Only the database is stopped, killed and started again; the server's pool
// finds it again by itself, as an application's would.
type postgres struct {
	database *peer.Postgres
	front    *process
	post     peer.Post
	logFile  string
	addr     string
}

func newPostgres(ctx context.Context, post peer.Post, dir string) (*postgres, error) {
	database, err := peer.NewPostgres(ctx, filepath.Join(dir, "postgres"))
	if err != nil {
		return nil, err
	}
	return &postgres{database: database, post: post, logFile: filepath.Join(dir, "peer-server.log")}, nil
}

func (p *postgres) name() string { return "postgres" }
func (p *postgres) endpoint() endpoint {
	return endpoint{addr: p.addr, backendKey: "unused", adminKey: "unused"}
}
func (p *postgres) stop() error { return p.database.Stop() }
func (p *postgres) kill() error { return p.database.Kill() }

func (p *postgres) settle(ctx context.Context) error { return p.database.Settle(ctx) }

func (p *postgres) pids() []int {
	children, err := peer.Children(p.database.Pid())
	if err != nil {
		children = nil
	}
	return append(children, p.database.Pid(), p.front.pid())
}

func (p *postgres) start(ctx context.Context) error {
	if err := p.database.Start(); err != nil {
		return err
	}
	if p.front != nil {
		return nil
	}
	conn, err := p.database.Connect(ctx)
	if err != nil {
		return err
	}
	conn.Close(ctx)
	return p.startFront()
}

func (p *postgres) startFront() error {
	self, err := os.Executable()
	if err != nil {
		return err
	}
	log, err := os.Create(p.logFile)
	if err != nil {
		return err
	}
	defer log.Close()
	reading, writing, err := os.Pipe()
	if err != nil {
		return err
	}
	defer reading.Close()
	cmd := exec.Command(self, servePeer, p.database.ConnString(), string(p.post))
	cmd.Stdout, cmd.Stderr = writing, log
	p.front, err = startProcess(cmd)
	writing.Close()
	if err != nil {
		return fmt.Errorf("start peer server: %w", err)
	}
	reading.SetReadDeadline(time.Now().Add(startTimeout))
	line, err := bufio.NewReader(reading).ReadString('\n')
	if err != nil {
		return fmt.Errorf("read the peer server's address: %w; see %s", err, p.logFile)
	}
	p.addr = strings.TrimSpace(line)
	return nil
}

func (p *postgres) close() error {
	if p.front != nil {
		p.front.end(syscall.SIGTERM)
		p.front = nil
	}
	return p.database.Stop()
}
