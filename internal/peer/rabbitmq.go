package peer

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
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

// RabbitMQVersion is the version that is installed, with Erlang's, empty if none is.
func RabbitMQVersion() string {
	found, _ := filepath.Glob("/usr/lib/rabbitmq/lib/rabbitmq_server-*")
	if len(found) == 0 {
		return ""
	}
	_, version, _ := strings.Cut(filepath.Base(found[len(found)-1]), "-")
	otp, _ := filepath.Glob("/usr/lib/erlang/releases/*/OTP_VERSION")
	for _, name := range otp {
		if text, err := os.ReadFile(name); err == nil {
			version += ", Erlang/OTP " + strings.TrimSpace(string(text))
		}
	}
	return version
}

// RabbitMQ starts a node of its own, with its own Erlang port mapper.
func RabbitMQ(ctx context.Context, o Options) (*Broker, error) {
	b, err := newBroker("rabbitmq", o)
	if err != nil {
		return nil, err
	}
	ports, err := freePorts(5)
	if err != nil {
		return nil, err
	}
	config := []string{
		"listeners.tcp.1 = 127.0.0.1:" + ports[0],
		"loopback_users.guest = true",
		"disk_free_limit.absolute = 50MB",
		"log.file = false",
		"log.console = true",
	}
	plugins := ""
	b.URL = "amqp://guest:guest@127.0.0.1:" + ports[0] + "/"
	if !o.Bare {
		certs, err := makeCertificates(b.folder)
		if err != nil {
			return nil, err
		}
		b.HTTP, b.TLSAddr, b.TLSClient = "http://guest:guest@127.0.0.1:"+ports[1], "127.0.0.1:"+ports[4], certs.client
		plugins = "rabbitmq_management,rabbitmq_consistent_hash_exchange,rabbitmq_random_exchange,rabbitmq_auth_mechanism_ssl"
		config = append(config,
			"management.tcp.ip = 127.0.0.1",
			"management.tcp.port = "+ports[1],
			"listeners.ssl.1 = "+b.TLSAddr,
			"ssl_options.cacertfile = "+certs.ca,
			"ssl_options.certfile = "+certs.cert,
			"ssl_options.keyfile = "+certs.key,
			"ssl_options.verify = verify_peer",
			"ssl_options.fail_if_no_peer_cert = false",
			"auth_mechanisms.1 = PLAIN",
			"auth_mechanisms.2 = AMQPLAIN",
			"auth_mechanisms.3 = EXTERNAL",
			"ssl_cert_login_from = common_name",
		)
	}
	files := map[string]string{
		"rabbitmq.conf":   strings.Join(append(config, o.Config...), "\n") + "\n",
		"enabled_plugins": "[" + plugins + "].\n",
	}
	for name, text := range files {
		if err := os.WriteFile(b.in(name), []byte(text), 0o644); err != nil {
			return nil, err
		}
	}
	env := append(os.Environ(),
		"HOME="+b.folder,
		"ERL_EPMD_ADDRESS=127.0.0.1", "ERL_EPMD_PORT="+ports[2],
		"RABBITMQ_DIST_PORT="+ports[3], "RABBITMQ_NODENAME=peer"+ports[0]+"@localhost",
		"RABBITMQ_MNESIA_BASE="+b.data(o), "RABBITMQ_LOG_BASE="+b.in("logs"),
		"RABBITMQ_CONFIG_FILE="+b.in("rabbitmq.conf"), "RABBITMQ_ENABLED_PLUGINS_FILE="+b.in("enabled_plugins"),
		"RABBITMQ_CONF_ENV_FILE="+b.in("none"), "RABBITMQ_GENERATED_CONFIG_DIR="+b.in("config"),
		`RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS=-kernel inet_dist_use_interface {127,0,0,1}`,
	)
	b.command = func() *exec.Cmd {
		cmd := exec.Command(rabbitmqServer, o.Args...)
		cmd.Env = env
		return cmd
	}
	// Erlang would start the port mapper as a daemon that outlives everything.
	epmd := exec.Command("epmd", "-address", "127.0.0.1", "-port", ports[2])
	epmd.SysProcAttr = attributes()
	if err := epmd.Start(); err != nil {
		b.Close()
		return nil, err
	}
	b.beside = epmd
	return b.begin(ctx)
}
