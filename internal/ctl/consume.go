package ctl

import (
	"bufio"
	"context"
	"encoding/base64"
	"encoding/json"
	"io"
	"os"
	"os/signal"
	"syscall"
	"time"
	"unicode/utf8"

	amqp "github.com/rabbitmq/amqp091-go"
	"github.com/spf13/cobra"

	"github.com/leveret-mq/leveret/internal/terminal"
)

// consumeFlags say what is consumed, and how.
type consumeFlags struct {
	amqpURL  string
	count    int
	prefetch int
	idle     time.Duration
	file     string
	raw      bool
	requeue  bool
	shown    bool // to people: what would steer the terminal is escaped
}

func (a *app) newConsume() *cobra.Command {
	f := &consumeFlags{}
	cmd := command("consume QUEUE", "Consume messages and write one a line; each is acked when it is written", cobra.ExactArgs(1), func(cmd *cobra.Command, args []string) error {
		ctx, stop := signal.NotifyContext(cmd.Context(), os.Interrupt, syscall.SIGTERM)
		defer stop()
		return a.consume(ctx, f, args[0])
	})
	cmd.Long = `Consume messages over AMQP and write their bodies, one a line (a terminal is not shown
control characters as they are, unless there is --raw); with --json an object a
line, with properties and headers, and with bodies that are not UTF-8 in base64.

A message is acked when its line was written, so that what this command did not write
stays in the queue. It ends after --count messages, when nothing came for --idle, or by
an interrupt.`
	cmd.Example = `  leveret consume orders --count 10
  leveret consume orders --idle 2s --json > orders.jsonl`
	fs := cmd.Flags()
	fs.StringVar(&f.amqpURL, "amqp-url", "", "`URL` of AMQP (LEVERET_AMQP_URL; port 5672 of --url's host)")
	fs.IntVar(&f.count, "count", 0, "end after so `many`; 0 does not end")
	fs.IntVar(&f.prefetch, "prefetch", 100, "how `many` may be on their way")
	fs.DurationVar(&f.idle, "idle", 0, "end when nothing came for so long; 0 does not end")
	fs.StringVar(&f.file, "file", "", "append to that `file` instead of standard output, and ack when it is on disk")
	fs.BoolVar(&f.raw, "raw", false, "write bodies as they are, with nothing between them")
	fs.BoolVar(&f.requeue, "requeue", false, "give messages back at the end instead of acking them")
	return a.complete(cmd, queues)
}

// sink is where messages are written; flush returns when an ack may follow.
type sink struct {
	*bufio.Writer
	file *os.File // nil: standard output
}

func (s *sink) flush() error {
	err := s.Flush()
	if err == nil && s.file != nil {
		err = s.file.Sync()
	}
	return err
}

func (a *app) consume(ctx context.Context, f *consumeFlags, queue string) error {
	if f.count < 0 || f.prefetch < 1 || f.prefetch > 65535 || f.idle < 0 {
		return usage("--count and --idle cannot be negative, --prefetch is 1 to 65535")
	}
	if f.requeue && f.count == 0 && f.idle == 0 {
		return usage("--requeue needs an end: give --count or --idle")
	}
	f.shown = f.file == "" && !f.raw && terminal.IsTerminal(a.out)
	out := &sink{Writer: bufio.NewWriter(a.out)}
	if f.file != "" {
		file, err := os.OpenFile(f.file, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o666)
		if err != nil {
			return failed("%v", err)
		}
		defer file.Close()
		out = &sink{bufio.NewWriter(file), file}
	}
	conn, ch, err := a.dial(f.amqpURL, "leveret consume")
	if err != nil {
		return err
	}
	defer conn.Close()
	prefetch := f.prefetch
	if f.count > 0 && (f.requeue || f.count < prefetch) {
		prefetch = f.count // what is not wanted stays with others
	}
	if f.requeue && f.count == 0 {
		prefetch = 0
	}
	if err := ch.Qos(prefetch, 0, false); err != nil {
		return a.explainAMQP(err)
	}
	gone := ch.NotifyClose(make(chan *amqp.Error, 1))
	deliveries, err := ch.ConsumeWithContext(ctx, queue, "", false, false, false, false, nil)
	if err != nil {
		return a.explainAMQP(err)
	}
	if err := a.write(ctx, f, out, deliveries, gone); err != nil {
		return a.explainAMQP(err)
	}
	return nil
}

