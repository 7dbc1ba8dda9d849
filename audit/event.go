package audit

import (
	"encoding/json"
	"strings"
	"time"
	"unicode/utf8"
)

// Event is something that happened to who may do what, or to what there is.
type Event struct {
	// Time is when; Append sets it where it is zero.
	Time time.Time `json:"time"`
	// Event is the kind of the object and what happened, as "user.created".
	Event string `json:"event"`
	// User did it, or tried to; From is its address, Interface the way: amqp, http, boot.
	User      string `json:"user"`
	From      string `json:"from"`
	Interface string `json:"interface"`
	// Object is what it was done to.
	Object Object `json:"object"`
	// Detail is more about it, never a password or a hash.
	Detail map[string]any `json:"detail"`
}

// Object names what was changed. A vhost's own name is in Name.
type Object struct {
	Type  string `json:"type"`
	Name  string `json:"name"`
	VHost string `json:"vhost"`
}

// Actor is who does something, and from where.
type Actor struct {
	User, From, Interface string
}

// Event is an event of the actor's.
func (a Actor) Event(event string, o Object, detail map[string]any) Event {
	return Event{Event: event, User: a.User, From: a.From, Interface: a.Interface, Object: o, Detail: detail}
}

// Entry is an event as it stands in the log.
type Entry struct {
	Index uint64 `json:"index"`
	Event
}

// Names of the events that the log itself has to tell.
const (
	eventLost       = "audit.lost"
	eventDamaged    = "audit.damaged"
	eventUnreadable = "audit.unreadable"
)

// What an entry has at most, in bytes: clients choose some of the names.
const (
	maxName   = 255
	maxDetail = 4096
)

// encode makes an entry's text.
func encode(e Event) []byte {
	e.Time = e.Time.UTC()
	for _, s := range []*string{&e.User, &e.From, &e.Interface, &e.Event, &e.Object.Type, &e.Object.Name, &e.Object.VHost} {
		*s = clip(*s, maxName)
	}
	if e.Detail == nil {
		e.Detail = map[string]any{}
	}
	if text, err := json.Marshal(e.Detail); err != nil || len(text) > maxDetail {
		e.Detail = map[string]any{"omitted_bytes": len(text)}
	}
	text, err := json.Marshal(e)
	if err != nil { // a year that RFC 3339 cannot write
		e.Time = time.Time{}
		text, _ = json.Marshal(e)
	}
	return text
}

// clip makes valid UTF-8 of at most n bytes.
func clip(s string, n int) string {
	s = strings.ToValidUTF8(s, "\uFFFD")
	if len(s) <= n {
		return s
	}
	for n > 0 && !utf8.RuneStart(s[n]) {
		n--
	}
	return s[:n]
}

func decode(text []byte) (e Event, err error) {
	err = json.Unmarshal(text, &e)
	if e.Detail == nil {
		e.Detail = map[string]any{}
	}
	return e, err
}
