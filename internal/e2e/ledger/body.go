package ledger

import (
	"bytes"
	"fmt"
	"math/rand/v2"
)

// Body is the content of a producer's n-th message. It begins with the two numbers and
// goes on with noise that follows from them, so that one bit out of place shows. Most
// bodies are small; some are of several pages, a few of more than 256 KiB.
func Body(producer, n int) []byte {
	rng := rand.New(rand.NewPCG(uint64(producer), uint64(n)))
	size := 10 + rng.IntN(200)
	switch r := rng.IntN(1000); {
	case r < 2:
		size = 256<<10 + rng.IntN(64<<10)
	case r < 30:
		size = rng.IntN(24 << 10)
	}
	body := fmt.Appendf(make([]byte, 0, size+32), "message %d of producer %d: ", n, producer)
	for range size / 8 {
		v := rng.Uint64()
		body = append(body, byte(v), byte(v>>8), byte(v>>16), byte(v>>24), byte(v>>32), byte(v>>40), byte(v>>48), byte(v>>56))
	}
	return body
}

// Identify tells which message a body belongs to; ok is false if it is not exactly a
// body that Body makes.
func Identify(body []byte) (producer, n int, ok bool) {
	if _, err := fmt.Sscanf(string(body[:min(len(body), 64)]), "message %d of producer %d: ", &n, &producer); err != nil {
		return 0, 0, false
	}
	return producer, n, bytes.Equal(body, Body(producer, n))
}
