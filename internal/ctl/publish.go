package ctl

import (
	"bufio"
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/url"
	"os"
	"strconv"
	"strings"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"
	"github.com/spf13/cobra"

	"github.com/leveret-mq/leveret/internal/terminal"
)

// amqpURL is where AMQP is spoken: --amqp-url, LEVERET_AMQP_URL, or port 5672 of the
// management API's host with the same login.
func (a *app) amqpURL(given string) (string, error) {
	given = cmp.Or(given, os.Getenv("LEVERET_AMQP_URL"))
	if given == "" {
		at, err := url.Parse(a.url)
		if err != nil {
			return "", usage("--url %q is not a URL", a.url)
		}
		u := url.URL{Scheme: "amqp", User: url.UserPassword(a.user, a.password), Host: net.JoinHostPort(at.Hostname(), "5672")}
		given = u.String()
	}
	u, err := url.Parse(given)
	if err != nil || u.Scheme != "amqp" && u.Scheme != "amqps" || u.Host == "" {
		return "", usage("--amqp-url (LEVERET_AMQP_URL) is not a URL as amqp://HOST:5672")
	}
	if u.User == nil {
		u.User = url.UserPassword(a.user, a.password)
	}
	if a.vhost != "" || u.Path == "" {
		u.Path, u.RawPath = "/"+a.here(), "/"+url.PathEscape(a.here())
	}
	return u.String(), nil
}

// dial connects, and opens a channel.
func (a *app) dial(given, name string) (*amqp.Connection, *amqp.Channel, error) {
	address, err := a.amqpURL(given)
	if err != nil {
		return nil, nil, err
	}
	config := amqp.Config{Properties: amqp.NewConnectionProperties(), Dial: amqp.DefaultDial(a.timeout), Heartbeat: 10 * time.Second}
	config.Properties.SetClientConnectionName(name)
	conn, err := amqp.DialConfig(address, config)
	if err != nil {
		return nil, nil, a.explainAMQP(err)
	}
	ch, err := conn.Channel()
	if err != nil {
		conn.Close()
		return nil, nil, a.explainAMQP(err)
	}
	return conn, ch, nil
}

// explainAMQP gives an error of AMQP its exit code.
func (a *app) explainAMQP(err error) error {
	var refused *amqp.Error
	var f *fault
	switch {
	case err == nil || errors.As(err, &f) || errors.Is(err, context.Canceled):
		return err
	case errors.As(err, &refused):
		switch refused.Code {
		case amqp.AccessRefused:
			return &fault{codeRefused, "the broker refuses: " + refused.Reason}
		case amqp.NotFound, amqp.NotAllowed:
			return &fault{codeNotFound, refused.Reason}
		case amqp.ConnectionForced:
			return &fault{codeUnavailable, refused.Reason}
		}
		if refused.Server {
			return failed("%s", refused.Reason)
		}
		err = errors.New(refused.Reason) // what the library makes of a lost connection
	case errors.As(err, new(*tls.CertificateVerificationError)):
		return &fault{codeUnavailable, fmt.Sprintf("AMQP: %v: SSL_CERT_FILE names a file with the authorities that are trusted", err)}
	}
	return &fault{codeUnavailable, fmt.Sprintf("AMQP: %v: is the broker running, and is --amqp-url (LEVERET_AMQP_URL) right, amqps:// for TLS?", err)}
}

// publishFlags say what is published, and how.
type publishFlags struct {
	amqpURL              string
	exchange, key, queue string
	file                 string
	lines                bool
	count                int
	transient, optional  bool
	properties           []string
	headers              []string
	window               int
}

func (a *app) newPublish() *cobra.Command {
	f := &publishFlags{}
	cmd := command("publish [BODY]", "Publish messages and wait until they are confirmed, which means on disk", cobra.MaximumNArgs(1), func(_ *cobra.Command, args []string) error {
		return a.publish(f, args)
	})
	cmd.Long = `Publish messages over AMQP and wait until each is confirmed. The body is an argument, a
file or standard input; with --lines each line of those is a message.

Messages are persistent and must reach a queue: one that reaches none makes the exit
code 3, one that is refused 1.`
	cmd.Example = `  leveret publish --queue orders 'one hare'
  leveret publish --exchange logs --key app.error --header level=3 --property content_type=text/plain --file report.txt
  leveret publish --queue orders --lines < orders.jsonl`
	fs := cmd.Flags()
	fs.StringVar(&f.amqpURL, "amqp-url", "", "`URL` of AMQP (LEVERET_AMQP_URL; port 5672 of --url's host)")
	fs.StringVar(&f.exchange, "exchange", "", "`exchange`; empty is the default one, whose keys are queues' names")
	fs.StringVar(&f.key, "key", "", "routing `key`")
	fs.StringVar(&f.queue, "queue", "", "the `queue` itself, by the default exchange")
	fs.StringVar(&f.file, "file", "", "the body is in that `file`; - is standard input")
	fs.BoolVar(&f.lines, "lines", false, "each line is a message")
	fs.IntVar(&f.count, "count", 1, "publish it so many `times`")
	fs.BoolVar(&f.transient, "transient", false, "not persistent: a restart may drop it")
	fs.BoolVar(&f.optional, "no-mandatory", false, "it need not reach a queue")
	fs.StringArrayVar(&f.properties, "property", nil, "a property, `NAME=VALUE` (content_type, correlation_id, expiration, priority …); may be given again")
	fs.StringArrayVar(&f.headers, "header", nil, "a header, `NAME=VALUE`; may be given again")
	fs.IntVar(&f.window, "window", 1000, "how `many` may wait for their confirms")
	a.completeFlag(cmd, "queue", queues)
	a.completeFlag(cmd, "exchange", exchanges)
	return cmd
}

