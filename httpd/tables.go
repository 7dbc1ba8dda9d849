package httpd

import (
	"github.com/leveret-mq/leveret/internal/amqp"
	"github.com/leveret-mq/leveret/internal/jsontable"
)

// showTable is a field table as JSON.
func showTable(t amqp.Table) map[string]any { return jsontable.Show(t) }

// tableOf makes a field table of a request's JSON.
func tableOf(m map[string]any) (amqp.Table, error) {
	t, err := jsontable.Parse(m, jsontable.RefuseNulls)
	if err != nil {
		return nil, badRequest("%v", err)
	}
	return t, nil
}
