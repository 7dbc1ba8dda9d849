// Command pgo takes the profile that the compiler optimizes the broker by: the
// processor time of a broker in this process under leveret bench's scenarios, one
// after the other, so that each counts for what it costs.
//
//	pgo -leveret bin/leveret -o cmd/leveret/default.pgo
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"net"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"runtime/debug"
	"runtime/pprof"
	"strings"
	"syscall"
	"time"

	"github.com/leveret-mq/leveret/amqpd"
	"github.com/leveret-mq/leveret/broker"
)

// loads are arguments of leveret bench; how long each lasts comes behind them.
var loads = []string{
	"flow -s 100",
	"flow -s 1024",
	"flow -s 16384 -c 100",
	"flow -s 100 --message-properties contentType=application/json,source=orders",
	"transient -s 100",
	"one -s 100",
	"queues -s 100 -x 64",
	"fanout -s 1024 -y 10",
	"topic -s 100",
	"direct -s 100",
	"backlog -s 100 -u backlog --keep",
	"drain -s 100 -u backlog --keep",
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx); err != nil {
		fmt.Fprintln(os.Stderr, "pgo:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context) error {
	leveret := flag.String("leveret", "bin/leveret", "the `program` that loads the broker")
	dir := flag.String("dir", os.TempDir(), "`folder` for the data")
	out := flag.String("o", "default.pgo", "the `file` to write")
	each := flag.Duration("each", 5*time.Second, "how long each load lasts")
	flag.Parse()

	debug.SetGCPercent(40) // as leveret serve does
	data, err := os.MkdirTemp(*dir, "leveret-pgo-*")
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(data) }()
	b, err := broker.Open(data, broker.Options{})
	if err != nil {
		return err
	}
	srv, err := amqpd.NewServer(b, amqpd.Options{})
	if err != nil {
		return errors.Join(err, b.Close())
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return errors.Join(err, b.Close())
	}
	served := make(chan error, 1)
	go func() { served <- srv.Serve(l) }()
	err = profile(*out, func() error {
		for _, args := range loads {
			fmt.Fprintln(os.Stderr, args)
			args := append(strings.Fields(args), "-z", each.String(), "-h", "amqp://guest:guest@"+l.Addr().String()+"/", "--quiet")
			cmd := exec.CommandContext(ctx, *leveret, append([]string{"bench"}, args...)...)
			if text, err := cmd.CombinedOutput(); err != nil {
				return fmt.Errorf("%v: %w\n%s", cmd, err, text)
			}
		}
		return nil
	})
	bounded, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	err = errors.Join(err, srv.Shutdown(bounded))
	if serr := <-served; !errors.Is(serr, amqpd.ErrServerClosed) {
		err = errors.Join(err, serr)
	}
	return errors.Join(err, b.Close())
}

// profile writes what the processor did during load, if that goes well.
func profile(name string, load func() error) error {
	f, err := os.CreateTemp(filepath.Dir(name), ".pgo-*")
	if err != nil {
		return err
	}
	defer func() { _ = os.Remove(f.Name()) }()
	if err := pprof.StartCPUProfile(f); err != nil {
		return err
	}
	err = load()
	pprof.StopCPUProfile()
	if err = errors.Join(err, f.Chmod(0o644), f.Close()); err != nil {
		return err
	}
	return os.Rename(f.Name(), name)
}
