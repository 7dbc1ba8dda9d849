package audit

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// Page is a part of the log, newest first.
type Page struct {
	Items []Entry `json:"items"`
	// First and Last are the oldest and the newest index that there are; both 0 where
	// there are no entries.
	First uint64 `json:"first"`
	Last  uint64 `json:"last"`
	// Next is before of the page that follows; nil: there is no more.
	Next *uint64 `json:"next"`
}

// Bounds of one Page.
const (
	maxScan  = 20_000 // entries that are looked at
	scanOnce = 256    // of them before others may append
)

// Page returns at most count entries whose index is less than before (0: any), newest
// first. kind, unless it is empty, is an event's whole name or its beginning up to a dot.
// Where few entries are of that kind a page may have fewer than count, or none, though
// Next says that there are more. What is gathered of refusals is written first.
func (l *Log) Page(before uint64, count int, kind string) Page {
	p := Page{Items: []Entry{}}
	if l == nil {
		return p
	}
	l.refusals.flush()
	for scanned := 0; ; {
		next, n := l.scan(&p, before, count, kind)
		scanned += n
		switch {
		case next == 0:
			return p
		case len(p.Items) >= count, scanned >= maxScan:
			p.Next = &next
			return p
		}
		before = next
	}
}

// scan adds entries before an index to a page, after scanOnce at the latest it stops.
// next is where to go on, 0 at the log's beginning.
func (l *Log) scan(p *Page, before uint64, count int, kind string) (next uint64, n int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed || l.log == nil || l.last < l.starts[0] {
		return 0, 0
	}
	first := l.starts[0]
	p.First, p.Last = first, l.last
	if before == 0 || before > l.last+1 {
		before = l.last + 1
	}
	for i := before - 1; i >= first; i-- {
		if n == scanOnce || len(p.Items) >= count {
			return i + 1, n
		}
		n++
		e, err := l.read(i)
		if err != nil {
			e = Entry{Index: i, Event: Event{Event: eventUnreadable, Object: Object{Type: "audit"}}}
			start := l.fileOf(i)
			if whole := l.salvage(start); i < start+uint64(len(whole)) {
				e.Event = whole[i-start]
			} else {
				begin := start + uint64(len(whole))
				e.Detail = map[string]any{"file": fileName(start), "first": begin, "last": i, "cause": err.Error()}
				i = begin
			}
		}
		if ofKind(e.Event.Event, kind) {
			p.Items = append(p.Items, e)
		}
	}
	return 0, n
}

// fileOf returns the first index of the file that should hold i.
func (l *Log) fileOf(i uint64) uint64 {
	at, found := slices.BinarySearch(l.starts, i)
	if !found {
		at--
	}
	return l.starts[at]
}

// salvage returns the entries that a damaged file begins with.
func (l *Log) salvage(start uint64) []Event {
	if l.salvaged.start == start {
		return l.salvaged.events
	}
	l.salvaged.start, l.salvaged.events = start, nil
	text, err := os.ReadFile(filepath.Join(l.dir, fileName(start)))
	if err != nil {
		return nil
	}
	goodLines(text, start, func(data string) {
		e, err := decode([]byte(data))
		if err != nil {
			e = Event{Event: eventUnreadable, Object: Object{Type: "audit"}, Detail: map[string]any{"cause": err.Error()}}
		}
		l.salvaged.events = append(l.salvaged.events, e)
	})
	return l.salvaged.events
}

// read reads one entry. The library panics where a file has fewer entries than the
// next one's name says.
func (l *Log) read(i uint64) (e Entry, err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("entry %d is not in its file", i)
		}
	}()
	text, err := l.log.Read(i)
	if err != nil {
		return Entry{}, err
	}
	ev, err := decode(text)
	if err != nil { // one line of a file that is otherwise in order
		ev = Event{Event: eventUnreadable, Object: Object{Type: "audit"}, Detail: map[string]any{"cause": err.Error()}}
	}
	return Entry{i, ev}, nil
}

func ofKind(event, kind string) bool {
	return kind == "" || event == kind || strings.HasPrefix(event, kind+".")
}
