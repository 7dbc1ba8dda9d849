package definitions

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"go.uber.org/goleak"

	"github.com/leveret-mq/leveret/access"
	"github.com/leveret-mq/leveret/broker"
	"github.com/leveret-mq/leveret/broker/policy"
	"github.com/leveret-mq/leveret/internal/amqp"
	"github.com/leveret-mq/leveret/internal/vfs"
	"github.com/leveret-mq/leveret/store"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func open(t testing.TB, fs vfs.FS) *broker.Broker {
	t.Helper()
	b, err := broker.Open("data", broker.Options{Reserve: -1, Store: store.Options{FS: fs}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = b.Close() })
	return b
}

// exported is what a broker exports, as normal wants it.
func exported(t testing.TB, b Broker, vhost string) string {
	t.Helper()
	var text bytes.Buffer
	if err := Export(&text, b, vhost, "3.10.8"); err != nil {
		t.Fatal(err)
	}
	return normal(t, text.Bytes())
}

// normal is definitions with all lists sorted, without what tells of the broker and
// without what a new one has anyway.
func normal(t testing.TB, text []byte) string {
	t.Helper()
	d := json.NewDecoder(bytes.NewReader(text))
	d.UseNumber()
	var all map[string]any
	if err := d.Decode(&all); err != nil {
		t.Fatalf("%v: %s", err, text)
	}
	var lines []string
	for key, v := range all {
		list, ok := v.([]any)
		if !ok {
			continue // versions
		}
		for _, each := range list {
			o, _ := each.(map[string]any)
			if o["name"] == "guest" || o["user"] == "guest" || key == "vhosts" && o["name"] == "/" {
				continue
			}
			if n, ok := o["priority"].(json.Number); ok { // 5.0 is 5
				o["priority"], _ = n.Float64()
			}
			line, err := json.Marshal(o)
			if err != nil {
				t.Fatal(err)
			}
			lines = append(lines, key+" "+strings.ReplaceAll(string(line), "1.0e300", "1e+300"))
		}
	}
	slices.Sort(lines)
	return strings.Join(lines, "\n")
}

