package main

import (
	"errors"
	"log/slog"

	"github.com/spf13/cobra"

	"github.com/bobbindb/bobbin/shared/app"
	"github.com/bobbindb/bobbin/shared/telemetry"
)

// load reads the options that the command has.
func (c *console) load(cmd *cobra.Command) (app.Config, error) {
	cfg, err := app.Load(cmd.Flags(), c.lookup)
	if err != nil {
		return cfg, &failure{exit: exitUsage, what: "cannot use these options", why: err}
	}
	return cfg, nil
}

// logger logs what goes wrong within a command other than serve.
func (c *console) logger() *slog.Logger {
	return telemetry.NewLogger(c.err, telemetry.LogText, slog.LevelWarn)
}

// remote defines the flags that lead to a server. Their values are read by fromFlags.
func remote(cmd *cobra.Command, keys ...string) {
	cmd.Flags().String("url", "", "address of the server, like http://127.0.0.1:8080")
	for _, key := range keys {
		cmd.Flags().String(key, "", "an API key of the server for "+keyOf[key])
	}
}

// keyOf says whose key a flag takes.
var keyOf = map[string]string{
	"backend-key":  "a back end",
	"frontend-key": "a front end",
	"admin-key":    "an operator",
}

// fromFlags reads flags, each from the command line or else from the environment. The
// error names every one of them that is missing.
func (c *console) fromFlags(cmd *cobra.Command, names ...string) (map[string]string, error) {
	values := make(map[string]string, len(names))
	var missing []error
	for _, name := range names {
		value := cmd.Flag(name).Value.String()
		if value == "" {
			value, _ = c.lookup(app.EnvName(name))
		}
		if value == "" {
			missing = append(missing, errors.New("--"+name+" is missing (or "+app.EnvName(name)+")"))
		}
		values[name] = value
	}
	if len(missing) > 0 {
		return nil, &failure{exit: exitUsage, what: "cannot use these options", why: errors.Join(missing...)}
	}
	return values, nil
}
