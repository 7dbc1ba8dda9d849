package conformance

import (
	"fmt"
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/leveret-mq/leveret/amqpd/wire"
)

const permissionsPage = "../docs/permissions.md"

// needless are the methods of clients that need no permission, with the reason.
// amqpd's tests send them as a user who has none.
var needless = map[wire.ID]string{
	wire.IDChannelOpen: "a channel is the connection's own", wire.IDChannelFlow: "a channel is the connection's own", wire.IDChannelClose: "a channel is the connection's own",
	wire.IDBasicQos: "it is of the channel", wire.IDConfirmSelect: "it is of the channel",
	wire.IDTxSelect: "it is of the channel", wire.IDTxCommit: "what is published in it was asked for", wire.IDTxRollback: "it is of the channel",
	wire.IDBasicAck: "the delivery was asked for", wire.IDBasicNack: "the delivery was asked for", wire.IDBasicReject: "the delivery was asked for",
	wire.IDBasicRecover: "the deliveries were asked for", wire.IDBasicRecoverAsync: "the deliveries were asked for", wire.IDBasicCancel: "the consumer is the channel's own",
}

// fromClients are the methods by which a client asks for something, but for those of the
// connection itself.
var fromClients = []wire.ID{
	wire.IDChannelOpen, wire.IDChannelFlow, wire.IDChannelClose,
	wire.IDExchangeDeclare, wire.IDExchangeDelete, wire.IDExchangeBind, wire.IDExchangeUnbind,
	wire.IDQueueDeclare, wire.IDQueueBind, wire.IDQueuePurge, wire.IDQueueDelete, wire.IDQueueUnbind,
	wire.IDBasicQos, wire.IDBasicConsume, wire.IDBasicCancel, wire.IDBasicPublish, wire.IDBasicGet,
	wire.IDBasicAck, wire.IDBasicReject, wire.IDBasicRecoverAsync, wire.IDBasicRecover, wire.IDBasicNack,
	wire.IDConfirmSelect, wire.IDTxSelect, wire.IDTxCommit, wire.IDTxRollback,
}

func TestEveryMethodStandsInTheTableOfPermissions(t *testing.T) {
	cases := map[wire.ID]int{}
	for _, p := range permitted {
		cases[p.m.ID()]++
	}
	for _, id := range fromClients {
		if (cases[id] > 0) == (needless[id] != "") {
			t.Errorf("%v: %d cases, and needs nothing because %q", id, cases[id], needless[id])
		}
	}
	var page strings.Builder
	page.WriteString(`# What each method needs

Each row is a case of the [conformance suite](../conformance/doc.go), run against RabbitMQ
3.10.8 and Leveret: with these rights the method is done, and without any one of them it is
refused, 403 ACCESS_REFUSED, in the order in which they stand here. A user has rights by three
expressions in each vhost: what it may **c**onfigure, **w**rite and **r**ead. This page is
written by a test (` + "`PERMISSIONS_UPDATE=1 go test -run Permissions ./conformance`" + `); do not edit it.

| method | configure | write | read |
|---|---|---|---|
`)
	for _, p := range permitted {
		var cells [3][]string
		for _, r := range p.needs {
			cells[r.permission] = append(cells[r.permission], fmt.Sprintf("%s `%s`", r.kind, r.name))
		}
		fmt.Fprintf(&page, "| %s | %s | %s | %s |\n", p.name, strings.Join(cells[0], ", "), strings.Join(cells[1], ", "), strings.Join(cells[2], ", "))
	}
	page.WriteString("\nNothing is asked for " + regexp.MustCompile(`, ([^,]*)$`).ReplaceAllString(names(), " and $1") + `: what they are
about was asked for before, or is the channel's own.

Where a user has [topic permissions](security.md#permissions) on an exchange of type topic,
publishing there needs its routing key to be permitted for writing, and queue.bind,
queue.unbind, exchange.bind and exchange.unbind from there theirs for reading. The property
user-id must be the user's own name, unless it has the tag ` + "`impersonator`" + ` (406).
`)
	if os.Getenv("PERMISSIONS_UPDATE") != "" {
		if err := os.WriteFile(permissionsPage, []byte(page.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if got, err := os.ReadFile(permissionsPage); err != nil || string(got) != page.String() {
		t.Errorf("%s is not what the table says (%v)", permissionsPage, err)
	}
}

// names lists the methods that need nothing.
func names() string {
	var list []string
	for _, id := range fromClients {
		if needless[id] != "" {
			list = append(list, strings.TrimSuffix(fmt.Sprint(id), "()"))
		}
	}
	return strings.Join(list, ", ")
}