func mustImport(t testing.TB, b Broker, text []byte, vhost string) Report {
	t.Helper()
	d, err := Parse(text, vhost)
	if err != nil {
		t.Fatal(err)
	}
	r, err := d.Import(b)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func read(t testing.TB, name string) []byte {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	return text
}

func same(t testing.TB, what, got, want string) {
	t.Helper()
	if got == want {
		return
	}
	g, w := strings.Split(got, "\n"), strings.Split(want, "\n")
	for _, line := range g {
		if !slices.Contains(w, line) {
			t.Errorf("%s: has %s", what, line)
		}
	}
	for _, line := range w {
		if !slices.Contains(g, line) {
			t.Errorf("%s: lacks %s", what, line)
		}
	}
}

// The file was exported by RabbitMQ 3.10.8, with at least one of everything.
func TestRabbitMQsDefinitionsTravelWithoutLoss(t *testing.T) {
	text := read(t, "rabbitmq-3.10.8.json")
	want := normal(t, text)
	b := open(t, vfs.NewMem())
	if r := mustImport(t, b, text, ""); len(r.Warnings) != 1 || !strings.Contains(r.Warnings[0], "policy 'ha'") {
		t.Errorf("%q", r.Warnings)
	}
	same(t, "after the import", exported(t, b, ""), want)

	var again bytes.Buffer
	if err := Export(&again, b, "", "3.10.8"); err != nil {
		t.Fatal(err)
	}
	other := open(t, vfs.NewMem())
	mustImport(t, other, again.Bytes(), "")
	same(t, "on the second broker", exported(t, other, ""), want)

	// Who could log in there can log in here.
	for user, password := range map[string]string{"defs-admin": "s3cret-admin", "defs-512": "s3cret-512", "defs-mgmt ü": "pw", "guest": "guest"} {
		if _, err := other.Authenticate(user, password, true); err != nil {
			t.Errorf("%s: %v", user, err)
		}
		if _, err := other.Authenticate(user, password+"x", true); err == nil {
			t.Errorf("%s has any password", user)
		}
	}
	if _, err := other.Authenticate("defs-none", "", true); err == nil {
		t.Error("who has no password comes in")
	}
}

func TestOneVHostsDefinitionsTravelWithoutLoss(t *testing.T) {
	text := read(t, "rabbitmq-3.10.8-vhost.json")
	b := open(t, vfs.NewMem())
	if _, err := b.PutVHost(broker.VHost{Name: "defs-shop", Description: "kept"}); err != nil {
		t.Fatal(err)
	}
	mustImport(t, b, text, "defs-shop")
	same(t, "in a vhost of the same name", exported(t, b, "defs-shop"), normal(t, text))
	if _, err := b.PutVHost(broker.VHost{Name: "other"}); err != nil {
		t.Fatal(err)
	}
	mustImport(t, b, text, "other")
	same(t, "in another vhost", exported(t, b, "other"), strings.ReplaceAll(normal(t, text), `"defs-shop"`, `"other"`))
	if v, _ := b.VHost("defs-shop"); v.Description != "kept" {
		t.Errorf("%+v", v)
	}

	d, err := Parse(text, "nope")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := d.Import(b); !errors.Is(err, broker.ErrNoVHost) {
		t.Error(err)
	}
	if err := Export(new(bytes.Buffer), b, "nope", ""); !errors.Is(err, broker.ErrNoVHost) {
		t.Error(err)
	}
	// Users are not a vhost's to make.
	mustImport(t, b, []byte(`{"users":[{"name":"evil","tags":"administrator","password":"x"}],"vhosts":[{"name":"more"}],"permissions":[7],"queues":[]}`), "other")
	if len(b.Users()) != 1 || len(b.VHosts()) != 3 {
		t.Errorf("%v %v", b.Users(), b.VHosts())
	}
}

// untouched is a broker that nobody may change.
type untouched struct {
	*broker.Broker
	t testing.TB
}

func (u untouched) PutUser(x access.User) (bool, error) { u.t.Errorf("user %v", x); return false, nil }
func (u untouched) PutVHost(v broker.VHost) (bool, error) {
	u.t.Errorf("vhost %v", v)
	return false, nil
}
func (u untouched) SetUserLimit(n, l string, v int) error  { u.t.Error("limit", n, l, v); return nil }
func (u untouched) ClearUserLimit(n, l string) error       { u.t.Error("limit", n, l); return nil }
func (u untouched) SetVHostLimit(n, l string, v int) error { u.t.Error("limit", n, l, v); return nil }
func (u untouched) ClearVHostLimit(n, l string) error      { u.t.Error("limit", n, l); return nil }
func (u untouched) SetPermissions(p access.Permissions) (bool, error) {
	u.t.Error(p)
	return false, nil
}
func (u untouched) SetTopicPermissions(p access.TopicPermissions) (bool, error) {
	u.t.Error(p)
	return false, nil
}
func (u untouched) SetPolicy(v string, r policy.Role, p *policy.Policy) (bool, error) {
	u.t.Error(v, r, p)
	return false, nil
}
func (u untouched) SetParameter(p broker.Parameter) (bool, error) { u.t.Error(p); return false, nil }
func (u untouched) SetGlobalParameter(p broker.GlobalParameter) (bool, error) {
	u.t.Error(p)
	return false, nil
}

func TestToImportTwiceIsToImportOnce(t *testing.T) {
	text := read(t, "rabbitmq-3.10.8.json")
	b := open(t, vfs.NewMem())
	mustImport(t, b, text, "")
	mustImport(t, b, []byte(`{"users":[{"name":"clear","tags":"","password":"pw"}],"parameters":[{"vhost":"/","component":"shovel","name":"s","value":{"a":1.50}}]}`), "")
	at := b.Durable()
	mustImport(t, untouched{b, t}, text, "")
	mustImport(t, untouched{b, t}, []byte(`{"users":[{"name":"clear","tags":"","password":"pw"}],"parameters":[{"vhost":"/","component":"shovel","name":"s","value":{"a":1.50}}]}`), "")
	if now := b.Durable(); now != at {
		t.Errorf("%d bytes were written to the log", now-at)
	}
}

// When Import returns all of it is on disk.
func TestWhatWasImportedSurvivesAPowerCut(t *testing.T) {
	fs := vfs.NewMem()
	b := open(t, fs)
	text := read(t, "rabbitmq-3.10.8.json")
	mustImport(t, b, text, "")
	var durable []string
	for line := range strings.SplitSeq(normal(t, text), "\n") {
		// What is not durable goes, with its bindings.
		if !strings.Contains(line, `"durable":false`) && !strings.Contains(line, `"destination":"transient"`) {
			durable = append(durable, line)
		}
	}
	n := 0
	for name, image := range fs.Images(vfs.ImageOptions{MaxImages: 20, Seed: 1}) {
		after, err := broker.Open("data", broker.Options{Reserve: -1, Store: store.Options{FS: image}})
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		same(t, name, exported(t, after, ""), strings.Join(durable, "\n"))
		_ = after.Close()
		n++
	}
	if n == 0 {
		t.Error("no image")
	}
}

func TestMistakesChangeNothing(t *testing.T) {
	b := open(t, vfs.NewMem())
	at := b.Durable()
	const q = `"durable":true,"auto_delete":false,"arguments":`
	for text, want := range map[string]string{
		`[`: "failed_to_parse_json", `[]`: "failed_to_parse_json", `"x"`: "failed_to_parse_json", `null`: "failed_to_parse_json", `{} {}`: "failed_to_parse_json",
		`{"queues":3}`:                                        "queues should be a list, actually was 3",
		`{"queues":[3]}`:                                      "queues should be a list of objects, one was 3",
		`{"queues":[{}]}`:                                     "queues: {key_missing,vhost}",
		`{"queues":[{"vhost":"/"}]}`:                          "{key_missing,name}",
		`{"queues":[{"vhost":"/","name":"q"}]}`:               "queues, name 'q', vhost '/': {key_missing,durable}",
		`{"queues":[{"vhost":"/","name":7}]}`:                 "name should be a string, actually was 7",
		`{"queues":[{"vhost":"/","name":"","durable":true}]}`: "name cannot be empty",
		`{"queues":[{"vhost":"/","name":"` + strings.Repeat("a", 256) + `"}]}`:                                                                                                         "name cannot be longer than 255 bytes",
		`{"queues":[{"vhost":"/","name":"q","durable":"yes"}]}`:                                                                                                                        `durable is not boolean: <<"yes">>`,
		`{"queues":[{"vhost":"/","name":"q",` + q + `7}]}`:                                                                                                                             "arguments should be an object, actually was 7",
		`{"queues":[{"vhost":"/","name":"q",` + q + `{"x-max-length":"a"}}]}`:                                                                                                          "invalid arg 'x-max-length' for queue 'q' in vhost '/'",
		`{"queues":[{"vhost":"/","name":"q",` + q + `{"x-queue-type":"stream"}}]}`:                                                                                                     "there are no streams here",
		`{"queues":[{"vhost":"/","name":"q","durable":false,"arguments":{"x-queue-type":"quorum"}}]}`:                                                                                  "invalid property 'non-durable'",
		`{"queues":[{"vhost":"nope","name":"q",` + q + `{}}]}`:                                                                                                                         "no such vhost: 'nope'",
		`{"exchanges":[{"vhost":"/","name":"x","durable":true}]}`:                                                                                                                      "{key_missing,type}",
		`{"exchanges":[{"vhost":"/","name":"x","durable":true,"type":"nope"}]}`:                                                                                                        "unknown exchange type 'nope'",
		`{"exchanges":[{"vhost":"nope","name":"x","durable":true,"type":"topic"}]}`:                                                                                                    "no such vhost: 'nope'",
		`{"bindings":[{"vhost":"/","source":"amq.direct","destination":"q"}]}`:                                                                                                         "{key_missing,destination_type}",
		`{"bindings":[{"vhost":"/","source":"amq.direct","destination":"q","destination_type":"x"}]}`:                                                                                  "neither queue nor exchange",
		`{"bindings":[{"vhost":"/","source":"amq.direct","destination":"q","destination_type":"queue","routing_key":7}]}`:                                                              "routing_key should be a string",
		`{"queues":[{"vhost":"/","name":"q",` + q + `{}}],"bindings":[{"vhost":"/","source":"amq.headers","destination":"q","destination_type":"queue","arguments":{"x-match":"x"}}]}`: "x-match",
		`{"users":[{"tags":""}]}`:                                                          "{key_missing,name}",
		`{"users":[{"name":"u"}]}`:                                                         "users, name 'u': tags_not_present",
		`{"users":[{"name":"u","tags":[7]}]}`:                                              "a tag should be a string, actually was 7",
		`{"users":[{"name":"u","tags":"","password_hash":"nope"}]}`:                        "the password hash is malformed",
		`{"users":[{"name":"u","tags":"","password_hash":"x","password":"y"}]}`:            "both_password_and_password_hash_are_provided",
		`{"users":[{"name":"u","tags":"","password_hash":"x","hashing_algorithm":"md5"}]}`: "there is no password hash 'md5'",
		`{"users":[{"name":"u","tags":"","limits":{"nope":1}}]}`:                           `unrecognised terms [{<<"nope">>,1}] in user-limits`,
		`{"users":[{"name":"u","tags":"","limits":{"max-channels":"1"}}]}`:                 "max-channels should be a number",
		`{"vhosts":[{}]}`: "{key_missing,name}",
		`{"vhosts":[{"name":"v","metadata":{"tags":7}}]}`:                                                                                   "tags should be a string or a list, actually was 7",
		`{"vhosts":[{"name":"v","default_queue_type":"stream"}]}`:                                                                           "default queue type 'stream'",
		`{"permissions":[{"user":"guest","vhost":"/"}]}`:                                                                                    "{key_missing,configure}",
		`{"permissions":[{"user":"nope","vhost":"/","configure":"","write":"","read":""}]}`:                                                 "no such user: 'nope'",
		`{"permissions":[{"user":"guest","vhost":"nope","configure":"","write":"","read":""}]}`:                                             "no such vhost: 'nope'",
		`{"permissions":[{"user":"guest","vhost":"/","configure":"(","write":"","read":""}]}`:                                               "regular expression",
		`{"topic_permissions":[{"user":"nope","vhost":"/","exchange":"","write":"","read":""}]}`:                                            "no such user: 'nope'",
		`{"topic_permissions":[{"user":"guest","vhost":"/","exchange":"","write":"","read":"("}]}`:                                          "regular expression",
		`{"global_parameters":[{"value":1}]}`:                                                                                               "{key_missing,name}",
		`{"parameters":[{"vhost":"/","component":"nope","name":"n","value":1}]}`:                                                            "component nope not found",
		`{"parameters":[{"vhost":"/","component":"shovel","name":"n"}]}`:                                                                    "{key_missing,value}",
		`{"parameters":[{"vhost":"nope","component":"shovel","name":"n","value":1}]}`:                                                       "no such vhost: 'nope'",
		`{"parameters":[{"vhost":"/","component":"vhost-limits","name":"limits","value":7}]}`:                                               "limits not a list 7",
		`{"parameters":[{"vhost":"/","component":"vhost-limits","name":"other","value":{}}]}`:                                               "limits are called 'limits'",
		`{"parameters":[{"vhost":"nope","component":"vhost-limits","name":"limits","value":{}}]}`:                                           "no such vhost: 'nope'",
		`{"parameters":[{"vhost":"/","component":"operator_policy","name":"p","value":7}]}`:                                                 "an operator policy should be an object",
		`{"parameters":[{"vhost":"/","component":"operator_policy","name":"p","value":{"pattern":"","definition":{"queue-mode":"lazy"}}}]}`: "not recognised policy settings",
		`{"policies":[{"vhost":"/","name":"p","definition":{"max-length":1}}]}`:                                                             "pattern should be a binary",
		`{"policies":[{"vhost":"/","name":"p","pattern":"(","definition":{"max-length":1}}]}`:                                               "pattern should be regular expression",
		`{"policies":[{"vhost":"nope","name":"p","pattern":"","definition":{"max-length":1}}]}`:                                             "no such vhost: 'nope'",
	} {
		// What comes before and after the mistake is right.
		d, err := Parse([]byte(text), "")
		if err == nil {
			_, err = d.Import(untouched{b, t})
		}
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s\ngot  %v\nwant %s", text, err, want)
		}
	}
	right := `"users":[{"name":"u","tags":"","password":"x"}],"vhosts":[{"name":"v"}],"global_parameters":[{"name":"n","value":1}],`
	d, err := Parse([]byte(`{`+right+`"bindings":[],"policies":[{"vhost":"nope","name":"p","pattern":"","definition":{"max-length":1}}]}`), "")
	if err != nil {
		t.Fatal(err)
	}
	var missing *MissingError
	if _, err := d.Import(untouched{b, t}); !errors.As(err, &missing) || missing.What != "vhost" || missing.Name != "nope" {
		t.Error(err)
	}
	if now := b.Durable(); now != at {
		t.Errorf("%d bytes were written to the log", now-at)
	}
}

