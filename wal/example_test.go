package wal_test

import (
	"fmt"
	"os"

	"github.com/leveret-mq/leveret/wal"
)

func Example() {
	dir, err := os.MkdirTemp("", "wal")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer os.RemoveAll(dir)

	l, err := wal.Open(nil, dir, 0, wal.Options{}, nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	// Two records that live or die together.
	if err := l.Begin(len("hello")+len("world"), 2); err != nil {
		fmt.Println(err)
		return
	}
	_, p := l.Put(len("hello"))
	copy(p, "hello")
	lsn, p := l.Put(len("world"))
	copy(p, "world")
	end := l.End(wal.Lazy, nil)
	if err := l.Wait(end); err != nil { // on disk when it returns
		fmt.Println(err)
		return
	}
	p = make([]byte, 5)
	if err := l.ReadAt(p, lsn); err != nil {
		fmt.Println(err)
		return
	}
	fmt.Printf("%s at %d, durable up to %d\n", p, lsn, l.Durable())
	if err := l.Close(); err != nil {
		fmt.Println(err)
		return
	}

	l, err = wal.Open(nil, dir, 0, wal.Options{}, func(lsn wal.LSN, rec []byte) error {
		fmt.Printf("replayed %s at %d\n", rec, lsn)
		return nil
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	l.Close()
	// Output:
	// world at 53, durable up to 64
	// replayed hello at 44
	// replayed world at 53
}
