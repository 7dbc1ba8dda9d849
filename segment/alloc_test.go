//go:build !race

package segment

import (
	"bytes"
	"math/rand/v2"
	"testing"
)

func TestReadingAllocatesNothing(t *testing.T) {
	poison = false
	defer func() { poison = true }()
	m := memFS(t)
	rng := rand.New(rand.NewPCG(1, 1))
	var items []item
	for i := range 50000 {
		it := item{queue: 1, seq: uint64(i), payload: text(rng, 100)}
		if i%100 == 0 {
			it.share, it.payload = i+1, text(rng, 5000)
		}
		items = append(items, it)
	}
	build(t, m, 1, Options{}, items)
	r := Open(m, testDir, 1, NewCache(2<<20))
	defer r.Close()
	var c Cursor
	defer c.Reset()
	var held *Block
	pass := func() {
		for seq := range uint64(50000) {
			if err := r.Find(&c, 1, seq, true); err != nil {
				t.Fatal(err)
			}
			if b := c.Block(); b != held {
				if held != nil {
					held.Release()
				}
				held = c.Retain()
			}
		}
	}
	pass()
	pass()
	// Blocks that are read twice in a pass come and go; records do not.
	if n := testing.AllocsPerRun(3, pass); n > 50 {
		t.Errorf("50,000 records take %v allocations", n)
	}
	held.Release()
}

func TestAddingAllocatesNothing(t *testing.T) {
	b, err := Create(memFS(t), testDir, 1, Options{})
	must(t, err)
	defer b.Abandon()
	payload := bytes.Repeat([]byte("abcdefghij"), 10)
	seq := uint64(0)
	add := func() {
		for range 1000 {
			if err := b.Add(uint32(seq%10), seq, payload); err != nil {
				t.Fatal(err)
			}
			seq++
		}
	}
	for range 100 {
		add()
	}
	if n := testing.AllocsPerRun(100, add); n > 1 {
		t.Errorf("1,000 records take %v allocations", n)
	}
}
