package wal

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path/filepath"
	"sort"
	"strings"

	"github.com/leveret-mq/leveret/internal/vfs"
)

// View is a look at a log's directory that changes nothing and takes what can
// be had: where Open and Replay refuse a log for one bad byte, a View says what
// is bad and goes on behind it. It is for tools that describe a log, judge it,
// or save what is left of it.
//
// The log may be in use meanwhile. The files are those that were there when the
// view was made; one that has gone since, or was written over, is an error that
// is fs.ErrNotExist, for which the remedy is a new view. A View is for one goroutine.
type View struct {
	fs    vfs.FS
	dir   string
	files []ViewFile
	open  map[int]vfs.File // by index into files
	order []int            // of open, oldest first
}

// ViewFile is one file of a View.
type ViewFile struct {
	// FileInfo: where Bad is set, Start is what the file's frames say. End is
	// where the file's stretch ends at most: at the next file's start, or with
	// the last frame that is there. Size counts what is behind it, too.
	FileInfo
	// Bad says what is wrong with the file's header; nil: nothing.
	Bad error
	// Known is false where Bad has taken all knowledge of the file's place, and
	// no frame in it tells: then Start and End are 0.
	Known bool
	// Follows tells that the file before it is there: nothing is between them.
	Follows bool

	nonce uint64
	head  uint64 // the nonce that the header says, 0 where it is damaged
}

// Damage is a stretch of the log that cannot be read.
type Damage struct {
	File   string // with the directory
	Offset int64  // bytes from the file's beginning
	LSN    LSN    // the same place in the stream
	End    LSN    // where whole frames begin again, or the file's stretch ends
	// Torn: it is what a power cut leaves, or a write under way, at the end of
	// the log. Nothing there was ever promised.
	Torn bool
	// Blank: it is Torn, and zeros to the file's end, which is what a file is filled
	// with ahead: in order, unless it is known to have been something else.
	Blank bool
	Cause error
}

func (d *Damage) Error() string {
	return fmt.Sprintf("%s at offset %d (lsn %d to %d): %v", d.File, d.Offset, d.LSN, d.End, d.Cause)
}

func (d *Damage) Unwrap() error { return d.Cause }

// Walker is what Walk tells of. A nil function is not called. An error that one
// returns ends the walk and is returned.
type Walker struct {
	// Record is called for each record, in order; rec is valid during the call.
	// Where whole is false, the frame's checksum was wrong: any byte of the
	// record may be, and records may be missing.
	Record func(lsn LSN, rec []byte, whole bool) error
	// Damage is called for what cannot be read, after the records that can.
	Damage func(d Damage) error
	// Read is called with the numbers of bytes that were gone through.
	Read func(n int64) error
}

// OpenView reads the headers of all files in dir. Those that cannot be read are
// ViewFiles with Bad set, not errors. A nil fsys is the operating system's.
func OpenView(fsys vfs.FS, dir string) (*View, error) {
	if fsys == nil {
		fsys = vfs.OS()
	}
	v := &View{fs: fsys, dir: dir, open: map[int]vfs.File{}}
	names, err := fsys.ReadDir(dir)
	if err != nil {
		return nil, fmt.Errorf("read directory %s: %w", dir, err)
	}
	s := scanner{fs: fsys, dir: dir}
	for _, name := range names {
		seq, ok := parseFileName(name)
		if !ok {
			continue
		}
		f := &file{seq: seq, name: filepath.Join(dir, name)}
		bad, err := s.readHeader(f)
		if err != nil {
			return nil, err
		}
		vf := ViewFile{FileInfo: FileInfo{Seq: seq, Name: f.name, Start: f.start, Size: f.length.Load(), Disk: f.length.Load()}, Bad: bad, Known: bad == nil, nonce: f.nonce, head: f.nonce}
		if bad != nil && isVersion(bad) {
			return nil, fmt.Errorf("%s: %w", f.name, bad)
		}
		v.files = append(v.files, vf)
	}
	// As the last one, a file of no more than a header was being created.
	if n := len(v.files); n > 0 && v.files[n-1].Bad != nil && v.files[n-1].Size <= fileHeaderSize {
		v.files = v.files[:n-1]
	}
	for i := range v.files {
		if v.files[i].Bad != nil {
			if err := v.guess(i); err != nil {
				return nil, err
			}
		}
	}
	v.place()
	for i := range v.files {
		if i+1 == len(v.files) || !v.files[i+1].Follows {
			if err := v.trim(i); err != nil {
				return nil, err
			}
		}
	}
	return v, nil
}

