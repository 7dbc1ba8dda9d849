package wal

import (
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"io/fs"
	"path/filepath"
	"slices"
	"strings"

	"github.com/leveret-mq/leveret/internal/vfs"
)

// CorruptError says that the log is damaged in a way that no power cut
// explains: something that was on disk is not there any more.
type CorruptError struct {
	File   string // with the directory
	Offset int64  // bytes from the file's beginning
	LSN    LSN    // the same place in the stream, 0 where it cannot be known
	Cause  error
}

func (e *CorruptError) Error() string {
	return fmt.Sprintf("log is corrupt: %s at offset %d (lsn %d): %v", e.File, e.Offset, e.LSN, e.Cause)
}

func (e *CorruptError) Unwrap() error { return e.Cause }

// Summary tells what a scan of the log found.
type Summary struct {
	Start, End LSN   // the stretch that was replayed
	Files      int   // with a valid header
	Frames     int   // replayed
	Records    int   // in them
	Bytes      int64 // of those records
	Torn       *TornTail
}

// TornTail is the place where a log ends in the middle of a commit.
type TornTail struct {
	File   string // with the directory
	Offset int64  // bytes from the file's beginning
	LSN    LSN
	Cause  error // what is wrong with the frame there
}

// Replay reads the log in dir without changing anything, and hands every
// record that Open would recover to fn. A nil fsys is the operating system's. The
// log may be in use, as long as nobody removes files; what is being written may
// then look torn.
func Replay(fsys vfs.FS, dir string, from LSN, fn func(lsn LSN, rec []byte) error) (Summary, error) {
	if fsys == nil {
		fsys = vfs.OS()
	}
	s := scanner{fs: fsys, dir: dir}
	err := s.run(from, fn)
	return s.sum, err
}

type scanner struct {
	fs    vfs.FS
	dir   string
	files []*file  // with valid headers, oldest first
	junk  []string // leftovers of files that were being created
	// Files that were removed and kept, to be written over.
	spares []string
	seq    uint64 // the highest number in use

	// Everything below synced is proved to have been synced, by the header of
	// a later frame or file; whole frames reach to end.
	synced, end LSN
	unproved    []LSN // where the frames above synced begin

	sum Summary
}

func (s *scanner) run(from LSN, fn func(LSN, []byte) error) error {
	if from%8 != 0 {
		return fmt.Errorf("log %s cannot be replayed from %d, which is no frame's boundary", s.dir, from)
	}
	if err := s.readHeaders(); err != nil {
		return err
	}
	s.sum.Files = len(s.files)
	if len(s.files) == 0 {
		if from != 0 {
			return &CorruptError{File: s.dir, LSN: from, Cause: errors.New("the replay should begin here, and there are no log files")}
		}
		return nil
	}
	if from == 0 {
		from = s.files[0].start
	}
	first := -1
	for i, f := range s.files {
		if f.start <= from {
			first = i
		}
		end := f.start + LSN(max(f.length.Load()-fileHeaderSize, 0))
		if i+1 < len(s.files) {
			end = min(end, s.files[i+1].start)
		}
		f.end.Store(uint64(end))
	}
	if first < 0 {
		return &CorruptError{File: s.files[0].name, LSN: from,
			Cause: fmt.Errorf("the replay should begin here, and the oldest log file begins at %d", s.files[0].start)}
	}
	s.sum.Start, s.synced, s.end = from, from, from
	for i := first; i < len(s.files); i++ {
		f := s.files[i]
		if f.start >= s.synced { // a file is begun when all before it is synced
			s.synced, s.unproved = f.start, s.unproved[:0]
		}
		limit := LSN(1 << 63)
		if i+1 < len(s.files) {
			limit = s.files[i+1].start
		}
		if err := s.scanFile(f, limit, fn); err != nil {
			return err
		}
	}
	s.sum.End = s.end
	s.files[len(s.files)-1].end.Store(uint64(s.synced))
	return nil
}

