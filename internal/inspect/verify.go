package inspect

import (
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"

	"github.com/leveret-mq/leveret/index"
	"github.com/leveret-mq/leveret/internal/large"
	"github.com/leveret-mq/leveret/internal/record"
	"github.com/leveret-mq/leveret/segment"
	"github.com/leveret-mq/leveret/wal"
)

// Verified is what Verify has checked and found.
type Verified struct {
	Dir    string  `json:"dir"`
	Checks []Check `json:"checks"`
	// Problems of all checks, at most MaxProblems; Found is how many there are.
	Problems []Problem `json:"problems"`
	Found    int       `json:"found"`
	// Fatal: a broker refuses to start from the directory.
	Fatal bool `json:"fatal"`
	// Unreadable is how many messages cannot be read.
	Unreadable int64 `json:"unreadable_messages"`
	// Torn: see Stat.
	Torn bool `json:"torn"`
}

// MaxProblems bounds Verified.Problems.
const MaxProblems = 1000

// Check is one part of a verification.
type Check struct {
	What     string `json:"what"`
	Files    int    `json:"files"`
	Bytes    int64  `json:"bytes"`
	Items    int64  `json:"items"` // records, messages, queues: Unit says what
	Unit     string `json:"unit"`
	Problems int    `json:"problems"`
}

// Verify reads all of a data directory and checks it: every checksum, and what
// the log, the checkpoints, the segments, the large files and the catalog say of
// each other.
//
// While a broker runs, what shows a problem is looked at again.
func Verify(dir string, o Options) (*Verified, error) {
	o = o.withDefaults().soften()
	for failed := ""; ; {
		v, err := verify(dir, o)
		if errors.Is(err, fs.ErrNotExist) && err.Error() != failed {
			failed = err.Error() // a broker removed it this moment
			continue
		}
		if err == nil {
			err = o.refused()
		}
		if err != nil {
			return nil, err
		}
		for _, p := range o.badReads() {
			v.known = map[where]bool{} // it says more than a checksum that is wrong there
			v.problem(p)
		}
		return &v.report, nil
	}
}

type verifier struct {
	s      *state
	src    *sources
	report Verified
	again  again
	at     int // problems before the check at hand
	known  map[where]bool
}

func verify(dir string, o Options) (*verifier, error) {
	s, err := load(dir, o)
	if err != nil {
		return nil, err
	}
	defer s.close()
	v := &verifier{s: s, again: again{dir: dir, opts: o}, known: map[where]bool{}, report: Verified{Dir: dir, Checks: []Check{}, Problems: []Problem{}, Torn: s.torn != nil}}
	if v.src, err = s.sources(); err != nil {
		return nil, err
	}
	defer v.src.close()
	defer v.again.close()
	for _, check := range []func() (Check, error){v.snapshots, v.log, v.catalog, v.messages, v.segments, v.large} {
		c, err := check()
		if err != nil {
			return nil, err
		}
		c.Problems = v.report.Found - v.at
		v.at = v.report.Found
		v.report.Checks = append(v.report.Checks, c)
	}
	return v, nil
}

func (v *verifier) problem(p Problem) {
	at := where{p.File, p.Offset}
	if p.Offset < 0 {
		at.file = p.String()
	}
	if v.known[at] {
		return // two checks met at the same place
	}
	v.known[at] = true
	v.report.Fatal = v.report.Fatal || p.Fatal
	if v.report.Found++; v.report.Found <= MaxProblems {
		v.report.Problems = append(v.report.Problems, p)
	}
}

// where is a place in a file.
type where struct {
	file   string
	offset int64
}

// snapshots checks all checkpoints and catalogs, in use or not.
func (v *verifier) snapshots() (Check, error) {
	c := Check{What: "checkpoints", Unit: "blocks"}
	l := v.s.files
	for i := range l.checkpoints {
		sf := &l.checkpoints[i]
		c.Files++
		c.Bytes += sf.size
		if err := v.checkpoint(sf, &c); err != nil {
			return c, err
		}
	}
	for i := range l.catalogs {
		sf := &l.catalogs[i]
		c.Files++
		c.Bytes += sf.size
		t := newTopology()
		err := readSnapshot(v.s.opts.FS, sf, func(index.Header) {}, func(kind byte, p []byte) error {
			c.Items++
			if kind != index.BlockCatalog {
				return fmt.Errorf("block of kind %d does not belong here", kind)
			}
			return t.block(p)
		})
		if err := v.badSnapshot(err); err != nil {
			return c, err
		}
	}
	return c, nil
}

