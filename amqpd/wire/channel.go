package wire

// ChannelOpen is channel.open.
type ChannelOpen struct{}

// ID returns IDChannelOpen.
func (*ChannelOpen) ID() ID { return IDChannelOpen }

func (*ChannelOpen) fields(c *coder) {
	c.reserved(ShortString)
}

// ChannelOpenOk is channel.open-ok.
type ChannelOpenOk struct{}

// ID returns IDChannelOpenOk.
func (*ChannelOpenOk) ID() ID { return IDChannelOpenOk }

func (*ChannelOpenOk) fields(c *coder) {
	c.reserved(LongString)
}

// ChannelFlow is channel.flow.
type ChannelFlow struct {
	Active bool
}

// ID returns IDChannelFlow.
func (*ChannelFlow) ID() ID { return IDChannelFlow }

func (m *ChannelFlow) fields(c *coder) {
	c.bits(&m.Active)
}

// ChannelFlowOk is channel.flow-ok.
type ChannelFlowOk struct {
	Active bool
}

// ID returns IDChannelFlowOk.
func (*ChannelFlowOk) ID() ID { return IDChannelFlowOk }

func (m *ChannelFlowOk) fields(c *coder) {
	c.bits(&m.Active)
}

// ChannelClose is channel.close.
type ChannelClose struct {
	ReplyCode uint16
	ReplyText string
	ClassID   uint16
	MethodID  uint16
}

// ID returns IDChannelClose.
func (*ChannelClose) ID() ID { return IDChannelClose }

func (m *ChannelClose) fields(c *coder) {
	c.short(&m.ReplyCode)
	c.shortstr(&m.ReplyText)
	c.short(&m.ClassID)
	c.short(&m.MethodID)
}

// ChannelCloseOk is channel.close-ok.
type ChannelCloseOk struct{}

// ID returns IDChannelCloseOk.
func (*ChannelCloseOk) ID() ID { return IDChannelCloseOk }

func (*ChannelCloseOk) fields(*coder) {}

// AccessRequest is access.request.
type AccessRequest struct {
	Realm     string
	Exclusive bool
	Passive   bool
	Active    bool
	Write     bool
	Read      bool
}

// ID returns IDAccessRequest.
func (*AccessRequest) ID() ID { return IDAccessRequest }

func (m *AccessRequest) fields(c *coder) {
	c.shortstr(&m.Realm)
	c.bits(&m.Exclusive, &m.Passive, &m.Active, &m.Write, &m.Read)
}

// AccessRequestOk is access.request-ok.
type AccessRequestOk struct {
	Ticket uint16
}

// ID returns IDAccessRequestOk.
func (*AccessRequestOk) ID() ID { return IDAccessRequestOk }

func (m *AccessRequestOk) fields(c *coder) {
	c.short(&m.Ticket)
}

// ConfirmSelect is confirm.select.
type ConfirmSelect struct {
	NoWait bool
}

// ID returns IDConfirmSelect.
func (*ConfirmSelect) ID() ID { return IDConfirmSelect }

func (m *ConfirmSelect) fields(c *coder) {
	c.bits(&m.NoWait)
}

// ConfirmSelectOk is confirm.select-ok.
type ConfirmSelectOk struct{}

// ID returns IDConfirmSelectOk.
func (*ConfirmSelectOk) ID() ID { return IDConfirmSelectOk }

func (*ConfirmSelectOk) fields(*coder) {}

// TxSelect is tx.select.
type TxSelect struct{}

// ID returns IDTxSelect.
func (*TxSelect) ID() ID { return IDTxSelect }

func (*TxSelect) fields(*coder) {}

// TxSelectOk is tx.select-ok.
type TxSelectOk struct{}

// ID returns IDTxSelectOk.
func (*TxSelectOk) ID() ID { return IDTxSelectOk }

func (*TxSelectOk) fields(*coder) {}

// TxCommit is tx.commit.
type TxCommit struct{}

// ID returns IDTxCommit.
func (*TxCommit) ID() ID { return IDTxCommit }

func (*TxCommit) fields(*coder) {}

// TxCommitOk is tx.commit-ok.
type TxCommitOk struct{}

// ID returns IDTxCommitOk.
func (*TxCommitOk) ID() ID { return IDTxCommitOk }

func (*TxCommitOk) fields(*coder) {}

// TxRollback is tx.rollback.
type TxRollback struct{}

// ID returns IDTxRollback.
func (*TxRollback) ID() ID { return IDTxRollback }

func (*TxRollback) fields(*coder) {}

// TxRollbackOk is tx.rollback-ok.
type TxRollbackOk struct{}

// ID returns IDTxRollbackOk.
func (*TxRollbackOk) ID() ID { return IDTxRollbackOk }

func (*TxRollbackOk) fields(*coder) {}
