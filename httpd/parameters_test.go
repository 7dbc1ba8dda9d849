package httpd

import (
	"strings"
	"testing"

	"github.com/leveret-mq/leveret/internal/identity"
)

func TestParametersOfVHosts(t *testing.T) {
	m := newManaged(t)
	const limits, operator = "/api/parameters/vhost-limits/%2F/limits", "/api/parameters/operator_policy/%2F/op"
	m.expect("GET", "/api/parameters", "", 200, `[]`)
	m.expect("PUT", limits, `{"value":{"max-queues":100}}`, 201, "")
	m.expect("PUT", limits, `{"value":{"max-queues":200}}`, 204, "")
	one := `{"value":{"max-queues":200},"vhost":"/","component":"vhost-limits","name":"limits"}`
	m.expect("GET", limits, "", 200, one)
	m.expect("GET", "/api/vhost-limits", "", 200, `[{"vhost":"/","value":{"max-queues":200}}]`)
	m.expect("PUT", operator, `{"value":{"pattern":"^a","definition":{"max-length":3},"priority":2,"apply-to":"queues"}}`, 201, "")
	m.expect("GET", "/api/operator-policies/%2F/op", "", 200, `…"pattern":"^a","apply-to":"queues","definition":{"max-length":3},"priority":2`)
	two := `{"value":{"pattern":"^a","definition":{"max-length":3},"priority":2,"apply-to":"queues"},"vhost":"/","component":"operator_policy","name":"op"}`
	for _, path := range []string{"/api/parameters"} {
		m.expect("GET", path, "", 200, "["+one+","+two+"]")
	}
	m.expect("GET", "/api/parameters/operator_policy", "", 200, "["+two+"]")
	m.expect("GET", "/api/parameters/vhost-limits/%2F", "", 200, "["+one+"]")
	m.expect("GET", "/api/parameters/policy", "", 200, `[]`)
	m.expect("GET", "/api/parameters/nope/%2F", "", 200, `[]`)
	m.expect("GET", "/api/parameters/nope/nope", "", 404, notFound)
	m.expect("GET", "/api/parameters/nope/%2F/nope", "", 404, notFound)

	m.expect("PUT", limits, `{"value":{"max-queues":"x"}}`, 400, bad(`"Validation failed\n\nmax-queues should be a number, actually was <<\"x\">>\n"`))
	m.expect("PUT", limits, `{"value":{"nope":3}}`, 400, bad(`"Validation failed\n\nunrecognised terms [{<<\"nope\">>,3}] in limits\n"`))
	m.expect("PUT", limits, `{"value":3}`, 400, bad(`"Validation failed\n\nlimits not a list 3\n"`))
	m.expect("PUT", limits, `{}`, 400, bad(`"[{key_missing,value}]"`))
	m.expect("PUT", "/api/parameters/vhost-limits/%2F/other", `{"value":{"max-queues":3}}`, 400, "…Validation failed")
	m.expect("PUT", "/api/parameters/vhost-limits/nope/limits", `{"value":{"max-queues":3}}`, 404, noVHost)
	m.expect("PUT", "/api/parameters/foo/%2F/x", `{"value":{"a":1}}`, 400, bad(`"Validation failed\n\ncomponent foo not found\n"`))
	m.expect("PUT", "/api/parameters/policy/%2F/x", `{"value":{"pattern":"a","definition":{"max-length":3}}}`, 400, bad(`"policies may not be set using this method"`))

	m.expect("DELETE", limits, "", 204, "")
	m.expect("DELETE", limits, "", 404, notFound)
	m.expect("DELETE", operator, "", 204, "")
	m.expect("DELETE", operator, "", 404, notFound)
	m.expect("DELETE", "/api/parameters/foo/%2F/x", "", 404, notFound)
	m.expect("GET", "/api/parameters", "", 200, `[]`)

	// What came with definitions can be looked at and deleted.
	m.expect("POST", "/api/definitions/%2F", `{"parameters":[{"component":"shovel","name":"s","value":{"big":12345678901234567890}}]}`, 204, "")
	m.expect("GET", "/api/parameters/shovel/%2F/s", "", 200, `{"value":{"big":12345678901234567890},"vhost":"/","component":"shovel","name":"s"}`)
	m.expect("PUT", "/api/parameters/shovel/%2F/s", `{"value":{"a":1}}`, 400, bad(`"Validation failed\n\ncomponent shovel not found\n"`))
	m.expect("DELETE", "/api/parameters/shovel/%2F/s", "", 204, "")
}

