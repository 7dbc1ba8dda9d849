package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/leveret-mq/leveret/broker"
	"github.com/leveret-mq/leveret/internal/inspect"
	"github.com/leveret-mq/leveret/internal/terminal"
	"github.com/leveret-mq/leveret/wal"
)

// logFlags are those of all `leveret log` commands.
type logFlags struct {
	dir    string
	config string
	json   bool
}

func newLog() *cobra.Command {
	f := &logFlags{}
	cmd := &cobra.Command{
		Use:   "log",
		Short: "Look at a data directory: describe, check, list, save",
		Long: `Look at a data directory. Nothing in it is changed, and a broker may be running
on it; what it keeps in memory alone, such as transient messages, is not seen.`,
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) > 0 {
				return usageError{fmt.Errorf("unknown command %q: see leveret log --help", args[0])}
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.PersistentFlags().StringVar(&f.dir, "data-dir", defaultConfig().DataDir, "`directory` of the log and the checkpoints")
	cmd.PersistentFlags().StringVar(&f.config, "config", "", "TOML `file` that may name the data directory")
	cmd.AddCommand(newLogStat(f), newLogVerify(f), newLogDump(f), newLogSalvage(f))
	return cmd
}

// resolve finds the data directory: as for serve, the flag comes before the
// environment, that before the file.
func (f *logFlags) resolve(cmd *cobra.Command) error {
	cfg, err := load(cmd, f.config)
	f.dir = cfg.DataDir
	return err
}

func (f *logFlags) addJSON(cmd *cobra.Command) {
	cmd.Flags().BoolVar(&f.json, "json", false, "print one JSON object")
}

// explain says what to do about a directory that cannot be looked at.
func (f *logFlags) explain(err error) error {
	if errors.Is(err, inspect.ErrNoData) {
		return fmt.Errorf("%w; name the data directory with --data-dir", err)
	}
	return err
}

func printJSON(w io.Writer, v any) error {
	e := json.NewEncoder(w)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	return e.Encode(v)
}

func newLogStat(f *logFlags) *cobra.Command {
	top, files := 20, false
	cmd := &cobra.Command{
		Use:   "stat",
		Short: "Describe a data directory: files, what of them is alive, the largest queues",
		Args:  noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := f.resolve(cmd); err != nil {
				return err
			}
			if top < 0 {
				return usageError{fmt.Errorf("--top %d is negative: 0 shows all queues", top)}
			}
			bar := newProgress(cmd.ErrOrStderr())
			st, err := inspect.ReadStat(f.dir, inspect.Options{Progress: bar.show})
			bar.clear()
			if err != nil {
				return f.explain(err)
			}
			if f.json {
				return printJSON(cmd.OutOrStdout(), st)
			}
			if err := printStat(cmd.OutOrStdout(), st, top, files); err != nil {
				return err
			}
			if n := len(st.Problems); n > 0 {
				fmt.Fprintf(cmd.ErrOrStderr(), "leveret: %s; the figures are of what can be read: see leveret log verify\n", terminal.Plural(n, "problem"))
			}
			return nil
		},
	}
	f.addJSON(cmd)
	cmd.Flags().IntVar(&top, "top", top, "show so `many` queues; 0 shows all")
	cmd.Flags().BoolVar(&files, "files", false, "show each file")
	return cmd
}

