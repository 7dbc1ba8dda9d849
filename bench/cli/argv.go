package cli

import (
	"fmt"
	"strings"

	"github.com/spf13/pflag"
)

// short are the options that PerfTest spells with one dash and several letters.
var short = map[string]string{
	"ad":  "auto-delete",
	"ca":  "consumer-args",
	"ct":  "confirm-timeout",
	"jb":  "json-body",
	"mp":  "message-properties",
	"ms":  "use-millis",
	"qa":  "queue-args",
	"qp":  "queue-pattern",
	"qpf": "queue-pattern-from",
	"qpt": "queue-pattern-to",
	"qq":  "quorum-queue",
	"sb":  "skip-binding-queues",
	"st":  "shutdown-timeout",
}

// ignored are PerfTest's options that are about its own machinery: they are taken and
// mean nothing. True: with a value.
var ignored = map[string]bool{
	"b": true, "heartbeat": true, "M": true, "framemax": true, "l": false, "legacy-metrics": false,
	"hst": true, "heartbeat-sender-threads": true, "ctp": true, "consumers-thread-pools": true,
	"niot": true, "nio-threads": true, "niotp": true, "nio-thread-pool": true,
	"pst": true, "producer-scheduler-threads": true, "dcr": false, "disable-connection-recovery": false,
	"cri": true, "connection-recovery-interval": true, "udsc": false, "use-default-ssl-context": false,
	"bc": true, "body-count": true, "bfc": true, "body-field-count": true, "rkcs": true, "routing-key-cache-size": true,
	"mf": true, "metrics-format": true, "S": false, "slow-start": false, "prsd": true, "producer-random-start-delay": true,
}

// missing are PerfTest's options that change what a run does and are not there.
var missing = map[string]bool{
	"B": true, "body": true, "K": true, "random-routing-key": true, "m": true, "ptxsize": true, "n": true, "ctxsize": true,
	"na": true, "nack": true, "po": true, "polling": true, "pi": true, "polling-interval": true, "se": true, "sasl-external": true,
	"vl": true, "variable-latency": true, "vr": true, "variable-rate": true, "vs": true, "variable-size": true,
	"qf": true, "queue-file": true, "sst": true, "servers-startup-timeout": true, "sul": true, "servers-up-limit": true,
	"sni": true, "server-name-indication": true, "mh": true, "metrics-help": true, "env": true, "environment-variables": true,
}

// Translate makes flags as pflag knows them of arguments as PerfTest's users type
// them: -qa and -queue-args are --queue-args. Notes are what the user should know:
// options that are taken and mean nothing.
func Translate(args []string) (out, notes []string, err error) {
	f := flagSet(&options{})
	for i := 0; i < len(args); i++ {
		arg := args[i]
		if arg == "--" {
			return append(out, args[i:]...), notes, nil
		}
		if len(arg) < 2 || arg[0] != '-' {
			out = append(out, arg)
			continue
		}
		double := strings.HasPrefix(arg, "--")
		name, value, given := strings.Cut(strings.TrimLeft(arg, "-"), "=")
		if long, ok := short[name]; ok {
			name, double = long, true
		}
		flag := f.Lookup(name)
		switch {
		case flag != nil && (double || len(name) > 1):
			arg = "--" + name
			if given {
				arg += "=" + value
			}
		case hasKey(ignored, name):
			notes = append(notes, fmt.Sprintf("%s means nothing here", arg))
			if ignored[name] && !given {
				i++
			}
			continue
		case missing[name]:
			return nil, nil, fmt.Errorf("%s is an option of PerfTest that is not there", arg)
		case !double:
			// One letter, alone, with its value or with others: as pflag reads them.
			flag = f.ShorthandLookup(name[:min(1, len(name))])
			given = flag != nil && len(name) > 1 && flag.NoOptDefVal == "" || given
			if flag != nil && len(name) > 1 && flag.NoOptDefVal != "" {
				flag = f.ShorthandLookup(name[len(name)-1:])
			}
		}
		out = append(out, arg)
		if takesValue(flag) && !given && i+1 < len(args) {
			i++
			out = append(out, args[i])
		}
	}
	return out, notes, nil
}

func takesValue(f *pflag.Flag) bool { return f != nil && f.NoOptDefVal == "" }

func hasKey(m map[string]bool, key string) bool {
	_, ok := m[key]
	return ok
}
