package main

import (
	"log/slog"
	"math"
	"os"
	"path/filepath"
	"runtime/debug"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/spf13/cobra"

	"github.com/leveret-mq/leveret/internal/ram"
)

// resolve runs `leveret serve` with args up to the point where the
// configuration is known.
func resolve(t *testing.T, args ...string) (Config, error) {
	t.Helper()
	var cfg Config
	var file string
	flags := defaultConfig()
	cmd := &cobra.Command{Use: "serve", SilenceErrors: true, SilenceUsage: true, RunE: func(cmd *cobra.Command, _ []string) (err error) {
		cfg, err = load(cmd, file)
		return err
	}}
	flags.bind(cmd.Flags())
	cmd.Flags().StringVar(&file, "config", "", "")
	cmd.SetArgs(args)
	return cfg, cmd.Execute()
}

func TestFlagsComeBeforeEnvironmentBeforeFileBeforeDefaults(t *testing.T) {
	file := filepath.Join(t.TempDir(), "leveret.toml")
	text := "data-dir = \"from-file\"\namqp-addr = \"127.0.0.1:1\"\nlog-level = \"warn\"\nshutdown-timeout = \"3s\"\ndisk-free-limit = \"2GB\"\nmemory-limit = \"25%\"\n"
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv("LEVERET_AMQP_ADDR", "127.0.0.1:2")
	t.Setenv("LEVERET_LOG_LEVEL", "error")
	cfg, err := resolve(t, "--config", file, "--log-level", "debug")
	if err != nil {
		t.Fatal(err)
	}
	want := defaultConfig()
	want.DataDir, want.AMQPAddr, want.LogLevel, want.ShutdownTimeout = "from-file", "127.0.0.1:2", "debug", duration(3*time.Second)
	want.DiskFreeLimit = 2e9
	want.MemoryLimit = share{percent: 25}
	if cfg != want {
		t.Errorf("got %+v, want %+v", cfg, want)
	}
}

func TestLoopbackUsersAreAList(t *testing.T) {
	for text, want := range map[string][]string{"": {}, "guest": {"guest"}, " a, b,": {"a", "b"}} {
		if got := (&Config{LoopbackUsers: text}).loopbackUsers(); got == nil || !slices.Equal(got, want) {
			t.Errorf("%q is %q", text, got)
		}
	}
	if got := defaultConfig(); !slices.Equal(got.loopbackUsers(), []string{"guest"}) {
		t.Errorf("the default is %q", got.LoopbackUsers)
	}
}

func TestBadConfigurationIsOneClearLine(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	for name, c := range map[string]struct {
		args []string
		want string
	}{
		"unknown key":   {[]string{"--config", write("a.toml", "\nspeed = 11\n")}, "line 2: unknown key \"speed\"; `leveret config example` shows"},
		"wrong type":    {[]string{"--config", write("b.toml", "wal-file-size = \"big\"\n")}, "line 1: wal-file-size = big: want a whole number"},
		"no such file":  {[]string{"--config", filepath.Join(dir, "missing.toml")}, "no such file"},
		"no port":       {[]string{"--amqp-addr", "localhost"}, "not HOST:PORT"},
		"http no port":  {[]string{"--http-addr", "localhost"}, "--http-addr \"localhost\" is not HOST:PORT"},
		"metrics":       {[]string{"--metrics-addr", "localhost"}, "--metrics-addr \"localhost\" is not HOST:PORT"},
		"no password":   {[]string{"--default-user", "admin"}, "--default-user admin has no password"},
		"log level":     {[]string{"--log-level", "loud"}, "none of debug, info, warn, error"},
		"empty dir":     {[]string{"--data-dir", ""}, "--data-dir is empty"},
		"no size":       {[]string{"--disk-free-limit", "much"}, "not a size"},
		"no share":      {[]string{"--memory-limit", "half"}, "not a size: write a percentage"},
		"all and more":  {[]string{"--memory-limit", "101%"}, "not between 1% and 100%"},
		"no percent":    {[]string{"--memory-limit", "40"}, "less than any broker needs"},
		"no unit":       {[]string{"--config", write("c.toml", "shutdown-timeout = 5\n")}, "line 1: shutdown-timeout = 5: it has no unit: write \"5\" with one"},
		"too large":     {[]string{"--max-message-size", "513MiB"}, "not between"},
		"nothing fits":  {[]string{"--max-message-size", "0"}, "not between"},
		"no channel":    {[]string{"--channel-max", "0"}, "--channel-max 0 lets no client do anything"},
		"small frames":  {[]string{"--frame-max", "4095"}, "--frame-max 4095 is not between"},
		"quick hearts":  {[]string{"--heartbeat", "100ms"}, "--heartbeat 100ms is under a second"},
		"slow hearts":   {[]string{"--heartbeat", "20h"}, "--heartbeat 20h is not between"},
		"no time":       {[]string{"--handshake-timeout", "0s"}, "--handshake-timeout 0s is no time to log in"},
		"slow frames":   {[]string{"--frame-timeout", "-1s"}, "--frame-timeout -1s is negative"},
		"no clients":    {[]string{"--max-connections", "-1"}, "--max-connections -1 is negative"},
		"no room":       {[]string{"--max-transaction-size", "0"}, "leaves no room"},
		"no unit there": {[]string{"--config", write("d.toml", "heartbeat = 5\n")}, "heartbeat = 5: it has no unit"},
		"negative size": {[]string{"--wal-file-size", "-1"}, "negative"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := resolve(t, c.args...)
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Fatalf("got %v, want something with %q", err, c.want)
			}
		})
	}
}

