package inspect

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"io/fs"
	"path/filepath"
	"slices"
	"strconv"
	"time"
	"unicode/utf8"

	"github.com/leveret-mq/leveret/internal/amqp"
	"github.com/leveret-mq/leveret/internal/large"
	"github.com/leveret-mq/leveret/internal/record"
	"github.com/leveret-mq/leveret/wal"
)

// DumpOptions say what Dump shows.
type DumpOptions struct {
	Options
	// Queue leaves out what does not concern that queue; "" is all.
	Queue Filter
	// From and To bound the records by their position: [From, To). To 0 is the
	// end.
	From, To wal.LSN
	// Bodies adds properties and bodies.
	Bodies bool
}

// Line is one record of the log, as Dump shows it; which fields it has depends
// on Kind. Kind "damage" is none, but a stretch that cannot be read.
type Line struct {
	LSN  wal.LSN `json:"lsn"`
	Kind string  `json:"kind"`

	*Target            // ack, requeue, delivered, create-queue, delete-queue
	Queues  []Delivery `json:"queues,omitempty"` // publish, large-publish
	*Message

	Ranges   [][2]uint64 `json:"ranges,omitempty"`   // ack: first and last
	Counts   [][2]uint64 `json:"counts,omitempty"`   // requeue: number and delivery count
	Mark     uint64      `json:"mark,omitempty"`     // delivered: all below
	Object   string      `json:"object,omitempty"`   // put, delete
	Segment  uint64      `json:"segment,omitempty"`  // sealed, merged
	FromLSN  wal.LSN     `json:"from_lsn,omitempty"` // sealed: the stretch of the log
	ToLSN    wal.LSN     `json:"to_lsn,omitempty"`   // sealed, damage
	Spans    []Span      `json:"spans,omitempty"`    // sealed
	Segments []uint64    `json:"segments,omitempty"` // merged: the old ones
	Large    uint64      `json:"large_file,omitempty"`

	File   string `json:"file,omitempty"` // damage
	Offset int64  `json:"offset,omitempty"`
	Cause  string `json:"cause,omitempty"`
}

// Target is a queue.
type Target struct {
	Queue uint32 `json:"queue"`
	Name
}

// Delivery is a queue that a message went to.
type Delivery struct {
	Target
	Seq       uint64 `json:"seq"`
	Delivered bool   `json:"delivered,omitempty"` // it may have been
}

// Span is a stretch of a queue's messages: [First, End).
type Span struct {
	Target
	First uint64 `json:"first"`
	End   uint64 `json:"end"`
}

// Message is what a publish says.
type Message struct {
	Time       time.Time         `json:"time"`
	Exchange   string            `json:"exchange"`
	RoutingKey string            `json:"routing_key"`
	Expires    *time.Time        `json:"expires,omitempty"` // 1970: at once
	BodyBytes  int64             `json:"body_bytes"`
	Bytes      int64             `json:"bytes"` // all of it
	Properties map[string]string `json:"properties,omitempty"`
	Body       *string           `json:"body,omitempty"`      // if it is text
	BodyData   []byte            `json:"body_data,omitempty"` // if it is not
	Bad        string            `json:"bad,omitempty"`       // what is wrong with it
}

// Dump calls fn with the log's records, in order, and with what is damaged. It
// returns how many places were damaged.
func Dump(dir string, o DumpOptions, fn func(*Line) error) (damaged int, err error) {
	o.Options = o.Options.withDefaults().soften()
	s, err := load(dir, o.Options)
	if err != nil {
		return 0, err
	}
	defer s.close()
	if s.log == nil {
		return 0, nil
	}
	files, _, err := large.Open(o.FS, filepath.Join(dir, largeFolder))
	if err != nil {
		return 0, err
	}
	d := dumper{s: s, o: o, fn: fn, files: files}
	list := s.log.Files()
	total, done := int64(0), int64(0)
	for i := range list {
		if d.skips(&list[i]) {
			continue
		}
		total += list[i].Size
	}
	for i := range list {
		if d.skips(&list[i]) {
			continue
		}
		_, err := s.log.Walk(i, 0, wal.Walker{
			Record: d.record,
			Damage: d.damage,
			Read: func(n int64) error {
				done += n
				o.Progress("log", min(done, total), total)
				return nil
			},
		})
		if errors.Is(err, fs.ErrNotExist) {
			continue // a broker has no use for the file any more
		}
		if errors.Is(err, errEnough) {
			break
		}
		if err != nil {
			return d.damaged, err
		}
	}
	return d.damaged, nil
}

