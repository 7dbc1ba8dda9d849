package arena

import (
	"errors"
	"fmt"
	"io"
	iofs "io/fs"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
)

const (
	suffix = ".spill"
	// stuckFor is how long nothing may have gone from a chunk of which most has.
	stuckFor = 5 * time.Second
	// surveyEvery is how often all chunks are looked at for that.
	surveyEvery = time.Second
	// retryAfter is how long the spiller waits when a chunk could not be written.
	retryAfter = time.Second
	// keepFree is what is left of the disk for what must be durable, in bytes.
	keepFree = 64 << 20
	// atOnce is how many files of an earlier process Open removes before it returns:
	// a full disk then has room for a log file. The rest may take seconds.
	atOnce = 64
	// paceMost is how long Pace waits where nothing can be written.
	paceMost = 100 * time.Millisecond
)

// Open makes an arena whose files are in the folder dir. What an earlier process
// has left there is removed, and if that is much, Open does not wait for the end.
func Open(dir string, o Options) (*Arena, error) {
	if err := o.Validate(); err != nil {
		return nil, err
	}
	a := &Arena{dir: dir, opts: o.withDefaults(), wake: make(chan struct{}, 1), stop: make(chan struct{}), next: 1}
	left, err := a.files()
	if err != nil {
		return nil, err
	}
	if len(left) > 0 { // one that cannot be removed keeps its number
		a.next = slices.Max(left) + 1
	}
	n := min(len(left), atOnce)
	a.removeAll(left[:n])
	if a.dead = left[n:]; len(a.dead) > 0 {
		a.mu.Lock()
		a.rouse()
		a.mu.Unlock()
	}
	return a, nil
}

// Close ends the spiller and removes all files. What they held is lost, and
// nobody may use the arena after.
func (a *Arena) Close() error {
	a.mu.Lock()
	closed := a.closed
	a.closed = true
	a.tell()
	a.mu.Unlock()
	if closed {
		return nil
	}
	close(a.stop)
	a.done.Wait()
	left, err := a.files()
	a.removeAll(left)
	return err
}

// files lists the numbers of the files there are.
func (a *Arena) files() (numbers []uint64, err error) {
	names, err := a.opts.FS.ReadDir(a.dir)
	if errors.Is(err, iofs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read directory %s: %w", a.dir, err)
	}
	for _, name := range names {
		if number, ok := strings.CutSuffix(name, suffix); ok {
			if n, err := strconv.ParseUint(number, 10, 63); err == nil {
				numbers = append(numbers, n)
			}
		}
	}
	return numbers, nil
}

func (a *Arena) name(file uint64) string {
	return filepath.Join(a.dir, fmt.Sprintf("%020d%s", file, suffix))
}

// removeAll removes files that nobody needs. One that cannot be removed stays until
// the next Open.
func (a *Arena) removeAll(files []uint64) {
	for _, file := range files {
		if err := a.remove(file); err != nil {
			a.opts.Logger.Warn("file of messages that are gone cannot be removed", "file", a.name(file), "err", err)
		}
	}
}

func (a *Arena) remove(file uint64) error {
	err := a.opts.FS.Remove(a.name(file))
	if errors.Is(err, iofs.ErrNotExist) {
		return nil
	}
	return err
}

// grow counts memory. Under mu.
func (a *Arena) grow(n int64) {
	a.memory += n
	if a.opts.Limit < 0 {
		return
	}
	switch slack := a.slack(); {
	case a.memory > a.opts.Limit+slack:
		a.behind.Store(true)
	case a.memory <= a.opts.Limit+slack/2: // not with each chunk: a switch costs
		a.behind.Store(false)
	}
	switch {
	case n > 0 && a.memory > a.opts.Limit:
		a.rouse()
	case n < 0 && a.memory <= a.low():
		a.pressed.Store(false)
		a.tell()
	}
}

// slack is how far memory may pass the limit before appenders are held up.
func (a *Arena) slack() int64 { return min(max(a.opts.Limit/8, 4*int64(a.opts.ChunkSize)), 64<<20) }

// rouse gives the spiller cause to look. The first time it begins its life. Under
// mu.
func (a *Arena) rouse() {
	if a.closed {
		return
	}
	if !a.started {
		a.started = true
		a.done.Go(a.run)
	}
	a.working = true
	select {
	case a.wake <- struct{}{}:
	default:
	}
}

