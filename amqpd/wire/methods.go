package wire

// The methods of AMQP 0-9-1 with RabbitMQ's extensions, after the machine
// readable definition of the protocol (amqp0-9-1.extended.xml, published by
// RabbitMQ). Beyond AMQP 0-9-1 itself are: connection.blocked, unblocked and
// update-secret, exchange.bind and unbind, basic.nack, the class confirm, and
// the class access of AMQP 0-8, which some clients still ask for.

// The ids of the methods.
const (
	IDConnectionStart          ID = 10<<16 | 10
	IDConnectionStartOk        ID = 10<<16 | 11
	IDConnectionSecure         ID = 10<<16 | 20
	IDConnectionSecureOk       ID = 10<<16 | 21
	IDConnectionTune           ID = 10<<16 | 30
	IDConnectionTuneOk         ID = 10<<16 | 31
	IDConnectionOpen           ID = 10<<16 | 40
	IDConnectionOpenOk         ID = 10<<16 | 41
	IDConnectionClose          ID = 10<<16 | 50
	IDConnectionCloseOk        ID = 10<<16 | 51
	IDConnectionBlocked        ID = 10<<16 | 60
	IDConnectionUnblocked      ID = 10<<16 | 61
	IDConnectionUpdateSecret   ID = 10<<16 | 70
	IDConnectionUpdateSecretOk ID = 10<<16 | 71

	IDChannelOpen    ID = 20<<16 | 10
	IDChannelOpenOk  ID = 20<<16 | 11
	IDChannelFlow    ID = 20<<16 | 20
	IDChannelFlowOk  ID = 20<<16 | 21
	IDChannelClose   ID = 20<<16 | 40
	IDChannelCloseOk ID = 20<<16 | 41

	IDAccessRequest   ID = 30<<16 | 10
	IDAccessRequestOk ID = 30<<16 | 11

	IDExchangeDeclare   ID = 40<<16 | 10
	IDExchangeDeclareOk ID = 40<<16 | 11
	IDExchangeDelete    ID = 40<<16 | 20
	IDExchangeDeleteOk  ID = 40<<16 | 21
	IDExchangeBind      ID = 40<<16 | 30
	IDExchangeBindOk    ID = 40<<16 | 31
	IDExchangeUnbind    ID = 40<<16 | 40
	IDExchangeUnbindOk  ID = 40<<16 | 51

	IDQueueDeclare   ID = 50<<16 | 10
	IDQueueDeclareOk ID = 50<<16 | 11
	IDQueueBind      ID = 50<<16 | 20
	IDQueueBindOk    ID = 50<<16 | 21
	IDQueuePurge     ID = 50<<16 | 30
	IDQueuePurgeOk   ID = 50<<16 | 31
	IDQueueDelete    ID = 50<<16 | 40
	IDQueueDeleteOk  ID = 50<<16 | 41
	IDQueueUnbind    ID = 50<<16 | 50
	IDQueueUnbindOk  ID = 50<<16 | 51

	IDBasicQos          ID = 60<<16 | 10
	IDBasicQosOk        ID = 60<<16 | 11
	IDBasicConsume      ID = 60<<16 | 20
	IDBasicConsumeOk    ID = 60<<16 | 21
	IDBasicCancel       ID = 60<<16 | 30
	IDBasicCancelOk     ID = 60<<16 | 31
	IDBasicPublish      ID = 60<<16 | 40
	IDBasicReturn       ID = 60<<16 | 50
	IDBasicDeliver      ID = 60<<16 | 60
	IDBasicGet          ID = 60<<16 | 70
	IDBasicGetOk        ID = 60<<16 | 71
	IDBasicGetEmpty     ID = 60<<16 | 72
	IDBasicAck          ID = 60<<16 | 80
	IDBasicReject       ID = 60<<16 | 90
	IDBasicRecoverAsync ID = 60<<16 | 100
	IDBasicRecover      ID = 60<<16 | 110
	IDBasicRecoverOk    ID = 60<<16 | 111
	IDBasicNack         ID = 60<<16 | 120

	IDConfirmSelect   ID = 85<<16 | 10
	IDConfirmSelectOk ID = 85<<16 | 11

	IDTxSelect     ID = 90<<16 | 10
	IDTxSelectOk   ID = 90<<16 | 11
	IDTxCommit     ID = 90<<16 | 20
	IDTxCommitOk   ID = 90<<16 | 21
	IDTxRollback   ID = 90<<16 | 30
	IDTxRollbackOk ID = 90<<16 | 31
)

