package ctl

import (
	"net/url"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"github.com/leveret-mq/leveret/internal/mgmt"
)

// auditPage is how many entries are asked for at once.
const auditPage = 500

func (a *app) newAudit() *cobra.Command {
	var n int
	var kind string
	cmd := command("audit", "Show the audit log: logins refused, administrative changes; the newest first", cobra.NoArgs, func(*cobra.Command, []string) error {
		if n < 1 {
			return usage("--count %d shows nothing", n)
		}
		items := []mgmt.Object{}
		q := url.Values{}
		if kind != "" {
			q.Set("type", kind)
		}
		for len(items) < n {
			q.Set("count", strconv.Itoa(min(n-len(items), auditPage)))
			o, err := a.client.Audit(a.ctx(), q)
			if err != nil {
				return a.explain(err, "the audit log")
			}
			page := o.Objects("items")
			if len(page) == 0 {
				break
			}
			items = append(items, page...)
			q.Set("before", strconv.FormatInt(page[len(page)-1].Int("index"), 10))
		}
		return a.show(items, column{title: "TIME", show: timeText}, text("EVENT", "event"), text("USER", "user"), text("FROM", "from"), text("BY", "interface"),
			column{title: "OBJECT", show: objectText}, text("DETAIL", "detail"))
	})
	cmd.Flags().IntVar(&n, "count", 50, "at most so `many`")
	cmd.Flags().StringVar(&kind, "type", "", "only that `event`, as login.refused")
	return cmd
}

// timeText is the time of an entry to the millisecond, so that all are as wide.
func timeText(o mgmt.Object) string {
	at, err := time.Parse(time.RFC3339Nano, o.Text("time"))
	if err != nil {
		return show(o.Field("time"))
	}
	return at.Format("2006-01-02T15:04:05.000Z07:00")
}

func objectText(o mgmt.Object) string {
	kind, name, vhost := o.Text("object.type"), show(o.Field("object.name")), o.Text("object.vhost")
	switch {
	case kind == "":
		return ""
	case name == "" && vhost != "":
		return kind + " in " + show(vhost)
	case name == "":
		return kind
	case vhost != "" && kind != "vhost":
		return kind + " " + name + " in " + show(vhost)
	}
	return kind + " " + name
}
