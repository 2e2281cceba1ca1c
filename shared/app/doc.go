// Package app configures and wires a process: it is the only package that knows which
// adapter stands where, and the only one that reads the environment.
package app
