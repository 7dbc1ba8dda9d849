package stats

import (
	"reflect"
	"testing"
)

// different has another number in each field.
func different() (c Counts) {
	v := reflect.ValueOf(&c).Elem()
	for i := range v.NumField() {
		v.Field(i).SetUint(uint64(i + 1))
	}
	return c
}

func TestEachCountIsAddedToItself(t *testing.T) {
	c := different()
	var s Shared
	s.Add(&c)
	if got := s.Load(); got != c {
		t.Errorf("shared counts are %+v after an addition of %+v", got, c)
	}
	s.Published(1000)
	if got, want := s.Load().Publish, c.Publish+1000; got != want {
		t.Errorf("%d published, want %d", got, want)
	}
	sum := c
	sum.Add(c)
	if got := sum.Sub(c); got != c || sum == c {
		t.Errorf("%+v and once more the same is %+v", c, sum)
	}
}
