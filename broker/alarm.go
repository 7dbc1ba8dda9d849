package broker

import "time"

// alarmLowDisk is the reason in connection.blocked, in RabbitMQ's words.
const alarmLowDisk = "low on disk"

// diskInterval is how often the free space is asked for.
const diskInterval = time.Second

// Alarm tells why publishers should be held up, "" where nothing is wrong. It
// costs an atomic load. Consumers may go on: acks make room.
func (b *Broker) Alarm() string { return *b.alarm.Load() }

// watchDisk keeps the alarm up to date.
func (b *Broker) watchDisk() {
	if b.opts.DiskFreeLimit < 0 {
		return
	}
	t := time.NewTicker(diskInterval)
	defer t.Stop()
	for {
		select {
		case <-t.C:
			b.lookAtDisk()
		case <-b.stop:
			return
		}
	}
}

func (b *Broker) lookAtDisk() {
	reason := ""
	if b.opts.DiskFreeLimit >= 0 {
		free, err := b.opts.Store.FS.Free(b.dir)
		switch {
		case err != nil:
			b.log.Warn("free disk space is unknown", "dir", b.dir, "err", err)
		case free < uint64(b.opts.DiskFreeLimit):
			reason = alarmLowDisk
		}
		if before := b.alarm.Load(); before != nil && *before != reason {
			b.log.Warn("disk alarm changed", "reason", reason, "free", free, "limit", b.opts.DiskFreeLimit, "dir", b.dir)
		}
	}
	b.alarm.Store(&reason)
}