// badSnapshot turns damage into a problem.
func (v *verifier) badSnapshot(err error) error {
	bad := (*badSnapshot)(nil)
	if errors.As(err, &bad) {
		v.problem(problem(bad.file, false, "%v", bad.cause))
		return nil
	}
	if errors.Is(err, fs.ErrNotExist) {
		return nil // a broker has written newer ones
	}
	return err
}

func (v *verifier) checkpoint(sf *snapshotFile, c *Check) error {
	probe := &state{dir: v.s.dir, opts: v.s.opts, files: v.s.files}
	probe.reset()
	err := probe.loadCheckpoint(sf)
	c.Items += probe.blocks
	return v.badSnapshot(err)
}

// log checks every frame of every file, and that a broker would take the part
// that it replays.
func (v *verifier) log() (Check, error) {
	c := Check{What: "log", Unit: "records"}
	// What the replay has found comes first.
	for _, p := range v.s.problems {
		v.problem(p)
	}
	if v.s.log == nil {
		return c, nil
	}
	files := v.s.log.Files()
	total := int64(0)
	for _, f := range files {
		total += f.Size
	}
	done := int64(0)
	for i := range files {
		f := &files[i]
		c.Files++
		c.Bytes += f.Size
		_, err := v.s.log.Walk(i, 0, wal.Walker{
			Record: func(lsn wal.LSN, p []byte, whole bool) error {
				if !whole {
					return nil
				}
				c.Items++
				if err := checkRecord(p); err != nil {
					file, off, _ := v.s.log.Locate(lsn)
					v.problem(Problem{file, off, fmt.Sprintf("record at lsn %d: %v", lsn, err), f.End > v.s.replay})
				}
				return nil
			},
			Damage: func(d wal.Damage) error {
				if v.s.opts.torn(&d) {
					return nil
				}
				// Headers are read, wherever the replay begins.
				v.problem(damageProblem(&d, d.End > v.s.replay || files[i].Bad != nil && d.Offset == 0))
				return nil
			},
			Read: func(n int64) error {
				done += n
				v.s.opts.Progress("log", min(done, total), total)
				return nil
			},
		})
		if errors.Is(err, fs.ErrNotExist) && i < len(files)-1 {
			continue // a broker has no use for it any more
		}
		if err != nil {
			return c, err
		}
	}
	if v.report.Found == v.at {
		_, err := wal.Replay(v.s.opts.FS, filepath.Join(v.s.dir, walFolder), v.s.replay, nil)
		bad := (*wal.CorruptError)(nil)
		switch {
		case err != nil && v.s.moved(): // the replay may begin later now
		case errors.As(err, &bad):
			v.problem(Problem{bad.File, bad.Offset, bad.Cause.Error(), true})
		case errors.Is(err, fs.ErrNotExist):
		case err != nil:
			return c, err
		}
	}
	return c, nil
}

// checkRecord checks what a record says, down to its message.
func checkRecord(p []byte) error {
	rec, err := record.Decode(p)
	if err != nil {
		return err
	}
	if rec.Kind != record.Publish {
		return nil
	}
	if err := record.CheckBlob(rec.Blob); err != nil {
		return err
	}
	_, _, err = record.BodyLen(rec.Blob)
	return err
}

// catalog checks that a broker can take the catalog, and that each queue has a
// name.
func (v *verifier) catalog() (Check, error) {
	c := Check{What: "catalog", Unit: "objects", Items: int64(len(v.s.topo.records))}
	named := map[uint32]bool{}
	for key, value := range v.s.topo.records {
		for id := range queueRecord(key, value) {
			named[id] = true
		}
	}
	v.s.topo.check(func(id uint32) bool { return v.s.queues[id] != nil }, func(key string, cause error) {
		v.problem(problem("", true, "catalog: %s: %v", object(key), cause))
	})
	for _, id := range v.s.ids() {
		if q := v.s.queues[id]; !named[id] {
			v.problem(problem("", false, "queue %d has no name in the catalog: a broker deletes it, with %d messages", id, q.ix.Len()))
		}
	}
	return c, nil
}

