package main

import (
	"context"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/url"
	"os"
	"strings"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/bobbindb/bobbin/shared/app"
	"github.com/bobbindb/bobbin/shared/blob"
	"github.com/bobbindb/bobbin/shared/catalog"
	"github.com/bobbindb/bobbin/shared/chat"
	"github.com/bobbindb/bobbin/shared/commitlog"
	"github.com/bobbindb/bobbin/shared/doctor"
	"github.com/bobbindb/bobbin/shared/seal"
	"github.com/bobbindb/bobbin/shared/seal/localkeeper"
)

// The exit codes.
const (
	exitDone        = 0
	exitFailed      = 1
	exitUsage       = 2
	exitRefused     = 3
	exitDamage      = 10
	exitUnreachable = 11
	exitDenied      = 12
	exitBusy        = 13
	exitUnknown     = 20
	exitInterrupted = 130
)

// failure is an error as a person reads it: what failed, why, and what to do.
type failure struct {
	exit     int
	what     string
	why      error
	do       string
	reported bool // the JSON document on stdout says it already
}

// Error is what failed and why.
func (f *failure) Error() string { return f.what + ": " + f.why.Error() }

// Unwrap is why.
func (f *failure) Unwrap() error { return f.why }

// failed says what failed. Why decides the exit code and the advice.
func failed(what string, why error) error {
	if why == nil {
		return nil
	}
	var f *failure
	if errors.As(why, &f) {
		return why
	}
	return &failure{what: what, why: why}
}

// explain makes a failure of any error that a command ended with.
func (c *console) explain(cmd *cobra.Command, err error) *failure {
	var f *failure
	if !errors.As(err, &f) {
		f = &failure{exit: exitUsage, why: err} // a flag or an argument that cobra refused
	}
	if f.what == "" {
		f.what = "cannot run " + cmd.CommandPath()
	}
	if f.exit == 0 {
		f.exit, f.do = advise(f.why, f.do)
	}
	if f.exit == exitUsage && f.do == "" {
		f.do = "see " + cmd.CommandPath() + " --help"
	}
	return f
}

// advise finds the exit code of an error, and the advice where nobody knew better.
func advise(err error, known string) (exit int, do string) {
	var said *answer
	if errors.As(err, &said) {
		return said.exit()
	}
	for _, a := range []struct {
		is   bool
		exit int
		do   string
	}{
		{errors.Is(err, context.Canceled), exitInterrupted, "it was interrupted; run it again"},
		{errors.Is(err, app.ErrForeignFolder) && errors.Is(err, catalog.ErrNoStore), exitFailed, "check --db"},
		{errors.Is(err, app.ErrForeignFolder), exitRefused, "choose an empty folder or a new one; no flag overrides this"},
		{errors.Is(err, app.ErrPartitions), exitRefused, "leave --partitions out: the number is fixed once a store is made; no flag overrides this"},
		{errors.Is(err, catalog.ErrNoStore), exitFailed, "check --db, or make a store there with bobbin init"},
		{errors.Is(err, commitlog.ErrUnknownFormat), exitFailed, "use the release that wrote the store, or a newer one"},
		{errors.Is(err, app.ErrNoUser), exitFailed, "check --user and --tenant; without them everybody is exported"},
		{errors.Is(err, app.ErrKeyFileMissing), exitDenied, "put the key file back, or say with --keeper where it is: nothing else opens the store"},
		{errors.Is(err, localkeeper.ErrExposed), exitDenied, "make it readable by its owner only, as with chmod 600"},
		{errors.Is(err, seal.ErrWrongKey) && !app.Damaged(err), exitDenied, "say with --keeper who holds the key that the store was made with"},
		{errors.Is(err, seal.ErrUnavailable) && !app.Damaged(err), exitUnreachable, "check that the holder of the top key can be reached and may be asked, and try again"},
		{app.Damaged(err), exitDamage, "run bobbin verify to see what is damaged"},
		{cannotListen(err) && errors.Is(err, fs.ErrPermission), exitDenied, "choose a port above 1023 with --addr, or run it as a user who may have this one"},
		{cannotListen(err), exitFailed, "choose another address with --addr; port 0 takes a free one"},
		{errors.Is(err, app.ErrNoCredentials), exitDenied, "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE, or give the machine a role"},
		{errors.Is(err, blob.ErrDenied), exitDenied, "run it as the user who owns the store"},
		{errors.Is(err, fs.ErrPermission), exitDenied, "run it as a user who may read and write there"},
		{errors.Is(err, fs.ErrNotExist), exitFailed, "check the path"},
		{errors.Is(err, syscall.ENOSPC), exitFailed, "make room on the disk"},
		{errors.Is(err, doctor.ErrBroken), exitDamage, "keep no store there: run bobbin doctor, and use a local disk"},
		{errors.Is(err, blob.ErrUnavailable), exitUnreachable, "check that the bucket can be reached, and try again"},
		{errors.Is(err, blob.ErrNotStored), exitFailed, "check that the disk has room and can be written"},
		{chat.KindOf(err) == chat.Busy, exitBusy, "try again in a moment"},
		{chat.KindOf(err) == chat.Unknown, exitUnknown, "look at the store before you repeat it"},
		{errors.As(err, new(x509.UnknownAuthorityError)), exitUnreachable, "name the server's certificate authority in SSL_CERT_FILE, if it is one of your own"},
		{unreachable(err), exitUnreachable, "check the address, and that the server runs"},
	} {
		if a.is {
			if known != "" {
				a.do = known
			}
			return a.exit, a.do
		}
	}
	if known == "" {
		known = "mend that and try again"
	}
	return exitFailed, known
}

// cannotListen reports whether an address to listen on could not be had, by its name, by
// its port or because it is another machine's.
func cannotListen(err error) bool {
	var op *net.OpError
	return errors.As(err, &op) && op.Op == "listen"
}

// unreachable reports whether nobody answered.
func unreachable(err error) bool {
	var call *url.Error
	return errors.As(err, &call) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, context.DeadlineExceeded)
}

// showFailure prints a failure's three lines and, with --json, a document that says the
// same if the command printed none.
func (c *console) showFailure(f *failure) {
	why := strings.ReplaceAll(strings.TrimSpace(f.why.Error()), "\n", "; ")
	fmt.Fprintf(c.err, "%s %s\n  why: %s\n  do:  %s\n", c.paint(os.Stderr, red, "error:"), f.what, why, f.do)
	if !c.json || f.reported {
		return
	}
	document := map[string]any{"error": map[string]any{"what": f.what, "why": why, "do": f.do, "exit": f.exit}}
	_ = json.NewEncoder(c.out).Encode(document) // nobody is left to tell
}