// tell wakes those who wait in Pace. Under mu.
func (a *Arena) tell() {
	if a.progress != nil {
		close(a.progress)
		a.progress = nil
	}
}

// Pressed tells that there is more in memory than the limit, because it cannot
// be written. It costs an atomic load.
func (a *Arena) Pressed() bool { return a.pressed.Load() }

// Pace holds up who is about to append, while memory is well over the limit and
// the spiller at work; where that fails, for at most 100 ms, so that somebody has
// time to see Pressed. Else it costs an atomic load. Call it without locks.
func (a *Arena) Pace() {
	if !a.behind.Load() {
		return
	}
	var patience <-chan time.Time
	a.mu.Lock()
	defer a.mu.Unlock()
	for a.behind.Load() && a.working && !a.closed {
		if a.failure != nil && patience == nil {
			t := time.NewTimer(paceMost)
			defer t.Stop()
			patience = t.C
		}
		if a.progress == nil {
			a.progress = make(chan struct{})
		}
		progress := a.progress
		a.mu.Unlock()
		over := false
		select {
		case <-progress:
		case <-patience:
			over = true
		}
		a.mu.Lock()
		if over {
			return
		}
	}
}

// run spills until stop is closed.
func (a *Arena) run() {
	retry := time.NewTimer(0)
	defer retry.Stop()
	<-retry.C
	for {
		select {
		case <-a.stop:
			return
		case <-a.wake:
			if a.failing() {
				a.sweep()
				continue // the timer is running
			}
		case <-retry.C:
		}
		for a.step() {
			select {
			case <-a.stop:
				return
			default:
			}
		}
		a.mu.Lock()
		again := a.over()
		a.mu.Unlock()
		if again {
			retry.Reset(retryAfter)
		}
	}
}

func (a *Arena) failing() bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.failure != nil
}

// over tells whether chunks should be spilled. What could not be is tried down to
// the point at which Pressed ends without. Under mu.
func (a *Arena) over() bool {
	most := a.opts.Limit
	if a.pressed.Load() {
		most = a.low()
	}
	return most >= 0 && a.memory > most
}

// low is where memory is far enough below the limit for Pressed to end.
func (a *Arena) low() int64 { return a.opts.Limit - a.opts.Limit/16 }

// sweep removes the files of chunks that were discarded.
func (a *Arena) sweep() {
	for {
		a.mu.Lock()
		n := len(a.dead)
		if n == 0 {
			a.mu.Unlock()
			return
		}
		file := a.dead[n-1]
		a.dead = a.dead[:n-1]
		a.mu.Unlock()
		a.removeAll([]uint64{file})
		select {
		case <-a.stop:
			return
		default:
		}
	}
}

// step spills a chunk. It returns false where there is nothing to do, or it
// cannot be done now.
func (a *Arena) step() bool {
	a.sweep()
	a.mu.Lock()
	defer a.mu.Unlock()
	if !a.over() {
		a.failure = nil // there is nothing to be tried
		a.working = len(a.dead) > 0
		a.tell()
		return a.working
	}
	c := a.pick(time.Now())
	if c == nil {
		a.working = false // all is in use: nobody need wait for that
		a.tell()
		return false
	}
	if c.file == 0 {
		file := a.next
		a.next++
		buf := c.buf[:c.used]
		a.mu.Unlock()
		err := a.write(file, buf)
		a.mu.Lock()
		if err != nil {
			a.failed(err)
			a.putBack(c)
			return false
		}
		a.written(c, file)
	}
	if c.pins.CompareAndSwap(1, onDisk) {
		a.full.remove(c)
		a.drop(c)
	} else {
		c.pins.Add(-1) // somebody reads it: it goes the next time
	}
	if c.refs.Add(-1) == 0 {
		a.discard(c)
	}
	if !a.behind.Load() {
		a.tell()
	}
	return true
}

// putBack gives a picked chunk back. Under mu.
func (a *Arena) putBack(c *Chunk) {
	c.pins.Add(-1)
	if c.refs.Add(-1) == 0 {
		a.discard(c)
	}
}

// written notes that a chunk is on disk. Under mu.
func (a *Arena) written(c *Chunk, file uint64) {
	if a.failure != nil {
		a.opts.Logger.Info("transient messages are written to disk again", "dir", a.dir)
	}
	a.failure = nil
	a.pressed.Store(false)
	c.file = file
	a.disk += int64(c.used)
	a.spilled++
	a.spilledBytes += int64(c.used)
}

