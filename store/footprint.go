package store

import (
	"errors"
	iofs "io/fs"
	"math"
	"slices"
	"sort"
	"time"

	"github.com/leveret-mq/leveret/index"
	"github.com/leveret-mq/leveret/segment"
	"github.com/leveret-mq/leveret/wal"
)

// Footprint is where the messages of a queue lie, and what they take there. It is put
// together a few messages at a time, so it is not of one moment where they come and go.
type Footprint struct {
	Log      Place // of the log's files; Bytes are those of blobs
	Large    Place // bodies in files of their own, and their heads
	Memory   Place // messages that need no log
	Spilled  Place // of these, those in files, for want of memory; Files is not counted
	Segments []SegmentShare
}

// Place is what a queue has in a place.
type Place struct {
	Files, Messages int
	Bytes           int64
}

func (p *Place) add(bytes int64) {
	p.Messages++
	p.Bytes += bytes
}

// SegmentShare is what a queue has in a segment, of what is not gone.
type SegmentShare struct {
	File     string // its base name
	Bytes    int64  // of the whole file
	Messages int64
	Raw      int64 // bytes of the messages' blobs
	// Stored is what these are compressed. Where messages of the segment are gone, or
	// share a block with other queues', that is by their part of it: Estimated.
	Stored    int64
	Estimated bool
	Created   time.Time // zero: not known
	Err       error     // why the file cannot be read; Bytes and Stored are 0 then
}

// footprintStep is how many messages are looked at under one hold of the lock.
const footprintStep = 4096

// footprintTries is how often segments are asked that are merged meanwhile.
const footprintTries = 4

// Footprint walks over what the queue has outside of segments, and reads the
// directories of its segments where they have not been read yet.
func (q *Queue) Footprint() Footprint {
	var f Footprint
	files := q.s.log.Files()
	held := make([]bool, len(files))
	for seq, more := uint64(math.MaxUint64), true; more; {
		seq, more = q.walk(seq, &f, files, held)
	}
	for _, some := range held {
		if some {
			f.Log.Files++
		}
	}
	f.Large.Files = f.Large.Messages
	for range footprintTries {
		var whole bool
		if f.Segments, whole = q.segmentShares(); whole {
			break
		}
	}
	return f
}

// walk looks at some entries behind seq. It returns the last, and whether there may be
// more.
func (q *Queue) walk(seq uint64, f *Footprint, files []wal.FileInfo, held []bool) (last uint64, more bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	n := 0
	q.ix.After(seq, func(at uint64, e index.Entry) bool {
		seq = at
		n++
		switch {
		case isLarge(e.Addr):
			f.Large.add(int64(e.Len))
		case e.Logged():
			f.Log.add(int64(e.Len))
			// The newest are behind what was there when the files were listed.
			i := sort.Search(len(files), func(i int) bool { return uint64(files[i].Start) > e.Addr })
			held[max(i-1, 0)] = true
		case q.s.arena.Chunk(e.Addr).File() != 0:
			f.Spilled.add(int64(e.Len))
		default:
			f.Memory.add(int64(e.Len))
		}
		return n < footprintStep
	})
	return seq, n == footprintStep
}

// segmentShares sums the queue's runs up by segment. whole is false where one of them
// was not there any more.
func (q *Queue) segmentShares() (shares []SegmentShare, whole bool) {
	byNumber := map[uint64]*SegmentShare{}
	q.mu.Lock()
	q.ix.Runs(func(r index.Run) bool {
		number := q.s.segments.resolve(r.Segment)
		s := byNumber[number]
		if s == nil {
			s = &SegmentShare{File: segment.Name(number)}
			byNumber[number] = s
		}
		s.Messages += int64(r.Live)
		s.Raw += r.Bytes
		return true
	})
	q.mu.Unlock()
	list := make([]SegmentShare, 0, len(byNumber))
	whole = true
	for number, s := range byNumber {
		if !q.askSegment(number, s) {
			whole = false // it has just gone, or was merged into another
			continue
		}
		list = append(list, *s)
	}
	slices.SortFunc(list, func(a, b SegmentShare) int {
		if a.File < b.File {
			return -1
		}
		return 1
	})
	return list, whole
}

// askSegment asks a segment's file.
func (q *Queue) askSegment(number uint64, s *SegmentShare) bool {
	f := q.s.segments.acquire(number)
	if f == nil {
		return false
	}
	defer q.s.segments.release(f)
	s.File = segment.Name(f.number)
	info, err := f.reader.Info()
	if err != nil {
		s.Err = err
		return !errors.Is(err, iofs.ErrClosed)
	}
	s.Bytes, s.Created = info.Size, f.reader.Modified()
	of, err := f.reader.Of(q.id)
	switch {
	case err != nil:
		s.Err = err
		return true
	case info.Shared > 0 || of.Records == 0:
		// Payloads are stored once for several queues: by what the whole file saves.
		s.Estimated = true
		s.Stored = min(int64(float64(s.Raw)*float64(info.Size)/float64(max(info.Raw, 1))), info.Size)
	default:
		s.Estimated = of.Estimated || int64(of.Records) != s.Messages
		s.Stored = int64(float64(of.Stored) * min(float64(s.Messages)/float64(of.Records), 1))
	}
	return true
}
