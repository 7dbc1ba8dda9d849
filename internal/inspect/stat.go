package inspect

import (
	"cmp"
	"path/filepath"
	"slices"

	"github.com/leveret-mq/leveret/index"
	"github.com/leveret-mq/leveret/wal"
)

// Stat describes a data directory.
type Stat struct {
	Dir string `json:"dir"`

	Log       Tier `json:"log"`
	Segments  Tier `json:"segments"`
	Large     Tier `json:"large"`
	Snapshots Tier `json:"snapshots"` // checkpoints and catalogs
	Total     Tier `json:"total"`
	// Spilled is the bytes of transient messages that a broker, if one runs, has
	// moved from memory to disk. They are in no other figure.
	Spilled int64 `json:"spilled_bytes"`

	Checkpoint *CheckpointStat `json:"checkpoint"` // nil: none can be read
	// Replay is what a start would read of the log, in bytes and records.
	ReplayBytes   int64   `json:"replay_bytes"`
	ReplayRecords int     `json:"replay_records"`
	End           wal.LSN `json:"end_lsn"`
	// Torn: the log ends within a commit, as a power cut or a running broker
	// leaves it.
	Torn bool `json:"torn"`

	Files  []FileStat  `json:"files"`
	Queues []QueueStat `json:"queues"` // by bytes, the largest first

	Problems []Problem `json:"problems"`
}

// Tier sums up the files of one kind.
type Tier struct {
	Files int   `json:"files"`
	Bytes int64 `json:"bytes"` // on disk
	// Live is how many of the bytes belong to messages that are not gone; of a
	// segment, its share of them.
	Live int64 `json:"live_bytes"`
	// Messages are those that are not gone. One in several queues counts in each.
	Messages int64 `json:"messages"`
	// Raw is the bytes before compression, 0 where nothing is compressed.
	Raw int64 `json:"raw_bytes,omitempty"`
}

// Dead is the bytes that belong to nothing any more.
func (t Tier) Dead() int64 { return t.Bytes - t.Live }

func (t *Tier) add(o Tier) {
	t.Files += o.Files
	t.Bytes += o.Bytes
	t.Live += o.Live
	t.Messages += o.Messages
	t.Raw += o.Raw
}

// CheckpointStat is the checkpoint that a start would begin with.
type CheckpointStat struct {
	File   string  `json:"file"`
	Number uint64  `json:"number"`
	Bytes  int64   `json:"bytes"`
	Replay wal.LSN `json:"replay_lsn"`
}

// FileStat is one file of the log, or one segment.
type FileStat struct {
	Name string `json:"name"` // with the directory
	Kind string `json:"kind"` // log, segment or large
	Tier
	Start wal.LSN `json:"start_lsn,omitempty"` // of the log
	End   wal.LSN `json:"end_lsn,omitempty"`
}

// QueueStat is one durable queue.
type QueueStat struct {
	ID uint32 `json:"id"`
	Name
	Messages int64 `json:"messages"`
	Bytes    int64 `json:"bytes"` // of the messages: headers, properties and bodies
	// Of the messages:
	InLog      int64  `json:"in_log"`
	InSegments int64  `json:"in_segments"`
	InLarge    int64  `json:"in_large_files"`
	Runs       int    `json:"runs"`      // pieces of segments that it is read from
	Published  uint64 `json:"published"` // messages ever, transient ones too
}

// ReadStat looks at a data directory. The error is for what cannot be looked at;
// what is wrong with the data is in Problems, and the figures are then of what
// could be read.
func ReadStat(dir string, o Options) (*Stat, error) {
	o = o.withDefaults().soften()
	s, err := load(dir, o)
	if err != nil {
		return nil, err
	}
	defer s.close()
	st, err := s.stat()
	if err == nil {
		err = o.refused()
	}
	if err == nil {
		st.Problems = append(st.Problems, o.badReads()...)
	}
	if err != nil {
		return nil, err
	}
	return st, nil
}

