package wal

// zeros is what files are filled with ahead of the stream. Nobody writes to it.
var zeros [1 << 20]byte

const (
	aheadShare  = 8  // a commit is small that has at most 1/aheadShare of Options.Ahead
	aheadMargin = 16 // times what is written ahead must be free on the disk
)

// fillAhead fills the file with zeros behind a commit of so many bytes, the last of
// the stream so far, that has made it grow: the commits that follow then overwrite
// what is there, until they reach its end, and their syncs have no growth of the
// file to write into the file system's journal. It comes before the commit's own
// sync. A commit that is not small against Options.Ahead stays as it is, for a log of
// much traffic would write nearly twice as much until its files are written over. So
// does any where little of the disk is free. By the owner of busy.
func (l *Log) fillAhead(f *file, end LSN, size uint64) error {
	from, ahead := f.offset(end), l.opts.Ahead
	if ahead <= 0 || from <= f.length.Load() || int64(size) > ahead/aheadShare {
		return nil
	}
	if free, err := l.fs.Free(l.dir); err != nil || free < uint64(aheadMargin*ahead) {
		return nil // the next commit asks again
	}
	to := min(from+ahead, l.opts.FileSize)
	for off := from; off < to; off += int64(len(zeros)) {
		if err := writeAt(f.h, zeros[:min(to-off, int64(len(zeros)))], f.name, off); err != nil {
			if noRoom(err) {
				return nil // the frames themselves have found some
			}
			return err
		}
		l.zeros.Add(uint64(min(to-off, int64(len(zeros)))))
	}
	if from < to {
		f.length.Store(to)
	}
	return nil
}
