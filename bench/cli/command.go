package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/leveret-mq/leveret/bench"
	"github.com/leveret-mq/leveret/internal/amqp"
)

// Exit codes. A run that a signal ends has done what it was asked for.
const (
	codeFailure     = 1 // also: a message was lost
	codeUsage       = 2
	codeRefused     = 4
	codeUnavailable = 5
)

type fault struct {
	code int
	err  error
}

func (f *fault) Error() string { return f.err.Error() }
func (f *fault) Unwrap() error { return f.err }

// ExitCode is for whoever ends the process.
func (f *fault) ExitCode() int { return f.code }

func usage(err error) error {
	return &fault{codeUsage, fmt.Errorf("%w: see leveret bench --help", err)}
}

// scenario is a run by name.
type scenario struct {
	name, about string
	engine      string // of package bench; empty: not a run of messages
	churn       string
	own         bool // no client of a broker at all
}

var scenarios = []scenario{
	{name: "flow", about: "publishers and consumers on one queue, 1,000 unconfirmed, prefetch 1,000", engine: bench.Flow},
	{name: "transient", about: "as flow, transient messages without confirms and acks", engine: bench.Flow},
	{name: "fanout", about: "one publisher, a fanout exchange, -y queues (10) with a consumer each", engine: bench.Fanout},
	{name: "topic", about: "one publisher, a topic exchange with --bindings, -y queues (1) that get each message once", engine: bench.Topic},
	{name: "direct", about: "the same messages to the same queues by a direct exchange with as many bindings", engine: bench.Direct},
	{name: "backlog", about: "publish and let nobody consume", engine: bench.Publish},
	{name: "drain", about: "consume a backlog of -C messages (1,000,000), which is published first", engine: bench.Drain},
	{name: "queues", about: "-x publishers (64) on queues of their own, one unconfirmed each", engine: bench.Many},
	{name: "latency", about: "as flow, at a fixed rate (1,000 a second)", engine: bench.Flow},
	{name: "one", about: "one publisher that waits for each confirm; with --sync beside what that takes at least", engine: bench.Latency},
	{name: "tls", about: "as flow, over amqps://", engine: bench.Flow},
	{name: "connections", about: "open -x connections (1,000) with -X channels each and hold them"},
	{name: "churn-connections", about: "connect and disconnect, -x at once", churn: bench.Connections},
	{name: "churn-channels", about: "open and close channels, -c requests ahead (1)", churn: bench.Channels},
	{name: "churn-queues", about: "declare and delete durable queues, -c requests ahead", churn: bench.Queues},
	{name: "churn-bindings", about: "bind to amq.topic and unbind, -c requests ahead", churn: bench.Bindings},
	{name: "declare", about: "declare durable queues, -C (6,250) by each of -x connections (16), -c requests ahead (100); hold them -z seconds (0)", churn: bench.Declares},
	{name: "floor", about: "what one fdatasync in the --sync folder takes, and one loopback round trip; no broker", own: true},
	{name: "null", own: true, about: "serve a broker that forwards and stores nothing: the ceiling to compare with"},
}

func byName(name string) *scenario {
	if i := slices.IndexFunc(scenarios, func(s scenario) bool { return s.name == name }); i >= 0 {
		return &scenarios[i]
	}
	return nil
}

// Command is leveret bench.
func Command() *cobra.Command {
	o := &options{}
	var help bool
	var about strings.Builder
	about.WriteString("Load an AMQP 0-9-1 broker, this or another, and measure what it does. The options are\nthose of RabbitMQ's PerfTest, in its spellings too (-qp, -ms). Without a scenario they\nsay all; a scenario has defaults of its own, declares what it needs, deletes it, and\nfails where a message is lost:\n\n")
	for _, s := range scenarios {
		fmt.Fprintf(&about, "  %-18s %s\n", s.name, s.about)
	}
	about.WriteString("\nCtrl-C ends a run with its summary, a second one at once.\nExit codes: 0, 1 failure, 2 usage, 4 login refused, 5 broker not reachable.")
	cmd := &cobra.Command{
		Use:   "bench [scenario] [flags]",
		Short: "Load an AMQP broker and measure it, with PerfTest's options",
		Long:  about.String(),
		Example: "  leveret bench -x 1 -y 2 -u orders -a --id first -s 4000 -f persistent -z 30\n" +
			"  leveret bench flow -h amqp://guest:guest@10.0.0.7/ -s 1024 --html flow.html\n" +
			"  leveret bench latency -r 20000 -z 60 -o latency.csv",
		// pflag knows no options such as -qpf.
		DisableFlagParsing: true,
		RunE: func(cmd *cobra.Command, args []string) error {
			args, notes, err := Translate(args)
			if err == nil {
				err = cmd.Flags().Parse(args)
			}
			if err != nil {
				return usage(err)
			}
			if help {
				return cmd.Help()
			}
			for _, note := range notes {
				fmt.Fprintln(cmd.ErrOrStderr(), "note:", note)
			}
			return o.run(cmd, cmd.Flags().Args())
		},
	}
	for _, s := range scenarios {
		cmd.ValidArgs = append(cmd.ValidArgs, s.name+"\t"+s.about)
	}
	cmd.Flags().SortFlags = false
	cmd.Flags().AddFlagSet(flagSet(o))
	cmd.Flags().BoolVarP(&help, "help", "?", false, "show this")
	return cmd
}

