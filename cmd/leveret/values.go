package main

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
)

// duration reads as time.ParseDuration does ("10s"), in flags and in TOML.
type duration time.Duration

func (d *duration) UnmarshalText(text []byte) error {
	v, err := time.ParseDuration(string(text))
	*d = duration(v)
	return err
}

// Set, Type and String make duration a flag.
func (d *duration) Set(s string) error { return d.UnmarshalText([]byte(s)) }
func (d *duration) Type() string       { return "duration" }

// String is the duration without what is zero at its end.
func (d *duration) String() string {
	s := time.Duration(*d).String()
	for _, zero := range []string{"m0s", "h0m"} {
		if strings.HasSuffix(s, zero) {
			s = s[:len(s)-2]
		}
	}
	return s
}

// size is a number of bytes: digits, then nothing or one of the units below, in
// flags; in TOML such a string.
type size int64

// units are those that RabbitMQ's configuration knows: powers of 1000 for KB, of
// 1024 for KiB and for K alone.
var units = []struct {
	name   string
	factor int64
}{
	{"kib", 1 << 10}, {"mib", 1 << 20}, {"gib", 1 << 30}, {"tib", 1 << 40},
	{"kb", 1e3}, {"mb", 1e6}, {"gb", 1e9}, {"tb", 1e12},
	{"k", 1 << 10}, {"m", 1 << 20}, {"g", 1 << 30}, {"t", 1 << 40},
}

func (s *size) UnmarshalText(text []byte) error {
	digits, factor := strings.ToLower(strings.TrimSpace(string(text))), int64(1)
	for _, u := range units {
		if rest, ok := strings.CutSuffix(digits, u.name); ok {
			digits, factor = strings.TrimSpace(rest), u.factor
			break
		}
	}
	n, err := strconv.ParseInt(digits, 10, 64)
	if err != nil || n > math.MaxInt64/factor || n < 0 {
		return fmt.Errorf("%q is not a size: write bytes, or a number with KB, MB, GB, KiB, MiB or GiB", text)
	}
	*s = size(n * factor)
	return nil
}

// Set, Type and String make size a flag.
func (s *size) Set(v string) error { return s.UnmarshalText([]byte(v)) }
func (s *size) Type() string       { return "size" }

// String is the size in the largest unit that it is a multiple of.
func (s *size) String() string {
	for _, u := range []struct {
		name   string
		factor size
	}{{"GiB", 1 << 30}, {"MiB", 1 << 20}, {"KiB", 1 << 10}, {"GB", 1e9}, {"MB", 1e6}, {"KB", 1e3}} {
		if *s > 0 && *s%u.factor == 0 {
			return strconv.FormatInt(int64(*s/u.factor), 10) + u.name
		}
	}
	return strconv.FormatInt(int64(*s), 10)
}

// share is a number of bytes as size is one, or a part of the memory that there
// is: "40%".
type share struct {
	percent int64 // 0: it is bytes
	bytes   size
}

func (s *share) UnmarshalText(text []byte) error {
	digits, ok := strings.CutSuffix(strings.TrimSpace(string(text)), "%")
	if !ok {
		s.percent = 0
		if s.bytes.UnmarshalText(text) != nil {
			return fmt.Errorf("%q is not a size: write a percentage, bytes, or a number with KB, MB, GB, KiB, MiB or GiB", text)
		}
		return nil
	}
	n, err := strconv.ParseInt(strings.TrimSpace(digits), 10, 64)
	if err != nil || n < 1 || n > 100 {
		return fmt.Errorf("%q is not between 1%% and 100%%", text)
	}
	*s = share{percent: n}
	return nil
}

// Set, String and Type make share a flag.
func (s *share) Set(v string) error { return s.UnmarshalText([]byte(v)) }
func (s *share) Type() string       { return "size" }

func (s *share) String() string {
	if s.percent != 0 {
		return fmt.Sprintf("%d%%", s.percent)
	}
	return s.bytes.String()
}
