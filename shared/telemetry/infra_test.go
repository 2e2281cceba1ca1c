package telemetry_test

import (
	"encoding/json"
	"errors"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil/promlint"
	"go.yaml.in/yaml/v3"

	"github.com/bobbindb/bobbin/shared/telemetry"
)

// everything is a process in which everything happened that is counted.
func everything(t *testing.T) *telemetry.Metrics {
	t.Helper()
	m := telemetry.New(telemetry.Release{Version: "1.2.3", Commit: "abc", Go: "go1"}, nil)
	m.HTTPRoute("get-thread").Answered(200, time.Millisecond)
	p := m.Partition(0)
	p.Committed(1)
	p.Conflict()
	p.UnknownOutcome()
	p.Tail(1)
	p.Format(1)
	p.Checkpoint(1, time.Now())
	m.CacheHit()
	m.CacheMiss()
	m.KeeperCall("unwrap", errors.New("no"))
	m.ReplicaOpened()
	m.Purged(1, 1)
	m.PurgePassed(nil)
	m.JobStarted("purge")
	m.JobStopped("purge", "done")
	telemetry.Bucket(folder{}, m, nil).Get(t.Context(), "k")
	return m
}

// metric is one that a process shows.
type metric struct {
	histogram bool
	labels    map[string]bool
}

var (
	typeLine   = regexp.MustCompile(`(?m)^# TYPE (\S+) (\S+)$`)
	sampleLine = regexp.MustCompile(`(?m)^([a-z_]+)\{([^}]*)\}`)
	labelName  = regexp.MustCompile(`([a-z_]+)="`)
)

// shown are the metrics of a process by their names, as a query spells them.
func shown(t *testing.T) map[string]metric {
	t.Helper()
	text := show(everything(t))
	metrics := map[string]metric{}
	for _, m := range typeLine.FindAllStringSubmatch(text, -1) {
		names := []string{m[1]}
		if m[2] == "histogram" {
			names = []string{m[1] + "_bucket", m[1] + "_sum", m[1] + "_count"}
		}
		for _, name := range names {
			metrics[name] = metric{m[2] == "histogram", map[string]bool{}}
		}
	}
	for _, m := range sampleLine.FindAllStringSubmatch(text, -1) {
		for _, label := range labelName.FindAllStringSubmatch(m[2], -1) {
			if known, ok := metrics[m[1]]; ok {
				known.labels[label[1]] = true
			}
		}
	}
	return metrics
}

var (
	queried  = regexp.MustCompile(`\b((?:bobbin|go|process)_[a-z_]+)(?:\{([^}]*)\})?`)
	grouping = regexp.MustCompile(`by \(([^)]*)\)`)
	matcher  = regexp.MustCompile(`([a-z_]+)\s*(?:=~|!~|!=|=)`)
)

// checkQuery wants every metric and every label of a query to exist. It returns the
// metrics.
func checkQuery(t *testing.T, where, query string, metrics map[string]metric) (used []string) {
	t.Helper()
	labels := map[string]bool{"job": true, "instance": true}
	for _, m := range queried.FindAllStringSubmatch(query, -1) {
		known, ok := metrics[m[1]]
		if !ok {
			t.Errorf("%s asks for %s, which no process shows: %s", where, m[1], query)
			continue
		}
		used = append(used, m[1])
		for label := range known.labels {
			labels[label] = true
		}
		for _, label := range matcher.FindAllStringSubmatch(m[2], -1) {
			if !known.labels[label[1]] && label[1] != "job" && label[1] != "instance" {
				t.Errorf("%s asks for the label %s of %s, which it does not have", where, label[1], m[1])
			}
		}
	}
	for _, m := range grouping.FindAllStringSubmatch(query, -1) {
		for label := range strings.SplitSeq(m[1], ",") {
			if !labels[strings.TrimSpace(label)] {
				t.Errorf("%s groups by %s, which nothing in it has: %s", where, label, query)
			}
		}
	}
	if strings.Count(query, "(") != strings.Count(query, ")") || strings.Count(query, "{") != strings.Count(query, "}") {
		t.Errorf("%s has brackets that do not match: %s", where, query)
	}
	return used
}

func TestMetricsHaveUnitsAndHelp(t *testing.T) {
	var own strings.Builder
	for line := range strings.Lines(show(everything(t))) {
		if strings.Contains(line, "bobbin_") {
			own.WriteString(line)
		}
	}
	problems, err := promlint.New(strings.NewReader(own.String())).Lint()
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range problems {
		t.Errorf("%s: %s", p.Metric, p.Text)
	}
}

// TestLabelsAreBounded wants no label but those whose values the program itself knows.
func TestLabelsAreBounded(t *testing.T) {
	bounded := map[string]bool{"route": true, "status": true, "partition": true, "operation": true, "outcome": true, "le": true,
		"version": true, "commit": true, "go": true, "quantile": true, "kind": true, "what": true}
	for name, m := range shown(t) {
		for label := range m.labels {
			if strings.HasPrefix(name, "bobbin_") && !bounded[label] {
				t.Errorf("%s has the label %s", name, label)
			}
		}
	}
}