func printStat(out io.Writer, st *inspect.Stat, top int, files bool) error {
	b := bufio.NewWriter(out)
	fmt.Fprintf(b, "data directory  %s\n", st.Dir)
	if c := st.Checkpoint; c != nil {
		fmt.Fprintf(b, "checkpoint      number %d, %s; a start reads the log from lsn %d on: %s, %s\n",
			c.Number, terminal.Bytes(c.Bytes), c.Replay, terminal.Bytes(st.ReplayBytes), terminal.Plural(st.ReplayRecords, "record"))
	} else {
		fmt.Fprintf(b, "checkpoint      none; a start reads the whole log: %s, %s\n", terminal.Bytes(st.ReplayBytes), terminal.Plural(st.ReplayRecords, "record"))
	}
	if st.Torn {
		fmt.Fprintf(b, "end of the log  lsn %d, within a commit: a broker is running, or the power failed\n", st.End)
	} else {
		fmt.Fprintf(b, "end of the log  lsn %d\n", st.End)
	}
	if st.Spilled > 0 {
		fmt.Fprintf(b, "spilled         %s of transient messages, which a restart drops\n", terminal.Bytes(st.Spilled))
	}
	fmt.Fprintln(b)

	t := terminal.NewTable(b, terminal.Paint{}, "", "FILES>", "SIZE>", "LIVE>", "DEAD>", "LIVE %>", "MESSAGES>", "RATIO>")
	tier := func(name string, v inspect.Tier) {
		t.Row(name, terminal.Number(int64(v.Files)), terminal.Bytes(v.Bytes), terminal.Bytes(v.Live), terminal.Bytes(v.Dead()), terminal.Percent(v.Live, v.Bytes), terminal.Number(v.Messages), terminal.Ratio(v.Raw, v.Bytes))
	}
	tier("log", st.Log)
	tier("segments", st.Segments)
	tier("large bodies", st.Large)
	tier("checkpoints", st.Snapshots)
	total := st.Total
	total.Raw = 0
	tier("total", total)
	_ = t.Flush() // b keeps the error

	if files && len(st.Files) > 0 {
		fmt.Fprintln(b)
		t := terminal.NewTable(b, terminal.Paint{}, "FILE", "SIZE>", "LIVE>", "LIVE %>", "MESSAGES>", "RATIO>", "FROM LSN>", "TO LSN>")
		for _, v := range st.Files {
			from, to := "", ""
			if v.Kind == "log" {
				from, to = strconv.FormatUint(uint64(v.Start), 10), strconv.FormatUint(uint64(v.End), 10)
			}
			name := strings.TrimPrefix(strings.TrimPrefix(v.Name, st.Dir), "/")
			t.Row(name, terminal.Bytes(v.Bytes), terminal.Bytes(v.Live), terminal.Percent(v.Live, v.Bytes), terminal.Number(v.Messages), terminal.Ratio(v.Raw, v.Bytes), from, to)
		}
		_ = t.Flush() // b keeps the error
	}

	fmt.Fprintln(b)
	if len(st.Queues) == 0 {
		fmt.Fprintln(b, "no durable queues")
		return b.Flush()
	}
	shown := st.Queues
	if top > 0 && len(shown) > top {
		shown = shown[:top]
	}
	t = terminal.NewTable(b, terminal.Paint{}, "QUEUE", "VHOST", "ID>", "MESSAGES>", "SIZE>", "IN LOG>", "IN SEGMENTS>", "LARGE>", "RUNS>")
	for _, q := range shown {
		name := terminal.Printable(q.Name.Queue)
		if q.Name == (inspect.Name{}) {
			name = "(name unknown)"
		} else if q.Exchange != "" {
			name = fmt.Sprintf("(delayed by exchange %s)", terminal.Printable(q.Exchange))
		} else if q.Priority > 0 {
			name += fmt.Sprintf(", priority %d", q.Priority)
		}
		t.Row(name, terminal.Printable(q.VHost), strconv.FormatUint(uint64(q.ID), 10), terminal.Number(q.Messages), terminal.Bytes(q.Bytes),
			terminal.Number(q.InLog), terminal.Number(q.InSegments), terminal.Number(q.InLarge), terminal.Number(int64(q.Runs)))
	}
	_ = t.Flush() // b keeps the error
	if more := len(st.Queues) - len(shown); more > 0 {
		fmt.Fprintf(b, "and %s more: --top 0 shows all\n", terminal.Plural(more, "queue"))
	}
	return b.Flush()
}

// errDamaged is what verify and dump return where something is wrong; what it is
// was printed.
type errDamaged struct{ text string }

func (e errDamaged) Error() string { return e.text }

func newLogVerify(f *logFlags) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "verify",
		Short: "Check every checksum, and what log, checkpoints and segments say of each other",
		Long: `Read all of a data directory and check it: every checksum, and what the log, the
checkpoints, the segments, the large bodies and the catalog say of each other.

Exit code 0 means that all is well, 1 that something is wrong: each problem is
printed with its place. A torn end of the log is none: a power cut leaves it, and
a broker that is running looks so.`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := f.resolve(cmd); err != nil {
				return err
			}
			bar := newProgress(cmd.ErrOrStderr())
			v, err := inspect.Verify(f.dir, inspect.Options{Progress: bar.show})
			bar.clear()
			if err != nil {
				return f.explain(err)
			}
			if f.json {
				err = printJSON(cmd.OutOrStdout(), v)
			} else {
				err = printVerified(cmd.OutOrStdout(), v)
			}
			switch {
			case err != nil:
				return err
			case v.Fatal:
				return errDamaged{fmt.Sprintf("data directory %s is damaged (%s), and a broker refuses it: restore a backup, or save what can be read with leveret log salvage --data-dir %s --to NEW-DIRECTORY", f.dir, terminal.Plural(v.Found, "problem"), f.dir)}
			case v.Found > 0:
				return errDamaged{fmt.Sprintf("data directory %s is damaged (%s); a broker starts from it, and sets aside what it cannot read", f.dir, terminal.Plural(v.Found, "problem"))}
			}
			return nil
		},
	}
	f.addJSON(cmd)
	return cmd
}

