package job

// NewID makes the name of a job.
var NewID = newID
