package segment_test

import (
	"errors"
	"fmt"
	"io"
	"log"

	"github.com/leveret-mq/leveret/internal/vfs"
	"github.com/leveret-mq/leveret/segment"
)

func Example() {
	fsys := vfs.NewMem() // or vfs.OS()
	b, err := segment.Create(fsys, "/", 1, segment.Options{})
	if err != nil {
		log.Fatal(err)
	}
	defer b.Abandon() // does nothing once it is finished
	for seq, payload := range []string{"one", "two", "three"} {
		if err := b.Add(7, uint64(seq), []byte(payload)); err != nil {
			log.Fatal(err)
		}
	}
	if _, err := b.Finish(); err != nil {
		log.Fatal(err)
	}

	r := segment.Open(fsys, "/", 1, segment.NewCache(16<<20))
	defer r.Close()
	var c segment.Cursor
	defer c.Reset()
	for seq := uint64(1); ; seq = c.Seq() + 1 {
		err := r.Find(&c, 7, seq, true)
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			log.Fatal(err)
		}
		fmt.Println(c.Seq(), string(c.Payload()))
	}
	// Output:
	// 1 two
	// 2 three
}
