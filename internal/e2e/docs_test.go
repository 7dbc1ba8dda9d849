package e2e

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"

	"github.com/leveret-mq/leveret/internal/e2e/child"
)

// The commands of the quick start are run as they stand, by a shell, with ports of this
// machine's in place of the usual ones.
func TestTheQuickStartIsTrue(t *testing.T) {
	binary, err := leveret()
	must(t, err)
	dir := t.TempDir()
	must(t, os.Mkdir(filepath.Join(dir, "bin"), 0o755))
	must(t, os.Symlink(binary, filepath.Join(dir, "bin/leveret")))
	amqpAddr, err := child.FreeAddr()
	must(t, err)
	httpAddr, err := child.FreeAddr()
	must(t, err)
	blocks := regexp.MustCompile("(?s)```sh\n(.*?)```").FindAllStringSubmatch(read(t, "docs/quickstart.md"), -1)
	if len(blocks) < 5 {
		t.Fatalf("%d blocks of commands", len(blocks))
	}
	script := "set -eu\n"
	for _, b := range blocks {
		script += b[1]
	}
	script = strings.ReplaceAll(script, "127.0.0.1:15672", httpAddr) + "kill $!\nwait $!\n"
	cmd := exec.Command("sh", "-c", script)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "PATH="+filepath.Join(dir, "bin")+":"+os.Getenv("PATH"), "HOME="+dir,
		"LEVERET_AMQP_ADDR="+amqpAddr, "LEVERET_HTTP_ADDR="+httpAddr, "LEVERET_METRICS_ADDR=127.0.0.1:0",
		"LEVERET_URL=http://"+httpAddr, "LEVERET_AMQP_URL=amqp://guest:guest@"+amqpAddr)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	out, err := cmd.CombinedOutput()
	_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) // the broker, where the script ended early
	for _, want := range []string{"one hare", `"messages":0`, "user.created", "vhost.created", "permission.created", "leveret.toml is in order", "msg=stopped"} {
		if !strings.Contains(string(out), want) {
			t.Errorf("%q is not in what it says", want)
		}
	}
	if err != nil || t.Failed() {
		t.Errorf("%v\n%s\n%s", err, script, out)
	}
}

// What a document names in the tree is there.
func TestDocumentsPointToWhatIsThere(t *testing.T) {
	files, err := filepath.Glob("../../docs/*.md")
	must(t, err)
	files = append(files, "../../README.md", "../../DESIGN.md")
	if len(files) < 8 {
		t.Fatalf("documents: %q", files)
	}
	link := regexp.MustCompile(`\]\(([^)#]+)(?:#[^)]*)?\)`)
	for _, file := range files {
		text, err := os.ReadFile(file)
		must(t, err)
		for _, found := range link.FindAllStringSubmatch(string(text), -1) {
			if strings.Contains(found[1], "://") {
				continue
			}
			if _, err := os.Stat(filepath.Join(filepath.Dir(file), found[1])); err != nil {
				t.Errorf("%s: there is no %s", filepath.Base(file), found[1])
			}
		}
	}
}
