package inspect

import (
	"encoding/binary"
	"errors"
	"fmt"
	"iter"
	"slices"
	"strconv"
	"strings"

	"github.com/leveret-mq/leveret/internal/amqp"
	"github.com/leveret-mq/leveret/internal/catalog"
)

// Name is what a queue is called. The zero value is that of a queue which the
// catalog does not know.
type Name struct {
	VHost string `json:"vhost"`
	Queue string `json:"name"`
	// Priority is that of its messages: a priority queue is a queue of the store
	// for each that is in use.
	Priority uint8 `json:"priority,omitempty"`
	// Exchange is whose delayed messages wait there, instead: Queue is empty then.
	Exchange string `json:"delayed_by,omitempty"`
}

// topology is the catalog's records, and who is called what.
type topology struct {
	records map[string][]byte
	names   map[uint32]Name
}

func newTopology() *topology {
	return &topology{records: map[string][]byte{}, names: map[uint32]Name{}}
}

func (t *topology) put(key string, value []byte) {
	t.records[key] = slices.Clone(value)
	for id, name := range queueRecord(key, value) {
		t.names[id] = name
	}
}

// remove forgets a record. The name stays known, for those who speak of the
// queue's past.
func (t *topology) remove(key string) { delete(t.records, key) }

// queueRecord tells which queues of the store a record names: several of a priority
// queue, that of what waits in an exchange, and none where it is no good record.
func queueRecord(key string, value []byte) iter.Seq2[uint32, Name] {
	return func(yield func(uint32, Name) bool) {
		kind, parts, err := catalog.Split(key)
		if err != nil || kind != catalog.Queue && kind != catalog.Exchange || amqp.Table(value).Validate() != nil {
			return
		}
		if kind == catalog.Exchange {
			if id, ok, good := catalog.DelaysID(value); ok && good {
				yield(id, Name{VHost: parts[0], Exchange: parts[1]})
			}
			return
		}
		lanes, ok := catalog.QueueIDs(value)
		if !ok {
			return
		}
		for _, l := range lanes {
			if !yield(l.ID, Name{VHost: parts[0], Queue: parts[1], Priority: l.Priority}) {
				return
			}
		}
	}
}

func (n Name) text() string {
	if n.Exchange != "" {
		return fmt.Sprintf("what exchange '%s' in vhost '%s' delays", n.Exchange, n.VHost)
	}
	if n.Priority > 0 {
		return fmt.Sprintf("queue '%s' in vhost '%s', priority %d", n.Queue, n.VHost, n.Priority)
	}
	return fmt.Sprintf("queue '%s' in vhost '%s'", n.Queue, n.VHost)
}

// queueKey is the key of the record that names a queue.
func queueKey(n Name) string {
	if n.Exchange != "" {
		return catalog.Key(catalog.Exchange, n.VHost, n.Exchange)
	}
	return catalog.Key(catalog.Queue, n.VHost, n.Queue)
}

var errCatalogBlock = errors.New("catalog block ends too early")

// block takes a catalog file's block in.
func (t *topology) block(p []byte) error {
	if len(p) < 4 {
		return errCatalogBlock
	}
	n := uint64(binary.LittleEndian.Uint32(p))
	if p = p[4:]; n > uint64(len(p)) {
		return errCatalogBlock
	}
	t.put(string(p[:n]), p[n:])
	return nil
}

