package definitions

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"unicode/utf8"

	"github.com/leveret-mq/leveret/access"
	"github.com/leveret-mq/leveret/broker"
	"github.com/leveret-mq/leveret/broker/policy"
	"github.com/leveret-mq/leveret/internal/amqp"
	"github.com/leveret-mq/leveret/internal/jsontable"
)

// ErrJSON says that a text is no JSON object at all.
var ErrJSON = errors.New("failed_to_parse_json") // RabbitMQ's words

// Parse reads definitions: of a whole broker, or of the vhost that is named, where what
// is said of users and other vhosts is passed over. All that can be judged without the
// broker is checked.
func Parse(text []byte, name string) (*Definitions, error) {
	d := &Definitions{vhost: name}
	if len(bytes.TrimSpace(text)) == 0 {
		return d, nil
	}
	decoder := json.NewDecoder(bytes.NewReader(text))
	decoder.UseNumber()
	var all map[string]any
	if err := decoder.Decode(&all); err != nil || all == nil {
		return nil, ErrJSON
	}
	if _, err := decoder.Token(); !errors.Is(err, io.EOF) {
		return nil, ErrJSON
	}
	parts := []struct {
		key   string
		parse func(o object) error
		whole bool // stands in the definitions of a whole broker alone
	}{
		{"users", d.addUser, true},
		{"vhosts", d.addVHost, true},
		{"permissions", d.addPermissions, true},
		{"topic_permissions", d.addTopicPermissions, true},
		{"global_parameters", d.addGlobalParameter, true},
		{"parameters", d.addParameter, false},
		{"policies", d.addPolicy, false},
		{"exchanges", d.addExchange, false},
		{"queues", d.addQueue, false},
		{"bindings", d.addBinding, false},
	}
	for _, p := range parts {
		if p.whole && name != "" {
			continue
		}
		list, ok := all[p.key].([]any)
		if !ok && all[p.key] != nil {
			return nil, fmt.Errorf("%s should be a list, actually was %s", p.key, term(all[p.key]))
		}
		for _, each := range list {
			o, ok := each.(map[string]any)
			if !ok {
				return nil, fmt.Errorf("%s should be a list of objects, one was %s", p.key, term(each))
			}
			if err := p.parse(o); err != nil {
				return nil, fmt.Errorf("%s: %w", object(o).title(p.key), err)
			}
		}
	}
	d.once()
	return d, nil
}

// once keeps the last of what is said twice, and of what is in a vhost the first, as if
// all had been made in their order.
func (d *Definitions) once() {
	d.users = last(d.users, func(u user) string { return u.Name })
	d.vhosts = last(d.vhosts, func(v vhost) string { return v.Name })
	d.permissions = last(d.permissions, func(p access.Permissions) [2]string { return [2]string{p.User, p.VHost} })
	d.topics = last(d.topics, func(p access.TopicPermissions) [3]string { return [3]string{p.User, p.VHost, p.Exchange} })
	d.parameters = last(d.parameters, func(p broker.Parameter) [3]string { return [3]string{p.VHost, p.Component, p.Name} })
	d.globals = last(d.globals, func(p broker.GlobalParameter) string { return p.Name })
	d.limits = last(d.limits, func(l limits) string { return l.vhost })
	d.queues = first(d.queues, func(q queueIn) [2]string { return [2]string{q.vhost, q.spec.Name} })
	d.exchanges = first(d.exchanges, func(x exchangeIn) [2]string { return [2]string{x.vhost, x.spec.Name} })
}

// first keeps the first of those that have one key.
func first[T any, K comparable](list []T, key func(T) K) []T {
	seen := make(map[K]bool, len(list))
	return slices.DeleteFunc(list, func(t T) bool {
		k := key(t)
		again := seen[k]
		seen[k] = true
		return again
	})
}

// last keeps the last of those that have one key.
func last[T any, K comparable](list []T, key func(T) K) []T {
	slices.Reverse(list)
	list = first(list, key)
	slices.Reverse(list)
	return list
}

