package conformance

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
)

// Results are outcomes by case, as they are kept of a run against RabbitMQ.
type Results struct {
	Peer string // "RabbitMQ 3.10.8"
	By   map[string]Status
}

// ParseResults reads what Results.Text wrote.
func ParseResults(text string) (Results, error) {
	r := Results{By: map[string]Status{}}
	for n, line := range strings.Split(strings.TrimSpace(text), "\n") {
		if n == 0 {
			r.Peer = line
			continue
		}
		id, status, ok := strings.Cut(line, "\t")
		switch s := Status(status); {
		case !ok || s != Passed && s != Failed && s != NotRun:
			return Results{}, fmt.Errorf("line %d: %q is no result", n+1, line)
		default:
			r.By[id] = s
		}
	}
	return r, nil
}

// Text writes the results, a line each, in the order of the cases.
func (r Results) Text() string {
	var b strings.Builder
	fmt.Fprintln(&b, r.Peer)
	for _, c := range Cases() {
		if s, ok := r.By[c.ID()]; ok {
			fmt.Fprintf(&b, "%s\t%s\n", c.ID(), s)
		}
	}
	return b.String()
}

// Page makes docs/compatibility.md of both brokers' results.
func Page(rabbitmq, leveret Results) []byte {
	var b bytes.Buffer
	b.WriteString(pageHead)
	fmt.Fprintf(&b, "| | case | %s | Leveret |\n|---|---|---|---|\n", rabbitmq.Peer)
	last := ""
	var notes []note
	for _, c := range Cases() {
		label := c.Behaviour
		if label == last {
			label = ""
		} else if title := Behaviours[c.Behaviour]; title != "" {
			fmt.Fprintf(&b, "| **%s** | **%s** | | |\n", label, title)
			label = ""
		}
		last = c.Behaviour
		theirs := mark(rabbitmq.By[c.ID()])
		if c.Plus != "" {
			i := slices.IndexFunc(notes, func(n note) bool { return n.text == c.Plus })
			if i < 0 {
				i = len(notes)
				notes = append(notes, note{c.Behaviour, c.Plus})
			}
			theirs += fmt.Sprintf(" [+%d](#where-leveret-does-better)", i+1)
		}
		fmt.Fprintf(&b, "| %s | %s | %s | %s |\n", label, c.Name, theirs, mark(leveret.By[c.ID()]))
	}
	b.WriteString("\n## Where Leveret does better\n\nWhat RabbitMQ does in the cases marked +, by design or by its version:\n\n")
	for i, n := range notes {
		fmt.Fprintf(&b, "%d. (%s) %s\n", i+1, n.behaviour, sentence(n.text))
	}
	b.WriteString(pageTail)
	return b.Bytes()
}

// note is what stands behind a +.
type note struct{ behaviour, text string }

// sentence gives a text a full stop and a capital.
func sentence(s string) string {
	return strings.ToUpper(s[:1]) + strings.TrimSuffix(s[1:], ".") + "."
}

func mark(s Status) string {
	switch s {
	case Passed:
		return "✓"
	case Failed:
		return "✗"
	case NotRun:
		return "not run"
	}
	return "–"
}

const pageHead = `# Compatibility with RabbitMQ

What applications written for RabbitMQ's AMQP 0-9-1 expect of a broker, case by case, as
run against RabbitMQ and against Leveret by the [conformance suite](../conformance/doc.go).
This page is written by the run; do not edit it.

	make conformance                 # Leveret; writes this page
	make conformance PEER=rabbitmq   # Debian's RabbitMQ, on ports of its own

To run the suite against any broker: ` + "`go run ./conformance/cmd/conformance -url amqp://…`" + `

✓ passes · ✗ does not · "not run" says that the broker lacks what the case needs (such as a
plugin that RabbitMQ does not ship with).

`

const pageTail = `
## What Leveret does not do

- Protocols other than AMQP 0-9-1: no AMQP 1.0, no MQTT, no STOMP, no WebSockets of them, no
  stream protocol, no AMQP 0-8 or 0-9.
- Streams: declaring a queue with ` + "`x-queue-type: stream`" + ` is answered with 540 NOT_IMPLEMENTED.
- Clustering, federation, shovels: one node. ` + "`quorum`" + ` is a durable queue with the quorum
  queue's behaviour towards clients (delivery limits, dead lettering at least once), on
  one node's disk.
- Erlang plugins, and rabbitmqctl: the management API is HTTP.
- LDAP, OAuth 2 and HTTP authentication backends: users are the broker's own; SASL is
  PLAIN, AMQPLAIN and EXTERNAL.
`
