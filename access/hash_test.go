package access

import (
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
)

// Hashes that others made of the password "secret".
func TestHashesOfOthersAreTakenOver(t *testing.T) {
	for name, c := range map[string]struct {
		text, password string
		algorithm      Algorithm
	}{
		"RabbitMQ's SHA-256":            {"Fy5HeOPn3Tj+t+PGy3/4h9ekze0S6fqBGBrquQFdqo3WBDIz", "pw", SHA256},
		"RabbitMQ's SHA-256, unnamed":   {"Fy5HeOPn3Tj+t+PGy3/4h9ekze0S6fqBGBrquQFdqo3WBDIz", "pw", ""},
		"RabbitMQ's SHA-512":            {rabbit512, "secret", SHA512},
		"argon2id, by the reference":    {reference, "password", Argon2id},
		"argon2id, unnamed":             {reference, "password", ""},
		"argon2id, made here":           {HashPassword("sécret").Text, "sécret", Argon2id},
		"argon2id, made of a known one": {HashKnown("guest").Text, "guest", ""},
	} {
		t.Run(name, func(t *testing.T) {
			h, err := ParseHash(c.text, c.algorithm)
			if err != nil {
				t.Fatal(err)
			}
			if !h.Verify(c.password) {
				t.Error("the right password is refused")
			}
			for _, wrong := range []string{"", c.password + "x", c.password[1:], strings.ToUpper(c.password)} {
				if h.Verify(wrong) {
					t.Errorf("%q passes", wrong)
				}
			}
		})
	}
}

const (
	// The reference implementation's own test vector.
	reference = "$argon2id$v=19$m=65536,t=2,p=1$c29tZXNhbHQ$CTFhFdXPJO1aFaMaO6Mm5c8y7cJHAph8ArZWb2GRPPc"
	rabbit512 = "AQIDBPhTH2L5HGYB1LWOrn+YpvuQmVOXKGqgsuiJRIZTILRoEvblSJo/WAsym3IZTfuaIaK5KR2o5KwFfTv6KsxfMIE="
)

func TestNoHashFitsNoPassword(t *testing.T) {
	for _, password := range []string{"", "x"} {
		if (Hash{}).Verify(password) {
			t.Errorf("%q passes", password)
		}
	}
	h, err := ParseHash("", SHA512)
	if err != nil || h != (Hash{}) {
		t.Errorf("%v, %v", h, err)
	}
}

func TestHashesHaveASaltEach(t *testing.T) {
	if a, b := HashKnown("x"), HashKnown("x"); a == b {
		t.Error("two hashes of one password are the same")
	}
}

func TestMalformedHashesAreRefused(t *testing.T) {
	argon := strings.Split(reference, "$")
	with := func(i int, part string) string {
		parts := append([]string{}, argon...)
		parts[i] = part
		return strings.Join(parts, "$")
	}
	for _, c := range []struct {
		text      string
		algorithm Algorithm
		want      string
	}{
		{"YWJj", SHA256, "malformed"},
		{"not base64", SHA256, "malformed"},
		{"Fy5HeOPn3Tj+t+PGy3/4h9ekze0S6fqBGBrquQFdqo3WBDIz", SHA512, "malformed"},
		{"Fy5HeOPn3Tj+t+PGy3/4h9ekze0S6fqBGBrquQFdqo3WBDIz", Argon2id, "malformed"},
		{"Fy5HeOPn3Tj+t+PGy3/4h9ekze0S6fqBGBrquQFdqo3WBDIz", "rabbit_password_hashing_md5", "there is no password hash"},
		{reference, SHA256, "malformed"},
		{with(1, "argon2i"), Argon2id, "malformed"},
		{with(2, "v=16"), Argon2id, "malformed"},
		{with(3, "m=65536,t=2"), Argon2id, "malformed"},
		{with(3, "m=65536,t=2,p=1,x"), Argon2id, "malformed"},
		{with(3, "m=065536,t=2,p=1"), Argon2id, "malformed"},
		{with(3, "m=4194304,t=2,p=1"), Argon2id, "at most"},
		{with(3, "m=65536,t=1000,p=1"), Argon2id, "at most"},
		{with(3, "m=65536,t=2,p=0"), Argon2id, "at most"},
		{with(3, "m=7,t=2,p=1"), Argon2id, "at most"},
		{with(4, "c2FsdA"), Argon2id, "malformed"},
		{with(5, "CTFhFdXP"), Argon2id, "malformed"},
		{reference + "$", Argon2id, "malformed"},
		{strings.Repeat("A", 1000), SHA256, "malformed"},
	} {
		_, err := ParseHash(c.text, c.algorithm)
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%q as %s: %v, want %q", c.text, c.algorithm, err, c.want)
		}
	}
}

func FuzzHashes(f *testing.F) {
	f.Add(reference, string(Argon2id))
	f.Add(rabbit512, string(SHA512))
	f.Add("Fy5HeOPn3Tj+t+PGy3/4h9ekze0S6fqBGBrquQFdqo3WBDIz", "")
	f.Add("$argon2id$v=19$m=8,t=1,p=1$c29tc2FsdHNhbHQ$CTFhFdXPJO1aFaMaO6Mm5c8y7cJHAph8ArZWb2GRPPc", "argon2id")
	f.Fuzz(func(t *testing.T, text, algorithm string) {
		h, err := ParseHash(text, Algorithm(algorithm))
		if err != nil {
			return
		}
		again, err := ParseHash(h.Text, h.Algorithm)
		if err != nil || again != h {
			t.Fatalf("%q is read back as %q (%v)", h.Text, again.Text, err)
		}
		p, _ := h.parse()
		if p.cost.memory > 64 {
			return // right, and slow
		}
		if h.Text == "" && h.Verify("") {
			t.Fatal("no hash fits a password")
		}
		h.Verify("password")
	})
}

// Each takes 19 MiB: users who are made at once, by an import or by many requests, must
// not take the machine's memory.
func TestPasswordsAreHashedAFewAtATime(t *testing.T) {
	var now, most atomic.Int64
	summing = func(begins bool) {
		if !begins {
			now.Add(-1)
			return
		}
		n := now.Add(1)
		for old := most.Load(); n > old && !most.CompareAndSwap(old, n); old = most.Load() {
		}
	}
	t.Cleanup(func() { summing = func(bool) {} })
	small := cost{memory: 1 << 10, time: 4, lanes: 1}
	var all sync.WaitGroup
	for range 16 * runtime.GOMAXPROCS(0) {
		all.Go(func() {
			if h := small.hash("x"); !h.Verify("x") {
				t.Error("the right password is refused")
			}
		})
	}
	all.Wait()
	if n := most.Load(); n < 1 || n > int64(runtime.GOMAXPROCS(0)) {
		t.Errorf("%d are hashed at a time", n)
	}
}
