# What can be done with the source code; "make help" lists it.

GO       ?= go
FUZZTIME ?= 20s
BENCH    ?= .

# Packages in which goroutines meet, for the race detector.
RACE ?= ./config ./internal/certs ./internal/ctl ./internal/daemon ./internal/deliver ./internal/identity \
	./internal/privsep ./internal/ratelimit ./internal/safefile ./internal/submit ./mlog ./queue/... ./smtpserver ./imapserver ./imapclient ./smtpclient ./store/...

.PHONY: help build run test race test-packages check bench junkbench junkprior fuzz crashtest upgradetest soak fmt generate

help: ## list what make can do
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "%-14s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

build: ## build mox, one static binary
	CGO_ENABLED=0 $(GO) build -trimpath -o mox .

run: ## run a mail server for trying out, on ports 1000 and up
	$(GO) run . localserve

test: test-packages race ## run all tests, with the race detector too
	CGO_ENABLED=0 $(GO) test -timeout 25m ./...

race: ## run the short tests of concurrent packages with the race detector
	@scripts/race.sh $(GO) test -race -short -timeout 15m $(RACE)

test-packages: ## install or name the programs that tests use
	@scripts/install-test-packages.sh

check: ## check format, vet, staticcheck, layers, documentation and generated files
	@scripts/gofmt.sh
	$(GO) vet ./...
	$(GO) tool -modfile=tools/go.mod staticcheck ./...
	CGO_ENABLED=0 $(GO) test -count=1 .

bench: ## run benchmarks (BENCH=regexp), with the programs they compare with
	@scripts/install-test-packages.sh bench
	CGO_ENABLED=0 $(GO) test -run '^$$' -bench '$(BENCH)' -timeout 2h ./internal/bench
	CGO_ENABLED=0 $(GO) test -run '^$$' -bench '$(BENCH)' -benchmem -timeout 2h $$($(GO) list ./... | grep -v '/internal/bench$$')

junkbench: ## measure the junk filter on a corpus, with bogofilter beside it
	@scripts/install-test-packages.sh bench
	MOX_JUNKBENCH=1 CGO_ENABLED=0 $(GO) test -count=1 -timeout 1h -v -run '^TestJunkBench$$' ./internal/junkbench

junkprior: ## make the prior of the junk filter again, from a corpus
	MOX_JUNKPRIOR=$(CURDIR)/junk/prior.gz CGO_ENABLED=0 $(GO) test -count=1 -run '^TestMakePrior$$' ./internal/junkbench

fuzz: ## run each fuzz target for FUZZTIME, 20s
	@FUZZTIME=$(FUZZTIME) scripts/fuzz.sh

crashtest: ## kill the server 50 times under load and verify its data
	MOX_SOAK=1 MOX_CRASH_ROUNDS=50 CGO_ENABLED=0 $(GO) test -count=1 -timeout 2h -run 'Crash|PowerCut' -v ./...

upgradetest: ## make data with earlier versions, take it over with this one, and go back
	MOX_UPGRADETEST=1 CGO_ENABLED=0 $(GO) test -count=1 -timeout 20m -run '^TestUpgrade$$' -v ./internal/e2e

soak: test-packages ## run the long forms of all tests
	MOX_SOAK=1 MOX_CRASH_ROUNDS=50 CGO_ENABLED=0 $(GO) test -count=1 -timeout 6h -v ./...
	$(MAKE) fuzz FUZZTIME=1m

fmt: ## format all source files
	gofmt -w $$(git ls-files '*.go')

generate: ## write the generated parts of docs/
	CGO_ENABLED=0 $(GO) test -count=1 -run '^TestGenerated' . -update