// term is a value as an error shows it, cut where it is long.
func term(v any) string {
	const most = 200
	text := policy.Term(policy.Number(v))
	if len(text) > most {
		text = text[:most] + "…"
	}
	return text
}

// object is one of the things that are defined, with json.Numbers in it.
type object map[string]any

// title says which one it is.
func (o object) title(key string) string {
	text := key
	for _, name := range []string{"name", "user", "source", "destination", "vhost"} {
		if s, ok := o[name].(string); ok {
			text += fmt.Sprintf(", %s '%s'", name, s)
		}
	}
	return text
}

// text reads a string that must be there.
func (o object) text(key string) (string, error) {
	v, ok := o[key]
	if !ok || v == nil {
		return "", fmt.Errorf("{key_missing,%s}", key)
	}
	s, ok := v.(string)
	if !ok {
		return "", fmt.Errorf("%s should be a string, actually was %s", key, term(v))
	}
	return s, nil
}

// textOr reads a string that may be missing.
func (o object) textOr(key, missing string) (string, error) {
	if o[key] == nil {
		return missing, nil
	}
	return o.text(key)
}

// texts reads several strings that must be there.
func (o object) texts(to map[string]*string) error {
	for _, key := range []string{"user", "vhost", "exchange", "configure", "write", "read"} {
		if to[key] == nil {
			continue
		}
		var err error
		if *to[key], err = o.text(key); err != nil {
			return err
		}
	}
	return nil
}

// flag reads a boolean.
func (o object) flag(key string, required bool) (bool, error) {
	switch v := o[key].(type) {
	case bool:
		return v, nil
	case nil:
		if !required {
			return false, nil
		}
		return false, fmt.Errorf("{key_missing,%s}", key)
	default:
		return false, fmt.Errorf("%s is not boolean: %s", key, term(v))
	}
}

// name reads the name of something, which AMQP must be able to carry.
func (o object) name(key string) (string, error) {
	s, err := o.text(key)
	switch {
	case err != nil:
		return "", err
	case s == "":
		return "", fmt.Errorf("%s cannot be empty", key)
	}
	return s, checkText(key, s)
}

func checkText(key, s string) error {
	switch {
	case len(s) > 255:
		return fmt.Errorf("%s cannot be longer than 255 bytes", key)
	case !utf8.ValidString(s):
		return fmt.Errorf("%s must be UTF-8", key)
	}
	return nil
}

// tags reads a list of tags: an array, or a string with commas.
func (o object) tags(key string) ([]string, error) {
	switch v := o[key].(type) {
	case string:
		return access.ParseTags(v), nil
	case []any:
		list := []string{}
		for _, each := range v {
			s, ok := each.(string)
			if !ok {
				return nil, fmt.Errorf("a tag should be a string, actually was %s", term(each))
			}
			list = append(list, s)
		}
		return list, nil
	default:
		return nil, fmt.Errorf("%s should be a string or a list, actually was %s", key, term(v))
	}
}

// arguments reads a field table.
func (o object) arguments() (amqp.Table, error) {
	switch v := o["arguments"].(type) {
	case nil:
		return nil, nil
	case map[string]any:
		m, _ := policy.Number(v).(map[string]any)
		return jsontable.Parse(m, jsontable.KeepNulls)
	case []any:
		if len(v) == 0 { // as some languages write an empty map
			return nil, nil
		}
	}
	return nil, fmt.Errorf("arguments should be an object, actually was %s", term(o["arguments"]))
}

// limits reads an object of numbers.
func limitsOf(v any, what string, check func(name string) error) (access.Limits, error) {
	if list, ok := v.([]any); ok && len(list) == 0 {
		return access.Limits{}, nil
	}
	m, ok := policy.Number(v).(map[string]any)
	if !ok {
		return nil, fmt.Errorf("%s not a list %s", what, term(v))
	}
	l := access.Limits{}
	for name, v := range m {
		if check(name) != nil {
			return nil, fmt.Errorf("unrecognised terms [{%s,%s}] in %s", term(name), term(v), what)
		}
		n, ok := v.(int64)
		if !ok {
			return nil, fmt.Errorf("%s should be a number, actually was %s", name, term(v))
		}
		l[name] = int(n)
	}
	return l, nil
}

