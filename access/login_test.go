package access

import (
	"sync"
	"testing"
)

// costly counts the checks that were not answered from memory.
type costly struct {
	*Verifier
	mu sync.Mutex
	n  int
}

func newCostly(t *testing.T) *costly {
	c := &costly{Verifier: NewVerifier()}
	c.decoy = HashKnown("nobody's")
	c.checked = func() {
		c.mu.Lock()
		c.n++
		c.mu.Unlock()
	}
	return c
}

// wants asserts how many costly checks there were since it was called last.
func (c *costly) wants(t *testing.T, n int, what string) {
	t.Helper()
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.n != n {
		t.Errorf("%s: %d costly checks, want %d", what, c.n, n)
	}
	c.n = 0
}

func TestARightPasswordIsCheckedOnce(t *testing.T) {
	v, l, h := newCostly(t), new(Login), HashKnown("secret")
	for range 100 {
		if !v.Check(l, h, "secret") {
			t.Fatal("refused")
		}
	}
	v.wants(t, 1, "a hundred logins")
}

func TestAStormOfLoginsCostsOneCheck(t *testing.T) {
	v, l, h := newCostly(t), new(Login), HashKnown("secret")
	var wg sync.WaitGroup
	for range 50 {
		wg.Go(func() {
			if !v.Check(l, h, "secret") {
				t.Error("refused")
			}
		})
	}
	wg.Wait()
	v.wants(t, 1, "fifty logins at once")
}

func TestAWrongPasswordIsNotRememberedAndForgetsNothing(t *testing.T) {
	v, l, h := newCostly(t), new(Login), HashKnown("secret")
	v.Check(l, h, "secret")
	v.wants(t, 1, "the first login")
	for _, wrong := range []string{"Secret", "secret\x00", "secre", "x"} {
		for range 2 {
			if v.Check(l, h, wrong) {
				t.Fatalf("%q passes", wrong)
			}
		}
	}
	v.wants(t, 16, "eight wrong ones, which cost what others do")
	if !v.Check(l, h, "secret") {
		t.Error("refused")
	}
	v.wants(t, 0, "the right one again")
}

func TestAChangedPasswordEndsWhatIsRemembered(t *testing.T) {
	v, l, old, new := newCostly(t), new(Login), HashKnown("old"), HashKnown("new")
	v.Remember(l, old, "old")
	if !v.Check(l, old, "old") {
		t.Error("what was remembered is refused")
	}
	v.wants(t, 0, "a remembered password")
	if v.Check(l, new, "old") {
		t.Error("the old password passes")
	}
	if !v.Check(l, new, "new") {
		t.Error("the new password is refused")
	}
	// The same password hashed anew is another hash.
	if !v.Check(l, HashKnown("new"), "new") {
		t.Error("the new password is refused under another salt")
	}
	v.wants(t, 4, "three checks of hashes not seen before, one of them wrong")
}

func TestEveryRefusalCostsTheSame(t *testing.T) {
	v := newCostly(t)
	sha, _ := ParseHash(rabbit512, SHA512)
	for what, c := range map[string]struct {
		login *Login
		hash  Hash
		pass  string
		cost  int
	}{
		"an unknown user":           {nil, Hash{}, "x", 1},
		"a user without a password": {new(Login), Hash{}, "x", 1},
		"an empty password":         {new(Login), HashKnown(""), "", 1},
		"a wrong password":          {new(Login), HashPassword("y"), "x", 1},
		// The cheap hash, and one that costs what others do.
		"a wrong password where the hash is RabbitMQ's":        {new(Login), sha, "x", 2},
		"a wrong password where everybody knows the right one": {new(Login), HashKnown("y"), "x", 2},
	} {
		if v.Check(c.login, c.hash, c.pass) {
			t.Errorf("%s passes", what)
		}
		v.wants(t, c.cost, what)
	}
}

// What is remembered is of no use elsewhere.
func TestEachVerifierHasItsKey(t *testing.T) {
	h := HashKnown("secret")
	if a, b := NewVerifier().mac(h, "secret"), NewVerifier().mac(h, "secret"); a == b {
		t.Error("two keys are the same")
	}
}

func TestTagsAreSplitAtCommas(t *testing.T) {
	u := User{Tags: ParseTags(" administrator,, foo,administrator ,")}
	if len(u.Tags) != 2 || !u.HasTag(Administrator) || !u.HasTag("foo") || u.HasTag(Impersonator) {
		t.Error(u.Tags)
	}
}

func TestLimitsThatAreNegativeAreNone(t *testing.T) {
	l := Limits{MaxQueues: 0, MaxConnections: -1}
	if l.Get(MaxQueues) != 0 || l.Get(MaxConnections) != -1 || l.Get(MaxChannels) != -1 {
		t.Error(l)
	}
	if CheckVHostLimit(MaxQueues) != nil || CheckUserLimit(MaxQueues) == nil || CheckVHostLimit(MaxChannels) == nil || CheckUserLimit(MaxChannels) != nil {
		t.Error("limits of vhosts and users are mixed up")
	}
}
