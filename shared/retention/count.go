package retention

import (
	"context"
	"errors"
	"fmt"

	"github.com/bobbindb/bobbin/shared/chat"
	"github.com/bobbindb/bobbin/shared/partition"
	"github.com/bobbindb/bobbin/shared/store"
)

// Count reports what Purge would purge now. It changes nothing.
func (p *Purger) Count(ctx context.Context) (Report, error) {
	report := Report{DryRun: true, Items: []Item{}}
	for number, part := range p.Partitions {
		err := part.Answer(ctx, partition.Freshness{}, func(v *partition.View) error {
			c := count{view: v, rule: chat.Purge{Retention: p.Keep}, now: p.Now().UnixNano()}
			s := sweep{Purger: p, number: number}
			for _, slots := range s.slots() {
				if err := c.slots(ctx, s.query(slots, underway, c.now)); err != nil {
					return err
				}
			}
			report.Threads += c.threads
			report.Messages += c.messages
			report.Items = append(report.Items, c.items[:min(len(c.items), shown-len(report.Items))]...)
			return nil
		})
		if err != nil {
			return report, fmt.Errorf("count what is due in partition %d: %w", number, err)
		}
	}
	return report, nil
}

// count counts what is due in a picture of a partition.
type count struct {
	view *partition.View
	rule chat.Purge
	now  int64

	threads, messages int
	items             []Item // the first
}

func (c *count) slots(ctx context.Context, q store.DueQuery) error {
	for more := true; more; more = q.After != nil {
		page, err := c.view.Due(q)
		if err != nil {
			return err
		}
		for _, d := range page.Items {
			if err := errors.Join(ctx.Err(), c.add(d)); err != nil {
				return err
			}
		}
		q.After = page.After
	}
	return nil
}

// add counts an item, unless it was counted under another cause or goes with its
// thread.
func (c *count) add(d store.Due) error {
	t, ok, err := store.GetThread(c.view, d.Thread)
	if err != nil || !ok {
		return err
	}
	whole := c.rule.Due(t.Deleted, t.Expires, c.now)
	if d.Message == 0 {
		if d.Expired && c.rule.Due(t.Deleted, 0, c.now) {
			return nil
		}
		c.threads++
		c.found(t.ID.String(), d, int(t.Live+t.Dead))
		return nil
	}
	if whole {
		return nil
	}
	m, ok, err := store.GetMessage(c.view, t, d.Message)
	if err != nil || !ok || d.Expired && c.rule.Due(m.Deleted, 0, c.now) {
		return err
	}
	c.found(m.ID.String(), d, 1)
	return nil
}

func (c *count) found(key string, d store.Due, messages int) {
	c.messages += messages
	if len(c.items) == shown {
		return
	}
	cause := "deleted"
	if d.Expired {
		cause = "expired"
	}
	c.items = append(c.items, Item{Key: key, Cause: cause, Since: d.At, Messages: messages})
}
