package broker

import (
	"errors"
	"strings"

	"github.com/leveret-mq/leveret/internal/amqp"
)

// The refusals of this package. Their texts are RabbitMQ's, word for word:
// clients and their tests match on them.

func errNoQueue(name, vhost string) *amqp.Error {
	return amqp.NotFound("no queue '%s' in vhost '%s'", name, vhost)
}

func errNoExchange(name, vhost string) *amqp.Error {
	return amqp.NotFound("no exchange '%s' in vhost '%s'", name, vhost)
}

func errLocked(name, vhost string) *amqp.Error {
	return amqp.ResourceLocked("cannot obtain exclusive access to locked queue '%s' in vhost '%s'. "+
		"It could be originally declared on another connection or the exclusive property value does not match that of the original declaration.", name, vhost)
}

func errExclusiveUse(name, vhost string) *amqp.Error {
	return amqp.AccessRefused("queue '%s' in vhost '%s' in exclusive use", name, vhost)
}

func errNoGet(name, vhost string) *amqp.Error {
	return amqp.ResourceLocked("cannot obtain access to locked queue '%s' in vhost '%s'. "+
		"basic.get operations are not supported by quorum queues with single active consumer", name, vhost)
}

func errDefaultExchange() *amqp.Error {
	return amqp.AccessRefused("operation not permitted on the default exchange")
}

func errReserved(kind, name string) *amqp.Error {
	return amqp.AccessRefused("%s name '%s' contains reserved prefix 'amq.*'", kind, name)
}

// errStore is what a client learns when the log has failed: the broker can
// keep nothing any more, and says so by closing the connection.
func errStore(err error) *amqp.Error {
	return amqp.InternalError("the store has failed: %v", err)
}

// ErrRefused says that a transaction was refused as a whole: a queue at its
// bounds (x-overflow reject-publish) would not take one of its messages.
var ErrRefused = errors.New("a queue at its bounds refuses a message of the transaction")

// asError keeps a nil *amqp.Error from becoming a non-nil error.
func asError(err *amqp.Error) error {
	if err == nil {
		return nil
	}
	return err
}

// cleanName takes line feeds and carriage returns out of a name, as RabbitMQ
// does with names that come from files.
func cleanName(name string) string {
	if !strings.ContainsAny(name, "\r\n") {
		return name
	}
	return strings.NewReplacer("\r", "", "\n", "").Replace(name)
}

// reserved reports whether a name belongs to the server.
func reserved(name string) bool { return strings.HasPrefix(name, "amq.") }