// messages reads each message that is not gone, wherever it lies.
func (v *verifier) messages() (Check, error) {
	c := Check{What: "messages", Unit: "messages"}
	total, done := int64(0), int64(0)
	for _, q := range v.s.queues {
		total += int64(q.ix.Len() + len(q.loose))
	}
	bad := map[uint64]error{} // addresses in the log
	for _, p := range v.s.places() {
		done += int64(p.n)
		v.s.opts.Progress("messages", done, total)
		if isLarge(p.addr) {
			continue // checked with the files
		}
		c.Items += int64(p.n)
		if _, err := v.src.logged(p.addr, p.size); err != nil {
			bad[p.addr] = err
		}
	}
	if err := v.badInLog(bad); err != nil {
		return c, err
	}
	for _, id := range v.s.ids() {
		q := v.s.queues[id]
		for _, r := range q.runs() {
			n, lost := uint64(0), uint64(0)
			err := v.src.run(q, r, 0, r.End, func(seq uint64, payload []byte) error {
				n++
				done++
				if n%4096 == 0 {
					v.s.opts.Progress("messages", done, total)
				}
				if _, _, err := record.ParsePayload(payload); err != nil {
					return v.lost(loss{q.id, seq, seq, 1, filepath.Join(v.src.dir, segment.Name(r.Segment)), -1, err})
				}
				return nil
			}, func(l loss) error {
				lost += l.n
				return v.lost(l)
			})
			if err != nil {
				return c, err
			}
			c.Items += int64(n)
			if n+lost != r.Live {
				v.problem(problem("", false, "%s: messages %d to %d in segment %d should be %d, and are %d", v.s.topo.label(q.id), r.First, r.End-1, r.Segment, r.Live, n+lost))
			}
		}
	}
	return c, nil
}

// lost is told of messages of a run that cannot be read.
func (v *verifier) lost(l loss) error {
	if v.again.note(l.file, l.cause); v.s.moved() {
		return v.lookAgain(l)
	}
	v.unreadable(l)
	return nil
}

func (v *verifier) unreadable(l loss) {
	v.report.Unreadable += int64(l.n)
	if errors.Is(l.cause, fs.ErrNotExist) {
		v.problem(missingSegment(l.file, l.n))
	} else {
		v.problem(Problem{l.file, l.offset, fmt.Sprintf("%s: %s cannot be read: %v", v.s.topo.label(l.queue), l.numbers(), l.cause), false})
	}
}

// lookAgain reports those messages of a run that cannot be read now either, a
// problem for each file.
func (v *verifier) lookAgain(l loss) error {
	q := v.s.queues[l.queue]
	var left loss
	report := func() {
		if left.n > 0 {
			v.unreadable(left)
		}
	}
	err := l.each(q, func(seq uint64) error {
		m, _, err := v.again.read(l.queue, seq)
		if err == nil || v.again.s == nil {
			return err // nil, or nothing can be looked at any more
		}
		if left.n == 0 || left.file != m.file || left.offset != m.offset {
			report()
			left = loss{queue: l.queue, first: seq, file: m.file, offset: m.offset, cause: err}
		}
		left.n++
		left.last = seq
		return nil
	})
	if err != nil {
		return err
	}
	report()
	return nil
}

// badInLog reports messages that cannot be read from the log.
func (v *verifier) badInLog(bad map[uint64]error) error {
	if len(bad) == 0 {
		return nil
	}
	for addr, err := range bad {
		file, _ := v.s.locate(addr)
		v.again.note(file, err)
	}
	moved := v.s.moved()
	for _, id := range v.s.ids() {
		var failed error
		var gone loss // in a row, in no file
		report := func() {
			if gone.n > 0 {
				v.unreadable(gone)
				gone.n = 0
			}
		}
		v.s.queues[id].each(func(seq uint64, e index.Entry) {
			cause, ok := bad[e.Addr]
			if !ok || failed != nil {
				return
			}
			file, off := v.s.locate(e.Addr)
			if moved {
				m, _, err := v.again.read(id, seq)
				if err == nil {
					return
				}
				if v.again.s == nil {
					failed = err // nothing can be looked at any more
					return
				}
				file, off, cause = m.file, m.offset, err
			}
			if file == "" {
				if gone.n == 0 {
					gone = loss{queue: id, first: seq, file: filepath.Join(v.s.dir, walFolder), offset: -1, cause: fmt.Errorf("no file has lsn %d", e.Addr)}
				}
				gone.n++
				gone.last = seq
				return
			}
			report()
			v.report.Unreadable++
			v.problem(Problem{file, off, fmt.Sprintf("%s: message %d cannot be read: %v", v.s.topo.label(id), seq, cause), false})
		})
		if failed != nil {
			return failed
		}
		report()
	}
	return nil
}