// alloc makes the Go type of a method.
func alloc[T any, P interface {
	*T
	Method
}]() Method {
	return P(new(T))
}

// definitions is the table that the codec is driven by: which methods there
// are, who may send them, what answers them and of which fields they consist.
// The Go types below list the same fields, which a test compares octet by octet.
var definitions = []Definition{
	{
		ID: IDConnectionStart, Name: "connection.start", From: FromServer, Reply: IDConnectionStartOk,
		Fields: []Field{
			{Name: "version-major", Kind: Octet}, {Name: "version-minor", Kind: Octet},
			{Name: "server-properties", Kind: TableField}, {Name: "mechanisms", Kind: LongString},
			{Name: "locales", Kind: LongString},
		},
		make: alloc[ConnectionStart],
	},
	{
		ID: IDConnectionStartOk, Name: "connection.start-ok", From: FromClient,
		Fields: []Field{
			{Name: "client-properties", Kind: TableField}, {Name: "mechanism", Kind: ShortString},
			{Name: "response", Kind: LongString}, {Name: "locale", Kind: ShortString},
		},
		make: alloc[ConnectionStartOk],
	},
	{
		ID: IDConnectionSecure, Name: "connection.secure", From: FromServer, Reply: IDConnectionSecureOk,
		Fields: []Field{
			{Name: "challenge", Kind: LongString},
		},
		make: alloc[ConnectionSecure],
	},
	{
		ID: IDConnectionSecureOk, Name: "connection.secure-ok", From: FromClient,
		Fields: []Field{
			{Name: "response", Kind: LongString},
		},
		make: alloc[ConnectionSecureOk],
	},
	{
		ID: IDConnectionTune, Name: "connection.tune", From: FromServer, Reply: IDConnectionTuneOk,
		Fields: []Field{
			{Name: "channel-max", Kind: Short}, {Name: "frame-max", Kind: Long},
			{Name: "heartbeat", Kind: Short},
		},
		make: alloc[ConnectionTune],
	},
	{
		ID: IDConnectionTuneOk, Name: "connection.tune-ok", From: FromClient,
		Fields: []Field{
			{Name: "channel-max", Kind: Short}, {Name: "frame-max", Kind: Long},
			{Name: "heartbeat", Kind: Short},
		},
		make: alloc[ConnectionTuneOk],
	},
	{
		ID: IDConnectionOpen, Name: "connection.open", From: FromClient, Reply: IDConnectionOpenOk,
		Fields: []Field{
			{Name: "virtual-host", Kind: ShortString},
			{Name: "capabilities", Kind: ShortString, Reserved: true},
			{Name: "insist", Kind: Bit, Reserved: true},
		},
		make: alloc[ConnectionOpen],
	},
	{
		ID: IDConnectionOpenOk, Name: "connection.open-ok", From: FromServer,
		Fields: []Field{
			{Name: "known-hosts", Kind: ShortString, Reserved: true},
		},
		make: alloc[ConnectionOpenOk],
	},
	{
		ID: IDConnectionClose, Name: "connection.close", From: FromBoth, Reply: IDConnectionCloseOk,
		Fields: []Field{
			{Name: "reply-code", Kind: Short}, {Name: "reply-text", Kind: ShortString},
			{Name: "class-id", Kind: Short}, {Name: "method-id", Kind: Short},
		},
		make: alloc[ConnectionClose],
	},
	{
		ID: IDConnectionCloseOk, Name: "connection.close-ok", From: FromBoth,
		make: alloc[ConnectionCloseOk],
	},
	{
		ID: IDConnectionBlocked, Name: "connection.blocked", From: FromServer,
		Fields: []Field{
			{Name: "reason", Kind: ShortString},
		},
		make: alloc[ConnectionBlocked],
	},
	{
		ID: IDConnectionUnblocked, Name: "connection.unblocked", From: FromServer,
		make: alloc[ConnectionUnblocked],
	},
	{
		ID: IDConnectionUpdateSecret, Name: "connection.update-secret", From: FromClient, Reply: IDConnectionUpdateSecretOk,
		Fields: []Field{
			{Name: "new-secret", Kind: LongString}, {Name: "reason", Kind: ShortString},
		},
		make: alloc[ConnectionUpdateSecret],
	},
	{
		ID: IDConnectionUpdateSecretOk, Name: "connection.update-secret-ok", From: FromServer,
		make: alloc[ConnectionUpdateSecretOk],
	},
	{
		ID: IDChannelOpen, Name: "channel.open", From: FromClient, Reply: IDChannelOpenOk,
		Fields: []Field{
			{Name: "out-of-band", Kind: ShortString, Reserved: true},
		},
		make: alloc[ChannelOpen],
	},
	{
		ID: IDChannelOpenOk, Name: "channel.open-ok", From: FromServer,
		Fields: []Field{
			{Name: "channel-id", Kind: LongString, Reserved: true},
		},
		make: alloc[ChannelOpenOk],
	},
	{
		ID: IDChannelFlow, Name: "channel.flow", From: FromBoth, Reply: IDChannelFlowOk,
		Fields: []Field{
			{Name: "active", Kind: Bit},
		},
		make: alloc[ChannelFlow],
	},
	{
		ID: IDChannelFlowOk, Name: "channel.flow-ok", From: FromBoth,
		Fields: []Field{
			{Name: "active", Kind: Bit},
		},
		make: alloc[ChannelFlowOk],
	},
	{
		ID: IDChannelClose, Name: "channel.close", From: FromBoth, Reply: IDChannelCloseOk,
		Fields: []Field{
			{Name: "reply-code", Kind: Short}, {Name: "reply-text", Kind: ShortString},
			{Name: "class-id", Kind: Short}, {Name: "method-id", Kind: Short},
		},
		make: alloc[ChannelClose],
	},
	{
		ID: IDChannelCloseOk, Name: "channel.close-ok", From: FromBoth,
		make: alloc[ChannelCloseOk],
	},
	{
		ID: IDAccessRequest, Name: "access.request", From: FromClient, Reply: IDAccessRequestOk,
		Fields: []Field{
			{Name: "realm", Kind: ShortString}, {Name: "exclusive", Kind: Bit}, {Name: "passive", Kind: Bit},
			{Name: "active", Kind: Bit}, {Name: "write", Kind: Bit}, {Name: "read", Kind: Bit},
		},
		make: alloc[AccessRequest],
	},
	{
		ID: IDAccessRequestOk, Name: "access.request-ok", From: FromServer,
		Fields: []Field{
			{Name: "ticket", Kind: Short},
		},
		make: alloc[AccessRequestOk],
	},
	{
		ID: IDExchangeDeclare, Name: "exchange.declare", From: FromClient, Reply: IDExchangeDeclareOk,
		Fields: []Field{
			{Name: "ticket", Kind: Short, Reserved: true}, {Name: "exchange", Kind: ShortString},
			{Name: "type", Kind: ShortString}, {Name: "passive", Kind: Bit}, {Name: "durable", Kind: Bit},
			{Name: "auto-delete", Kind: Bit}, {Name: "internal", Kind: Bit}, {Name: "no-wait", Kind: Bit},
			{Name: "arguments", Kind: TableField},
		},
		make: alloc[ExchangeDeclare],
	},
	{
		ID: IDExchangeDeclareOk, Name: "exchange.declare-ok", From: FromServer,
		make: alloc[ExchangeDeclareOk],
	},
	{
		ID: IDExchangeDelete, Name: "exchange.delete", From: FromClient, Reply: IDExchangeDeleteOk,
		Fields: []Field{
			{Name: "ticket", Kind: Short, Reserved: true}, {Name: "exchange", Kind: ShortString},
			{Name: "if-unused", Kind: Bit}, {Name: "no-wait", Kind: Bit},
		},
		make: alloc[ExchangeDelete],
	},
	{
		ID: IDExchangeDeleteOk, Name: "exchange.delete-ok", From: FromServer,
		make: alloc[ExchangeDeleteOk],
	},
	{
		ID: IDExchangeBind, Name: "exchange.bind", From: FromClient, Reply: IDExchangeBindOk,
		Fields: []Field{
			{Name: "ticket", Kind: Short, Reserved: true}, {Name: "destination", Kind: ShortString},
			{Name: "source", Kind: ShortString}, {Name: "routing-key", Kind: ShortString},
			{Name: "no-wait", Kind: Bit}, {Name: "arguments", Kind: TableField},
		},
		make: alloc[ExchangeBind],
	},
	{
		ID: IDExchangeBindOk, Name: "exchange.bind-ok", From: FromServer,
		make: alloc[ExchangeBindOk],
	},
	{
		ID: IDExchangeUnbind, Name: "exchange.unbind", From: FromClient, Reply: IDExchangeUnbindOk,
		Fields: []Field{
			{Name: "ticket", Kind: Short, Reserved: true}, {Name: "destination", Kind: ShortString},
			{Name: "source", Kind: ShortString}, {Name: "routing-key", Kind: ShortString},
			{Name: "no-wait", Kind: Bit}, {Name: "arguments", Kind: TableField},
		},
		make: alloc[ExchangeUnbind],
	},
	{
		ID: IDExchangeUnbindOk, Name: "exchange.unbind-ok", From: FromServer,
		make: alloc[ExchangeUnbindOk],
	},
	{
		ID: IDQueueDeclare, Name: "queue.declare", From: FromClient, Reply: IDQueueDeclareOk,
		Fields: []Field{
			{Name: "ticket", Kind: Short, Reserved: true}, {Name: "queue", Kind: ShortString},
			{Name: "passive", Kind: Bit}, {Name: "durable", Kind: Bit}, {Name: "exclusive", Kind: Bit},
			{Name: "auto-delete", Kind: Bit}, {Name: "no-wait", Kind: Bit},
			{Name: "arguments", Kind: TableField},
		},
		make: alloc[QueueDeclare],
	},
	{
		ID: IDQueueDeclareOk, Name: "queue.declare-ok", From: FromServer,
		Fields: []Field{
			{Name: "queue", Kind: ShortString}, {Name: "message-count", Kind: Long},
			{Name: "consumer-count", Kind: Long},
		},
		make: alloc[QueueDeclareOk],
	},
	{
		ID: IDQueueBind, Name: "queue.bind", From: FromClient, Reply: IDQueueBindOk,
		Fields: []Field{
			{Name: "ticket", Kind: Short, Reserved: true}, {Name: "queue", Kind: ShortString},
			{Name: "exchange", Kind: ShortString}, {Name: "routing-key", Kind: ShortString},
			{Name: "no-wait", Kind: Bit}, {Name: "arguments", Kind: TableField},
		},
		make: alloc[QueueBind],
	},
	{
		ID: IDQueueBindOk, Name: "queue.bind-ok", From: FromServer,
		make: alloc[QueueBindOk],
	},
	{
		ID: IDQueuePurge, Name: "queue.purge", From: FromClient, Reply: IDQueuePurgeOk,
		Fields: []Field{
			{Name: "ticket", Kind: Short, Reserved: true}, {Name: "queue", Kind: ShortString},
			{Name: "no-wait", Kind: Bit},
		},
		make: alloc[QueuePurge],
	},
	{
		ID: IDQueuePurgeOk, Name: "queue.purge-ok", From: FromServer,
		Fields: []Field{
			{Name: "message-count", Kind: Long},
		},
		make: alloc[QueuePurgeOk],
	},
	{
		ID: IDQueueDelete, Name: "queue.delete", From: FromClient, Reply: IDQueueDeleteOk,
		Fields: []Field{
			{Name: "ticket", Kind: Short, Reserved: true}, {Name: "queue", Kind: ShortString},
			{Name: "if-unused", Kind: Bit}, {Name: "if-empty", Kind: Bit}, {Name: "no-wait", Kind: Bit},
		},
		make: alloc[QueueDelete],
	},
	{
		ID: IDQueueDeleteOk, Name: "queue.delete-ok", From: FromServer,
		Fields: []Field{
			{Name: "message-count", Kind: Long},
		},
		make: alloc[QueueDeleteOk],
	},
	{
		ID: IDQueueUnbind, Name: "queue.unbind", From: FromClient, Reply: IDQueueUnbindOk,
		Fields: []Field{
			{Name: "ticket", Kind: Short, Reserved: true}, {Name: "queue", Kind: ShortString},
			{Name: "exchange", Kind: ShortString}, {Name: "routing-key", Kind: ShortString},
			{Name: "arguments", Kind: TableField},
		},
		make: alloc[QueueUnbind],
	},
	{
		ID: IDQueueUnbindOk, Name: "queue.unbind-ok", From: FromServer,
		make: alloc[QueueUnbindOk],
	},
	{
		ID: IDBasicQos, Name: "basic.qos", From: FromClient, Reply: IDBasicQosOk,
		Fields: []Field{
			{Name: "prefetch-size", Kind: Long}, {Name: "prefetch-count", Kind: Short},
			{Name: "global", Kind: Bit},
		},
		make: alloc[BasicQos],
	},
	{
		ID: IDBasicQosOk, Name: "basic.qos-ok", From: FromServer,
		make: alloc[BasicQosOk],
	},
	{
		ID: IDBasicConsume, Name: "basic.consume", From: FromClient, Reply: IDBasicConsumeOk,
		Fields: []Field{
			{Name: "ticket", Kind: Short, Reserved: true}, {Name: "queue", Kind: ShortString},
			{Name: "consumer-tag", Kind: ShortString}, {Name: "no-local", Kind: Bit},
			{Name: "no-ack", Kind: Bit}, {Name: "exclusive", Kind: Bit}, {Name: "no-wait", Kind: Bit},
			{Name: "arguments", Kind: TableField},
		},
		make: alloc[BasicConsume],
	},
	{
		ID: IDBasicConsumeOk, Name: "basic.consume-ok", From: FromServer,
		Fields: []Field{
			{Name: "consumer-tag", Kind: ShortString},
		},
		make: alloc[BasicConsumeOk],
	},
	{
		ID: IDBasicCancel, Name: "basic.cancel", From: FromBoth, Reply: IDBasicCancelOk,
		Fields: []Field{
			{Name: "consumer-tag", Kind: ShortString}, {Name: "no-wait", Kind: Bit},
		},
		make: alloc[BasicCancel],
	},
	{
		ID: IDBasicCancelOk, Name: "basic.cancel-ok", From: FromBoth,
		Fields: []Field{
			{Name: "consumer-tag", Kind: ShortString},
		},
		make: alloc[BasicCancelOk],
	},
	{
		ID: IDBasicPublish, Name: "basic.publish", From: FromClient, Content: true,
		Fields: []Field{
			{Name: "ticket", Kind: Short, Reserved: true}, {Name: "exchange", Kind: ShortString},
			{Name: "routing-key", Kind: ShortString}, {Name: "mandatory", Kind: Bit},
			{Name: "immediate", Kind: Bit},
		},
		make: alloc[BasicPublish],
	},
	{
		ID: IDBasicReturn, Name: "basic.return", From: FromServer, Content: true,
		Fields: []Field{
			{Name: "reply-code", Kind: Short}, {Name: "reply-text", Kind: ShortString},
			{Name: "exchange", Kind: ShortString}, {Name: "routing-key", Kind: ShortString},
		},
		make: alloc[BasicReturn],
	},
	{
		ID: IDBasicDeliver, Name: "basic.deliver", From: FromServer, Content: true,
		Fields: []Field{
			{Name: "consumer-tag", Kind: ShortString}, {Name: "delivery-tag", Kind: LongLong},
			{Name: "redelivered", Kind: Bit}, {Name: "exchange", Kind: ShortString},
			{Name: "routing-key", Kind: ShortString},
		},
		make: alloc[BasicDeliver],
	},
	{
		ID: IDBasicGet, Name: "basic.get", From: FromClient, Reply: IDBasicGetOk,
		Fields: []Field{
			{Name: "ticket", Kind: Short, Reserved: true}, {Name: "queue", Kind: ShortString},
			{Name: "no-ack", Kind: Bit},
		},
		make: alloc[BasicGet],
	},
	{
		ID: IDBasicGetOk, Name: "basic.get-ok", From: FromServer, Content: true,
		Fields: []Field{
			{Name: "delivery-tag", Kind: LongLong}, {Name: "redelivered", Kind: Bit},
			{Name: "exchange", Kind: ShortString}, {Name: "routing-key", Kind: ShortString},
			{Name: "message-count", Kind: Long},
		},
		make: alloc[BasicGetOk],
	},
	{
		ID: IDBasicGetEmpty, Name: "basic.get-empty", From: FromServer,
		Fields: []Field{
			{Name: "cluster-id", Kind: ShortString, Reserved: true},
		},
		make: alloc[BasicGetEmpty],
	},
	{
		ID: IDBasicAck, Name: "basic.ack", From: FromBoth,
		Fields: []Field{
			{Name: "delivery-tag", Kind: LongLong}, {Name: "multiple", Kind: Bit},
		},
		make: alloc[BasicAck],
	},
	{
		ID: IDBasicReject, Name: "basic.reject", From: FromClient,
		Fields: []Field{
			{Name: "delivery-tag", Kind: LongLong}, {Name: "requeue", Kind: Bit},
		},
		make: alloc[BasicReject],
	},
	{
		ID: IDBasicRecoverAsync, Name: "basic.recover-async", From: FromClient,
		Fields: []Field{
			{Name: "requeue", Kind: Bit},
		},
		make: alloc[BasicRecoverAsync],
	},
	{
		ID: IDBasicRecover, Name: "basic.recover", From: FromClient, Reply: IDBasicRecoverOk,
		Fields: []Field{
			{Name: "requeue", Kind: Bit},
		},
		make: alloc[BasicRecover],
	},
	{
		ID: IDBasicRecoverOk, Name: "basic.recover-ok", From: FromServer,
		make: alloc[BasicRecoverOk],
	},
	{
		ID: IDBasicNack, Name: "basic.nack", From: FromBoth,
		Fields: []Field{
			{Name: "delivery-tag", Kind: LongLong}, {Name: "multiple", Kind: Bit},
			{Name: "requeue", Kind: Bit},
		},
		make: alloc[BasicNack],
	},
	{
		ID: IDConfirmSelect, Name: "confirm.select", From: FromClient, Reply: IDConfirmSelectOk,
		Fields: []Field{
			{Name: "no-wait", Kind: Bit},
		},
		make: alloc[ConfirmSelect],
	},
	{
		ID: IDConfirmSelectOk, Name: "confirm.select-ok", From: FromServer,
		make: alloc[ConfirmSelectOk],
	},
	{
		ID: IDTxSelect, Name: "tx.select", From: FromClient, Reply: IDTxSelectOk,
		make: alloc[TxSelect],
	},
	{
		ID: IDTxSelectOk, Name: "tx.select-ok", From: FromServer,
		make: alloc[TxSelectOk],
	},
	{
		ID: IDTxCommit, Name: "tx.commit", From: FromClient, Reply: IDTxCommitOk,
		make: alloc[TxCommit],
	},
	{
		ID: IDTxCommitOk, Name: "tx.commit-ok", From: FromServer,
		make: alloc[TxCommitOk],
	},
	{
		ID: IDTxRollback, Name: "tx.rollback", From: FromClient, Reply: IDTxRollbackOk,
		make: alloc[TxRollback],
	},
	{
		ID: IDTxRollbackOk, Name: "tx.rollback-ok", From: FromServer,
		make: alloc[TxRollbackOk],
	},
}
