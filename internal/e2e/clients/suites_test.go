package clients

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// notForLeveret are the tests of amqp091-go's suite that are left out, with the reason.
var notForLeveret = map[string]string{
	"TestConnection_Close_WhenMemoryAlarmIsActive":  "raises a memory alarm with rabbitmqctl",
	"Test.*DispatchDropsNotificationOnFullListener": "need no broker, and five seconds each",
	"TestNotifyClosesAllChansAfterConnectionClose":  "needs no broker, and fails where its goroutine waits a millisecond for a processor",
}

// TestClientSuiteOfAMQP091 runs the tests that come with amqp091-go's module, which the
// library's authors run against RabbitMQ.
func TestClientSuiteOfAMQP091(t *testing.T) {
	t.Parallel()
	url := brokerURL(t)
	module, err := exec.Command("go", "list", "-m", "-f", "{{.Dir}}", "github.com/rabbitmq/amqp091-go").Output()
	must(t, err)
	// The module cache is read-only, and a module there is no main module.
	dir := filepath.Join(t.TempDir(), "amqp091-go")
	must(t, os.CopyFS(dir, os.DirFS(strings.TrimSpace(string(module)))))

	useManagement(t, dir)

	var skip []string
	for pattern := range notForLeveret {
		skip = append(skip, pattern)
	}
	slices.Sort(skip)
	cmd := exec.Command("go", "test", "-v", "-count=1", "-tags=integration", "-skip=^("+strings.Join(skip, "|")+")$", ".")
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "GOFLAGS=-mod=readonly", "AMQP_URL="+url)
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Errorf("go test of amqp091-go: %v\n%s", err, failures(string(out)))
	}
	passed := len(regexp.MustCompile(`(?m)^--- PASS`).FindAll(out, -1))
	if skipped := regexp.MustCompile(`(?m)^--- SKIP.*$`).FindAllString(string(out), -1); passed < 200 || skipped != nil {
		t.Errorf("%d tests passed, want the suite's more than 200; skipped %q, want none", passed, skipped)
	}
}

// useManagement replaces the address of RabbitMQ's management API, by which the suite
// finds connections and cuts them, with the broker's.
func useManagement(t *testing.T, dir string) {
	t.Helper()
	path := filepath.Join(dir, "internal", "utils", "http.go")
	text, err := os.ReadFile(path)
	must(t, err)
	changed := string(text)
	for _, theirs := range []string{`"http://localhost:15672/`, `"http://localhost:"+port+"/`} {
		changed = strings.ReplaceAll(changed, theirs, `"`+management(t)+`/`)
	}
	if strings.Contains(changed, "localhost") || strings.Count(changed, management(t)) != 2 {
		t.Fatalf("%s does not name the management API where it did", path)
	}
	must(t, os.WriteFile(path, []byte(changed), 0o644))
}

// failures is what go test printed of the tests that failed, with some lines after each.
func failures(out string) string {
	lines := strings.Split(out, "\n")
	keep := make([]bool, len(lines))
	for i, line := range lines {
		if strings.Contains(line, "--- FAIL") || strings.Contains(line, "_test.go:") || strings.Contains(line, "panic") {
			for j := max(0, i-5); j < min(len(lines), i+3); j++ {
				keep[j] = true
			}
		}
	}
	var kept []string
	for i, line := range lines {
		if keep[i] {
			kept = append(kept, line)
		}
	}
	return strings.Join(append(kept, lines[max(0, len(lines)-10):]...), "\n")
}
