//go:build !race

package routing

import (
	"testing"

	"github.com/leveret-mq/leveret/internal/amqp"
)

func TestHashingAllocatesNothing(t *testing.T) {
	for name, args := range map[string]amqp.Table{
		"key": nil, "header": table("hash-header", "n"), "property": table("hash-property", "message_id"),
	} {
		tab := New[*int]("x-consistent-hash", args)
		for range 100 {
			tab.Add(new(int), "3", nil)
		}
		props, _ := withHeaders(table("m", "x", "n", 7)).Edit().SetString(amqp.PropMessageID, "id").Properties()
		dst := make([]*int, 0, 1)
		key := []byte("key")
		if n := testing.AllocsPerRun(1000, func() { dst = tab.Match(key, props, dst[:0]) }); n != 0 {
			t.Errorf("%s: %v allocations a message", name, n)
		}
	}
}

func BenchmarkHash(b *testing.B) {
	for _, n := range []int{2, 10, 100, 1000} {
		b.Run(map[int]string{2: "2", 10: "10", 100: "100", 1000: "1000"}[n], func(b *testing.B) {
			tab := New[*int]("x-consistent-hash", nil)
			for range n {
				tab.Add(new(int), "1", nil)
			}
			key := []byte("customer-0000000")
			var dst []*int
			for i := 0; b.Loop(); i++ {
				key[15], key[14], key[13] = byte(i), byte(i>>8), byte(i>>16)
				dst = tab.Match(key, nil, dst[:0])
			}
		})
	}
}
