# make help lists the targets.
.DEFAULT_GOAL := help
SHELL := /bin/bash
GO ?= go
FUZZTIME ?= 10s
# Two test packages at a time: many of them keep loops busy. The one that takes
# longest begins first, and may take more than the ten minutes of go test's own
# limit where the machine is slow.
TEST_FLAGS ?= -p 2 -timeout 30m
PACKAGES = ./test ./...

.PHONY: help build run demo docs test race vet staticcheck fuzz fuzz-long script floods bench profile bench-link bench-mesh bench-rotate bench-faults check clean

help: ## list the targets
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

build: ## build bin/naru
	$(GO) build -trimpath -o bin/naru ./cmd/naru

run: build ## run naru.yaml of this folder
	bin/naru run

demo: build ## the demo shop behind naru, until Ctrl-C
	@$(GO) build -trimpath -o bin/ ./examples/shop/...
	@bin/demo

docs: ## write the generated pages of docs/reference
	$(GO) test -count=1 -run TestGenerated ./test/docs -update

test: ## all tests
	$(GO) test $(TEST_FLAGS) $(PACKAGES)

race: ## all tests under the race detector
	$(GO) test $(TEST_FLAGS) -race -short $(PACKAGES)

vet: ## go vet and gofmt
	$(GO) vet ./...
	@out=$$(gofmt -l $$(git ls-files '*.go')); if [ -n "$$out" ]; then echo "gofmt would change:"; echo "$$out"; exit 1; fi

staticcheck: ## staticcheck
	$(GO) tool staticcheck ./...

fuzz: ## each fuzz target for FUZZTIME
	@scripts/fuzz $(FUZZTIME)

fuzz-long: ## each fuzz target for 20 minutes
	@scripts/fuzz 20m

script: build ## whole-binary scripts only
	$(GO) test ./test/...

floods: ## HTTP/2 floods of 30 s each, with figures
	$(GO) test -count=1 -timeout 30m -v -run TestLongFloods ./test -floods 30s

bench: build ## side by side with nginx, HAProxy, Caddy (and Envoy when on PATH)
	$(GO) run ./bench

profile: ## renew cmd/naru/default.pgo: which code the compiler is to favour
	$(GO) run ./bench -peers none -rounds 4 -seconds 4s -patience 0 -results bin/profile \
		-rows '^(plain|paced|tls|16k|post|chunked|fresh|tcp-100b|logged|h2|grpc)' -profile cmd/naru/default.pgo

bench-link: ## a control plane with 1,000 services and 2,000 proxies
	$(GO) run ./bench/link

bench-mesh: ## mutual TLS between two nodes, beside one hop and a direct call
	$(GO) run ./bench/mesh

bench-rotate: ## 1,000 certificates replaced between two nodes under load: no request may fail
	$(GO) run ./bench/mesh -rotations 1000

bench-faults: ## broken instances and networks, and overload: side by side with HAProxy and nginx (and Envoy when on PATH)
	$(GO) run ./bench/faults

check: test vet staticcheck race fuzz ## all of CI

clean: ## remove what was built
	rm -rf bin