// failed notes that a chunk could not be written. Under mu.
func (a *Arena) failed(err error) {
	if a.failure == nil {
		a.opts.Logger.Error("transient messages cannot be written to disk and stay in memory, over the limit",
			"dir", a.dir, "memory", a.memory, "limit", a.opts.Limit, "err", err)
	}
	a.failure = err
	a.pressed.Store(true)
	a.tell()
}

// write makes a file.
func (a *Arena) write(file uint64, p []byte) error {
	name := a.name(file)
	if free, err := a.opts.FS.Free(filepath.Dir(a.dir)); err == nil && free < keepFree+uint64(len(p)) {
		return fmt.Errorf("%d bytes are free, and %d are to stay so: %w", free, keepFree, syscall.ENOSPC)
	}
	f, err := a.opts.FS.Create(name)
	if errors.Is(err, iofs.ErrNotExist) {
		if err = a.opts.FS.MkdirAll(a.dir); err == nil {
			f, err = a.opts.FS.Create(name)
		}
	}
	if err != nil {
		return err
	}
	_, err = f.WriteAt(p, 0)
	if cerr := f.Close(); err == nil {
		err = cerr
	}
	if err != nil {
		if rerr := a.remove(file); rerr != nil {
			a.mu.Lock()
			a.dead = append(a.dead, file)
			a.mu.Unlock()
		}
	}
	return err
}

// pick takes the chunk that is to go next, with a pin and a reference; nil where
// all are in use. Under mu.
func (a *Arena) pick(now time.Time) *Chunk {
	if now.Sub(a.surveyed) >= surveyEvery {
		a.survey(now)
	}
	for len(a.stuck) > 0 {
		c := a.stuck[0]
		a.stuck[0], a.stuck = nil, a.stuck[1:]
		if c.listed && c.refs.Load() == c.seen && c.take() {
			return c
		}
	}
	var second *Chunk
	for c := a.full.tail; c != nil; c = c.prev {
		if c.pins.Load() != 0 {
			continue
		}
		if c.refs.Load()*2 >= c.given {
			if c.take() {
				return c
			}
		} else if second == nil {
			second = c
		}
	}
	if second != nil && second.take() {
		return second
	}
	return nil
}

// take pins a chunk that nobody uses and that has messages.
func (c *Chunk) take() bool {
	if !c.pins.CompareAndSwap(0, 1) {
		return false
	}
	for {
		n := c.refs.Load()
		if n == 0 { // it is being discarded
			c.pins.Add(-1)
			return false
		}
		if c.refs.CompareAndSwap(n, n+1) {
			return true
		}
	}
}

// survey looks for chunks of which most has gone, and nothing any more. Under mu.
func (a *Arena) survey(now time.Time) {
	a.surveyed = now
	clear(a.stuck)
	a.stuck = a.stuck[:0]
	for c := a.full.head; c != nil; c = c.next {
		n := c.refs.Load()
		if n != c.seen || c.pins.Load() != 0 {
			c.seen, c.since = n, now
		} else if n*2 < c.given && now.Sub(c.since) >= stuckFor {
			a.stuck = append(a.stuck, c)
		}
	}
}

// ReadAt reads bytes of a chunk that is on disk: those from addr on. They lie in
// one chunk, to which the caller knows a reference.
func (a *Arena) ReadAt(p []byte, addr uint64) error {
	c := a.Chunk(addr)
	a.mu.Lock()
	file := c.file
	a.mu.Unlock()
	f, err := a.opts.FS.Open(a.name(file))
	if err != nil {
		return err
	}
	defer f.Close()
	n, err := f.ReadAt(p, int64(addr&(1<<shift-1)))
	if n == len(p) {
		err = nil
	} else if err == nil || errors.Is(err, io.EOF) {
		err = fmt.Errorf("%s ends early: %w", a.name(file), io.ErrUnexpectedEOF)
	}
	a.reads.Add(1)
	a.readBytes.Add(int64(n))
	return err
}

// Locate names the file and the offset of an address, "" where it is in memory.
// The caller knows a reference.
func (a *Arena) Locate(addr uint64) (file string, offset int64) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if c := a.Chunk(addr); c != nil && c.file != 0 {
		file = a.name(c.file)
	}
	return file, int64(addr & (1<<shift - 1))
}