// write writes what comes. What is there at once is acked at once, by one ack.
func (a *app) write(ctx context.Context, f *consumeFlags, out *sink, deliveries <-chan amqp.Delivery, gone <-chan *amqp.Error) error {
	var idle <-chan time.Time
	var timer *time.Timer
	if f.idle > 0 {
		timer = time.NewTimer(f.idle)
		defer timer.Stop()
		idle = timer.C
	}
	var last *amqp.Delivery // written, not acked
	settle := func() error {
		if last == nil {
			return nil
		}
		if err := out.flush(); err != nil {
			return failed("%v: what was not written stays in the queue", err)
		}
		d := last
		last = nil
		if f.requeue {
			return nil // the end of the connection gives them back
		}
		return d.Ack(true)
	}
	for n := 0; f.count == 0 || n < f.count; {
		var d amqp.Delivery
		var open bool
		select {
		case d, open = <-deliveries:
		default:
			if err := settle(); err != nil {
				return err
			}
			select {
			case d, open = <-deliveries:
			case <-idle:
				return nil
			case <-ctx.Done():
				return nil
			}
		}
		if !open {
			return a.ended(ctx, settle, gone)
		}
		if err := f.line(out, &d, a.json); err != nil {
			return failed("%v: what was not written stays in the queue", err)
		}
		last = &d
		n++
		if timer != nil {
			timer.Reset(f.idle)
		}
	}
	return settle()
}

// ended says why deliveries ended.
func (a *app) ended(ctx context.Context, settle func() error, gone <-chan *amqp.Error) error {
	err := settle()
	if ctx.Err() != nil {
		return nil // the caller has had enough
	}
	select {
	case why := <-gone:
		if why != nil {
			return why
		}
	default:
	}
	if err == nil {
		err = &fault{codeNotFound, "the queue was deleted"}
	}
	return err
}

// line writes a message.
func (f *consumeFlags) line(out io.Writer, d *amqp.Delivery, asJSON bool) error {
	if asJSON {
		return json.NewEncoder(out).Encode(describeDelivery(d))
	}
	body := d.Body
	if f.shown { // anybody may have written it
		body = []byte(terminal.Lines(string(body)))
	}
	_, err := out.Write(body)
	if err == nil && !f.raw {
		_, err = out.Write([]byte{'\n'})
	}
	return err
}

// delivery is a message in JSON, with the fields that get and peek have.
type delivery struct {
	Exchange    string         `json:"exchange"`
	Key         string         `json:"routing_key"`
	Redelivered bool           `json:"redelivered"`
	Properties  map[string]any `json:"properties"`
	Payload     string         `json:"payload"`
	Encoding    string         `json:"payload_encoding"`
	Bytes       int            `json:"payload_bytes"`
}

func describeDelivery(d *amqp.Delivery) delivery {
	out := delivery{d.Exchange, d.RoutingKey, d.Redelivered, map[string]any{}, string(d.Body), "string", len(d.Body)}
	if !utf8.Valid(d.Body) {
		out.Payload, out.Encoding = base64.StdEncoding.EncodeToString(d.Body), "base64"
	}
	p := out.Properties
	for name, text := range map[string]string{
		"content_type": d.ContentType, "content_encoding": d.ContentEncoding, "correlation_id": d.CorrelationId, "reply_to": d.ReplyTo,
		"expiration": d.Expiration, "message_id": d.MessageId, "type": d.Type, "user_id": d.UserId, "app_id": d.AppId,
	} {
		if text != "" {
			p[name] = text
		}
	}
	if d.DeliveryMode > 0 {
		p["delivery_mode"] = d.DeliveryMode
	}
	if d.Priority > 0 {
		p["priority"] = d.Priority
	}
	if !d.Timestamp.IsZero() {
		p["timestamp"] = d.Timestamp.Unix()
	}
	if len(d.Headers) > 0 {
		p["headers"] = plainTable(d.Headers)
	}
	return out
}

// plainTable makes JSON of a table: bytes as text where they are.
func plainTable(t amqp.Table) map[string]any {
	out := map[string]any{}
	for name, v := range t {
		out[name] = plainValue(v)
	}
	return out
}

func plainValue(v any) any {
	switch v := v.(type) {
	case amqp.Table:
		return plainTable(v)
	case []any:
		out := make([]any, len(v))
		for i, each := range v {
			out[i] = plainValue(each)
		}
		return out
	case []byte:
		if utf8.Valid(v) {
			return string(v)
		}
	case time.Time:
		return v.Unix()
	}
	return v
}
