// Package telemetry tells what a process does: by metrics, traces and its log.
//
// A Metrics has a registry of its own. Packages that are measured say what they want
// to be told by in small interfaces of their own; the types here happen to fulfil them.
// Whoever is measured often holds a child (HTTPRoute, Partition) whose labels were
// resolved once. No metric, no span and no log line holds a text, a title or a user.
package telemetry