func (s *state) stat() (*Stat, error) {
	st := &Stat{
		Dir: s.dir, Spilled: s.files.spilled, End: s.end, Torn: s.torn != nil,
		ReplayBytes: int64(s.end - s.replay), ReplayRecords: s.records,
		Files: []FileStat{}, Queues: []QueueStat{}, Problems: s.problems,
	}
	if st.Problems == nil {
		st.Problems = []Problem{}
	}
	if sf := s.checkpoint; sf != nil {
		st.Checkpoint = &CheckpointStat{sf.name, sf.number, sf.size, wal.LSN(s.header.Replay)}
	}
	for _, list := range [][]snapshotFile{s.files.checkpoints, s.files.catalogs} {
		for _, f := range list {
			st.Snapshots.Files++
			st.Snapshots.Bytes += f.size
			if s.checkpoint != nil && (f.name == s.checkpoint.name || filepath.Base(f.name) == index.SnapshotName(index.CatalogPrefix, s.header.Catalog)) {
				st.Snapshots.Live += f.size
			}
		}
	}
	places := s.places()
	s.statQueues(st)
	s.statLog(st, places)
	if err := s.statSegments(st); err != nil {
		return nil, err
	}
	if err := s.statLarge(st, places); err != nil {
		return nil, err
	}
	for _, f := range st.Files {
		switch f.Kind {
		case "log":
			st.Log.add(f.Tier)
		case "segment":
			st.Segments.add(f.Tier)
		case "large":
			st.Large.add(f.Tier)
		}
	}
	for _, t := range []Tier{st.Log, st.Segments, st.Large, st.Snapshots} {
		st.Total.add(t)
	}
	return st, nil
}

// place is where a message lies that has an entry of its own.
type place struct {
	addr uint64
	size uint32
	n    uint32 // queues that it is in
}

// places lists what the queues' entries point to, by address, each once.
func (s *state) places() []place {
	var list []place
	for _, q := range s.queues {
		q.each(func(_ uint64, e index.Entry) { list = append(list, place{e.Addr, e.Len, 1}) })
	}
	slices.SortFunc(list, func(a, b place) int { return cmp.Compare(a.addr, b.addr) })
	merged := list[:0]
	for _, p := range list {
		if n := len(merged); n > 0 && merged[n-1].addr == p.addr {
			merged[n-1].n++
			continue
		}
		merged = append(merged, p)
	}
	return merged
}

// findPlace returns the index of the first place from addr on, and whether that
// is its address.
func findPlace(places []place, addr uint64) (int, bool) {
	return slices.BinarySearchFunc(places, addr, func(p place, addr uint64) int { return cmp.Compare(p.addr, addr) })
}

func (s *state) statQueues(st *Stat) {
	for id, q := range s.queues {
		qs := QueueStat{ID: id, Name: s.topo.names[id], Published: q.ix.Next()}
		q.each(func(_ uint64, e index.Entry) {
			qs.Messages++
			qs.Bytes += int64(e.Len)
			if isLarge(e.Addr) {
				qs.InLarge++
			} else {
				qs.InLog++
			}
		})
		q.ix.Runs(func(r index.Run) bool {
			qs.Runs++
			qs.Messages += int64(r.Live)
			qs.InSegments += int64(r.Live)
			qs.Bytes += r.Bytes
			return true
		})
		st.Queues = append(st.Queues, qs)
	}
	slices.SortFunc(st.Queues, func(a, b QueueStat) int {
		return cmp.Or(cmp.Compare(b.Bytes, a.Bytes), cmp.Compare(b.Messages, a.Messages), cmp.Compare(a.VHost, b.VHost), cmp.Compare(a.Name.Queue, b.Name.Queue), cmp.Compare(a.ID, b.ID))
	})
}

func (s *state) statLog(st *Stat, places []place) {
	if s.log == nil {
		return
	}
	for _, f := range s.log.Files() {
		fs := FileStat{Name: f.Name, Kind: "log", Start: f.Start, End: f.End}
		fs.Files, fs.Bytes = 1, f.Size
		i, _ := findPlace(places, uint64(f.Start))
		for ; i < len(places) && places[i].addr < uint64(f.End); i++ {
			fs.Live += int64(places[i].size)
			fs.Messages += int64(places[i].n)
		}
		st.Files = append(st.Files, fs)
	}
}
