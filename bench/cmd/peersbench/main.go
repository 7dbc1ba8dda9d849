// Command peersbench measures Leveret beside its ceilings and its peers and prints the
// ratios beside what they must reach. What it measures, and how, is in package
// bench/peers, to which this only binds flags; `make bench-peers` calls it.
//
//	peersbench -save                            the whole, into bench/results and README.md
//	peersbench -only 'flow-100|one' -runs 1     some of it
//	peersbench -peers none                      Leveret and its ceilings alone
//	peersbench -readme                          README.md from bench/results
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"regexp"
	"strings"
	"syscall"

	"github.com/leveret-mq/leveret/bench/peers"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	err := run(ctx, os.Args[1:])
	if err != nil && !errors.Is(err, flag.ErrHelp) {
		fmt.Fprintln(os.Stderr, "peersbench:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string) error {
	c := peers.Config{Progress: os.Stderr}
	fs := flag.NewFlagSet("peersbench", flag.ContinueOnError)
	fs.StringVar(&c.Leveret, "leveret", "bin/leveret", "the `binary` to measure, and to measure with")
	fs.StringVar(&c.NATS, "nats", "bin/nats-server", "the nats-server `binary`")
	fs.StringVar(&c.Dir, "dir", "/var/tmp", "`folder` for data, on the disk to measure")
	fs.Float64Var(&c.Scale, "scale", 1, "multiplies numbers of messages, of objects and of seconds")
	fs.IntVar(&c.Runs, "runs", 3, "how many runs a median is of")
	only := fs.String("only", "", "what to measure, separated by commas: "+strings.Join(peers.Measures(), ", "))
	who := fs.String("peers", "all", "beside whom, separated by commas, all or none: "+strings.Join(peers.Peers(), ", "))
	results := fs.String("results", "bench/results/peers.json", "the `file` of results")
	readme := fs.String("readme-file", "README.md", "the `file` with the section of figures")
	save := fs.Bool("save", false, "put what is measured into the results, and the section")
	write := fs.Bool("readme", false, "measure nothing, write the section from the results")
	if err := fs.Parse(args); err != nil {
		return err
	}
	if fs.NArg() > 0 {
		return fmt.Errorf("unexpected argument %q", fs.Arg(0))
	}
	all, err := peers.Read(*results)
	if err != nil {
		return err
	}
	if *write {
		return all.WriteSection(*readme)
	}
	if *only != "" {
		if c.Only, err = regexp.Compile("^(" + strings.ReplaceAll(*only, ",", "|") + ")$"); err != nil {
			return err
		}
	}
	switch *who {
	case "all", "":
		c.Peers = peers.Peers()
	case "none":
	default:
		c.Peers = strings.Split(*who, ",")
	}
	got, failed := peers.Run(ctx, c)
	if got == nil {
		return failed
	}
	if err := got.WriteText(os.Stdout); err != nil {
		return err
	}
	if n := got.Missed(); n > 0 {
		fmt.Printf("\n%d not reached\n", n)
	}
	if *save && ctx.Err() == nil {
		all.Merge(got)
		failed = errors.Join(failed, all.Write(*results), all.WriteSection(*readme))
	}
	return failed
}
