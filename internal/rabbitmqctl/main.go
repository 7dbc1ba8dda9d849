package rabbitmqctl

import (
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/leveret-mq/leveret/internal/terminal"
)

// Exit codes.
const (
	exitUsage       = 64
	exitData        = 65
	exitNoUser      = 67
	exitUnavailable = 69
	exitSoftware    = 70
	exitTimeout     = 75
)

// Names are those that the binary may be called by, to be this tool.
var Names = []string{"rabbitmqctl", "rabbitmq-diagnostics"}

// Called tells whether a program's name, as in os.Args[0], is one of this tool's.
func Called(arg string) bool {
	return slices.Contains(Names, filepath.Base(arg))
}

// Streams are standard input, output and error.
type Streams struct {
	In        io.Reader
	Out, Errs io.Writer
}

// exit is an error with an exit code, and the lines that are written about it.
type exit struct {
	code int
	text string
}

func (e *exit) Error() string { return e.text }

// fail is RabbitMQ's usual form of an error.
func fail(code int, format string, args ...any) error {
	return &exit{code, "Error:\n" + fmt.Sprintf(format, args...)}
}

// Run executes a command line and returns the exit code. Version names this broker's.
func Run(program string, args []string, version string, s Streams) int {
	err := run(filepath.Base(program), args, version, s)
	if err == nil {
		return 0
	}
	var e *exit
	if !errors.As(err, &e) {
		e = &exit{exitSoftware, "Error:\n" + err.Error()}
	}
	if e.text != "" {
		fmt.Fprintln(s.Errs, terminal.Lines(e.text))
	}
	return e.code
}

func run(program string, args []string, version string, s Streams) error {
	name, rest := split(args)
	switch name {
	case "", "help":
		return help(program, rest, name == "", s)
	case "version":
		name = "version"
	}
	cmd := find(name)
	if cmd == nil {
		if hint, ok := elsewhere[name]; ok {
			return &exit{exitUsage, fmt.Sprintf("Command '%s' is not one of Leveret's: %s", name, hint)}
		}
		return &exit{exitUsage, fmt.Sprintf("\nCommand '%s' not found. %s\n\n%s", name, suggest(name), overview(program))}
	}
	o, err := parse(cmd, rest)
	if err != nil {
		return wrong(program, cmd, args, "Invalid options for this command:\n"+err.Error())
	}
	if o.set["help"] {
		fmt.Fprint(s.Out, "\n"+usage(program, cmd)+"\n\n"+cmd.short+"\n")
		return nil
	}
	if o.formatter != "" && !slices.Contains(formatters, o.formatter) {
		return wrong(program, cmd, args, fmt.Sprintf("Invalid options for this command:\n--formatter : %s; this tool knows %s", o.formatter, strings.Join(formatters, ", ")))
	}
	switch {
	case len(o.args) < cmd.min:
		return wrong(program, cmd, args, "not enough arguments.")
	case cmd.max >= 0 && len(o.args) > cmd.max:
		return wrong(program, cmd, args, "too many arguments.")
	}
	if cmd.columns != nil {
		if o.args, err = cmd.columns.choose(o.args); err != nil {
			return wrong(program, cmd, args, err.Error())
		}
	}
	c, err := newCall(cmd, o, version, s)
	if err != nil {
		return err
	}
	defer c.cancel()
	err = cmd.run(c)
	var bad *badArgument
	if errors.As(err, &bad) {
		err = wrong(program, cmd, args, bad.text)
		err.(*exit).code = bad.code
	}
	return err
}

// badArgument is an argument that only the command can judge.
type badArgument struct {
	code int
	text string
}

func (b *badArgument) Error() string { return b.text }

// wrong is the answer to a wrong command line.
func wrong(program string, cmd *command, args []string, what string) error {
	return &exit{exitUsage, fmt.Sprintf("Error (argument validation): %s\nArguments given:\n\t%s\n\n%s", what, strings.Join(args, " "), usage(program, cmd))}
}

// options are those of one command line.
type options struct {
	args      []string
	set       map[string]bool   // switches
	values    map[string]string // of options with a value
	formatter string
	timeout   float64 // seconds; 0: not given
}

// general are the options of all commands: true for those with a value.
var general = map[string]bool{
	"node": true, "timeout": true, "vhost": true, "formatter": true, "erlang-cookie": true, "printer": true, "script-name": true, "rabbitmq-home": true, "mnesia-dir": true,
	"quiet": false, "silent": false, "longnames": false, "help": false, "no-table-headers": false, "dry-run": false, "table-headers": false,
}

