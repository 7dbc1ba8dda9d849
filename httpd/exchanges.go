package httpd

import (
	"net/http"

	"github.com/leveret-mq/leveret/broker"
)

// exchangePaths are what this file answers.
var exchangePaths = map[string]resource{
	"/api/exchanges":                    {get: action{management, listExchanges}},
	"/api/exchanges/{vhost}":            {get: action{management, listExchanges}},
	"/api/exchanges/{vhost}/{exchange}": {get: action{management, getExchange}},
}

// exchangeJSON is an exchange in answers.
type exchangeJSON struct {
	Name       string         `json:"name"`
	VHost      string         `json:"vhost"`
	Type       string         `json:"type"`
	Durable    bool           `json:"durable"`
	AutoDelete bool           `json:"auto_delete"`
	Internal   bool           `json:"internal"`
	Arguments  map[string]any `json:"arguments"`
	Policy     *string        `json:"policy,omitempty"`
}

func showExchange(x broker.ExchangeListing) exchangeJSON {
	return exchangeJSON{x.Name, x.VHost, x.Type, x.Durable, x.AutoDelete, x.Internal, showTable(x.Args), nameOf(x.Policy)}
}

func listExchanges(c *call) error {
	vhosts, err := c.vhosts()
	if err != nil {
		return err
	}
	var found []broker.ExchangeListing
	for _, vhost := range vhosts {
		if exchanges, err := c.b.Exchanges(vhost); err == nil {
			found = append(found, exchanges...)
		}
	}
	return listAs(c, found, showExchange)
}

// exchangeName is an exchange that a path names: the default one, which has no name,
// is amq.default there.
func exchangeName(name string) string {
	if name == "amq.default" {
		return ""
	}
	return name
}

func getExchange(c *call) error {
	vhost, err := c.vhost()
	if err != nil {
		return err
	}
	x, err := c.b.Exchange(vhost, exchangeName(c.r.PathValue("exchange")))
	if err != nil {
		return err
	}
	return c.json(http.StatusOK, showExchange(x))
}
