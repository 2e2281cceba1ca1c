package main

import (
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// usage is the error of a command that was called wrongly.
func usage(format string, args ...any) error {
	return &failure{exit: exitUsage, why: fmt.Errorf(format, args...)}
}

// noArgs refuses arguments. To a command that has others below it, one is a command that
// nobody knows.
func noArgs(cmd *cobra.Command, args []string) error {
	if len(args) == 0 {
		return nil
	}
	if !cmd.HasSubCommands() {
		return usage("it takes no arguments, and got %q", args[0])
	}
	return unknownCommand(cmd, args[0])
}

func unknownCommand(cmd *cobra.Command, name string) error {
	if near := cmd.SuggestionsFor(name); len(near) > 0 {
		return usage("there is no command %q; is it %s?", name, strings.Join(near, " or "))
	}
	return usage("there is no command %q", name)
}

// oneFile takes the name of one file.
func oneFile(_ *cobra.Command, args []string) error {
	if len(args) == 1 {
		return nil
	}
	return usage("it takes one FILE, or - for stdin, and got %d", len(args))
}

// flagError says what is wrong with a flag. Where a command was misspelt before it, the
// flag is not to blame.
func flagError(cmd *cobra.Command, err error) error {
	if args := cmd.Flags().Args(); cmd.HasSubCommands() && len(args) > 0 {
		return unknownCommand(cmd, args[0])
	}
	var unknown *pflag.NotExistError
	var bare *pflag.ValueRequiredError
	var invalid *pflag.InvalidValueError
	switch {
	case errors.As(err, &unknown) && unknown.GetSpecifiedShortnames() != "":
		return usage("there is no flag -%s", unknown.GetSpecifiedName())
	case errors.As(err, &unknown):
		return usage("there is no flag --%s", unknown.GetSpecifiedName())
	case errors.As(err, &bare):
		return usage("--%s: a value is missing", bare.GetFlag().Name)
	case errors.As(err, &invalid):
		return usage("--%s %q: want %s", invalid.GetFlag().Name, invalid.GetValue(), wanted[invalid.GetFlag().Value.Type()])
	}
	return usage("%w", err)
}

// wanted says what a flag of a type wants. Flags of options are texts and want nothing
// here.
var wanted = map[string]string{
	"bool":     "true or false",
	"duration": "a duration like 90s or 5m",
	"int":      "a whole number",
	"float64":  "a number",
}

// newHelp is the command that shows the help of another.
func (c *console) newHelp() *cobra.Command {
	return &cobra.Command{
		Use:   "help [COMMAND]",
		Short: "Show what a command does",
		RunE: func(cmd *cobra.Command, args []string) error {
			about, rest, err := cmd.Root().Find(args)
			if err != nil || len(rest) > 0 {
				return unknownCommand(cmd.Root(), strings.Join(args, " "))
			}
			about.InitDefaultHelpFlag()
			return about.Help()
		},
	}
}
