package httpd

import (
	"runtime"
	"strconv"
	"time"

	"github.com/leveret-mq/leveret/internal/identity"
	"github.com/leveret-mq/leveret/monitor"
)

// nodePaths are what this file answers.
var nodePaths = map[string]resource{
	"/api/nodes":                        {get: action{monitoring, listNodes}},
	"/api/nodes/{node}":                 {get: action{monitoring, getNode}},
	"/api/nodes/{node}/memory":          {get: action{monitoring, getMemory}},
	"/api/nodes/{node}/memory/relative": {get: action{monitoring, getRelativeMemory}},
}

// nodeJSON is the one node that there is.
func (c *call) nodeJSON() (map[string]any, error) {
	w, err := c.windows()
	if err != nil {
		return nil, err
	}
	if plain, _ := c.plain(); plain {
		return map[string]any{"name": identity.Node, "type": "disc", "running": true}, nil
	}
	r := c.b.Resources()
	out := map[string]any{
		"name": identity.Node, "type": "disc", "running": true, "partitions": []string{}, "cluster_links": []any{},
		"rates_mode": "basic", "run_queue": 0, "net_ticktime": 60, "mem_calculation_strategy": "rss",
		"uptime": time.Since(r.Started).Milliseconds(), "processors": runtime.GOMAXPROCS(0), "proc_total": 1 << 20,
		"mem_limit": r.MemoryLimit, "mem_alarm": r.MemoryAlarm, "disk_free_limit": r.DiskLimit, "disk_free_alarm": r.DiskAlarm,
		"db_dir": r.Dir, "log_files": []string{"<stderr>"}, "config_files": []string{}, "enabled_plugins": []string{"rabbitmq_management", "rabbitmq_prometheus"},
		"exchange_types": exchangeTypes, "auth_mechanisms": authMechanisms, "contexts": c.s.contexts(),
		"applications": []map[string]string{
			{"name": "rabbit", "description": "RabbitMQ", "version": identity.RabbitMQ},
			{"name": "rabbitmq_management", "description": "RabbitMQ Management Console", "version": identity.RabbitMQ},
			{"name": "leveret", "description": "Leveret", "version": c.s.opts.Version},
		},
		"metrics_gc_queue_length": map[string]int{
			"connection_closed": 0, "channel_closed": 0, "consumer_deleted": 0, "exchange_deleted": 0, "queue_deleted": 0,
			"vhost_deleted": 0, "node_node_deleted": 0, "channel_consumer_deleted": 0,
		},
		"ra_open_file_metrics": map[string]int{"ra_log_wal": 0, "ra_log_segment_writer": 0},
	}
	_, churn := c.b.Counts()
	churnStats(&churn, c.figures(monitor.Object{Kind: monitor.Broker}, w.node)).merge(out)
	n, m := &monitor.NodeFigures{}, c.s.monitor.Load()
	if m != nil {
		n = m.Node()
	}
	out["os_pid"], out["fd_total"], out["sockets_total"] = strconv.Itoa(n.ProcessID), n.FDLimit, n.SocketLimit
	node := c.figures(monitor.Object{Kind: monitor.Node}, w.node)
	st, reads := &n.Storage, n.Storage.DiskReads()
	var l statList
	for _, each := range []struct {
		name string
		of   monitor.Field
		v    float64
	}{
		{"", monitor.MemoryUsed, float64(r.MemoryUsed)},
		{"", monitor.DiskFree, float64(r.DiskFree)},
		{"", monitor.FilesUsed, float64(n.FDs)},
		{"", monitor.SocketsUsed, float64(n.Sockets)},
		{"", monitor.Goroutines, float64(n.Goroutines)},
		{"", monitor.Collections, float64(n.Collections)},
		{"", monitor.CollectedBytes, float64(n.CollectedBytes)},
		{"", monitor.ContextSwitches, float64(n.ContextSwitches)},
		{"", monitor.ReadCount, float64(reads.Count)},
		{"", monitor.ReadBytes, float64(reads.Bytes)},
		{"", monitor.WriteCount, float64(st.WAL.Write.Count)},
		{"", monitor.WriteBytes, float64(st.Written.Total())},
		{"", monitor.WriteTime, n.WriteTime},
		{"", monitor.SyncCount, float64(st.WAL.Sync.Count)},
		{"", monitor.SyncTime, n.SyncTime},
		{"msg_store_read_count", monitor.ReadCount, float64(reads.Count)},
		{"msg_store_write_count", monitor.WriteCount, float64(st.WAL.Write.Count)},
	} {
		l = l.add(&node, each.of, each.v)
		if each.name != "" {
			l[len(l)-1].name = each.name
		}
	}
	for _, name := range nothingLikeIt {
		l = append(l, stat{name: name, detail: node.detail(monitor.Publish, 0)}) // of which a node has nothing
	}
	l.merge(out)
	if m != nil && c.r.URL.Query().Get("memory") == "true" {
		out["memory"] = memoryJSON(n)
	}
	return out, nil
}

