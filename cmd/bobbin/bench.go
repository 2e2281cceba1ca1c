package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/bobbindb/bobbin/shared/app"
)

// benchOptions bound a bench.
type benchOptions struct {
	duration time.Duration
	clients  int
	threads  int
	size     int
	dir      string
}

// benchResult is the document of bench.
type benchResult struct {
	URL     string      `json:"url"`
	Store   string      `json:"store"` // temporary, or that of the server
	Clients int         `json:"clients"`
	Threads int         `json:"threads"`
	Bytes   int         `json:"body_bytes"`
	Loads   []benchLoad `json:"loads"`
}

// benchLoad is what one kind of request did.
type benchLoad struct {
	Load       string  `json:"load"`
	Seconds    float64 `json:"seconds"`
	Requests   int     `json:"requests"`
	Errors     int     `json:"errors"`
	FirstError string  `json:"first_error,omitempty"`
	Rate       float64 `json:"per_second"`
	P50        float64 `json:"p50_ms"`
	P99        float64 `json:"p99_ms"`
	Max        float64 `json:"max_ms"`
}

func (c *console) newBench() *cobra.Command {
	var o benchOptions
	cmd := &cobra.Command{
		Use:   "bench [--url URL --backend-key K]",
		Short: "Measure posts and lists",
		Long: `Post messages and list them for a bounded time, and show how many a second and how
long they took. Without --url it serves a temporary store on this machine's loopback;
with it, it loads that server, which must not be one that people use, and deletes the
threads that it made.`,
		Example: "  bobbin bench\n  bobbin bench --url http://127.0.0.1:8080 --backend-key bk_... --duration 10s --clients 64",
		Args:    noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := o.check(); err != nil {
				return err
			}
			return c.runBench(cmd, o)
		},
	}
	remote(cmd, "backend-key")
	flags := cmd.Flags()
	flags.DurationVar(&o.duration, "duration", 3*time.Second, "time of each load, at most 5m")
	flags.IntVar(&o.clients, "clients", 16, "clients at the same time, 1 to 256")
	flags.IntVar(&o.threads, "threads", 100, "threads that are posted to, 1 to 10000")
	flags.IntVar(&o.size, "body-bytes", 200, "size of a message's text, 1 to 65536")
	flags.StringVar(&o.dir, "dir", "", "folder for the temporary store (default: the system's); one in memory tells nothing of a disk")
	return cmd
}

func (o *benchOptions) check() error {
	var wrong []error
	if o.duration <= 0 || o.duration > 5*time.Minute {
		wrong = append(wrong, errors.New("--duration: want more than 0 and at most 5m"))
	}
	for _, n := range []struct {
		flag        string
		value, most int
	}{{"clients", o.clients, 256}, {"threads", o.threads, 10_000}, {"body-bytes", o.size, 65_536}} {
		if n.value < 1 || n.value > n.most {
			wrong = append(wrong, fmt.Errorf("--%s: want 1 to %d", n.flag, n.most))
		}
	}
	if len(wrong) == 0 {
		return nil
	}
	return &failure{exit: exitUsage, what: "cannot use these options", why: errors.Join(wrong...)}
}

func (c *console) runBench(cmd *cobra.Command, o benchOptions) error {
	ctx := cmd.Context()
	if url := cmd.Flag("url").Value.String(); url == "" {
		if _, ok := c.lookup(app.EnvName("url")); !ok {
			return c.benchHere(ctx, o)
		}
	}
	flags, err := c.fromFlags(cmd, "url", "backend-key")
	if err != nil {
		return err
	}
	return c.bench(ctx, o, flags["url"], flags["backend-key"], "the server's")
}

// benchHere measures a store of its own, served by this process.
func (c *console) benchHere(ctx context.Context, o benchOptions) (err error) {
	dir, err := os.MkdirTemp(o.dir, "bobbin-bench-*")
	if err != nil {
		return failed("cannot make a temporary store", err)
	}
	defer func() { err = errors.Join(err, failed("cannot remove the temporary store", os.RemoveAll(dir))) }()
	set := (&cobra.Command{}).Flags()
	app.AddFlags(set, app.StoreOptions, app.KeyOptions, app.MakeOptions, app.TuningOptions, app.ServeOptions)
	if err := errors.Join(set.Set("db", dir), set.Set("addr", net.JoinHostPort("127.0.0.1", "0"))); err != nil {
		return err
	}
	cfg, err := app.Load(set, func(string) (string, bool) { return "", false })
	if err != nil {
		return failed("cannot make a temporary store", err)
	}
	server, err := app.Start(ctx, cfg, slog.New(slog.DiscardHandler))
	if err != nil {
		return failed("cannot serve a temporary store", err)
	}
	defer func() {
		err = errors.Join(err, failed("cannot stop the temporary store", server.Stop(context.WithoutCancel(ctx))))
	}()
	return c.bench(ctx, o, server.URL, server.Keys.Backend, "temporary")
}

// bench loads a server and shows what it did.
func (c *console) bench(ctx context.Context, o benchOptions, url, key, store string) error {
	to, err := newClient(url, o.clients)
	if err != nil {
		return err
	}
	b := &bencher{client: to, key: key, body: []byte(`{"body":{"text":"` + strings.Repeat("x", o.size) + `"}}`)}
	defer b.cleanUp(context.WithoutCancel(ctx))
	if err := b.makeThreads(ctx, o.threads); err != nil {
		return failed("cannot make threads on "+url, err)
	}
	result := benchResult{URL: url, Store: store, Clients: o.clients, Threads: o.threads, Bytes: o.size}
	for _, l := range []struct {
		name string
		call func(ctx context.Context, thread string) error
	}{{"post", b.post}, {"list newest 50", b.list}} {
		c.say("%s for %s, %s", l.name, o.duration, count(int64(o.clients), "client"))
		result.Loads = append(result.Loads, b.load(ctx, l.name, o, l.call))
		if ctx.Err() != nil {
			return failed("cannot finish the bench", ctx.Err())
		}
	}
	if err := c.showBench(&result); err != nil {
		return err
	}
	for _, l := range result.Loads {
		if l.Errors > 0 {
			return &failure{exit: exitFailed, what: fmt.Sprintf("%s of %d failed", count(int64(l.Errors), "request"), l.Requests),
				why: errors.New(l.FirstError), do: "see the server's log", reported: true}
		}
	}
	return nil
}

func (c *console) showBench(r *benchResult) error {
	if c.json {
		return c.document(r)
	}
	rows := [][]string{{"LOAD", "PER SECOND", "P50", "P99", "MAX", "REQUESTS", "ERRORS"}}
	for _, l := range r.Loads {
		rows = append(rows, []string{
			l.Load,
			fmt.Sprintf("%.0f", l.Rate),
			fmt.Sprintf("%.2f ms", l.P50),
			fmt.Sprintf("%.2f ms", l.P99),
			fmt.Sprintf("%.2f ms", l.Max),
			fmt.Sprint(l.Requests),
			fmt.Sprint(l.Errors),
		})
	}
	return c.table(rows)
}

// asUser is a call for the bench's own user.
func (b *bencher) asUser(method, path string, body []byte) request {
	return request{method: method, path: path, key: b.key, user: "bench", body: body}
}

func (b *bencher) post(ctx context.Context, thread string) error {
	_, err := b.do(ctx, b.asUser(http.MethodPost, threadPath(thread, "messages"), b.body))
	return err
}

func (b *bencher) list(ctx context.Context, thread string) error {
	_, err := b.do(ctx, b.asUser(http.MethodGet, threadPath(thread, "messages")+"?limit=50", nil))
	return err
}
