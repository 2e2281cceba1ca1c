//go:build linux

package peer

import (
	"encoding/json"
	"net/http"
	"strings"
)

func (s *Server) createThread(r *http.Request) (int, []byte, error) {
	var request struct{ Title string }
	if err := decode(r, &request); err != nil {
		return 0, nil, err
	}
	id := s.newThreadID()
	_, err := s.pool.Exec(r.Context(), "INSERT INTO threads (id, author, title, updated_ts) VALUES ($1, $2, $3, $1)",
		id, author(r), request.Title)
	if err != nil {
		return 0, nil, err
	}
	return http.StatusCreated, keyAnswer(appendThreadKey(nil, id)), nil
}

// getThread also takes id:<client id> in place of a key, which is how an
// imported thread is found.
func (s *Server) getThread(r *http.Request) (int, []byte, error) {
	var id threadID
	var title string
	var updated int64
	name := r.PathValue("t")
	if client, ok := strings.CutPrefix(name, "id:"); ok {
		row := s.pool.QueryRow(r.Context(), "SELECT id, title, updated_ts FROM threads WHERE client_id = $1 AND author = $2", client, author(r))
		if err := row.Scan(&id, &title, &updated); err != nil {
			return 0, nil, err
		}
	} else {
		wanted, err := parseThreadKey(name)
		if err != nil {
			return 0, nil, errNotFound
		}
		row := s.pool.QueryRow(r.Context(), "SELECT id, title, updated_ts FROM threads WHERE id = $1 AND author = $2", wanted, author(r))
		if err := row.Scan(&id, &title, &updated); err != nil {
			return 0, nil, err
		}
	}
	type thread struct {
		Key     string `json:"key"`
		Title   string `json:"title"`
		Author  string `json:"author"`
		Created int64  `json:"created_ts"`
		Updated int64  `json:"updated_ts"`
	}
	answer, err := json.Marshal(map[string]thread{
		"thread": {Key: string(appendThreadKey(nil, id)), Title: title, Author: author(r), Created: int64(id), Updated: updated}})
	return http.StatusOK, answer, err
}
