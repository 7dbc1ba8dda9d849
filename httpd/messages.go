package httpd

import (
	"bufio"
	"encoding/base64"
	"encoding/json"
	"errors"
	"math"
	"net/http"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/leveret-mq/leveret/broker"
	"github.com/leveret-mq/leveret/broker/policy"
	"github.com/leveret-mq/leveret/internal/amqp"
)

// Messages that are published and fetched over HTTP, for tests and repairs: each
// request is a session of its user.

const (
	// maxPublish bounds in bytes the body of a request that publishes.
	maxPublish = 16 << 20
	// maxProperties bounds a message's properties in bytes: they go to consumers in one
	// frame.
	maxProperties = 120 << 10
	// maxFetched is how many bytes of messages an answer has, but for its first message.
	maxFetched = 32 << 20
	// fetchedCost is what a message counts beside its payload and properties.
	fetchedCost = 256
	// maxHolders is how many requests that may hold large messages in memory are served
	// at a time; the others wait.
	maxHolders = 4
	// fetchedRate is how fast an answer must be taken at least, in bytes a second, after
	// answerTimeout.
	fetchedRate = 1 << 20
)

var messagePaths = map[string]resource{
	"/api/exchanges/{vhost}/{exchange}/publish": {post: action{management, publish}},
	"/api/queues/{vhost}/{queue}/get":           {post: action{management, fetch}},
}

// inMessages is in for what RabbitMQ does on a channel: a vhost that is not there is
// refused in other words.
func (c *call) inMessages(fn func(s *broker.Session) error) error {
	if _, err := c.b.VHost(c.r.PathValue("vhost")); err != nil && c.has(administrator) {
		return notAuthorised("Access refused.")
	}
	var inside error
	err := c.in(func(s *broker.Session, _ string) error {
		inside = fn(s)
		return nil
	})
	if err == nil {
		err = inside
	}
	return err
}

func publish(c *call) error {
	if n := c.r.ContentLength; n < 0 || n > maxBody {
		if err := c.hold(); err != nil {
			return err
		}
		defer c.letGo()
	}
	body, err := c.bodyUpTo(maxPublish)
	if err != nil {
		return err
	}
	if err := require(body, "routing_key", "properties", "payload", "payload_encoding"); err != nil {
		return err
	}
	p := broker.Publishing{Exchange: []byte(exchangeName(c.r.PathValue("exchange"))), Confirm: true, Mandatory: true}
	key, err := text(body, "routing_key")
	if err != nil {
		return err
	}
	if len(key) > 255 {
		return badRequest("a routing key has at most 255 bytes")
	}
	p.RoutingKey = []byte(key)
	if p.Body, err = payloadOf(body); err != nil {
		return err
	}
	if p.Props, err = propertiesOf(body["properties"]); err != nil {
		return err
	}
	if alarm := c.b.Alarm(); alarm != "" {
		return &failure{http.StatusServiceUnavailable, "service_unavailable", "publishers are held up: the broker is " + alarm}
	}
	routed := false
	err = c.inMessages(func(s *broker.Session) error {
		var err error
		routed, err = c.publish(s, &p)
		return err
	})
	if err != nil {
		return err
	}
	return c.json(http.StatusOK, struct {
		Routed bool `json:"routed"`
	}{routed})
}

// publish publishes one message, and returns when it is where it must be.
func (c *call) publish(s *broker.Session, p *broker.Publishing) (routed bool, err error) {
	if uint64(len(p.Body)) >= c.b.LargeBytes() {
		up, err := s.NewUpload(uint64(len(p.Body)), p.Props)
		switch {
		case err == nil:
			defer up.Abort() // where no queue took it
			if _, err := up.Write(p.Body); err != nil {
				return false, unavailable(err)
			}
			p.Upload, p.Body = up, nil
		case !errors.Is(err, broker.ErrTooManyUploads):
			return false, unavailable(err)
		}
	}
	batch := s.NewBatch()
	routed, err = batch.Publish(p)
	var bad *amqp.Error
	switch {
	case errors.Is(err, broker.ErrNotStored):
		return false, unavailable(err)
	case errors.As(err, &bad) && bad.Code != amqp.CodeInternalError:
		return false, badRequest("%d %s", bad.Code, bad.Error())
	case err != nil:
		return false, err
	}
	lsn, err := batch.Flush(nil, true)
	if err == nil {
		err = c.b.Wait(lsn)
	}
	if err != nil {
		return false, unavailable(err)
	}
	if batch.Rejected(0) {
		return false, badRequest("rejected Unable to publish message. Check queue limits.")
	}
	s.Confirmed(1)
	return routed, nil
}

// hold waits until the request may hold large messages.
func (c *call) hold() error { return c.turn(c.s.holders, "hold messages") }

