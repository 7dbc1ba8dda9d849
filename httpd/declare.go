package httpd

import (
	"errors"
	"net/http"
	"net/url"
	"strings"

	"github.com/leveret-mq/leveret/broker"
	"github.com/leveret-mq/leveret/broker/policy"
	"github.com/leveret-mq/leveret/internal/amqp"
)

// declarePaths are what this file answers.
var declarePaths = map[string]resource{
	"/api/queues/{vhost}/{queue}":                          {put: action{management, putQueue}, del: action{management, deleteQueue}},
	"/api/exchanges/{vhost}/{exchange}":                    {put: action{management, putExchange}, del: action{management, deleteExchange}},
	"/api/bindings/{vhost}/e/{source}/q/{queue}":           {post: action{management, postBinding}},
	"/api/bindings/{vhost}/e/{source}/e/{exchange}":        {post: action{management, postBinding}},
	"/api/bindings/{vhost}/e/{source}/q/{queue}/{name}":    {get: action{management, getBinding}, del: action{management, deleteBinding}},
	"/api/bindings/{vhost}/e/{source}/e/{exchange}/{name}": {get: action{management, getBinding}, del: action{management, deleteBinding}},
	"/api/queues/{vhost}/{queue}/contents":                 {del: action{management, purgeQueue}},
}

// Queues, exchanges and bindings that are made and deleted over HTTP: each request
// is a session of its user, so that permissions and limits are those of AMQP.

// apiPeer is what stands for a connection.
type apiPeer struct{ addr string }

func (p apiPeer) Name() string      { return "management API, " + p.addr }
func (p apiPeer) Close(*amqp.Error) {}

// in runs fn as the user in the vhost that the path names.
func (c *call) in(fn func(s *broker.Session, vhost string) error) error {
	vhost := c.r.PathValue("vhost")
	if _, err := c.b.VHost(vhost); err != nil {
		if c.r.Method == http.MethodDelete {
			return errNotFound
		}
		return errNoVHost
	}
	if !c.mayEnter(vhost) {
		return notAuthorised("User not authorised to access virtual host")
	}
	for _, name := range []string{"queue", "exchange", "source"} {
		if len(c.r.PathValue(name)) > 255 {
			return badRequest("a name has at most 255 bytes")
		}
	}
	s, err := c.b.NewSession(vhost, c.login, apiPeer{c.r.RemoteAddr})
	if err != nil {
		return ofAMQP(err)
	}
	defer s.Close()
	return ofAMQP(fn(s, vhost))
}

// ofAMQP makes an answer of a refusal in AMQP's terms.
func ofAMQP(err error) error {
	var bad *amqp.Error
	if !errors.As(err, &bad) {
		return err
	}
	text := bad.Text
	switch bad.Code {
	case amqp.CodeAccessRefused, amqp.CodeNotAllowed:
		return notAuthorised(text)
	case amqp.CodeNotFound:
		return &failure{http.StatusNotFound, "not_found", text}
	case amqp.CodeInternalError, amqp.CodeConnectionForced:
		return err
	}
	return badRequest("%s", text)
}

// flag reads a boolean.
func flag(body map[string]any, key string) (bool, error) {
	switch v := body[key].(type) {
	case nil:
		return false, nil
	case bool:
		return v, nil
	case string:
		if v == "true" || v == "false" {
			return v == "true", nil
		}
	}
	return false, badRequest("%s is not boolean: %s", key, policy.Term(body[key]))
}

// arguments reads a field table.
func arguments(body map[string]any) (amqp.Table, error) {
	switch v := body["arguments"].(type) {
	case nil:
		return nil, nil
	case map[string]any:
		return tableOf(v)
	case []any:
		if len(v) == 0 { // as some languages write an empty map
			return nil, nil
		}
	}
	return nil, badRequest("arguments should be an object, actually was %s", policy.Term(body["arguments"]))
}

func putQueue(c *call) error {
	body, err := c.body()
	if err != nil {
		return err
	}
	spec := broker.QueueSpec{Name: c.r.PathValue("queue")}
	if spec.Durable, err = flag(body, "durable"); err != nil {
		return err
	}
	if spec.AutoDelete, err = flag(body, "auto_delete"); err != nil {
		return err
	}
	if spec.Args, err = arguments(body); err != nil {
		return err
	}
	return c.in(func(s *broker.Session, vhost string) error {
		_, missing := c.b.Queue(vhost, spec.Name)
		if _, err := s.DeclareQueue(spec); err != nil {
			return err
		}
		return c.done(missing != nil)
	})
}