// of is the vhost that an object is in.
func (d *Definitions) of(o object) (string, error) {
	if d.vhost != "" {
		return d.vhost, nil
	}
	return o.name("vhost")
}

func (d *Definitions) addUser(o object) error {
	var u user
	var err error
	if u.Name, err = o.name("name"); err != nil {
		return err
	}
	if o["tags"] == nil {
		return errors.New("tags_not_present")
	}
	if u.Tags, err = o.tags("tags"); err != nil {
		return err
	}
	if u.password, err = o.textOr("password", ""); err != nil {
		return err
	}
	hash, err := o.textOr("password_hash", "")
	if err != nil {
		return err
	}
	algorithm, err := o.textOr("hashing_algorithm", "")
	switch {
	case err != nil:
		return err
	case u.password != "" && hash != "":
		return errors.New("both_password_and_password_hash_are_provided")
	}
	if u.Hash, err = access.ParseHash(hash, access.Algorithm(algorithm)); err != nil {
		return err
	}
	if o["limits"] != nil {
		u.limited = true
		if u.Limits, err = limitsOf(o["limits"], "user-limits", access.CheckUserLimit); err != nil {
			return err
		}
	}
	d.users = append(d.users, u)
	return nil
}

func (d *Definitions) addVHost(o object) error {
	var v vhost
	var err error
	if v.Name, err = o.name("name"); err != nil {
		return err
	}
	said := []object{o}
	if more, ok := o["metadata"].(map[string]any); ok {
		said = append(said, more)
	}
	for _, s := range said {
		if s["description"] != nil {
			v.described = true
			if v.Description, err = s.text("description"); err != nil {
				return err
			}
		}
		if s["tags"] != nil {
			v.described = true
			if v.Tags, err = s.tags("tags"); err != nil {
				return err
			}
		}
		if s["default_queue_type"] == nil {
			continue
		}
		v.typed = true
		if v.QueueType, err = s.text("default_queue_type"); err != nil {
			return err
		}
		if v.QueueType == "undefined" {
			v.QueueType = ""
		}
		if err := broker.CheckQueueType(v.QueueType); err != nil {
			return err
		}
	}
	d.vhosts = append(d.vhosts, v)
	return nil
}

func (d *Definitions) addPermissions(o object) error {
	var p access.Permissions
	if err := o.texts(map[string]*string{"user": &p.User, "vhost": &p.VHost, "configure": &p.Configure, "write": &p.Write, "read": &p.Read}); err != nil {
		return err
	}
	d.permissions = append(d.permissions, p)
	_, err := p.Compile()
	return err
}

func (d *Definitions) addTopicPermissions(o object) error {
	var p access.TopicPermissions
	if err := o.texts(map[string]*string{"user": &p.User, "vhost": &p.VHost, "exchange": &p.Exchange, "write": &p.Write, "read": &p.Read}); err != nil {
		return err
	}
	d.topics = append(d.topics, p)
	_, err := p.Compile()
	return err
}

func (d *Definitions) addGlobalParameter(o object) error {
	name, err := o.name("name")
	if err != nil {
		return err
	}
	d.globals = append(d.globals, broker.GlobalParameter{Name: name, Value: encode(o["value"])})
	return nil
}

