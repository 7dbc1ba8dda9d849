package inspect

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path/filepath"
	"slices"

	"github.com/leveret-mq/leveret/index"
	"github.com/leveret-mq/leveret/internal/large"
	"github.com/leveret-mq/leveret/internal/record"
	"github.com/leveret-mq/leveret/internal/vfs"
	"github.com/leveret-mq/leveret/segment"
	"github.com/leveret-mq/leveret/wal"
)

type segmentFile struct {
	number uint64
	name   string // with the directory
}

func (l *files) listSegments(fsys vfs.FS, dir string) error {
	names, err := fsys.ReadDir(dir)
	if err != nil {
		return fmt.Errorf("read directory %s: %w", dir, err)
	}
	for _, name := range names {
		number, temp, ok := segment.ParseName(name)
		switch path := filepath.Join(dir, name); {
		case !ok:
			l.others = append(l.others, path)
		case temp:
			l.temps = append(l.temps, path)
		default:
			l.segments = append(l.segments, segmentFile{number, path})
		}
	}
	return nil
}

func (l *files) listLarge(fsys vfs.FS, dir string) (err error) {
	_, l.large, err = large.Open(fsys, dir)
	return err
}

// sources reads messages from segments and large files. It is for one goroutine.
type sources struct {
	s       *state
	dir     string
	readers map[uint64]*segment.Reader
	cache   *segment.Cache
	cursor  segment.Cursor
	large   *large.Dir
	blob    []byte
}

func (s *state) sources() (*sources, error) {
	dir, _, err := large.Open(s.opts.FS, filepath.Join(s.dir, largeFolder))
	if err != nil {
		return nil, err
	}
	return &sources{
		s: s, dir: filepath.Join(s.dir, segmentFolder), large: dir,
		readers: map[uint64]*segment.Reader{}, cache: segment.NewCache(16 << 20),
	}, nil
}

func (b *sources) close() {
	b.cursor.Reset()
	for _, r := range b.readers {
		r.Close()
	}
}

func (b *sources) reader(number uint64) *segment.Reader {
	r := b.readers[number]
	if r == nil {
		// Each holds a descriptor and its directory.
		if len(b.readers) >= 64 {
			for n, old := range b.readers {
				b.cursor.Reset()
				old.Close()
				delete(b.readers, n)
				break
			}
		}
		r = segment.Open(b.s.opts.FS, b.dir, number, b.cache)
		b.readers[number] = r
	}
	return r
}

// logged reads a message from the log, and checks it. The result is valid until
// the next call.
func (b *sources) logged(addr uint64, size uint32) ([]byte, error) {
	if b.s.log == nil {
		return nil, errors.New("there is no log")
	}
	if cap(b.blob) < int(size) {
		b.blob = make([]byte, size)
	}
	p := b.blob[:size]
	if err := b.s.log.ReadAt(p, wal.LSN(addr)); err != nil {
		return nil, err
	}
	if err := record.CheckBlob(p); err != nil {
		return nil, err
	}
	_, _, err := record.BodyLen(p)
	return p, err
}

// loss is messages of a queue that cannot be read.
type loss struct {
	queue       uint32
	first, last uint64
	n           uint64 // how many of them were alive
	file        string
	offset      int64 // -1: unknown
	cause       error
}

// each calls fn with the numbers of a loss's messages, which are q's.
func (l *loss) each(q *queue, fn func(seq uint64) error) error {
	if l.n == 1 { // it may be of the log
		return fn(l.first)
	}
	for seq, ok := q.ix.NextInRun(l.first, l.last+1); ok; seq, ok = q.ix.NextInRun(seq+1, l.last+1) {
		if err := fn(seq); err != nil {
			return err
		}
	}
	return nil
}