// readHeaders finds the files and checks their headers against each other.
func (s *scanner) readHeaders() error {
	names, err := s.fs.ReadDir(s.dir)
	if err != nil {
		return fmt.Errorf("read directory %s: %w", s.dir, err)
	}
	var seqs []uint64
	for _, name := range names {
		if strings.HasSuffix(name, tempSuffix) {
			s.junk = append(s.junk, filepath.Join(s.dir, name))
		} else if strings.HasSuffix(name, spareSuffix) {
			s.spares = append(s.spares, filepath.Join(s.dir, name))
		} else if seq, ok := parseFileName(name); ok {
			seqs = append(seqs, seq) // names sort as their numbers do
		}
	}
	for i, seq := range seqs {
		f := &file{seq: seq, name: filepath.Join(s.dir, fileName(seq))}
		s.seq = seq
		bad, err := s.readHeader(f)
		if err != nil {
			return err
		}
		if bad != nil {
			// Names appear when headers are synced, but a file of no more than a
			// header holds nothing, and as the last one it can be done without.
			if i == len(seqs)-1 && f.length.Load() <= fileHeaderSize {
				s.junk = append(s.junk, f.name)
				return nil
			}
			return &CorruptError{File: f.name, Cause: bad}
		}
		if n := len(s.files); n > 0 && f.start < s.files[n-1].start {
			return &CorruptError{File: f.name, LSN: f.start,
				Cause: fmt.Errorf("file begins before the one before it, %s, which begins at %d", s.files[n-1].name, s.files[n-1].start)}
		}
		s.files = append(s.files, f)
	}
	return nil
}

func (s *scanner) readHeader(f *file) (bad, err error) {
	h, err := s.fs.Open(f.name)
	if err != nil {
		return nil, err
	}
	defer h.Close()
	size, err := h.Size()
	if err != nil {
		return nil, fmt.Errorf("size of %s: %w", f.name, err)
	}
	f.length.Store(size)
	var b [fileHeaderSize]byte
	n, err := h.ReadAt(b[:min(fileHeaderSize, size)], 0)
	if err != nil && err != io.EOF {
		return nil, fmt.Errorf("read %s at 0: %w", f.name, err)
	}
	hdr, bad := decodeFileHeader(b[:n])
	if bad == nil && hdr.seq != f.seq {
		bad = fmt.Errorf("file header is that of file %d", hdr.seq)
	}
	f.start, f.nonce = hdr.start, hdr.nonce
	return bad, nil
}

// scanFile replays f from s.end on, up to limit, where the next file begins.
func (s *scanner) scanFile(f *file, limit LSN, fn func(LSN, []byte) error) error {
	h, err := s.fs.Open(f.name)
	if err != nil {
		return err
	}
	defer h.Close()
	w := window{h: h, name: f.name, size: f.length.Load()}
	var bad error
	began := s.end
	for s.end < limit && f.offset(s.end) < w.size {
		var hdr frameHeader
		hdr, bad, err = w.frame(f, s.end)
		if err != nil {
			return err
		}
		if bad != nil {
			break
		}
		corrupt := func(format string, args ...any) error {
			return &CorruptError{f.name, f.offset(s.end), s.end, fmt.Errorf(format, args...)}
		}
		next := s.end + LSN(hdr.size())
		if next > limit {
			return corrupt("frame passes %d, where the next file begins", limit)
		}
		s.unproved = append(s.unproved, s.end)
		if hdr.synced > s.synced {
			i := slices.Index(s.unproved, hdr.synced)
			if i < 0 {
				return corrupt("frame claims that all below %d was synced, where no frame before it ends", hdr.synced)
			}
			s.synced = hdr.synced
			s.unproved = slices.Delete(s.unproved, 0, i)
		}
		if hdr.kind == frameSeal && limit == 1<<63 {
			return nil // the new file begins in its place
		}
		if hdr.kind != frameRecords {
			return corrupt("frame is of unknown type %d", hdr.kind)
		}
		bad, err := w.records(f, hdr, func(lsn LSN, rec []byte) error {
			s.sum.Records++
			s.sum.Bytes += int64(len(rec))
			if fn == nil {
				return nil
			}
			return fn(lsn, rec)
		})
		if err != nil {
			return err
		}
		if bad != nil {
			return corrupt("%w", bad)
		}
		s.sum.Frames++
		s.end = next
	}
	if limit < 1<<63 {
		if s.end == limit {
			return nil
		}
		cause := fmt.Errorf("the next file begins at %d, and this one ends early", limit)
		if bad != nil {
			cause = fmt.Errorf("%w, yet the next file begins later, at %d", bad, limit)
		}
		return &CorruptError{f.name, f.offset(s.end), s.end, cause}
	}
	if s.end > f.start && f.offset(s.end) > w.size {
		return &CorruptError{f.name, w.size, s.end, errors.New("the replay should begin here, and the file ends before")}
	}
	if bad == nil {
		return nil
	}
	if s.end == began && s.end > f.start {
		// The length of a file that was written over another says nothing.
		if ok, err := w.endsAt(f, s.end); err != nil {
			return err
		} else if !ok {
			return &CorruptError{f.name, f.offset(s.end), s.end, errors.New("the replay should begin here, and no frame ends here")}
		}
	}
	later, err := w.lookOn(f, s.end)
	if err != nil {
		return err
	}
	if later != nil {
		return &CorruptError{f.name, f.offset(s.end), s.end,
			fmt.Errorf("%w, yet the frame at %d says that all below %d was on disk", bad, later.first, later.synced)}
	}
	if none, err := w.none(f, s.end, bad); none || err != nil {
		return err
	}
	s.sum.Torn = &TornTail{f.name, f.offset(s.end), s.end, bad}
	return nil
}

