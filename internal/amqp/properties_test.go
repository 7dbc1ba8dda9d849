package amqp

import (
	"bytes"
	"encoding/hex"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

func allProperties(t testing.TB) Properties {
	t.Helper()
	p, err := new(PropertiesEditor).
		SetString(PropContentType, "text/plain").
		SetString(PropContentEncoding, "utf-8").
		SetHeaders(NewTable(Field{"h", Int32(1)})).
		SetDeliveryMode(2).
		SetPriority(9).
		SetString(PropCorrelationID, "c").
		SetString(PropReplyTo, "r").
		SetString(PropExpiration, "60000").
		SetString(PropMessageID, "m").
		SetTimestamp(1700000000).
		SetString(PropType, "ty").
		SetString(PropUserID, "guest").
		SetString(PropAppID, "").
		SetString(PropClusterID, "cl").
		Properties()
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func TestPropertiesGolden(t *testing.T) {
	want := "fffc" +
		"0a" + hex.EncodeToString([]byte("text/plain")) +
		"05" + hex.EncodeToString([]byte("utf-8")) +
		"00000007" + "016849" + "00000001" +
		"02" + "09" +
		"0163" + "0172" +
		"05" + hex.EncodeToString([]byte("60000")) +
		"016d" +
		"000000006553f100" +
		"02" + hex.EncodeToString([]byte("ty")) +
		"05" + hex.EncodeToString([]byte("guest")) +
		"00" +
		"02" + hex.EncodeToString([]byte("cl"))
	p := allProperties(t)
	if got := hex.EncodeToString(p); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	if err := p.Validate(); err != nil {
		t.Error(err)
	}
}

func TestGettersReadAllFourteen(t *testing.T) {
	p := allProperties(t)
	for _, c := range []struct {
		got  []byte
		want string
	}{
		{p.ContentType(), "text/plain"}, {p.ContentEncoding(), "utf-8"}, {p.CorrelationID(), "c"},
		{p.ReplyTo(), "r"}, {p.Expiration(), "60000"}, {p.MessageID(), "m"}, {p.Type(), "ty"},
		{p.UserID(), "guest"}, {p.AppID(), ""}, {p.ClusterID(), "cl"},
	} {
		if c.got == nil || string(c.got) != c.want {
			t.Errorf("got %q, want %q", c.got, c.want)
		}
	}
	if n, ok := p.Headers().Int("h"); !ok || n != 1 {
		t.Error("headers")
	}
	if p.DeliveryMode() != 2 || !p.Persistent() {
		t.Error("delivery-mode")
	}
	if n, ok := p.Priority(); !ok || n != 9 {
		t.Error("priority")
	}
	if n, ok := p.Timestamp(); !ok || n != 1700000000 {
		t.Error("timestamp")
	}
}

func TestAbsentProperties(t *testing.T) {
	for _, p := range []Properties{nil, {}, {0}, NoProperties} {
		for prop := range Property(NumProperties) {
			if v, ok := p.Get(prop); ok || v != nil || p.Has(prop) {
				t.Errorf("%x has %s", p, prop)
			}
		}
		if p.Headers() != nil || p.DeliveryMode() != 0 || p.Persistent() {
			t.Errorf("%x has something", p)
		}
		if _, ok := p.Priority(); ok {
			t.Error("a priority")
		}
		if _, ok := p.Timestamp(); ok {
			t.Error("a timestamp")
		}
	}
	if NoProperties.Has(NumProperties) || Property(NumProperties).String() != "unknown" || PropAppID.String() != "app-id" {
		t.Error("beyond the last property")
	}
	p, _ := new(PropertiesEditor).SetHeaders(nil).SetString(PropReplyTo, "").Properties()
	if p.Headers() == nil || p.ReplyTo() == nil {
		t.Error("an empty property counts as absent")
	}
}

func TestMalformedPropertiesAreSyntaxErrors(t *testing.T) {
	for _, c := range []struct{ name, hex, cause string }{
		{"nothing", "", "too few"},
		{"half of the flags", "80", "too few"},
		{"continuation", "0001", "unknown flags 0x1"},
		{"bit 1", "0002", "unknown flags 0x2"},
		{"no value", "8000", "truncated content-type"},
		{"string cut", "800003616a", "truncated content-type"},
		{"octet cut", "1000", "truncated delivery-mode"},
		{"timestamp cut", "004000000000000000", "truncated timestamp"},
		{"headers' length cut", "2000000000", "truncated headers"},
		{"headers cut", "2000ffffffff", "truncated headers"},
		{"bad headers", "200000000003016100", "unknown type at byte 2"},
		{"left over", "10000100", "1 bytes left over"},
		{"second one cut", "18000100"[:6], "truncated priority"},
	} {
		raw, err := hex.DecodeString(c.hex)
		if err != nil {
			t.Fatal(err)
		}
		e := AsError(Properties(raw).Validate())
		if e == nil || e.Code != CodeSyntaxError || !strings.Contains(e.Text, c.cause) {
			t.Errorf("%s: %v, want %q", c.name, e, c.cause)
		}
	}
	p := allProperties(t)
	for n := range p {
		if p[:n].Validate() == nil {
			t.Errorf("cut at %d is accepted", n)
		}
	}
}

func TestEditLeavesTheRest(t *testing.T) {
	p := allProperties(t)
	before := bytes.Clone(p)
	for prop := range Property(NumProperties) {
		q, err := p.Edit().Remove(prop).Properties()
		if err != nil {
			t.Fatal(err)
		}
		if q.Has(prop) || q.Validate() != nil {
			t.Errorf("%s: %x", prop, q)
		}
		for other := range Property(NumProperties) {
			v, ok := p.Get(other)
			w, ok2 := q.Get(other)
			if other != prop && (ok != ok2 || !bytes.Equal(v, w)) {
				t.Errorf("without %s, %s is %x, was %x", prop, other, w, v)
			}
		}
	}
	q, err := p.Edit().SetString(PropReplyTo, "other").SetHeaders(Table{}).Properties()
	if err != nil || string(q.ReplyTo()) != "other" || q.Headers().Len() != 0 {
		t.Errorf("%x %v", q, err)
	}
	if q, _ = q.Edit().SetString(PropReplyTo, "r").SetHeaders(p.Headers()).Properties(); !bytes.Equal(p, q) {
		t.Error("set back, it differs")
	}
	if !bytes.Equal(p, before) {
		t.Error("the original changed")
	}
	if q, _ = Properties(nil).Edit().Properties(); !bytes.Equal(q, NoProperties) {
		t.Errorf("%x", q)
	}
}

func TestEditorRefusesWhatCanNotBeWritten(t *testing.T) {
	if _, err := new(PropertiesEditor).SetString(PropReplyTo, strings.Repeat("x", 256)).Properties(); err == nil {
		t.Error("256 bytes in a shortstr")
	}
	if _, err := (Properties{0x80, 0, 9}).Edit().Properties(); err == nil {
		t.Error("malformed bytes")
	}
	defer func() {
		if recover() == nil {
			t.Error("a string for the priority")
		}
	}()
	new(PropertiesEditor).SetString(PropPriority, "x")
}

func TestAnyPropertiesRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		e := new(PropertiesEditor)
		want := map[Property][]byte{}
		for prop := range Property(NumProperties) {
			if !rapid.Bool().Draw(t, "set") {
				continue
			}
			switch prop {
			case PropHeaders:
				h := NewTable(drawFields(t, 2)...)
				e.SetHeaders(h)
				want[prop] = h
			case PropDeliveryMode, PropPriority:
				n := rapid.Byte().Draw(t, "n")
				if want[prop] = []byte{n}; prop == PropPriority {
					e.SetPriority(n)
				} else {
					e.SetDeliveryMode(n)
				}
			case PropTimestamp:
				n := rapid.Uint64().Draw(t, "n")
				e.SetTimestamp(n)
				want[prop] = be64(n)
			default:
				s := rapid.StringMatching(`[a-z]{0,5}|[a-z]{255}`).Draw(t, "s")
				e.SetString(prop, s)
				want[prop] = []byte(s)
			}
		}
		p, err := e.Properties()
		if err != nil || p.Validate() != nil {
			t.Fatalf("%x: %v, %v", p, err, p.Validate())
		}
		for prop := range Property(NumProperties) {
			v, ok := p.Get(prop)
			if w, set := want[prop]; ok != set || !bytes.Equal(v, w) {
				t.Fatalf("%s: %x %t, want %x %t", prop, v, ok, w, set)
			}
		}
		if q, _ := p.Edit().Properties(); !bytes.Equal(p, q) {
			t.Fatalf("%x came back as %x", p, q)
		}
	})
}

func TestReadingPropertiesAllocatesNothing(t *testing.T) {
	p := allProperties(t)
	if n := testing.AllocsPerRun(100, func() {
		if p.Validate() != nil || !p.Persistent() || len(p.ClusterID()) != 2 || p.Headers().Has("x") {
			t.Error("misread")
		}
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func FuzzProperties(f *testing.F) {
	f.Add([]byte(allProperties(f)))
	f.Add([]byte(NoProperties))
	f.Add([]byte{0x20, 0, 0xff, 0xff, 0xff, 0xff})
	f.Add([]byte{0xff, 0xff})
	f.Fuzz(func(t *testing.T, b []byte) {
		p := Properties(b)
		valid := p.Validate() == nil
		for prop := range Property(NumProperties) {
			if _, ok := p.Get(prop); valid && ok != p.Has(prop) {
				t.Errorf("%s: set but not found", prop)
			}
		}
		_ = p.Headers().Len()
		p.Priority()
		p.Timestamp()
		q, err := p.Edit().Properties()
		if valid && (err != nil || !bytes.Equal(p, q)) {
			t.Errorf("%x came back as %x, %v", p, q, err)
		}
	})
}
