package e2e

import (
	"fmt"
	"os/exec"
	"slices"
	"strings"
	"testing"

	amqp "github.com/rabbitmq/amqp091-go"
)

// Debian's amqp-tools: rabbitmq-c, the client under PHP's and many others.

// tool starts one of amqp-tools.
func tool(t testing.TB, stdin, name string, args ...string) *program {
	t.Helper()
	url := brokerURL(t)
	path, err := exec.LookPath(name)
	if err != nil {
		t.Fatalf("amqp-tools are missing, run ./install-clients (apt-get install amqp-tools): %v", err)
	}
	return spawn(t, stdin, path, append([]string{"--url=" + strings.TrimSuffix(url, "/")}, args...)...)
}

func TestClientToolsPublishGetConsume(t *testing.T) {
	queue := queueName(t, "tools")
	if got := tool(t, "", "amqp-declare-queue", "--durable", "--queue="+queue).finish(t); !slices.Equal(got, []string{queue}) {
		t.Errorf("amqp-declare-queue printed %q", got)
	}
	tool(t, "", "amqp-publish", "--routing-key="+queue, "--persistent", "--body=by argument").finish(t)
	tool(t, "line one\nline two\n", "amqp-publish", "--routing-key="+queue, "--line-buffered", "--header=colour: red").finish(t)
	ready(t, channel(t), queue, 3)

	if got := tool(t, "", "amqp-get", "--queue="+queue).finish(t); !slices.Equal(got, []string{"by argument"}) {
		t.Errorf("amqp-get printed %q", got)
	}
	d := get(t, channel(t), queue)
	if string(d.Body) != "line one\n" && string(d.Body) != "line one" || d.Headers["colour"] != "red" {
		t.Errorf("got %q with %v", d.Body, d.Headers)
	}
	// That one goes back when the test's connection ends; here it is still held.
	if got := tool(t, "", "amqp-consume", "--queue="+queue, "--count=1", "cat").finish(t); !slices.Equal(got, []string{"line two"}) {
		t.Errorf("amqp-consume printed %q", got)
	}
	must(t, d.Ack(false))
	empty := tool(t, "", "amqp-get", "--queue="+queue)
	empty.fail(t) // its status for "nothing there"

	got := tool(t, "", "amqp-delete-queue", "--queue="+queue, "--if-empty").finish(t)
	if !slices.Equal(got, []string{"0"}) {
		t.Errorf("amqp-delete-queue printed %q", got)
	}
}

func TestClientToolsConsumeFromAnExchangeUntilTheCount(t *testing.T) {
	ch := channel(t)
	ex := exchange(t, ch, "tools", "topic", nil)
	const n = 50
	consumer := tool(t, "", "amqp-consume", "--exchange="+ex, "--routing-key=a.#", "--exclusive", "--prefetch-count=3", fmt.Sprintf("--count=%d", n), "cat")
	// The tool does not say when it is ready, so it is asked until somebody listens.
	returned := ch.NotifyReturn(make(chan amqp.Return, 1))
	must(t, ch.Confirm(false))
	eventually(t, "amqp-consume to bind its queue", patience, func() bool {
		c, err := ch.PublishWithDeferredConfirm(ex, "a.probe", true, false, text("1\n"))
		must(t, err)
		settled(t, c)
		select {
		case <-returned:
			return false
		default:
			return true
		}
	})
	for i := 2; i <= n; i++ {
		publish(t, ch, ex, "a.more", text(fmt.Sprintf("%d\n", i)))
	}
	got := consumer.finish(t)
	for i := range n {
		if i >= len(got) || got[i] != fmt.Sprint(i+1) {
			t.Fatalf("amqp-consume printed %q", got)
		}
	}
}

func TestClientToolsTellAnError(t *testing.T) {
	stderr := tool(t, "", "amqp-get", "--queue=e2e.nowhere").fail(t)
	if !strings.Contains(stderr, "404") || !strings.Contains(stderr, "NOT_FOUND - no queue 'e2e.nowhere' in vhost '/'") {
		t.Errorf("amqp-get said %q", stderr)
	}
}
