package peer

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"github.com/leveret-mq/leveret/conformance"
)

// rabbitmqServer is where Debian's package has it.
const rabbitmqServer = "/usr/lib/rabbitmq/bin/rabbitmq-server"

// InstallRabbitMQ installs Debian's package where it is missing. The service that the
// package would start is not wanted.
func InstallRabbitMQ() error {
	if _, err := os.Stat(rabbitmqServer); err == nil {
		return nil
	}
	script := `set -e
sudo=""; [ "$(id -u)" = 0 ] || sudo=sudo
export DEBIAN_FRONTEND=noninteractive RUNLEVEL=1
$sudo apt-get update -qq
$sudo apt-get install -y -qq --no-install-recommends rabbitmq-server`
	if out, err := exec.Command("sh", "-c", script).CombinedOutput(); err != nil {
		return fmt.Errorf("install rabbitmq-server: %w\n%s", err, out)
	}
	return nil
}

// RabbitMQ starts a node of its own, with its own Erlang port mapper.
func RabbitMQ(o conformance.Options) (*Broker, error) {
	folder, err := os.MkdirTemp("", "conformance-rabbitmq-")
	if err != nil {
		return nil, err
	}
	ports, err := freePorts(5)
	if err != nil {
		return nil, err
	}
	in := func(name string) string { return filepath.Join(folder, name) }
	certs, err := makeCertificates(folder)
	if err != nil {
		return nil, err
	}
	files := map[string]string{
		"rabbitmq.conf": strings.Join(append([]string{
			"listeners.tcp.1 = 127.0.0.1:" + ports[0],
			"management.tcp.ip = 127.0.0.1",
			"management.tcp.port = " + ports[1],
			"loopback_users.guest = true",
			"disk_free_limit.absolute = 50MB",
			"log.file = false",
			"log.console = true",
			"listeners.ssl.1 = 127.0.0.1:" + ports[4],
			"ssl_options.cacertfile = " + certs.ca,
			"ssl_options.certfile = " + certs.cert,
			"ssl_options.keyfile = " + certs.key,
			"ssl_options.verify = verify_peer",
			"ssl_options.fail_if_no_peer_cert = false",
			"auth_mechanisms.1 = PLAIN",
			"auth_mechanisms.2 = AMQPLAIN",
			"auth_mechanisms.3 = EXTERNAL",
			"ssl_cert_login_from = common_name",
		}, o.RabbitMQ...), "\n") + "\n",
		"enabled_plugins": "[rabbitmq_management,rabbitmq_consistent_hash_exchange,rabbitmq_random_exchange,rabbitmq_auth_mechanism_ssl].\n",
	}
	for name, text := range files {
		if err := os.WriteFile(in(name), []byte(text), 0o644); err != nil {
			return nil, err
		}
	}
	env := append(os.Environ(),
		"HOME="+folder,
		"ERL_EPMD_ADDRESS=127.0.0.1", "ERL_EPMD_PORT="+ports[2],
		"RABBITMQ_DIST_PORT="+ports[3], "RABBITMQ_NODENAME=conformance"+ports[0]+"@localhost",
		"RABBITMQ_MNESIA_BASE="+in("data"), "RABBITMQ_LOG_BASE="+in("logs"),
		"RABBITMQ_CONFIG_FILE="+in("rabbitmq.conf"), "RABBITMQ_ENABLED_PLUGINS_FILE="+in("enabled_plugins"),
		"RABBITMQ_CONF_ENV_FILE="+in("none"), "RABBITMQ_GENERATED_CONFIG_DIR="+in("config"),
		`RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS=-kernel inet_dist_use_interface {127,0,0,1}`,
	)
	amqp, http := "127.0.0.1:"+ports[0], "127.0.0.1:"+ports[1]
	b := &Broker{
		addr: amqp, folder: folder, log: in("log"),
		command: func() *exec.Cmd {
			cmd := exec.Command(rabbitmqServer)
			cmd.Env = env
			return cmd
		},
		Peer: &conformance.Peer{
			URL: "amqp://guest:guest@" + amqp + "/", HTTP: "http://guest:guest@" + http,
			TLSAddr: "127.0.0.1:" + ports[4], TLSClient: certs.client,
		},
	}
	b.Peer.Restart = b.Restart
	// Erlang would start the port mapper as a daemon that outlives everything.
	epmd := exec.Command("epmd", "-address", "127.0.0.1", "-port", ports[2])
	if err := epmd.Start(); err != nil {
		b.Close()
		return nil, err
	}
	b.beside = epmd
	if err := b.start(); err != nil {
		b.Close()
		return nil, err
	}
	return b, nil
}
