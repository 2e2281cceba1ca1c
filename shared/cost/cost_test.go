package cost_test

import (
	"math"
	"strings"
	"testing"

	"github.com/bobbindb/bobbin/shared/cost"
)

func TestBillsAddUp(t *testing.T) {
	prices := map[string]cost.Price{}
	for _, p := range cost.Prices() {
		prices[p.Name] = p
		if p.Dollar <= 0 || !strings.HasPrefix(p.Source, "https://aws.amazon.com/") {
			t.Errorf("price %+v has no amount or no source", p)
		}
	}
	used := map[string]bool{}
	for _, l := range cost.Loads {
		e := cost.Of(l)
		for name, bill := range map[string]cost.Bill{"bobbin": e.Bobbin, "dynamodb": e.DynamoDB, "plain": e.DynamoDBPlain} {
			sum := 0.0
			for _, line := range bill.Lines {
				used[line.Item] = true
				if want := line.Quantity * prices[line.Item].Dollar; line.Dollars != want || line.Quantity < 0 {
					t.Errorf("%s, %s: %+v, want %v dollars", l.Name, name, line, want)
				}
				sum += line.Dollars
			}
			if math.Abs(sum-bill.Dollars) > 1e-9*sum {
				t.Errorf("%s, %s: %v, want the sum of its lines %v", l.Name, name, bill.Dollars, sum)
			}
		}
	}
	for name := range prices {
		if !used[name] {
			t.Errorf("nobody pays %s", name)
		}
	}
}

// What is known by hand of a warm store: a page is a GET, a message a PUT and a GET, and
// every 64 of them a checkpoint.
func TestRequestsOfALoad(t *testing.T) {
	quantity := func(l cost.Load, item string) float64 {
		for _, line := range cost.Of(l).Bobbin.Lines {
			if line.Item == item {
				return line.Quantity
			}
		}
		t.Fatalf("there is no line %s", item)
		return 0
	}
	idle := cost.Load{}
	for _, c := range []struct {
		name, item string
		load       cost.Load
		want       float64
	}{
		{"a page is a get", "S3 GET", cost.Load{Pages: 1000}, 1000},
		{"a page is no put", "S3 PUT and LIST", cost.Load{Pages: 1000}, 0},
		{"a message is a put, and a 64th of a checkpoint", "S3 PUT and LIST", cost.Load{Messages: 6400}, 6400 + 100*cost.Checkpoint.Put},
		{"a message is a get, and a 64th of a checkpoint", "S3 GET", cost.Load{Messages: 6400}, 6400 + 100*cost.Checkpoint.Get},
		{"a cold page opens the store", "S3 GET", cost.Load{Pages: 1000, Cold: 1}, 1000 * cost.ColdPageFullTail.Get},
		{"a message invokes the writer", "Lambda invocations", cost.Load{Messages: 6400}, 2*6400 + 100},
		{"a cold message asks for the key in route and writer", "KMS requests", cost.Load{Messages: 64, Cold: 1}, 2*64 + 1},
		{"a request is one at the gateway", "HTTP API", cost.Load{Messages: 10, Pages: 5}, 15},
	} {
		if got := quantity(c.load, c.item) - quantity(idle, c.item); math.Abs(got-c.want) > 1e-6 {
			t.Errorf("%s: %s = %v, want %v", c.name, c.item, got, c.want)
		}
	}
}

func TestMoreCostsMore(t *testing.T) {
	base := cost.Load{Messages: 1e6, Pages: 1e6, Stored: 1e6, Cold: 0.1}
	for name, more := range map[string]cost.Load{
		"messages": {Messages: 2e6, Pages: 1e6, Stored: 1e6, Cold: 0.1},
		"pages":    {Messages: 1e6, Pages: 2e6, Stored: 1e6, Cold: 0.1},
		"stored":   {Messages: 1e6, Pages: 1e6, Stored: 2e6, Cold: 0.1},
		"cold":     {Messages: 1e6, Pages: 1e6, Stored: 1e6, Cold: 0.2},
	} {
		a, b := cost.Of(base), cost.Of(more)
		if b.Bobbin.Dollars <= a.Bobbin.Dollars || b.DynamoDB.Dollars <= a.DynamoDB.Dollars || b.DynamoDBPlain.Dollars <= a.DynamoDBPlain.Dollars {
			t.Errorf("more %s does not cost more", name)
		}
	}
}
