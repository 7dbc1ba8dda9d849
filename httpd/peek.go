package httpd

import (
	"cmp"
	"net/http"
	"strconv"
	"unicode/utf8"

	"github.com/leveret-mq/leveret/broker"
)

// Looking into a queue: at its messages, which changes nothing, and at where they lie.
// RabbitMQ has neither.

// peekPaths are what this file answers.
var peekPaths = map[string]resource{
	"/api/queues/{vhost}/{queue}/peek":    {get: action{management, peek}},
	"/api/queues/{vhost}/{queue}/storage": {get: action{management, queueStorage}},
}

const (
	defaultPeek     = 50
	maxPeek         = 1000
	defaultTruncate = 50_000
	maxTruncate     = 16 << 20
)

// peekOrder is what a request wants to see.
type peekOrder struct {
	position, count, truncate int
	state                     broker.Which
}

func (c *call) peekOrder() (o peekOrder, err error) {
	q := c.r.URL.Query()
	for _, each := range []struct {
		to                      *int
		key                     string
		missing, lowest, atMost int
	}{
		{&o.position, "position", 0, 0, 1<<53 - 1},
		{&o.count, "count", defaultPeek, 1, maxPeek},
		{&o.truncate, "truncate", defaultTruncate, 0, maxTruncate},
	} {
		if *each.to = each.missing; !q.Has(each.key) {
			continue
		}
		n, err := strconv.Atoi(q.Get(each.key))
		if err != nil || n < each.lowest || n > each.atMost {
			return o, badRequest("%s must be a number from %d to %d", each.key, each.lowest, each.atMost)
		}
		*each.to = n
	}
	switch state := q.Get("state"); state {
	case "", "all":
	case "ready":
		o.state = broker.OnlyReady
	case "unacked":
		o.state = broker.OnlyUnacked
	default:
		return o, badRequest("state must be all, ready or unacked")
	}
	return o, nil
}

// peekedJSON is a message that was peeked at.
type peekedJSON struct {
	Position      int            `json:"position"`
	State         string         `json:"state"`
	Exchange      string         `json:"exchange"`
	Key           string         `json:"routing_key"`
	Properties    propertiesJSON `json:"properties"`
	Payload       string         `json:"payload"`
	Encoding      string         `json:"payload_encoding"`
	Bytes         int64          `json:"payload_bytes"`
	Truncated     bool           `json:"truncated"`
	Redelivered   bool           `json:"redelivered"`
	DeliveryCount uint32         `json:"delivery_count"`
	Published     *int64         `json:"published"` // ms since 1970
	Expires       *int64         `json:"expires"`   // likewise; null: never
	ID            uint64         `json:"message_id"`
	Error         string         `json:"error,omitempty"` // why it cannot be read
}

// peekJSON is an answer.
type peekJSON struct {
	Items    []peekedJSON `json:"items"`
	Position int          `json:"position"`
	counts
	Next *int `json:"next"`
}

func peek(c *call) error {
	o, err := c.peekOrder()
	if err != nil {
		return err
	}
	if err := c.hold(); err != nil {
		return err
	}
	defer c.letGo()
	out := peekJSON{Items: []peekedJSON{}, Position: o.position}
	err = c.in(func(s *broker.Session, vhost string) error {
		size := int64(0)
		next, err := s.Peek(c.r.PathValue("queue"), o.position, o.count, o.state, func(p *broker.Peeked) bool {
			shown := showPeeked(p, o.truncate)
			out.Items = append(out.Items, shown)
			size += int64(escaped(shown.Payload)+len(p.Props)) + fetchedCost
			return size < maxFetched && c.r.Context().Err() == nil
		})
		if err != nil {
			return err
		}
		if next >= 0 {
			out.Next = &next
		}
		q, err := c.b.Queue(vhost, c.r.PathValue("queue"))
		out.counts = counts{q.Ready + q.Unacked, q.Ready, q.Unacked}
		return err
	})
	if err != nil {
		return err
	}
	return c.json(http.StatusOK, out)
}

func showPeeked(p *broker.Peeked, truncate int) peekedJSON {
	out := peekedJSON{
		Position: p.Position, State: "ready", Redelivered: p.Redelivered, DeliveryCount: p.DeliveryCount, ID: p.ID, Encoding: "string",
	}
	if p.Unacked {
		out.State = "unacked"
	}
	if p.Err != nil {
		out.Error = p.Err.Error()
		return out
	}
	out.Published = &p.Published
	if out.Expires = &p.Expires; p.Expires == 0 {
		out.Expires = nil
	}
	out.Exchange, out.Key, out.Properties = string(p.Exchange), string(p.RoutingKey), propertiesJSON{p.Props}
	body := p.Body
	if p.Large != nil {
		var err error
		if body, err = beginning(p.Large, int64(truncate)); err != nil {
			out.Error = err.Error()
		}
	}
	body = body[:min(len(body), truncate)]
	out.Bytes, out.Truncated = p.Size, int64(len(body)) < p.Size
	if out.Truncated {
		body = wholeRunes(body)
	}
	out.Payload, out.Encoding = showPayload(body, true)
	return out
}

