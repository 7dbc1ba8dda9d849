package inspect

import (
	"errors"
	"io"
	"io/fs"

	"github.com/leveret-mq/leveret/index"
	"github.com/leveret-mq/leveret/internal/large"
	"github.com/leveret-mq/leveret/internal/record"
	"github.com/leveret-mq/leveret/segment"
	"github.com/leveret-mq/leveret/wal"
)

// again looks a second time for messages that could not be read: while a broker
// runs, they may be acked by now, or have moved with their file removed.
type again struct {
	dir  string
	opts Options
	s    *state // nil until it is needed
	src  *sources
}

func (a *again) close() {
	if a.s != nil {
		a.src.close()
		a.s.close()
		a.s = nil
	}
}

// load reads the state anew.
func (a *again) load() (err error) {
	a.close()
	s, err := load(a.dir, a.opts)
	if err != nil {
		return err
	}
	if a.src, err = s.sources(); err != nil {
		s.close()
		return err
	}
	a.s = s
	return nil
}

// message is one that was read: its blob, or its large file.
type message struct {
	blob  []byte // valid until the next one is read
	entry index.Entry
	large *large.Reader
}

// read reads a message from wherever it is now. gone: it is acked. An error says
// what is wrong with it.
func (a *again) read(id uint32, seq uint64) (m message, gone bool, err error) {
	for range attempts {
		if a.s == nil {
			if err = a.load(); err != nil {
				return message{}, false, err
			}
		}
		if m, gone, err = a.try(id, seq); err == nil {
			return m, gone, nil
		}
		if !vanished(err) || !a.s.moved() {
			break
		}
		a.close() // this look is old too
	}
	return message{}, false, err
}

// vanished tells whether an error may come of a file that was removed.
func vanished(err error) bool {
	return errors.Is(err, fs.ErrNotExist) || errors.Is(err, wal.ErrNotFound) || errors.Is(err, errNotInSegment)
}

func (a *again) try(id uint32, seq uint64) (m message, gone bool, err error) {
	q := a.s.queues[id]
	if q == nil {
		return m, true, nil
	}
	if number, ok := q.ix.InRun(seq); ok {
		src := a.src.reader(number)
		err := src.Find(&a.src.cursor, id, seq, true)
		if err == nil && a.src.cursor.Seq() != seq || err == io.EOF {
			err = errNotInSegment
		}
		if bad := (*segment.BlockError)(nil); errors.As(err, &bad) {
			err = bad.Cause
		}
		if err != nil {
			return m, false, err
		}
		m.blob = record.AppendBlob(nil, a.src.cursor.Payload())
		if e, ok := q.ix.Get(seq); ok {
			m.entry = e
		}
		_, _, err = record.Parse(m.blob)
		return m, false, err
	}
	e, ok := q.ix.Get(seq)
	if !ok {
		if e, ok = q.loose[seq]; !ok {
			return m, true, nil
		}
	}
	m.entry = e
	if isLarge(e.Addr) {
		if m.large, err = a.src.large.Reader(e.Addr &^ record.LargeBit); err == nil {
			err = m.large.Verify()
		}
		return m, false, err
	}
	m.blob, err = a.src.logged(e.Addr, e.Len)
	return m, false, err
}
