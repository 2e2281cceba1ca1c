// Command bobbin makes, serves and looks after a store of chat threads and messages.
package main

import (
	"context"
	"io"
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"
)

func main() { os.Exit(run()) }

// run runs the command line and returns the exit code.
func run() int {
	ctx, stop := interruptible()
	defer stop()
	c := &console{in: os.Stdin, out: os.Stdout, err: os.Stderr, lookup: os.LookupEnv}
	return c.run(ctx, os.Args[1:])
}

// interruptible returns a context that the first SIGINT or SIGTERM cancels. The second
// one ends the process at once.
func interruptible() (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancel(context.Background())
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	go func() {
		<-signals
		cancel()
		<-signals
		os.Exit(exitInterrupted)
	}()
	return ctx, cancel
}

// console is where a command reads and writes, and how.
type console struct {
	in     io.Reader
	out    io.Writer // results
	err    io.Writer // what a person reads
	lookup func(name string) (string, bool)

	json  bool
	quiet bool
	yes   bool
}

// run runs one command and returns the exit code.
func (c *console) run(ctx context.Context, args []string) int {
	root := c.newRoot()
	root.SetArgs(args)
	cmd, err := root.ExecuteContextC(ctx)
	if err == nil {
		return exitDone
	}
	f := c.explain(cmd, err)
	c.showFailure(f)
	return f.exit
}

func (c *console) newRoot() *cobra.Command {
	root := &cobra.Command{
		Use:           "bobbin",
		Short:         "A store for chat threads and messages",
		Long:          "Bobbin winds chat threads onto an object store.",
		SilenceErrors: true,
		SilenceUsage:  true,
		Args:          noArgs,
		RunE:          func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	flags := root.PersistentFlags()
	flags.BoolVar(&c.json, "json", false, "print one JSON document (NDJSON where it streams)")
	flags.BoolVar(&c.quiet, "quiet", false, "print results and errors only")
	flags.BoolVar(&c.yes, "yes", false, "do not ask; what would be asked is agreed to")
	root.SetIn(c.in)
	root.SetOut(c.out)
	root.SetErr(c.err)
	root.AddCommand(
		c.newServe(),
		c.newInit(),
		c.newStatus(),
		c.newDoctor(),
		c.newSmoke(),
		c.newVerify(),
		c.newBench(),
		c.newImport(),
		c.newExport(),
		c.newPurge(),
		c.newCost(),
		c.newCompletion(),
		c.newVersion(),
	)
	root.SetHelpCommand(c.newHelp())
	root.CompletionOptions.DisableDefaultCmd = true // completion is a command like the others
	root.SetFlagErrorFunc(flagError)
	root.SuggestionsMinimumDistance = 2 // letters
	return root
}
