package index

// seqHeap is a binary min-heap of sequence numbers. It has no pointers and no
// interface calls; ascending pushes, the usual case, move nothing.
type seqHeap []uint64

// keepHeap is how many slots an empty heap keeps: a large requeue is rare.
const keepHeap = 64

func (h *seqHeap) push(seq uint64) {
	s := append(*h, seq)
	i := len(s) - 1
	for i > 0 {
		up := (i - 1) / 2
		if s[up] <= seq {
			break
		}
		s[i] = s[up]
		i = up
	}
	s[i] = seq
	*h = s
}

// pop drops the least.
func (h *seqHeap) pop() {
	s := *h
	last := s[len(s)-1]
	s = s[:len(s)-1]
	i := 0
	for {
		kid := 2*i + 1
		if kid >= len(s) {
			break
		}
		if kid+1 < len(s) && s[kid+1] < s[kid] {
			kid++
		}
		if last <= s[kid] {
			break
		}
		s[i] = s[kid]
		i = kid
	}
	if len(s) > 0 {
		s[i] = last
	} else if cap(s) > keepHeap {
		s = nil
	}
	*h = s
}