func TestWhatIsThereStaysOrBecomesAsItIsDefined(t *testing.T) {
	b := open(t, vfs.NewMem())
	mustImport(t, b, []byte(`{
		"users":[{"name":"u","tags":"management","password":"one","limits":{"max-channels":1}},{"name":"other","tags":""}],
		"vhosts":[{"name":"v","description":"d","tags":["t"],"metadata":{"description":"d2","tags":"a,b","default_queue_type":"quorum"}}],
		"permissions":[{"user":"u","vhost":"v","configure":"1","write":"1","read":"1"},{"user":"u","vhost":"v","configure":"2","write":"2","read":"2"}],
		"parameters":[{"vhost":"v","component":"vhost-limits","name":"limits","value":{"max-queues":1,"max-connections":5}}],
		"queues":[{"vhost":"v","name":"q","durable":true,"arguments":{"x-max-length":1}},{"vhost":"v","name":"q2","durable":true,"arguments":[]}],
		"policies":[{"vhost":"v","name":"p","pattern":"1","definition":{"max-length":1}},{"vhost":"v","name":"p","pattern":"2","definition":{"max-length":2}}]}`), "")
	want := []string{
		`parameters {"component":"vhost-limits","name":"limits","value":{"max-connections":5,"max-queues":1},"vhost":"v"}`,
		`permissions {"configure":"2","read":"2","user":"u","vhost":"v","write":"2"}`,
		`policies {"apply-to":"all","definition":{"max-length":2},"name":"p","pattern":"2","priority":0,"vhost":"v"}`,
		`queues {"arguments":{"x-max-length":1},"auto_delete":false,"durable":true,"name":"q","vhost":"v"}`,
		`queues {"arguments":{},"auto_delete":false,"durable":true,"name":"q2","vhost":"v"}`,
		`vhosts {"default_queue_type":"quorum","description":"d2","metadata":{"default_queue_type":"quorum","description":"d2","tags":["a","b"]},"name":"v","tags":["a","b"]}`,
	}
	without := func() string {
		var lines []string
		for line := range strings.SplitSeq(exported(t, b, ""), "\n") {
			if !strings.HasPrefix(line, "users") {
				lines = append(lines, line)
			}
		}
		return strings.Join(lines, "\n")
	}
	same(t, "at first", without(), strings.Join(want, "\n"))

	mustImport(t, b, []byte(`{
		"users":[{"name":"u","tags":["policymaker"],"password":"two","limits":{"max-connections":2}},{"name":"other","tags":"x"}],
		"vhosts":[{"name":"v"}],
		"parameters":[{"vhost":"v","component":"vhost-limits","name":"limits","value":{"max-queues":7}}],
		"queues":[{"vhost":"v","name":"q","durable":false}]}`), "")
	want[0] = `parameters {"component":"vhost-limits","name":"limits","value":{"max-queues":7},"vhost":"v"}`
	same(t, "then", without(), strings.Join(want, "\n"))
	u, _ := b.User("u")
	if fmt.Sprint(u.Tags, u.Limits) != "[policymaker] map[max-connections:2]" || !u.Hash.Verify("two") {
		t.Errorf("%+v", u)
	}
}