// Scan reads a file that is not being written any more and hands its records to
// fn, in order; rec is valid during the call. Each frame is checked as a recovery
// does, and what is wrong with one is a *CorruptError, before which all frames
// that precede it were handed out. An error of fn ends the scan and is returned.
// No lock is held meanwhile. A file that is removed meanwhile is read to its end.
func (l *Log) Scan(seq uint64, fn func(lsn LSN, rec []byte) error) error {
	list := *l.files.list.Load()
	i := slices.IndexFunc(list, func(f *file) bool { return f.seq == seq })
	if i < 0 {
		return fmt.Errorf("log %s has no file %d: %w", l.dir, seq, fs.ErrNotExist)
	}
	f := list[i]
	if i == len(list)-1 {
		return fmt.Errorf("log file %s is being written and cannot be scanned", f.name)
	}
	next := list[i+1]
	h, err := l.files.acquire(f, l.fs)
	if err != nil {
		return err
	}
	defer f.release()
	end := LSN(f.end.Load())
	w := window{h: h, name: f.name, size: f.offset(end)}
	for lsn := f.start; lsn < end; {
		hdr, bad, err := w.frame(f, lsn)
		if err != nil {
			return err
		}
		if bad == nil && hdr.kind != frameRecords {
			bad = fmt.Errorf("frame is of unknown type %d", hdr.kind)
		}
		if bad == nil {
			bad, err = w.records(f, hdr, fn)
			if err != nil {
				return err
			}
		}
		if bad != nil {
			// Where the file behind this one is gone, a seal or a torn tail may
			// still be here, at whose place that file began.
			if next.seq > seq+1 && next.start > lsn {
				if later, err := w.lookOn(f, lsn); err != nil || later == nil {
					return err
				}
			}
			return &CorruptError{f.name, f.offset(lsn), lsn, bad}
		}
		lsn += LSN(hdr.size())
	}
	// Recovery takes the length of a file that it need not replay as it finds it.
	if next.seq == seq+1 && next.start > end {
		return &CorruptError{f.name, f.offset(end), end, fmt.Errorf("the next file begins at %d, and this one ends early", next.start)}
	}
	return nil
}

const (
	windowSize = 1 << 20
	// Frames up to this size are loaded at once; of larger ones the checksum is
	// computed first, so that a damaged length costs no memory.
	loadSize = 4 << 20
)

// A window is a buffer over a file that is read mostly forwards.
type window struct {
	h    vfs.File
	name string
	size int64 // of the file
	buf  []byte
	off  int64 // of buf[0]
	n    int   // bytes of buf that are filled
}

// bytes returns n bytes at off, which must lie in the file. They are valid
// until the next call.
func (w *window) bytes(off int64, n int) ([]byte, error) {
	if off < w.off || off+int64(n) > w.off+int64(w.n) {
		if n > len(w.buf) {
			w.buf = make([]byte, max(n, int(min(windowSize, w.size))))
		}
		w.off, w.n = off, 0
		want := int(min(int64(len(w.buf)), w.size-off))
		got, err := w.h.ReadAt(w.buf[:want], off)
		if got < n {
			if err == nil || err == io.EOF {
				err = io.ErrUnexpectedEOF
			}
			return nil, fmt.Errorf("read %s at %d: %w", w.name, off, err)
		}
		w.n = got
	}
	return w.buf[off-w.off:][:n], nil
}

