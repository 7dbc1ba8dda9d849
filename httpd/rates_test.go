package httpd

import (
	"slices"
	"testing"

	"github.com/leveret-mq/leveret/broker/stats"
)

// As RabbitMQ shows it: a channel that has published shows what became of that, 0 or
// not; a queue, which only got messages, does not.
func TestWhatClientsPublishOverShowsWhatBecameOfIt(t *testing.T) {
	names := func(over bool) (names []string) {
		for _, s := range messageStats(&stats.Counts{Publish: 3}, figures{}, over) {
			names = append(names, s.name)
		}
		return names
	}
	if got, want := names(true), []string{"publish", "confirm", "return_unroutable", "drop_unroutable"}; !slices.Equal(got, want) {
		t.Errorf("a channel shows %q, want %q", got, want)
	}
	if got, want := names(false), []string{"publish"}; !slices.Equal(got, want) {
		t.Errorf("a queue shows %q, want %q", got, want)
	}
}