func isVersion(err error) bool { return strings.HasPrefix(err.Error(), "file has format version") }

// place says where each file's stretch ends, and takes a file whose header is
// whole and says that it begins before its predecessor for damaged.
func (v *View) place() {
	last := -1
	for i := range v.files {
		f := &v.files[i]
		if !f.Known {
			continue
		}
		if last >= 0 && f.Start < v.files[last].Start {
			f.Bad = fmt.Errorf("file begins at %d, before the one before it, %s, which begins at %d", f.Start, v.files[last].Name, v.files[last].Start)
			f.Known, f.Start = false, 0
			continue
		}
		f.End = f.Start + LSN(max(f.Size-fileHeaderSize, 0))
		if last >= 0 {
			p := &v.files[last]
			p.End = min(p.End, f.Start)
			f.Follows = p.Seq+1 == f.Seq
		}
		last = i
	}
	if n := len(v.files); n > 0 {
		v.files[n-1].Active = true // it may be
	}
}

// guess finds the nonce and the start of a file whose header is damaged, by the
// whole frames in it. Of a file that was written over an older one frames may be
// left: the stream never falls, so that its own are those with the latest start.
func (v *View) guess(i int) error {
	f := &v.files[i]
	h, err := v.handle(i)
	if err != nil {
		return err
	}
	w := window{h: h, name: f.Name, size: f.Size}
	check := window{h: h, name: f.Name, size: f.Size}
	for off := int64(fileHeaderSize); off+frameHeaderSize <= f.Size; {
		b, err := w.bytes(off, int(min(windowSize, f.Size-off)))
		if err != nil {
			return err
		}
		for len(b) >= frameHeaderSize {
			n, err := f.guessAt(&check, decodeFrameHeader(b), off)
			if err != nil {
				return err
			}
			off += n
			b = b[min(n, int64(len(b))):]
		}
	}
	return v.still(i)
}

// guessAt takes the file's place from the frame at off, if one is there and is
// the best so far. It returns how far to go on from off: what is in a frame's
// records is no frame.
func (f *ViewFile) guessAt(check *window, hdr frameHeader, off int64) (next int64, err error) {
	start := int64(hdr.first) - (off - fileHeaderSize)
	if hdr.kind != frameRecords && hdr.kind != frameSeal || hdr.synced > hdr.first ||
		start < 0 || start%8 != 0 || hdr.size() > f.Size-off || uint64(hdr.records)*recordHeader > uint64(hdr.length) {
		return 8, nil
	}
	_, bad, err := check.frame(&file{name: f.Name, start: LSN(start), nonce: hdr.nonce}, hdr.first)
	if err != nil || bad != nil {
		return 8, err
	}
	if !f.Known || LSN(start) > f.Start {
		f.Known, f.Start, f.nonce = true, LSN(start), hdr.nonce
	}
	return hdr.size(), nil
}

// trim ends a file's stretch, where no next file says where it ends, behind its
// last frame: what follows may be of the file that it was written over. Only
// headers are looked at, and what cannot be read is taken for the log's.
func (v *View) trim(i int) error {
	f := &v.files[i]
	if !f.Known {
		return nil
	}
	h, err := v.handle(i)
	if err != nil {
		return err
	}
	w := window{h: h, name: f.Name, size: f.Size}
	end := int64(fileHeaderSize)
	for off := end; off+frameHeaderSize <= f.Size; {
		b, err := w.bytes(off, int(min(windowSize, f.Size-off)))
		if err != nil {
			return v.still(i)
		}
		for len(b) >= frameHeaderSize {
			n := int64(8)
			hdr := decodeFrameHeader(b)
			if hdr.plausible(f.nonce, f.Start+LSN(off-fileHeaderSize), f.Size-off) == nil {
				n = hdr.size()
				end = off + n
			}
			off += n
			b = b[min(n, int64(len(b))):]
		}
	}
	f.End = min(f.End, f.Start+LSN(end-fileHeaderSize))
	return v.still(i)
}

