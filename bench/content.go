package bench

import (
	"encoding/hex"
	"fmt"
	"math/rand/v2"
	"time"
)

// The contents that bodies may have.
const (
	// Pattern repeats a word, behind a stamp that tells latency and order. It
	// compresses as nothing in the world does.
	Pattern = "pattern"
	// JSON is documents as applications send them: orders where there is room,
	// else readings. All are different, and a third of their bytes is random
	// (ids, tokens, traces), so that they compress as such documents do. They
	// bear no stamp.
	JSON = "json"
)

// contentBytes is about how many bytes of documents a publisher makes before it
// begins; then it goes through them over and over. A compressor that looks back
// less far than that, as ours and the peers' do, cannot tell.
const contentBytes = 16 << 20

// Documents makes JSON documents of one size, always the same for a seed.
type Documents struct {
	rng  *rand.Rand
	size int
	n    uint64
	buf  []byte
}

// NewDocuments returns a maker of documents of size bytes.
func NewDocuments(seed uint64, size int) *Documents {
	return &Documents{rng: rand.New(rand.NewPCG(seed, 1)), size: size}
}

var (
	firstNames = []string{"Amelia", "Oskar", "Wei", "Fatima", "Jonas", "Lucia", "Priya", "Tomasz", "Noor", "Elif", "Mateo", "Ingrid", "Kofi", "Yuki", "Sofia", "Liam"}
	lastNames  = []string{"Hart", "Lindqvist", "Zhang", "Haddad", "Weber", "Moreno", "Raman", "Kowalski", "de Vries", "Yilmaz", "Silva", "Berg", "Mensah", "Tanaka", "Rossi", "Walsh"}
	streets    = []string{"Mill Lane", "Station Road", "Hafenstrasse", "Rue de la Gare", "Via Roma", "Storgatan", "Calle Mayor", "Park Avenue"}
	cities     = []string{"Leeds", "Hamburg", "Lyon", "Torino", "Malmö", "Valencia", "Gdansk", "Utrecht", "Porto", "Graz"}
	goods      = []string{"wool blanket", "desk lamp", "coffee grinder", "hiking socks", "phone case", "tea towel", "bicycle bell", "notebook A5", "water bottle", "garden shears", "chess set", "rain jacket"}
	words      = []string{"please", "leave", "with", "the", "neighbour", "if", "nobody", "is", "at", "home", "ring", "twice", "gift", "wrapped", "fragile", "before", "noon", "second", "floor", "blue", "door", "thank", "you"}
)

func (d *Documents) pick(from []string) string { return from[d.rng.IntN(len(from))] }

func (d *Documents) hex(n int) string {
	p := make([]byte, n)
	for i := range p {
		p[i] = byte(d.rng.Uint32())
	}
	return hex.EncodeToString(p)
}

func (d *Documents) uuid() string {
	h := d.hex(16)
	return h[:8] + "-" + h[8:12] + "-4" + h[13:16] + "-a" + h[17:20] + "-" + h[20:]
}

// Next returns the next document. It is valid until the call after.
func (d *Documents) Next() []byte {
	d.n++
	at := time.Date(2026, 3, 14, 9, 26, 53, 0, time.UTC).Add(time.Duration(d.n) * 1700 * time.Microsecond)
	b := d.buf[:0]
	if d.size < 700 {
		b = fmt.Appendf(b, `{"s":"%s","n":%d,"t":%d,"temp":%.2f,"hum":%.1f,"mv":%d`,
			d.hex(4), d.n, at.UnixMilli(), 15+10*d.rng.Float64(), 30+40*d.rng.Float64(), 3300+d.rng.IntN(800))
	} else {
		first, last := d.pick(firstNames), d.pick(lastNames)
		b = fmt.Appendf(b, `{"event":"order.created","version":3,"id":"%s","time":"%s","trace":"00-%s-%s-01",`,
			d.uuid(), at.Format("2006-01-02T15:04:05.000Z"), d.hex(16), d.hex(8))
		b = fmt.Appendf(b, `"customer":{"id":%d,"name":"%s %s","email":"%s.%s%d@example.com","phone":"+44%09d","address":{"street":"%d %s","city":"%s","postcode":"%05d"}},`,
			d.rng.IntN(5_000_000), first, last, first, last, d.rng.IntN(1000), d.rng.IntN(1_000_000_000), d.rng.IntN(200), d.pick(streets), d.pick(cities), d.rng.IntN(100_000))
		b = fmt.Appendf(b, `"payment":{"method":"card","token":"tok_%s","last4":"%04d"},"currency":"EUR","items":[`, d.hex(12), d.rng.IntN(10_000))
		for i := 0; i == 0 || d.size-len(b) > 200; i++ {
			if i > 0 {
				b = append(b, ',')
			}
			b = fmt.Appendf(b, `{"sku":"%c%c-%06d","name":"%s","quantity":%d,"price":"%d.%02d","vat":0.2}`,
				'A'+d.rng.IntN(26), 'A'+d.rng.IntN(26), d.rng.IntN(1_000_000), d.pick(goods), 1+d.rng.IntN(5), 1+d.rng.IntN(200), d.rng.IntN(100))
		}
		b = append(b, ']')
	}
	d.buf = d.fit(b)
	return d.buf
}

// fit gives a document, which lacks only its end, its size.
func (d *Documents) fit(b []byte) []byte {
	const head, tail = `,"note":"`, `"}`
	room := d.size - len(b) - len(head) - len(tail)
	if room < 0 { // no note; where not even the rest fits, no JSON
		b = append(b, '}')
		for len(b) < d.size {
			b = append(b, ' ')
		}
		return b[:d.size]
	}
	b = append(b, head...)
	for end := len(b) + room; len(b) < end; {
		b = append(append(b, d.pick(words)...), ' ')
		b = b[:min(len(b), end)]
	}
	return append(b, tail...)
}

// patternBody is a body of the pattern.
func patternBody(size int) []byte {
	body := make([]byte, size)
	for i := range body {
		body[i] = "leveret "[i%8]
	}
	return body
}
