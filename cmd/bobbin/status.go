package main

import (
	"fmt"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"github.com/bobbindb/bobbin/shared/app"
)

func (c *console) newStatus() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "status --db DIR",
		Short: "Show how a store is",
		Long: `Show what a store holds, how far its checkpoints are, and what its bytes are kept for.
It changes nothing. A message counts as deleted when it was deleted by itself: those of a
deleted thread come back with it, and count as the others do until they are purged.`,
		Example: "  bobbin status --db ./data --json",
		Args:    noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			cfg, err := c.load(cmd)
			if err != nil {
				return err
			}
			status, err := app.ReadStatus(cmd.Context(), cfg, c.logger())
			if err != nil {
				return failed("cannot read the store's status", err)
			}
			if c.json {
				return c.document(status)
			}
			return c.showStatus(&status)
		},
	}
	app.AddFlags(cmd.Flags(), app.StoreOptions)
	return cmd
}

func (c *console) showStatus(s *app.Status) error {
	ofDeleted := ""
	if s.DeletedThreads > 0 {
		ofDeleted = "; those of deleted threads are not deleted themselves"
	}
	if err := c.table([][]string{
		{"store", s.Store},
		{"branch", s.Branch},
		{"release", s.Release},
		{"threads", fmt.Sprintf("%d, and %d deleted", s.Threads, s.DeletedThreads)},
		{"messages", fmt.Sprintf("%d, and %d deleted%s", s.Messages, s.DeletedMessages, ofDeleted)},
		{"users", strconv.FormatUint(s.Users, 10)},
		{"tables", byteSize(s.TableBytes)},
		{"log", byteSize(s.LogBytes)},
		{"live", byteSize(s.LiveBytes)},
		{"window", byteSize(s.WindowBytes)},
		{"condemned", byteSize(s.CondemnedBytes)},
		{},
	}); err != nil {
		return err
	}
	rows := [][]string{{"PARTITION", "COMMIT", "CHECKPOINT", "TAKEN", "FLOOR", "TAIL", "TABLES", ""}}
	for _, p := range s.Partitions {
		state := ""
		if p.Frozen {
			state = "frozen"
		}
		taken := "never"
		if p.CheckpointTime != nil {
			taken = p.CheckpointTime.Format(time.RFC3339)
		}
		rows = append(rows, []string{
			strconv.Itoa(p.Partition),
			strconv.FormatUint(p.Seq, 10),
			strconv.FormatUint(p.CheckpointSeq, 10),
			taken,
			strconv.FormatUint(p.Floor, 10),
			fmt.Sprintf("%s, %s", count(int64(p.TailCommits), "commit"), byteSize(p.TailBytes)),
			fmt.Sprintf("%d, %s", p.Tables, byteSize(p.TableBytes)),
			state,
		})
	}
	return c.table(rows)
}
