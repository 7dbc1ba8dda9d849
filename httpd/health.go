package httpd

import (
	"encoding/json"
	"net/http"
)

// Health is the answer to GET /health.
type Health struct {
	Status  Status `json:"status"`
	Alarm   string `json:"alarm,omitempty"` // why publishers are held up
	Error   string `json:"error,omitempty"` // what the log has failed with
	Damaged int64  `json:"damaged_messages,omitempty"`
	Version string `json:"version"`
}

// Status is the answer in one word.
type Status string

// What a broker may be: see the package's comment.
const (
	Starting Status = "starting"
	OK       Status = "ok"
	Blocked  Status = "blocked"
	Failed   Status = "failed"
	Stopping Status = "stopping"
)

func (s Status) code() int {
	if s == OK || s == Blocked {
		return http.StatusOK
	}
	return http.StatusServiceUnavailable
}

// Health tells how the broker is.
func (s *Server) Health() Health {
	h := Health{Status: Starting, Version: s.opts.Version}
	if b := s.broker.Load(); b != nil {
		h.Status, h.Alarm, h.Damaged = OK, (*b).Alarm(), (*b).Damaged()
		if h.Alarm != "" {
			h.Status = Blocked
		}
		if err := (*b).Err(); err != nil {
			h.Status, h.Error = Failed, err.Error()
		}
	}
	if s.stopping.Load() {
		h.Status = Stopping
	}
	return h
}

func (s *Server) health(w http.ResponseWriter, _ *http.Request) {
	h := s.Health()
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(h.Status.code())
	_ = json.NewEncoder(w).Encode(h) // whoever asked has gone
}
