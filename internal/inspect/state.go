package inspect

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math"
	"path/filepath"
	"slices"
	"sort"

	"github.com/leveret-mq/leveret/index"
	"github.com/leveret-mq/leveret/internal/record"
	"github.com/leveret-mq/leveret/wal"
)

// state is what a broker would recover: the queues, and who they are.
type state struct {
	dir    string
	opts   Options
	files  *files
	log    *wal.View // nil: there is no log
	topo   *topology
	queues map[uint32]*queue

	checkpoint *snapshotFile // that it begins with; nil: the log alone
	spare      *spare
	header     index.Header
	alone      bool // no checkpoint can be read, though there were some: what was acked may count as alive

	replay, end wal.LSN // the stretch of the log that was replayed
	listed      wal.LSN // the log's end when its files were listed
	records     int
	torn        *wal.Damage       // nil: the log ends with a whole commit
	merged      map[uint64]uint64 // segments that went into another: which
	deleted     map[uint32]bool   // queues

	blocks     int64 // of checkpoints that were read
	problems   []Problem
	unknown    bool // what is damaged may have told of messages that nobody knows of now
	badCatalog bool // parts of the catalog may be missing
}

// queue is one queue of a state.
type queue struct {
	id uint32
	ix index.Queue
	// loose are messages from damaged frames of the log: their own checksums
	// are right, and whatever else the frame said is lost.
	loose map[uint64]index.Entry
	// found: no record that is left tells of the queue's creation.
	found bool
	// acked are the ranges that the log says to be gone, in a state without a
	// checkpoint: there what is missing from ix may be in a segment.
	acked  []span
	sorted bool // acked is
}

// span is a range of numbers, both ends included.
type span struct{ first, last uint64 }

// wasAcked tells whether the log says that a message is gone. sortAcked comes first.
func (q *queue) wasAcked(seq uint64) bool {
	i := sort.Search(len(q.acked), func(i int) bool { return q.acked[i].last >= seq })
	return i < len(q.acked) && q.acked[i].first <= seq
}

func (q *queue) addAcked(first, last uint64) {
	if n := len(q.acked); n > 0 && q.acked[n-1].last+1 == first {
		q.acked[n-1].last = last
		return
	}
	q.acked = append(q.acked, span{first, last})
}

func (q *queue) sortAcked() {
	slices.SortFunc(q.acked, func(a, b span) int { return cmp.Compare(a.first, b.first) })
	n := 0
	for _, s := range q.acked {
		if n > 0 && s.first <= q.acked[n-1].last+1 {
			q.acked[n-1].last = max(q.acked[n-1].last, s.last)
			continue
		}
		q.acked[n] = s
		n++
	}
	q.acked = q.acked[:n]
}

// each calls fn with the messages that are not in segments, in order of their
// numbers but for the loose ones.
func (q *queue) each(fn func(seq uint64, e index.Entry)) {
	q.ix.After(math.MaxUint64, func(seq uint64, e index.Entry) bool { // behind which comes 0
		fn(seq, e)
		return true
	})
	for seq, e := range q.loose {
		fn(seq, e)
	}
}

func lsnOf(e index.Entry) wal.LSN { return wal.LSN(e.Addr) }

func isLarge(addr uint64) bool { return addr&record.LargeBit != 0 }

func (s *state) problem(p Problem) {
	s.unknown = s.unknown || p.Fatal
	if !slices.Contains(s.problems, p) { // two checkpoints may need one catalog
		s.problems = append(s.problems, p)
	}
}

func (s *state) close() {
	if s.log != nil {
		s.log.Close()
	}
}

// load reads the state of dir. What is wrong is in its problems; the error is
// for what keeps it from being looked at at all.
//
// While a broker runs, files go that are about to be read. What is really wrong
// is so again at the next look; else there is one more, however often that is: the
// broker has gone on meanwhile.
func load(dir string, o Options) (*state, error) {
	var before []Problem
	failed := ""
	for {
		s := &state{dir: dir, opts: o}
		err := s.load()
		if err == nil {
			if allIn(s.problems, before) || !s.moved() {
				return s, nil
			}
			before = s.problems
		} else if !errors.Is(err, fs.ErrNotExist) || err.Error() == failed {
			s.close()
			return nil, err
		} else {
			failed = err.Error()
		}
		s.close()
	}
}