// object says what a record is about, for who reads it.
func object(key string) string {
	kind, parts, err := catalog.Split(key)
	if err != nil {
		return fmt.Sprintf("unreadable record %q", key)
	}
	switch kind {
	case catalog.VHost:
		return fmt.Sprintf("vhost '%s'", parts[0])
	case catalog.Exchange:
		return fmt.Sprintf("exchange '%s' in vhost '%s'", parts[1], parts[0])
	case catalog.Queue:
		return fmt.Sprintf("queue '%s' in vhost '%s'", parts[1], parts[0])
	case catalog.User:
		return fmt.Sprintf("user '%s'", parts[0])
	case catalog.Access:
		return fmt.Sprintf("permissions of user '%s' in vhost '%s'", parts[1], parts[0])
	case catalog.Topics:
		return fmt.Sprintf("topic permissions of user '%s' for exchange '%s' in vhost '%s'", parts[1], parts[2], parts[0])
	case catalog.Once:
		return fmt.Sprintf("note that '%s' was done", parts[0])
	}
	switch kind {
	case catalog.Policy:
		return fmt.Sprintf("policy '%s' in vhost '%s'", parts[1], parts[0])
	case catalog.Parameter:
		return fmt.Sprintf("parameter '%s' of '%s' in vhost '%s'", parts[2], parts[1], parts[0])
	case catalog.Global:
		return fmt.Sprintf("global parameter '%s'", parts[0])
	case catalog.OperatorPolicy:
		return fmt.Sprintf("operator policy '%s' in vhost '%s'", parts[1], parts[0])
	}
	to := "queue"
	if parts[2] == "x" {
		to = "exchange"
	}
	return fmt.Sprintf("binding '%s' from exchange '%s' to %s '%s' in vhost '%s'", parts[4], parts[1], to, parts[3], parts[0])
}

// check returns what keeps a broker from taking the catalog, record by record,
// in order of keys. hasQueue tells whether the store has a queue.
func (t *topology) check(hasQueue func(id uint32) bool, fn func(key string, cause error)) {
	keys := make([]string, 0, len(t.records))
	for key := range t.records {
		keys = append(keys, key)
	}
	slices.Sort(keys)
	has := func(kind byte, names ...string) bool {
		_, ok := t.records[catalog.Key(kind, names...)]
		return ok
	}
	ids := map[uint32]string{}
	for _, key := range keys {
		kind, parts, err := catalog.Split(key)
		if err == nil {
			err = amqp.Table(t.records[key]).Validate()
		}
		if err == nil && catalog.OfVHost(kind) && !has(catalog.VHost, parts[0]) {
			err = fmt.Errorf("there is no vhost '%s'", parts[0])
		}
		if err == nil && (kind == catalog.Access || kind == catalog.Topics) && !has(catalog.User, parts[1]) {
			err = fmt.Errorf("there is no user '%s'", parts[1])
		}
		if err == nil && (kind == catalog.Queue || kind == catalog.Exchange) {
			var lanes []catalog.Lane
			ok := true
			if kind == catalog.Queue {
				lanes, ok = catalog.QueueIDs(t.records[key])
			} else if id, has, good := catalog.DelaysID(t.records[key]); has {
				lanes, ok = []catalog.Lane{{ID: id}}, good
			}
			if !ok {
				err = errors.New("it names no number of a queue")
				lanes = nil
			}
			for _, l := range lanes {
				switch {
				case err != nil:
				case !hasQueue(l.ID):
					err = fmt.Errorf("it has the number %d, which the store lacks", l.ID)
				case ids[l.ID] != "":
					err = fmt.Errorf("it has the number %d, as %s has", l.ID, object(ids[l.ID]))
				}
				ids[l.ID] = key
			}
		}
		if err == nil && kind == catalog.Binding {
			// The default exchanges of a vhost have no records; their names, and
			// theirs alone, begin with "amq.".
			builtIn := func(name string) bool { return strings.HasPrefix(name, "amq.") }
			if !has(catalog.Exchange, parts[0], parts[1]) && !builtIn(parts[1]) {
				err = fmt.Errorf("there is no exchange '%s'", parts[1])
			} else if parts[2] == "q" && !has(catalog.Queue, parts[0], parts[3]) {
				err = fmt.Errorf("there is no queue '%s'", parts[3])
			} else if parts[2] != "q" && !has(catalog.Exchange, parts[0], parts[3]) && !builtIn(parts[3]) {
				err = fmt.Errorf("there is no exchange '%s'", parts[3])
			}
		}
		if err != nil {
			fn(key, err)
		}
	}
}

// label is how a queue is spoken of in messages.
func (t *topology) label(id uint32) string {
	if n, ok := t.names[id]; ok {
		return n.text()
	}
	return fmt.Sprintf("queue %d", id)
}

// Filter is a queue that a user named: by its name, in any vhost, or by its id.
// The empty one is every queue.
type Filter string

// Match tells whether a queue is meant.
func (f Filter) match(id uint32, name Name) bool {
	return f == "" || name != Name{} && string(f) == name.Queue || string(f) == strconv.FormatUint(uint64(id), 10)
}
