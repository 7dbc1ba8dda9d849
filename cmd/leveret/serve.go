package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"math"
	"os"
	"os/signal"
	"path/filepath"
	"runtime/debug"
	"syscall"
	"time"

	"github.com/coreos/go-systemd/v22/daemon"
	"github.com/spf13/cobra"

	"github.com/leveret-mq/leveret/amqpd"
	"github.com/leveret-mq/leveret/audit"
	"github.com/leveret-mq/leveret/broker"
	"github.com/leveret-mq/leveret/definitions"
	"github.com/leveret-mq/leveret/exporter"
	"github.com/leveret-mq/leveret/httpd"
	"github.com/leveret-mq/leveret/internal/certs"
	"github.com/leveret-mq/leveret/internal/ram"
	"github.com/leveret-mq/leveret/internal/vfs"
	"github.com/leveret-mq/leveret/monitor"
	"github.com/leveret-mq/leveret/store"
	"github.com/leveret-mq/leveret/wal"
)

func newServe() *cobra.Command {
	var file string
	flags := defaultConfig()
	cmd := &cobra.Command{
		Use:   "serve",
		Short: "Run the broker",
		Long: `Run the broker until SIGTERM or SIGINT.

A flag comes before its environment variable (LEVERET_DATA_DIR for --data-dir,
and so on), that before the file that --config names (TOML, with the flags'
names as keys).`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			cfg, err := load(cmd, file)
			if err != nil {
				return err
			}
			ctx, stop := stopSignals(cmd.Context())
			defer stop()
			return serve(ctx, cfg, func() (Config, error) { return load(cmd, file) })
		},
	}
	flags.bind(cmd.Flags())
	cmd.Flags().StringVar(&file, "config", "", "TOML `file` with the flags' names as keys")
	return cmd
}

// stopSignals returns a context that ends with the first SIGTERM or SIGINT. A
// second SIGTERM changes nothing, since supervisors send it to a process and to
// its group; a second SIGINT ends the process at once, as whoever types it wants.
func stopSignals(parent context.Context) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancel(parent)
	got := make(chan os.Signal, 1)
	signal.Notify(got, syscall.SIGTERM, os.Interrupt)
	go func() {
		select {
		case <-got:
			signal.Reset(os.Interrupt)
			cancel()
		case <-ctx.Done():
		}
	}()
	return ctx, cancel
}

// garbage is how much the heap may grow, in hundredths of what lives, before it
// is collected. Nearly all that lives is bytes that the collector need not look
// into, and nothing is allocated a message, so that collecting often is cheap: with 20,
// 40, 100, 200 and 400 no difference was seen through one queue (7 to 0.3 collections
// a second) nor without a consumer; 100,000 declarations in a row took a sixth more
// time with 20 than with 40. A backlog of 10,000,000 makes 127 MB of memory
// with 20 and 141 with 40. To collect only near a limit (GOGC=off and GOMEMLIMIT)
// was no faster, and half as fast where the limit was below what lived.
//
// GOMAXPROCS stays as it is. One more than there are processors, for the goroutine
// that is in an fdatasync, was measured on two, three times: 8 % more through one queue
// at a sixth less processor time; 17 and 15 % more and 8 % less without a consumer; and
// 6 to 29 % less with 64 publishers that wait for each confirm, at half as much again.
const garbage = 20

