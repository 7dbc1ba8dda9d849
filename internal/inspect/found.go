package inspect

import (
	"cmp"
	"io"
	"path/filepath"
	"slices"

	"github.com/leveret-mq/leveret/index"
	"github.com/leveret-mq/leveret/internal/catalog"
	"github.com/leveret-mq/leveret/internal/record"
	"github.com/leveret-mq/leveret/segment"
)

// What Salvage does where no checkpoint tells what is alive: it takes all that it
// finds in segments and large files.

// resurrected is a message that a segment holds, and of which nobody knows
// whether it was acked.
type resurrected struct{ seq, segment uint64 }

// resurrect finds, where there is no checkpoint, what the segments hold beyond
// what the log tells of.
func (w *saver) resurrect() error {
	if !w.s.alone {
		return nil
	}
	w.resurrected = map[uint32][]resurrected{}
	for i, f := range w.s.files.segments {
		w.s.opts.Progress("segments", int64(i), int64(len(w.s.files.segments)))
		err := w.src.reader(f.number).Scan(func(id uint32, seq uint64, _ []byte) error {
			q := w.s.queue(id)
			if q == nil {
				return nil
			}
			if !q.sorted {
				q.sortAcked()
				q.sorted = true
			}
			if _, ok := q.ix.InRun(seq); ok || q.wasAcked(seq) {
				return nil
			}
			if _, ok := q.ix.Get(seq); ok {
				return nil
			}
			w.resurrected[id] = append(w.resurrected[id], resurrected{seq, f.number})
			return nil
		}, func(bad *segment.BlockError) error {
			return w.lost(loss{bad.Queue, bad.First, bad.Last, bad.Last - bad.First + 1, bad.File, bad.Offset, bad.Cause})
		})
		if err != nil {
			w.s.problem(problem(f.name, true, "%v", err))
		}
	}
	for id, list := range w.resurrected {
		slices.SortStableFunc(list, func(a, b resurrected) int { return cmp.Compare(a.seq, b.seq) })
		// While segments were merged, a message is in the old one and the new one.
		w.resurrected[id] = slices.CompactFunc(list, func(a, b resurrected) bool { return a.seq == b.seq })
	}
	return nil
}

// orphans lists, where there is no checkpoint, the large files that no record
// names any more, and makes a queue for them.
func (w *saver) orphans() (list []index.Entry) {
	if !w.s.alone {
		return nil
	}
	places := w.s.places()
	for _, number := range w.s.files.large {
		if _, ok := findPlace(places, record.LargeBit|number); ok {
			continue
		}
		if r, err := w.src.large.Reader(number); err == nil {
			head := len(r.Head())
			list = append(list, index.MakeEntry(record.LargeBit|number, uint32(int64(head)+r.Size()), uint32(r.Size()), index.Logged))
		}
	}
	if len(list) == 0 {
		return nil
	}
	w.lostAndFound = 1
	for id := range w.s.queues {
		w.lostAndFound = max(w.lostAndFound, id+1)
	}
	for key, value := range w.s.topo.records {
		for id := range queueRecord(key, value) {
			w.lostAndFound = max(w.lostAndFound, id+1)
		}
	}
	w.s.add(w.lostAndFound)
	name := Name{VHost: "/", Queue: largeQueue}
	w.s.topo.put(queueKey(name), catalog.QueueValue(w.lostAndFound, false, nil))
	w.report.Named = append(w.report.Named, Target{w.lostAndFound, name})
	return list
}

func (w *saver) saveFound(q *queue, list []resurrected) error {
	src := w.src.reader(list[0].segment)
	for _, f := range list {
		err := src.Find(&w.src.cursor, q.id, f.seq, true)
		if err == nil && w.src.cursor.Seq() != f.seq {
			err = io.EOF
		}
		if err != nil {
			err = w.lost(loss{q.id, f.seq, f.seq, 1, filepath.Join(w.src.dir, segment.Name(f.segment)), -1, err})
		} else {
			err = w.savePayload(q, f.seq, w.src.cursor.Payload())
		}
		if err != nil {
			return err
		}
	}
	return nil
}