// publisher keeps what is not confirmed yet.
type publisher struct {
	ch       *amqp.Channel
	ctx      context.Context
	window   int
	waiting  []*amqp.DeferredConfirmation
	returned chan amqp.Return
	sent     int
	refused  int
	lost     int
	reason   string // of the first that was returned
}

func (a *app) publish(f *publishFlags, args []string) error {
	switch {
	case f.queue != "" && (f.exchange != "" || f.key != ""):
		return usage("--queue stands for itself: leave --exchange and --key out")
	case f.queue == "" && f.exchange == "" && f.key == "":
		return usage("name where it goes: --queue, or --exchange and --key")
	case f.count < 1 || f.window < 1:
		return usage("--count and --window must be positive")
	case len(args) > 0 && f.file != "":
		return usage("the body is an argument or a file, not both")
	}
	message, err := f.message()
	if err != nil {
		return err
	}
	body, closeBody, err := a.body(f, args)
	if err != nil {
		return err
	}
	defer closeBody()
	conn, ch, err := a.dial(f.amqpURL, "leveret publish")
	if err != nil {
		return err
	}
	defer conn.Close()
	if err := ch.Confirm(false); err != nil {
		return a.explainAMQP(err)
	}
	p := &publisher{ch: ch, ctx: a.ctx(), window: f.window, returned: ch.NotifyReturn(make(chan amqp.Return, f.window+1))}
	gone := ch.NotifyClose(make(chan *amqp.Error, 1))
	a.tellBlocked(conn)
	key := f.key
	if f.queue != "" {
		key = f.queue
	}
	err = each(body, f.lines, func(text []byte) error {
		message.Body = text
		for range f.count {
			if err := p.publish(f.exchange, key, !f.optional, message); err != nil {
				return err
			}
		}
		return nil
	})
	if err == nil {
		err = p.wait(0)
	}
	if err != nil {
		select {
		case why := <-gone: // which says more
			if why != nil {
				err = why
			}
		default:
		}
		return a.explainAMQP(err)
	}
	return a.published(p)
}

// tellBlocked says why nothing goes on while the broker holds publishers up.
func (a *app) tellBlocked(conn *amqp.Connection) {
	blocked := conn.NotifyBlocked(make(chan amqp.Blocking, 1))
	go func() { // which ends with the connection
		for b := range blocked {
			if b.Active {
				fmt.Fprintf(a.errs, "the broker holds publishers up (%s); waiting\n", terminal.Printable(b.Reason))
			} else {
				fmt.Fprintln(a.errs, "the broker lets publishers go on")
			}
		}
	}()
}

// published tells how it went.
func (a *app) published(p *publisher) error {
	confirmed := p.sent - p.refused - p.lost
	if a.json {
		if err := a.printJSON(map[string]int{"published": p.sent, "confirmed": confirmed, "refused": p.refused, "returned": p.lost}); err != nil {
			return err
		}
	}
	switch {
	case p.refused > 0:
		return failed("%s of %d refused by the broker: a queue is full, or its disk failed", terminal.Plural(p.refused, "message"), p.sent)
	case p.lost > 0:
		return &fault{codeNotFound, fmt.Sprintf("%s of %d reached no queue (%s): check the name or the bindings, or give --no-mandatory", terminal.Plural(p.lost, "message"), p.sent, p.reason)}
	}
	a.say("%s confirmed", terminal.Plural(confirmed, "message"))
	return nil
}

// publish sends a message; where the window is full it waits first.
func (p *publisher) publish(exchange, key string, mandatory bool, m amqp.Publishing) error {
	if err := p.wait(p.window - 1); err != nil {
		return err
	}
	c, err := p.ch.PublishWithDeferredConfirmWithContext(p.ctx, exchange, key, mandatory, false, m)
	if err != nil {
		return err
	}
	p.sent++
	p.waiting = append(p.waiting, c)
	return nil
}