// frame reads and checks the frame at lsn. bad says what is wrong with it.
func (w *window) frame(f *file, lsn LSN) (hdr frameHeader, bad, err error) {
	off := f.offset(lsn)
	rest := w.size - off
	if rest < frameHeaderSize {
		return hdr, errFrameShort, nil
	}
	b, err := w.bytes(off, frameHeaderSize)
	if err != nil {
		return hdr, nil, err
	}
	hdr = decodeFrameHeader(b)
	if bad := hdr.plausible(f.nonce, lsn, rest); bad != nil {
		return hdr, bad, nil
	}
	sum, n := uint32(0), hdr.size()
	if n <= loadSize {
		if b, err = w.bytes(off, int(n)); err != nil {
			return hdr, nil, err
		}
		sum = crc32.Checksum(b[4:], castagnoli)
	} else {
		for at := int64(4); at < n; {
			b, err := w.bytes(off+at, int(min(n-at, windowSize)))
			if err != nil {
				return hdr, nil, err
			}
			sum = crc32.Update(sum, castagnoli, b)
			at += int64(len(b))
		}
	}
	if sum != hdr.crc {
		return hdr, errFrameCRC, nil
	}
	return hdr, nil, nil
}

// records hands out the records of the frame with the header hdr, which was
// checked. err is fn's or a failed read's; bad says what is wrong with the frame.
func (w *window) records(f *file, hdr frameHeader, fn func(LSN, []byte) error) (bad, err error) {
	b, err := w.bytes(f.offset(hdr.first), int(hdr.size()))
	if err != nil {
		return nil, err
	}
	err = hdr.eachRecord(b[frameHeaderSize:frameHeaderSize+hdr.length], fn)
	if re := (*replayError)(nil); errors.As(err, &re) {
		return nil, re.err
	}
	return err, nil
}

// lookOn searches f behind the bad frame at lsn for one that was written
// after lsn had been synced.
func (w *window) lookOn(f *file, lsn LSN) (*frameHeader, error) {
	check := window{h: w.h, name: w.name, size: w.size}
	for off := f.offset(lsn) + 8; off+frameHeaderSize <= w.size; {
		n := int(min(windowSize, w.size-off))
		b, err := w.bytes(off, n)
		if err != nil {
			return nil, err
		}
		for ; len(b) >= frameHeaderSize; b, off = b[8:], off+8 {
			here := f.start + LSN(off-fileHeaderSize)
			if le.Uint64(b[16:]) != f.nonce || LSN(le.Uint64(b[24:])) != here || LSN(le.Uint64(b[32:])) <= lsn {
				continue
			}
			hdr, bad, err := check.frame(f, here)
			if err != nil {
				return nil, err
			}
			if bad == nil && hdr.synced > lsn {
				return &hdr, nil
			}
		}
	}
	return nil, nil
}

// none tells whether of the bad frame at lsn, the last one, nothing is there: what
// stands in its place is what the file held before it was written over, or the
// zeros that it was filled with ahead, to its end.
func (w *window) none(f *file, lsn LSN, bad error) (bool, error) {
	if bad == errFrameOther {
		return true, nil
	}
	if bad != errFrameZero && bad != errFrameShort {
		return false, nil
	}
	for off := f.offset(lsn); off < w.size; {
		b, err := w.bytes(off, int(min(windowSize, w.size-off)))
		if err != nil {
			return false, err
		}
		for _, c := range b {
			if c != 0 {
				return false, nil
			}
		}
		off += int64(len(b))
	}
	return true, nil
}

// endsAt tells whether a frame of f's, whole or not, ends at lsn. The nearest
// are looked at first.
func (w *window) endsAt(f *file, lsn LSN) (bool, error) {
	for to := f.offset(lsn); to > fileHeaderSize; {
		from := max(fileHeaderSize, to-windowSize)
		// A header that begins before to may end behind it, but not behind lsn.
		b, err := w.bytes(from, int(min(to+frameHeaderSize, f.offset(lsn))-from))
		if err != nil {
			return false, err
		}
		for i := len(b) - frameHeaderSize; i >= 0; i -= 8 {
			hdr := decodeFrameHeader(b[i:])
			if hdr.nonce == f.nonce && f.offset(hdr.first) == from+int64(i) && hdr.first+LSN(hdr.size()) == lsn {
				return true, nil
			}
		}
		to = from
	}
	return false, nil
}
