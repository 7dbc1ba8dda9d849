package rabbitmqctl

import (
	"fmt"
	"slices"
	"strings"
)

// command is one of the table.
type command struct {
	name    string
	usage   string
	short   string
	group   string
	min     int
	max     int             // arguments; -1 any number
	options map[string]bool // its own; true for those with a value
	columns *columns        // of lists whose arguments are columns
	run     func(c *call) error
}

// columns are those that a list has.
type columns struct {
	list     []column
	standard string // those that are shown where none is named
	fixed    bool   // they keep the list's order, whatever the caller's
}

// column is one of a list.
type column struct {
	name string
	show func(o object) any
}

func (s *columns) names() []string {
	out := make([]string, len(s.list))
	for i, c := range s.list {
		out[i] = c.name
	}
	return out
}

// choose checks the columns that a caller names, which may be separated by commas.
func (s *columns) choose(args []string) ([]string, error) {
	var names []string
	for _, arg := range args {
		for _, name := range strings.FieldsFunc(arg, func(r rune) bool { return r == ',' || r == ' ' }) {
			if !slices.Contains(names, name) {
				names = append(names, name)
			}
		}
	}
	if len(names) == 0 {
		return strings.Fields(s.standard), nil
	}
	var bad []string
	for _, name := range names {
		if !slices.Contains(s.names(), name) {
			bad = append(bad, name)
		}
	}
	if len(bad) > 0 {
		slices.Sort(bad)
		return nil, &badArgument{exitUsage, fmt.Sprintf("Info key(s) %s are not supported", strings.Join(bad, ","))}
	}
	if s.fixed {
		kept := names
		names = nil
		for _, c := range s.list {
			if slices.Contains(kept, c.name) {
				names = append(names, c.name)
			}
		}
	}
	return names, nil
}

// row is an object's values in some columns.
func (s *columns) row(o object, names []string) []any {
	out := make([]any, len(names))
	for i, name := range names {
		at := slices.IndexFunc(s.list, func(c column) bool { return c.name == name })
		out[i] = s.list[at].show(o)
	}
	return out
}

// groups are the headings of the overview.
var groups = []string{
	"Help", "Nodes", "Users", "Access Control", "Monitoring, observability and health checks", "Parameters", "Policies", "Virtual hosts",
	"Configuration and Environment", "Definitions", "Operations", "Queues",
}

// commands is the table; it is a function since help is one of them.
func commands() []*command {
	return slices.Concat(userCommands, permissionCommands, vhostCommands, policyCommands, parameterCommands, listCommands, operationCommands, nodeCommands, checkCommands)
}

func find(name string) *command {
	list := commands()
	if i := slices.IndexFunc(list, func(c *command) bool { return c.name == name }); i >= 0 {
		return list[i]
	}
	return nil
}

// Knows tells whether a word is a command of rabbitmqctl, also one that means nothing
// here.
func Knows(name string) bool { return find(name) != nil || elsewhere[name] != "" }

const (
	oneNode = "Leveret is one node, there is no cluster to change"
	service = "the process is its service manager's: systemctl stop leveret, or SIGTERM"
	byFile  = "it is part of the configuration: see leveret serve --help"
	erlang  = "there is no Erlang in Leveret"
)

// elsewhere are RabbitMQ's commands that cannot mean anything here, and what to do
// instead.
var elsewhere = map[string]string{
	"stop": service, "shutdown": service, "stop_app": service, "start_app": service, "reset": "stop the broker and give it an empty --data-dir",
	"force_reset": "stop the broker and give it an empty --data-dir", "force_boot": oneNode,
	"join_cluster": oneNode, "forget_cluster_node": oneNode, "change_cluster_node_type": oneNode, "rename_cluster_node": oneNode, "update_cluster_nodes": oneNode,
	"sync_queue": oneNode, "cancel_sync_queue": oneNode, "restart_vhost": "a vhost does not fail by itself here",
	"eval": erlang, "eval_file": erlang, "exec": erlang, "force_gc": erlang, "encode": erlang, "decode": erlang, "list_ciphers": erlang, "list_hashes": erlang,
	"environment":         "leveret serve --help lists the configuration",
	"set_disk_free_limit": byFile, "set_vm_memory_high_watermark": byFile,
	"set_log_level": "set log-level in the configuration file; SIGHUP (systemctl reload leveret) lets the broker read it again",
	"report":        "leveret status and leveret log stat describe the broker", "schema_info": "leveret log dump shows what is kept",
	"trace_on": "there is no firehose; leveret queue peek shows messages", "trace_off": "there is no firehose",
	"suspend_listeners": "stop the broker, or bind its listeners elsewhere", "resume_listeners": "listeners are never suspended",
	"list_node_auth_attempt_stats": "leveret audit shows logins that were refused",
	"list_unresponsive_queues":     "queues are not processes here",
	"hipe_compile":                 erlang,
}
