package segment

import (
	"time"

	"github.com/leveret-mq/leveret/internal/vfs"
)

// Stored is what a queue takes in a segment.
type Stored struct {
	QueueInfo
	Stored    int64 // bytes of its blocks, compressed, without payloads that are referred to
	Estimated bool  // some block is shared with other queues, by their numbers of records
}

// Of tells what a queue takes; there are no records where it has none. It reads the
// directory.
func (r *Reader) Of(queue uint32) (s Stored, err error) {
	s.Queue = queue
	d, err := r.directory(true)
	if err != nil {
		return s, err
	}
	list := d.of(queue)
	if len(list) == 0 {
		return s, nil
	}
	s.First, s.Last, s.Blocks = list[0].first, list[len(list)-1].last, len(list)
	mine := map[int64]uint64{} // records in its blocks, by offset
	for i := range list {
		mine[list[i].off] += uint64(list[i].count)
		s.Records += int(list[i].count)
	}
	all := map[int64]uint64{}
	for i := range d.entries {
		if e := &d.entries[i]; mine[e.off] > 0 {
			all[e.off] += uint64(e.count)
		}
	}
	for i := range list {
		e := &list[i]
		if all[e.off] == mine[e.off] {
			s.Stored += int64(e.size)
			continue
		}
		s.Estimated = true
		s.Stored += int64(float64(e.size) * float64(e.count) / float64(all[e.off]))
	}
	for _, row := range d.rows {
		if row.queue == queue {
			s.Raw = int64(row.raw)
		}
	}
	return s, nil
}

// Modified is when the file was written; zero where the file system does not know.
func (r *Reader) Modified() time.Time {
	if r.open() != nil {
		return time.Time{}
	}
	r.mu.RLock()
	defer r.mu.RUnlock()
	f, ok := r.file.(vfs.Dated)
	if !ok || r.closed.Load() {
		return time.Time{}
	}
	t, err := f.Modified()
	if err != nil {
		return time.Time{}
	}
	return t
}
