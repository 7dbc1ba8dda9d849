package page

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"
)

func TestSessionsEndWhenTheyAreIdleOrOld(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var s Sessions[int]
		idle, used := s.Begin("a", 1), s.Begin("b", 2)
		began := time.Now()
		alive := func(token string) bool {
			_, _, ok := s.Find(token)
			return ok
		}
		time.Sleep(MaxIdle - time.Second)
		if user, proof, ok := s.Find(used); user != "b" || proof != 2 || !ok {
			t.Error(user, proof, ok)
		}
		time.Sleep(time.Second)
		if alive(idle) {
			t.Error("a session lives that nothing was asked with for as long as it may be idle")
		}
		for time.Since(began) < MaxAge-MaxIdle {
			time.Sleep(MaxIdle - 2*time.Second)
			if !alive(used) {
				t.Fatalf("the session ended after %v", time.Since(began))
			}
		}
		time.Sleep(MaxAge - time.Since(began) - time.Nanosecond)
		if !alive(used) {
			t.Error("the session ended before its time")
		}
		time.Sleep(time.Nanosecond)
		if alive(used) {
			t.Error("the session is used and lives longer than any may")
		}
		if n := s.Len(); n != 0 {
			t.Errorf("%d sessions are kept", n)
		}
	})
}

func TestSessionIsKnownByItsTokenAlone(t *testing.T) {
	var s Sessions[struct{}]
	token := s.Begin("a", struct{}{})
	if len(token) != 43 { // 32 bytes
		t.Errorf("token %q", token)
	}
	if other := s.Begin("a", struct{}{}); other == token {
		t.Error("two sessions have one token")
	}
	for _, wrong := range []string{"", "a", token[1:], token + "A", token[:42] + "!"} {
		if _, _, ok := s.Find(wrong); ok {
			t.Errorf("%q opens a session", wrong)
		}
	}
	s.End("")
	s.End(token)
	if _, _, ok := s.Find(token); ok || s.Len() != 1 {
		t.Errorf("the session lives on: %v, %d", ok, s.Len())
	}
}

func TestSessionsAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var s Sessions[struct{}]
		begin := func(user string) string {
			time.Sleep(time.Millisecond)
			return s.Begin(user, struct{}{})
		}
		alive := func(token string) bool {
			_, _, ok := s.Find(token)
			return ok
		}
		other := begin("other")
		first, second := begin("a"), begin("a")
		for range MaxOfUser - 2 {
			begin("a")
		}
		time.Sleep(time.Millisecond)
		if s.Len() != 1+MaxOfUser || !alive(first) {
			t.Fatal("a session ended while there was room")
		}
		begin("a") // the second is now the one that was idle longest
		if alive(second) || !alive(first) || s.Len() != 1+MaxOfUser {
			t.Errorf("second %v, first %v, %d sessions", alive(second), alive(first), s.Len())
		}
		for i := 0; s.Len() < MaxSessions; i++ {
			begin(fmt.Sprint("user", i))
		}
		if !alive(other) {
			t.Error("another user's session ended while there was room")
		}
		begin("one more")
		if s.Len() != MaxSessions || !alive(other) {
			t.Errorf("%d sessions, other %v", s.Len(), alive(other))
		}
		time.Sleep(MaxIdle)
		begin("later")
		if n := s.Len(); n != 1 {
			t.Errorf("%d sessions are kept, all but one over", n)
		}
	})
}
