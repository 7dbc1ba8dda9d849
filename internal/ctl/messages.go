package ctl

import (
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/leveret-mq/leveret/internal/mgmt"
	"github.com/leveret-mq/leveret/internal/terminal"
)

// shownPayload is how much of a payload a table shows.
const shownPayload = 60

func (a *app) newPeek() *cobra.Command {
	p := mgmt.Peek{}
	cmd := command("peek NAME", "Look at messages of a queue, ready or unacked, at any depth, without changing anything", cobra.ExactArgs(1), func(_ *cobra.Command, args []string) error {
		if p.Count < 1 || p.Position < 0 || p.Truncate < 0 {
			return usage("--position and --truncate cannot be negative, --count must be positive")
		}
		o, err := a.peek(args[0], p)
		if err != nil {
			return a.explain(err, named("queue", args[0], a.here()))
		}
		if a.json {
			return a.printJSON(o)
		}
		now := time.Now()
		columns := []column{count("POSITION", "position"), text("STATE", "state"), text("EXCHANGE", "exchange"), text("KEY", "routing_key"),
			{title: "AGE>", show: func(o mgmt.Object) string { return since(o.Int("published"), now) }},
			flags("FLAGS", "redelivered"), size("SIZE", "payload_bytes"), {title: "PAYLOAD", show: func(o mgmt.Object) string {
				if o.Has("error") {
					return "cannot be read: " + show(o.Field("error"))
				}
				return payload(o)
			}}}
		if err := a.show(o.Objects("items"), columns...); err != nil {
			return err
		}
		if o.Has("next") {
			fmt.Fprintf(a.errs, "of %s: --position %d shows the next\n", terminal.Plural(int(o.Int("messages")), "message"), o.Int("next"))
		}
		return nil
	})
	cmd.Flags().IntVar(&p.Position, "position", 0, "begin at that `place`, 0 is the head of the queue")
	cmd.Flags().IntVar(&p.Count, "count", 10, "so `many`")
	cmd.Flags().StringVar(&p.State, "state", "all", "only those that are ready or unacked")
	cmd.Flags().IntVar(&p.Truncate, "truncate", 50000, "at most so many `bytes` of a payload")
	completeWords(cmd, "state", "all", "ready", "unacked")
	return cmd
}

// peekPage is the most messages that the API shows at once.
const peekPage = 1000

// peek looks at as many messages as are wanted, page by page.
func (a *app) peek(queue string, p mgmt.Peek) (mgmt.Object, error) {
	left := p.Count
	items := []any{}
	for {
		p.Count = min(left, peekPage)
		o, err := a.client.PeekMessages(a.ctx(), a.here(), queue, p)
		if err != nil {
			return nil, err
		}
		page, _ := o.Field("items").([]any)
		items = append(items, page...)
		left -= len(page)
		if left <= 0 || !o.Has("next") || len(page) == 0 {
			o["items"] = items
			return o, nil
		}
		p.Position = int(o.Int("next"))
	}
}

func (a *app) newGet() *cobra.Command {
	g := mgmt.Get{}
	var ack, reject bool
	cmd := command("get NAME", "Fetch messages from the head of a queue; they stay in it, marked as redelivered, unless --ack or --reject is given", cobra.ExactArgs(1), func(_ *cobra.Command, args []string) error {
		switch {
		case ack && reject:
			return usage("--ack and --reject exclude each other")
		case g.Count < 1:
			return usage("--count %d fetches nothing", g.Count)
		}
		g.AckMode, g.Encoding = "ack_requeue_true", "auto"
		if ack {
			g.AckMode = "ack_requeue_false"
		} else if reject {
			g.AckMode = "reject_requeue_false"
		}
		found, err := a.client.GetMessages(a.ctx(), a.here(), args[0], g)
		if err != nil {
			return a.explain(err, named("queue", args[0], a.here()))
		}
		return a.show(found, text("EXCHANGE", "exchange"), text("KEY", "routing_key"), flags("FLAGS", "redelivered"), text("PROPERTIES", "properties"),
			size("SIZE", "payload_bytes"), column{title: "PAYLOAD", show: payload})
	})
	cmd.Flags().IntVar(&g.Count, "count", 1, "at most so `many`")
	cmd.Flags().IntVar(&g.Truncate, "truncate", 0, "at most so many `bytes` of a payload; 0 is all")
	cmd.Flags().BoolVar(&ack, "ack", false, "remove them from the queue")
	cmd.Flags().BoolVar(&reject, "reject", false, "reject them, so that they are dead-lettered where the queue says so")
	return cmd
}

// payload is a message's body in a cell.
func payload(o mgmt.Object) string {
	text := terminal.Printable(o.Text("payload"))
	if o.Text("payload_encoding") == "base64" {
		text = "base64 " + text
	}
	return strings.TrimRight(terminal.Fit(text, shownPayload), " ")
}