// allIn tells whether all problems are known already.
func allIn(list, known []Problem) bool {
	for _, p := range list {
		same := func(k Problem) bool { return k == p || p.Offset >= 0 && k.File == p.File && k.Offset == p.Offset }
		if !slices.ContainsFunc(known, same) {
			return false
		}
	}
	return true
}

// moved tells whether a broker has made, removed or written files since s was
// read, so that what seems to be missing may be so rightly.
func (s *state) moved() bool {
	now, err := list(s.opts.FS, s.dir)
	return err != nil || !slices.Equal(now.checkpoints, s.files.checkpoints) ||
		!slices.Equal(now.segments, s.files.segments) || !slices.Equal(now.large, s.files.large) ||
		!slices.Equal(now.logs, s.files.logs) || now.logSize != s.files.logSize
}

func (s *state) load() error {
	var err error
	if s.files, err = list(s.opts.FS, s.dir); err != nil {
		return err
	}
	if err := s.loadNewest(); err != nil {
		return err
	}
	if s.log, err = view(s.opts.FS, s.dir); err != nil {
		return err
	}
	if s.log != nil {
		if files := s.log.Files(); len(files) > 0 {
			s.listed = files[len(files)-1].End
		}
	}
	if err := s.replayLog(); err != nil {
		return err
	}
	for _, q := range s.queues {
		q.ix.Recovered()
		if len(s.merged) > 0 {
			q.ix.Relabel(s.resolve)
		}
	}
	return nil
}

// resolve tells where what was in a segment is now.
func (s *state) resolve(segment uint64) uint64 {
	for range len(s.merged) + 1 {
		next, ok := s.merged[segment]
		if !ok {
			break
		}
		segment = next
	}
	return segment
}

func (s *state) reset() {
	s.topo, s.queues, s.merged, s.deleted = newTopology(), map[uint32]*queue{}, map[uint64]uint64{}, map[uint32]bool{}
}

// loadNewest takes the newest checkpoint that can be read, with its catalog. If
// there is none, it leaves in spare the newest that is whole but for its catalog.
func (s *state) loadNewest() error {
	for i := len(s.files.checkpoints) - 1; i >= 0; i-- {
		sf := &s.files.checkpoints[i]
		s.reset()
		err := s.loadCheckpoint(sf)
		whole := err == nil
		if whole {
			if err = s.loadCatalog(sf); err == nil {
				s.checkpoint, s.spare = sf, nil
				return nil
			}
		}
		bad := (*badSnapshot)(nil)
		if !errors.As(err, &bad) {
			return err
		}
		s.problem(problem(bad.file, false, "%v", bad.cause))
		if whole && s.spare == nil {
			s.spare = &spare{sf, s.header, s.queues}
		}
	}
	s.reset()
	s.header = index.Header{}
	s.alone = len(s.files.checkpoints) > 0
	// What can be read of any catalog is better than nothing.
	for i := len(s.files.catalogs) - 1; i >= 0 && len(s.topo.records) == 0; i-- {
		if err := salvageCatalog(s.opts, &s.files.catalogs[i], s.topo); err != nil {
			return err
		}
	}
	return nil
}

// spare is a checkpoint whose catalog is damaged. A broker does not take it.
type spare struct {
	file   *snapshotFile
	header index.Header
	queues map[uint32]*queue
}

func readCatalog(o Options, sf *snapshotFile, t *topology) error {
	return readSnapshot(o.FS, sf, func(index.Header) {}, func(kind byte, p []byte) error {
		if kind != index.BlockCatalog {
			return fmt.Errorf("block of kind %d does not belong here", kind)
		}
		return t.block(p)
	})
}

