package inspect

import (
	"errors"
	"io"
	"io/fs"
	"path/filepath"

	"github.com/leveret-mq/leveret/index"
	"github.com/leveret-mq/leveret/internal/large"
	"github.com/leveret-mq/leveret/internal/record"
	"github.com/leveret-mq/leveret/segment"
	"github.com/leveret-mq/leveret/wal"
)

// again looks a second time for messages that could not be read: while a broker
// runs, they may be acked by now, or have moved with their file removed.
//
// What proves that a message is lost? A broker removes a file only when durable
// records say that nothing in it is needed, so a state whose reading began after
// the file was found missing, and that still says that the message is in it, says
// that it should be there. Names never come back, so the file was not removed and
// is not yet to come either, if an older state knew of it. What stands in a file
// never changes, so a wrong checksum needs no such proof.
type again struct {
	dir    string
	opts   Options
	s      *state // nil until it is needed
	src    *sources
	loads  int            // states that were read so far
	absent map[string]int // files found missing: loads at that time
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
	a.loads++
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

// note remembers that a file was missing where a state says it is needed.
func (a *again) note(file string, err error) {
	if _, known := a.absent[file]; known || !errors.Is(err, fs.ErrNotExist) {
		return
	}
	if a.absent == nil {
		a.absent = map[string]int{}
	}
	a.absent[file] = a.loads
}

// message is one that was read: its blob, or its large file.
type message struct {
	blob  []byte // valid until the next one is read
	entry index.Entry
	large *large.Reader

	file   string // where it is, or should be; "": no file of the log has it
	offset int64  // -1: unknown
}

// read reads a message from wherever it is now. gone: it is acked. An error says
// what is wrong with it: that is proved then.
//
// There is no count of attempts that a fast broker could exceed: each look but the
// last meets a file that was not known to be missing, so the message has moved, or
// the log's end, behind which the next look sees.
func (a *again) read(id uint32, seq uint64) (m message, gone bool, err error) {
	for {
		if a.s == nil {
			if err = a.load(); err != nil {
				return message{}, false, err
			}
		}
		if m, gone, err = a.try(id, seq); err == nil {
			return m, gone, nil
		}
		if errors.Is(err, fs.ErrNotExist) {
			if at, known := a.absent[m.file]; known && at < a.loads {
				return m, false, err
			}
			a.note(m.file, err)
		} else if !a.s.grew(m.entry.Addr, err) {
			return m, false, err
		}
		a.close() // this look is old too
	}
}

// grew tells whether a message was not found in the log because it was written
// after the log's files were listed.
func (s *state) grew(addr uint64, err error) bool {
	return errors.Is(err, wal.ErrNotFound) && wal.LSN(addr) >= s.listed
}

// try reads a message from where this look says it is.
func (a *again) try(id uint32, seq uint64) (m message, gone bool, err error) {
	m.offset = -1
	q := a.s.queues[id]
	if q == nil {
		return m, true, nil
	}
	if number, ok := q.ix.InRun(seq); ok {
		m.file = filepath.Join(a.src.dir, segment.Name(number))
		err := a.src.reader(number).Find(&a.src.cursor, id, seq, true)
		if err == nil && a.src.cursor.Seq() != seq || err == io.EOF {
			err = errNotInSegment
		}
		if bad := (*segment.BlockError)(nil); errors.As(err, &bad) {
			m.offset, err = bad.Offset, bad.Cause
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
		number := e.Addr &^ record.LargeBit
		m.file = a.src.large.Name(number)
		if m.large, err = a.src.large.Reader(number); err == nil {
			err = m.large.Verify()
		}
		return m, false, err
	}
	m.file, m.offset = a.s.locate(e.Addr)
	m.blob, err = a.src.logged(e.Addr, e.Len)
	return m, false, err
}

// locate tells which file holds an address in the log, and where; "", -1: none.
func (s *state) locate(addr uint64) (file string, offset int64) {
	if s.log != nil {
		if file, offset, ok := s.log.Locate(wal.LSN(addr)); ok {
			return file, offset
		}
	}
	return "", -1
}
