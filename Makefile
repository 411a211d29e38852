# The one entry to this repository. `make` alone lists the targets.
SHELL := /bin/bash
GO ?= go
# What `make run` passes on, e.g. make run ARGS="--listen-client-urls http://127.0.0.1:4001"
ARGS ?=
# Bounds one package's tests; a test that hangs is killed with its stacks printed.
TEST_TIMEOUT ?= 10m

.DEFAULT_GOAL := help
.PHONY: e2e-terraform test-alerts test-terraform test-terraform-mutations scan-terraform lock-terraform flood overload help build run redis compiler objectstore test lint test-valkey test-rights e2e-etcdctl e2e-kubernetes e2e-docs bench crash torture shards revokes backup-faults drill model sbom image vulncheck clean release release-snapshot test-packages

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / { printf "  make %-16s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

build: ## build bin/tierd
	$(GO) build -trimpath -o bin/tierd ./cmd/tierd

run: redis build ## build, and serve etcd clients on http://localhost:2379 (ARGS="..." adds flags)
	bin/tierd serve --log-format console $(ARGS)

redis: ## install redis-server 7 or newer from the system's packages, if there is none
	@scripts/install-redis.sh redis

compiler:
	@scripts/install-compiler.sh

# Outside the tests that use it: it takes longer than their time.
objectstore:
	@$(GO) test -count 1 -timeout 30m -run '^TestBuild$$' ./test/objectstore

test: redis compiler objectstore lint ## check the source and run the tests (about 10 minutes on two cores the first time)
	$(GO) test -race -timeout $(TEST_TIMEOUT) ./...

lint: ## gofmt, go vet and staticcheck
	@unformatted="$$(gofmt -l .)"; if [[ -n "$$unformatted" ]]; then echo "gofmt has to run on:" $$unformatted; exit 1; fi
	$(GO) vet -tags e2e,bench ./...
	$(GO) tool staticcheck -tags e2e,bench ./...

test-valkey: compiler objectstore ## run the tests that need a Redis on Valkey 8 or newer instead
	@scripts/install-redis.sh valkey
	@mkdir -p bin/valkey && ln -sf "$$(command -v valkey-server)" bin/valkey/redis-server
	PATH="$$PWD/bin/valkey:$$PATH" TIERD_TEST_REDIS_SERVER=valkey-server \
		$(GO) test -race -timeout $(TEST_TIMEOUT) ./tiers/... ./router/... ./cmd/... ./test/...

test-rights: redis objectstore ## run the tests of whole processes as the Redis user of deploy/redis, which may do no more than it must
	TIERD_TEST_LEAST_RIGHTS=1 $(GO) test -count 1 -timeout 30m ./test/hottier ./test/crash ./test/shards ./test/restore ./test/privilege

e2e-etcdctl: redis ## compare every command of etcdctl 3.7 with real etcd, its check perf included
	$(GO) test -tags e2e -timeout 30m -count 1 ./test/etcdctl

e2e-terraform: redis objectstore ## apply terraform/live/local, scale and update it and kill its processes under load, destroy it (3 minutes; needs terraform)
	@terraform/live/local/scripts/install-haproxy.sh
	$(GO) test -tags e2e -timeout 30m -count 1 -v ./test/terraform

e2e-kubernetes: redis ## run a Kubernetes 1.34 control plane on tierd (builds it once, about 15 minutes)
	test/e2e/kubernetes/run.sh

# PAGES='docs/backup.md' chooses; default are all with steps.
e2e-docs: redis compiler ## run the commands of the pages of docs/ on a machine of their own, and compare what they print (PAGES)
	test/docs/run.sh $(PAGES)

# DURATION is of each system in each of ROUNDS; ONLY='^put|list' selects workloads by name, ONLY=scaling what shards cost.
bench: DURATION ?= 1s
bench: ROUNDS ?= 5
bench: redis compiler ## measure tierd against etcd, and what shards cost (about 15 minutes; ONLY, DURATION, ROUNDS; PEERS=1 more servers)
	@set -o pipefail; TIERD_BENCH_DURATION='$(DURATION)' TIERD_BENCH_ROUNDS='$(ROUNDS)' TIERD_BENCH_ONLY='$(ONLY)' TIERD_BENCH_PEERS='$(PEERS)' \
		$(GO) test -tags bench -count 1 -v -timeout 60m ./test/bench | grep --line-buffered -vE '^ *(=== |--- PASS|PASS)'

# ROUNDS is the number of kills.
crash: ROUNDS ?= 50
crash: redis ## kill tierd and its Redis under load, ROUNDS times
	TIERD_CRASH_ROUNDS=$(ROUNDS) $(GO) test -race -count 1 -v -timeout 60m -run TestKills ./test/crash

# SEED repeats the plan of a round; RACE=1 runs frontends built with the race detector;
# SHARDS spreads the keys, and has ranges split, move and merge meanwhile.
torture: DURATION ?= 10m
torture: SHARDS ?= 1
torture: redis ## kill and pause processes for DURATION while clients and watches write down all they are told, and check it
	$(GO) test ./test/torture -count 1 -v -timeout 0 -run TestTorture -duration $(DURATION) -shards $(SHARDS) $(if $(SEED),-seed $(SEED)) $(if $(RACE),-instrumented)

# MOVES is the number of splits, moves and merges under load; SEED repeats them.
shards: MOVES ?= 100
shards: SEED ?= 0
shards: redis ## change the shard map MOVES times under load, and kill frontends and movers at every step
	$(GO) test ./test/shards -count 1 -v -timeout 0 -moves $(MOVES) -seed $(SEED)

# DURATION is of the load of each round, TARGETS how many revisions, and as many times, are compared then; SEED repeats
# the load and the faults.
backup-faults: DURATION ?= 60s
backup-faults: TARGETS ?= 100
backup-faults: SEED ?= 0
backup-faults: redis objectstore ## strike who writes the archive, and its object tier, under load; compare it at TARGETS revisions (about 8 minutes)
	$(GO) test ./test/backup -count 1 -v -timeout 0 -parallel 2 -load $(DURATION) -targets $(TARGETS) -restores 10 -outages 3 -seed $(SEED)

# KEYS is how many keys of 1 KB there are.
drill: KEYS ?= 100000
drill: redis ## destroy Redis under load, restore from the archive, and tell what was lost and how long it took
	$(GO) test ./test/backup -count 1 -v -timeout 0 -run TestDrill -drill $(KEYS)

model: ## explore every interleaving of the protocol between shards, at larger sizes (docs/model.md, about 5 minutes)
	TIERD_MODEL_SIZE=large $(GO) test -count 1 -v -timeout 60m -parallel 2 ./test/model

# ROUNDS random sequences of STEPS requests; SEED is the first one's (0: each takes the clock).
# The keys lie on SHARDS shards, whose ranges split, move and merge meanwhile.
differential: ROUNDS ?= 20
differential: STEPS ?= 5000
differential: SEED ?= 0
differential: SHARDS ?= 3
differential: redis ## compare tierd's answers and watches with etcd's (ROUNDS of STEPS; SEED=n repeats one)
	$(GO) test -count 1 -v -timeout 0 -run 'Same(Answers|Watches)AsEtcd' ./test/differential \
		-seed $(SEED) -steps $(STEPS) -auth-steps $(STEPS) -rounds $(ROUNDS) -shards $(SHARDS)

# CHANGES is how often each right is taken and given again; SEED repeats the plan.
revokes: CHANGES ?= 100
revokes: SEED ?= 0
revokes: redis ## take rights and give them back through some frontends while users work through others, and frontends are paused and killed
	$(GO) test -race -count 1 -v -timeout 0 ./test/authz -changes $(CHANGES) -seed $(SEED)

# DURATION is of each target; ONLY='backup|router' chooses them by folder and name. CI runs each for half a second.
fuzz: DURATION ?= 1m
fuzz: redis ## run every fuzz target for DURATION (ONLY)
	scripts/fuzz.sh $(DURATION) $(if $(ONLY),'$(ONLY)')

# DURATION is of each load.
overload: DURATION ?= 5s
overload: redis ## offer a frontend four times what it can serve, and report how much it serves then (about 3 minutes)
	$(GO) test ./test/limits -count 1 -v -timeout 0 -run TestOverload -overload $(DURATION)

# LEASES are granted, a tenth of which ends at once; KEYS are deleted by one request.
flood: LEASES ?= 1000000
flood: KEYS ?= 10000
flood: redis ## flood a frontend with leases and deletions, and report what that costs others (about 5 minutes)
	$(GO) test ./test/limits -count 1 -v -timeout 0 -parallel 1 -run 'TestLeaseFlood|TestManyKeysGo' -leases $(LEASES) -keys $(KEYS)

# The programs that these need are installed, or built from their Go modules, the first time.
# ONLY='hot-tier|aws-small' checks some folders; AWS_SCHEMA names the stand-in of the provider where it is elsewhere.
test-terraform: ## check terraform/: formatting, init, validate, terraform test, tflint, READMEs (5 minutes the first time; ONLY)
	$(GO) -C scripts/terraform vet ./...
	$(GO) -C scripts/terraform test ./...
	ONLY='$(ONLY)' $(GO) -C scripts/terraform run . check

test-alerts: ## evaluate each alert of deploy/prometheus on series that have to raise it, and on some that must not
	$(GO) -C scripts/alerts vet ./...
	$(GO) -C scripts/alerts test ./...

test-terraform-mutations: ## break each promise of the Terraform modules by hand, and see a test fail
	ONLY='$(ONLY)' $(GO) -C scripts/terraform run . mutations

scan-terraform: ## look for insecure settings below terraform/ with trivy (builds it once, about 15 minutes)
	$(GO) -C scripts/terraform run . scan

lock-terraform: ## record the AWS provider's checksums in the lock files (needs its registry)
	$(GO) -C scripts/terraform run . lock
# VERSION is what the binary tells (default the Dockerfile's); PLATFORMS what the image is for.
image: ## build the container image into bin/image and bin/image.tar, without a container engine, the same each time
	@$(GO) run ./scripts/image $(if $(VERSION),--version '$(VERSION)') $(if $(PLATFORMS),--platforms '$(PLATFORMS)')

release-snapshot: ## build release archives, packages, checksums and bills of materials into dist/, and publish nothing (VERSION)
	@VERSION='$(or $(VERSION),0.1.0-dev)' scripts/release.sh --snapshot --skip=publish

release: ## the same for the tag that is checked out, drafted on GitHub
	@scripts/release.sh

test-packages: redis ## check image, release and Helm chart with the programs that people use for them (builds those once, about 15 minutes)
	$(GO) test -tags e2e -count 1 -timeout 60m -parallel 2 ./test/packages

sbom: build ## write bin/sbom.json: what bin/tierd was built from, in CycloneDX
	@$(GO) run ./scripts/sbom bin/tierd > bin/sbom.json && echo "bin/sbom.json: $$(grep -c '"purl"' bin/sbom.json) components"

# GOVULNDB is another database than Go's own, a URL or file:///DIR.
vulncheck: ## look for known vulnerabilities in what tierd calls (needs the Go vulnerability database, or GOVULNDB)
	@scripts/vulncheck.sh

# BUG is a name in docs/ledger.md, or all.
ledger: BUG ?= all
ledger: redis ## bring a bug of docs/ledger.md back, and see its test fail (BUG=name)
	$(GO) test -count 1 -v -timeout 0 -run TestBugsComeBack ./test/ledger -bug $(BUG)

clean: ## remove what was built here
	rm -rf bin dist
