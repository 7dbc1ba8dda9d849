package main

import (
	"bytes"
	"crypto/x509"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/spf13/pflag"

	"github.com/leveret-mq/leveret/internal/certs/certtest"
)

// write makes a file in a folder of the test's.
func write(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "leveret.toml")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// check runs `leveret config check` on a text.
func check(t *testing.T, text string) (out string, problems []string, err error) {
	t.Helper()
	var told, wrong bytes.Buffer
	path := write(t, text)
	err = checkConfig(&told, &wrong, path)
	for line := range strings.Lines(wrong.String()) {
		problems = append(problems, strings.ReplaceAll(strings.TrimSpace(line), path, "FILE"))
	}
	return strings.ReplaceAll(told.String(), path, "FILE"), problems, err
}

func TestTheExampleIsAcceptedAsItIsAndWithEachLineInUse(t *testing.T) {
	example := exampleConfig()
	inUse := regexp.MustCompile(`(?m)^#([a-z-]+ = )`).ReplaceAllString(example, "$1")
	for name, text := range map[string]string{"as it is": example, "in use": inUse} {
		out, problems, err := check(t, text)
		if err != nil || out != "FILE is in order\n" {
			t.Errorf("%s: %v %q %s", name, err, problems, out)
		}
		cfg := defaultConfig()
		if err := readFile(cfg.flags(), write(t, text), origins{}); err != nil || cfg != defaultConfig() {
			t.Errorf("%s: %v; it does not say what the defaults are: %+v", name, err, cfg)
		}
	}
	// Each option is there, with what it is for, and no line is too long to read.
	cfg := defaultConfig()
	cfg.flags().VisitAll(func(f *pflag.Flag) {
		if there := strings.Contains(example, "\n#"+f.Name+" = "); there == f.Hidden {
			t.Errorf("%s is there: %t", f.Name, there)
		}
	})
	for line := range strings.Lines(example) {
		if len(line) > 81 {
			t.Errorf("%d bytes: %s", len(line), line)
		}
	}
	for option := range headings {
		if f := cfg.flags().Lookup(option); f == nil || f.Hidden {
			t.Errorf("the heading of %s stands nowhere", option)
		}
	}
}

func TestAllMistakesAreToldAtOnceWithTheirLinesAndKeys(t *testing.T) {
	_, problems, err := check(t, `# a comment
data_dir = "/x"
log-level = 5

heartbeat = 10
frame-max = "lots"
max-connections = "many"
memory-limit = true
default-pass = 4711
[tls]
cert = "x"
`)
	want := []string{
		`configuration FILE, line 2: unknown key "data_dir"; is "data-dir" meant?`,
		`configuration FILE, line 3: log-level = 5: want a text in quotation marks`,
		`configuration FILE, line 5: heartbeat = 10: it has no unit: write "10" with one, as in "10s"`,
		`configuration FILE, line 6: frame-max = lots: "lots" is not a size: write bytes, or a number with KB, MB, GB, KiB, MiB or GiB`,
		`configuration FILE, line 7: max-connections = many: want a whole number`,
		`configuration FILE, line 8: memory-limit = true: want a number of bytes, or a text such as "64MiB"`,
		`configuration FILE, line 9: default-pass = …: want a text in quotation marks`,
		`configuration FILE, line 10: unknown key "tls"; ` + "`leveret config example` shows those that there are",
	}
	if !slices.Equal(problems, want) {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(problems, "\n"), strings.Join(want, "\n"))
	}
	if err == nil || !strings.HasSuffix(err.Error(), "cannot be used: 8 mistakes") {
		t.Errorf("%v", err)
	}
	// Values that are of their kind and make no sense.
	_, problems, err = check(t, "\namqp-addr = \"here\"\nlog-level = \"loud\"\n\nchannel-max = 0\nmax-message-size = \"1TB\"\ntls-cert = \"c\"\n")
	want = []string{
		`configuration FILE, line 2: amqp-addr "here" is not HOST:PORT: address here: missing port in address`,
		`--tls-key is not given: TLS needs both`,
		`configuration FILE, line 3: log-level "loud" is none of debug, info, warn, error`,
		`configuration FILE, line 6: max-message-size `,
		`configuration FILE, line 5: channel-max 0 lets no client do anything: give it at least 1, at most 65535`,
	}
	slices.Sort(problems)
	slices.Sort(want)
	for i, w := range want {
		if i >= len(problems) || !strings.HasPrefix(problems[i], w) {
			t.Errorf("got\n%s\nwant\n%s", strings.Join(problems, "\n"), strings.Join(want, "\n"))
			break
		}
	}
	if err == nil {
		t.Error("it is taken")
	}
	// Of both sorts.
	if _, problems, _ = check(t, "bogus = 1\nheartbeat = \"x\"\nlog-level = \"loud\"\n"); len(problems) != 3 || !strings.Contains(problems[2], `line 3: log-level "loud" is none of`) {
		t.Errorf("%q", problems)
	}
	// What is no TOML.
	for text, want := range map[string]string{
		"data-dir = \n":          "configuration FILE, line 1, column",
		"x = 1\nx = 2\n":         "configuration FILE, line 2",
		"log-level = \"info\n\"": "configuration FILE, line 1",
	} {
		if _, problems, err := check(t, text); err == nil || len(problems) != 1 || !strings.HasPrefix(problems[0], want) {
			t.Errorf("%q: %q, want %s", text, problems, want)
		}
	}
	for _, args := range [][]string{{"config", "check", write(t, "x = 1")}, {"config", "check"}, {"config", "check", "/none"}, {"config", "example", "x"}} {
		if code := run(args); code != exitUsage {
			t.Errorf("%q ends with %d", args, code)
		}
	}
	if code := run([]string{"config", "check", write(t, "")}); code != 0 {
		t.Errorf("an empty file ends with %d", code)
	}
}

