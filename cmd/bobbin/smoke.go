package main

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"
)

// smokeResult is the document of smoke.
type smokeResult struct {
	URL   string      `json:"url"`
	OK    bool        `json:"ok"`
	Steps []smokeStep `json:"steps"`
}

type smokeStep struct {
	Step  string  `json:"step"`
	OK    bool    `json:"ok"`
	Ms    float64 `json:"ms"`
	Error string  `json:"error,omitempty"`
}

func (c *console) newSmoke() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "smoke --url URL --backend-key K --frontend-key K",
		Short: "Try a running server's whole round",
		Long: `Create a thread, sign a user, post as that user, list, edit and delete, and clean up.
Exit 0 means that every step held. The thread and the message that it deletes count as
deleted until they are purged; it cannot purge them itself.`,
		Example: "  bobbin smoke --url http://127.0.0.1:8080 --backend-key bk_... --frontend-key fk_...",
		Args:    noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			flags, err := c.fromFlags(cmd, "url", "backend-key", "frontend-key")
			if err != nil {
				return err
			}
			to, err := newClient(flags["url"], 1)
			if err != nil {
				return err
			}
			s := &smoke{client: to, backend: flags["backend-key"], frontend: flags["frontend-key"]}
			s.user = "smoke-" + strings.ToLower(rand.Text())[:12]
			s.run(cmd.Context())
			result := smokeResult{URL: flags["url"], OK: s.failed == nil, Steps: s.steps}
			if err := c.showSmoke(&result); err != nil {
				return err
			}
			return s.failure()
		},
	}
	remote(cmd, "backend-key", "frontend-key")
	return cmd
}

func (c *console) showSmoke(r *smokeResult) error {
	if c.json {
		return c.document(r)
	}
	rows := [][]string{{"STEP", "TIME", "RESULT"}}
	for _, s := range r.Steps {
		verdict := c.paint(os.Stdout, green, "held")
		if !s.OK {
			verdict = c.paint(os.Stdout, red, "failed") + ": " + s.Error
		}
		rows = append(rows, []string{s.Step, fmt.Sprintf("%.1f ms", s.Ms), verdict})
	}
	return c.table(rows)
}

// smoke is one round against a server. The first step that fails ends it, but for the
// cleaning up.
type smoke struct {
	*client
	backend   string
	frontend  string
	user      string
	signature string
	thread    string
	message   string

	steps  []smokeStep
	failed error
}

// The bodies that the round posts and edits.
const (
	smokeBody   = `{"text":"does it hold?"}`
	smokeEdited = `{"text":"it holds"}`
)

func (s *smoke) run(ctx context.Context) {
	s.step("server is ready", func() error {
		return s.call(ctx, request{method: http.MethodGet, path: "/readyz"}, nil)
	})
	s.step("create a thread", func() error { return s.create(ctx) })
	s.step("sign the user", func() error { return s.sign(ctx) })
	s.step("post as the user", func() error {
		return s.keyed(ctx, s.asUser(http.MethodPost, threadPath(s.thread, "messages"), `{"body":`+smokeBody+`}`), &s.message)
	})
	s.step("list shows it", func() error { return s.listed(ctx, smokeBody) })
	s.step("edit it", func() error {
		return s.keyed(ctx, s.asUser(http.MethodPut, s.messagePath(), `{"body":`+smokeEdited+`}`), nil)
	})
	s.step("list shows the edit", func() error { return s.listed(ctx, smokeEdited) })
	s.step("delete it", func() error { return s.keyed(ctx, s.asUser(http.MethodDelete, s.messagePath(), ""), nil) })
	s.step("list shows nothing", func() error { return s.listed(ctx) })
	if s.thread != "" {
		s.cleanUp(ctx)
	}
}

// step does one step unless an earlier one failed.
func (s *smoke) step(name string, do func() error) {
	if s.failed == nil {
		s.failed = s.measure(name, do)
	}
}

func (s *smoke) measure(name string, do func() error) error {
	began := time.Now()
	err := do()
	step := smokeStep{Step: name, OK: err == nil, Ms: float64(time.Since(began).Microseconds()) / 1000}
	if err != nil {
		step.Error = err.Error()
	}
	s.steps = append(s.steps, step)
	return err
}

func (s *smoke) create(ctx context.Context) error {
	r := request{method: http.MethodPost, path: threadPath(""), key: s.backend, user: s.user, body: []byte(`{"title":"smoke"}`)}
	return s.keyed(ctx, r, &s.thread)
}

func (s *smoke) sign(ctx context.Context) error {
	body, err := json.Marshal(map[string]string{"userId": s.user})
	if err != nil {
		return err
	}
	var signed struct{ Signature, UserID string }
	r := request{method: http.MethodPost, path: "/backend/v1/sign", key: s.backend, body: body}
	if err := s.call(ctx, r, &signed); err != nil {
		return err
	}
	if signed.Signature == "" || signed.UserID != s.user {
		return fmt.Errorf("the answer signs %q, not %q", signed.UserID, s.user)
	}
	s.signature = signed.Signature
	return nil
}

// keyed makes a call whose answer is a key.
func (s *smoke) keyed(ctx context.Context, r request, into *string) error {
	var got struct{ Key string }
	if err := s.call(ctx, r, &got); err != nil {
		return err
	}
	if got.Key == "" {
		return errors.New("the answer has no key")
	}
	if into != nil {
		*into = got.Key
	}
	return nil
}

// listed checks that the thread's messages are these, read as the user.
func (s *smoke) listed(ctx context.Context, bodies ...string) error {
	var got struct {
		Messages []struct {
			Key  string
			Body json.RawMessage
		}
		Pagination struct{ Total int }
	}
	if err := s.call(ctx, s.asUser(http.MethodGet, threadPath(s.thread, "messages"), ""), &got); err != nil {
		return err
	}
	if len(got.Messages) != len(bodies) || got.Pagination.Total != len(bodies) {
		return fmt.Errorf("%d messages of %d in all, want %d", len(got.Messages), got.Pagination.Total, len(bodies))
	}
	for i, want := range bodies {
		if m := got.Messages[i]; m.Key != s.message || string(m.Body) != want {
			return fmt.Errorf("message %s is %s, want %s with %s", m.Key, m.Body, s.message, want)
		}
	}
	return nil
}

// asUser is a call with the front end's key for the signed user.
func (s *smoke) asUser(method, path, body string) request {
	r := request{method: method, path: path, key: s.frontend, user: s.user, signature: s.signature}
	if body != "" {
		r.body = []byte(body)
	}
	return r
}

func (s *smoke) messagePath() string { return threadPath(s.thread, "messages", s.message) }

// cleanUp deletes the thread, also after a step failed.
func (s *smoke) cleanUp(ctx context.Context) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
	defer cancel()
	err := s.measure("clean up", func() error {
		return s.keyed(ctx, request{method: http.MethodDelete, path: threadPath(s.thread), key: s.backend, user: s.user}, nil)
	})
	if s.failed == nil {
		s.failed = err
	}
}

// failure is what the round says in the end.
func (s *smoke) failure() error {
	if s.failed == nil {
		return nil
	}
	last := s.steps[len(s.steps)-1]
	for _, step := range s.steps {
		if !step.OK {
			last = step
			break
		}
	}
	return &failure{what: "the server failed at \"" + last.Step + "\"", why: s.failed, reported: true}
}
