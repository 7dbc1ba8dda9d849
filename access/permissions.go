package access

// Permission is a kind of access.
type Permission uint8

// Kinds of access.
const (
	Configure Permission = iota
	Write
	Read
)

func (p Permission) String() string { return [...]string{"configure", "write", "read"}[p] }

// Permissions are what a user may do in a vhost.
type Permissions struct {
	User, VHost            string
	Configure, Write, Read string // patterns
}

// Rights are permissions, compiled.
type Rights struct {
	of       Permissions
	patterns [3]pattern
}

// Compile makes rights of permissions. An error is a *PatternError.
func (p Permissions) Compile() (*Rights, error) {
	r := &Rights{of: p}
	for i, text := range []string{p.Configure, p.Write, p.Read} {
		var err error
		if r.patterns[i], err = compile(text); err != nil {
			return nil, err
		}
	}
	return r, nil
}

// Nothing makes rights that permit nothing, for permissions that cannot be
// compiled.
func (p Permissions) Nothing() *Rights { return &Rights{of: p} }

// Permissions are those that the rights were made of.
func (r *Rights) Permissions() Permissions { return r.of }

// May tells whether a queue or exchange of that name may be used so. The empty
// name is that of the default exchange.
func (r *Rights) May(p Permission, name string) bool {
	if name == "" {
		name = "amq.default"
	}
	return r.patterns[p].match(name)
}

// TopicPermissions are the routing keys that a user may use with an exchange of
// type topic.
type TopicPermissions struct {
	User, VHost, Exchange string
	Write, Read           string // patterns
}

// TopicRights are topic permissions, compiled for a user in a vhost.
type TopicRights struct {
	of          TopicPermissions
	write, read pattern
}

// Compile makes rights of topic permissions, with the variables that User and
// VHost are. An error is a *PatternError.
func (p TopicPermissions) Compile() (*TopicRights, error) {
	v := Variables{Username: p.User, VHost: p.VHost}
	r := &TopicRights{of: p}
	var err error
	if r.write, err = compile(v.expand(p.Write)); err != nil {
		return nil, err
	}
	r.read, err = compile(v.expand(p.Read))
	return r, err
}

// Nothing makes rights that permit nothing, for topic permissions that cannot be
// compiled.
func (p TopicPermissions) Nothing() *TopicRights { return &TopicRights{of: p} }

// TopicPermissions are those that the rights were made of.
func (r *TopicRights) TopicPermissions() TopicPermissions { return r.of }

// May tells whether a routing key may be used so: Write to publish, Read to bind.
func (r *TopicRights) May(p Permission, key string) bool {
	if p == Write {
		return r.write.match(key)
	}
	return r.read.match(key)
}
