//go:build linux

package peer

import (
	"context"
	"encoding/json"
	"net/http"
	"slices"
	"strconv"
	"time"

	"github.com/jackc/pgx/v5"
)

// The two statements of a post, and both in one. Updating the thread numbers
// the message and locks the thread's row until the commit.
const (
	advanceThread = `UPDATE threads SET messages = messages + $4, live = live + $4, updated_ts = $3
		WHERE id = $1 AND author = $2 RETURNING messages - $4`
	insertMessage = `INSERT INTO messages (thread, id, author, created_ts, updated_ts, body) VALUES ($1, $2, $3, $4, $4, $5)`
	postInOne     = `WITH advanced AS (UPDATE threads SET messages = messages + 1, live = live + 1, updated_ts = $3
			WHERE id = $1 AND author = $2 RETURNING messages - 1 AS id)
		INSERT INTO messages (thread, id, author, created_ts, updated_ts, body)
			SELECT $1, id, $2, $3, $3, $4 FROM advanced RETURNING id`
)

func (s *Server) postMessage(r *http.Request) (int, []byte, error) {
	thread, err := parseThreadKey(r.PathValue("t"))
	if err != nil {
		return 0, nil, errNotFound
	}
	var request struct{ Body json.RawMessage }
	if err := decode(r, &request); err != nil {
		return 0, nil, err
	}
	now := time.Now().UnixNano()
	first, err := s.insertOne(r.Context(), thread, author(r), now, request.Body)
	if err != nil {
		return 0, nil, err
	}
	return http.StatusCreated, keyAnswer(appendMessageKey(nil, thread, now, first)), nil
}

// postMessages inserts up to a hundred messages in one transaction.
func (s *Server) postMessages(r *http.Request) (int, []byte, error) {
	thread, err := parseThreadKey(r.PathValue("t"))
	if err != nil {
		return 0, nil, errNotFound
	}
	var request struct {
		Messages []struct{ Body json.RawMessage }
	}
	if err := decode(r, &request); err != nil {
		return 0, nil, err
	}
	var bodies []json.RawMessage
	for _, message := range request.Messages {
		bodies = append(bodies, message.Body)
	}
	now := time.Now().UnixNano()
	first, err := s.insert(r.Context(), thread, author(r), now, bodies)
	if err != nil {
		return 0, nil, err
	}
	answer := []byte(`{"keys":[`)
	for i := range bodies {
		if i > 0 {
			answer = append(answer, ',')
		}
		answer = append(appendMessageKey(append(answer, '"'), thread, now, first+sequence(i)), '"')
	}
	return http.StatusCreated, append(answer, "]}"...), nil
}

// insertOne stores one message and updates its thread in the server's way.
func (s *Server) insertOne(ctx context.Context, thread threadID, author string, now int64, body json.RawMessage) (first sequence, err error) {
	if s.post == PostTransaction {
		return s.insert(ctx, thread, author, now, []json.RawMessage{body})
	}
	err = s.pool.QueryRow(ctx, postInOne, thread, author, now, string(body)).Scan(&first)
	return first, err
}

// insert stores messages and updates their thread in one transaction, and
// returns the number of the first message.
func (s *Server) insert(ctx context.Context, thread threadID, author string, now int64, bodies []json.RawMessage) (first sequence, err error) {
	err = pgx.BeginFunc(ctx, s.pool, func(tx pgx.Tx) error {
		if err := tx.QueryRow(ctx, advanceThread, thread, author, now, len(bodies)).Scan(&first); err != nil {
			return err
		}
		if len(bodies) == 1 {
			_, err := tx.Exec(ctx, insertMessage, thread, first, author, now, string(bodies[0]))
			return err
		}
		batch := &pgx.Batch{}
		for i, body := range bodies {
			batch.Queue(insertMessage, thread, first+sequence(i), author, now, string(body))
		}
		return tx.SendBatch(ctx, batch).Close()
	})
	return first, err
}

func (s *Server) getMessage(r *http.Request) (int, []byte, error) {
	thread, err := parseThreadKey(r.PathValue("t"))
	if err != nil {
		return 0, nil, errNotFound
	}
	seq, err := parseMessageKey(r.PathValue("m"))
	if err != nil {
		return 0, nil, errNotFound
	}
	m := message{thread: thread, seq: seq}
	err = s.pool.QueryRow(r.Context(), `SELECT m.author, m.created_ts, m.updated_ts, m.body
		FROM messages m JOIN threads t ON t.id = m.thread
		WHERE m.thread = $1 AND m.id = $2 AND t.author = $3 AND NOT m.deleted`, thread, seq, author(r)).
		Scan(&m.author, &m.created, &m.updated, &m.body)
	if err != nil {
		return 0, nil, err
	}
	answer := make([]byte, 0, len(m.body)+384)
	answer = append(m.append(append(answer, `{"message":`...)), '}')
	return http.StatusOK, answer, nil
}