func TestGlobalParameters(t *testing.T) {
	m := newManaged(t)
	const g = "/api/global-parameters/g"
	m.expect("GET", "/api/global-parameters", "", 200, `[]`)
	m.expect("PUT", g, `{"value":{"a":12345678901234567890}}`, 201, "")
	m.expect("GET", g, "", 200, `{"name":"g","value":{"a":12345678901234567890}}`)
	m.expect("PUT", g, `{"value":[1,"x"]}`, 204, "")
	m.expect("GET", "/api/global-parameters", "", 200, `[{"name":"g","value":[1,"x"]}]`)
	for _, body := range []string{``, `{}`, `{"value":null}`} {
		m.expect("PUT", g, body, 400, bad(`"[{key_missing,value}]"`))
	}
	m.expect("PUT", g, `{`, 400, bad(`"not_json"`))
	m.expect("PUT", "/api/global-parameters/"+strings.Repeat("a", 256), `{"value":1}`, 400, "…255 bytes")
	m.expect("DELETE", g, "", 204, "")
	m.expect("DELETE", g, "", 404, notFound)
	m.expect("GET", g, "", 404, notFound)
}

func TestTheClusterHasAName(t *testing.T) {
	m := newManaged(t)
	m.expect("GET", "/api/cluster-name", "", 200, `{"name":"`+identity.Node+`"}`)
	m.expect("PUT", "/api/cluster-name", `{"name":"shop"}`, 204, "")
	m.expect("GET", "/api/cluster-name", "", 200, `{"name":"shop"}`)
	m.expect("GET", "/api/overview", "", 200, `…"cluster_name":"shop"`)
	m.expect("PUT", "/api/cluster-name", `{}`, 400, bad(`"[{key_missing,name}]"`))
	m.expect("PUT", "/api/cluster-name", `{"name":3}`, 400, "…name should be a string")
	m.expect("DELETE", "/api/global-parameters/cluster_name", "", 204, "")
	m.expect("GET", "/api/cluster-name", "", 200, `{"name":"`+identity.Node+`"}`)
}

func TestWhoMayChangeParameters(t *testing.T) {
	m := newManaged(t)
	m.expect("PUT", "/api/vhosts/v", "", 201, "")
	m.expect("PUT", "/api/permissions/v/upolicymaker", `{"configure":"","write":"","read":""}`, 201, "")
	m.expect("PUT", "/api/parameters/vhost-limits/v/limits", `{"value":{"max-queues":100}}`, 201, "")
	m.expect("PUT", "/api/parameters/vhost-limits/%2F/limits", `{"value":{"max-queues":100}}`, 201, "")
	for _, c := range []struct {
		user, method, path, body string
		code                     int
	}{
		{"umanagement", "GET", "/api/parameters", "", 401},
		{"umonitoring", "GET", "/api/parameters/vhost-limits/v", "", 401},
		{"umanagement", "GET", "/api/global-parameters", "", 401},
		{"umanagement", "GET", "/api/cluster-name", "", 200},
		{"upolicymaker", "PUT", "/api/cluster-name", `{"name":"x"}`, 401},
		{"upolicymaker", "PUT", "/api/global-parameters/g", `{"value":1}`, 201},
		{"upolicymaker", "GET", "/api/parameters/vhost-limits/v", "", 200},
		{"upolicymaker", "GET", "/api/parameters/vhost-limits/%2F", "", 401},
		{"upolicymaker", "GET", "/api/parameters/vhost-limits/%2F/limits", "", 401},
		{"upolicymaker", "PUT", "/api/parameters/vhost-limits/v/limits", `{"value":{"max-queues":-1}}`, 401},
		{"upolicymaker", "PUT", "/api/parameters/operator_policy/v/p", `{"value":{"pattern":"","definition":{"max-length":1}}}`, 401},
		{"upolicymaker", "DELETE", "/api/parameters/vhost-limits/v/limits", "", 401},
		{"upolicymaker", "PUT", "/api/parameters/foo/%2F/x", `{"value":1}`, 401},
		{"upolicymaker", "PUT", "/api/parameters/foo/v/x", `{"value":1}`, 400},
	} {
		if w := m.as(c.user, c.method, c.path, c.body); w.Code != c.code {
			t.Errorf("%s as %s: %s %d %s, want %d", c.method, c.user, c.path, w.Code, w.Body, c.code)
		}
	}
	if w := m.as("upolicymaker", "GET", "/api/parameters", ""); strings.Contains(w.Body.String(), `"vhost":"/"`) || !strings.Contains(w.Body.String(), `"vhost":"v"`) {
		t.Error(w.Body)
	}
}