func (o *options) run(cmd *cobra.Command, args []string) error {
	var s *scenario
	if len(args) > 0 {
		if s = byName(args[0]); s == nil {
			return usage(fmt.Errorf("%q is no scenario", args[0]))
		}
	}
	if len(args) > 1 {
		return usage(fmt.Errorf("unexpected argument %q", args[1]))
	}
	if o.id == "" {
		o.id = "test-" + strings.Replace(time.Now().Format("150405.000"), ".", "-", 1)
	}
	ctx, stop, done := signals()
	defer done()
	switch {
	case s == nil:
	case s.name == "null":
		return o.serveNull(cmd.ErrOrStderr(), stop)
	case s.name == "floor":
		return o.measureFloor(ctx, stop, cmd.OutOrStdout())
	}
	c, err := o.config()
	if err == nil && s != nil {
		err = o.scenario(cmd.Flags(), s, &c)
	}
	if err == nil {
		err = valid(s, c)
	}
	if err != nil {
		return usage(err)
	}
	return o.measure(ctx, stop, cmd.OutOrStdout(), s, c)
}

// valid is Validate of what will be run.
func valid(s *scenario, c bench.Config) error {
	if s != nil && s.engine == "" {
		c.Scenario, c.Outstanding, c.Producers = bench.Load, max(1, c.Outstanding), max(1, c.Producers)
	}
	return c.Validate()
}

// scenario turns what the flags say into a scenario's run: what is not given is its
// own default.
func (o *options) scenario(f *pflag.FlagSet, s *scenario, c *bench.Config) error {
	for _, name := range []string{"exchange", "type", "routing-key", "queue-pattern", "queue-pattern-from", "queue-pattern-to", "auto-delete",
		"exclusive", "predeclared", "skip-binding-queues", "cmessages"} {
		if f.Changed(name) {
			return fmt.Errorf("--%s is not for scenarios, which declare their own", name)
		}
	}
	c.Topology = bench.Topology{}
	c.Scenario, c.Queue, c.Keep = s.engine, o.queue, o.keep
	for _, name := range []string{"bindings", "match", "keys"} {
		if f.Changed(name) && s.name != "topic" && s.name != "direct" {
			return fmt.Errorf("--%s is for scenarios topic and direct", name)
		}
	}
	given := func(name string, reset func()) {
		if !f.Changed(name) {
			reset()
		}
	}
	given("size", func() { c.Size = 100 })
	given("confirm", func() { c.Outstanding, c.NoConfirm = 0, false })
	given("qos", func() { c.Prefetch = 0 })
	given("multi-ack-every", func() { c.AckEvery = 0 })
	given("producers", func() { c.Producers = 0 })
	given("consumers", func() { c.Consumers = 0 })
	if !slices.Contains(o.flags, "transient") {
		c.Transient = s.name == "transient"
	}
	switch {
	case c.Duration > 0 || c.Messages > 0 && s.name != "connections" || s.name == "declare":
	case !f.Changed("time"):
		c.Duration = 10 * time.Second
	case s.engine != "": // no end, and no tenth of it to warm up
		c.Duration, c.Warmup = 365*24*time.Hour, max(c.Warmup, time.Nanosecond)
	}
	given("uri", func() {
		if s.name == "tls" && o.uris == "" {
			c.URI = "amqps://guest:guest@127.0.0.1:5671/"
		}
	})
	switch s.name {
	case "transient":
		given("autoack", func() { c.AutoAck = true })
		given("confirm", func() { c.NoConfirm = true })
	case "one":
		c.FloorDir = o.syncDir
	case "declare":
		if c.Messages == 0 {
			c.Messages = 6250
		}
	case "topic", "direct":
		if o.bindings < 1 || !(o.match > 0) || o.keys < 0 {
			return errors.New("--bindings and --match must be more than none, --keys not negative")
		}
		c.Bindings, c.Match, c.Keys = o.bindings, o.match, o.keys
		c.Queues = max(0, c.Consumers)
	case "fanout":
		c.Queues = max(0, c.Consumers)
	case "queues":
		c.Queues = max(0, c.Producers)
	case "latency":
		given("rate", func() {
			if c.Rate == 0 {
				c.Rate = 1000
			}
		})
	case "connections":
		given("producers", func() { c.Producers = 1000 })
	case "tls":
		if strings.Contains(","+c.URI, ",amqp:") {
			return errors.New("scenario tls needs an amqps:// URI")
		}
	}
	return nil
}

