package store

import (
	"math"
	"sync/atomic"

	"github.com/leveret-mq/leveret/wal"
)

const (
	// prepareShare: the log is looked at so many times a file whether it needs another.
	prepareShare = 8
	// prepareLeast: a smaller file, in bytes, is sooner written than prepared.
	prepareLeast = 1 << 20
)

// preparer has the log's next file filled with zeros in advance, so that its commits
// need not wait for the file system's journal, while a backlog makes the log grow
// to its usual size. From then on files that were retired are written over. Where
// messages are consumed as they come it does nothing, for they would be written
// nearly twice.
type preparer struct {
	s    *Store
	due  atomic.Uint64 // LSN at which the log is to be looked at
	wake chan struct{}
	quit chan struct{}
	done chan struct{}
}

func (p *preparer) start(s *Store) {
	p.s = s
	p.wake, p.quit, p.done = make(chan struct{}, 1), make(chan struct{}), make(chan struct{})
	p.due.Store(math.MaxUint64)
	if s.fileSize() >= prepareLeast {
		p.plan()
	}
	go p.loop()
}

func (p *preparer) stop() {
	close(p.quit)
	<-p.done
}

// appended is told how far the log has grown.
func (p *preparer) appended(lsn uint64) {
	if due := p.due.Load(); lsn >= due && p.due.CompareAndSwap(due, math.MaxUint64) {
		select {
		case p.wake <- struct{}{}:
		default:
		}
	}
}

func (p *preparer) plan() {
	p.due.Store(uint64(p.s.log.Appended()) + uint64(p.s.fileSize()/prepareShare))
}

func (p *preparer) loop() {
	defer close(p.done)
	for {
		select {
		case <-p.quit:
			return
		case <-p.wake:
		}
		if p.s.log.Err() != nil {
			return // nothing more will be written
		}
		if p.pays() {
			if err := p.s.log.Prepare(p.goOn); err != nil {
				p.s.opts.Logger.Warn("no log file can be prepared; the next one grows as it is written", "dir", p.s.dir, "err", err)
			}
		}
		p.plan()
	}
}

// goOn lets others run, and tells whether nobody has called stop.
func (p *preparer) goOn() bool {
	giveWay()
	select {
	case <-p.quit:
		return false
	default:
		return true
	}
}

// pays tells whether the log has no file to write over for a while: it is smaller than
// it gets before retired files come back from it, which is its budget and what
// two checkpoints need; and most of what was written to the present file is still
// alive, so that it will stay.
func (p *preparer) pays() bool {
	o := &p.s.opts
	st := p.s.log.Stats()
	if st.Spares > 0 {
		return false
	}
	var size int64
	var active wal.FileInfo
	for _, f := range p.s.log.Files() {
		size += f.Disk
		active = f
	}
	if size >= o.WALBudget+2*o.CheckpointBytes || active.Size < p.s.fileSize()/prepareShare {
		return false
	}
	_, alive := p.s.live.within(active)
	return alive >= active.Size/2
}
