package conformance

// Behaviour 52: types of queues and their arguments.

func init() {
	register(
		Case{Behaviour: "52", Name: "a queue is classic unless it says otherwise", Run: func(t *T) {
			ch := t.Channel()
			none, classic := ch.Queue(nil), ch.Queue(Args{"x-queue-type": "classic"})
			ch.Declare(Queue{Name: none, Args: Args{"x-queue-type": "classic"}})
			ch.Declare(Queue{Name: classic})
			ch.DeclareRefused(Queue{Name: none, Args: Args{"x-queue-type": "quorum"}}, 406, "inequivalent arg 'x-queue-type' for queue '"+none+"' in vhost '/'")
		}},
		Case{Behaviour: "52", Name: "a quorum queue takes and gives messages", Run: func(t *T) {
			ch := t.Channel().Confirm()
			q := ch.Queue(Args{"x-queue-type": "quorum"})
			ch.Declare(Queue{Name: q, Args: Args{"x-queue-type": "quorum"}})
			ch.DeclareRefused(Queue{Name: q}, 406, "inequivalent arg 'x-queue-type' for queue '"+q+"' in vhost '/': received none but current is the value 'quorum' of type 'longstr'")
			ch.Confirm().Put(q, "1", "2")
			ch.Await(q, 2)
			ch.ExpectDrain(q, "1", "2")
		}},
		Case{Behaviour: "52", Name: "the management API shows the types of queues", Needs: Management, Run: func(t *T) {
			ch := t.Channel()
			for q, want := range map[string]string{ch.Queue(nil): "classic", ch.Queue(Args{"x-queue-type": "quorum"}): "quorum"} {
				var info queueInfo
				t.Fetch(Path("queues", t.Peer.vhost(), q), &info)
				if info.Type != want {
					t.Errorf("%s is shown as %q, want %s", q, info.Type, want)
				}
			}
		}},
		Case{Behaviour: "52", Name: "an unknown type of queue is 406", Run: func(t *T) {
			ch := t.Channel()
			for _, c := range []struct {
				value any
				why   string
			}{
				{"unknown", `"unsupported queue type 'unknown'"`}, {"", `"unsupported queue type ''"`}, {"Quorum", `"unsupported queue type 'Quorum'"`},
				{1, "{unacceptable_type,signedint}"}, {true, "{unacceptable_type,bool}"},
			} {
				q := t.Name("q")
				ch.DeclareRefused(Queue{Name: q, Args: Args{"x-queue-type": c.value}}, 406, "PRECONDITION_FAILED - invalid arg 'x-queue-type' for queue '"+q+"' in vhost '/': "+c.why)
			}
		}},
		Case{Behaviour: "52", Name: "a quorum queue that is not durable, or exclusive, or auto-delete is 406", Run: func(t *T) {
			ch := t.Channel()
			quorum := Args{"x-queue-type": "quorum"}
			for property, q := range map[string]Queue{"non-durable": {Transient: true}, "exclusive-owner": {Exclusive: true}, "auto-delete": {AutoDelete: true}} {
				q.Name, q.Args = t.Name("q"), quorum
				ch.DeclareRefused(q, 406, "PRECONDITION_FAILED - invalid property '"+property+"' for queue '"+q.Name+"' in vhost '/'")
			}
		}},
		Case{Behaviour: "52", Name: "modes and versions of classic queues are accepted, and mean nothing to clients", Run: func(t *T) {
			ch := t.Channel().Confirm()
			for _, args := range []Args{{"x-queue-mode": "lazy"}, {"x-queue-mode": "default"}, {"x-queue-version": 1}, {"x-queue-version": 2},
				{"x-queue-mode": "lazy", "x-queue-version": 2}, {"x-queue-master-locator": "min-masters"}} {
				q := ch.Queue(args)
				ch.Put(q, "a", "b")
				ch.ExpectDrain(q, "a", "b")
				ch.Declare(Queue{Name: q, Args: args})
				ch.Delete(q)
			}
		}},
		Case{Behaviour: "52", Name: "modes and versions that there are not are 406", Run: func(t *T) {
			ch := t.Channel()
			for _, c := range []struct {
				key   string
				value any
				why   string
			}{
				{"x-queue-mode", "eager", `"unsupported queue mode 'eager'"`}, {"x-queue-mode", 1, "{unacceptable_type,signedint}"},
				{"x-queue-version", 3, `"unsupported queue version '3'"`}, {"x-queue-version", "2", `"expected integer, got longstr"`},
			} {
				q := t.Name("q")
				ch.DeclareRefused(Queue{Name: q, Args: Args{c.key: c.value}}, 406, "PRECONDITION_FAILED - invalid arg '"+c.key+"' for queue '"+q+"' in vhost '/': "+c.why)
			}
		}},
		Case{Behaviour: "52", Name: "the mode counts in the equivalence of a redeclare", Run: func(t *T) {
			ch := t.Channel()
			q := ch.Queue(Args{"x-queue-mode": "lazy"})
			ch.DeclareRefused(Queue{Name: q}, 406, "inequivalent arg 'x-queue-mode' for queue '"+q+"' in vhost '/': received none but current is the value 'lazy' of type 'longstr'")
		}},
		Case{Behaviour: "52", Name: "arguments of another type of queue are 406", Run: func(t *T) {
			ch := t.Channel()
			for _, c := range []struct {
				args Args
				key  string
				kind string
			}{
				{Args{"x-delivery-limit": 3}, "x-delivery-limit", "rabbit_classic_queue"},
				{Args{"x-dead-letter-strategy": "at-least-once"}, "x-dead-letter-strategy", "rabbit_classic_queue"},
				{Args{"x-quorum-initial-group-size": 1}, "x-quorum-initial-group-size", "rabbit_classic_queue"},
				{Args{"x-max-age": "1D"}, "x-max-age", "rabbit_classic_queue"},
				{Args{"x-queue-type": "quorum", "x-max-priority": 3}, "x-max-priority", "rabbit_quorum_queue"},
				{Args{"x-queue-type": "quorum", "x-queue-mode": "lazy"}, "x-queue-mode", "rabbit_quorum_queue"},
				{Args{"x-queue-type": "quorum", "x-queue-version": 2}, "x-queue-version", "rabbit_quorum_queue"},
			} {
				q := t.Name("q")
				ch.DeclareRefused(Queue{Name: q, Args: c.args}, 406, "PRECONDITION_FAILED - invalid arg '"+c.key+"' for queue '"+q+"' in vhost '/' of queue type "+c.kind)
			}
		}},
		Case{Behaviour: "52", Name: "a quorum queue's own arguments are accepted", Run: func(t *T) {
			ch := t.Channel()
			for _, args := range []Args{{"x-delivery-limit": 3}, {"x-quorum-initial-group-size": 1}, {"x-max-in-memory-length": 10}, {"x-max-in-memory-bytes": 10},
				{"x-dead-letter-exchange": "", "x-dead-letter-strategy": "at-least-once", "x-overflow": "reject-publish"},
				{"x-queue-leader-locator": "client-local"}, {"x-single-active-consumer": true}, {"x-max-length": 3}, {"x-expires": 3_600_000}, {"x-message-ttl": 60_000}} {
				args["x-queue-type"] = "quorum"
				q := ch.Queue(args)
				ch.Declare(Queue{Name: q, Args: args})
				ch.Delete(q)
			}
		}},
	)
}
