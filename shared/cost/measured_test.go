package cost_test

import (
	"os"
	"regexp"
	"strconv"
	"testing"

	"github.com/bobbindb/bobbin/shared/cost"
)

// number is what a pattern finds first in a page, times the unit.
type number struct {
	pattern string
	unit    float64
}

func (n number) in(page string) (float64, bool) {
	m := regexp.MustCompile(n.pattern).FindStringSubmatch(page)
	if m == nil {
		return 0, false
	}
	value, err := strconv.ParseFloat(m[1], 64)
	return value * n.unit, err == nil
}

func readPage(t *testing.T, name string) string {
	t.Helper()
	page, err := os.ReadFile("../../docs/" + name)
	if err != nil {
		t.Fatal(err)
	}
	return string(page)
}

// What bills are reckoned with, and what docs/s3.md says, is what docs/benchmarks.md says:
// in a table, or as go test prints a benchmark.
func TestMeasuredIsWhatTheBenchmarksSay(t *testing.T) {
	const ms, ns, same = 1e-3, 1e-9, 1
	warmAppend := []number{{`BenchmarkWarm/append\S*\s.*\s([\d.]+) p50-ms`, ms}, {`warm append, [^|]*\| ([\d.]+) ms`, ms}}
	warmRead := []number{{`BenchmarkWarm/strong\S*\s.*\s([\d.]+) p50-ms`, ms}, {`warm strong read[^|]*\| ([\d.]+) ms`, ms}}
	s3 := readPage(t, "s3.md")
	said := func(n number) float64 {
		value, ok := n.in(s3)
		if !ok {
			t.Fatalf("docs/s3.md says nothing like %s", n.pattern)
		}
		return value
	}
	page := readPage(t, "benchmarks.md")
	for _, tt := range []struct {
		name   string
		used   float64
		within float64 // of what the page says, as a part of it
		says   []number
	}{
		{"a commit", cost.CommitTime, 0.1, warmAppend},
		{"a commit, in docs/s3.md", said(number{`a post takes ([\d.]+) ms`, ms}), 0.1, warmAppend},
		{"a page", cost.PageTime, 0.1, warmRead},
		{"a page, in docs/s3.md", said(number{`a read ([\d.]+) ms`, ms}), 0.1, warmRead},
		{"a cold page", cost.ColdPageTime, 0.25, []number{
			{`BenchmarkFar/page/tail=64\S*\s+\d+\s+([\d.]+) ns/op`, ns}, {`cold page, [^|]*tail of 64 \| ([\d.]+) ms`, ms},
		}},
		{"a cold post", cost.ColdPostTime, 0.25, []number{
			{`BenchmarkFar/post\S*\s+\d+\s+([\d.]+) ns/op`, ns}, {`cold post to [^|]*\| ([\d.]+) ms`, ms},
		}},
		{"stored bytes", cost.StoredBytes, 0.1, []number{{`tables a random 1 KB message \|[^|]*\| ([\d.]+) B`, same}}},
		{"rewritten bytes", cost.Rewritten, 0.25, []number{
			{`BenchmarkFar/upload/steady\S*\s.*\s([\d.]+) tableB/B`, same}, {`bytes of tables uploaded [^|]*\| ([\d.]+) `, same},
		}},
	} {
		found := false
		for _, n := range tt.says {
			says, ok := n.in(page)
			if !ok {
				continue
			}
			found = true
			if tt.used < says*(1-tt.within) || tt.used > says*(1+tt.within) {
				t.Errorf("%s: %v is used, docs/benchmarks.md says %v", tt.name, tt.used, says)
			}
			break
		}
		if !found {
			t.Errorf("%s: docs/benchmarks.md does not say it", tt.name)
		}
	}
}
