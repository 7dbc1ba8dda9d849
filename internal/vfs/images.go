package vfs

import "iter"

// ImageOptions bounds the crash images that Images makes.
type ImageOptions struct {
	Sector    int    // bytes that reach the disk in order; 0 is 512
	MaxImages int    // 0 is 400
	Seed      uint64 // of the sample, where there are more than MaxImages
}

// Images are the crash images of now: each a description and a Mem as it could
// be found after a power cut.
func (m *Mem) Images(o ImageOptions) iter.Seq2[string, *Mem] {
	all := m.Restart()
	all.SyncAll()
	none := m.Restart()
	return func(yield func(string, *Mem) bool) {
		none.root.drop()
		none.changes = nil
		_ = yield("nothing unsynced", none) && yield("everything unsynced", all)
	}
}

func (ino *inode) drop() {
	if !ino.isDir() {
		ino.live, ino.pending = ino.synced.thaw(), nil
		return
	}
	clear(ino.entries)
	for name, e := range ino.durable {
		ino.entries[name] = e
		e.drop()
	}
}
