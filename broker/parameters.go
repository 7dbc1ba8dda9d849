package broker

import (
	"cmp"
	"encoding/json"
	"errors"
	"slices"

	"github.com/leveret-mq/leveret/internal/amqp"
	"github.com/leveret-mq/leveret/internal/catalog"
	"github.com/leveret-mq/leveret/internal/identity"
)

// Parameters are kept for who asks for them: those of a vhost belong to components,
// global ones to nobody. They mean nothing to the broker. What RabbitMQ keeps as
// parameters too, limits and operator policies, has methods of its own.

// ErrNoParameter says that there is no parameter of that name.
var ErrNoParameter = errors.New("no such parameter")

// Parameter is a vhost's parameter.
type Parameter struct {
	VHost, Component, Name string
	Value                  json.RawMessage
}

// GlobalParameter is a parameter of the broker.
type GlobalParameter struct {
	Name  string
	Value json.RawMessage
}

// parameterName is what tells apart the parameters of a vhost.
type parameterName struct{ component, name string }

// Parameters are those of all vhosts, by vhost, component and name.
func (b *Broker) Parameters() []Parameter {
	b.mu.Lock()
	defer b.mu.Unlock()
	var list []Parameter
	for _, v := range b.vhosts {
		for at, value := range v.parameters {
			list = append(list, Parameter{v.name, at.component, at.name, slices.Clone(value)})
		}
	}
	slices.SortFunc(list, func(x, y Parameter) int {
		return cmp.Or(cmp.Compare(x.VHost, y.VHost), cmp.Compare(x.Component, y.Component), cmp.Compare(x.Name, y.Name))
	})
	return list
}

// SetParameter keeps a parameter. created tells that there was none of that name.
func (b *Broker) SetParameter(p Parameter) (created bool, err error) {
	for kind, name := range map[string]string{"component": p.Component, "parameter": p.Name} {
		if err := checkName(kind, name); err != nil {
			return false, err
		}
	}
	at := parameterName{p.Component, p.Name}
	err = b.administrate(func(c *adminChange) error {
		v := b.vhost(p.VHost)
		if v == nil {
			return ErrNoVHost
		}
		c.batch.Put(catalog.Key(catalog.Parameter, p.VHost, p.Component, p.Name), parameterRecord(p.Value))
		if err := c.apply(); err != nil {
			return err
		}
		b.mu.Lock()
		defer b.mu.Unlock()
		if v.parameters == nil {
			v.parameters = map[parameterName]json.RawMessage{}
		}
		created = v.parameters[at] == nil
		v.parameters[at] = slices.Clone(p.Value)
		return nil
	})
	return created, err
}

// DeleteParameter forgets a parameter; where there is none it is ErrNoParameter.
func (b *Broker) DeleteParameter(vhost, component, name string) error {
	at := parameterName{component, name}
	return b.administrate(func(c *adminChange) error {
		v := b.vhost(vhost)
		if v == nil {
			return ErrNoVHost
		}
		b.mu.Lock()
		missing := v.parameters[at] == nil
		b.mu.Unlock()
		if missing {
			return ErrNoParameter
		}
		c.batch.Delete(catalog.Key(catalog.Parameter, vhost, component, name))
		if err := c.apply(); err != nil {
			return err
		}
		b.mu.Lock()
		delete(v.parameters, at)
		b.mu.Unlock()
		return nil
	})
}

// GlobalParameters are all global parameters, by name.
func (b *Broker) GlobalParameters() []GlobalParameter {
	b.mu.Lock()
	defer b.mu.Unlock()
	list := make([]GlobalParameter, 0, len(b.globals))
	for name, value := range b.globals {
		list = append(list, GlobalParameter{name, slices.Clone(value)})
	}
	slices.SortFunc(list, func(x, y GlobalParameter) int { return cmp.Compare(x.Name, y.Name) })
	return list
}

// ClusterParameter is the global parameter that is the cluster's name, a JSON string.
const ClusterParameter = "cluster_name"

// ClusterName is what the broker is called: the node's name where nobody has named it.
func (b *Broker) ClusterName() string {
	b.mu.Lock()
	value := b.globals[ClusterParameter]
	b.mu.Unlock()
	var name string
	if json.Unmarshal(value, &name) != nil || name == "" {
		return identity.Node
	}
	return name
}

// SetGlobalParameter keeps a global parameter. created tells that there was none of
// that name.
func (b *Broker) SetGlobalParameter(p GlobalParameter) (created bool, err error) {
	if err := checkName("parameter", p.Name); err != nil {
		return false, err
	}
	err = b.administrate(func(c *adminChange) error {
		c.batch.Put(catalog.Key(catalog.Global, p.Name), parameterRecord(p.Value))
		if err := c.apply(); err != nil {
			return err
		}
		b.mu.Lock()
		defer b.mu.Unlock()
		created = b.globals[p.Name] == nil
		b.globals[p.Name] = slices.Clone(p.Value)
		return nil
	})
	return created, err
}

// DeleteGlobalParameter forgets a global parameter; where there is none it is
// ErrNoParameter.
func (b *Broker) DeleteGlobalParameter(name string) error {
	return b.administrate(func(c *adminChange) error {
		b.mu.Lock()
		missing := b.globals[name] == nil
		b.mu.Unlock()
		if missing {
			return ErrNoParameter
		}
		c.batch.Delete(catalog.Key(catalog.Global, name))
		if err := c.apply(); err != nil {
			return err
		}
		b.mu.Lock()
		delete(b.globals, name)
		b.mu.Unlock()
		return nil
	})
}

func parameterRecord(value json.RawMessage) []byte {
	return amqp.NewTable(amqp.Field{Name: "value", Value: amqp.LongString(string(value))})
}

// loadParameter is a parameter's value as its record has it.
func loadParameter(record amqp.Table) json.RawMessage {
	value, _ := record.LongString("value")
	if !json.Valid([]byte(value)) {
		return json.RawMessage("null")
	}
	return json.RawMessage(value)
}
