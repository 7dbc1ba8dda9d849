package httpd

import (
	"github.com/leveret-mq/leveret/broker"
	"github.com/leveret-mq/leveret/monitor"
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
	Stats      statList       `json:"message_stats,omitempty"`
	*exchangeDetailsJSON
}

// exchangeDetailsJSON is what is shown of one exchange and not in lists.
type exchangeDetailsJSON struct {
	Incoming []any `json:"incoming"`
	Outgoing []any `json:"outgoing"`
}

// showExchange is what is shown of an exchange, with figures where plain does not say
// otherwise.
func (c *call) showExchange(x broker.ExchangeListing, w windows, plain bool) exchangeJSON {
	out := exchangeJSON{
		Name: x.Name, VHost: x.VHost, Type: x.Type, Durable: x.Durable, AutoDelete: x.AutoDelete, Internal: x.Internal,
		Arguments: showTable(x.Args), Policy: nameOf(x.Policy),
	}
	if !plain {
		out.Stats = messageStats(&x.Counts, c.figures(monitor.Object{Kind: monitor.Exchange, ID: x.ID}, w.rates), false)
	}
	return out
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
	w, err := c.windows()
	if err != nil {
		return err
	}
	plain, _ := c.plain()
	return listAs(c, found, func(x broker.ExchangeListing) exchangeJSON { return c.showExchange(x, w, plain) })
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
	w, err := c.windows()
	if err != nil {
		return err
	}
	plain, _ := c.plain()
	out := c.showExchange(x, w, plain)
	out.exchangeDetailsJSON = &exchangeDetailsJSON{[]any{}, []any{}}
	return c.one(out)
}
