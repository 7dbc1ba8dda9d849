package access

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/binary"
	"runtime"
	"sync"
	"sync/atomic"
)

// Verifier checks passwords. There is one a process.
type Verifier struct {
	key   [32]byte      // of what logins remember
	turns chan struct{} // one for each check that may run: the broker has other work
	decoy Hash          // costs as much as an ordinary one and fits nothing that anybody knows

	checks  atomic.Uint64
	checked func() // of tests: a costly check was made
}

// NewVerifier makes a verifier, with a key of its own.
func NewVerifier() *Verifier {
	v := &Verifier{turns: make(chan struct{}, max(1, runtime.GOMAXPROCS(0)/2))}
	rand.Read(v.key[:])
	// Nobody can know what fits: the sum is random too.
	salt, sum := make([]byte, saltSize), make([]byte, sumSize)
	rand.Read(salt)
	rand.Read(sum)
	v.decoy = usual.text(salt, sum)
	return v
}

// Checks counts the costly checks: logins whose password was not remembered, and those
// of users who are not there.
func (v *Verifier) Checks() uint64 { return v.checks.Load() }

// Login remembers of one user which password was right last. The zero value
// remembers none.
type Login struct {
	checking sync.Mutex // one check of a user at a time: the others may then be remembered
	mu       sync.Mutex
	known    bool
	mac      [sha256.Size]byte
}

// Remember notes a password that is known to be right.
func (v *Verifier) Remember(l *Login, h Hash, password string) {
	mac := v.mac(h, password)
	l.mu.Lock()
	l.known, l.mac = true, mac
	l.mu.Unlock()
}

// Check tells whether a password fits a hash. l is the user's memory; it is nil
// where there is no such user, and then the answer is no, after the usual time.
func (v *Verifier) Check(l *Login, h Hash, password string) bool {
	if l == nil || h.Text == "" || password == "" {
		v.verify(v.decoy, password)
		return false
	}
	mac := v.mac(h, password)
	if l.remembers(mac) {
		return true
	}
	l.checking.Lock()
	defer l.checking.Unlock()
	if l.remembers(mac) {
		return true
	}
	if !v.verify(h, password) {
		if h.cheap() {
			v.verify(v.decoy, password) // so that nobody learns who has an old hash, or a known password
		}
		return false
	}
	l.mu.Lock()
	l.known, l.mac = true, mac
	l.mu.Unlock()
	return true
}

func (l *Login) remembers(mac [sha256.Size]byte) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.known && subtle.ConstantTimeCompare(l.mac[:], mac[:]) == 1
}

// verify does the costly part, in its turn.
func (v *Verifier) verify(h Hash, password string) bool {
	v.turns <- struct{}{}
	defer func() { <-v.turns }()
	v.checks.Add(1)
	if v.checked != nil {
		v.checked()
	}
	return h.Verify(password)
}

// mac is what a login remembers. The stored hash is part of it, so that a new
// password makes the old one forgotten.
func (v *Verifier) mac(h Hash, password string) (sum [sha256.Size]byte) {
	m := hmac.New(sha256.New, v.key[:])
	var size [8]byte
	binary.BigEndian.PutUint64(size[:], uint64(len(h.Text)))
	m.Write(size[:])
	m.Write([]byte(h.Text))
	m.Write([]byte(password))
	m.Sum(sum[:0])
	return sum
}
