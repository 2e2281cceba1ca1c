package app

import (
	"runtime"
	"runtime/debug"

	"github.com/bobbindb/bobbin/shared/telemetry"
)

// Version is the release that this code is. Commits and checkpoints name it.
const Version = "0.1.0"

// Commit is the revision that the binary was built from, "unknown" if nobody said.
func Commit() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "unknown"
	}
	for _, s := range info.Settings {
		if s.Key == "vcs.revision" {
			return s.Value
		}
	}
	return "unknown"
}

func release() telemetry.Release {
	return telemetry.Release{Version: Version, Commit: Commit(), Go: runtime.Version()}
}