func TestWhatOneNodeHasNoNeedOf(t *testing.T) {
	m := newManaged(t)
	node := identity.Node
	m.expect("PUT", "/api/queues/%2F/q", "{}", 201, "")
	m.expect("GET", "/api/extensions", "", 200, `[]`)
	m.expect("GET", "/api/feature-flags", "", 200, `…"name":"quorum_queue"`)
	m.expect("PUT", "/api/feature-flags/quorum_queue/enable", "", 204, "")
	m.expect("PUT", "/api/feature-flags/nope/enable", "", 400, "…nope")
	m.expect("POST", "/api/vhosts/%2F/start/"+node, "", 204, "")
	m.expect("POST", "/api/vhosts/%2F/start/foo", "", 400, bad(`"Request to node foo failed with nodedown"`))
	m.expect("POST", "/api/vhosts/nope/start/"+node, "", 404, notFound)
	m.expect("POST", "/api/rebalance/queues", "", 204, "")
	m.expect("POST", "/api/queues/%2F/q/actions", `{"action":"sync"}`, 204, "")
	m.expect("POST", "/api/queues/%2F/q/actions", `{"action":"cancel_sync"}`, 204, "")
	m.expect("POST", "/api/queues/%2F/q/actions", `{"action":"foo"}`, 400, bad(`["unknown","foo"]`))
	m.expect("POST", "/api/queues/%2F/q/actions", `{"action":7}`, 400, bad(`["unknown","7"]`))
	m.expect("POST", "/api/queues/%2F/q/actions", `{}`, 400, bad(`"[{key_missing,action}]"`))
	m.expect("POST", "/api/queues/%2F/nope/actions", `{"action":"sync"}`, 404, notFound)
	m.expect("GET", "/api/auth/attempts/"+node, "", 200, `…"protocol":"http","auth_attempts":`)
	m.expect("GET", "/api/auth/attempts/"+node+"/source", "", 200, `[]`)
	m.expect("GET", "/api/auth/attempts/nope", "", 404, notFound)
}

func TestVHostsHaveADefaultTypeOfQueues(t *testing.T) {
	m := newManaged(t)
	m.expect("PUT", "/api/vhosts/v", `{"default_queue_type":"quorum"}`, 201, "")
	m.expect("GET", "/api/vhosts/v", "", 200, `…"default_queue_type":"quorum"`)
	m.expect("PUT", "/api/queues/v/q", `{"durable":true}`, 201, "")
	m.expect("GET", "/api/queues/v/q", "", 200, `…"type":"quorum"`)
	m.expect("PUT", "/api/vhosts/v", `{"default_queue_type":"nope"}`, 400, "…default queue type 'nope'")
	m.expect("PUT", "/api/vhosts/v", `{"defaultqueuetype":"classic"}`, 204, "")
	m.expect("GET", "/api/vhosts/v", "", 200, `…"default_queue_type":"classic"`)
	m.expect("PUT", "/api/vhosts/v", `{"default_queue_type":"undefined"}`, 204, "")
	m.expect("GET", "/api/vhosts/v", "", 200, `…"default_queue_type":"undefined"`)
}