// errEnough ends a walk behind the last record that is wanted.
var errEnough = errors.New("enough")

type dumper struct {
	s       *state
	o       DumpOptions
	fn      func(*Line) error
	files   *large.Dir
	damaged int
}

// skips tells whether nothing of a file is wanted.
func (d *dumper) skips(f *wal.ViewFile) bool {
	return f.Known && (f.End <= d.o.From && !f.Active || d.o.To != 0 && f.Start >= d.o.To)
}

func (d *dumper) damage(b wal.Damage) error {
	if d.o.torn(&b) || b.End > b.LSN && b.End <= d.o.From || d.o.To != 0 && b.LSN >= d.o.To {
		return nil
	}
	d.damaged++
	return d.fn(&Line{LSN: b.LSN, Kind: "damage", ToLSN: b.End, File: b.File, Offset: b.Offset, Cause: b.Cause.Error()})
}

func (d *dumper) record(lsn wal.LSN, p []byte, whole bool) error {
	if d.o.To != 0 && lsn >= d.o.To {
		return errEnough
	}
	if !whole {
		return nil
	}
	rec, err := record.Decode(p)
	if err == nil {
		d.names(&rec)
	}
	if lsn < d.o.From {
		return nil
	}
	if err != nil {
		d.damaged++
		file, off, _ := d.s.log.Locate(lsn)
		return d.fn(&Line{LSN: lsn, Kind: "damage", File: file, Offset: off, Cause: err.Error()})
	}
	if l := d.line(lsn, &rec); l != nil {
		return d.fn(l)
	}
	return nil
}

// names learns what queues that are gone now were called.
func (d *dumper) names(rec *record.Record) {
	if rec.Kind != record.Put {
		return
	}
	for id, name := range queueRecord(string(rec.Key), rec.Value) {
		d.s.topo.names[id] = name
	}
}

func (d *dumper) target(id uint32) Target { return Target{id, d.s.topo.names[id]} }

func (d *dumper) wants(t Target) bool { return d.o.Queue.match(t.Queue, t.Name) }

// line describes a record; nil: it is not wanted.
func (d *dumper) line(lsn wal.LSN, rec *record.Record) *Line {
	l := &Line{LSN: lsn}
	switch rec.Kind {
	case record.Publish, record.PublishLarge:
		wanted := d.o.Queue == ""
		for i := range rec.Pairs.Len() {
			id, seq, flags := rec.Pairs.At(i)
			t := d.target(id)
			wanted = wanted || d.wants(t)
			l.Queues = append(l.Queues, Delivery{t, seq, flags&record.PairMarked != 0})
		}
		if !wanted {
			return nil
		}
		if l.Kind = "publish"; rec.Kind == record.PublishLarge {
			l.Kind, l.Large = "large-publish", rec.File
			l.Message = d.large(rec)
		} else {
			l.Message = d.message(rec.Blob)
		}
		return l
	case record.Put, record.Delete:
		if l.Kind = "put"; rec.Kind == record.Delete {
			l.Kind = "delete"
		}
		l.Object = object(string(rec.Key))
		if d.o.Queue == "" {
			return l
		}
		for id, name := range d.s.topo.names {
			if d.o.Queue.match(id, name) && l.Object == object(queueKey(name)) {
				return l
			}
		}
		return nil
	case record.Sealed:
		l.Kind, l.Segment, l.FromLSN, l.ToLSN = "sealed", rec.Segment, wal.LSN(rec.From), wal.LSN(rec.To)
		for i := range len(rec.Items) / record.SpanSize {
			id, first, end := rec.Span(i)
			if t := d.target(id); d.wants(t) {
				l.Spans = append(l.Spans, Span{t, first, end})
			}
		}
		if len(l.Spans) == 0 {
			return nil
		}
		return l
	case record.Merged:
		l.Kind, l.Segment = "merged", rec.Segment
		for i := range len(rec.Items) / 8 {
			l.Segments = append(l.Segments, rec.Old(i))
		}
		if d.o.Queue != "" {
			return nil
		}
		return l
	}
	t := d.target(rec.Queue)
	if !d.wants(t) {
		return nil
	}
	l.Target = &t
	n := len(rec.Items) / record.RangeSize
	switch rec.Kind {
	case record.Ack:
		l.Kind, l.Ranges = "ack", make([][2]uint64, 0, n)
		for i := range n {
			first, count := rec.Item(i)
			l.Ranges = append(l.Ranges, [2]uint64{first, first + max(uint64(count), 1) - 1})
		}
	case record.Requeue:
		l.Kind, l.Counts = "requeue", make([][2]uint64, 0, n)
		for i := range n {
			seq, count := rec.Item(i)
			l.Counts = append(l.Counts, [2]uint64{seq, uint64(count)})
		}
	case record.Delivered:
		l.Kind, l.Mark = "delivered", rec.Mark
	case record.CreateQueue:
		l.Kind = "create-queue"
	case record.DeleteQueue:
		l.Kind = "delete-queue"
	}
	return l
}

