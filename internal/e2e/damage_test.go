package e2e

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// Who reads the broker's refusal of a damaged log and types what it says has a
// broker again, with all but what was in the bad frame.
func TestTheSalvageThatARefusalNamesWorks(t *testing.T) {
	p := startBroker(t, filepath.Join(t.TempDir(), "data"))
	const n = 100
	fillAndCount(t, p.url(), n)
	p.Kill()
	file := largestLog(t, p.dir)
	b, err := os.ReadFile(file)
	must(t, err)
	// A damaged header alone would cost no message: each is proved by its own checksum.
	at := bytes.Index(b, []byte(numbered("kept", n)[n/2]))
	if at < 0 {
		t.Fatalf("%s has not the message in its middle", file)
	}
	b[at] ^= 0x10
	must(t, os.WriteFile(file, b, 0o644))

	_, stderr, status := run(t, nil, serveArgs(p.dir, p.addr)...)
	_, command, ok := strings.Cut(strings.TrimSpace(stderr), ": leveret ")
	if status != 1 || !ok {
		t.Fatalf("status %d, %s", status, stderr)
	}
	saved := filepath.Join(t.TempDir(), "saved")
	args := strings.Fields(strings.Replace(command, "NEWDIR", saved, 1))
	stdout, stderr, status := run(t, nil, args...)
	if status != 0 && status != 1 {
		t.Fatalf("leveret %s: status %d\n%s%s", strings.Join(args, " "), status, stdout, stderr)
	}
	t.Logf("leveret %s: status %d\n%s%s", strings.Join(args, " "), status, stdout, stderr)

	p = startBroker(t, saved)
	q, err := channelTo(t, p.url()).QueueDeclarePassive("kept", true, false, false, false, nil)
	must(t, err)
	if q.Messages < n*9/10 || q.Messages >= n {
		t.Errorf("%d of %d messages were saved", q.Messages, n)
	}
}