// turn waits until there is room for one more request that does something costly,
// though not for ever.
func (c *call) turn(room chan struct{}, what string) error {
	wait := time.NewTimer(c.s.http.WriteTimeout)
	defer wait.Stop()
	select {
	case room <- struct{}{}:
		return nil
	case <-wait.C:
		return unavailable(errors.New("too many requests " + what + " at this moment"))
	case <-c.r.Context().Done():
		return errGone
	}
}

// errGone ends a request whose answer nobody waits for any more.
var errGone = &failure{code: http.StatusRequestTimeout}

func (c *call) letGo() { <-c.s.holders }

// unavailable says that the broker cannot do it now, or not any more.
func unavailable(err error) error {
	return &failure{http.StatusServiceUnavailable, "service_unavailable", err.Error()}
}

// because is a bad request for a reason and what it is about, as RabbitMQ puts it.
func because(reason, what string) error {
	return &failure{http.StatusBadRequest, "bad_request", []string{reason, what}}
}

func payloadOf(body map[string]any) ([]byte, error) {
	payload, ok := body["payload"].(string)
	if !ok {
		return nil, badRequest("payload_not_string")
	}
	encoding, ok := body["payload_encoding"].(string)
	switch {
	case !ok:
		return nil, because("unsupported_encoding", policy.Term(body["payload_encoding"]))
	case encoding == "string":
		return []byte(payload), nil
	case encoding != "base64":
		return nil, because("unsupported_encoding", encoding)
	}
	decoded, err := base64.StdEncoding.DecodeString(strings.NewReplacer(" ", "", "\t", "", "\n", "", "\r", "").Replace(payload))
	if err != nil {
		return nil, because("not_base64", payload[:min(len(payload), 64)])
	}
	return decoded, nil
}

// properties are a message's properties by their names in JSON, in the order in which
// answers have them.
var properties = []struct {
	name string
	prop amqp.Property
}{
	{"cluster_id", amqp.PropClusterID}, {"app_id", amqp.PropAppID}, {"user_id", amqp.PropUserID}, {"type", amqp.PropType},
	{"timestamp", amqp.PropTimestamp}, {"message_id", amqp.PropMessageID}, {"expiration", amqp.PropExpiration},
	{"reply_to", amqp.PropReplyTo}, {"correlation_id", amqp.PropCorrelationID}, {"priority", amqp.PropPriority},
	{"delivery_mode", amqp.PropDeliveryMode}, {"headers", amqp.PropHeaders}, {"content_encoding", amqp.PropContentEncoding},
	{"content_type", amqp.PropContentType},
}

// propertiesOf reads a message's properties. Names that mean nothing are passed over.
func propertiesOf(v any) (amqp.Properties, error) {
	given, ok := v.(map[string]any)
	if list, empty := v.([]any); empty && len(list) == 0 { // as some languages write an empty map
		ok = true
	}
	if !ok {
		return nil, badRequest("properties should be an object, actually was %s", policy.Term(v))
	}
	edit := amqp.NoProperties.Edit()
	for _, each := range properties {
		v, ok := given[each.name]
		if !ok || v == nil {
			continue
		}
		if err := setProperty(edit, each.prop, each.name, v); err != nil {
			return nil, err
		}
	}
	props, err := edit.Properties()
	if err != nil {
		return nil, badRequest("%v", err)
	}
	if len(props) > maxProperties {
		return nil, badRequest("properties have at most %d bytes", maxProperties)
	}
	return props, nil
}

func setProperty(edit *amqp.PropertiesEditor, prop amqp.Property, name string, v any) error {
	switch prop {
	case amqp.PropHeaders:
		m, ok := v.(map[string]any)
		if list, empty := v.([]any); empty && len(list) == 0 {
			ok = true
		}
		if !ok {
			return badRequest("headers should be an object, actually was %s", policy.Term(v))
		}
		t, err := tableOf(m)
		if err != nil {
			return err
		}
		edit.SetHeaders(t)
		return nil
	case amqp.PropDeliveryMode, amqp.PropPriority, amqp.PropTimestamp:
		n, ok := v.(int64)
		switch {
		case !ok:
			return because("not_int", name)
		case prop == amqp.PropDeliveryMode && (n < 0 || n > math.MaxUint8):
			return badRequest("%d %s", amqp.CodePreconditionFailed, amqp.PreconditionFailed("invalid message: {delivery_mode_unknown,%d}", n))
		case n < 0:
			return badRequest("%s cannot be negative", name)
		case prop == amqp.PropDeliveryMode:
			edit.SetDeliveryMode(uint8(n))
		case prop == amqp.PropPriority:
			edit.SetPriority(uint8(min(n, math.MaxUint8)))
		default:
			edit.SetTimestamp(uint64(n))
		}
		return nil
	}
	s, ok := v.(string)
	switch {
	case !ok:
		return because("not_string", name)
	case len(s) > 255:
		return badRequest("%s has at most 255 bytes", name)
	}
	edit.SetString(prop, s)
	return nil
}

