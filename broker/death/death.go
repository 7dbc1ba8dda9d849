package death

import (
	"bytes"
	"math"
	"slices"

	"github.com/leveret-mq/leveret/internal/amqp"
)

// Names of headers, and of fields of an entry.
const (
	headerDeaths = "x-death"
	headerCC     = "CC"
	firstDeath   = "x-first-death-"
	lastDeath    = "x-last-death-"

	fieldCount      = "count"
	fieldReason     = "reason"
	fieldQueue      = "queue"
	fieldTime       = "time"
	fieldExchange   = "exchange"
	fieldKeys       = "routing-keys"
	fieldExpiration = "original-expiration"
)

// Rejected is the reason of which a cycle of queues may have any number: a client
// is in it, which decides.
const Rejected = "rejected"

// Event is one death of a message.
type Event struct {
	Reason string
	Queue  string // where it died
	// Exchange and RoutingKey are what the message had been published with.
	Exchange, RoutingKey []byte
	Time                 uint64 // seconds since 1970
	// NewKey says that the dead letter gets another routing key: CC goes.
	NewKey bool
}

// Append appends the properties p, with the death written into them, to dst.
func (e *Event) Append(dst []byte, p amqp.Properties) ([]byte, error) {
	headers := e.headers(p)
	return p.Edit().Remove(amqp.PropExpiration).SetHeaders(headers).Append(dst)
}

// field is a header.
type field struct {
	name  []byte
	value amqp.Value
}

// set gives a field its value: in the place of the first of that name, or at the
// end.
func set(fields []field, name string, v amqp.Value) []field {
	for i := range fields {
		if string(fields[i].name) == name {
			fields[i].value = v
			return fields
		}
	}
	return append(fields, field{[]byte(name), v})
}

// table puts fields together by their names.
func table(fields []field) amqp.Table {
	slices.SortStableFunc(fields, func(a, b field) int { return bytes.Compare(a.name, b.name) })
	var t amqp.Table
	for _, f := range fields {
		t = amqp.AppendField(t, f.name, f.value)
	}
	return t
}

// all are the fields of a table, with room for some more.
func all(t amqp.Table) []field {
	fields := make([]field, 0, t.Len()+8)
	for name, v := range t.All() {
		fields = append(fields, field{name, v})
	}
	return fields
}

// headers are those of the dead letter.
func (e *Event) headers(p amqp.Properties) amqp.Table {
	old := p.Headers()
	fields := all(old)
	reason, queue, exchange := amqp.LongString(e.Reason), amqp.LongString(e.Queue), text(e.Exchange)
	deaths, ok := old.Get(headerDeaths)
	if !ok {
		fields = set(fields, firstDeath+fieldReason, reason)
		fields = set(fields, firstDeath+fieldQueue, queue)
		fields = set(fields, firstDeath+fieldExchange, exchange)
	}
	fields = set(fields, lastDeath+fieldReason, reason)
	fields = set(fields, lastDeath+fieldQueue, queue)
	fields = set(fields, lastDeath+fieldExchange, exchange)
	before, _ := deaths.Array()
	fields = set(fields, headerDeaths, amqp.List(e.add(before, p)...))
	if e.NewKey {
		if i := slices.IndexFunc(fields, func(f field) bool { return string(f.name) == headerCC }); i >= 0 {
			fields = slices.Delete(fields, i, i+1)
		}
	}
	return table(fields)
}

func text(s []byte) amqp.Value { return amqp.LongString(string(s)) }

// add is x-death with this death at its front.
func (e *Event) add(before amqp.Array, p amqp.Properties) []amqp.Value {
	deaths := slices.Collect(before.All())
	if len(deaths) > 1 {
		deaths = join(deaths)
	}
	mine := id{e.Queue, e.Reason, true, true}
	for i, d := range deaths {
		if t, ok := d.Table(); ok && identify(t) == mine {
			copy(deaths[1:], deaths[:i])
			deaths[0] = amqp.Nested(count(t, 1))
			return deaths
		}
	}
	return slices.Insert(deaths, 0, amqp.Nested(e.entry(p)))
}

// entry is the first death of this reason in this queue.
func (e *Event) entry(p amqp.Properties) amqp.Table {
	keys := []amqp.Value{text(e.RoutingKey)}
	if cc, ok := p.Headers().Array(headerCC); ok {
		for v := range cc.All() {
			if v.Type == amqp.TypeLongString {
				keys = append(keys, v)
			}
		}
	}
	fields := []amqp.Field{
		{Name: fieldCount, Value: amqp.Int64(1)},
		{Name: fieldReason, Value: amqp.LongString(e.Reason)},
		{Name: fieldQueue, Value: amqp.LongString(e.Queue)},
		{Name: fieldTime, Value: amqp.Timestamp(e.Time)},
		{Name: fieldExchange, Value: text(e.Exchange)},
		{Name: fieldKeys, Value: amqp.List(keys...)},
	}
	if expiration, ok := p.Get(amqp.PropExpiration); ok {
		fields = append(fields, amqp.Field{Name: fieldExpiration, Value: text(expiration)})
	}
	return amqp.NewTable(fields...)
}

// id is what makes two entries one.
type id struct {
	queue, reason       string
	hasQueue, hasReason bool
}

func identify(t amqp.Table) (d id) {
	if v, ok := t.Get(fieldQueue); ok {
		d.queue, d.hasQueue = spell(v), true
	}
	if v, ok := t.Get(fieldReason); ok {
		d.reason, d.hasReason = spell(v), true
	}
	return d
}

// spell is a value by which entries are told apart.
func spell(v amqp.Value) string {
	if b, ok := v.Bytes(); ok {
		return string(b)
	}
	return v.String()
}

// join leaves one entry for each queue and reason, the first, which counts those
// that it stands for where it has no count.
func join(deaths []amqp.Value) []amqp.Value {
	times := make(map[id]int64, len(deaths))
	for _, d := range deaths {
		if t, ok := d.Table(); ok {
			times[identify(t)]++
		}
	}
	out := deaths[:0]
	for _, d := range deaths {
		if t, ok := d.Table(); ok {
			key := identify(t)
			n := times[key]
			if n == 0 {
				continue // it is there already
			}
			times[key] = 0
			if !t.Has(fieldCount) {
				d = amqp.Nested(count(t, n))
			}
		}
		out = append(out, d)
	}
	return out
}

// count adds to an entry's count.
func count(t amqp.Table, n int64) amqp.Table {
	if old, ok := t.Int(fieldCount); ok && old > 0 {
		n += min(old, math.MaxInt64-n)
	}
	return table(set(all(t), fieldCount, amqp.Int64(n)))
}

// Automatic yields the queues in which the message died since a client had a say:
// those of the entries before the first one that a client rejected, or wrote so
// that it says nothing. Where a dead letter that nobody rejected would reach one of
// them, the cycle would go on for ever, and RabbitMQ drops it. headers are those of
// the dead letter, this death included.
func Automatic(headers amqp.Table) func(yield func(queue []byte) bool) {
	return func(yield func([]byte) bool) {
		deaths, _ := headers.Array(headerDeaths)
		for d := range deaths.All() {
			t, ok := d.Table()
			if !ok {
				return
			}
			if reason, _ := t.Get(fieldReason); is(reason, Rejected) {
				return
			}
			queue, _ := t.Get(fieldQueue)
			if name, _ := queue.Bytes(); queue.Type == amqp.TypeLongString && !yield(name) {
				return
			}
		}
	}
}

func is(v amqp.Value, text string) bool {
	b, _ := v.Bytes()
	return v.Type == amqp.TypeLongString && string(b) == text
}
