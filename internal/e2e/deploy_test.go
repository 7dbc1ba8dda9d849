package e2e

import (
	"debug/elf"
	"encoding/json"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/leveret-mq/leveret/internal/e2e/child"
)

// read is a file of the tree.
func read(t *testing.T, name string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("../..", name))
	must(t, err)
	return string(text)
}

func TestTheUnitIsInOrder(t *testing.T) {
	binary, err := leveret()
	must(t, err)
	dir := t.TempDir()
	unit := strings.ReplaceAll(read(t, "deploy/systemd/leveret.service"), "/usr/bin/leveret", binary)
	path := filepath.Join(dir, "leveret.service")
	must(t, os.WriteFile(path, []byte(unit), 0o644))
	if out, err := exec.Command("systemd-analyze", "verify", path).CombinedOutput(); err != nil || len(out) > 0 {
		t.Errorf("systemd-analyze verify: %v\n%s", err, out)
	}
	// 10 is a service that may do everything; under 2 is what systemd calls well confined.
	if out, err := exec.Command("systemd-analyze", "security", "--offline=true", "--threshold=20", path).CombinedOutput(); err != nil {
		t.Errorf("systemd-analyze security: %v\n%s", err, out)
	}
	start := regexp.MustCompile(`(?m)^ExecStart=\S+ (.*)$`).FindStringSubmatch(unit)
	if start == nil {
		t.Fatal("nothing is started")
	}
	help, _, _ := run(t, nil, "serve", "--help")
	for _, word := range strings.Fields(start[1]) {
		if strings.HasPrefix(word, "--") && !strings.Contains(help, word+" ") {
			t.Errorf("there is no option %s", word)
		}
	}
}

// image is the tree of files of the last stage of the Dockerfile, and what it says of
// how to run it.
type image struct {
	root        string
	env         []string
	uid         uint32
	start, well []string
}

func buildImage(t *testing.T) image {
	t.Helper()
	stages := strings.Split(read(t, "Dockerfile"), "\nFROM ")
	last := stages[len(stages)-1]
	if !strings.HasPrefix(last, "scratch\n") || len(stages) != 4 {
		t.Fatalf("there is more in the image than what is copied: FROM %s", last)
	}
	im := image{root: t.TempDir(), uid: 10001}
	must(t, os.Chmod(im.root, 0o755))
	must(t, os.Chmod(filepath.Dir(im.root), 0o755))
	must(t, os.Mkdir(filepath.Join(im.root, "bin"), 0o755))
	must(t, os.Mkdir(filepath.Join(im.root, "data"), 0o700))
	must(t, os.Chown(filepath.Join(im.root, "data"), 10001, 10001))
	cmd := exec.Command("go", "build", "-trimpath", "-o", filepath.Join(im.root, "bin/leveret"), "./cmd/leveret")
	cmd.Dir, cmd.Env = "../..", append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	if !strings.Contains(last, "USER 10001:10001\n") || !strings.Contains(last, "--chown=10001:10001 /out/data /data\n") {
		t.Error("another user than this test's")
	}
	words := func(instruction string) (list []string) {
		found := regexp.MustCompile(`(?m)^` + instruction + ` (?:.* CMD )?(\[.*\])$`).FindStringSubmatch(last)
		if found == nil {
			t.Fatalf("there is no %s", instruction)
		}
		must(t, json.Unmarshal([]byte(found[1]), &list))
		return list
	}
	im.start, im.well = append(words("ENTRYPOINT"), words("CMD")...), words("HEALTHCHECK")
	env := regexp.MustCompile(`(?s)\nENV (.*?[^\\])\n`).FindStringSubmatch(last)
	im.env = strings.Fields(strings.ReplaceAll(env[1], "\\\n", " "))
	return im
}

// command is one in the image, as a container would run it, but with the ports of this
// machine.
func (im image) command(env []string, args ...string) *exec.Cmd {
	cmd := exec.Command(args[0], args[1:]...)
	cmd.Path = args[0]
	cmd.Dir = "/"
	cmd.Env = append(slices.Clone(im.env), env...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Chroot: im.root, Pdeathsig: syscall.SIGKILL, Credential: &syscall.Credential{Uid: im.uid, Gid: im.uid}}
	return cmd
}

// The stages of the Dockerfile by hand: the binary is static, and runs as an ordinary
// user where there is nothing but it.
func TestTheContainersBinaryNeedsNothingElse(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("only root may change the root directory")
	}
	im := buildImage(t)
	f, err := elf.Open(filepath.Join(im.root, "bin/leveret"))
	must(t, err)
	defer f.Close()
	if libraries, err := f.ImportedLibraries(); err != nil || len(libraries) > 0 || f.Section(".interp") != nil {
		t.Errorf("it is not static: %v %q", err, libraries)
	}
	amqpAddr, err := child.FreeAddr()
	must(t, err)
	httpAddr, err := child.FreeAddr()
	must(t, err)
	ports := []string{"LEVERET_AMQP_ADDR=" + amqpAddr, "LEVERET_HTTP_ADDR=" + httpAddr, "LEVERET_METRICS_ADDR=127.0.0.1:0",
		"LEVERET_DEFAULT_USER=admin", "LEVERET_DEFAULT_PASS=secret", "LEVERET_URL=http://" + httpAddr}
	status := func() int {
		cmd := im.command(ports, im.well...)
		_ = cmd.Run()
		return cmd.ProcessState.ExitCode()
	}
	if code := status(); code == 0 {
		t.Error("it is healthy before it runs")
	}
	p := &process{cmd: im.command(ports, im.start...), dir: "/data", addr: amqpAddr}
	must(t, p.start())
	t.Cleanup(p.Kill)
	must(t, p.awaitReady())
	if code := status(); code != 0 {
		t.Errorf("the health check ends with %d", code)
	}
	conn := dialTo(t, strings.Replace(p.url(), "guest:guest", "admin:secret", 1))
	ch := confirming(t, conn)
	if !confirmed(t, ch, "", durableQueue(t, ch, "contained", nil), text("x")) {
		t.Error("the message was not taken")
	}
	if names, err := os.ReadDir(filepath.Join(im.root, "data")); err != nil || len(names) == 0 {
		t.Errorf("nothing is in the volume: %v", err)
	}
	for _, dir := range []string{"tmp", "etc", "proc"} {
		if _, err := os.Stat(filepath.Join(im.root, dir)); err == nil {
			t.Errorf("it has made /%s", dir)
		}
	}
	conn.Close()
	if code, err := p.Terminate(); err != nil || code != 0 {
		t.Errorf("it ends with %d: %v", code, err)
	}
}

// What the build stages copy is all that the binary is made of.
func TestTheContainersBuildHasAllThatItNeeds(t *testing.T) {
	ignore := strings.Split(read(t, ".dockerignore"), "\n")
	cmd := exec.Command("go", "list", "-deps", "-f", "{{if .Module}}{{if .Module.Main}}{{.ImportPath}}{{end}}{{end}}", "./cmd/leveret")
	cmd.Dir, cmd.Stderr = "../..", io.Discard
	out, err := cmd.Output()
	must(t, err)
	packages := strings.Fields(string(out))
	if len(packages) < 20 {
		t.Fatalf("packages: %q", packages)
	}
	for _, path := range packages {
		dir, _, _ := strings.Cut(strings.TrimPrefix(path, "github.com/leveret-mq/leveret/"), "/")
		if !slices.Contains(ignore, "!"+dir) {
			t.Errorf("%s is not copied: .dockerignore lacks !%s", path, dir)
		}
	}
}