func printVerified(out io.Writer, v *inspect.Verified) error {
	b := bufio.NewWriter(out)
	t := terminal.NewTable(b, terminal.Paint{}, "CHECKED", "FILES>", "SIZE>", "", "", "RESULT")
	for _, c := range v.Checks {
		result := "ok"
		if c.Problems > 0 {
			result = terminal.Plural(c.Problems, "problem")
		}
		files, size := "", ""
		if c.Files > 0 {
			files, size = terminal.Number(int64(c.Files)), terminal.Bytes(c.Bytes)
		}
		t.Row(c.What, files, size, terminal.Number(c.Items), c.Unit, result)
	}
	_ = t.Flush() // b keeps the error
	if len(v.Problems) > 0 {
		fmt.Fprintln(b)
	}
	for _, p := range v.Problems {
		fmt.Fprintln(b, terminal.Printable(p.String()))
	}
	if more := v.Found - len(v.Problems); more > 0 {
		fmt.Fprintf(b, "and %s more\n", terminal.Plural(more, "problem"))
	}
	if v.Unreadable > 0 {
		fmt.Fprintf(b, "\n%s cannot be read\n", terminal.Plural(int(v.Unreadable), "message"))
	}
	return b.Flush()
}

func newLogDump(f *logFlags) *cobra.Command {
	var o inspect.DumpOptions
	var queue string
	var from, to uint64
	cmd := &cobra.Command{
		Use:   "dump",
		Short: "Print the log's records as JSON lines",
		Long: `Print the log's records, one JSON object a line, in the order in which they were
written. What has moved to segments, and what the log no longer holds, is not in
it. A stretch that cannot be read is a line of kind "damage", and the exit code
is then 1.`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := f.resolve(cmd); err != nil {
				return err
			}
			if to != 0 && to < from {
				return usageError{fmt.Errorf("--to %d is before --from %d", to, from)}
			}
			o.Queue, o.From, o.To = inspect.Filter(queue), wal.LSN(from), wal.LSN(to)
			bar := newProgress(cmd.ErrOrStderr())
			if terminal.IsTerminal(cmd.OutOrStdout()) {
				bar = &progress{} // the lines are the progress
			}
			o.Progress = bar.show
			out := bufio.NewWriterSize(cmd.OutOrStdout(), 64<<10)
			var line []byte
			lines := 0
			damaged, err := inspect.Dump(f.dir, o, func(l *inspect.Line) (err error) {
				lines++
				if line, err = l.Append(line[:0]); err == nil {
					_, err = out.Write(line)
				}
				return err
			})
			bar.clear()
			if ferr := out.Flush(); err == nil {
				err = ferr
			}
			if err == nil && lines == 0 && queue != "" {
				fmt.Fprintf(cmd.ErrOrStderr(), "leveret: nothing in the log concerns a queue of the name or id %s\n", terminal.Printable(queue))
			}
			if err == nil && damaged > 0 {
				err = errDamaged{fmt.Sprintf("%s of the log cannot be read: see leveret log verify", terminal.Plural(damaged, "place"))}
			}
			return f.explain(err)
		},
	}
	cmd.Flags().StringVar(&queue, "queue", "", "only what concerns the queue of that `name` or id")
	cmd.Flags().Uint64Var(&from, "from", 0, "begin at that `LSN`")
	cmd.Flags().Uint64Var(&to, "to", 0, "end before that `LSN`")
	cmd.Flags().BoolVar(&o.Bodies, "bodies", false, "print messages' properties and bodies")
	return cmd
}

