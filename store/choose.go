package store

import (
	"cmp"
	"slices"

	"github.com/leveret-mq/leveret/segment"
)

// Which segments a merge takes: a policy of sizes and numbers, without files and
// locks.

const (
	// compactMost bounds, in bytes, what a merge writes, unless a single segment
	// is larger; and with that the room on disk that it takes for a while.
	compactMost = 1 << 30
	// compactInputs bounds the files that a merge has open.
	compactInputs = 64
	// compactFree is what a merge for the sake of numbers leaves free on the disk,
	// in bytes, and compactSpare what one that gives room leaves of it meanwhile.
	compactFree  = 256 << 20
	compactSpare = 1 << 20

	// A segment is thin, and worth a rewrite on its own, where less than an eighth
	// of it is alive: seven bytes come free for one that is written. Until then the
	// bound on all of them together decides.
	thinShare = 1.0 / 8
	// fatShare: a segment of which more is alive is not rewritten for room.
	fatShare = 3.0 / 4

	// tierWidth segments of one size class are merged into one, so that a queue is
	// in few of them: a message is rewritten once a class, each of which is
	// 1<<tierShift times as large as the one before. Where the broker is busy it
	// waits until there are tierPatience.
	tierWidth    = 8
	tierPatience = 32
	tierShift    = 3
	// classShare: the smallest class, and the least that is worth a rewrite, is
	// this part of Options.CompactSlack.
	classShare = 64
)

// candidate is a segment that may be rewritten.
type candidate struct {
	f     *sealed
	size  int64   // of the file
	dead  int64   // messages
	share float64 // of its bytes that are alive, as near as can be told
	most  int64   // bytes of it, at most, that are alive: what a merge may write
}

func (c *candidate) live() int64 { return int64(c.share * float64(c.size)) }

// choice is what there is to choose from.
type choice struct {
	list        []candidate // by number
	total, live int64       // bytes in all segments, and what of them is alive
	slack       int64       // Options.CompactSlack
	room        int64       // free on the disk, bytes
	all         bool        // all that is of use at all, at once: see Store.Compact
	busy        bool        // only what cannot wait
}

// segments lists what to merge; nothing where nothing is worth it.
func (c *choice) segments() []*sealed {
	if list := c.thin(); len(list) > 0 {
		return list
	}
	return c.tier()
}

// thin chooses those of which the least is alive: each that is thin by itself, when
// there is time, and where all together take more than twice what is alive and a
// constant, so many that they take one and a half times that and half the constant.
func (c *choice) thin() []*sealed {
	share, enough := thinShare, int64(0)
	switch {
	case c.all:
		share = fatShare
	case c.total > 2*c.live+c.slack:
		share, enough = fatShare, c.live/2*3+c.slack/2
	case c.busy:
		return nil
	}
	var some []candidate
	for _, x := range c.list {
		// What was merged has nothing dead: whatever its sizes say, it is not
		// rewritten before a message of it has gone.
		if x.dead > 0 && x.share < share {
			some = append(some, x)
		}
	}
	slices.SortFunc(some, func(a, b candidate) int { return cmp.Compare(a.share, b.share) })
	var list []*sealed
	var free, size int64
	for _, x := range some {
		if len(list) == compactInputs || len(list) > 0 && (size+x.most > compactMost || c.total-free <= enough && x.share >= thinShare) {
			break
		}
		if size+x.most+compactSpare > c.room {
			continue
		}
		list = append(list, x.f)
		size += x.most
		free += x.size - x.live()
	}
	if !c.all && free < c.slack/classShare {
		return nil
	}
	return list
}

// tier chooses segments of one size class, the oldest of it first.
func (c *choice) tier() []*sealed {
	bounds := sizeClasses(c.slack)
	classes := make([][]candidate, len(bounds)+1)
	for _, x := range c.list {
		class := sizeClass(bounds, x.size)
		classes[class] = append(classes[class], x)
	}
	width, least := tierWidth, tierWidth/2
	switch {
	case c.all:
		width, least = 2, 2
	case c.busy:
		width = tierPatience
	}
	most := min(compactMost, c.room-compactFree)
	for _, list := range classes {
		if len(list) < width {
			continue
		}
		var chosen []*sealed
		size := int64(0)
		for _, x := range list[:min(len(list), compactInputs)] {
			if size+x.most <= most {
				chosen = append(chosen, x.f)
				size += x.most
			}
		}
		if len(chosen) >= least {
			return chosen
		}
	}
	return nil
}

// sizeClasses lists the bounds of the size classes, ascending. What is at least
// as large as the last is a class of its own, which has none.
func sizeClasses(slack int64) (bounds []int64) {
	for b := max(slack/classShare, 1); b < compactMost; b <<= tierShift {
		bounds = append(bounds, b)
	}
	return bounds
}

// sizeClass is the number of a size's class.
func sizeClass(bounds []int64, size int64) int {
	n, found := slices.BinarySearch(bounds, size)
	if found {
		n++
	}
	return n
}

// aliveShare is the part of a segment's bytes that is alive, where so many messages
// of so many bytes are. What several queues share is in the file once and in bytes
// once for each: there the part of the messages is nearer to it. most is the most
// that it can be: one queue may still need all of it.
func aliveShare(info *segment.Info, live, bytes int64) (share, most float64) {
	if info.Raw == 0 || info.Records == 0 {
		return 1, 1 // nobody has looked at the file yet
	}
	most = min(float64(bytes)/float64(info.Raw), 1)
	if info.Shared > 0 {
		return min(most, float64(live)/float64(info.Records)), most
	}
	return most, most
}
