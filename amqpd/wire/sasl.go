package wire

import (
	"strings"

	"github.com/leveret-mq/leveret/internal/amqp"
)

// DecodePlain reads the response of the SASL mechanism PLAIN (RFC 4616):
// identity to act as, user and password, parted by zero bytes. The identity
// must be empty, as in RabbitMQ.
func DecodePlain(response string) (user, password string, err error) {
	rest, ok := strings.CutPrefix(response, "\x00")
	if !ok {
		return "", "", amqp.SyntaxError("PLAIN response does not begin with a zero byte")
	}
	user, password, ok = strings.Cut(rest, "\x00")
	if !ok || strings.Contains(password, "\x00") {
		return "", "", amqp.SyntaxError("PLAIN response is not a user and a password")
	}
	return user, password, nil
}

// DecodeAMQPlain reads the response of AMQPLAIN, which is a field table without
// its length and with the longstrs LOGIN and PASSWORD.
func DecodeAMQPlain(response string) (user, password string, err error) {
	t := amqp.Table(response)
	if err := t.Validate(); err != nil {
		return "", "", amqp.SyntaxError("AMQPLAIN response: %s", amqp.AsError(err).Text)
	}
	user, okUser := t.LongString("LOGIN")
	password, okPassword := t.LongString("PASSWORD")
	if !okUser || !okPassword {
		return "", "", amqp.SyntaxError("AMQPLAIN response is missing LOGIN or PASSWORD")
	}
	return user, password, nil
}

// EncodePlain makes the response of PLAIN.
func EncodePlain(user, password string) string {
	return "\x00" + user + "\x00" + password
}

// EncodeAMQPlain makes the response of AMQPLAIN.
func EncodeAMQPlain(user, password string) string {
	return string(amqp.NewTable(
		amqp.Field{Name: "LOGIN", Value: amqp.LongString(user)},
		amqp.Field{Name: "PASSWORD", Value: amqp.LongString(password)},
	))
}
