package e2e

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// httpAddr is where the broker's management API is.
func (p *process) httpAddr(t testing.TB) string {
	t.Helper()
	_, rest, ok := strings.Cut(p.ReadyLine(), " http=")
	if !ok {
		t.Fatalf("no HTTP listener in %q", p.ReadyLine())
	}
	addr, _, _ := strings.Cut(rest, " ")
	return addr
}

// operator is somebody with a shell.
type operator struct {
	t   testing.TB
	env []string
	bin string // of the links to the binary
}

// operate makes an operator of a broker.
func operate(t testing.TB, p *process) *operator {
	t.Helper()
	path, err := leveret()
	must(t, err)
	o := &operator{t: t, bin: t.TempDir(), env: []string{"LEVERET_URL=http://" + p.httpAddr(t), "LEVERET_AMQP_URL=amqp://" + p.addr, "TERM=xterm-256color", "NO_COLOR="}}
	for _, name := range []string{"leveret", "rabbitmqctl", "rabbitmq-diagnostics"} {
		must(t, os.Symlink(path, filepath.Join(o.bin, name)))
	}
	o.env = append(o.env, "PATH="+o.bin+":"+os.Getenv("PATH"))
	return o
}

// shell runs a script of bash.
func (o *operator) shell(script string) (stdout, stderr string, status int) {
	o.t.Helper()
	cmd := exec.Command("bash", "-c", script)
	cmd.Env = append(os.Environ(), o.env...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	var out, errs strings.Builder
	cmd.Stdout, cmd.Stderr = &out, &errs
	err := cmd.Run()
	if cmd.ProcessState == nil {
		o.t.Fatal(err)
	}
	return out.String(), errs.String(), cmd.ProcessState.ExitCode()
}

// does expects a script to end well and to print that.
func (o *operator) does(script, want string) {
	o.t.Helper()
	if out, errs, status := o.shell(script); status != 0 || out != want {
		o.t.Errorf("%s: status %d, %s\ngot\n%s\nwant\n%s", script, status, errs, out, want)
	}
}

func TestOperatorsScriptsForRabbitmqctlRun(t *testing.T) {
	o := operate(t, startBroker(t, t.TempDir()))
	o.does(`set -e
rabbitmqctl -q add_vhost shop
echo secret | rabbitmqctl -q add_user app > /dev/null
rabbitmqctl -q set_user_tags app monitoring
rabbitmqctl -q set_permissions -p shop app '.*' '.*' '.*'
rabbitmqctl -q set_policy -p shop bounded '^o' '{"max-length":3,"overflow":"reject-publish"}' --apply-to queues
export LEVERET_VHOST=shop LEVERET_USER=app LEVERET_PASSWORD=secret
leveret queue declare orders > /dev/null
leveret publish --queue orders --count 3 one > /dev/null
leveret publish --queue orders two 2> /dev/null || echo refused $?
unset LEVERET_USER LEVERET_PASSWORD
rabbitmqctl list_queues -q -p shop name messages policy
rabbitmqctl list_users -s
rabbitmqctl list_permissions -p shop --formatter json
rabbitmqctl list_policies -p shop --no-table-headers
rabbitmqctl authenticate_user app wrong 2> /dev/null || echo wrong $?
rabbitmqctl await_startup
rabbitmq-diagnostics -q check_running
rabbitmqctl -q purge_queue -p shop orders 2> /dev/null || echo no permission $?
rabbitmqctl -q set_permissions -p shop guest '.*' '.*' '.*'
rabbitmqctl -q purge_queue -p shop orders
rabbitmqctl -q delete_queue -p shop orders --if-empty
rabbitmqctl -q delete_user app
rabbitmqctl delete_user app 2>&1 || echo gone $?
rabbitmqctl -q delete_vhost shop
rabbitmqctl no_such_command > /dev/null 2>&1 || echo unknown $?
`, `refused 1
name	messages	policy
orders	3	bounded
app	[monitoring]
guest	[administrator]
[
{"user":"app","configure":".*","write":".*","read":".*"}
]
Listing policies for vhost "shop" ...
shop	bounded	^o	queues	{"max-length":3,"overflow":"reject-publish"}	0
Authenticating user "app" ...
wrong 65
RabbitMQ on node leveret@localhost is fully booted and running
no permission 69
Queue was successfully deleted with 0 ready messages
Deleting user "app" ...
Error:
User "app" does not exist
gone 67
unknown 64
`)
}

func TestWhatTheCommandCalledConfirmedOutlivesAKill(t *testing.T) {
	dir := t.TempDir()
	p := startBroker(t, dir)
	o := operate(t, p)
	o.does(`leveret queue declare kept > /dev/null && seq 1000 | leveret publish --queue kept --lines && leveret definitions export | grep -c kept`, "1,000 messages confirmed\n1\n")
	p.Kill()
	if _, errs, status := o.shell("leveret health"); status != 5 || strings.Count(errs, "\n") != 1 {
		t.Errorf("a broker that is gone: status %d, %s", status, errs)
	}
	if _, errs, status := o.shell("rabbitmqctl status"); status != 69 || !strings.Contains(errs, "LEVERET_URL") {
		t.Errorf("a broker that is gone: status %d, %s", status, errs)
	}
	o = operate(t, startBrokerAt(t, dir, p.addr))
	o.does(`leveret health && diff <(seq 1000) <(leveret consume kept --idle 1s) && leveret queue list --columns name,messages`, "ok\nname  messages\nkept  0\n")
}

// A reader that goes away, such as head, leaves in the queue what it did not take.
func TestAConsumerWhoseReaderGoesTakesNoMoreThanItWrote(t *testing.T) {
	o := operate(t, startBroker(t, t.TempDir()))
	o.does(`leveret queue declare q > /dev/null; seq -f 'a line that is long enough to fill a pipe soon %g' 20000 | leveret publish --queue q --lines > /dev/null
leveret consume q --prefetch 10 | head -n 3 > /dev/null
leveret consume q --idle 1s > "$(dirname "$(command -v leveret)")/rest"
tail -n 1 "$(dirname "$(command -v leveret)")/rest"`, "a line that is long enough to fill a pipe soon 20000\n")
	rest, err := os.ReadFile(filepath.Join(o.bin, "rest"))
	must(t, err)
	// 64 KiB of a pipe, and what head read, are what was written.
	if n := strings.Count(string(rest), "\n"); n < 20000-4000 || n > 20000-3 {
		t.Errorf("%d of 20000 lines were left", n)
	}
}

func TestBashCompletesNamesFromTheBroker(t *testing.T) {
	o := operate(t, startBroker(t, t.TempDir()))
	o.does(`leveret queue declare orders > /dev/null; leveret queue declare 'other one' > /dev/null; leveret vhost add v1 > /dev/null
_get_comp_words_by_ref() { cur=${COMP_WORDS[COMP_CWORD]}; prev=${COMP_WORDS[COMP_CWORD-1]}; words=("${COMP_WORDS[@]}"); cword=$COMP_CWORD; }
__ltrim_colon_completions() { :; }
source <(leveret completion bash)
try() { COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); COMP_LINE="$*"; COMP_POINT=${#COMP_LINE}; COMPREPLY=(); COMP_TYPE=9; __start_leveret; printf '%s\n' "${COMPREPLY[@]}"; }
try leveret queue purge or
try leveret queue list --vhost v
try leveret definitions exp`, "orders\nv1\nexport\n")
}

func TestColoursAreForTerminals(t *testing.T) {
	o := operate(t, startBroker(t, t.TempDir()))
	o.does("leveret queue declare q > /dev/null && leveret queue list --columns name | od -c | grep -c 033 || true", "0\n")
	path := filepath.Join(o.bin, "leveret")
	for _, c := range []struct {
		env  []string
		args []string
		want bool
	}{
		{o.env, []string{"queue", "list"}, true},
		{append(o.env, "NO_COLOR=1"), []string{"queue", "list"}, false},
		{append(o.env, "TERM=dumb"), []string{"queue", "list"}, false},
		{o.env, []string{"queue", "list", "--no-color"}, false},
	} {
		p := onTerminal(t, 80, 24, c.env, path, c.args...)
		if status := p.status(); status != 0 {
			t.Fatalf("%q: status %d: %s", c.args, status, p.text())
		}
		p.until("q") // all of it: the name is in the last line
		if got := strings.Contains(p.text(), "\x1b["); got != c.want {
			t.Errorf("%q with %q: colours %v", c.args, c.env, got)
		}
	}
}

// A shell after it would show nothing of what is typed.
func TestAPromptThatIsInterruptedLeavesTheTerminalAsItWas(t *testing.T) {
	o := operate(t, startBroker(t, t.TempDir()))
	for _, args := range [][]string{{"leveret", "user", "add", "ann"}, {"rabbitmqctl", "add_user", "ann"}} {
		p := onTerminal(t, 80, 24, o.env, filepath.Join(o.bin, args[0]), args[1:]...)
		before := p.settings()
		p.until("assword")
		eventually(t, "no echo", patience, func() bool { return p.settings().Lflag&syscall.ECHO == 0 })
		p.typed("s3\x03")
		if status := p.status(); status == 0 || p.settings() != before {
			t.Errorf("%q: status %d, echo %v: %s", args, status, p.settings().Lflag&syscall.ECHO != 0, p.text())
		}
	}
	o.does("leveret user list --json | grep -c ann || true", "0\n")
}

// Whoever may publish chooses what an operator's terminal is given.
func TestMessagesDoNotSteerTheTerminal(t *testing.T) {
	o := operate(t, startBroker(t, t.TempDir()))
	o.does(`leveret queue declare q > /dev/null; printf 'a\033[31mb' | leveret publish --queue q --file - > /dev/null
leveret consume q --count 1 --requeue | od -c | grep -c 033`, "1\n")
	p := onTerminal(t, 80, 24, o.env, filepath.Join(o.bin, "leveret"), "consume", "q", "--count", "1")
	p.until("31mb")
	if status := p.status(); status != 0 || strings.Contains(p.text(), "\x1b[31m") {
		t.Errorf("status %d, %q", status, p.text())
	}
}

func TestAPasswordIsNotShown(t *testing.T) {
	o := operate(t, startBroker(t, t.TempDir()))
	p := onTerminal(t, 80, 24, o.env, filepath.Join(o.bin, "leveret"), "user", "add", "ann", "--tags", "management")
	before := p.settings()
	p.until("New password of ann: ")
	eventually(t, "no echo", patience, func() bool { return p.settings().Lflag&syscall.ECHO == 0 })
	p.typed("s3cret\r")
	p.until("The same again: ")
	eventually(t, "no echo", patience, func() bool { return p.settings().Lflag&syscall.ECHO == 0 })
	p.typed("s3cret\r")
	if status := p.status(); status != 0 || strings.Contains(p.text(), "s3cret") {
		t.Errorf("status %d, %q", status, p.text())
	}
	if p.settings() != before {
		t.Error("the terminal is not as it was")
	}
	o.does("LEVERET_USER=ann LEVERET_PASSWORD=s3cret leveret queue list --json", "[]\n")
	p = onTerminal(t, 80, 24, append(o.env, "LEVERET_USER=ann"), filepath.Join(o.bin, "leveret"), "queue", "list", "--json")
	p.until("Password of ann: ")
	eventually(t, "no echo", patience, func() bool { return p.settings().Lflag&syscall.ECHO == 0 })
	p.typed("s3cret\r")
	if status := p.status(); status != 0 {
		t.Errorf("status %d, %q", status, p.text())
	}
}

func TestTopLeavesTheTerminalAsItWas(t *testing.T) {
	broker := startBroker(t, t.TempDir())
	o := operate(t, broker)
	o.does("leveret queue declare orders > /dev/null", "")
	const enter, leave = "\x1b[?1049h", "\x1b[?1049l"
	start := func() (*terminal, func()) {
		p := onTerminal(t, 100, 20, o.env, filepath.Join(o.bin, "leveret"), "top", "--interval", "500ms")
		before := p.settings()
		p.until(enter)
		p.until("orders")
		if p.settings() == before {
			t.Error("keys need the return key")
		}
		return p, func() {
			t.Helper()
			if status := p.status(); status != 0 || p.settings() != before {
				t.Errorf("status %d, the terminal as it was: %v", status, p.settings() == before)
			}
			p.until(leave)
			if text := p.text(); !strings.HasSuffix(text, leave) {
				t.Errorf("the end is %q", text[max(0, len(text)-40):])
			}
		}
	}

	p, ended := start()
	p.forget()
	p.resize(40, 10)
	p.until("q quit  1-1 of 1 queue  every 500ms  r …") // as much as fits
	p.typed("d")
	p.until("\x1b[7m       READY") // that column is the order now
	o.does("leveret queue declare later > /dev/null", "")
	p.until("later")
	p.typed("q")
	ended()

	p, ended = start()
	must(t, p.cmd.Process.Signal(syscall.SIGTERM))
	ended()

	p, ended = start() // and it outlives the broker
	broker.Kill()
	p.until("is the broker running")
	p.typed("\x03")
	ended()
}

func TestAPublisherThatIsHeldUpIsToldWhy(t *testing.T) {
	o := operate(t, startBroker(t, t.TempDir(), "--disk-free-limit", "1000000TiB"))
	o.does("leveret queue declare q > /dev/null; leveret health", "blocked: low on disk, publishers are held up\n")
	p := onTerminal(t, 100, 20, o.env, "bash", "-c", "yes | leveret publish --queue q --lines")
	p.until("the broker holds publishers up (low on disk); waiting")
	p.typed("\x03")
	p.status()
}
