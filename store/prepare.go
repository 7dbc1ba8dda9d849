package store

import (
	"time"

	"github.com/leveret-mq/leveret/wal"
)

const (
	// prepareShare: the log is looked at so many times a file whether it needs another.
	prepareShare = 8
	// prepareRate is how fast the log must grow, in bytes a second, for a file to be
	// prepared: four times what is quiet, when spares go.
	prepareRate = 4 * quietBytes
	// prepareCommit is the largest commit, in bytes in the mean, for which one is: to
	// write it takes as long as what the file system's journal would add.
	prepareCommit = 256 << 10
	// prepareLeast: a smaller file, in bytes, is sooner written than prepared.
	prepareLeast = 1 << 20
	// prepareRetry is how long none is prepared after a failure.
	prepareRetry = 30 * time.Second
)

// preparer has the log's next file filled with zeros in advance, so that its commits
// need not wait for the file system's journal, while a backlog makes the log grow
// to its usual size. From then on files that were retired are written over. Where
// messages are consumed as they come it does nothing, for they would be written
// nearly twice.
type preparer struct {
	s    *Store
	due  milestone // when the log is to be looked at
	quit chan struct{}
	done chan struct{}

	// Of the goroutine.
	seen           time.Time // when the log was looked at last
	commits, bytes uint64    // that it had then
	retry          time.Time // none is prepared before
}

func (p *preparer) start(s *Store) {
	p.s = s
	p.due.init()
	p.quit, p.done = make(chan struct{}), make(chan struct{})
	if s.fileSize() < prepareLeast || s.opts.WAL.Spares < 0 {
		close(p.done)
		return
	}
	p.plan()
	go p.loop()
}

func (p *preparer) stop() {
	close(p.quit)
	<-p.done
}

// plan says when the log is to be looked at next.
func (p *preparer) plan() {
	st := p.s.log.Stats()
	p.seen, p.commits, p.bytes = time.Now(), st.Commits, st.Bytes
	p.due.set(uint64(p.s.log.Appended()) + uint64(p.s.fileSize()/prepareShare))
}

func (p *preparer) loop() {
	defer close(p.done)
	for {
		select {
		case <-p.quit:
			return
		case <-p.due.wake:
		}
		if p.s.log.Err() != nil {
			return // nothing more will be written
		}
		if p.pays() {
			if err := p.s.log.Prepare(p.goOn); err != nil {
				p.retry = time.Now().Add(prepareRetry)
				p.s.opts.Logger.Warn("no log file can be prepared; the next one grows as it is written", "dir", p.s.dir, "err", err)
			}
		}
		p.plan()
	}
}

// goOn lets others run, and tells whether the file is wanted still.
func (p *preparer) goOn() bool {
	giveWay()
	select {
	case <-p.quit:
		return false
	default:
		return !p.s.log.Full() && p.s.log.Err() == nil
	}
}

// pays tells whether the next file should be prepared: there is none to write over;
// the log grows fast and in small commits; and what was written to the present file
// first is still alive though much has come since, so that it will stay.
func (p *preparer) pays() bool {
	st, size := p.s.log.Stats(), p.s.fileSize()
	took, commits, bytes := time.Since(p.seen), st.Commits-p.commits, st.Bytes-p.bytes
	if st.Spares > 0 || time.Now().Before(p.retry) ||
		took.Seconds()*prepareRate > float64(size/prepareShare) ||
		commits == 0 || bytes > commits*prepareCommit {
		return false
	}
	files := p.s.log.Files()
	f := files[len(files)-1]
	if f.Size < size/4 {
		return false
	}
	first := size / 16
	f.End = f.Start + wal.LSN(first)
	_, alive := p.s.live.within(f)
	return alive >= first/2
}