// serve runs the broker until ctx ends. again reads the configuration once more.
func serve(ctx context.Context, cfg Config, again func() (Config, error)) error {
	level, err := cfg.level()
	if err != nil {
		return usageError{err}
	}
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(garbage)
	}
	minimum := new(slog.LevelVar)
	minimum.Set(level)
	log := slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: minimum}))
	supervisor := newSystemd(log)
	hangup, ignore := hangups()
	defer ignore()

	// The port comes first: it costs nothing, and a second broker started by
	// mistake is told so. Clients that connect during recovery wait.
	listeners, source, err := cfg.listen(log)
	if err != nil {
		return err
	}
	defer listeners.close()
	health, err := httpd.NewServer(httpd.Options{Version: version, Logger: log})
	if err != nil {
		return err
	}
	atHTTP, err := offer(health, "--http-addr", cfg.HTTPAddr, log)
	if err != nil {
		return err
	}
	defer atHTTP.end()
	metrics, err := exporter.NewServer(exporter.Options{Version: version, Logger: log})
	if err != nil {
		return err
	}
	atMetrics, err := offer(metrics, "--metrics-addr", cfg.MetricsAddr, log)
	if err != nil {
		return err
	}
	defer atMetrics.end()

	supervisor.busy("", "recovering")
	defer supervisor.idle()
	memoryLimit := cfg.memoryLimit(log)
	b, err := broker.Open(cfg.DataDir, broker.Options{
		Logger:        log,
		DiskFreeLimit: cfg.diskFreeLimit(),
		MemoryLimit:   memoryLimit,
		DefaultUser:   cfg.DefaultUser, DefaultPassword: cfg.DefaultPass, DefaultVHost: cfg.DefaultVHost,
		Unseeded:      true, // so that the audit log has it too
		LoopbackUsers: cfg.loopbackUsers(),
		Store: store.Options{
			Logger:          log,
			CheckpointBytes: cfg.CheckpointBytes,
			WALBudget:       cfg.WALBudget,
			RetireAge:       time.Duration(cfg.RetireAge),
			CompactSlack:    cfg.CompactSlack,
			CompactAge:      time.Duration(cfg.CompactAge),
			LargeBytes:      cfg.LargeBytes,
			WAL:             wal.Options{FileSize: cfg.WALFileSize, Logger: log},
		},
	})
	if err != nil {
		return explainOpen(cfg.DataDir, err)
	}
	trail := openAudit(cfg.DataDir, b, log)
	defer func() { _ = trail.Close() }() // after what ends last has told of itself
	if cfg.LoadDefinitions != "" {
		if err := loadDefinitions(b, cfg.LoadDefinitions, log); err != nil {
			return errors.Join(err, b.Close())
		}
	}
	if err := b.Seed(); err != nil {
		return errors.Join(err, b.Close())
	}
	srv, err := amqpd.NewServer(b, cfg.server(log))
	if err != nil {
		return errors.Join(err, b.Close())
	}
	served := make(chan error, len(listeners))
	for _, l := range listeners {
		go func() { served <- srv.Serve(l.Listener) }()
	}

	watch := monitor.New(b, monitor.Options{MaxSockets: cfg.MaxConnections})
	health.SetMonitor(watch)
	health.SetListeners(reachable(listeners, source, atHTTP.addr, atMetrics.addr))
	health.SetBroker(b)
	metrics.SetSource(exporter.Watched(b, watch))
	stats := b.Stats()
	log.Info("ready", "amqp", listeners.addr("amqp"), "amqps", listeners.addr("amqps"), "http", atHTTP.addr, "metrics", atMetrics.addr, "data", cfg.DataDir,
		"queues", watch.Totals().Queues, "messages", stats.Messages,
		"recovery", stats.Recovery.Round(10*time.Microsecond), "version", version)
	supervisor.ready("serving")
	r := &running{cfg: cfg, again: again, log: log, level: minimum, source: source, srv: srv, b: b, told: supervisor}
	alive := supervisor.watchdog(func() { b.VHosts() }) // which takes the broker's lock
	err = r.wait(ctx, hangup, served)
	cfg = r.cfg
	supervisor.busy(daemon.SdNotifyStopping, "stopping")
	alive()
	health.Stop()
	bounded, cancel := context.WithTimeout(context.Background(), time.Duration(cfg.ShutdownTimeout))
	defer cancel()
	context.AfterFunc(bounded, b.GiveUp) // else a full disk could hold connections up for ever
	if serr := srv.Shutdown(bounded); serr != nil && !errors.Is(serr, context.DeadlineExceeded) {
		err = errors.Join(err, serr)
	}
	watch.Close()
	if cerr := b.Close(); cerr != nil {
		err = errors.Join(err, fmt.Errorf("close %s: %w", cfg.DataDir, cerr))
	}
	if err == nil {
		log.Info("stopped")
	}
	return err
}

// wait returns when ctx ends, or a listener fails, with the reason of that. Meanwhile
// SIGHUP reads the configuration again.
func (r *running) wait(ctx context.Context, hangup <-chan os.Signal, served <-chan error) error {
	for {
		select {
		case <-ctx.Done():
			r.log.Info("stopping", "cause", "signal")
			return nil
		case err := <-served:
			return err
		case <-hangup:
			r.told.reloading()
			r.reload()
			r.told.ready("serving")
		}
	}
}

// loadDefinitions imports a file before anybody is let in. A new broker that has users
// and vhosts from there gets no others.
func loadDefinitions(b *broker.Broker, path string, log *slog.Logger) error {
	report, err := definitions.Load(b.ActingFor(audit.Actor{Interface: "boot"}), path)
	if err != nil {
		return fmt.Errorf("the file of --load-definitions cannot be imported: %w; correct the file, or start without it", err)
	}
	for _, warning := range report.Warnings {
		log.Warn("definitions: "+warning, "file", path)
	}
	log.Info("definitions imported", "file", path)
	return nil
}

