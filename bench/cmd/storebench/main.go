// Command storebench measures what the storage engine promises and prints each
// figure beside what it must reach. What it measures, and how, is in package
// bench/figures, to which this only binds flags.
//
//	storebench -broker bin/leveret                the whole table: half an hour
//	storebench -broker bin/leveret -scale 0.01    a trial
//	storebench -broker bin/leveret -only 'backlog|drain'
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"regexp"
	"strings"
	"syscall"

	"github.com/leveret-mq/leveret/bench/figures"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	err := run(ctx, os.Args[1:])
	if err != nil && !errors.Is(err, flag.ErrHelp) {
		fmt.Fprintln(os.Stderr, "storebench:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string) error {
	var names []string
	for _, m := range figures.Measures {
		names = append(names, m.Name)
	}
	c := figures.Config{Progress: os.Stderr}
	var only string
	var asJSON bool
	fs := flag.NewFlagSet("storebench", flag.ContinueOnError)
	fs.StringVar(&c.Binary, "broker", "bin/leveret", "the leveret to measure")
	fs.StringVar(&c.Dir, "dir", os.TempDir(), "`folder` for data directories, on the disk to measure")
	fs.Float64Var(&c.Scale, "scale", 1, "multiplies all numbers of messages and queues")
	fs.IntVar(&c.Runs, "runs", 3, "samples a median is of")
	fs.StringVar(&only, "only", "", "regular `expression` for what to measure: "+strings.Join(names, ", "))
	fs.BoolVar(&asJSON, "json", false, "one JSON object instead of a table")
	if err := fs.Parse(args); err != nil {
		return err
	}
	if fs.NArg() > 0 {
		return fmt.Errorf("unexpected argument %q", fs.Arg(0))
	}
	if only != "" {
		var err error
		if c.Only, err = regexp.Compile(only); err != nil {
			return err
		}
	}
	report, err := figures.Run(ctx, c)
	if report == nil {
		return err
	}
	if asJSON {
		return errors.Join(json.NewEncoder(os.Stdout).Encode(report), err)
	}
	return errors.Join(report.WriteText(os.Stdout), err)
}