func TestWarningsTellOfPoliciesForAClusterOnly(t *testing.T) {
	r := mustImport(t, open(t, vfs.NewMem()), []byte(`{"policies":[
		{"vhost":"/","name":"ha","pattern":"^ha","definition":{"ha-mode":"all","ha-sync-mode":"automatic","max-length":5}},
		{"vhost":"/","name":"bounded","pattern":"^b","definition":{"max-length":5}}]}`), "")
	if len(r.Warnings) != 1 || r.Warnings[0] != "policy 'ha' in vhost '/' is kept; there is one node, so that nothing comes of ha-mode, ha-sync-mode" {
		t.Errorf("%q", r.Warnings)
	}
}

func TestWarningsTellWhatIsLeftOut(t *testing.T) {
	b := open(t, vfs.NewMem())
	var bindings []string
	for range maxWarnings {
		bindings = append(bindings, `{"vhost":"/","source":"amq.direct","destination":"gone","destination_type":"queue","routing_key":""}`)
	}
	text := `{"bindings":[{"vhost":"/","source":"gone","destination":"amq.direct","destination_type":"exchange"},
		{"vhost":"/","source":"","destination":"q","destination_type":"queue"},` + strings.Join(bindings, ",") + `],
		"parameters":[{"vhost":"/","component":"shovel","name":"s","value":{"src-uri":"amqp://"}}]}`
	r := mustImport(t, b, []byte(text), "")
	if len(r.Warnings) != maxWarnings+1 || r.Warnings[0] != "a binding from 'gone' to 'amq.direct' in vhost '/' is left out: one of them is not there" || r.Warnings[maxWarnings] != "and 2 more" {
		t.Errorf("%q", r.Warnings)
	}
	if got := exported(t, b, ""); got != `parameters {"component":"shovel","name":"s","value":{"src-uri":"amqp://"},"vhost":"/"}` {
		t.Error(got)
	}
}

