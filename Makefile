# Leveret: `make run` builds and serves with data in ./data, `make test` proves
# the build. Both install what they need; Go 1.26 is the only thing presumed.

GO       ?= go
BIN      := bin/leveret
VERSION  := $(shell git describe --tags --always --dirty 2>/dev/null || echo unknown)
LDFLAGS  := -s -w -X main.version=$(VERSION)
FUZZTIME ?= 10s
ROUNDS   ?= 200

# Packages with goroutines of their own are tested a second time under the race
# detector; allocation counts are only true without it, so both runs stand.
RACE := ./internal/... ./access/... ./audit/... ./wal/... ./segment/... ./index/... ./store/... ./broker/... ./amqpd/... ./monitor/... ./exporter/... ./definitions/... ./httpd/... ./bench/... ./cmd/...

SCALE    ?= 1

PEER     ?= leveret

.PHONY: all ui check-ui build run test check fmt vet staticcheck unit race e2e conformance deps fuzz crash bench bench-store bench-peers cost pgo clean

all: build

build: ui
	$(GO) build -trimpath -ldflags '$(LDFLAGS)' -o $(BIN) ./cmd/leveret

# The management page, from ui/ into the folder that is embedded. Nothing is done where
# nothing changed; npm's packages are installed anew where the lock did.
PAGE := httpd/page/dist/index.html
NPM  := ui/node_modules/.package-lock.json

ui: $(PAGE)

$(PAGE): $(NPM) ui/build.mjs ui/tsconfig.json $(shell find ui/src)
	cd ui && npm run --silent check && npm run --silent build

$(NPM): ui/package.json ui/package-lock.json
	./ui/install-npm

check-ui: $(NPM)
	cd ui && npm run --silent check && npm run --silent test

run: build
	./$(BIN) serve

# Everything: formatting, vet, staticcheck, unit tests with their fuzz corpora,
# the race detector, and real clients against the built binary.
test: deps check unit race e2e
	@echo "make test: all passed"

check: fmt vet staticcheck check-ui

fmt:
	@out="$$(gofmt -l $$(git ls-files -co --exclude-standard '*.go'))"; \
	if [ -n "$$out" ]; then echo "not gofmt-ed:"; echo "$$out"; exit 1; fi

vet:
	$(GO) vet ./...

staticcheck:
	$(GO) tool staticcheck ./...

unit:
	$(GO) test $$($(GO) list ./... | grep -v /internal/e2e)

race:
	$(GO) test -race $$($(GO) list $(RACE) | grep -v /internal/e2e)

e2e: build deps
	$(GO) test -count=1 -timeout 12m ./internal/e2e/...

# What RabbitMQ's clients expect, against Leveret or PEER=rabbitmq, Debian's. Writes
# docs/compatibility.md, or RabbitMQ's column of it.
conformance:
	CONFORMANCE_PEER=$(PEER) CONFORMANCE_UPDATE=1 $(GO) test -count=1 -timeout 15m -run TestConformance ./conformance

# The real clients that the end-to-end tests drive, from the distribution.
deps:
	@./internal/e2e/install-clients

# Each fuzz target in turn, FUZZTIME long.
fuzz:
	@for pkg in $$($(GO) list ./...); do \
	  for f in $$($(GO) test -list '^Fuzz' $$pkg | grep '^Fuzz' || true); do \
	    echo "$$pkg $$f"; $(GO) test -run '^$$' -fuzz "^$$f$$" -fuzztime $(FUZZTIME) -fuzzminimizetime 100x $$pkg || exit 1; \
	  done; done

# kill -9 of the real binary under load, ROUNDS times.
crash: build
	CRASH_ROUNDS=$(ROUNDS) $(GO) test -count=1 -timeout 60m -v -run 'Kill' ./internal/e2e

# What a message costs in instructions, by flow, counted anew and noted in
# internal/cost/figures.tsv: for a change that is meant to cost more, or less.
cost:
	COST_UPDATE=1 $(GO) test -count=1 -v -run TestInstructions ./internal/cost

# The profile that the compiler goes by (PGO), taken anew from the load tool's scenarios
# and committed: go build finds it by itself.
pgo: build
	$(GO) run -pgo=off ./bench/cmd/pgo -leveret $(BIN) -dir /var/tmp -o cmd/leveret/default.pgo

bench:
	$(GO) test -run '^$$' -bench . -benchmem ./wal ./segment ./index ./store ./broker/... ./amqpd/...

# What the storage engine promises, measured: a table, in half an hour. SCALE=0.01
# is a trial of a minute.
bench-store: build
	$(GO) run ./bench/cmd/storebench -broker $(BIN) -dir /var/tmp -scale $(SCALE)

# Leveret beside its ceilings, RabbitMQ (Debian's, installed where it is missing) and NATS,
# in turn: ratios and what they must reach, in some 20 minutes. The whole goes to
# bench/results and into README.md; with ONLY=flow-100,one PEERS=rabbitmq|none RUNS=1
# SCALE=0.1 it is a trial, which SAVE=-save puts there all the same.
RUNS ?= 3
SAVE ?= $(if $(or $(ONLY),$(PEERS),$(filter-out 3,$(RUNS)),$(filter-out 1,$(SCALE))),,-save)

bench-peers: build $(if $(filter-out all,$(PEERS)),$(if $(findstring jetstream,$(PEERS)),bin/nats-server),bin/nats-server)
	$(GO) build -o bin/peersbench ./bench/cmd/peersbench
	bin/peersbench -leveret $(BIN) -nats bin/nats-server -dir /var/tmp -scale $(SCALE) -runs $(RUNS) -only '$(ONLY)' -peers '$(PEERS)' $(SAVE)

bin/nats-server:
	GOBIN=$(CURDIR)/bin $(GO) install github.com/nats-io/nats-server/v2@v2.15.2

clean:
	rm -rf bin httpd/page/dist/*
