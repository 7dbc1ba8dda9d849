package segment

import (
	"errors"
	"io"
	"math"

	"github.com/leveret-mq/leveret/internal/vfs"
)

// MergeOptions are what Merge asks its caller.
type MergeOptions struct {
	Options
	// Keep tells which records of a queue in an input, ascending, are still
	// wanted from there: it sets live[i] for seqs[i].
	Keep func(queue uint32, seqs []uint64, input int, live []bool)
	// Any tells whether Keep may want any record from first to last. If not, the
	// block is not read. nil means always.
	Any func(queue uint32, first, last uint64, input int) bool
	// Pace is told of the bytes of each read, and may wait. Its error ends the
	// merge. nil is at once.
	Pace func(bytesRead int) error
}

// keepBatch is how many records Keep is asked about at a time.
const keepBatch = 1024

// Merge writes a new segment with the records of others that are still wanted,
// as Builder does: it is durable when Merge returns, and there is none after an
// error. Where nothing is wanted there is none either, and Info.Records is 0.
// What records share they share in the new segment. A damaged block of an input
// ends it with a *BlockError, a record that is wanted from two with another error.
func Merge(fsys vfs.FS, dir string, number uint64, inputs []*Reader, o MergeOptions) (Info, error) {
	b, err := Create(fsys, dir, number, o.Options)
	if err != nil {
		return Info{}, err
	}
	m := merger{b: b, o: &o, shared: map[sharedKey]Ref{}}
	defer m.reset()
	if err := m.run(inputs); err != nil {
		b.Abandon()
		return Info{}, err
	}
	if m.records == 0 {
		b.Abandon()
		return Info{Number: number}, nil
	}
	return b.Finish()
}

type merger struct {
	b       *Builder
	o       *MergeOptions
	cache   *Cache
	sources []*source
	shared  map[sharedKey]Ref
	records int
}

// sharedKey is a payload in an input that several records refer to.
type sharedKey struct {
	input int
	ref   Ref
}

// source is an input on its way through a queue. Its wanted records come in
// batches, which Keep is asked for.
type source struct {
	r     *Reader
	d     *directory
	input int
	c     Cursor // at the first of the batch that is not written
	row   int    // of the directory, the queue or one behind it

	list []entry // what is left of the queue, from the block of the batch on
	seqs []uint64
	live []bool
	at   int // in these
}

func (m *merger) reset() {
	for _, s := range m.sources {
		s.c.Reset()
	}
}

func (m *merger) run(inputs []*Reader) error {
	m.cache = NewCache(passCache)
	for i, r := range inputs {
		d, err := r.directory(true)
		if err != nil {
			return err
		}
		m.sources = append(m.sources, &source{r: r, d: d, input: i, c: Cursor{private: m.cache, pace: m.o.Pace}})
	}
	for {
		queue, ok := uint32(math.MaxUint32), false
		for _, s := range m.sources {
			if s.row < len(s.d.rows) {
				queue, ok = min(queue, s.d.rows[s.row].queue), true
			}
		}
		if !ok {
			return nil
		}
		if err := m.queue(queue); err != nil {
			return err
		}
	}
}

// queue merges one queue.
func (m *merger) queue(queue uint32) error {
	var active []*source
	for _, s := range m.sources {
		if s.row == len(s.d.rows) || s.d.rows[s.row].queue != queue {
			continue
		}
		s.list = s.d.entriesOf(s.row)
		s.row++
		s.seqs, s.at = s.seqs[:0], 0
		if ok, err := m.fill(s, queue); err != nil {
			return err
		} else if ok {
			active = append(active, s)
		}
	}
	for len(active) > 0 {
		least := 0
		for i, s := range active {
			if s.seqs[s.at] < active[least].seqs[active[least].at] {
				least = i
			}
		}
		s := active[least]
		if err := m.write(s, queue); err != nil {
			return err
		}
		s.at++
		if ok, err := m.fill(s, queue); err != nil {
			return err
		} else if !ok {
			active = append(active[:least], active[least+1:]...)
		}
	}
	return nil
}

// fill moves a source to its next wanted record of the queue, if there is one.
func (m *merger) fill(s *source, queue uint32) (bool, error) {
	for {
		for ; s.at < len(s.seqs); s.at++ {
			if s.live[s.at] {
				return true, nil
			}
		}
		if ok, err := m.batch(s, queue); !ok {
			return false, err
		}
	}
}

// batch asks Keep about the next records of a block, behind those of the last
// batch.
func (m *merger) batch(s *source, queue uint32) (bool, error) {
	for len(s.list) > 0 {
		e := &s.list[0]
		from := e.first
		if n := len(s.seqs); n > 0 {
			if s.seqs[n-1] >= e.last {
				s.list, s.seqs, s.at = s.list[1:], s.seqs[:0], 0
				continue
			}
			from = s.seqs[n-1] + 1
		} else if m.o.Any != nil && !m.o.Any(queue, e.first, e.last, s.input) {
			s.list = s.list[1:]
			continue
		}
		s.seqs, s.at = s.seqs[:0], 0
		err := s.r.find(&s.c, queue, from, true)
		if errors.Is(err, io.EOF) {
			return false, nil
		}
		if err != nil {
			return false, err
		}
		for s.seqs = append(s.seqs, s.c.seq); len(s.seqs) < keepBatch && s.c.step(); {
			s.seqs = append(s.seqs, s.c.seq)
		}
		s.live = append(s.live[:0], make([]bool, len(s.seqs))...)
		m.o.Keep(queue, s.seqs, s.input, s.live)
		return true, nil
	}
	return false, nil
}

// write copies the record that a source has reached.
func (m *merger) write(s *source, queue uint32) error {
	seq := s.seqs[s.at]
	m.records++
	if err := s.r.find(&s.c, queue, seq, true); err != nil {
		return err
	}
	if !s.c.rec.refers {
		if err := s.c.resolve(true); err != nil {
			return err
		}
		return m.b.Add(queue, seq, s.c.payload)
	}
	k := sharedKey{s.input, s.c.rec.ref}
	ref, ok := m.shared[k]
	if !ok {
		if err := s.c.resolve(true); err != nil {
			return err
		}
		var err error
		if ref, err = m.b.AddShared(s.c.payload); err != nil {
			return err
		}
		m.shared[k] = ref
	}
	return m.b.AddRef(queue, seq, ref)
}
