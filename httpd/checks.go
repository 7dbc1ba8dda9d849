package httpd

import (
	"net/http"
)

// checkPaths are what this file answers.
var checkPaths = map[string]resource{
	"/api/health/checks/alarms": {get: action{management, getAlarms}},
}

// getAlarms tells, with 503, that publishers are held up.
func getAlarms(c *call) error {
	alarm := c.b.Alarm()
	if alarm == "" {
		return c.json(http.StatusOK, map[string]string{"status": "ok"})
	}
	return c.json(http.StatusServiceUnavailable, map[string]any{
		"status": "failed", "reason": "There are alarms in effect in the cluster", "alarms": []map[string]string{{"node": c.s.node(), "resource": alarm}},
	})
}
