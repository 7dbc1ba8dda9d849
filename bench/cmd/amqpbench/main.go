// Command amqpbench loads an AMQP 0-9-1 broker and reports what it does. The
// scenarios and their meaning are in package bench, to which this only binds
// flags.
//
//	amqpbench -uri amqp://guest:guest@127.0.0.1:5672/ -scenario flow -size 1024
//	amqpbench -null -scenario flow            the ceiling, in this process
//	amqpbench -null-sync /var/tmp -listen 127.0.0.1:5680   the ceiling, served to others
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"github.com/leveret-mq/leveret/bench"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	err := run(ctx, os.Args[1:])
	if err != nil && !errors.Is(err, flag.ErrHelp) {
		fmt.Fprintln(os.Stderr, "amqpbench:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string) error {
	var c bench.Config
	var null, asJSON bool
	var nullSync, listen string
	var runs int
	fs := flag.NewFlagSet("amqpbench", flag.ContinueOnError)
	fs.StringVar(&c.URI, "uri", "amqp://guest:guest@127.0.0.1:5672/", "the broker")
	fs.StringVar(&c.Scenario, "scenario", bench.Flow, strings.Join(bench.Scenarios, ", "))
	fs.IntVar(&c.Size, "size", 100, "bytes of a body")
	fs.StringVar(&c.Content, "content", bench.Pattern, "what bodies are: pattern (stamped) or json")
	fs.BoolVar(&c.Transient, "transient", false, "publish with delivery-mode 1")
	fs.BoolVar(&c.NoConfirm, "no-confirm", false, "publish without confirms")
	fs.IntVar(&c.Outstanding, "outstanding", 0, "unconfirmed messages a publisher may have (0: 1000, in latency and many 1)")
	fs.IntVar(&c.Prefetch, "prefetch", 0, "unacked messages a consumer may have (0: 1000)")
	fs.IntVar(&c.AckEvery, "ack-every", 0, "deliveries that one ack covers (0: 100)")
	fs.BoolVar(&c.AutoAck, "auto-ack", false, "consume without acks")
	fs.IntVar(&c.Queues, "queues", 0, "publishers in many, consumers in fanout (0: 64, 10)")
	fs.StringVar(&c.QueueType, "queue-type", "", "x-queue-type of the queues")
	fs.StringVar(&c.Queue, "queue", "", "the queue's name (default amqpbench)")
	fs.BoolVar(&c.Keep, "keep", false, "leave the queues as they are, before and after")
	fs.IntVar(&c.Messages, "messages", 0, "publish so many instead of for a duration")
	fs.DurationVar(&c.Duration, "duration", 0, "how long to run (0: 5s)")
	fs.DurationVar(&c.Warmup, "warmup", 0, "how much of the duration not to measure (0: a tenth)")
	fs.IntVar(&c.PID, "pid", 0, "the broker's process, to measure its processor time and memory")
	fs.IntVar(&runs, "runs", 1, "how often to run")
	fs.BoolVar(&asJSON, "json", false, "one JSON object a run instead of text")
	fs.BoolVar(&null, "null", false, "serve a broker that stores nothing, in this process: the ceiling")
	fs.StringVar(&nullSync, "null-sync", "", "as -null, and append and fdatasync in this `folder` before each confirm")
	fs.StringVar(&listen, "listen", "", "only serve the null broker, at this `address`")
	if err := fs.Parse(args); err != nil {
		return err
	}
	if fs.NArg() > 0 {
		return fmt.Errorf("unexpected argument %q", fs.Arg(0))
	}
	if c.Size == 0 {
		c.Size = -1
	}
	if null || nullSync != "" || listen != "" {
		b, err := bench.ListenNull(bench.NullOptions{Addr: listen, SyncDir: nullSync})
		if err != nil {
			return err
		}
		defer b.Close()
		c.URI = b.URI()
		if listen != "" {
			fmt.Fprintln(os.Stderr, "serving", c.URI)
			<-ctx.Done()
			return nil
		}
	}
	for range runs {
		res, err := bench.Run(ctx, c)
		if err != nil {
			return err
		}
		if asJSON {
			err = json.NewEncoder(os.Stdout).Encode(res)
		} else {
			err = res.WriteText(os.Stdout)
		}
		if err != nil {
			return err
		}
	}
	return nil
}