// salvageCatalog reads what can be read of a catalog.
func salvageCatalog(o Options, sf *snapshotFile, t *topology) error {
	f, err := o.FS.Open(sf.name)
	if err != nil {
		return err
	}
	defer f.Close()
	r, err := index.NewReader(f, sf.size)
	if err != nil {
		r = index.NewHeadless(f, sf.size)
	}
	for {
		kind, p, err := r.Next()
		if err == nil && kind == index.BlockCatalog {
			_ = t.block(p)
		} else if err == io.EOF {
			return nil
		} else if err != nil {
			if _, ok := r.Skip(); !ok {
				return nil
			}
		}
	}
}

func (s *state) loadCheckpoint(sf *snapshotFile) error {
	var l index.Loader
	var q *queue
	err := readSnapshot(s.opts.FS, sf, func(h index.Header) { s.header = h }, func(kind byte, p []byte) error {
		s.blocks++
		switch {
		case kind == index.BlockState:
			if q != nil {
				q.ix = l.Done(nil)
			}
			id, next, err := index.LoadState(p)
			if err != nil {
				return err
			}
			if s.queues[id] != nil {
				return fmt.Errorf("queue %d stands there twice", id)
			}
			l, q = next, s.add(id)
			return nil
		case q == nil:
		case kind == index.BlockEntries:
			return l.LoadEntries(p, nil)
		case kind == index.BlockRuns:
			return l.LoadRuns(p)
		case kind == index.BlockTimes:
			return l.LoadTimes(p)
		case kind == index.BlockAcks:
			return l.LoadAcks(p)
		}
		return fmt.Errorf("block of kind %d does not belong here", kind)
	})
	if err != nil {
		return err
	}
	if q != nil {
		q.ix = l.Done(nil)
	}
	return nil
}

// loadCatalog reads the catalog that goes with the checkpoint just loaded.
func (s *state) loadCatalog(sf *snapshotFile) error {
	if s.header.Catalog == 0 {
		return nil
	}
	catalog := find(s.files.catalogs, s.header.Catalog)
	if catalog == nil {
		return &badSnapshot{sf.name, fmt.Errorf("the catalog that goes with it, number %d, is missing", s.header.Catalog)}
	}
	return readCatalog(s.opts, catalog, s.topo)
}

func (s *state) add(id uint32) *queue {
	q := &queue{id: id}
	s.queues[id] = q
	return q
}

// useSpare begins with a checkpoint whose catalog is damaged.
func (s *state) useSpare() {
	s.alone, s.checkpoint, s.header, s.queues = false, s.spare.file, s.spare.header, s.spare.queues
	s.replay, s.badCatalog = wal.LSN(s.header.Replay), true
	// Of messages all is known.
	s.problems = append(s.problems, problem(s.checkpoint.name, true, "the checkpoint is whole, but not the catalog that goes with it, and no other can be read"))
}

// replayLog applies the log, from where the checkpoint says, to its end.
func (s *state) replayLog() error {
	s.replay = wal.LSN(s.header.Replay)
	var list []wal.ViewFile
	if s.log != nil {
		list = s.log.Files()
	}
	walDir := filepath.Join(s.dir, walFolder)
	if len(list) == 0 {
		if s.checkpoint == nil && s.spare != nil {
			s.useSpare()
		}
		if s.replay != 0 || s.alone {
			s.problem(problem(walDir, true, "there are no log files, and the replay should begin at lsn %d", s.replay))
		}
		return nil
	}
	oldest := list[0].Start
	if s.checkpoint == nil {
		// The log alone is enough if all of it is there.
		whole := list[0].Known && oldest == 0
		for i := 1; i < len(list) && whole; i++ {
			whole = list[i].Known && list[i-1].End == list[i].Start
		}
		none := "there is no checkpoint"
		if s.alone {
			none = "no checkpoint can be read"
		}
		switch {
		case whole:
			s.alone = false
		case s.spare != nil:
			s.useSpare()
		case !list[0].Known:
			s.alone = true
			s.problem(problem(walDir, true, "%s, and where the log begins is unknown", none))
		case oldest != 0:
			s.alone = true
			s.problem(problem(walDir, true, "%s, and the log begins at lsn %d: what was done before is not known", none, oldest))
		default:
			s.alone = true
			s.problem(problem(walDir, true, "%s, and parts of the log are missing", none))
		}
		if s.checkpoint == nil {
			s.badCatalog = s.alone
			s.replay = oldest
		}
	}
	total, done := int64(0), int64(0)
	for i := range list {
		if list[i].End > s.replay || !list[i].Known {
			total += list[i].Size
		}
	}
	at := s.replay // all before it was replayed, or is missing
	told := false  // the walk of the file before told what is missing behind it
	for i := range list {
		f := &list[i]
		if f.Known && f.End <= s.replay && i+1 < len(list) {
			continue
		}
		if f.Known && f.Start > at && s.checkpoint != nil && !(told && f.Follows) {
			s.problem(problem(f.Name, true, "it begins at lsn %d, and what should stand before, from lsn %d on, is missing", f.Start, at))
		}
		told = true
		end, err := s.log.Walk(i, s.replay, wal.Walker{
			Record: s.apply,
			Damage: s.damage,
			Read: func(n int64) error {
				done += n
				s.opts.Progress("log", min(done, total), total)
				return nil
			},
		})
		if err != nil {
			return err
		}
		at = max(at, end)
		if f.Known && i+1 < len(list) {
			at = max(at, f.End)
		}
	}
	if at == s.replay && s.checkpoint != nil {
		if last := &list[len(list)-1]; last.Known && last.End < s.replay {
			s.problem(Problem{last.Name, last.Size, fmt.Sprintf("the file ends at lsn %d, and the replay should begin at lsn %d", last.End, s.replay), true})
		}
	}
	s.end = at
	return nil
}

