package segment

import (
	"errors"
	"io"
	"math"
)

// passCache is for one pass through everything, which should not push from the
// readers' cache what they need. Blocks are decompressed once each, unless
// thousands of queues share more of them than this holds.
const passCache = 4 << 20

// Scan gives all records to fn, by queue and then seq. A payload is valid until
// fn returns. Records of damaged blocks are left out, and the damage is given to
// bad; if that is nil, or returns an error, Scan ends.
func (r *Reader) Scan(fn func(queue uint32, seq uint64, payload []byte) error, bad func(*BlockError) error) error {
	d, err := r.directory(true)
	if err != nil {
		return err
	}
	c := Cursor{private: NewCache(passCache)}
	defer c.Reset()
	for _, row := range d.rows {
		for seq := uint64(0); ; {
			err := r.Find(&c, row.queue, seq, true)
			if errors.Is(err, io.EOF) {
				break
			}
			last := c.Seq()
			var damage *BlockError
			switch {
			case err == nil:
				if err := fn(row.queue, c.Seq(), c.Payload()); err != nil {
					return err
				}
			case errors.As(err, &damage) && bad != nil:
				if err := bad(damage); err != nil {
					return err
				}
				last = damage.Last
			default:
				return err
			}
			if last == math.MaxUint64 {
				break
			}
			seq = last + 1
		}
	}
	return nil
}