// still fails with fs.ErrNotExist where the file was written over since the view
// was made, as a log does with files that it needs no more: the header is the
// first that it writes.
func (v *View) still(i int) error {
	f := &v.files[i]
	h, err := v.handle(i)
	if err != nil {
		return err
	}
	var b [fileHeaderSize]byte
	n, err := h.ReadAt(b[:min(fileHeaderSize, f.Size)], 0)
	if err != nil && err != io.EOF {
		return fmt.Errorf("read %s at 0: %w", f.Name, err)
	}
	if hdr, _ := decodeFileHeader(b[:n]); hdr.nonce != f.head {
		return fmt.Errorf("%s was removed and its place is used again: %w", f.Name, fs.ErrNotExist)
	}
	return nil
}

// Files lists the files, by number. The caller must not change them.
func (v *View) Files() []ViewFile { return v.files }

// Close closes the files.
func (v *View) Close() error {
	var errs []error
	for _, h := range v.open {
		errs = append(errs, h.Close())
	}
	v.open, v.order = map[int]vfs.File{}, nil
	return errors.Join(errs...)
}

func (v *View) handle(i int) (vfs.File, error) {
	if h := v.open[i]; h != nil {
		return h, nil
	}
	if len(v.order) >= maxIdle {
		v.open[v.order[0]].Close()
		delete(v.open, v.order[0])
		v.order = v.order[1:]
	}
	h, err := v.fs.Open(v.files[i].Name)
	if err != nil {
		return nil, err
	}
	v.open[i], v.order = h, append(v.order, i)
	return h, nil
}

// find returns the index of the file whose stretch holds lsn, or -1.
func (v *View) find(lsn LSN) int {
	i := sort.Search(len(v.files), func(i int) bool {
		return v.startFrom(i) > lsn
	}) - 1
	for i >= 0 && !v.files[i].Known {
		i--
	}
	if i < 0 || lsn >= v.files[i].End {
		return -1
	}
	return i
}

// startFrom is the start of the first file from i on whose place is known.
func (v *View) startFrom(i int) LSN {
	for ; i < len(v.files); i++ {
		if v.files[i].Known {
			return v.files[i].Start
		}
	}
	return 1<<64 - 1
}

// Locate tells where on disk lsn lies.
func (v *View) Locate(lsn LSN) (file string, offset int64, ok bool) {
	i := v.find(lsn)
	if i < 0 {
		return "", 0, false
	}
	f := &v.files[i]
	return f.Name, fileHeaderSize + int64(lsn-f.Start), true
}

// ReadAt fills p with the stream's bytes from lsn on, and checks nothing but
// that the log has them: else the error is ErrNotFound.
func (v *View) ReadAt(p []byte, lsn LSN) error {
	i := v.find(lsn)
	if i < 0 || LSN(len(p)) > v.files[i].End-lsn {
		return fmt.Errorf("%d bytes at lsn %d: %w", len(p), lsn, ErrNotFound)
	}
	h, err := v.handle(i)
	if err != nil {
		return err
	}
	off := fileHeaderSize + int64(lsn-v.files[i].Start)
	if n, err := h.ReadAt(p, off); n < len(p) {
		if err == nil || err == io.EOF {
			err = io.ErrUnexpectedEOF
		}
		return fmt.Errorf("read %s at %d: %w", v.files[i].Name, off, err)
	}
	return v.still(i)
}

