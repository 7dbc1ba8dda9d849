package inspect

import (
	"cmp"
	"container/heap"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math"
	"path/filepath"
	"slices"

	"github.com/leveret-mq/leveret/index"
	"github.com/leveret-mq/leveret/internal/catalog"
	"github.com/leveret-mq/leveret/internal/large"
	"github.com/leveret-mq/leveret/internal/record"
	"github.com/leveret-mq/leveret/wal"
)

// Salvaged tells what Salvage saved, and what not.
type Salvaged struct {
	Dir string `json:"dir"`
	To  string `json:"to"`

	Queues   int   `json:"queues"`
	Messages int64 `json:"messages"` // one in several queues counts in each
	Bytes    int64 `json:"bytes"`    // written: headers, properties and bodies

	// Lost are the messages that were known of and could not be read.
	Lost     int64     `json:"lost_messages"`
	Losses   []Loss    `json:"losses"`
	Problems []Problem `json:"problems"`
	// Unknown: parts of the log are unreadable, so that there may have been
	// messages that nobody knows of any more, and acks of some that were saved.
	Unknown bool `json:"unknown_losses"`
	// Topology: parts of the catalog are unreadable, so that vhosts, exchanges or
	// bindings may be missing.
	Topology bool `json:"topology_losses"`
	// Again: what had been acked may have been saved, since what said so is lost.
	Again bool `json:"acked_may_return"`

	// Named are the queues whose names are lost, with the ones they were given.
	Named []Target `json:"named"`
	// Dropped are the catalog's records that were left out.
	Dropped []string `json:"dropped"`
}

// Loss is messages of a queue that could not be read.
type Loss struct {
	Target
	First    uint64 `json:"first"`
	Last     uint64 `json:"last"`
	Messages uint64 `json:"messages"`
	Problem
}

// maxLosses bounds Salvaged.Losses; Lost counts on.
const maxLosses = 10_000

// Partial is the folder of the new log until it is whole: a broker refuses a
// directory with nothing else.
const Partial = "wal.partial"

// nameless begins the names that queues get whose own are lost.
const nameless = "salvaged-queue-"

// largeQueue is the queue of large bodies of which nobody knows whose they were.
const largeQueue = "salvaged-large-bodies"

// Salvage reads what can be read of the directory dir and writes it to a new
// one, `to`, which must be empty or missing. dir stays as it is.
func Salvage(dir, to string, o Options) (*Salvaged, error) {
	o = o.withDefaults().soften()
	if err := checkTarget(o, dir, to); err != nil {
		return nil, err
	}
	s, err := load(dir, o)
	if err != nil {
		return nil, err
	}
	defer s.close()
	src, err := s.sources()
	if err != nil {
		return nil, err
	}
	defer src.close()
	w := &saver{s: s, src: src, again: again{dir: dir, opts: o}, to: to, copied: map[uint64]copiedFile{}, report: Salvaged{
		Dir: dir, To: to, Problems: s.problems, Again: s.alone,
		Losses: []Loss{}, Named: []Target{}, Dropped: []string{},
	}}
	w.report.Unknown, w.report.Topology = s.unknown, s.badCatalog
	if w.report.Problems == nil {
		w.report.Problems = []Problem{}
	}
	defer w.again.close()
	if err := w.run(); err != nil {
		return nil, err
	}
	w.report.Problems = append(w.report.Problems, o.badReads()...)
	return &w.report, nil
}

// checkTarget refuses a directory in which there is anything.
func checkTarget(o Options, dir, to string) error {
	from, err1 := filepath.Abs(dir)
	target, err2 := filepath.Abs(to)
	if err := errors.Join(err1, err2); err != nil {
		return err
	}
	if rel, err := filepath.Rel(from, target); err == nil && (rel == "." || filepath.IsLocal(rel)) {
		return fmt.Errorf("%s is in %s: salvage to somewhere else", to, dir)
	}
	names, err := o.FS.ReadDir(to)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("read directory %s: %w", to, err)
	}
	for _, name := range names {
		if name != "lost+found" {
			return fmt.Errorf("%s is not empty: salvage to a new directory", to)
		}
	}
	return nil
}

// saver writes a salvage.
type saver struct {
	s     *state
	src   *sources
	again again
	to    string
	log   *wal.Log

	resurrected  map[uint32][]resurrected // what segments hold beyond what is known, without a checkpoint
	heap         savings
	copied       map[uint64]copiedFile // large files, by their old numbers
	lostAndFound uint32                // the queue of large files that no record names; 0: none
	large        *large.Dir

	pending []byte // records of the batch at hand
	ends    []int  // where each ends
	next    map[uint32]uint64
	total   int64
	report  Salvaged
}