// Exclusive queues, and bindings to them, go with their connections.
func TestExclusiveQueuesAreNotExported(t *testing.T) {
	b := open(t, vfs.NewMem())
	s, err := b.NewSession("/", &broker.User{Name: "guest"}, peer{})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if _, err := s.DeclareQueue(broker.QueueSpec{Name: "mine", Exclusive: true}); err != nil {
		t.Fatal(err)
	}
	if err := s.BindQueue("mine", "amq.direct", "k", nil); err != nil {
		t.Fatal(err)
	}
	if got := exported(t, b, ""); got != "" {
		t.Error(got)
	}
}

type peer struct{}

func (peer) Name() string      { return "a connection" }
func (peer) Close(*amqp.Error) {}

// A hash of this broker's own travels too.
func TestArgon2idHashesTravel(t *testing.T) {
	b := open(t, vfs.NewMem())
	if _, err := b.PutUser(access.User{Name: "u", Hash: access.HashKnown("pw")}); err != nil {
		t.Fatal(err)
	}
	var text bytes.Buffer
	if err := Export(&text, b, "", "3.10.8"); err != nil {
		t.Fatal(err)
	}
	// RabbitMQ refuses definitions with a hash that is no base64.
	if !strings.Contains(text.String(), `"password_hash":"JGFyZ29uMmlkJ`) || !strings.Contains(text.String(), `"hashing_algorithm":"argon2id"`) {
		t.Error(text.String())
	}
	other := open(t, vfs.NewMem())
	mustImport(t, other, text.Bytes(), "")
	if _, err := other.Authenticate("u", "pw", true); err != nil {
		t.Error(err)
	}
	was, _ := b.User("u")
	if is, _ := other.User("u"); is.Hash != was.Hash {
		t.Errorf("%v became %v", was.Hash, is.Hash)
	}
	mustImport(t, untouched{other, t}, text.Bytes(), "")
}