// signals makes two interrupts a stop and an end.
func signals() (ctx context.Context, stop chan struct{}, done func()) {
	ctx, cancel := context.WithCancelCause(context.Background())
	stop = make(chan struct{})
	got := make(chan os.Signal, 2)
	signal.Notify(got, os.Interrupt, syscall.SIGTERM)
	quit := make(chan struct{})
	go func() {
		for n := 0; ; n++ {
			select {
			case <-got:
				if n == 0 {
					close(stop)
				} else {
					cancel(errors.New("interrupted"))
				}
			case <-quit:
				return
			}
		}
	}()
	return ctx, stop, func() {
		signal.Stop(got)
		close(quit)
		cancel(nil)
	}
}

// serveNull is the scenario null.
func (o *options) serveNull(w io.Writer, stop <-chan struct{}) error {
	if o.listen == "" {
		o.listen = "127.0.0.1:5672"
	}
	b, err := bench.ListenNull(bench.NullOptions{Addr: o.listen, SyncDir: o.syncDir})
	if err != nil {
		return err
	}
	fmt.Fprintln(w, "serving", b.URI())
	<-stop
	return b.Close()
}

// measureFloor is the scenario floor.
func (o *options) measureFloor(ctx context.Context, stop <-chan struct{}, w io.Writer) error {
	if o.syncDir == "" {
		return usage(errors.New("scenario floor wants a folder on the disk in question: --sync"))
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	d := time.Duration(o.limit)
	if d == 0 {
		d = 5 * time.Second
	}
	began := time.Now()
	go func() {
		select {
		case <-stop:
			cancel()
		case <-ctx.Done():
		}
	}()
	f, err := bench.MeasureFloor(ctx, o.syncDir, d)
	if err != nil {
		return &fault{codeFailure, err}
	}
	if !o.asJSON {
		_, err = fmt.Fprintf(w, "id: %s, %s\n", o.id, f)
		return err
	}
	l := &log{ID: o.id, Scenario: "floor", Began: began, Intervals: []bench.Interval{}}
	l.Result = &bench.Result{Seconds: time.Since(began).Seconds(), Floor: f}
	return l.writeJSON(w)
}

// measure runs it and tells of it.
func (o *options) measure(ctx context.Context, stop <-chan struct{}, w io.Writer, s *scenario, c bench.Config) error {
	l := newLog(o, s, c)
	lines := w
	if o.asJSON || o.quiet {
		lines = io.Discard
	}
	var csv *os.File
	if o.csv != "" {
		var err error
		if csv, err = os.Create(o.csv); err != nil {
			return err
		}
		defer csv.Close()
		if err := l.header(csv); err != nil {
			return err
		}
	}
	var html *os.File
	if o.html != "" {
		// Before the run: a run whose report has no place is lost.
		var err error
		if html, err = os.Create(o.html); err != nil {
			return err
		}
		defer html.Close()
	}
	var failed error
	watch := bench.Watch{Stop: stop, Every: time.Duration(o.interval), Each: func(v bench.Interval) {
		if l.add(v); l.moment(len(l.Intervals) - 1) {
			return // the summary has it
		}
		_, err := io.WriteString(lines, l.line(v))
		if csv != nil {
			err = errors.Join(err, l.row(csv, v))
		}
		failed = errors.Join(failed, err)
	}}
	var err error
	switch {
	case s != nil && s.churn != "":
		churn := bench.ChurnConfig{Config: c, What: s.churn}
		if s.churn == bench.Declares {
			churn.Hold, churn.Duration = c.Duration, 0
		}
		l.Result, err = bench.Churn(ctx, churn, watch)
	case s != nil && s.engine == "":
		l.Result, err = bench.Hold(ctx, c, watch)
	default:
		l.Result, err = bench.RunWatched(ctx, c, watch)
	}
	if err != nil {
		if html != nil {
			os.Remove(o.html) // of a run that failed there is nothing to report
		}
		return explain(err)
	}
	if o.asJSON {
		failed = errors.Join(failed, l.writeJSON(w))
	} else {
		_, err := io.WriteString(w, l.summary())
		failed = errors.Join(failed, err)
	}
	if html != nil {
		failed = errors.Join(failed, l.report(html), html.Close())
	}
	if csv != nil {
		failed = errors.Join(failed, csv.Close())
	}
	return failed
}

// explain gives a failure its exit code.
func explain(err error) error {
	var away *bench.Unreachable
	var said *amqp.Error
	switch {
	case errors.As(err, &away):
		return &fault{codeUnavailable, err}
	case errors.As(err, &said) && said.Code == amqp.CodeAccessRefused:
		return &fault{codeRefused, err}
	}
	return &fault{codeFailure, err}
}