type copiedFile struct {
	number uint64
	err    error
}

// saveBatch is how many bytes are given to the log at once.
const saveBatch = 256 << 10

func (w *saver) run() error {
	o := w.s.opts
	if err := o.FS.MkdirAll(w.to); err != nil {
		return fmt.Errorf("make directory %s: %w", w.to, err)
	}
	var err error
	if w.large, _, err = large.Open(o.FS, filepath.Join(w.to, largeFolder)); err != nil {
		return err
	}
	partial := filepath.Join(w.to, Partial)
	if w.log, err = wal.Open(o.FS, partial, 0, wal.Options{FullDiskWait: -1}, nil); err != nil {
		return err
	}
	err = w.save()
	if cerr := w.log.Close(); err == nil {
		err = cerr
	}
	if err != nil {
		return err
	}
	if err := o.FS.Rename(partial, filepath.Join(w.to, walFolder)); err != nil {
		return fmt.Errorf("rename %s: %w", partial, err)
	}
	// The directory and its parents may be new.
	for dir := filepath.Clean(w.to); ; dir = filepath.Dir(dir) {
		if err := o.FS.SyncDir(dir); err != nil && dir == filepath.Clean(w.to) {
			return fmt.Errorf("sync directory %s: %w", dir, err)
		}
		if dir == filepath.Dir(dir) {
			return nil
		}
	}
}

func (w *saver) save() error {
	if err := w.resurrect(); err != nil {
		return err
	}
	orphans := w.orphans()
	if err := w.saveCatalog(); err != nil {
		return err
	}
	w.next = map[uint32]uint64{}
	for _, id := range w.s.ids() {
		c := &saving{q: w.s.queues[id]}
		c.prepare(w.resurrected[id])
		w.total += int64(c.q.ix.Len()) + int64(len(c.loose)) + int64(len(c.found))
		if err := w.advance(c); err != nil {
			return err
		}
	}
	for seq, e := range orphans {
		if err := w.saveLarge(w.s.queues[w.lostAndFound], uint64(seq), e); err != nil {
			return err
		}
	}
	// What is in the log is written in its order, so that a message that is in
	// several queues is written once, and the log is read from front to back.
	for len(w.heap) > 0 {
		group := []*saving{heap.Pop(&w.heap).(*saving)}
		for len(w.heap) > 0 && w.heap[0].head.Addr == group[0].head.Addr && w.heap[0].head.Len == group[0].head.Len {
			group = append(group, heap.Pop(&w.heap).(*saving))
		}
		if err := w.saveLogged(group); err != nil {
			return err
		}
		for _, c := range group {
			if err := w.advance(c); err != nil {
				return err
			}
		}
	}
	if err := w.flush(); err != nil {
		return err
	}
	w.s.opts.Progress("messages", w.total, w.total)
	w.src.close() // the last use
	return w.log.Wait(w.log.Appended())
}

// saveCatalog writes the queues and the catalog, less what does not hold
// together, plus names for queues that have none.
func (w *saver) saveCatalog() error {
	topo := w.s.topo
	named := map[uint32]bool{}
	for key, value := range topo.records {
		for id := range queueRecord(key, value) {
			named[id] = true
			if w.s.queues[id] == nil {
				w.s.add(id) // its state is lost, and it is none the less
			}
		}
	}
	for _, id := range w.s.ids() {
		if named[id] {
			continue
		}
		if q := w.s.queues[id]; q.ix.Len()+len(q.loose)+len(w.resurrected[id]) == 0 {
			delete(w.s.queues, id)
			continue
		}
		name := Name{VHost: "/", Queue: fmt.Sprintf("%s%d", nameless, id)}
		topo.put(queueKey(name), catalog.QueueValue(id, false, nil))
		w.report.Named = append(w.report.Named, Target{id, name})
	}
	hasQueue := func(id uint32) bool { return w.s.queues[id] != nil }
	for again := true; again; { // what refers to what was left out goes too
		again = false
		topo.check(hasQueue, func(key string, cause error) {
			if kind, parts, err := catalog.Split(key); err == nil && catalog.OfVHost(kind) {
				if v := catalog.Key(catalog.VHost, parts[0]); topo.records[v] == nil {
					topo.records[v] = []byte{}
					again = true
					return
				}
			}
			delete(topo.records, key)
			w.report.Dropped = append(w.report.Dropped, fmt.Sprintf("%s: %v", object(key), cause))
			again = true
		})
	}
	w.report.Queues = len(w.s.queues)
	var p [record.QueueSize]byte
	for _, id := range w.s.ids() {
		record.PutQueueWord(p[:], record.CreateQueue, 0, id)
		if err := w.put(p[:]); err != nil {
			return err
		}
	}
	keys := make([]string, 0, len(topo.records))
	for key := range topo.records {
		keys = append(keys, key)
	}
	slices.Sort(keys)
	for _, key := range keys {
		b := make([]byte, record.WordSize, record.WordSize+len(key)+len(topo.records[key]))
		record.PutWord(b, record.Put, len(key))
		if err := w.put(append(append(b, key...), topo.records[key]...)); err != nil {
			return err
		}
	}
	return w.flush()
}

