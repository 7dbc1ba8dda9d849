package certs

import (
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/hex"
	"fmt"
	"strings"
)

// Login says which name in a client's certificate is the user's.
type Login string

// Which name in a client's certificate is the user's. Those of an alternative
// name take the first of its kind.
const (
	LoginDN    Login = "distinguished_name"
	LoginCN    Login = "common_name"
	LoginDNS   Login = "san_dns"
	LoginEmail Login = "san_email"
	LoginURI   Login = "san_uri"
	LoginIP    Login = "san_ip"
)

// Logins are all there are.
var Logins = []Login{LoginDN, LoginCN, LoginDNS, LoginEmail, LoginURI, LoginIP}

// Name reads the user's name out of a certificate that was verified. ok is false
// where it has none.
func (l Login) Name(cert *x509.Certificate) (name string, ok bool) {
	switch l {
	case LoginDN:
		name = DistinguishedName(cert)
	case LoginCN:
		name = commonNames(cert)
	case LoginDNS:
		name = first(cert.DNSNames)
	case LoginEmail:
		name = first(cert.EmailAddresses)
	case LoginURI:
		if len(cert.URIs) > 0 {
			name = cert.URIs[0].String()
		}
	case LoginIP:
		if len(cert.IPAddresses) > 0 {
			name = cert.IPAddresses[0].String()
		}
	}
	return name, name != ""
}

func first(list []string) string {
	if len(list) == 0 {
		return ""
	}
	return list[0]
}

// commonNames are those of the subject with commas between them.
func commonNames(cert *x509.Certificate) string {
	var list []string
	for _, a := range cert.Subject.Names {
		if a.Type.String() == "2.5.4.3" {
			list = append(list, fmt.Sprint(a.Value))
		}
	}
	return strings.Join(list, ",")
}

// shortNames are what attributes of a distinguished name are called. Others go
// by their numbers.
var shortNames = map[string]string{
	"2.5.4.3": "CN", "2.5.4.4": "SN", "2.5.4.5": "SERIALNUMBER", "2.5.4.6": "C", "2.5.4.7": "L",
	"2.5.4.8": "ST", "2.5.4.9": "STREET", "2.5.4.10": "O", "2.5.4.11": "OU", "2.5.4.12": "TITLE",
	"2.5.4.42": "GIVENNAME", "2.5.4.43": "INITIALS", "2.5.4.44": "GENERATIONQUALIFIER", "2.5.4.65": "PSEUDONYM",
	"0.9.2342.19200300.100.1.1": "UID", "0.9.2342.19200300.100.1.25": "DC", "1.2.840.113549.1.9.1": "EMAILADDRESS",
}

// DistinguishedName is a certificate's subject as RFC 4514 writes it, the most
// particular name first. It is empty where it cannot be read.
func DistinguishedName(cert *x509.Certificate) string {
	var seq pkix.RDNSequence
	if rest, err := asn1.Unmarshal(cert.RawSubject, &seq); err != nil || len(rest) > 0 {
		return ""
	}
	parts := make([]string, 0, len(seq))
	for i := len(seq) - 1; i >= 0; i-- {
		var set []string
		for _, a := range seq[i] {
			name, known := shortNames[a.Type.String()]
			if !known {
				name = a.Type.String()
			}
			value, isText := a.Value.(string)
			if !isText {
				value = fmt.Sprint(a.Value)
				if b, ok := a.Value.([]byte); ok {
					value = "#" + hex.EncodeToString(b)
				}
			}
			set = append(set, name+"="+escape(value))
		}
		parts = append(parts, strings.Join(set, "+"))
	}
	return strings.Join(parts, ",")
}

// escape makes a value of a distinguished name that cannot be taken for more
// than a value.
func escape(s string) string {
	var b strings.Builder
	for i, c := range s {
		switch {
		case strings.ContainsRune(`,+"\<>;`, c), i == 0 && (c == ' ' || c == '#'), i == len(s)-1 && c == ' ':
			b.WriteByte('\\')
			b.WriteRune(c)
		case c == 0:
			b.WriteString(`\00`)
		default:
			b.WriteRune(c)
		}
	}
	return b.String()
}