func (s *state) damage(d wal.Damage) error {
	if s.opts.torn(&d) {
		if !d.Blank {
			s.torn = &d
		}
		return nil
	}
	s.problem(damageProblem(&d, true))
	return nil
}

func damageProblem(d *wal.Damage, fatal bool) Problem {
	cause := d.Cause.Error()
	if d.End > d.LSN {
		cause = fmt.Sprintf("%v; lsn %d to %d cannot be read", d.Cause, d.LSN, d.End)
	}
	return Problem{File: d.File, Offset: d.Offset, Cause: cause, Fatal: fatal}
}

// apply applies one record. Each may be there already.
func (s *state) apply(lsn wal.LSN, p []byte, whole bool) error {
	rec, err := record.Decode(p)
	if !whole {
		if err == nil && rec.Kind == record.Publish {
			s.applyLoose(lsn, p, &rec)
		}
		return nil
	}
	s.records++
	if err == nil {
		err = s.applyWhole(lsn, p, &rec)
	}
	if err != nil {
		file, off, _ := s.log.Locate(lsn)
		s.problem(Problem{File: file, Offset: off, Cause: fmt.Sprintf("record at lsn %d: %v", lsn, err), Fatal: true})
	}
	return nil
}

// applyLoose takes a message out of a frame that is damaged, if its own checksum
// is right and it is for queues that are known.
func (s *state) applyLoose(lsn wal.LSN, p []byte, rec *record.Record) {
	if record.CheckBlob(rec.Blob) != nil {
		return
	}
	body, _, err := record.BodyLen(rec.Blob)
	if err != nil {
		return
	}
	addr := uint64(lsn) + uint64(len(p)-len(rec.Blob))
	for i := range rec.Pairs.Len() {
		id, seq, flags := rec.Pairs.At(i)
		q := s.queues[id]
		if q == nil || flags&^record.PairMarked != 0 || seq < q.ix.Next() || seq > q.ix.Next()+record.MaxAhead {
			continue
		}
		if q.loose == nil {
			q.loose = map[uint64]index.Entry{}
		}
		q.loose[seq] = index.MakeEntry(addr, uint32(len(rec.Blob)), body, index.Logged|index.Marked)
	}
}

// queue returns a queue; nil: it was deleted later than all this.
func (s *state) queue(id uint32) *queue {
	q := s.queues[id]
	if q == nil && s.alone && id != 0 && !s.deleted[id] {
		q = s.add(id)
		q.found = true
	}
	return q
}

func (q *queue) checkSeq(seq uint64) error {
	if seq > q.ix.Next()+record.MaxAhead && !(q.found && q.ix.Next() == 0) {
		return fmt.Errorf("message number %d is impossible for queue %d, which is at %d", seq, q.id, q.ix.Next())
	}
	return nil
}