// put adds a record to the batch at hand.
func (w *saver) put(p []byte) error {
	w.pending = append(w.pending, p...)
	w.ends = append(w.ends, len(w.pending))
	if len(w.pending) < saveBatch {
		return nil
	}
	return w.flush()
}

func (w *saver) flush() error {
	if len(w.ends) == 0 {
		return nil
	}
	if err := w.log.Begin(len(w.pending), len(w.ends)); err != nil {
		return err
	}
	at := 0
	for _, end := range w.ends {
		_, p := w.log.Put(end - at)
		copy(p, w.pending[at:end])
		at = end
	}
	w.log.End(wal.Group, nil)
	w.pending, w.ends = w.pending[:0], w.ends[:0]
	w.s.opts.Progress("messages", w.report.Messages+w.report.Lost, w.total)
	return nil
}

// saving is one queue on its way to the new log.
type saving struct {
	q     *queue
	at    uint64 // all below is written
	runs  []index.Run
	loose []uint64
	found []resurrected
	seq   uint64      // of head
	head  index.Entry // the next message, which is in the log
}

func (c *saving) prepare(found []resurrected) {
	c.runs, c.found = c.q.runs(), found
	for seq := range c.q.loose {
		c.loose = append(c.loose, seq)
	}
	slices.Sort(c.loose)
}

// nextEntry returns the next message that is not in a segment.
func (c *saving) nextEntry() (seq uint64, e index.Entry, ok bool) {
	c.q.ix.After(c.at-1, func(s uint64, tail index.Entry) bool {
		seq, e, ok = s, tail, true
		return false
	})
	for len(c.loose) > 0 && c.loose[0] < c.at {
		c.loose = c.loose[1:]
	}
	if len(c.loose) > 0 && (!ok || c.loose[0] < seq) {
		seq, ok = c.loose[0], true
		e = c.q.loose[seq]
	}
	return seq, e, ok
}

// advance writes the queue's messages up to the next one that is in the log,
// which it leaves at the head, in the heap.
func (w *saver) advance(c *saving) error {
	for {
		seq, e, ok := c.nextEntry()
		end := uint64(math.MaxUint64)
		if ok {
			end = seq
		}
		if err := w.saveSealed(c, end); err != nil {
			return err
		}
		if !ok {
			return nil
		}
		c.at = seq + 1
		if !isLarge(e.Addr) {
			c.seq, c.head = seq, e
			heap.Push(&w.heap, c)
			return nil
		}
		if err := w.saveLarge(c.q, seq, e); err != nil {
			return err
		}
	}
}

// saveSealed writes what the queue has in segments below end.
func (w *saver) saveSealed(c *saving, end uint64) error {
	for len(c.runs) > 0 || len(c.found) > 0 {
		if len(c.found) > 0 && (len(c.runs) == 0 || c.found[0].seq < max(c.at, c.runs[0].First)) {
			if c.found[0].seq >= end {
				return nil
			}
			// A stretch of one segment at a time, that does not pass the run.
			n := 1
			for n < len(c.found) && c.found[n].segment == c.found[0].segment && c.found[n].seq < end && (len(c.runs) == 0 || c.found[n].seq < c.runs[0].First) {
				n++
			}
			if err := w.saveFound(c.q, c.found[:n]); err != nil {
				return err
			}
			c.at, c.found = c.found[n-1].seq+1, c.found[n:]
			continue
		}
		r := c.runs[0]
		if r.First >= end {
			return nil
		}
		stop := min(r.End, end)
		if len(c.found) > 0 {
			stop = min(stop, max(c.found[0].seq, c.at, r.First))
		}
		err := w.src.run(c.q, r, c.at, stop, func(seq uint64, payload []byte) error {
			return w.savePayload(c.q, seq, payload)
		}, w.lost)
		if err != nil {
			return err
		}
		c.at = max(c.at, stop)
		if c.at < r.End {
			if c.at >= end {
				return nil
			}
			continue
		}
		c.runs = c.runs[1:]
	}
	return nil
}