// openAudit gives a broker its audit log. One that cannot be used is told of and no
// reason not to start.
func openAudit(dir string, b *broker.Broker, log *slog.Logger) *audit.Log {
	trail, err := audit.Open(filepath.Join(dir, "audit"), audit.Options{Logger: log})
	if err != nil {
		log.Error("the audit log cannot be opened; the broker goes on without it and tries again", "err", err)
	}
	b.SetAudit(trail)
	return trail
}

// server are the options of AMQP's server.
func (c *Config) server(log *slog.Logger) amqpd.Options {
	o := amqpd.Options{
		Logger: log, LeveretVersion: version,
		MaxConnections: c.MaxConnections, ChannelMax: c.ChannelMax, FrameMax: uint32(c.FrameMax),
		Heartbeat: time.Duration(c.Heartbeat), HandshakeTimeout: time.Duration(c.HandshakeTimeout),
		MaxConsumers: c.MaxConsumers, MaxTransaction: int64(c.MaxTransaction), MaxMessageSize: uint64(c.MaxMessageSize),
		FrameTimeout: time.Duration(c.FrameTimeout), ConsumerTimeout: time.Duration(c.ConsumerTimeout),
		CertificateUser: certs.Login(c.TLSLoginFrom).Name,
	}
	if o.ConsumerTimeout == 0 {
		o.ConsumerTimeout = -1
	}
	if o.FrameTimeout == 0 {
		o.FrameTimeout = -1
	}
	if o.Heartbeat == 0 {
		o.Heartbeat = -1 // its way to say none
	}
	return o
}

// diskFreeLimit is the limit as broker.Options takes it, where 0 is the default
// and what is negative is none.
func (c *Config) diskFreeLimit() int64 {
	if c.DiskFreeLimit == 0 {
		return -1
	}
	return int64(c.DiskFreeLimit)
}

// memoryLimit is the limit as broker.Options takes it, and the garbage
// collector's: as memory comes close to it, it collects more often. Where the
// environment variable GOMEMLIMIT says less, that stays.
func (c *Config) memoryLimit(log *slog.Logger) int64 {
	limit := int64(c.MemoryLimit.bytes)
	if percent := c.MemoryLimit.percent; percent != 0 {
		total, err := ram.Total()
		if err != nil {
			log.Warn("there is no memory limit, since it is not known how much memory there is; give --memory-limit a size", "err", err)
			return -1
		}
		limit = total / 100 * percent
	}
	collector := limit
	if limit == 0 {
		limit, collector = -1, math.MaxInt64
	}
	if os.Getenv("GOMEMLIMIT") == "" || debug.SetMemoryLimit(-1) > collector {
		debug.SetMemoryLimit(collector)
	}
	return limit
}

// explainListen says what to do about a listener that could not be had.
func explainListen(flag, addr string, err error) error {
	switch {
	case errors.Is(err, syscall.EADDRINUSE):
		return fmt.Errorf("cannot listen on %s: the port is taken, perhaps by another broker; stop that or choose another with %s", addr, flag)
	case errors.Is(err, syscall.EACCES):
		return fmt.Errorf("cannot listen on %s: permission denied; ports below 1024 need a privilege", addr)
	}
	return fmt.Errorf("cannot listen on %s: %w", addr, err)
}

// explainOpen says what to do about a data directory that could not be opened.
func explainOpen(dir string, err error) error {
	var logDamage *wal.CorruptError
	var damage *store.CorruptError
	switch {
	case errors.Is(err, store.ErrForeign):
		return fmt.Errorf("data directory %s is not empty and holds no Leveret data; choose another with --data-dir", dir)
	case errors.Is(err, vfs.ErrLocked):
		return fmt.Errorf("data directory %s is in use by another process; stop that or choose another with --data-dir", dir)
	case errors.Is(err, fs.ErrPermission):
		return fmt.Errorf("data directory %s cannot be used: %w", dir, err)
	case errors.As(err, &logDamage), errors.As(err, &damage):
		return fmt.Errorf("data directory %s is damaged, nothing was changed: %w; restore a backup, or save what can be read into a new directory: leveret log salvage --data-dir %s --to NEWDIR", dir, err, dir)
	}
	return fmt.Errorf("cannot open data directory %s: %w", dir, err)
}