// run goes through a queue's messages in a run, from number from on and below
// end: it calls fn with those that are there, and lost with those that are not.
// The payload is valid until fn returns.
func (b *sources) run(q *queue, r index.Run, from, end uint64, fn func(seq uint64, payload []byte) error, lost func(loss) error) error {
	from, end = max(from, r.First), min(end, r.End)
	src := b.reader(r.Segment)
	name := filepath.Join(b.dir, segment.Name(r.Segment))
	miss := func(from, end uint64, offset int64, cause error) error {
		l := loss{queue: q.id, file: name, offset: offset, cause: cause}
		for seq, ok := q.ix.NextInRun(from, end); ok; seq, ok = q.ix.NextInRun(seq+1, end) {
			if l.n == 0 {
				l.first = seq
			}
			l.n++
			l.last = seq
		}
		if l.n == 0 {
			return nil
		}
		return lost(l)
	}
	for from < end {
		err := src.Find(&b.cursor, q.id, from, true)
		bad := (*segment.BlockError)(nil)
		switch {
		case err == io.EOF:
			return miss(from, end, -1, errNotInSegment)
		case errors.As(err, &bad):
			stop := min(end, max(bad.Last, from)+1)
			if err := miss(from, min(bad.First, stop), -1, errNotInSegment); err != nil {
				return err
			}
			if err := miss(max(from, bad.First), stop, bad.Offset, bad.Cause); err != nil {
				return err
			}
			from = stop
			continue
		case err != nil:
			return miss(from, end, -1, err)
		}
		for {
			seq := b.cursor.Seq()
			if err := miss(from, min(seq, end), -1, errNotInSegment); err != nil {
				return err
			}
			if from = seq + 1; seq >= end {
				return nil
			}
			if _, ok := q.ix.InRun(seq); ok {
				if err := fn(seq, b.cursor.Payload()); err != nil {
					return err
				}
			}
			if from >= end || !b.cursor.Next() {
				break
			}
		}
	}
	return nil
}

var errNotInSegment = errors.New("the segment does not hold them")

// runs lists a queue's runs.
func (q *queue) runs() []index.Run {
	var list []index.Run
	q.ix.Runs(func(r index.Run) bool {
		list = append(list, r)
		return true
	})
	return list
}

// alive sums up what the queues have in each segment.
func (s *state) alive() map[uint64]index.Run {
	sums := map[uint64]index.Run{}
	for _, q := range s.queues {
		q.ix.Runs(func(r index.Run) bool {
			sum := sums[r.Segment]
			sum.Live += r.Live
			sum.Bytes += r.Bytes
			sum.Body += r.Body
			sums[r.Segment] = sum
			return true
		})
	}
	return sums
}

// statSegments describes the segments. One that is missing, or cannot be
// described, is a problem.
func (s *state) statSegments(st *Stat) error {
	b, err := s.sources()
	if err != nil {
		return err
	}
	defer b.close()
	alive := s.alive()
	for i, f := range s.files.segments {
		s.opts.Progress("segments", int64(i), int64(len(s.files.segments)))
		info, err := b.reader(f.number).Info()
		if errors.Is(err, fs.ErrNotExist) {
			continue // drained, and removed this moment; or missed below
		}
		row := FileStat{Name: f.name, Kind: "segment"}
		row.Files = 1
		if err != nil {
			st.Problems = append(st.Problems, problem(f.name, false, "%v", err))
			if row.Bytes, err = sizeOf(s.opts.FS, f.name); err != nil {
				continue
			}
		}
		live := alive[f.number]
		delete(alive, f.number)
		row.Messages = int64(live.Live)
		if info.Records > 0 {
			row.Bytes, row.Raw = info.Size, info.Raw
			row.Live = int64(float64(info.Size) * min(1, float64(live.Bytes)/float64(max(info.Raw, 1))))
			if int(live.Live) >= info.Records {
				row.Live = info.Size
			}
		}
		st.Files = append(st.Files, row)
	}
	var missing []uint64
	for number, live := range alive {
		if live.Live == 0 {
			continue
		}
		if _, err := sizeOf(s.opts.FS, filepath.Join(b.dir, segment.Name(number))); err == nil {
			continue // it is younger than the list
		}
		missing = append(missing, number)
	}
	if len(missing) > 0 && s.moved() {
		// A broker may have drained them.
		now, err := load(s.dir, s.opts)
		if err != nil {
			return err
		}
		alive = now.alive()
		now.close()
	}
	slices.Sort(missing)
	for _, number := range missing {
		if live := alive[number].Live; live > 0 {
			st.Problems = append(st.Problems, missingSegment(filepath.Join(b.dir, segment.Name(number)), live))
		}
	}
	return nil
}

func missingSegment(name string, live uint64) Problem {
	return problem(name, true, "the segment is missing, and %d messages are in it", live)
}

// statLarge describes the large files.
func (s *state) statLarge(st *Stat, places []place) error {
	b, err := s.sources()
	if err != nil {
		return err
	}
	defer b.close()
	for _, number := range s.files.large {
		row := FileStat{Name: b.large.Name(number), Kind: "large"}
		row.Files = 1
		if row.Bytes, err = sizeOf(s.opts.FS, row.Name); errors.Is(err, fs.ErrNotExist) {
			continue
		} else if err != nil {
			return err
		}
		if i, ok := findPlace(places, record.LargeBit|number); ok {
			row.Live, row.Messages = row.Bytes, int64(places[i].n)
		}
		st.Files = append(st.Files, row)
	}
	return nil
}
