package ctl

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/leveret-mq/leveret/internal/mgmt"
)

// exchangeTypes are what completion offers.
var exchangeTypes = []string{"direct", "fanout", "topic", "headers", "x-consistent-hash", "x-random", "x-delayed-message"}

func (a *app) newExchange() *cobra.Command {
	var l listing
	list := command("list", "List exchanges", cobra.NoArgs, func(*cobra.Command, []string) error {
		path, what := a.under("exchanges")
		return a.list(path, &l, what, column{title: "EXCHANGE", show: func(o mgmt.Object) string {
			if o.Text("name") == "" {
				return "(default)"
			}
			return show(o.Field("name"))
		}}, text("VHOST", "vhost"), text("TYPE", "type"), flags("FLAGS", "durable", "internal", "auto_delete"),
			rate("IN", "message_stats.publish_in_details.rate"), rate("OUT", "message_stats.publish_out_details.rate"),
			text("POLICY", "policy"), text("ARGUMENTS", "arguments"))
	})
	l.bind(list)
	x := mgmt.Exchange{}
	var transient bool
	var pairs []string
	declare := command("declare NAME", "Declare an exchange, durable unless it is said to be transient", cobra.ExactArgs(1), func(_ *cobra.Command, args []string) error {
		x.Durable = !transient
		var err error
		if x.Arguments, err = arguments("", pairs); err != nil {
			return err
		}
		created, err := a.client.Put(a.ctx(), mgmt.Path("exchanges", a.here(), args[0]), x)
		if err != nil {
			return a.explain(err, "")
		}
		a.declared("exchange", args[0], created)
		return nil
	})
	declare.Flags().StringVar(&x.Type, "type", "direct", "its `type`: direct, fanout, topic, headers, x-consistent-hash, x-random or x-delayed-message")
	declare.Flags().BoolVar(&transient, "transient", false, "it goes with a restart")
	declare.Flags().BoolVar(&x.AutoDelete, "auto-delete", false, "it goes with its last binding")
	declare.Flags().BoolVar(&x.Internal, "internal", false, "clients may not publish to it")
	declare.Flags().StringArrayVar(&pairs, "arg", nil, "an argument, `NAME=VALUE`; may be given again")
	completeWords(declare, "type", exchangeTypes...)
	var ifUnused bool
	del := command("delete NAME...", "Delete exchanges with their bindings", cobra.MinimumNArgs(1), func(_ *cobra.Command, args []string) error {
		for _, name := range args {
			if err := a.client.DeleteExchange(a.ctx(), a.here(), name, ifUnused); err != nil {
				return a.explain(err, named("exchange", name, a.here()))
			}
			a.say("exchange %q is deleted", name)
		}
		return nil
	})
	del.Flags().BoolVar(&ifUnused, "if-unused", false, "only where nothing is bound to it")
	return group("exchange", "Exchanges: list, declare, delete", list, declare, a.complete(del, exchanges))
}

func (a *app) newBinding() *cobra.Command {
	var l listing
	list := command("list", "List bindings", cobra.NoArgs, func(*cobra.Command, []string) error {
		path, what := a.under("bindings")
		return a.list(path, &l, what, text("VHOST", "vhost"), column{title: "SOURCE", show: func(o mgmt.Object) string {
			if o.Text("source") == "" {
				return "(default)"
			}
			return show(o.Field("source"))
		}}, text("DESTINATION", "destination"), text("KIND", "destination_type"), text("ROUTING KEY", "routing_key"), text("ARGUMENTS", "arguments"))
	})
	l.bind(list)
	end := &bindingFlags{}
	add := command("add SOURCE DESTINATION", "Bind a queue, or an exchange, to an exchange", cobra.ExactArgs(2), func(_ *cobra.Command, args []string) error {
		table, err := arguments("", end.args)
		if err != nil {
			return err
		}
		err = a.client.Post(a.ctx(), mgmt.BindingPath(a.here(), args[0], end.toExchange, args[1]), mgmt.Binding{Key: end.key, Arguments: table}, nil)
		if err != nil {
			return a.explain(err, fmt.Sprintf("exchange %q or its destination %q in vhost %q", args[0], args[1], a.here()))
		}
		a.say("%q is bound to %q with the key %q", args[1], args[0], end.key)
		return nil
	})
	end.bind(add)
	add.Flags().StringArrayVar(&end.args, "arg", nil, "an argument, `NAME=VALUE`; may be given again")
	var properties string
	del := command("delete SOURCE DESTINATION", "Delete the binding with a routing key", cobra.ExactArgs(2), func(_ *cobra.Command, args []string) error {
		return a.deleteBinding(end, args[0], args[1], properties)
	})
	end.bind(del)
	del.Flags().StringVar(&properties, "properties-key", "", "the binding's `key` in the API, which tells those apart that differ in their arguments")
	return group("binding", "Bindings: list, add, delete", list, a.complete(add, exchanges, queues), a.complete(del, exchanges, queues))
}

// bindingFlags name a binding.
type bindingFlags struct {
	key        string
	toExchange bool
	args       []string
}

func (b *bindingFlags) bind(cmd *cobra.Command) {
	cmd.Flags().StringVar(&b.key, "key", "", "the routing `key`")
	cmd.Flags().BoolVar(&b.toExchange, "to-exchange", false, "the destination is an exchange, not a queue")
}

// deleteBinding finds the binding by its routing key, which must be that of one.
func (a *app) deleteBinding(f *bindingFlags, source, destination, properties string) error {
	what := fmt.Sprintf("binding of %q to %q with the key %q in vhost %q", destination, source, f.key, a.here())
	if properties == "" {
		found, err := a.client.List(a.ctx(), mgmt.BindingPath(a.here(), source, f.toExchange, destination), nil)
		if err != nil {
			return a.explain(err, what)
		}
		var keys []string
		for _, o := range found {
			if o.Text("routing_key") == f.key {
				keys = append(keys, o.Text("properties_key"))
			}
		}
		switch len(keys) {
		case 0:
			return &fault{codeNotFound, what + " does not exist"}
		case 1:
			properties = keys[0]
		default:
			return usage("there are %d bindings with that key: name one with --properties-key %s", len(keys), strings.Join(keys, " or "))
		}
	}
	if err := a.client.Delete(a.ctx(), mgmt.BindingPath(a.here(), source, f.toExchange, destination, properties), nil); err != nil {
		return a.explain(err, what)
	}
	a.say("%q is no longer bound to %q with the key %q", destination, source, f.key)
	return nil
}
