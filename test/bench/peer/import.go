//go:build linux

package peer

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"

	"github.com/jackc/pgx/v5"
)

// conversation is one line of an import.
type conversation struct {
	Thread struct {
		ID, Author, Title string
	}
	Messages []struct {
		Author  string
		Created int64 `json:"created_ts"`
		Body    json.RawMessage
	}
}

// importConversations copies every conversation of the request in one
// transaction. An id that was imported before is an error.
func (s *Server) importConversations(r *http.Request) (int, []byte, error) {
	decoder := json.NewDecoder(bufio.NewReader(r.Body))
	var answer []byte
	err := pgx.BeginFunc(r.Context(), s.pool, func(tx pgx.Tx) error {
		for {
			var c conversation
			err := decoder.Decode(&c)
			if errors.Is(err, io.EOF) {
				return nil
			}
			if err != nil {
				return err
			}
			id := s.newThreadID()
			if err := copyConversation(r.Context(), tx, id, c); err != nil {
				return fmt.Errorf("import %s: %w", c.Thread.ID, err)
			}
			answer = append(append(answer, keyAnswer(appendThreadKey(nil, id))...), '\n')
		}
	})
	return http.StatusOK, answer, err
}

func copyConversation(ctx context.Context, tx pgx.Tx, id threadID, c conversation) error {
	_, err := tx.Exec(ctx, "INSERT INTO threads (id, client_id, author, title, updated_ts, messages, live) VALUES ($1, $2, $3, $4, $1, $5, $5)",
		id, c.Thread.ID, c.Thread.Author, c.Thread.Title, len(c.Messages))
	if err != nil {
		return err
	}
	columns := []string{"thread", "id", "author", "created_ts", "updated_ts", "body"}
	_, err = tx.CopyFrom(ctx, pgx.Identifier{"messages"}, columns, pgx.CopyFromSlice(len(c.Messages), func(i int) ([]any, error) {
		m := c.Messages[i]
		return []any{id, int32(i), m.Author, m.Created, m.Created, string(m.Body)}, nil
	}))
	return err
}
