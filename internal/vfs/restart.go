package vfs

import "slices"

// Restart is what the next process sees when this one dies and the machine
// stays up: all that was written, with what was not synced still not synced.
// Locks are free, the power is on and operations are counted from 1 again.
// The Mem and its open files go on independently, so that Restart is also a
// copy to come back to. It costs no more than a few pointers a file.
func (m *Mem) Restart() *Mem {
	m.mu.Lock()
	defer m.mu.Unlock()
	r := &Mem{
		lastID: m.lastID, locks: map[string]struct{}{},
		used: m.used, capacity: m.capacity,
	}
	done := map[*inode]*inode{}
	r.root = m.root.fork(done)
	r.changes = slices.Clone(m.changes)
	for i := range r.changes {
		c := &r.changes[i]
		c.dir, c.ino = c.dir.fork(done), c.ino.fork(done)
	}
	return r
}

// fork copies an inode and all below it, once. The caller holds mu.
func (ino *inode) fork(done map[*inode]*inode) *inode {
	if c, ok := done[ino]; ok {
		return c
	}
	c := &inode{id: ino.id, name: ino.name, links: ino.links}
	done[ino] = c
	if !ino.isDir() {
		c.live, c.synced, c.pending = ino.live.freeze().thaw(), ino.synced, slices.Clip(ino.pending)
		return c
	}
	c.entries, c.durable = make(map[string]*inode, len(ino.entries)), make(map[string]*inode, len(ino.durable))
	for name, e := range ino.entries {
		c.entries[name] = e.fork(done)
	}
	for name, e := range ino.durable {
		c.durable[name] = e.fork(done)
	}
	return c
}

// SyncAll makes everything durable at once, uncounted: a start for tests that
// are not about what came before.
func (m *Mem) SyncAll() {
	m.opMu.Lock()
	defer m.opMu.Unlock()
	m.mu.Lock()
	defer m.mu.Unlock()
	for i := range m.changes {
		m.changes[i].apply(m.changes[i].dir.durable)
	}
	m.changes = nil
	m.root.syncAll()
}

func (ino *inode) syncAll() {
	if !ino.isDir() {
		ino.synced, ino.pending = ino.live.freeze(), nil
		return
	}
	for _, e := range ino.entries {
		e.syncAll()
	}
}

// Corrupt replaces a file's content by what fn makes of it, durable and
// uncounted. Handles that are open see it too.
func (m *Mem) Corrupt(name string, fn func(data []byte) []byte) error {
	m.opMu.Lock()
	defer m.opMu.Unlock()
	m.mu.Lock()
	defer m.mu.Unlock()
	_, _, ino, err := m.findFile(name)
	if err != nil {
		return memError(OpWrite, name, err)
	}
	data := fn(ino.live.bytes())
	m.used += int64(len(data)) - ino.live.size
	var b buffer
	b.writeAt(data, 0)
	ino.live, ino.synced, ino.pending = b.freeze().thaw(), b.freeze(), nil
	return nil
}
