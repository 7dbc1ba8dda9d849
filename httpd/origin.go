package httpd

import (
	"net"
	"net/http"
	"os"
	"strings"
)

// fromHere tells whether a request comes from this machine, for users who may come from
// nowhere else. The connection must, and the request must say nothing else: whoever
// comes by a proxy on this machine is elsewhere, and a name that is not this machine's
// is a stranger's, who has had it lead here so that a browser takes the broker for a
// part of the stranger's site (DNS rebinding).
func fromHere(r *http.Request) bool {
	for _, by := range []string{"Forwarded", "X-Forwarded-For", "X-Forwarded-Host", "X-Real-Ip"} {
		if len(r.Header[by]) > 0 {
			return false
		}
	}
	return loopback(r.RemoteAddr) && thisMachine(r.Host)
}

func loopback(addr string) bool {
	host, _, err := net.SplitHostPort(addr)
	if err != nil {
		return false
	}
	ip := net.ParseIP(host)
	return ip != nil && ip.IsLoopback()
}

// thisMachine tells whether a host, with a port or without, is a name of this machine
// that nobody else can have. HTTP/1.0 may name none.
func thisMachine(host string) bool {
	if host == "" {
		return true
	}
	if name, _, err := net.SplitHostPort(host); err == nil {
		host = name
	}
	host = strings.ToLower(strings.TrimSuffix(strings.Trim(host, "[]"), "."))
	if ip := net.ParseIP(host); ip != nil {
		return ip.IsLoopback()
	}
	if host == "localhost" || strings.HasSuffix(host, ".localhost") {
		return true
	}
	own, err := os.Hostname()
	return err == nil && host == strings.ToLower(own)
}
