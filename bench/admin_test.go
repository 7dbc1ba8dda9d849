package bench

import "testing"

func TestQueuesAreDeclaredAndLookedAt(t *testing.T) {
	null, err := ListenNull(NullOptions{})
	if err != nil {
		t.Fatal(err)
	}
	defer null.Close()
	if err := Ping(t.Context(), null.URI()); err != nil {
		t.Error(err)
	}
	if err := DeclareQueues(t.Context(), null.URI(), "q", 2500); err != nil {
		t.Error(err)
	}
	if n, err := Depth(t.Context(), null.URI(), "q-7"); n != 0 || err != nil {
		t.Errorf("depth %d, %v", n, err)
	}
	null.Close()
	if Ping(t.Context(), null.URI()) == nil {
		t.Error("a broker that has gone answers")
	}
}