func newLogSalvage(f *logFlags) *cobra.Command {
	var to string
	cmd := &cobra.Command{
		Use:   "salvage --to DIR",
		Short: "Save all that can be read of a broken data directory into a new one",
		Long: `Write all that can be read of a broken data directory to a new one, from which a
broker starts: queues, exchanges, bindings, and the messages that are not gone.
What is lost is told. The broken directory stays as it is.

Exit code 0 means that the new directory is whole and was tried, whatever was
lost; 1 that it could not be written.`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := f.resolve(cmd); err != nil {
				return err
			}
			if to == "" {
				return usageError{errors.New("--to is missing: name the new directory")}
			}
			bar := newProgress(cmd.ErrOrStderr())
			r, err := inspect.Salvage(f.dir, to, inspect.Options{Progress: bar.show})
			if err != nil {
				bar.clear()
				if _, serr := os.Stat(filepath.Join(to, inspect.Partial)); serr == nil {
					err = fmt.Errorf("%w; %s is incomplete: remove it before the next try", err, to)
				}
				return f.explain(err)
			}
			bar.show("trying the new directory", 0, 0)
			err = try(to)
			bar.clear()
			if f.json {
				err = errors.Join(printJSON(cmd.OutOrStdout(), r), err)
			} else {
				err = errors.Join(printSalvaged(cmd.OutOrStdout(), r), err)
			}
			return err
		},
	}
	f.addJSON(cmd)
	cmd.Flags().StringVar(&to, "to", "", "the new `directory`, which must be empty or missing")
	return cmd
}

// try starts a broker on a directory, without a listener, and stops it: so it
// has a checkpoint, too.
func try(dir string) error {
	b, err := broker.Open(dir, broker.Options{Logger: slog.New(slog.DiscardHandler), DiskFreeLimit: -1})
	if err != nil {
		return fmt.Errorf("what was saved is in %s, and a broker does not start from it: %w", dir, err)
	}
	return b.Close()
}

func printSalvaged(out io.Writer, r *inspect.Salvaged) error {
	b := bufio.NewWriter(out)
	for _, p := range r.Problems {
		fmt.Fprintln(b, "damaged:", terminal.Printable(p.String()))
	}
	for _, l := range r.Losses {
		what := fmt.Sprintf("message %d", l.First)
		if l.Messages > 1 {
			what = fmt.Sprintf("%s from %d to %d", terminal.Plural(int(l.Messages), "message"), l.First, l.Last)
		}
		fmt.Fprintf(b, "lost: %s of %s: %s\n", what, targetText(l.Target), terminal.Printable(l.Problem.String()))
	}
	for _, t := range r.Named {
		fmt.Fprintf(b, "the name of queue %d is lost; it is called %s now\n", t.Queue, targetText(t))
	}
	for _, d := range r.Dropped {
		fmt.Fprintln(b, "left out:", terminal.Printable(d))
	}
	if len(r.Problems)+len(r.Losses)+len(r.Named)+len(r.Dropped) > 0 {
		fmt.Fprintln(b)
	}
	fmt.Fprintf(b, "saved     %s in %s, %s, to %s\n", terminal.Plural(int(r.Messages), "message"), terminal.Plural(r.Queues, "queue"), terminal.Bytes(r.Bytes), r.To)
	if r.Lost > 0 {
		fmt.Fprintf(b, "lost      %s\n", terminal.Plural(int(r.Lost), "message"))
	} else if !r.Unknown {
		fmt.Fprintln(b, "lost      no message")
	}
	if r.Unknown {
		fmt.Fprintln(b, "unknown   parts of the log cannot be read: there may have been more messages, and some that were saved may have been acked")
	}
	if r.Topology {
		fmt.Fprintln(b, "topology  parts of the catalog cannot be read: vhosts, exchanges or bindings may be missing")
	}
	if r.Again {
		fmt.Fprintln(b, "again     no checkpoint could be read: messages that were acked may be among those that were saved")
	}
	return b.Flush()
}

func targetText(t inspect.Target) string {
	if t.Name == (inspect.Name{}) {
		return fmt.Sprintf("queue %d", t.Queue)
	}
	if t.Exchange != "" {
		return fmt.Sprintf("what exchange '%s' in vhost '%s' delays", terminal.Printable(t.Exchange), terminal.Printable(t.VHost))
	}
	text := fmt.Sprintf("queue '%s' in vhost '%s'", terminal.Printable(t.Name.Queue), terminal.Printable(t.VHost))
	if t.Priority > 0 {
		text += fmt.Sprintf(", priority %d", t.Priority)
	}
	return text
}
