//go:build linux

package peer

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
)

const (
	poolSize = 16
	maxBody  = 8 << 20
	pageSize = 50
)

// schema has one index on a message's thread and id, and one on a thread's id.
// A body is kept exactly as it came, as text.
const schema = `
CREATE TABLE threads (
	id bigint PRIMARY KEY, client_id text UNIQUE, author text NOT NULL, title text NOT NULL,
	updated_ts bigint NOT NULL, messages int NOT NULL DEFAULT 0, live int NOT NULL DEFAULT 0);
CREATE TABLE messages (
	thread bigint NOT NULL, id int NOT NULL, author text NOT NULL, created_ts bigint NOT NULL,
	updated_ts bigint NOT NULL, deleted boolean NOT NULL DEFAULT false, body text NOT NULL,
	PRIMARY KEY (thread, id));`

// Post is how a post talks to the database. Either way it is one transaction.
type Post string

const (
	// PostTransaction sends BEGIN, the update, the insert and COMMIT, one after another, as most applications do.
	PostTransaction Post = "transaction"
	// PostStatement sends one statement that does both, in one round trip, as the most careful applications do.
	PostStatement Post = "statement"
)

// Server answers the routes of the benchmark from a pool of 16 connections.
type Server struct {
	pool       *pgxpool.Pool
	post       Post
	lastThread atomic.Int64
}

// NewServer waits until the database answers and makes its tables if need be.
func NewServer(ctx context.Context, connString string, post Post) (*Server, error) {
	config, err := pgxpool.ParseConfig(connString)
	if err != nil {
		return nil, err
	}
	config.MaxConns, config.MinConns = poolSize, poolSize
	pool, err := pgxpool.NewWithConfig(ctx, config)
	if err != nil {
		return nil, fmt.Errorf("open pool: %w", err)
	}
	var exists bool
	if err := pool.QueryRow(ctx, "SELECT to_regclass('messages') IS NOT NULL").Scan(&exists); err != nil {
		pool.Close()
		return nil, fmt.Errorf("look for tables: %w", err)
	}
	if !exists {
		if _, err := pool.Exec(ctx, schema); err != nil {
			pool.Close()
			return nil, fmt.Errorf("make tables: %w", err)
		}
	}
	return &Server{pool: pool, post: post}, nil
}

// Close ends the pool's connections.
func (s *Server) Close() { s.pool.Close() }

// Handler routes requests.
func (s *Server) Handler() http.Handler {
	mux := http.NewServeMux()
	handle := func(pattern string, answer func(r *http.Request) (int, []byte, error)) {
		mux.HandleFunc(pattern, func(w http.ResponseWriter, r *http.Request) { reply(w, r, answer) })
	}
	handle("POST /frontend/v1/threads", s.createThread)
	handle("GET /frontend/v1/threads/{t}", s.getThread)
	handle("POST /frontend/v1/threads/{t}/messages", s.postMessage)
	handle("POST /frontend/v1/threads/{t}/messages/batch", s.postMessages)
	handle("GET /frontend/v1/threads/{t}/messages", s.listMessages)
	handle("GET /frontend/v1/threads/{t}/messages/{m}", s.getMessage)
	handle("DELETE /frontend/v1/threads/{t}/messages/{m}", s.deleteMessage)
	handle("POST /admin/import", s.importConversations)
	return mux
}

// errNotFound becomes a 404; any other error a 500.
var errNotFound = errors.New("not found")

func reply(w http.ResponseWriter, r *http.Request, answer func(r *http.Request) (int, []byte, error)) {
	status, body, err := answer(r)
	switch {
	case errors.Is(err, errNotFound) || errors.Is(err, pgx.ErrNoRows):
		status, body = http.StatusNotFound, []byte(`{"error":"not found"}`)
	case err != nil:
		status = http.StatusInternalServerError
		body, _ = json.Marshal(map[string]string{"error": err.Error()})
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header()["Content-Length"] = []string{fmt.Sprint(len(body))}
	w.WriteHeader(status)
	w.Write(body)
}

func decode(r *http.Request, into any) error {
	body, err := io.ReadAll(io.LimitReader(r.Body, maxBody))
	if err != nil {
		return err
	}
	return json.Unmarshal(body, into)
}

func author(r *http.Request) string { return r.Header.Get("X-User-ID") }

// newThreadID is the time, or one more than the last id if that is later.
func (s *Server) newThreadID() threadID {
	for {
		last := s.lastThread.Load()
		next := max(time.Now().UnixNano(), last+1)
		if s.lastThread.CompareAndSwap(last, next) {
			return threadID(next)
		}
	}
}

func keyAnswer(key []byte) []byte {
	return append(append([]byte(`{"key":"`), key...), `"}`...)
}
