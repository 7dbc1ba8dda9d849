//go:build race

package amqpd_test

const raceEnabled = true