// deleteMessage marks a message and counts it out of its thread.
func (s *Server) deleteMessage(r *http.Request) (int, []byte, error) {
	thread, err := parseThreadKey(r.PathValue("t"))
	if err != nil {
		return 0, nil, errNotFound
	}
	seq, err := parseMessageKey(r.PathValue("m"))
	if err != nil {
		return 0, nil, errNotFound
	}
	err = pgx.BeginFunc(r.Context(), s.pool, func(tx pgx.Tx) error {
		done, err := tx.Exec(r.Context(), "UPDATE messages SET deleted = true WHERE thread = $1 AND id = $2 AND NOT deleted", thread, seq)
		if err == nil && done.RowsAffected() == 0 {
			return errNotFound
		}
		if err != nil {
			return err
		}
		_, err = tx.Exec(r.Context(), "UPDATE threads SET live = live - 1 WHERE id = $1 AND author = $2", thread, author(r))
		return err
	})
	return http.StatusOK, keyAnswer([]byte(r.PathValue("m"))), err
}

// listMessages answers the newest messages, oldest first. The thread's row and
// the page are asked for in one round trip.
func (s *Server) listMessages(r *http.Request) (int, []byte, error) {
	thread, err := parseThreadKey(r.PathValue("t"))
	if err != nil {
		return 0, nil, errNotFound
	}
	limit := pageSize
	if text := r.FormValue("limit"); text != "" {
		if limit, err = strconv.Atoi(text); err != nil {
			return 0, nil, err
		}
	}
	batch := &pgx.Batch{}
	batch.Queue("SELECT live FROM threads WHERE id = $1 AND author = $2", thread, author(r))
	batch.Queue(`SELECT id, author, created_ts, updated_ts, body FROM messages
		WHERE thread = $1 AND NOT deleted ORDER BY id DESC LIMIT $2`, thread, limit)
	results := s.pool.SendBatch(r.Context(), batch)
	defer results.Close()
	var total int
	if err := results.QueryRow().Scan(&total); err != nil {
		return 0, nil, err
	}
	rows, err := results.Query()
	if err != nil {
		return 0, nil, err
	}
	page, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (message, error) {
		m := message{thread: thread}
		err := row.Scan(&m.seq, &m.author, &m.created, &m.updated, &m.body)
		return m, err
	})
	if err != nil {
		return 0, nil, err
	}
	slices.Reverse(page)
	return http.StatusOK, appendPage(thread, page, total), nil
}

// message is one row.
type message struct {
	thread           threadID
	seq              sequence
	author           string
	created, updated int64
	body             string // JSON
}

func (m message) append(b []byte) []byte {
	b = append(appendMessageKey(append(b, `{"key":"`...), m.thread, m.created, m.seq), `","thread":"`...)
	b = append(appendThreadKey(b, m.thread), `","author":`...)
	b = append(strconv.AppendQuote(b, m.author), `,"created_ts":`...)
	b = append(strconv.AppendInt(b, m.created, 10), `,"updated_ts":`...)
	b = append(strconv.AppendInt(b, m.updated, 10), `,"body":`...)
	return append(append(b, m.body...), '}')
}

// appendPage writes the answer of a list of newest messages.
func appendPage(thread threadID, page []message, total int) []byte {
	size := 512
	for _, m := range page {
		size += len(m.body) + 320
	}
	b := append(make([]byte, 0, size), `{"thread":"`...)
	b = append(appendThreadKey(b, thread), `","messages":[`...)
	for i, m := range page {
		if i > 0 {
			b = append(b, ',')
		}
		b = m.append(b)
	}
	b = append(b, `],"pagination":{"before_anchor":"`...)
	if len(page) > 0 {
		first, last := page[0], page[len(page)-1]
		b = append(appendMessageKey(b, thread, first.created, first.seq), `","after_anchor":"`...)
		b = appendMessageKey(b, thread, last.created, last.seq)
	} else {
		b = append(b, `","after_anchor":"`...)
	}
	b = append(b, `","has_before":`...)
	b = append(strconv.AppendBool(b, total > len(page)), `,"has_after":false,"count":`...)
	b = append(strconv.AppendInt(b, int64(len(page)), 10), `,"total":`...)
	return append(strconv.AppendInt(b, int64(total), 10), "}}"...)
}