func TestTheFilesThatAConfigurationNamesAreLookedAt(t *testing.T) {
	dir := t.TempDir()
	ca := certtest.NewAuthority(t, "authority")
	lasting := func(d time.Duration) certtest.Pair {
		return ca.Sign(&x509.Certificate{NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(d), DNSNames: []string{"localhost"}})
	}
	cert, key := lasting(1000*time.Hour).Write(t, dir, "server")
	_, other := ca.Server().Write(t, dir, "other")
	quote := func(option, path string) string { return option + " = '" + path + "'\n" }
	good := quote("tls-cert", cert) + quote("tls-key", key)
	if out, problems, err := check(t, good); err != nil || out != "FILE is in order\n" {
		t.Errorf("%v %q %s", err, problems, out)
	}
	soonCert, soonKey := lasting(48*time.Hour).Write(t, dir, "soon")
	if out, problems, err := check(t, quote("tls-cert", soonCert)+quote("tls-key", soonKey)); err != nil || !strings.Contains(out, "warning: the certificate "+soonCert+" ends soon") {
		t.Errorf("%v %q %s", err, problems, out)
	}
	for text, want := range map[string]string{
		quote("tls-cert", cert) + quote("tls-key", other):                                "line 1: tls-cert cannot be used: certificate " + cert,
		quote("tls-cert", cert+"x") + quote("tls-key", key):                              "no such file",
		good + "tls-verify = 'required'\n" + quote("tls-ca", filepath.Join(dir, "none")): "no such file",
		quote("load-definitions", cert):                                                  "line 1: load-definitions cannot be used: " + cert,
		quote("load-definitions", "/none"):                                               "no such file",
		good + "tls-verify = 'required'\n":                                               "line 3: tls-verify required: clients' certificates are required",
	} {
		if _, problems, err := check(t, text); err == nil || len(problems) != 1 || !strings.Contains(problems[0], want) {
			t.Errorf("%q, want %s", problems, want)
		}
	}
}

func TestMistakesNameWhereTheyComeFrom(t *testing.T) {
	t.Setenv("LEVERET_CHANNEL_MAX", "0")
	file := write(t, "\nheartbeat = \"1ms\"\n")
	_, err := resolve(t, "--config", file, "--log-level", "loud")
	for _, want := range []string{
		"environment variable LEVERET_CHANNEL_MAX 0 lets no client", "--log-level \"loud\" is none of", "configuration " + file + ", line 2: heartbeat 1ms is under a second",
	} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v\nwant %s in it", err, want)
		}
	}
}