func TestManyQueuesAreImported(t *testing.T) {
	var text bytes.Buffer
	text.WriteString(`{"queues":[`)
	const n = 5000
	for i := range n {
		if i > 0 {
			text.WriteByte(',')
		}
		fmt.Fprintf(&text, `{"vhost":"/","name":"q%d","durable":true,"auto_delete":false,"arguments":{}}`, i)
	}
	text.WriteString(`]}`)
	b := open(t, vfs.NewMem())
	mustImport(t, b, text.Bytes(), "")
	if got := b.Totals("/").Queues; got != n {
		t.Errorf("%d queues", got)
	}
}

func TestFilesAndFoldersAreLoaded(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	write("10-vhosts.json", `{"vhosts":[{"name":"v"}]}`)
	write("20-queues.json", `{"queues":[{"vhost":"v","name":"q","durable":true}],"parameters":[{"vhost":"v","component":"shovel","name":"s","value":{}}]}`)
	write("notes.txt", `not JSON`)
	if err := os.Mkdir(filepath.Join(dir, "folder.json"), 0o700); err != nil {
		t.Fatal(err)
	}
	b := open(t, vfs.NewMem())
	r, err := Load(b, dir)
	if err != nil || len(r.Warnings) != 1 {
		t.Errorf("%v, %v", r, err)
	}
	if _, err := b.Queue("v", "q"); err != nil {
		t.Error(err)
	}
	bad := write("30-bad.json", `{"queues":[{"vhost":"nope","name":"q","durable":true}]}`)
	for _, path := range []string{bad, dir} {
		if _, err := Load(b, path); err == nil || !strings.Contains(err.Error(), "30-bad.json: no such vhost: 'nope'") {
			t.Errorf("%s: %v", path, err)
		}
	}
	if _, err := Load(b, filepath.Join(dir, "missing.json")); !errors.Is(err, os.ErrNotExist) {
		t.Error(err)
	}
	if _, err := Load(b, filepath.Join(dir, "notes.txt")); !errors.Is(err, ErrJSON) || !strings.Contains(err.Error(), "line 1: invalid character") {
		t.Error(err)
	}
	if _, err := Load(b, write("31-bad.json", "{\n \"queues\": [\n")); !errors.Is(err, ErrJSON) || !strings.Contains(err.Error(), "line 3: unexpected end") {
		t.Error(err)
	}
	if _, err := Load(b, write("33-bad.json", `{"queues":[{"name":"q","durable":true}]}`)); err == nil || !strings.Contains(err.Error(), "these are the definitions of one vhost") {
		t.Error(err)
	}
	if _, err := Load(b, write("32-bad.json", "[]")); !errors.Is(err, ErrJSON) || !strings.Contains(err.Error(), "not an object with users") {
		t.Error(err)
	}
}