// savePayload writes a message from a segment.
func (w *saver) savePayload(q *queue, seq uint64, payload []byte) error {
	if _, _, err := record.ParsePayload(payload); err != nil {
		return w.lost(loss{q.id, seq, seq, 1, "", -1, err})
	}
	var e index.Entry
	if held, ok := q.ix.Get(seq); ok {
		e = held
	}
	n := record.WordSize + record.PairSize
	p := make([]byte, n, n+record.BlobCheck+len(payload))
	record.PutWord(p, record.Publish, 1)
	w.pair(p[record.WordSize:], q, seq, e)
	p = record.AppendBlob(p, payload)
	if err := w.put(p); err != nil {
		return err
	}
	return w.saved(q, seq, len(p)-n, 1)
}

// pair writes the pair of a publish with the queue's next number.
func (w *saver) pair(p []byte, q *queue, seq uint64, e index.Entry) {
	flags := byte(0)
	if w.s.files.failed || e.Flags&(index.Delivered|index.Marked) != 0 || seq < q.ix.Mark() || w.s.alone {
		flags = record.PairMarked
	}
	record.PutPair(p, q.id, w.next[q.id], flags)
}

// saved counts a message that was written, and writes its delivery count.
func (w *saver) saved(q *queue, seq uint64, bytes int, messages int64) error {
	w.report.Messages += messages
	w.report.Bytes += int64(bytes)
	n := w.next[q.id]
	w.next[q.id]++
	count := q.ix.Count(seq)
	if count == 0 {
		return nil
	}
	var p [record.QueueSize + record.RangeSize]byte
	record.PutQueueWord(p[:], record.Requeue, 1, q.id)
	record.PutRange(p[record.QueueSize:], n, count)
	return w.put(p[:])
}

// saveLogged writes the message at the heads of some queues.
func (w *saver) saveLogged(group []*saving) error {
	slices.SortFunc(group, func(a, b *saving) int { return cmp.Compare(a.q.id, b.q.id) })
	e := group[0].head
	blob, err := w.src.logged(e.Addr, e.Len)
	if err != nil {
		file, off, ok := w.s.log.Locate(lsnOf(e))
		if !ok {
			file, off = filepath.Join(w.s.dir, walFolder), -1
			err = errNotInLog
		}
		for _, c := range group {
			if err := w.lost(loss{c.q.id, c.seq, c.seq, 1, file, off, err}); err != nil {
				return err
			}
		}
		return nil
	}
	for len(group) > 0 {
		part := group[:min(len(group), record.MaxCount)]
		n := record.WordSize + len(part)*record.PairSize
		p := make([]byte, n, n+len(blob))
		record.PutWord(p, record.Publish, len(part))
		for i, c := range part {
			w.pair(p[record.WordSize+i*record.PairSize:], c.q, c.seq, c.head)
		}
		if err := w.put(append(p, blob...)); err != nil {
			return err
		}
		for i, c := range part {
			bytes := 0
			if i == 0 {
				bytes = len(blob)
			}
			if err := w.saved(c.q, c.seq, bytes, 1); err != nil {
				return err
			}
		}
		group = group[len(part):]
	}
	return nil
}

// saveLarge copies a large file, once, and writes the message.
func (w *saver) saveLarge(q *queue, seq uint64, e index.Entry) error {
	old := e.Addr &^ record.LargeBit
	c, ok := w.copied[old]
	if !ok {
		c.number, c.err = w.copyLarge(old)
		w.copied[old] = c
		if c.err == nil {
			w.report.Bytes += int64(e.Len)
		}
	}
	if failed := (*writeError)(nil); errors.As(c.err, &failed) {
		return failed.err
	}
	if c.err != nil {
		l := loss{q.id, seq, seq, 1, w.src.large.Name(old), -1, c.err}
		if bad := (*large.CorruptError)(nil); errors.As(c.err, &bad) {
			l.offset, l.cause = bad.Offset, bad.Cause
		}
		return w.lost(l)
	}
	n := record.WordSize + record.PairSize
	expires := q.ix.Expiry(seq)
	p := make([]byte, n+record.LargeEnd(expires))
	record.PutWord(p, record.PublishLarge, 1)
	w.pair(p[record.WordSize:], q, seq, e)
	record.PutLarge(p[n:], c.number, e.Len, uint32(int64(e.Len)-e.Body()), expires)
	if err := w.put(p); err != nil {
		return err
	}
	return w.saved(q, seq, 0, 1)
}

