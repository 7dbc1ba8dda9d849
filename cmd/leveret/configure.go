package main

import (
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/leveret-mq/leveret/definitions"
	"github.com/leveret-mq/leveret/internal/certs"
)

func newConfig() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "config",
		Short: "Check a configuration file, or print an example of one",
		Args:  noArgs,
		RunE:  func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(&cobra.Command{
		Use:   "check FILE",
		Short: "Tell all that is wrong with a configuration file",
		Long: `Tell all that is wrong with a configuration file, with lines.

The file is read as "leveret serve --config FILE" reads it, without flags and
environment. The files that it names for TLS and definitions are looked at too. The
exit code is 0 where the broker could start with it, else 2.`,
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) != 1 {
				return usageError{fmt.Errorf("name one file: see %s --help", cmd.CommandPath())}
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			return checkConfig(cmd.OutOrStdout(), cmd.ErrOrStderr(), args[0])
		},
	}, &cobra.Command{
		Use:   "example",
		Short: "Print a configuration file with all options and their defaults",
		Args:  noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			_, err := io.WriteString(cmd.OutOrStdout(), exampleConfig())
			return err
		},
	})
	return cmd
}

// checkConfig tells all that is wrong with a file, each on a line of its own, and
// returns a usageError that sums it up.
func checkConfig(out, problems io.Writer, file string) error {
	cfg := defaultConfig()
	from := origins{}
	err := errors.Join(readFile(cfg.flags(), file, from), from.name(errors.Join(cfg.Validate(), cfg.lookAtFiles(out))))
	if err == nil {
		_, err = fmt.Fprintf(out, "%s is in order\n", file)
		return err
	}
	list := flatten(err)
	for _, each := range list {
		fmt.Fprintln(problems, each)
	}
	if len(list) == 1 {
		return usageError{fmt.Errorf("%s cannot be used", file)}
	}
	return usageError{fmt.Errorf("%s cannot be used: %d mistakes", file, len(list))}
}

// flatten takes joined errors apart.
func flatten(err error) (list []error) {
	if joined, ok := err.(interface{ Unwrap() []error }); ok {
		for _, each := range joined.Unwrap() {
			list = append(list, flatten(each)...)
		}
		return list
	}
	return []error{err}
}

// lookAtFiles tells which of the files that c names cannot be used, and which soon.
func (c *Config) lookAtFiles(out io.Writer) (failed error) {
	if c.TLSCert != "" && c.TLSKey != "" && c.validateTLS() == nil {
		source, err := certs.Load(c.certificates())
		switch {
		case err != nil:
			failed = badOption("tls-cert", "cannot be used: %v", err)
		case time.Until(source.NotAfter()) < expiresSoon:
			fmt.Fprintf(out, "warning: the certificate %s ends soon: %s\n", c.TLSCert, source.NotAfter().UTC().Format(time.RFC3339))
		}
	}
	if c.LoadDefinitions != "" {
		if err := definitions.Check(c.LoadDefinitions); err != nil {
			failed = errors.Join(failed, badOption("load-definitions", "cannot be used: %v", err))
		}
	}
	return failed
}

// headings stand in an example before the option that they name.
var headings = map[string]string{
	"data-dir":         "Where the messages are",
	"amqp-addr":        "Listeners",
	"tls-cert":         "TLS",
	"http-addr":        "Management and monitoring",
	"default-user":     "Users",
	"log-level":        "The process",
	"disk-free-limit":  "Limits",
	"max-message-size": "What clients may do",
}

// exampleConfig is a file with all options, whose values are the defaults.
func exampleConfig() string {
	var b strings.Builder
	b.WriteString(`# Leveret's configuration. Every line that is commented out says what holds
# anyway. A flag (--data-dir) comes before the environment (LEVERET_DATA_DIR),
# that before this file. "leveret config check FILE" tells what is wrong with
# one; SIGHUP lets a running broker read it again.
`)
	c := defaultConfig()
	c.flags().VisitAll(func(f *pflag.Flag) {
		if f.Hidden {
			return
		}
		if h := headings[f.Name]; h != "" {
			fmt.Fprintf(&b, "\n# %s\n", h)
		}
		_, usage := pflag.UnquoteUsage(f)
		b.WriteString("\n")
		for _, line := range wrap(strings.ToUpper(usage[:1])+usage[1:]+".", 78) {
			fmt.Fprintf(&b, "# %s\n", line)
		}
		value := f.DefValue
		switch f.Value.Type() {
		case "int", "int64", "uint16", "bool":
		default:
			value = strconv.Quote(value)
		}
		fmt.Fprintf(&b, "#%s = %s\n", f.Name, value)
	})
	return b.String()
}

// wrap breaks a text into lines of at most n bytes, where its words let it.
func wrap(text string, n int) (lines []string) {
	line := ""
	for _, word := range strings.Fields(text) {
		if line != "" && len(line)+1+len(word) > n {
			lines, line = append(lines, line), ""
		}
		if line != "" {
			line += " "
		}
		line += word
	}
	return append(lines, line)
}
