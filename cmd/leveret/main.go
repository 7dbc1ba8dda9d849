// Command leveret is the broker: `leveret serve` runs it, `leveret log` looks at
// its data directory, `leveret bench` loads a broker, `leveret version` names it; the
// others, of package ctl, ask a running one. Called as rabbitmqctl it is that. This package binds flags, environment
// and configuration file to the packages that do the work, and nothing else.
package main

import (
	"errors"
	"fmt"
	"os"
	"runtime"
	"strings"

	"github.com/spf13/cobra"

	"github.com/leveret-mq/leveret/bench/cli"
	"github.com/leveret-mq/leveret/internal/ctl"
	"github.com/leveret-mq/leveret/internal/rabbitmqctl"
	"github.com/leveret-mq/leveret/internal/terminal"
)

// version is set by the Makefile through the linker.
var version = "unknown"

// Exit codes: 1 where the broker could not start or go on, 2 where the command
// line or the configuration is wrong.
const (
	exitFailure = 1
	exitUsage   = 2
)

// usageError marks what the caller can mend by typing something else.
type usageError struct{ error }

func (e usageError) Unwrap() error { return e.error }

func main() {
	if rabbitmqctl.Called(os.Args[0]) {
		os.Exit(rabbitmqctl.Run(os.Args[0], os.Args[1:], version, rabbitmqctl.Streams{In: os.Stdin, Out: os.Stdout, Errs: os.Stderr}))
	}
	os.Exit(run(os.Args[1:]))
}

// run executes one command line and returns the exit code. A failure is one
// clear line on standard error.
func run(args []string) int {
	root := newRoot()
	root.SetArgs(args)
	err := root.Execute()
	if err == nil {
		return 0
	}
	fmt.Fprintf(os.Stderr, "leveret: %s\n", terminal.Printable(strings.ReplaceAll(err.Error(), "\n", "; ")))
	var usage usageError
	if errors.As(err, &usage) {
		return exitUsage
	}
	var coded interface{ ExitCode() int }
	if errors.As(err, &coded) {
		return coded.ExitCode()
	}
	return exitFailure
}

func newRoot() *cobra.Command {
	root := &cobra.Command{
		Use:           "leveret",
		Short:         "A durable AMQP message broker: a confirm means on disk",
		Version:       versionText(),
		SilenceUsage:  true,
		SilenceErrors: true,
		// Unknown commands are usage errors, as unknown flags are.
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) > 0 {
				if rabbitmqctl.Knows(args[0]) {
					return usageError{fmt.Errorf("%q is a command of rabbitmqctl: make a link of that name to leveret, or see leveret --help", args[0])}
				}
				return usageError{fmt.Errorf("unknown command %q: see leveret --help", args[0])}
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	root.SetVersionTemplate("{{.Version}}\n")
	root.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error {
		return usageError{fmt.Errorf("%w: see %s --help", err, cmd.CommandPath())}
	})
	root.AddGroup(&cobra.Group{ID: "broker", Title: "The broker:"}, &cobra.Group{ID: ctl.Group, Title: "A running broker, by its management API:"})
	for _, cmd := range []*cobra.Command{newServe(), newConfig(), newLog(), cli.Command(), newVersion()} {
		cmd.GroupID = "broker"
		root.AddCommand(cmd)
	}
	root.AddCommand(ctl.Commands()...)
	return root
}

func newVersion() *cobra.Command {
	return &cobra.Command{
		Use:   "version",
		Short: "Print the version",
		Args:  noArgs,
		Run: func(cmd *cobra.Command, _ []string) {
			fmt.Fprintln(cmd.OutOrStdout(), versionText())
		},
	}
}

func versionText() string {
	return fmt.Sprintf("leveret %s (%s, %s/%s)", version, runtime.Version(), runtime.GOOS, runtime.GOARCH)
}

func noArgs(cmd *cobra.Command, args []string) error {
	if len(args) > 0 {
		return usageError{fmt.Errorf("unexpected argument %q: see %s --help", args[0], cmd.CommandPath())}
	}
	return nil
}
