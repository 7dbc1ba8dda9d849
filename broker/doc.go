// Package broker is what a queue, an exchange and a consumer mean: virtual
// hosts, topology, routing, delivery. It knows neither sockets nor frames.
package broker