// wait waits until at most so many are unconfirmed. A message that is returned is
// returned before it is confirmed.
func (p *publisher) wait(most int) error {
	for len(p.waiting) > most {
		ok, err := p.waiting[0].WaitContext(p.ctx)
		if err != nil {
			return err
		}
		if !ok {
			if p.ch.IsClosed() {
				return amqp.ErrClosed
			}
			p.refused++
		}
		p.waiting = p.waiting[1:]
		p.drain()
	}
	return nil
}

func (p *publisher) drain() {
	for {
		select {
		case r, ok := <-p.returned:
			if !ok {
				return
			}
			p.lost++
			p.reason = cmp.Or(p.reason, r.ReplyText)
		default:
			return
		}
	}
}

// body is where messages come from.
func (a *app) body(f *publishFlags, args []string) (r io.Reader, done func(), err error) {
	done = func() {}
	switch {
	case len(args) > 0:
		return strings.NewReader(args[0]), done, nil
	case f.file != "" && f.file != "-":
		file, err := os.Open(f.file)
		if err != nil {
			return nil, nil, failed("%v", err)
		}
		return file, func() { file.Close() }, nil
	case f.file == "" && terminal.IsTerminal(a.in):
		return nil, nil, usage("there is no body: give it as an argument, with --file or on standard input")
	}
	return a.in, done, nil
}

// each calls for the whole text, or for each line of it.
func each(r io.Reader, lines bool, do func([]byte) error) error {
	if !lines {
		text, err := io.ReadAll(r)
		if err != nil {
			return failed("%v", err)
		}
		return do(text)
	}
	in := bufio.NewReader(r)
	for {
		line, err := in.ReadBytes('\n')
		if len(line) > 0 {
			text := strings.TrimSuffix(strings.TrimSuffix(string(line), "\n"), "\r")
			if err := do([]byte(text)); err != nil {
				return err
			}
		}
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return failed("%v", err)
		}
	}
}

// message makes the properties.
func (f *publishFlags) message() (amqp.Publishing, error) {
	m := amqp.Publishing{DeliveryMode: amqp.Persistent}
	if f.transient {
		m.DeliveryMode = amqp.Transient
	}
	for _, pair := range f.properties {
		name, text, ok := strings.Cut(pair, "=")
		if !ok {
			return m, usage("--property %q is not NAME=VALUE", pair)
		}
		if err := setProperty(&m, name, text); err != nil {
			return m, err
		}
	}
	if len(f.headers) > 0 {
		m.Headers = amqp.Table{}
	}
	for _, pair := range f.headers {
		name, text, ok := strings.Cut(pair, "=")
		if !ok || name == "" {
			return m, usage("--header %q is not NAME=VALUE", pair)
		}
		m.Headers[name] = header(text)
	}
	if err := m.Headers.Validate(); err != nil {
		return m, usage("--header: %v", err)
	}
	return m, nil
}

// header is a number, true or false, or text.
func header(text string) any {
	if n, err := strconv.ParseInt(text, 10, 64); err == nil {
		return n
	}
	if x, err := strconv.ParseFloat(text, 64); err == nil && strings.ContainsAny(text, "0123456789") && !strings.ContainsAny(text, "xXpP_") {
		return x
	}
	switch text {
	case "true":
		return true
	case "false":
		return false
	}
	return text
}

// setProperty sets a property by its name in AMQP.
func setProperty(m *amqp.Publishing, name, text string) error {
	texts := map[string]*string{
		"content_type": &m.ContentType, "content_encoding": &m.ContentEncoding, "correlation_id": &m.CorrelationId, "reply_to": &m.ReplyTo,
		"expiration": &m.Expiration, "message_id": &m.MessageId, "type": &m.Type, "user_id": &m.UserId, "app_id": &m.AppId,
	}
	name = strings.ReplaceAll(name, "-", "_")
	if at := texts[name]; at != nil {
		*at = text
		return nil
	}
	n, err := strconv.ParseUint(text, 10, 63)
	switch {
	case name == "priority" && err == nil && n <= 255:
		m.Priority = uint8(n)
	case name == "delivery_mode" && err == nil && (n == 1 || n == 2):
		m.DeliveryMode = uint8(n)
	case name == "timestamp" && err == nil:
		m.Timestamp = time.Unix(int64(n), 0)
	case name == "priority" || name == "delivery_mode" || name == "timestamp":
		return usage("--property %s=%s: priority is 0 to 255, delivery_mode 1 or 2, timestamp in seconds", name, text)
	default:
		return usage("--property %q is none of content_type, content_encoding, correlation_id, reply_to, expiration, message_id, type, user_id, app_id, priority, delivery_mode, timestamp", name)
	}
	return nil
}
