package cost

// What was measured, as bills are reckoned with.
const (
	PageTime     = pageTime
	CommitTime   = commitTime
	ColdPageTime = coldPageTime
	ColdPostTime = coldPostTime
	StoredBytes  = storedBytes
	Rewritten    = rewritten
)