// TestDashboard wants every panel of the dashboard to ask for metrics that there are, and
// every metric of ours to be on it.
func TestDashboard(t *testing.T) {
	text, err := os.ReadFile("../../infra/grafana/bobbin.json")
	if err != nil {
		t.Fatal(err)
	}
	var board struct {
		Title  string
		UID    string
		Panels []struct {
			ID      int
			Type    string
			Title   string
			GridPos struct{ X, Y, W, H int }
			Targets []struct{ Expr, RefID string }
		}
		Templating struct{ List []struct{ Name string } }
	}
	if err := json.Unmarshal(text, &board); err != nil {
		t.Fatal(err)
	}
	variables := map[string]bool{"__rate_interval": true}
	for _, v := range board.Templating.List {
		variables[v.Name] = true
	}
	for _, m := range regexp.MustCompile(`\$\{?(\w+)`).FindAllStringSubmatch(string(text), -1) {
		if !variables[m[1]] && m[1] != "__all" {
			t.Errorf("the dashboard uses $%s, which is no variable of it", m[1])
		}
	}
	metrics := shown(t)
	left := map[string]bool{}
	for name := range metrics {
		if strings.HasPrefix(name, "bobbin_") && !metrics[name].histogram {
			left[name] = true
		}
	}
	ids := map[int]bool{}
	for _, p := range board.Panels {
		if ids[p.ID] || p.Title == "" || p.GridPos.X+p.GridPos.W > 24 {
			t.Errorf("panel %d %q has no place or no name of its own", p.ID, p.Title)
		}
		ids[p.ID] = true
		var used []string
		for _, target := range p.Targets {
			used = append(used, checkQuery(t, "panel "+p.Title, target.Expr, metrics)...)
		}
		if p.Type != "row" && len(used) == 0 {
			t.Errorf("panel %s asks for nothing", p.Title)
		}
		for _, name := range used {
			delete(left, name)
		}
	}
	for name := range left {
		t.Errorf("%s is on no panel", name)
	}
}

func TestAlerts(t *testing.T) {
	text, err := os.ReadFile("../../infra/prometheus/alerts.yaml")
	if err != nil {
		t.Fatal(err)
	}
	var file struct {
		Groups []struct {
			Name  string
			Rules []struct {
				Alert, Expr, For    string
				Labels, Annotations map[string]string
			}
		}
	}
	if err := yaml.Unmarshal(text, &file); err != nil {
		t.Fatal(err)
	}
	metrics, names := shown(t), map[string]bool{}
	for _, group := range file.Groups {
		for _, rule := range group.Rules {
			if names[rule.Alert] || rule.Alert == "" || rule.Labels["severity"] == "" || rule.Annotations["summary"] == "" || rule.Annotations["description"] == "" {
				t.Errorf("alert %q lacks a name of its own, a severity or a text", rule.Alert)
			}
			names[rule.Alert] = true
			if used := checkQuery(t, rule.Alert, rule.Expr, metrics); len(used) == 0 && !strings.HasPrefix(rule.Expr, "up{") {
				t.Errorf("alert %s asks for nothing", rule.Alert)
			}
			if rule.For != "" {
				if _, err := time.ParseDuration(strings.Replace(rule.For, "1d", "24h", 1)); err != nil {
					t.Errorf("alert %s waits for %s", rule.Alert, rule.For)
				}
			}
		}
	}
	if len(names) < 5 {
		t.Errorf("%d alerts were read", len(names))
	}
}

// TestMetricsAreInTheDocs wants every metric of ours in the table of docs/operations.md
// with its labels, and nothing else there.
func TestMetricsAreInTheDocs(t *testing.T) {
	page, err := os.ReadFile("../../docs/operations.md")
	if err != nil {
		t.Fatal(err)
	}
	said := map[string]string{}
	for _, row := range regexp.MustCompile("(?m)^\\| (`bobbin_.*?) \\| (.*?) \\|").FindAllStringSubmatch(string(page), -1) {
		for _, name := range regexp.MustCompile(`bobbin_[a-z_]+`).FindAllString(row[1], -1) {
			said[name] = row[2]
		}
	}
	for name, m := range shown(t) {
		base := name
		if m.histogram {
			base = strings.TrimSuffix(strings.TrimSuffix(strings.TrimSuffix(name, "_bucket"), "_sum"), "_count")
		}
		if !strings.HasPrefix(base, "bobbin_") {
			continue
		}
		labels, there := said[base]
		if !there {
			t.Errorf("docs/operations.md lacks %s", base)
		}
		for label := range m.labels {
			if label != "le" && !strings.Contains(labels, "`"+label+"`") {
				t.Errorf("docs/operations.md lacks the label %s of %s", label, base)
			}
		}
	}
	metrics := shown(t)
	for name := range said {
		_, single := metrics[name]
		_, histogram := metrics[name+"_bucket"]
		if !single && !histogram {
			t.Errorf("docs/operations.md has %s, which no process shows", name)
		}
	}
}
