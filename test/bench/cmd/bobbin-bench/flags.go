//go:build linux

package main

import (
	"errors"
	"flag"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/bobbindb/bobbin/test/bench/peer"
)

// options are the command's flags.
type options struct {
	bobbin    string
	serveArgs []string
	scenarios []string
	peer      bool
	peerPost  peer.Post
	messages  int
	fill      string
	duration  time.Duration
	rounds    int
	data      string
	dir       string
	keep      bool
	wait      time.Duration
	out       string
	timeout   time.Duration
}

var scenarioNames = []string{"post", "list", "get", "start", "disk", "import"}

// The ways to fill a store.
const (
	fillImport = "import"
	fillBatch  = "batch"
	fillPost   = "post"
)

func parseFlags(args []string) (options, error) {
	var o options
	var scenarios, serveArgs, peerPost string
	set := flag.NewFlagSet("bobbin-bench", flag.ContinueOnError)
	set.StringVar(&o.bobbin, "bobbin", "", "the bobbin binary; without it only the peer is measured")
	set.StringVar(&serveArgs, "serve-args", "", "more arguments for bobbin serve, separated by spaces")
	set.StringVar(&scenarios, "scenario", "all", "all, or some of "+strings.Join(scenarioNames, ","))
	set.BoolVar(&o.peer, "peer", false, "measure PostgreSQL in the same run")
	set.StringVar(&peerPost, "peer-post", string(peer.PostTransaction), "how the peer posts: transaction (BEGIN, UPDATE, INSERT, COMMIT) or statement (one round trip)")
	set.IntVar(&o.messages, "messages", 1_000_000, "messages in the store for start and disk")
	set.StringVar(&o.fill, "fill", fillImport, "how that store is filled: import, batch or post")
	set.DurationVar(&o.duration, "duration", 5*time.Second, "time of one measurement")
	set.IntVar(&o.rounds, "rounds", 1, "measurements of each figure, both servers in turn; the median counts")
	set.DurationVar(&o.wait, "wait", 0, "for disk: how long the idle store runs before its folder is judged; its window and grace, set by --serve-args, must be shorter")
	set.StringVar(&o.data, "data", "", "conversations for import (NDJSON, may be gzip)")
	set.StringVar(&o.dir, "dir", "", "folder for the stores (default: a temporary one); must be on a disk for fsync to mean anything")
	set.BoolVar(&o.keep, "keep", false, "keep the stores and logs")
	set.StringVar(&o.out, "out", "", "write the result as markdown to this file")
	set.DurationVar(&o.timeout, "timeout", time.Hour, "bound of the whole run")
	if err := set.Parse(args); err != nil {
		return o, err
	}
	o.peerPost = peer.Post(peerPost)
	o.serveArgs = strings.Fields(serveArgs)
	o.scenarios = strings.Split(scenarios, ",")
	if scenarios == "all" {
		o.scenarios = scenarioNames
	}
	return o, o.check(set.Args())
}

func (o options) check(rest []string) error {
	var bad []error
	if len(rest) > 0 {
		bad = append(bad, fmt.Errorf("unexpected arguments %q", rest))
	}
	for _, name := range o.scenarios {
		if !slices.Contains(scenarioNames, name) {
			bad = append(bad, fmt.Errorf("unknown scenario %q", name))
		}
	}
	if o.bobbin == "" && !o.peer {
		bad = append(bad, errors.New("nothing to measure: give --bobbin PATH, --peer or both"))
	}
	if !slices.Contains([]string{fillImport, fillBatch, fillPost}, o.fill) {
		bad = append(bad, fmt.Errorf("unknown fill %q", o.fill))
	}
	if o.peerPost != peer.PostTransaction && o.peerPost != peer.PostStatement {
		bad = append(bad, fmt.Errorf("unknown peer post %q", o.peerPost))
	}
	if o.wait < 0 || o.wait >= o.timeout {
		bad = append(bad, fmt.Errorf("wait %s: want less than the timeout %s", o.wait, o.timeout))
	}
	if o.messages < 1 || o.messages > 20_000_000 {
		bad = append(bad, fmt.Errorf("messages %d: want 1 to 20000000", o.messages))
	}
	if o.duration <= 0 || o.duration > 10*time.Minute {
		bad = append(bad, fmt.Errorf("duration %s: want more than 0 and at most 10m", o.duration))
	}
	if o.rounds < 1 || o.rounds > 20 {
		bad = append(bad, fmt.Errorf("rounds %d: want 1 to 20", o.rounds))
	}
	return errors.Join(bad...)
}

func (o options) wants(scenario string) bool { return slices.Contains(o.scenarios, scenario) }