func (d *dumper) message(blob []byte) *Message {
	m, ms, err := record.Parse(blob)
	if err != nil {
		d.damaged++
		return &Message{Bytes: int64(len(blob)), Bad: err.Error()}
	}
	v := &Message{
		Time: time.UnixMilli(ms).UTC(), Exchange: string(m.Exchange), RoutingKey: string(m.RoutingKey),
		BodyBytes: int64(len(m.Body)), Bytes: int64(len(blob)),
	}
	v.setExpires(m.Expires)
	if err := record.CheckBlob(blob); err != nil {
		d.damaged++
		v.Bad = err.Error()
	}
	if d.o.Bodies {
		v.setBody(m.Props, m.Body)
	}
	return v
}

func (v *Message) setExpires(ms int64) {
	if ms != 0 {
		t := time.UnixMilli(ms).UTC()
		v.Expires = &t
	}
}

func (v *Message) setBody(props, body []byte) {
	v.Properties = map[string]string{}
	if p := amqp.Properties(props); p.Validate() == nil {
		for prop := range amqp.Property(amqp.NumProperties) {
			if value, ok := p.Get(prop); ok {
				v.Properties[prop.String()] = property(prop, value)
			}
		}
	}
	if utf8.Valid(body) {
		s := string(body)
		v.Body = &s
	} else {
		v.BodyData = slices.Clone(body)
	}
}

// property renders the value of a property.
func property(prop amqp.Property, value []byte) string {
	switch prop {
	case amqp.PropHeaders:
		return amqp.Nested(value).String()
	case amqp.PropDeliveryMode, amqp.PropPriority:
		return strconv.Itoa(int(value[0]))
	case amqp.PropTimestamp:
		return strconv.FormatUint(binary.BigEndian.Uint64(value), 10)
	}
	return string(value)
}

// large describes the message of a large file.
func (d *dumper) large(rec *record.Record) *Message {
	v := &Message{BodyBytes: int64(rec.Length - rec.Overhead), Bytes: int64(rec.Length)}
	v.setExpires(rec.Expires)
	r, err := d.files.Reader(rec.File)
	if errors.Is(err, fs.ErrNotExist) {
		v.Bad = "the file is gone, as it is when the message was acked"
		return v
	}
	var m record.Message
	var ms int64
	if err == nil {
		m, ms, err = record.Parse(r.Head())
	}
	if err != nil {
		d.damaged++
		v.Bad = err.Error()
		return v
	}
	v.Time, v.Exchange, v.RoutingKey = time.UnixMilli(ms).UTC(), string(m.Exchange), string(m.RoutingKey)
	if d.o.Bodies {
		v.setBody(m.Props, nil)
		v.Body = nil
	}
	return v
}

// Append appends the line as JSON.
func (l *Line) Append(dst []byte) ([]byte, error) {
	p, err := json.Marshal(l)
	return append(append(dst, p...), '\n'), err
}