// propertiesJSON are a message's properties in an answer: in RabbitMQ's order, and an
// empty list where there are none.
type propertiesJSON struct{ amqp.Properties }

// MarshalJSON writes an object, or an empty list.
func (p propertiesJSON) MarshalJSON() ([]byte, error) {
	var out []byte
	for _, each := range properties {
		raw, ok := p.Get(each.prop)
		if !ok {
			continue
		}
		v, err := json.Marshal(showProperty(p.Properties, each.prop, raw))
		if err != nil {
			return nil, err
		}
		out = append(out, ',', '"')
		out = append(append(append(out, each.name...), '"', ':'), v...)
	}
	if len(out) == 0 {
		return []byte("[]"), nil
	}
	out[0] = '{'
	return append(out, '}'), nil
}

func showProperty(p amqp.Properties, prop amqp.Property, raw []byte) any {
	switch prop {
	case amqp.PropHeaders:
		return showTable(p.Headers())
	case amqp.PropDeliveryMode:
		return p.DeliveryMode()
	case amqp.PropPriority:
		n, _ := p.Priority()
		return n
	case amqp.PropTimestamp:
		n, _ := p.Timestamp()
		return n
	}
	return string(raw)
}

// showPayload is a body as JSON has it: text where it is UTF-8 and text will do, else
// base64.
func showPayload(body []byte, textWillDo bool) (payload, encoding string) {
	if textWillDo && utf8.Valid(body) {
		return string(body), "string"
	}
	return base64.StdEncoding.EncodeToString(body), "base64"
}

// order is what a request wants of a queue.
type order struct {
	count    int64 // negative: all that there is
	settle   func(b *broker.Batch, q broker.Queue, seq uint64)
	text     bool  // where the payload is text
	truncate int64 // bytes of each payload at most; negative: all
}

// ackModes are what may become of messages that were fetched.
var ackModes = map[string]func(b *broker.Batch, q broker.Queue, seq uint64){
	"ack_requeue_false":    (*broker.Batch).Ack,
	"ack_requeue_true":     (*broker.Batch).Requeue,
	"reject_requeue_true":  (*broker.Batch).Requeue,
	"reject_requeue_false": (*broker.Batch).Discard,
}

func (c *call) order() (o order, err error) {
	body, err := c.body()
	if err != nil {
		return o, err
	}
	if err := require(body, "ackmode", "count", "encoding"); err != nil {
		return o, err
	}
	mode, _ := body["ackmode"].(string)
	if o.settle = ackModes[mode]; o.settle == nil {
		return o, badRequest("ackmode is none of ack_requeue_false, ack_requeue_true, reject_requeue_false and reject_requeue_true: %s", policy.Term(body["ackmode"]))
	}
	if o.count, err = integer(body["count"]); err != nil {
		return o, err
	}
	switch body["encoding"] {
	case "auto":
		o.text = true
	case "base64":
	default:
		return o, badRequest("Unsupported encoding. Please use auto or base64.")
	}
	o.truncate = -1
	if v := body["truncate"]; v != nil {
		if o.truncate, err = integer(v); err != nil {
			return o, err
		}
		if o.truncate < 0 {
			return o, badRequest("truncate cannot be negative")
		}
	}
	return o, nil
}

// integer reads a number, which may be written as text.
func integer(v any) (int64, error) {
	switch v := v.(type) {
	case int64:
		return v, nil
	case float64:
		if math.Abs(v) < 1<<62 {
			return int64(v), nil
		}
	case string:
		if n, err := strconv.ParseInt(v, 10, 64); err == nil {
			return n, nil
		}
		return 0, because("not_integer", v)
	}
	return 0, because("not_integer", policy.Term(v))
}

// messageJSON is a message in answers.
type messageJSON struct {
	Bytes       int64          `json:"payload_bytes"`
	Redelivered bool           `json:"redelivered"`
	Exchange    string         `json:"exchange"`
	Key         string         `json:"routing_key"`
	Remaining   int            `json:"message_count"`
	Properties  propertiesJSON `json:"properties"`
	Payload     string         `json:"payload"`
	Encoding    string         `json:"payload_encoding"`
}

// fetched is a message that was taken out of its queue.
type fetched struct {
	shown messageJSON
	queue broker.Queue
	seq   uint64
	body  []byte        // as much of it as is wanted
	large *broker.Large // held until the body is read
	lost  bool          // it could not be read and was set aside
}