// Walk goes through the frames of Files()[i], from the one at lsn `from` on, or
// all where the file begins later. It returns where whole frames end.
func (v *View) Walk(i int, from LSN, fn Walker) (end LSN, err error) {
	vf := &v.files[i]
	if vf.Bad != nil && fn.Damage != nil {
		d := Damage{File: vf.Name, Cause: vf.Bad}
		if vf.Known {
			d.LSN, d.End = vf.Start, vf.Start
		}
		if err := fn.Damage(d); err != nil {
			return 0, err
		}
	}
	if !vf.Known {
		return 0, fn.read(vf.Size)
	}
	h, err := v.handle(i)
	if err != nil {
		return 0, err
	}
	k := walk{
		f: &file{name: vf.Name, start: vf.Start, nonce: vf.nonce}, fn: fn,
		w:     window{h: h, name: vf.Name, size: vf.Size},
		check: window{h: h, name: vf.Name, size: vf.Size},
		limit: 1 << 63, tail: true, still: func() error { return v.still(i) },
	}
	if limit := v.startFrom(i + 1); limit < 1<<63 {
		// A recovery goes on in a new file, so behind a file's end may stand what
		// was copied, and what was torn. Where the next file is missing nobody
		// knows that end: what is not proved to have been synced may lie beyond.
		k.limit, k.tail = limit, !v.files[i+1].Follows
	} else if k.w.size, err = h.Size(); err != nil {
		return 0, fmt.Errorf("size of %s: %w", vf.Name, err)
	} else {
		// ReadAt and Locate know what Record is told of: the log may have grown,
		// also within the length of a file that is written over an older one.
		vf.Size = max(vf.Size, k.w.size)
		vf.End = vf.Start + LSN(max(vf.Size-fileHeaderSize, 0))
	}
	k.check.size = k.w.size
	end, err = k.run(max(from, vf.Start))
	if err == nil && k.limit == 1<<63 {
		vf.End = end // where the frames do
	}
	return end, err
}

func (fn *Walker) read(n int64) error {
	if fn.Read == nil {
		return nil
	}
	return fn.Read(n)
}

// walk is a Walk under way.
type walk struct {
	f        *file
	fn       Walker
	w, check window
	limit    LSN  // where the next file begins
	tail     bool // the frames may end in a torn one
	still    func() error
}

func (k *walk) run(lsn LSN) (end LSN, err error) {
	stop := min(k.limit, k.f.start+LSN(max(k.w.size-fileHeaderSize, 0)))
	for lsn < stop {
		hdr, bad, err := k.w.frame(k.f, lsn)
		if err == nil && bad != nil {
			// It may have been written this very moment: look again.
			k.w.n = 0
			hdr, bad, err = k.w.frame(k.f, lsn)
		}
		if err != nil {
			return lsn, err
		}
		next := lsn + LSN(hdr.size())
		switch {
		case bad != nil:
			if next, err = k.skip(lsn, stop, bad); err != nil {
				return lsn, err
			}
			if next == 0 {
				return lsn, nil
			}
		case next > k.limit:
			return lsn, k.damage(Damage{LSN: lsn, End: k.limit, Cause: fmt.Errorf("frame passes %d, where the next file begins", k.limit)})
		case hdr.kind == frameSeal:
			return lsn, nil
		case hdr.kind != frameRecords:
			if err := k.damage(Damage{LSN: lsn, End: next, Cause: fmt.Errorf("frame is of unknown type %d", hdr.kind)}); err != nil {
				return lsn, err
			}
		default:
			unread := hdr.size() > loadSize // since its checksum was computed
			bad, err := k.w.records(k.f, hdr, func(lsn LSN, rec []byte) error {
				if k.fn.Record == nil {
					return nil
				}
				if unread {
					if err := k.still(); err != nil {
						return err
					}
					unread = false
				}
				return k.fn.Record(lsn, rec, true)
			})
			if err == nil && bad != nil {
				err = k.damage(Damage{LSN: lsn, End: next, Cause: bad})
			}
			if err != nil {
				return lsn, err
			}
		}
		if err := k.fn.read(int64(next - lsn)); err != nil {
			return lsn, err
		}
		lsn = next
	}
	if k.limit < 1<<63 && !k.tail && lsn < k.limit {
		return lsn, k.damage(Damage{LSN: lsn, End: k.limit, Cause: fmt.Errorf("the next file begins at %d, and this one ends early", k.limit)})
	}
	return lsn, nil
}

