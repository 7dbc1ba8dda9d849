package definitions

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/leveret-mq/leveret/broker"
	"github.com/leveret-mq/leveret/internal/amqp"
	"github.com/leveret-mq/leveret/internal/vfs"
	"github.com/leveret-mq/leveret/store"
)

// What is imported is exported so that it can be imported, and is the same then. What
// is refused leaves nothing behind.
func FuzzDefinitions(f *testing.F) {
	for _, name := range []string{"rabbitmq-3.10.8.json", "rabbitmq-3.10.8-vhost.json"} {
		text, err := os.ReadFile(filepath.Join("testdata", name))
		if err != nil {
			f.Fatal(err)
		}
		f.Add(text, "")
		f.Add(text, "/")
	}
	for _, text := range []string{``, `{`, `[]`, `null`, `{"queues":null}`, `{"queues":[null]}`,
		`{"vhosts":[{"name":"v","tags":["a,b"],"metadata":{"tags":[],"default_queue_type":"undefined"}}],"users":[{"name":"u","tags":["a,b",""],"limits":[]}]}`,
		`{"queues":[{"vhost":"/","name":"q","durable":true,"arguments":{"a":[null,{"b":1e999}],"c":99999999999999999999}}]}`,
		`{"exchanges":[{"vhost":"/","name":"x","type":"x-delayed-message","durable":true,"arguments":{"x-delayed-type":"topic"}}],"bindings":[{"vhost":"/","source":"x","destination":"x","destination_type":"exchange"}]}`,
		`{"policies":[{"vhost":"/","name":"p","pattern":".*","definition":{"max-length":1,"ha-mode":"nodes","ha-params":["a"]},"priority":-1.5}],"parameters":[{"vhost":"/","component":"shovel","name":"s","value":[1,{}]}]}`,
		`{"global_parameters":[{"name":"g"}],"permissions":[{"user":"guest","vhost":"/","configure":"","write":"(?i)a","read":"[^b]+"}]}`,
		`{"queues":[{"vhost":"/","name":"a\nb","durable":false,"auto_delete":true}]}`,
	} {
		f.Add([]byte(text), "")
	}
	fresh := func(t *testing.T) *broker.Broker {
		b, err := broker.Open("data", broker.Options{Reserve: -1, Store: store.Options{FS: vfs.NewMem()}})
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	f.Fuzz(func(t *testing.T, text []byte, vhost string) {
		if vhost != "" {
			vhost = "/"
		}
		d, err := Parse(text, vhost)
		if err != nil {
			return
		}
		if len(d.users)+len(d.vhosts)+len(d.queues)+len(d.bindings)+len(d.policies) > 300 {
			return
		}
		b := fresh(t)
		defer b.Close()
		before := exported(t, b, vhost)
		if _, err := d.Import(b); err != nil {
			var bad *amqp.Error
			if errors.As(err, &bad) && bad.Code == amqp.CodeInternalError {
				t.Fatal(err)
			}
			if after := exported(t, b, vhost); after != before {
				t.Errorf("%v, but there is\n%s", err, after)
			}
			return
		}
		var out bytes.Buffer
		if err := Export(&out, b, vhost, "3.10.8"); err != nil {
			t.Fatal(err)
		}
		again, err := Parse(out.Bytes(), vhost)
		if err != nil {
			t.Fatalf("the export cannot be imported: %v\n%s", err, out.Bytes())
		}
		other := fresh(t)
		defer other.Close()
		if _, err := again.Import(other); err != nil {
			t.Fatalf("the export cannot be imported: %v\n%s", err, out.Bytes())
		}
		same(t, "on another broker", exported(t, other, vhost), normal(t, out.Bytes()))
	})
}