func fetch(c *call) error {
	o, err := c.order()
	if err != nil {
		return err
	}
	if err := c.hold(); err != nil {
		return err
	}
	defer c.letGo()
	var got []fetched
	err = c.inMessages(func(s *broker.Session) error {
		var err error
		got, err = c.fetch(s, o)
		return err
	})
	var bad *amqp.Error
	switch {
	case errors.As(err, &bad) && bad.Code == amqp.CodeNotFound:
		return &failure{http.StatusNotFound, "not_found", bad.Error()}
	case errors.As(err, &bad) && bad.Code == amqp.CodeAccessRefused:
		return notAuthorised(bad.Error())
	case errors.As(err, &bad) && bad.Code != amqp.CodeInternalError:
		return badRequest("%d %s", bad.Code, bad.Error())
	case err != nil:
		return err
	}
	return c.showFetched(got, o)
}

// fetch takes messages out of a queue and settles them. Those of an order that ends in
// an error are back in their places.
func (c *call) fetch(s *broker.Session, o order) (got []fetched, err error) {
	settle := (*broker.Batch).Requeue
	defer func() {
		batch := s.NewBatch()
		batch.Atomic() // acks too are on disk when they are answered
		for i := range got {
			if got[i].large != nil {
				got[i].large.Release()
			}
			if !got[i].lost {
				settle(batch, got[i].queue, got[i].seq)
			}
		}
		lsn, failed := batch.Flush(nil, true)
		if failed == nil {
			failed = c.b.Wait(lsn)
		}
		if failed != nil && err == nil {
			err = unavailable(failed)
		}
	}()
	size := int64(0)
	for n := o.count; n != 0 && size < maxFetched && c.r.Context().Err() == nil; n-- {
		ok, err := s.Get(c.r.PathValue("queue"), false, func(d *broker.Delivery, remaining int) {
			got = append(got, take(d, remaining, o.truncate))
		})
		if err != nil {
			return got, err
		}
		if !ok {
			break
		}
		last := &got[len(got)-1]
		if err := last.read(o.truncate); err != nil {
			if !broker.BodyDamaged(err) {
				return got, unavailable(err)
			}
			last.queue.SetAside(last.seq, err)
			last.lost = true
		}
		size += int64(len(last.body)+len(last.shown.Properties.Properties)) + fetchedCost
	}
	if c.r.Context().Err() != nil {
		return got, errGone // with messages that nobody would have
	}
	settle = o.settle
	return got, nil
}

// take copies what is wanted of a delivery, of which nothing is valid later.
func take(d *broker.Delivery, remaining int, truncate int64) fetched {
	f := fetched{queue: d.Queue, seq: d.Seq, large: d.Large, shown: messageJSON{
		Bytes: int64(len(d.Body)), Redelivered: d.Redelivered, Exchange: string(d.Exchange), Key: string(d.RoutingKey), Remaining: remaining,
		Properties: propertiesJSON{amqp.Properties(append([]byte{}, d.Props...))},
	}}
	if d.Large != nil {
		d.Large.Retain()
		f.shown.Bytes = d.Large.Size()
		return f
	}
	f.body = append(f.body, cutTo(d.Body, truncate)...)
	return f
}

func cutTo(body []byte, truncate int64) []byte {
	if truncate >= 0 && truncate < int64(len(body)) {
		return body[:truncate]
	}
	return body
}

// read reads a large body as far as it is wanted.
func (f *fetched) read(truncate int64) error {
	if f.large == nil {
		return nil
	}
	most := f.large.Size()
	if truncate >= 0 {
		most = truncate
	}
	var err error
	f.body, err = beginning(f.large, most)
	return err
}

// beginning reads the first bytes of a body in a file.
func beginning(l *broker.Large, most int64) ([]byte, error) {
	r, err := l.Open()
	if err != nil {
		return nil, err
	}
	body := make([]byte, min(l.Size(), most))
	if _, err := r.ReadAt(body, 0); err != nil {
		return nil, err
	}
	return body, nil
}

// showFetched answers with messages, one by one.
func (c *call) showFetched(got []fetched, o order) error {
	h := c.w.Header()
	h.Set("Cache-Control", "no-cache")
	h.Set("Content-Type", "application/json")
	size := 0
	for i := range got {
		size += len(got[i].body) + len(got[i].shown.Properties.Properties) + fetchedCost
	}
	_ = http.NewResponseController(c.w).SetWriteDeadline(time.Now().Add(answerTimeout + time.Duration(size/fetchedRate)*time.Second))
	out := bufio.NewWriterSize(c.w, 64<<10)
	encode := encoder(out)
	sep := "["
	for i := range got {
		if got[i].lost {
			continue
		}
		m := got[i].shown
		m.Payload, m.Encoding = showPayload(got[i].body, o.text)
		got[i].body = nil
		_, _ = out.WriteString(sep)
		sep = ","
		if err := encode.Encode(m); err != nil {
			break // whoever asked has gone
		}
	}
	if sep == "[" {
		_, _ = out.WriteString(sep)
	}
	_, _ = out.WriteString("]")
	_ = out.Flush()
	return nil
}