// numbers names a loss's messages.
func (l *loss) numbers() string {
	if l.n == 1 {
		return fmt.Sprintf("message %d", l.first)
	}
	return fmt.Sprintf("%d messages from %d to %d", l.n, l.first, l.last)
}

// segments checks every block of every segment.
func (v *verifier) segments() (Check, error) {
	c := Check{What: "segments", Unit: "records"}
	for i, f := range v.s.files.segments {
		v.s.opts.Progress("segments", int64(i), int64(len(v.s.files.segments)))
		info, err := v.src.reader(f.number).Verify()
		if errors.Is(err, fs.ErrNotExist) {
			continue // drained; where it is needed, that was told
		}
		all := []error{err}
		if list, ok := err.(interface{ Unwrap() []error }); ok {
			all = list.Unwrap()
		}
		for _, err := range all {
			block, whole := (*segment.BlockError)(nil), (*segment.CorruptError)(nil)
			switch {
			case errors.As(err, &block):
				v.problem(Problem{f.name, block.Offset, fmt.Sprintf("%s: block with messages %d to %d: %v", v.s.topo.label(block.Queue), block.First, block.Last, block.Cause), false})
			case errors.As(err, &whole):
				v.problem(Problem{f.name, whole.Offset, whole.Cause.Error(), false})
			case err != nil:
				v.problem(problem(f.name, false, "%v", err))
			}
		}
		if info.Size == 0 {
			info.Size, _ = sizeOf(v.s.opts.FS, f.name)
		}
		c.Files++
		c.Bytes += info.Size
		c.Items += int64(info.Records)
	}
	return c, nil
}

// large checks every large file, and that those that are needed are there.
func (v *verifier) large() (Check, error) {
	c := Check{What: "large bodies", Unit: "messages"}
	places := v.s.places()
	needed := func(number uint64) *place {
		if i, ok := findPlace(places, record.LargeBit|number); ok {
			return &places[i]
		}
		return nil
	}
	there := map[uint64]bool{}
	type badFile struct {
		problem Problem
		number  uint64
		n       uint32 // messages in it
	}
	var found []badFile
	for i, number := range v.s.files.large {
		v.s.opts.Progress("large bodies", int64(i), int64(len(v.s.files.large)))
		there[number] = true
		name := v.src.large.Name(number)
		use := needed(number)
		if use == nil {
			continue // being written, or junk that the next start removes
		}
		c.Files++
		c.Items += int64(use.n)
		r, err := v.src.large.Reader(number)
		if err == nil {
			c.Bytes += r.Size()
			err = r.Verify()
		}
		if err == nil {
			err = record.CheckBlob(r.Head())
		}
		if err == nil && r.Size()+int64(len(r.Head())) != int64(use.size) {
			err = fmt.Errorf("the message has %d bytes and should have %d", r.Size()+int64(len(r.Head())), use.size)
		}
		bad := (*large.CorruptError)(nil)
		switch {
		case err == nil:
			continue
		case errors.As(err, &bad):
			found = append(found, badFile{Problem{name, bad.Offset, bad.Cause.Error(), false}, number, use.n})
		default:
			found = append(found, badFile{problem(name, false, "%v", err), number, use.n})
		}
	}
	i, _ := findPlace(places, record.LargeBit)
	for _, p := range places[i:] {
		if number := p.addr &^ record.LargeBit; !there[number] {
			name := v.src.large.Name(number)
			if _, err := sizeOf(v.s.opts.FS, name); err == nil {
				continue // it is younger than the list
			}
			found = append(found, badFile{problem(name, true, "the file is missing, and a message of %d bytes is in it", p.size), number, p.n})
		}
	}
	if len(found) > 0 && v.s.moved() {
		// Which of them are needed now?
		if err := v.again.load(); err != nil {
			return c, err
		}
		places = v.again.s.places()
	}
	for _, f := range found {
		if needed(f.number) != nil {
			v.report.Unreadable += int64(f.n)
			v.problem(f.problem)
		}
	}
	return c, nil
}