// escaped is how many bytes a text is in JSON: up to six times its own.
func escaped(text string) int {
	n := len(text)
	for i := range len(text) {
		switch b := text[i]; {
		case b == '\n', b == '\r', b == '\t', b == '"', b == '\\':
			n++
		case b < ' ':
			n += 5
		}
	}
	return n
}

// wholeRunes takes the first bytes of a rune that was cut away from a text's end.
func wholeRunes(text []byte) []byte {
	for n := range min(len(text), utf8.UTFMax) {
		if cut := text[:len(text)-n]; utf8.Valid(cut) {
			return cut
		}
	}
	return text // it is no text
}

// placeJSON is what a queue has in a place.
type placeJSON struct {
	Files    int   `json:"files"`
	Messages int   `json:"messages"`
	Bytes    int64 `json:"bytes"`
}

// queueMemoryJSON is what a queue has in memory, and for want of it in files.
type queueMemoryJSON struct {
	Messages        int   `json:"messages"`
	Bytes           int64 `json:"bytes"`
	SpilledMessages int   `json:"spilled_messages"`
	SpilledBytes    int64 `json:"spilled_bytes"`
}

// shareJSON is what a queue has in a segment.
type shareJSON struct {
	File      string  `json:"file"`
	Bytes     int64   `json:"bytes"`          // of the file
	Queue     int64   `json:"queue_bytes"`    // of these, what belongs to messages of the queue
	Estimated bool    `json:"estimated"`      // whether that is by their part
	Messages  int64   `json:"queue_messages"` // that are not gone
	Raw       int64   `json:"raw_bytes"`      // what they are without compression
	Ratio     float64 `json:"ratio"`          // raw_bytes over queue_bytes
	Created   *int64  `json:"created"`        // ms since 1970; null: not known
	Error     string  `json:"error,omitempty"`
}

// footprintJSON is where a queue's messages lie.
type footprintJSON struct {
	Messages int             `json:"messages"`
	Log      placeJSON       `json:"log"`
	Memory   queueMemoryJSON `json:"memory"`
	Segments []shareJSON     `json:"segments"`
	Large    placeJSON       `json:"large"`
	Live     int64           `json:"live_bytes"` // on disk
	Raw      int64           `json:"raw_bytes"`  // what they are without compression
	Ratio    float64         `json:"ratio"`
}

func queueStorage(c *call) error {
	vhost, err := c.vhost()
	if err != nil {
		return err
	}
	f, err := c.b.Footprint(vhost, c.r.PathValue("queue"))
	if err != nil {
		return err
	}
	onDisk := f.Log.Bytes + f.Large.Bytes + f.Spilled.Bytes
	out := footprintJSON{
		Messages: f.Log.Messages + f.Memory.Messages + f.Spilled.Messages + f.Large.Messages,
		Log:      placeJSON(f.Log), Large: placeJSON(f.Large),
		Memory:   queueMemoryJSON{f.Memory.Messages, f.Memory.Bytes, f.Spilled.Messages, f.Spilled.Bytes},
		Segments: []shareJSON{}, Live: onDisk, Raw: onDisk,
	}
	for _, s := range f.Segments {
		share := shareJSON{
			File: s.File, Bytes: s.Bytes, Queue: s.Stored, Estimated: s.Estimated, Messages: s.Messages, Raw: s.Raw, Ratio: ratio(s.Raw, s.Stored),
		}
		if !s.Created.IsZero() {
			ms := s.Created.UnixMilli()
			share.Created = &ms
		}
		if s.Err != nil {
			share.Error = s.Err.Error()
		}
		out.Segments = append(out.Segments, share)
		out.Messages += int(s.Messages)
		out.Live += s.Stored
		out.Raw += s.Raw
	}
	out.Ratio = ratio(out.Raw, out.Live)
	return c.json(http.StatusOK, out)
}

// ratio is how much smaller something has become; 1 where there is nothing.
func ratio(raw, stored int64) float64 { return cmp.Or(float64(raw)/float64(max(stored, 1)), 1) }