func deleteQueue(c *call) error {
	name, q := c.r.PathValue("queue"), c.r.URL.Query()
	return c.in(func(s *broker.Session, vhost string) error {
		if _, err := c.b.Queue(vhost, name); err != nil {
			return err
		}
		if _, err := s.DeleteQueue(name, q.Get("if-unused") == "true", q.Get("if-empty") == "true"); err != nil {
			return err
		}
		return c.done(false)
	})
}

func purgeQueue(c *call) error {
	name := c.r.PathValue("queue")
	return c.in(func(s *broker.Session, vhost string) error {
		if _, err := c.b.Queue(vhost, name); err != nil {
			return err
		}
		if _, err := s.PurgeQueue(name); err != nil {
			return err
		}
		return c.done(false)
	})
}

func putExchange(c *call) error {
	body, err := c.body()
	if err != nil {
		return err
	}
	spec := broker.ExchangeSpec{Name: exchangeName(c.r.PathValue("exchange")), Type: "direct"}
	if body["type"] != nil {
		if spec.Type, err = text(body, "type"); err != nil {
			return err
		}
	}
	if spec.Durable, err = flag(body, "durable"); err != nil {
		return err
	}
	if spec.AutoDelete, err = flag(body, "auto_delete"); err != nil {
		return err
	}
	if spec.Internal, err = flag(body, "internal"); err != nil {
		return err
	}
	if spec.Args, err = arguments(body); err != nil {
		return err
	}
	return c.in(func(s *broker.Session, vhost string) error {
		_, missing := c.b.Exchange(vhost, spec.Name)
		if err := s.DeclareExchange(spec); err != nil {
			return err
		}
		return c.done(missing != nil)
	})
}

func deleteExchange(c *call) error {
	name := exchangeName(c.r.PathValue("exchange"))
	return c.in(func(s *broker.Session, vhost string) error {
		if _, err := c.b.Exchange(vhost, name); err != nil {
			return err
		}
		if err := s.DeleteExchange(name, c.r.URL.Query().Get("if-unused") == "true"); err != nil {
			return err
		}
		return c.done(false)
	})
}

func postBinding(c *call) error {
	body, err := c.body()
	if err != nil {
		return err
	}
	b := broker.BindingListing{Source: exchangeName(c.r.PathValue("source")), Destination: c.r.PathValue("queue")}
	if b.Destination == "" {
		b.Destination, b.ToExchange = exchangeName(c.r.PathValue("exchange")), true
	}
	if b.Key, err = text(body, "routing_key"); err != nil {
		return err
	}
	if len(b.Key) > 255 {
		return badRequest("a routing key has at most 255 bytes")
	}
	if b.Args, err = arguments(body); err != nil {
		return err
	}
	return c.in(func(s *broker.Session, _ string) error {
		bind := s.BindQueue
		if b.ToExchange {
			bind = s.BindExchange
		}
		if err := bind(b.Destination, b.Source, b.Key, b.Args); err != nil {
			return err
		}
		c.w.Header().Set("Location", url.PathEscape(b.Destination)+"/"+url.PathEscape(propertiesKey(b)))
		return c.done(true)
	})
}

// binding is the one that the path names, with its propertiesKey.
func (c *call) binding() (broker.BindingListing, error) {
	found, err := c.bindings()
	if err != nil {
		return broker.BindingListing{}, err
	}
	name := c.r.PathValue("name")
	for _, b := range found {
		if propertiesKey(b) == name {
			return b, nil
		}
	}
	// As in RabbitMQ a plain routing key does too, where it cannot be another binding's name.
	for _, b := range found {
		if b.Args.Len() == 0 && b.Key == name && !strings.Contains(name, "~") {
			return b, nil
		}
	}
	return broker.BindingListing{}, errNotFound
}

func getBinding(c *call) error {
	b, err := c.binding()
	if err != nil {
		return err
	}
	return c.json(http.StatusOK, showBinding(b))
}

func deleteBinding(c *call) error {
	b, err := c.binding()
	if err != nil {
		return err
	}
	return c.in(func(s *broker.Session, _ string) error {
		unbind := s.UnbindQueue
		if b.ToExchange {
			unbind = s.UnbindExchange
		}
		if err := unbind(b.Destination, b.Source, b.Key, b.Args); err != nil {
			return err
		}
		return c.done(false)
	})
}