// drop makes loose messages gone that an ack names.
func (q *queue) drop(first, last uint64) {
	if uint64(len(q.loose)) <= last-first {
		for seq := range q.loose {
			if seq >= first && seq <= last {
				delete(q.loose, seq)
			}
		}
		return
	}
	for seq := first; seq <= last; seq++ {
		delete(q.loose, seq)
	}
}

func (s *state) applyWhole(lsn wal.LSN, p []byte, rec *record.Record) error {
	switch rec.Kind {
	case record.Publish:
		body, expires, err := record.BodyLen(rec.Blob)
		if err != nil {
			return err
		}
		addr := uint64(lsn) + uint64(len(p)-len(rec.Blob))
		return s.publish(rec, index.MakeEntry(addr, uint32(len(rec.Blob)), body, index.Logged), expires)
	case record.Put:
		s.topo.put(string(rec.Key), rec.Value)
		return nil
	case record.Delete:
		s.topo.remove(string(rec.Key))
		return nil
	case record.PublishLarge:
		e := index.MakeEntry(record.LargeBit|rec.File, rec.Length, rec.Length-rec.Overhead, index.Logged)
		return s.publish(rec, e, rec.Expires)
	case record.CreateQueue:
		if q := s.queues[rec.Queue]; q == nil {
			s.add(rec.Queue)
		}
		return nil
	case record.Sealed:
		in := func(addr uint64) bool { return !isLarge(addr) && addr >= rec.From && addr < rec.To }
		for i := range len(rec.Items) / record.SpanSize {
			id, first, end := rec.Span(i)
			q := s.queues[id]
			if q == nil {
				continue
			}
			if (first >= end || end > q.ix.Next()) && !s.alone {
				return fmt.Errorf("messages %d to %d of queue %d, which is at %d, cannot be in segment %d", first, end, id, q.ix.Next(), rec.Segment)
			}
			q.ix.Seal(first, end, rec.Segment, in, nil)
		}
		return nil
	case record.Merged:
		for i := range len(rec.Items) / 8 {
			s.merged[rec.Old(i)] = rec.Segment
		}
		return nil
	}
	q := s.queue(rec.Queue)
	if q == nil {
		return nil
	}
	n := len(rec.Items) / record.RangeSize
	switch rec.Kind {
	case record.Ack:
		for i := range n {
			first, count := rec.Item(i)
			if count == 0 {
				continue
			}
			last := first + uint64(count) - 1
			if err := q.checkSeq(last); err != nil {
				return err
			}
			q.ix.Skip(last + 1)
			q.ix.AckQuietly(first, last, nil)
			q.drop(first, last)
			if s.alone {
				q.addAcked(first, last)
			}
		}
	case record.Requeue:
		for i := range n {
			seq, count := rec.Item(i)
			q.ix.SetCount(seq, count)
		}
	case record.Delivered:
		if err := q.checkSeq(rec.Mark); err != nil {
			return err
		}
		q.ix.RaiseMark(rec.Mark)
	case record.DeleteQueue:
		delete(s.queues, rec.Queue)
		s.deleted[rec.Queue] = true
	}
	return nil
}

// publish gives each of a publish's queues its entry.
func (s *state) publish(rec *record.Record, e index.Entry, expires int64) error {
	for i := range rec.Pairs.Len() {
		id, seq, flags := rec.Pairs.At(i)
		q := s.queue(id)
		if q == nil {
			continue
		}
		if err := q.checkSeq(seq); err != nil {
			return err
		}
		mine := e
		if flags&record.PairMarked != 0 {
			mine.Flags |= index.Marked
		}
		if expires != 0 {
			q.ix.RestoreExpiring(seq, mine, expires)
		} else {
			q.ix.Restore(seq, mine)
		}
		delete(q.loose, seq)
	}
	return nil
}

// ids lists the queues, ascending.
func (s *state) ids() []uint32 {
	ids := make([]uint32, 0, len(s.queues))
	for id := range s.queues {
		ids = append(ids, id)
	}
	slices.Sort(ids)
	return ids
}