func (d *Definitions) addParameter(o object) error {
	in, err := d.of(o)
	if err != nil {
		return err
	}
	p := broker.Parameter{VHost: in}
	if p.Component, err = o.name("component"); err != nil {
		return err
	}
	if p.Name, err = o.name("name"); err != nil {
		return err
	}
	if _, ok := o["value"]; !ok {
		return errors.New("{key_missing,value}")
	}
	switch {
	case p.Component == vhostLimits:
		if p.Name != limitsName {
			return fmt.Errorf("limits are called '%s', not '%s'", limitsName, p.Name)
		}
		l, err := limitsOf(o["value"], "limits", access.CheckVHostLimit)
		if err != nil {
			return err
		}
		d.limits = append(d.limits, limits{in, l})
		return nil
	case p.Component == operatorPolicy:
		value, ok := o["value"].(map[string]any)
		if !ok {
			return fmt.Errorf("an operator policy should be an object, actually was %s", term(o["value"]))
		}
		return d.addPolicyOf(policy.Operator, in, p.Name, value)
	case !OfPlugin(p.Component):
		return fmt.Errorf("component %s not found", p.Component)
	}
	p.Value = encode(o["value"])
	d.parameters = append(d.parameters, p)
	return nil
}

func (d *Definitions) addPolicy(o object) error {
	in, err := d.of(o)
	if err != nil {
		return err
	}
	name, err := o.name("name")
	if err != nil {
		return err
	}
	return d.addPolicyOf(policy.User, in, name, o)
}

func (d *Definitions) addPolicyOf(role policy.Role, in, name string, o object) error {
	given, _ := policy.Number(map[string]any(o)).(map[string]any)
	p, err := policy.New(role, name, policy.Spec{
		Pattern: given["pattern"], ApplyTo: given["apply-to"], Priority: given["priority"], Definition: given["definition"],
	})
	if err != nil {
		return err
	}
	d.policies = append(d.policies, policyIn{in, role, p})
	return nil
}

func (d *Definitions) addExchange(o object) error {
	in, err := d.of(o)
	if err != nil {
		return err
	}
	x := broker.ExchangeSpec{}
	if x.Name, err = o.name("name"); err != nil {
		return err
	}
	if x.Type, err = o.text("type"); err != nil {
		return err
	}
	if x.Durable, err = o.flag("durable", true); err != nil {
		return err
	}
	if x.AutoDelete, err = o.flag("auto_delete", false); err != nil {
		return err
	}
	if x.Internal, err = o.flag("internal", false); err != nil {
		return err
	}
	if x.Args, err = o.arguments(); err != nil {
		return err
	}
	d.exchanges = append(d.exchanges, exchangeIn{in, x})
	return broker.CheckExchange(in, x)
}

func (d *Definitions) addQueue(o object) error {
	in, err := d.of(o)
	if err != nil {
		return err
	}
	q := broker.QueueSpec{}
	if q.Name, err = o.name("name"); err != nil {
		return err
	}
	if q.Durable, err = o.flag("durable", true); err != nil {
		return err
	}
	if q.AutoDelete, err = o.flag("auto_delete", false); err != nil {
		return err
	}
	if q.Args, err = o.arguments(); err != nil {
		return err
	}
	d.queues = append(d.queues, queueIn{in, q})
	return broker.CheckQueue(in, q)
}

func (d *Definitions) addBinding(o object) error {
	b := broker.BindingListing{}
	var err error
	if b.VHost, err = d.of(o); err != nil {
		return err
	}
	if b.Source, err = o.text("source"); err != nil {
		return err
	}
	if b.Source == "" { // the default exchange's are there with their queues
		return nil
	}
	if err := checkText("source", b.Source); err != nil {
		return err
	}
	if b.Destination, err = o.name("destination"); err != nil {
		return err
	}
	kind, err := o.text("destination_type")
	switch {
	case err != nil:
		return err
	case !slices.Contains([]string{"queue", "exchange"}, kind):
		return fmt.Errorf("destination_type is neither queue nor exchange: %s", term(kind))
	}
	b.ToExchange = kind == "exchange"
	if b.Key, err = o.textOr("routing_key", ""); err != nil {
		return err
	}
	if err := checkText("routing_key", b.Key); err != nil {
		return err
	}
	if b.Args, err = o.arguments(); err != nil {
		return err
	}
	d.bindings = append(d.bindings, b)
	return nil
}