func (k *walk) damage(d Damage) error {
	if err := k.still(); err != nil {
		return err
	}
	if k.fn.Damage == nil {
		return nil
	}
	d.File, d.Offset = k.f.name, k.f.offset(d.LSN)
	return k.fn.Damage(d)
}

// skip gets over the bad frame at lsn, handing out what still looks like its
// records. It returns where the next whole frame begins, or stop; 0: the walk
// ends here.
func (k *walk) skip(lsn, stop LSN, bad error) (next LSN, err error) {
	if k.tail {
		later, err := k.check.lookOn(k.f, lsn)
		if err != nil {
			return 0, err
		}
		if later == nil {
			if k.limit < 1<<63 || bad == errFrameOther {
				// No frame of this file's: the file that is missing begins here, or
				// what the file held before it was written over.
				return 0, k.still()
			}
			blank, err := k.w.none(k.f, lsn, bad)
			if err != nil {
				return 0, err
			}
			return 0, k.damage(Damage{LSN: lsn, End: stop, Torn: true, Blank: blank, Cause: bad})
		}
		// The proof may have been written since the frame was read.
		k.w.n = 0
		if _, again, err := k.w.frame(k.f, lsn); err != nil || again == nil {
			return lsn, err
		}
	}
	// The frames in between, whole headers of which are there, and the next one
	// that is whole.
	pieces := []LSN{lsn}
	for next = 0; next == 0; {
		at, whole, err := k.seek(pieces[len(pieces)-1]+8, stop)
		switch {
		case err != nil:
			return 0, err
		case whole || at == stop:
			next = at
		default:
			pieces = append(pieces, at)
		}
	}
	for i, at := range pieces {
		to := next
		if i+1 < len(pieces) {
			to = pieces[i+1]
		}
		if err := k.salvage(at, to); err != nil {
			return 0, err
		}
	}
	return next, k.damage(Damage{LSN: lsn, End: next, Cause: bad})
}

// seek finds the first place from lsn on at which a frame's header stands, and
// tells whether the frame is whole; stop: there is none.
func (k *walk) seek(lsn, stop LSN) (at LSN, whole bool, err error) {
	for lsn+frameHeaderSize <= stop {
		b, err := k.w.bytes(k.f.offset(lsn), int(min(windowSize, int64(stop-lsn))))
		if err != nil {
			return 0, false, err
		}
		for ; len(b) >= frameHeaderSize; b, lsn = b[8:], lsn+8 {
			if le.Uint64(b[16:]) != k.f.nonce || LSN(le.Uint64(b[24:])) != lsn {
				continue
			}
			_, bad, err := k.check.frame(k.f, lsn)
			return lsn, bad == nil, err
		}
	}
	return stop, false, nil
}

// salvage hands out what look like records of a bad frame in [lsn, end).
func (k *walk) salvage(lsn, end LSN) error {
	if k.fn.Record == nil {
		return nil
	}
	for lsn += frameHeaderSize; lsn+recordHeader <= end; {
		b, err := k.w.bytes(k.f.offset(lsn), recordHeader)
		if err != nil {
			return err
		}
		n := LSN(le.Uint32(b))
		lsn += recordHeader
		if n == 0 || n > end-lsn {
			return nil // padding, or nonsense
		}
		if b, err = k.w.bytes(k.f.offset(lsn), int(n)); err != nil {
			return err
		}
		if err := k.still(); err != nil {
			return err
		}
		if err := k.fn.Record(lsn, b[:n:n], false); err != nil {
			return err
		}
		lsn += n
	}
	return nil
}
