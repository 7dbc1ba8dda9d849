package broker

import (
	"strings"

	"github.com/leveret-mq/leveret/access"
	"github.com/leveret-mq/leveret/broker/routing"
	"github.com/leveret-mq/leveret/internal/amqp"
)

// Restore is a session that makes what definitions say is in a vhost, whoever may do
// what: limits are not asked, names that clients may not give to queues are taken, and
// what is there already stays as it is, also where it is different. It is no
// connection, needs no Close, and may be used by many goroutines.
func (b *Broker) Restore(vhost string) (*Session, error) {
	v := b.vhost(vhost)
	if v == nil {
		return nil, ErrNoVHost
	}
	all, err := (&access.Permissions{Configure: ".*", Write: ".*", Read: ".*"}).Compile()
	if err != nil {
		return nil, err
	}
	s := &Session{b: b, v: v, user: &User{Name: "definitions"}, restores: true}
	s.grant.Store(&grant{all: all})
	return s, nil
}

// CheckQueue refuses a queue that could not be declared in a vhost, which need not
// exist yet, as DeclareQueue would.
func CheckQueue(vhost string, spec QueueSpec) error {
	if spec.Name == "" {
		return amqp.PreconditionFailed("a queue in vhost '%s' has no name", vhost)
	}
	if strings.HasPrefix(spec.Name, ReplyQueue) {
		return errReserved("queue", spec.Name)
	}
	if bad := checkArguments(spec.Args, spec.Name, vhost); bad != nil {
		return bad
	}
	set := makeSettings(spec.Args, nil, nil)
	return asError(checkType(&set, spec, vhost))
}

// checkType refuses what a queue's type does not permit.
func checkType(set *settings, spec QueueSpec, vhost string) *amqp.Error {
	if set.quorum || set.stream {
		if bad := checkDurableKind(spec, vhost); bad != nil {
			return bad
		}
	}
	if set.stream {
		return amqp.NotImplemented("x-queue-type 'stream' of queue '%s' in vhost '%s': there are no streams here, only classic and quorum queues", spec.Name, vhost)
	}
	return nil
}

// CheckExchange refuses an exchange that could not be declared in a vhost, which need
// not exist yet, as DeclareExchange would.
func CheckExchange(vhost string, spec ExchangeSpec) error {
	kind := routesAs(spec.Type, spec.Args)
	if routing.New[*node](kind, spec.Args) == nil {
		if kind == "" && spec.Type == typeDelayed {
			return errDelayedType
		}
		return amqp.CommandInvalid("unknown exchange type '%s'", kind)
	}
	if spec.Name == "" {
		return errDefaultExchange()
	}
	if ae, ok := spec.Args.Get("alternate-exchange"); ok && ae.Type != amqp.TypeLongString {
		return errAlternate(ae, spec.Name, vhost)
	}
	return routing.ValidateExchange(kind, spec.Args)
}

func errAlternate(given amqp.Value, exchange, vhost string) error {
	return amqp.PreconditionFailed("invalid type '%s' for arg 'alternate-exchange' in exchange '%s' in vhost '%s'", given.Type, exchange, vhost)
}

// CheckBinding refuses a binding that an exchange could not have.
func CheckBinding(exchangeType string, args amqp.Table, key string, bindingArgs amqp.Table) error {
	return routing.ValidateBinding(routesAs(exchangeType, args), key, bindingArgs)
}