// writeError is one of the new directory, and not of the old.
type writeError struct{ err error }

func (e *writeError) Error() string { return e.err.Error() }

func (w *saver) copyLarge(old uint64) (number uint64, err error) {
	r, err := w.src.large.Reader(old)
	if err != nil {
		return 0, err
	}
	if err := record.CheckBlob(r.Head()); err != nil {
		return 0, fmt.Errorf("head of the message: %w", err)
	}
	to, err := w.large.Create(r.Size(), true)
	if err != nil {
		return 0, &writeError{err}
	}
	buf := make([]byte, 4*large.Block)
	for off := int64(0); off < r.Size(); {
		n := int(min(int64(len(buf)), r.Size()-off))
		if _, err := r.ReadAt(buf[:n], off); err != nil && err != io.EOF {
			to.Abort()
			return 0, err
		}
		if _, err := to.Write(buf[:n]); err != nil {
			to.Abort()
			return 0, &writeError{err}
		}
		off += int64(n)
	}
	if number, err = to.Commit(r.Head()); err != nil {
		return 0, &writeError{err}
	}
	return number, nil
}

// lost is told of messages that cannot be read. Where a broker runs meanwhile,
// they may be gone or elsewhere by now.
func (w *saver) lost(l loss) error {
	if err := w.s.opts.refused(); err != nil {
		return err
	}
	if w.again.note(l.file, l.cause); w.s.moved() && !w.s.alone {
		left := loss{queue: l.queue, file: l.file, offset: l.offset}
		q := w.s.queues[l.queue]
		err := l.each(q, func(seq uint64) error {
			m, gone, err := w.again.read(l.queue, seq)
			if m.large != nil && err == nil {
				// A copy that failed is not tried again: the disk says this and that.
				err = w.copied[m.entry.Addr&^record.LargeBit].err
			}
			switch {
			case gone:
				return nil
			case err == nil && m.large != nil:
				return w.saveLarge(q, seq, m.entry)
			case err == nil:
				return w.savePayload(q, seq, m.blob[record.BlobCheck:])
			case w.again.s == nil:
				return err // nothing can be looked at any more
			}
			if left.n == 0 {
				left.first = seq
				if m.file != "" {
					left.file, left.offset = m.file, m.offset
				}
			}
			left.n++
			left.last, left.cause = seq, err
			return nil
		})
		if err != nil {
			return err
		}
		if l = left; l.n == 0 {
			return nil
		}
	}
	w.report.Lost += int64(l.n)
	if l.cause == errNotInLog {
		// One line for many: a file of the log had a million.
		for i := len(w.report.Losses) - 1; i >= 0 && i >= len(w.report.Losses)-64; i-- {
			if p := &w.report.Losses[i]; p.Target.Queue == l.queue && p.Last < l.first && p.Cause == errNotInLog.Error() {
				p.Last = l.last
				p.Messages += l.n
				return nil
			}
		}
	}
	if len(w.report.Losses) < maxLosses {
		w.report.Losses = append(w.report.Losses, Loss{
			Target{l.queue, w.s.topo.names[l.queue]}, l.first, l.last, l.n, Problem{l.file, l.offset, l.cause.Error(), false},
		})
	}
	return nil
}

var errNotInLog = errors.New("no file of the log has it")

// savings is a heap of queues by where in the log their next message is.
type savings []*saving

func (h savings) Len() int           { return len(h) }
func (h savings) Less(i, j int) bool { return h[i].head.Addr < h[j].head.Addr }
func (h savings) Swap(i, j int)      { h[i], h[j] = h[j], h[i] }
func (h *savings) Push(x any)        { *h = append(*h, x.(*saving)) }
func (h *savings) Pop() any {
	old := *h
	x := old[len(old)-1]
	*h = old[:len(old)-1]
	return x
}
