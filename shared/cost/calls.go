package cost

// Calls are requests to the bucket for one operation.
type Calls struct{ Get, Put, List, Delete float64 }

// What operations ask of the bucket. A test in test/engine measures them on 20,000
// messages of 1 KB: the first two are exact, the others no less than measured there and
// at most half more, since a larger store has more tables.
var (
	Page             = Calls{Get: 1}           // warm and strong, of 50 messages
	Commit           = Calls{Put: 1}           // warm, of one message
	Open             = Calls{Get: 8}           // a partition, with nothing local
	ColdPage         = Calls{Get: 13}          // with an open, and no tail
	ColdPageFullTail = Calls{Get: 24}          // with an open, and a tail of 64 commits
	ColdPost         = Calls{Get: 24, Put: 1}  // with an open
	Checkpoint       = Calls{Get: 100, Put: 6} // of 64 commits, by a compactor with nothing local
	IdleJanitor      = Calls{Get: 5, List: 5}  // of one partition, with nothing to do
)

// What the templates make, and a test in test/engine counts there.
const (
	Metrics       = 12  // of CloudWatch
	AlarmMetrics  = 12  // that alarms look at, with one writer
	JanitorRuns   = 120 // a month
	RetentionRuns = 720 // a month
	MetricsLine   = 560 // bytes of a function's metrics in its log, each time it answers
)

// What was measured on a bucket that is 25 ms away for a GET and 28 ms for a PUT, in
// seconds. A test compares it with docs/benchmarks.md.
const (
	pageTime     = 0.0265
	commitTime   = 0.0285
	coldPageTime = 0.165 // with a full tail
	coldPostTime = 0.279

	storedBytes = 1145 // of tables for a random message of 1 KB
	rewritten   = 15.1 // bytes of tables uploaded for each committed
)

// What nobody has measured, and is assumed.
const (
	startTime      = 0.1  // seconds of a cold function before its first request
	invokeTime     = 0.01 // seconds between a route and the writer
	checkpointTime = 5    // seconds
	scheduleTime   = 5    // seconds of a run with nothing to do
	platformLines  = 600  // bytes that Lambda logs of an invocation, and the gateway of a request

	dynamoTime = 0.01 // seconds of a call to DynamoDB
)

// What is configured.
const (
	memory          = 1.0 // GB of a function
	compactorMemory = 2.0
	partitions      = 16
	tail            = 64  // commits before a checkpoint
	messageBytes    = 1e3 // of a message's body
	windowDays      = 8   // restore window and grace
	pageMessages    = 50
	gigabyte        = 1e9
)