// nothingLikeIt are figures of RabbitMQ's that mean nothing here. Typed clients expect
// them.
var nothingLikeIt = []string{
	"io_read_avg_time", "io_seek_count", "io_seek_avg_time", "io_reopen_count", "mnesia_ram_tx_count", "mnesia_disk_tx_count",
	"queue_index_read_count", "queue_index_write_count",
}

var authMechanisms = []typeJSON{
	{"PLAIN", "SASL PLAIN authentication mechanism", true},
	{"AMQPLAIN", "QPid AMQPLAIN mechanism", true},
	{"EXTERNAL", "TLS client certificates", true},
}

func listNodes(c *call) error {
	n, err := c.nodeJSON()
	if err != nil {
		return err
	}
	return list(c, []map[string]any{n})
}

// hasNode tells that the path names the node that there is.
func (c *call) hasNode() error {
	if c.r.PathValue("node") != identity.Node {
		return errNotFound
	}
	return nil
}

func getNode(c *call) error {
	if err := c.hasNode(); err != nil {
		return err
	}
	n, err := c.nodeJSON()
	if err != nil {
		return err
	}
	return c.one(n)
}

// memoryJSON tells what memory is used for, in bytes, by RabbitMQ's names as far as
// there is something like it.
func memoryJSON(n *monitor.NodeFigures) map[string]any {
	st := &n.Storage
	transient, cache := st.Memory.Bytes, st.Cache.Bytes
	heap := max(int64(n.Memory.Heap)-transient-cache, 0)
	out := map[string]any{
		"connection_readers": 0, "connection_writers": 0, "connection_channels": 0, "connection_other": n.Memory.Stacks,
		"queue_procs": heap, "queue_slave_procs": 0, "quorum_queue_procs": 0, "quorum_queue_dlx_procs": 0,
		"stream_queue_procs": 0, "stream_queue_replica_reader_procs": 0, "stream_queue_coordinator_procs": 0,
		"plugins": 0, "other_proc": 0, "metrics": 0, "mgmt_db": 0, "mnesia": 0, "quorum_ets": 0, "other_ets": 0,
		"binary": transient, "msg_index": cache, "code": 0, "atom": 0, "other_system": n.Memory.Runtime,
		"allocated_unused": n.Memory.Unused, "reserved_unallocated": n.Memory.Released, "strategy": "rss",
		"total": map[string]any{"erlang": n.Memory.Heap + n.Memory.Stacks + n.Memory.Runtime, "rss": n.Resident, "allocated": n.Memory.Total - n.Memory.Released},
	}
	return out
}

func getMemory(c *call) error {
	if err := c.hasNode(); err != nil {
		return err
	}
	m := c.s.monitor.Load()
	if m == nil {
		return errNotFound
	}
	return c.one(map[string]any{"memory": memoryJSON(m.Node())})
}

// getRelativeMemory is getMemory in hundredths of what is in use.
func getRelativeMemory(c *call) error {
	if err := c.hasNode(); err != nil {
		return err
	}
	m := c.s.monitor.Load()
	if m == nil {
		return errNotFound
	}
	parts := mustRow(memoryJSON(m.Node()))
	delete(parts, "total")
	delete(parts, "strategy")
	delete(parts, "reserved_unallocated")
	sum := 0.0
	for _, v := range parts {
		sum += v.(float64)
	}
	for name, v := range parts {
		parts[name] = int(v.(float64)*100/max(sum, 1) + 0.5)
	}
	parts["total"] = 100
	return c.one(map[string]any{"memory": parts})
}