func TestExitCodes(t *testing.T) {
	for _, c := range []struct {
		args string
		want int
	}{
		{"version", 0},
		{"--version", 0},
		{"--help", 0},
		{"serve --no-such-flag", exitUsage},
		{"serve surplus", exitUsage},
		{"nonsense", exitUsage},
		{"serve --log-level loud", exitUsage},
		{"log stat --top -1", exitUsage},
	} {
		if got := run(strings.Fields(c.args)); got != c.want {
			t.Errorf("leveret %s: exit code %d, want %d", c.args, got, c.want)
		}
	}
}

func TestTheMemoryLimitIsAShareOrASize(t *testing.T) {
	for text, want := range map[string]share{
		"40%": {percent: 40}, " 100 % ": {percent: 100}, "0": {}, "2GiB": {bytes: 2 << 30},
	} {
		var got share
		if err := got.Set(text); err != nil || got != want {
			t.Errorf("%q is %+v (%v), want %+v", text, got, err, want)
		}
		again := share{percent: 3, bytes: 5}
		if err := again.Set(got.String()); err != nil || again.String() != got.String() {
			t.Errorf("%q is written %q, which is %+v (%v)", text, got.String(), again, err)
		}
	}
	for _, text := range []string{"", "%", "0%", "-1%", "40.5%", "GB"} {
		var got share
		if err := got.Set(text); err == nil {
			t.Errorf("%q was taken as %+v", text, got)
		}
	}
	before := debug.SetMemoryLimit(-1)
	defer debug.SetMemoryLimit(before)
	log := slog.New(slog.DiscardHandler)
	total, err := ram.Total()
	if err != nil {
		t.Fatal(err)
	}
	for text, want := range map[string]int64{"0": -1, "50%": total / 100 * 50, "128MiB": 128 << 20} {
		debug.SetMemoryLimit(math.MaxInt64)
		var c Config
		if err := c.MemoryLimit.Set(text); err != nil {
			t.Fatal(err)
		}
		got := c.memoryLimit(log)
		collector := debug.SetMemoryLimit(-1)
		if got != want || want > 0 && collector != want || want < 0 && collector != math.MaxInt64 {
			t.Errorf("%s: %d, want %d; the collector has %d", text, got, want, collector)
		}
	}
	t.Setenv("GOMEMLIMIT", "100MiB")
	debug.SetMemoryLimit(100 << 20)
	if c := (Config{MemoryLimit: share{bytes: 1 << 30}}); c.memoryLimit(log) != 1<<30 || debug.SetMemoryLimit(-1) != 100<<20 {
		t.Error("what GOMEMLIMIT says was raised")
	}
}

func TestSizesHaveUnits(t *testing.T) {
	for text, want := range map[string]size{
		"0": 0, "512": 512, "50MB": 50e6, "1 GiB": 1 << 30, "2gb": 2e9, "4K": 4096, "1TiB": 1 << 40,
	} {
		var got size
		if err := got.Set(text); err != nil || got != want {
			t.Errorf("%q is %d (%v), want %d", text, got, err, want)
		}
	}
	for _, text := range []string{"", "GB", "-1", "1.5GB", "1XB", "9999999TB"} {
		var got size
		if err := got.Set(text); err == nil {
			t.Errorf("%q was taken as %d", text, got)
		}
	}
}