// short are the letters of options.
var short = map[string]string{"n": "node", "t": "timeout", "p": "vhost", "q": "quiet", "s": "silent", "l": "longnames", "?": "help", "h": "help", "e": "if-empty", "u": "if-unused", "P": "pid"}

// option splits an argument that is an option.
func option(arg string) (name, value string, given, ok bool) {
	if long, found := strings.CutPrefix(arg, "--"); found && long != "" {
		name, value, given = strings.Cut(long, "=")
		return name, value, given, true
	}
	if letter, found := strings.CutPrefix(arg, "-"); found && letter != "" {
		letter, value, given = strings.Cut(letter, "=")
		if long, known := short[letter]; known {
			return long, value, given, true
		}
		if _, err := strconv.ParseFloat(arg, 64); err == nil {
			return "", "", false, false // a negative number is an argument
		}
		return letter, value, given, true
	}
	return "", "", false, false
}

// split finds the command among the options before it.
func split(args []string) (name string, rest []string) {
	for i := 0; i < len(args); i++ {
		long, _, given, ok := option(args[i])
		if !ok {
			return args[i], append(slices.Clone(args[:i]), args[i+1:]...)
		}
		if general[long] && !given {
			i++
		}
	}
	return "", args
}

// parse reads the options of a command. The error lists those that are wrong.
func parse(cmd *command, args []string) (*options, error) {
	o := &options{set: map[string]bool{}, values: map[string]string{}}
	var bad []string
	for i := 0; i < len(args); i++ {
		if args[i] == "--" {
			o.args = append(o.args, args[i+1:]...)
			break
		}
		name, value, given, ok := option(args[i])
		if !ok {
			o.args = append(o.args, args[i])
			continue
		}
		valued, known := cmd.options[name]
		if !known {
			valued, known = general[name]
		}
		switch {
		case !known:
			bad = append(bad, args[i]+" : ")
		case !valued:
			o.set[name] = !given || value == "true"
		case given:
			o.values[name] = value
		case i+1 < len(args):
			i++
			o.values[name] = args[i]
		default:
			bad = append(bad, args[i]+" : ")
		}
	}
	if text, ok := o.values["timeout"]; ok && text != "infinity" {
		n, err := strconv.Atoi(text)
		if err != nil || n < 0 {
			bad = append(bad, "--timeout : "+text)
		}
		o.timeout = float64(n)
	}
	o.formatter = o.values["formatter"]
	if len(bad) > 0 {
		return nil, errors.New(strings.Join(bad, "\n"))
	}
	return o, nil
}

// usage is how a command is called.
func usage(program string, cmd *command) string {
	return "Usage\n\n" + strings.TrimSpace(program+" [--node <node>] [--longnames] [--quiet] "+cmd.name+" "+cmd.usage)
}

// overview lists the commands.
func overview(program string) string {
	var b strings.Builder
	fmt.Fprintf(&b, "Usage\n\n%s [--node <node>] [--timeout <timeout>] [--longnames] [--quiet] <command> [<command options>]\n\nAvailable commands:\n", program)
	for _, g := range groups {
		fmt.Fprintf(&b, "\n%s:\n\n", g)
		for _, cmd := range commands() {
			if cmd.group == g {
				fmt.Fprintf(&b, "   %s  %s\n", terminal.Pad(cmd.name, 28, false), cmd.short)
			}
		}
	}
	fmt.Fprintf(&b, "\nUse '%s help <command>' to learn more about a specific command", program)
	return b.String()
}

func help(program string, args []string, lost bool, s Streams) error {
	var names []string
	asked := false
	for _, arg := range args {
		if name, _, _, ok := option(arg); ok {
			asked = asked || name == "help"
		} else {
			names = append(names, arg)
		}
	}
	if lost && !asked {
		return &exit{exitUsage, "\n" + overview(program)}
	}
	if len(names) == 0 {
		fmt.Fprintf(s.Out, "\n%s\n", overview(program))
		return nil
	}
	cmd := find(names[0])
	if cmd == nil {
		return fail(exitUsage, "\nCommand '%s' not found.", names[0])
	}
	text := "\n" + usage(program, cmd) + "\n\n" + cmd.short + "\n"
	if cmd.columns != nil {
		text += "\nColumns: " + strings.Join(cmd.columns.names(), ", ") + "\n"
	}
	fmt.Fprint(s.Out, text)
	return nil
}

// suggest names the command that was meant, perhaps.
func suggest(name string) string {
	best, least := "", 4 // more changes than that make another word
	for _, cmd := range commands() {
		if d := terminal.Distance(name, cmd.name); d < least {
			best, least = cmd.name, d
		}
	}
	if best == "" {
		return ""
	}
	return "\nDid you mean '" + best + "'?"
}
