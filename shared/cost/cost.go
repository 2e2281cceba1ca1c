package cost

import "math"

// Load is what is done in a month.
type Load struct {
	Name     string  `json:"name"`
	Messages float64 `json:"messages"` // posted, of 1 KB, one a request
	Pages    float64 `json:"pages"`    // read, of 50 messages, strong
	Stored   float64 `json:"stored"`   // messages in the store
	Cold     float64 `json:"cold"`     // share of requests that start a function
}

// Loads are an idle store and three that are used.
var Loads = []Load{
	{Name: "idle"},
	{Name: "small", Messages: 100e3, Pages: 500e3, Stored: 1e6, Cold: 0.2},
	{Name: "medium", Messages: 10e6, Pages: 50e6, Stored: 100e6, Cold: 0.02},
	{Name: "large", Messages: 300e6, Pages: 1.5e9, Stored: 3e9, Cold: 0.005},
}

// Line is a line of a bill.
type Line struct {
	Item     string  `json:"item"`
	Quantity float64 `json:"quantity"`
	Unit     string  `json:"unit"`
	Dollars  float64 `json:"dollars"`
}

// Bill is what a month costs.
type Bill struct {
	Lines   []Line  `json:"lines"`
	Dollars float64 `json:"dollars"`
}

func (b *Bill) add(p Price, quantity float64) {
	b.Lines = append(b.Lines, Line{p.Name, quantity, p.Unit, quantity * p.Dollar})
	b.Dollars += quantity * p.Dollar
}

// Estimate is what a load costs, here and on DynamoDB.
type Estimate struct {
	Load   Load `json:"load"`
	Bobbin Bill `json:"bobbin"`

	// DynamoDB keeps the same promises: a message, its thread and the idempotency key in
	// one transaction, threads in the order of their last message, strong reads, a window
	// of restore points.
	DynamoDB Bill `json:"dynamodb"`

	// DynamoDBPlain is the least that can be done there: a message and its thread, one
	// after the other, eventually consistent reads, nothing to restore.
	DynamoDBPlain Bill `json:"dynamodb_plain"`
}

// Of reckons a load.
func Of(l Load) Estimate {
	return Estimate{
		Load:          l,
		Bobbin:        bobbin(l),
		DynamoDB:      dynamo(l, promises),
		DynamoDBPlain: dynamo(l, plain),
	}
}

func bobbin(l Load) Bill {
	checkpoints := l.Messages / tail
	idleRuns := float64(JanitorRuns + RetentionRuns)
	coldPosts, coldPages := l.Messages*l.Cold, l.Pages*l.Cold
	warmPosts, warmPages := l.Messages-coldPosts, l.Pages-coldPages

	// A post is a strong read in the route, which needs the thread's key, and a commit in
	// the writer. A cold one opens the partition in both; the route waits for all of it.
	gets := warmPages*Page.Get + coldPages*ColdPageFullTail.Get +
		warmPosts*(Page.Get+Commit.Get) + coldPosts*(ColdPageFullTail.Get+ColdPost.Get) +
		checkpoints*Checkpoint.Get +
		JanitorRuns*partitions*IdleJanitor.Get + RetentionRuns*partitions*Open.Get
	puts := l.Messages*Commit.Put + checkpoints*Checkpoint.Put +
		JanitorRuns*partitions*(IdleJanitor.Put+IdleJanitor.List)

	seconds := warmPages*pageTime + coldPages*(startTime+coldPageTime) +
		warmPosts*(pageTime+invokeTime+2*commitTime) + // the route waits for the writer
		coldPosts*(3*startTime+invokeTime+coldPageTime+2*coldPostTime) +
		idleRuns*scheduleTime

	invocations := l.Pages + 2*l.Messages + checkpoints + idleRuns
	starts := coldPages + 2*coldPosts + checkpoints + idleRuns

	window := l.Messages / 30 * windowDays * messageBytes * (rewritten + 1)
	var b Bill
	b.add(gatewayRequest, l.Messages+l.Pages)
	b.add(invocation, invocations)
	b.add(gigabyteTime, seconds*memory+checkpoints*checkpointTime*compactorMemory)
	b.add(s3Put, puts)
	b.add(s3Get, gets)
	b.add(s3Storage, (l.Stored*storedBytes+window)/gigabyte)
	b.add(kmsKey, 1)
	b.add(kmsRequest, starts)
	b.watch(l, invocations)
	return b
}

// watch adds what CloudWatch takes for logs, metrics and alarms. Metrics cost for the
// hours in which they have data: an idle store's have next to none.
func (b *Bill) watch(l Load, invocations float64) {
	logs := invocations * (MetricsLine + platformLines) / gigabyte
	b.add(logIngestion, logs)
	b.add(logStorage, logs)
	if l.Messages+l.Pages > 0 {
		b.add(metric, Metrics)
	} else {
		b.add(metric, 0)
	}
	b.add(alarmMetric, AlarmMetrics)
	b.add(composite, 1)
	b.add(dashboard, 1)
}

// design is how the same work is done on DynamoDB, in request units.
type design struct {
	calls   float64 // one after the other, of a post
	writes  float64 // of a post
	reads   float64 // of a page, for each unit of 4 KB
	restore bool
}

const (
	// An item is the message and its keys: two units of 1 KB.
	itemUnits = 2
	// An index by the time of the last message takes a delete and an insert a post.
	indexUnits = 2
)

var (
	// Message, thread and idempotency key, twice for the transaction, and the index.
	promises = design{calls: 2, writes: 2*(itemUnits+1+1) + indexUnits, reads: 1, restore: true}
	plain    = design{calls: 2, writes: itemUnits + 1, reads: 0.5}
)

func dynamo(l Load, d design) Bill {
	pageUnits := math.Ceil(pageMessages*storedBytes/4096) + 1 // and the thread, for whose it is
	coldStarts := (l.Messages + l.Pages) * l.Cold
	var b Bill
	b.add(gatewayRequest, l.Messages+l.Pages)
	b.add(invocation, l.Messages+l.Pages)
	b.add(gigabyteTime, (l.Messages*d.calls*dynamoTime+l.Pages*2*dynamoTime+coldStarts*startTime)*memory)
	b.add(dynamoWrite, l.Messages*d.writes)
	b.add(dynamoRead, (l.Pages*pageUnits+l.Messages)*d.reads)
	b.add(dynamoStorage, l.Stored*storedBytes/gigabyte)
	if d.restore {
		b.add(dynamoRestore, l.Stored*storedBytes/gigabyte)
	}
	b.watch(l, l.Messages+l.Pages)
	return b
}

// Prices are the prices of a bill's lines, and of nothing else.
func Prices() []Price {
	return []Price{
		gatewayRequest, invocation, gigabyteTime, s3Put, s3Get, s3Storage, kmsKey, kmsRequest,
		logIngestion, logStorage, metric, alarmMetric, composite, dashboard,
		dynamoWrite, dynamoRead, dynamoStorage, dynamoRestore,
	}
}
