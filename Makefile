# Every target says what it does: `make` alone lists them.

GO       ?= go
GOLANGCI := github.com/golangci/golangci-lint/v2/cmd/golangci-lint@v2.15.0
BIN      := bin/bobbin
DB       ?= data
# A count of runs, not a time: a time that ends during a run is reported as a failure.
FUZZTIME ?= 20000x
DATA     ?=
FAR      ?=
PACKAGES ?= ./...
# Of the functions, as template.yaml calls it.
ARCH     ?= arm64
STAGE    ?=

.DEFAULT_GOAL := help
.PHONY: help run build build-functions test race lint lint-template e2e sdk browser fuzz bench bench-peer deploy clean schemathesis kms-moto

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / { printf "  make %-15s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

run: build ## serve a store in ./data (DB=dir for another) on 127.0.0.1:8080
	@$(BIN) serve --db $(DB)

build: ## build bin/bobbin
	$(GO) build -o $(BIN) ./cmd/bobbin

build-functions: ## build every function for ARCH (default arm64): dist/NAME/bootstrap and dist/NAME.zip
	@rm -rf dist
	@set -e; for main in functions/*/main.go; do \
		[ -f "$$main" ] || { echo "there are no functions here" >&2; exit 1; }; \
		name=$$(basename $$(dirname $$main)); \
		CGO_ENABLED=0 GOOS=linux GOARCH=$(ARCH:x86_64=amd64) $(GO) build -trimpath -tags lambda.norpc \
			-ldflags '-s -w -buildid=' -o dist/$$name/bootstrap ./functions/$$name; \
		$(GO) run github.com/aws/aws-lambda-go/cmd/build-lambda-zip -o dist/$$name.zip dist/$$name/bootstrap 2>/dev/null; \
		echo "dist/$$name.zip $$(wc -c < dist/$$name.zip) bytes"; \
	done

test: ## run all tests
	$(GO) test $(PACKAGES)

race: ## run all tests with the race detector (needs a C compiler)
	CGO_ENABLED=1 $(GO) test -race $(PACKAGES)

lint: ## check format, go vet and the linters of .golangci.yml
	@bad=$$(gofmt -l $$(find . -name '*.go' -not -path './.git/*')); \
	if [ -n "$$bad" ]; then echo "gofmt these:"; echo "$$bad"; exit 1; fi
	$(GO) vet ./...
	$(GO) run $(GOLANGCI) run ./...

lint-template: ## check template.yaml and infra/ (installs cfn-lint, sam and checkov for that)
	@scripts/lint-template

e2e: build ## run the binary: serve, smoke, kill -9, verify
	@scripts/whole-system $(BIN)

sdk: build ## run a conversation with ProgressDB's Python SDK (installs it for that)
	@scripts/sdk $(BIN)

browser: ## call a store from a page in headless Chromium (installs it where apt-get is)
	@GO=$(GO) scripts/browser

schemathesis: build ## ask a server whether it answers as /openapi.yaml says (needs python3 and a network)
	@scripts/schemathesis $(BIN)

kms-moto: ## test what is relied on in AWS KMS against moto too (python3; installs moto)
	scripts/test-kms-moto

fuzz: ## run every fuzz test FUZZTIME (default 20000x) each
	@set -e; grep -rlE --include=*_test.go '^func Fuzz' shared test/httpscript cmd | sort | while read -r file; do \
		for name in $$(sed -nE 's/^func (Fuzz[A-Za-z0-9_]*)\(.*/\1/p' "$$file"); do \
			echo "fuzz $$name in $$(dirname $$file)"; \
			$(GO) test -run '^$$' -fuzz "^$$name\$$" -fuzztime $(FUZZTIME) "./$$(dirname $$file)"; \
		done; \
	done

bench: build ## measure Bobbin and write docs/benchmarks.md (DATA=file.ndjson.gz for imports, FAR=messages)
	cd test/bench && $(GO) run ./cmd/bobbin-bench --bobbin ../../$(BIN) $(if $(DATA),--data $(abspath $(DATA))) --out ../../docs/benchmarks.md
	scripts/bench-far $(FAR) >> docs/benchmarks.md
	scripts/bench-routes >> docs/benchmarks.md

bench-peer: build ## measure Bobbin and PostgreSQL in the same run (scripts/install-bench-peer)
	cd test/bench && $(GO) run ./cmd/bobbin-bench --bobbin ../../$(BIN) --peer $(if $(DATA),--data $(abspath $(DATA))) --out ../../docs/benchmarks.md
	scripts/bench-far $(FAR) >> docs/benchmarks.md
	scripts/bench-routes >> docs/benchmarks.md

deploy: ## deploy to AWS: STAGE=name, PARAMETERS="Name=value ..." (scripts/deploy says what it needs)
	@scripts/deploy $(or $(STAGE),$(error say where: STAGE=name)) $(PARAMETERS)

clean: ## remove what was built; stores stay
	rm -rf bin dist
