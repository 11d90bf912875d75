# `make` lists what there is to make.

VERSION  ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo dev)
FUZZTIME ?= 20s
# The race detector needs cgo, which Go switches off where no C compiler is.
# SQLite's own code, which was C, is not looked at: that would take most of the time.
RACE     := $(if $(filter 1,$(shell go env CGO_ENABLED)),-race -gcflags=modernc.org/sqlite/lib=-race=0 -gcflags=modernc.org/libc=-race=0)

.DEFAULT_GOAL := help
.PHONY: help build run tools test lint fuzz faults bench bench-docs release screenshots clean

help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-11s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

build: ## bin/packhouse, one static binary
	CGO_ENABLED=0 go build -trimpath -ldflags "-s -w -X main.version=$(VERSION)" -o bin/packhouse ./cmd/packhouse

run: build ## a server on http://127.0.0.1:8080 with its data in ./data
	bin/packhouse serve

tools: ## the clients, databases and servers that tests and benchmark drive
	@scripts/tools.sh

# -count=1: what the tests start is built in another process, of which the cache of results knows nothing.
test: tools ## unit, contract, client and short fault tests; the contract on both databases and stores
	go test $(RACE) -count=1 -timeout 15m ./...
	PACKHOUSE_TEST_DATABASE=postgres PACKHOUSE_TEST_BLOBS=s3 go test -count=1 -timeout 15m ./test/contract

lint: ## gofmt, go vet, staticcheck
	@unformatted=$$(gofmt -l .); [ -z "$$unformatted" ] || { echo "gofmt would change:"; echo "$$unformatted"; exit 1; }
	go vet ./...
	go run honnef.co/go/tools/cmd/staticcheck@v0.8.2 ./...
	go -C test/clients/gitlabgo vet ./...
	go -C test/clients/gitlabgo run honnef.co/go/tools/cmd/staticcheck@v0.8.2 ./...

fuzz: ## every fuzz target, FUZZTIME each
	@for package in $$(go list ./...); do \
		for target in $$(go test -list '^Fuzz' $$package | grep '^Fuzz'); do \
			echo "$$package $$target"; \
			go test -run '^$$' -fuzz "^$$target\$$" -fuzztime $(FUZZTIME) $$package || exit 1; \
		done; \
	done

faults: tools ## everything that may break, in full; about a quarter of an hour; writes the table of docs/reliability.md
	PACKHOUSE_FAULTS=full PACKHOUSE_FAULTS_TABLE=$(CURDIR)/docs/reliability.md go test -count=1 -timeout 60m -v ./test/faults $(FAULTS)

bench: tools build ## the figures beside the limit and beside peers, in bench.json too; twenty minutes
	@scripts/tools.sh bench
	go run ./test/load --json bench.json $(BENCH)

bench-docs: ## bench.json as the table of docs/performance.md
	go run ./test/load --from bench.json --docs docs/performance.md

release: ## dist/: static binaries for Linux, macOS and Windows, Debian packages, checksums
	scripts/release.sh $(VERSION)

screenshots: tools ## pictures of every page, in both themes and on a phone, in ./screenshots
	rm -rf screenshots && mkdir screenshots
	PACKHOUSE_SCREENSHOTS=$(CURDIR)/screenshots go test -count=1 -run TestPages ./test/web

clean: ## remove what was built, not the data
	rm -rf bin dist
