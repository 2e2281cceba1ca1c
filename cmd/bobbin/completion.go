package main

import (
	"bytes"
	"io"
	"slices"
	"strings"

	"github.com/spf13/cobra"
)

// completionResult is the document of completion.
type completionResult struct {
	Shell  string `json:"shell"`
	Script string `json:"script"`
}

var shells = []string{"bash", "zsh", "fish", "powershell"}

func (c *console) newCompletion() *cobra.Command {
	return &cobra.Command{
		Use:   "completion bash|zsh|fish|powershell",
		Short: "Print a script that completes commands in your shell",
		Long: `Print a script that makes your shell complete commands and flags. bash needs the
package bash-completion.

  bash        source <(bobbin completion bash)
  zsh         bobbin completion zsh > "${fpath[1]}/_bobbin"
  fish        bobbin completion fish > ~/.config/fish/completions/bobbin.fish
  powershell  bobbin completion powershell | Out-String | Invoke-Expression`,
		Example:   "  source <(bobbin completion bash)",
		ValidArgs: shells,
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := oneShell(args); err != nil {
				return err
			}
			var script bytes.Buffer
			if err := writeCompletion(cmd.Root(), args[0], &script); err != nil {
				return failed("cannot make the script", err)
			}
			if c.json {
				return c.document(completionResult{args[0], script.String()})
			}
			_, err := script.WriteTo(c.out)
			return failed("cannot print the script", err)
		},
	}
}

func oneShell(args []string) error {
	known := strings.Join(shells, ", ")
	switch {
	case len(args) == 0:
		return usage("say for which shell: %s", known)
	case len(args) > 1:
		return usage("it takes one shell, and got %d", len(args))
	case !slices.Contains(shells, args[0]):
		return usage("there is no script for %q: want %s", args[0], known)
	}
	return nil
}

func writeCompletion(root *cobra.Command, shell string, w io.Writer) error {
	switch shell {
	case "bash":
		return root.GenBashCompletionV2(w, true)
	case "zsh":
		return root.GenZshCompletion(w)
	case "fish":
		return root.GenFishCompletion(w, true)
	default:
		return root.GenPowerShellCompletionWithDesc(w)
	}
}
