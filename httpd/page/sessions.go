package page

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"sync"
	"time"
)

// How long a session lasts, and how many there may be.
const (
	MaxAge      = 8 * time.Hour
	MaxIdle     = 30 * time.Minute
	MaxSessions = 1024
	MaxOfUser   = 64
)

// Sessions are who is logged in. P is what whoever asks keeps with each, to find out
// whether the user is still the one that logged in. The zero value has none. It is
// safe for use by several goroutines.
type Sessions[P any] struct {
	mu  sync.Mutex
	all map[key]*session[P]
}

// key is the hash of a token: what is in memory opens nothing.
type key [sha256.Size]byte

type session[P any] struct {
	user  string
	proof P
	began time.Time
	used  time.Time
}

func (s *session[P]) over(now time.Time) bool {
	return now.Sub(s.began) >= MaxAge || now.Sub(s.used) >= MaxIdle
}

// Begin makes a session and returns the token that it is known by.
func (s *Sessions[P]) Begin(user string, proof P) string {
	random := make([]byte, 32)
	_, _ = rand.Read(random) // it cannot fail
	token := base64.RawURLEncoding.EncodeToString(random)
	now := time.Now()
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.all == nil {
		s.all = map[key]*session[P]{}
	}
	s.makeRoom(user, now)
	s.all[sha256.Sum256([]byte(token))] = &session[P]{user: user, proof: proof, began: now, used: now}
	return token
}

// makeRoom drops what is over, and what was idle longest where there would be too
// many. s.mu is held.
func (s *Sessions[P]) makeRoom(user string, now time.Time) {
	var oldest, own key
	of := 0
	for k, each := range s.all {
		if each.over(now) {
			delete(s.all, k)
			continue
		}
		if first := s.all[oldest]; first == nil || each.used.Before(first.used) {
			oldest = k
		}
		if each.user != user {
			continue
		}
		of++
		if first := s.all[own]; first == nil || each.used.Before(first.used) {
			own = k
		}
	}
	switch {
	case of >= MaxOfUser:
		delete(s.all, own)
	case len(s.all) >= MaxSessions:
		delete(s.all, oldest)
	}
}

// Find returns the session of a token, which counts as used then.
func (s *Sessions[P]) Find(token string) (user string, proof P, ok bool) {
	k := key(sha256.Sum256([]byte(token)))
	now := time.Now()
	s.mu.Lock()
	defer s.mu.Unlock()
	found := s.all[k]
	if found == nil {
		return "", proof, false
	}
	if found.over(now) {
		delete(s.all, k)
		return "", proof, false
	}
	found.used = now
	return found.user, found.proof, true
}

// End ends the session of a token, if there is one.
func (s *Sessions[P]) End(token string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.all, sha256.Sum256([]byte(token)))
}

// Len counts the sessions that have not ended, though some may be over.
func (s *Sessions[P]) Len() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.all)
}
