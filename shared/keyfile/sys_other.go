//go:build !unix

package keyfile

// syncDir does nothing: here names are durable with their files.
func syncDir(string) error { return nil }
