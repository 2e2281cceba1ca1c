package main

import (
	"fmt"
	"math"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/bobbindb/bobbin/shared/cost"
)

// costResult is the document of cost.
type costResult struct {
	Region    string          `json:"region"`
	AsOf      string          `json:"as_of"`
	Prices    []cost.Price    `json:"prices"`
	Estimates []cost.Estimate `json:"estimates"`
}

func (c *console) newCost() *cobra.Command {
	load := cost.Load{Name: "yours"}
	cmd := &cobra.Command{
		Use:   "cost",
		Short: "Reckon what a month on AWS costs",
		Long: `Reckon what a month of a store on AWS costs, idle and at three loads or at one of your own,
from what operations were measured to ask for and AWS's list prices. Beside it stands what
the same work costs on DynamoDB, with the same promises and with the least that can be done
there. Free tiers, discounts, taxes and traffic to the internet are not counted, nor are
races that writers lose to each other.`,
		Example: "  bobbin cost\n  bobbin cost --messages 1000000 --pages 5000000 --cold 0.05 --json",
		Args:    noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			loads := cost.Loads
			if cmd.Flags().Changed("messages") || cmd.Flags().Changed("pages") || cmd.Flags().Changed("stored") {
				if err := checkLoad(load); err != nil {
					return err
				}
				loads = []cost.Load{load}
			} else if cmd.Flags().Changed("cold") {
				return usage("--cold: without effect unless --messages, --pages or --stored is given")
			}
			result := costResult{Region: cost.Region, AsOf: cost.AsOf, Prices: cost.Prices()}
			for _, l := range loads {
				result.Estimates = append(result.Estimates, cost.Of(l))
			}
			if c.json {
				return c.document(result)
			}
			return c.showCost(&result)
		},
	}
	flags := cmd.Flags()
	flags.Float64Var(&load.Messages, "messages", 0, "messages of 1 KB posted in a month")
	flags.Float64Var(&load.Pages, "pages", 0, "pages of 50 messages read in a month")
	flags.Float64Var(&load.Stored, "stored", 0, "messages in the store")
	flags.Float64Var(&load.Cold, "cold", 0.02, "share of requests that start a function, 0 to 1")
	return cmd
}

func checkLoad(l cost.Load) error {
	for _, flag := range []struct {
		name  string
		value float64
		most  float64
	}{{"messages", l.Messages, 1e15}, {"pages", l.Pages, 1e15}, {"stored", l.Stored, 1e15}, {"cold", l.Cold, 1}} {
		if !(flag.value >= 0 && flag.value <= flag.most) {
			return usage("--%s %v: want 0 to %g", flag.name, flag.value, flag.most)
		}
	}
	return nil
}

func (c *console) showCost(r *costResult) error {
	row := func(name string, cell func(e *cost.Estimate) string) []string {
		cells := []string{name}
		for i := range r.Estimates {
			cells = append(cells, cell(&r.Estimates[i]))
		}
		return cells
	}
	rows := [][]string{
		row("A MONTH IN "+strings.ToUpper(r.Region), func(e *cost.Estimate) string { return e.Load.Name }),
		row("messages posted", func(e *cost.Estimate) string { return amount(e.Load.Messages) }),
		row("pages read", func(e *cost.Estimate) string { return amount(e.Load.Pages) }),
		row("messages stored", func(e *cost.Estimate) string { return amount(e.Load.Stored) }),
		row("cold requests", func(e *cost.Estimate) string { return strconv.FormatFloat(100*e.Load.Cold, 'g', 3, 64) + " %" }),
		{},
	}
	for _, bill := range []struct {
		name string
		of   func(e *cost.Estimate) *cost.Bill
	}{
		{"BOBBIN", func(e *cost.Estimate) *cost.Bill { return &e.Bobbin }},
		{"DYNAMODB, THE SAME PROMISES", func(e *cost.Estimate) *cost.Bill { return &e.DynamoDB }},
		{"DYNAMODB, PLAIN", func(e *cost.Estimate) *cost.Bill { return &e.DynamoDBPlain }},
	} {
		rows = append(rows, row(bill.name, func(e *cost.Estimate) string { return dollars(bill.of(e).Dollars) }))
		for i, line := range bill.of(&r.Estimates[0]).Lines {
			rows = append(rows, row("  "+line.Item, func(e *cost.Estimate) string { return dollars(bill.of(e).Lines[i].Dollars) }))
		}
		rows = append(rows, []string{})
	}
	if err := c.table(rows); err != nil {
		return err
	}
	c.say("List prices of AWS as of %s; bobbin cost --json names each with its source.", r.AsOf)
	return nil
}

// amount is a number for a person.
func amount(n float64) string {
	const units = " kMBT"
	unit := 0
	for ; n >= 1000 && unit < len(units)-1; unit++ {
		n /= 1000
	}
	return strings.TrimSpace(strconv.FormatFloat(n, 'g', 4, 64) + units[unit:unit+1])
}

// dollars is an amount of money, and never nothing where there is something.
func dollars(n float64) string {
	if n > 0 && n < 0.005 {
		return "<$0.01"
	}
	if n >= 1000 {
		whole := strconv.FormatFloat(math.Round(n), 'f', 0, 64)
		for i := len(whole) - 3; i > 0; i -= 3 {
			whole = whole[:i] + "," + whole[i:]
		}
		return "$" + whole
	}
	return fmt.Sprintf("$%.2f", n)
}
