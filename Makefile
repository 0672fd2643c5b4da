SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

BIN := $(CURDIR)/bin
# Static, stripped and the same from every directory; grpcnotrace leaves out
# grpc's trace pages and with them html/template, 2.5 MB of each binary.
BUILD := CGO_ENABLED=0 go build -trimpath -buildvcs=false -ldflags '-s -w -buildid=' -tags grpcnotrace
COMMANDS := plugins/vpc-ipam plugins/vpc-veth plugins/vpc-snat plugins/vpc-sgpp daemon/vpc-ipamd daemon/vpc-kube daemon/vpcctl \
            integration/vpcsim integration/demo integration/probe integration/bench integration/bench/empty
LINT := $(BIN)/tools/golangci-lint
SUM := $(BIN)/tools/testsum
HELM := $(BIN)/tools/helm
PROMTOOL := $(BIN)/tools/promtool
IMAGE := $(BIN)/vpcchain-image.tar
STATE := $(BIN)/tools/testsum.json
VM := $(CURDIR)/tools/vm/run-in-vm.sh
# What takes minutes to build is kept outside the checkout, by what it is built from.
CACHE := $(or $(XDG_CACHE_HOME),$(HOME)/.cache)/vpcchain
CONTAINERD24 := $(CACHE)/containerd-$(shell cat tools/containerd/go.mod tools/containerd/go.sum | sha256sum | cut -c1-12)
KUBERNETES := $(CACHE)/kubernetes-$(shell cat tools/kubernetes/{,etcd/}go.{mod,sum} | sha256sum | cut -c1-12)
UNIT := ./pkg/... ./plugins/... ./daemon/... ./conflist/... ./integration/vpcsim/... ./integration/branches ./integration/testsum ./integration/vm ./integration/chart ./integration/monitoring ./integration/rules \
        ./integration/runtimes/cri ./integration/runtimes/image ./integration/bench/... ./integration/performance
# Tests of 802.1Q links are looked for here; those under a runtime run with the other tests of runtimes.
VLAN = $(shell go list ./... | grep -v /integration/runtimes)

.PHONY: help
help: ## Show this help
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

.PHONY: demo
demo: packages-demo build ## Show the chain at work on a simulated VPC (root; installs what is missing)
	@bin/demo

.PHONY: test
test: packages-test build $(LINT) $(SUM) $(PROMTOOL) ## Lint, unit, kernel and end-to-end tests (root for all of them; installs what is missing)
	@rm -f $(STATE); start=$$SECONDS; \
	if [ "$$(id -u)" -eq 0 ]; then export VPCCHAIN_REQUIRE=root; \
	else echo "not root: tests that make network namespaces are left out and listed as skipped"; fi; \
	export GOFLAGS='-tags=grpcnotrace'; \
	$(SUM) -step lint $(STATE) $(LINT) run ./...; \
	$(SUM) -step verify $(STATE) $(MAKE) --no-print-directory verify; \
	$(SUM) -race $(STATE) $(UNIT); \
	$(SUM) -vm $(VM) $(STATE) $(VLAN); \
	$(SUM) -p 1 $(STATE) ./integration/targets ./integration/conformance ./integration/e2e ./integration/schedules ./integration/picture; \
	echo "$$((SECONDS - start)) s"; \
	$(SUM) -close $(STATE)

.PHONY: test-vlan
test-vlan: packages-test build $(SUM) ## Run the tests of 802.1Q links alone, in a virtual machine (root)
	@rm -f $(STATE); export GOFLAGS='-tags=grpcnotrace'; $(SUM) -vm $(VM) $(STATE) $(VLAN); $(SUM) -close $(STATE)

.PHONY: test-runtimes
test-runtimes: packages-test packages-runtimes build $(SUM) $(CONTAINERD24)/containerd ## Run the chain under containerd 1.6 and 2.4 and podman (root; ADD=1 adds to the sums of make test, UPDATE=-update writes docs/compatibility.md)
	@[ -n "$(ADD)" ] || rm -f $(STATE); \
	if [ "$$(id -u)" -eq 0 ]; then export VPCCHAIN_REQUIRE=root; fi; \
	export GOFLAGS='-tags=grpcnotrace' VPCCHAIN_CONTAINERD24=$(CONTAINERD24); \
	$(SUM) $(STATE) ./integration/runtimes $(if $(UPDATE),-args $(UPDATE)); \
	$(SUM) -vm $(VM) $(STATE) ./integration/runtimes; \
	$(SUM) -close $(STATE)

.PHONY: test-kubernetes
test-kubernetes: packages-test packages-runtimes image $(SUM) $(HELM) $(CONTAINERD24)/containerd ## Test the Helm chart, and the chain under kubelet and kube-apiserver (root; ADD=1 adds to the sums of make test)
	@tools/kubernetes/build.sh $(KUBERNETES)
	@[ -n "$(ADD)" ] || rm -f $(STATE); \
	export GOFLAGS='-tags=grpcnotrace' VPCCHAIN_HELM=$(dir $(HELM)) VPCCHAIN_CONTAINERD24=$(CONTAINERD24) VPCCHAIN_KUBERNETES=$(KUBERNETES) VPCCHAIN_IMAGE=$(IMAGE); \
	$(SUM) $(STATE) ./integration/kubernetes; \
	$(SUM) -close $(STATE)

# The programs of Kubernetes take a quarter of an hour to build, which nobody is to wait for unasked.
.PHONY: test-kubernetes-if-built
test-kubernetes-if-built: $(SUM) ## Run make test-kubernetes ADD=1 if what it builds is there already, else count it as skipped
	@if why=$$(tools/kubernetes/build.sh -check $(KUBERNETES)); then $(MAKE) --no-print-directory test-kubernetes ADD=1; \
	else $(SUM) -skip "make test-kubernetes" $(STATE) "$$why: run make test-kubernetes once, it takes a quarter of an hour"; $(SUM) -close $(STATE); fi

.PHONY: build
build: $(BIN)/cni/cnitool ## Build every binary into bin/: static, stripped, reproducible
	@mkdir -p $(BIN)
	@for c in $(COMMANDS); do $(BUILD) -o $(BIN)/$$(basename $$c) ./$$c; done

# cnitool and the upstream plugins come from the Go module proxy, in a module of their own.
$(BIN)/cni/cnitool: tools/cni/go.mod tools/cni/go.sum
	@echo "building cnitool and the upstream CNI plugins"
	@mkdir -p $(BIN)/cni
	@cd tools/cni && for p in $$(go list tool); do CGO_ENABLED=0 go build -trimpath -buildvcs=false -ldflags '-s -w' -o $(BIN)/cni/ $$p; done
	@touch $@

$(LINT): tools/go.mod tools/go.sum
	@echo "building golangci-lint"
	@mkdir -p $(dir $@)
	@cd tools && CGO_ENABLED=0 go build -o $@ github.com/golangci/golangci-lint/v2/cmd/golangci-lint
	@touch $@

$(HELM): tools/helm/go.mod tools/helm/go.sum
	@echo "building helm"
	@mkdir -p $(dir $@)
	@cd tools/helm && CGO_ENABLED=0 go build -trimpath -ldflags '-s -w' -o $@ helm.sh/helm/v4/cmd/helm
	@touch $@

# What checks alert rules and metrics; on a machine without apt-get it stays away.
$(PROMTOOL): | packages-test
	@tools/setup/promtool.sh $@

$(SUM): $(wildcard integration/testsum/*.go)
	@mkdir -p $(dir $@)
	@CGO_ENABLED=0 go build -o $@ ./integration/testsum

# containerd 2.4 with its shim and ctr, all three or none: the compilation takes minutes and can be interrupted.
$(CONTAINERD24)/containerd:
	@echo "building containerd 2.4, once: some minutes"
	@rm -rf $(CONTAINERD24).part; mkdir -p $(CONTAINERD24).part; cd tools/containerd; \
	version=$$(go list -m -f '{{.Version}}' github.com/containerd/containerd/v2); \
	for p in $$(go list tool); do CGO_ENABLED=0 go build -trimpath -buildvcs=false \
	  -ldflags "-s -w -X github.com/containerd/containerd/v2/version.Version=$$version" -o $(CONTAINERD24).part/ $$p; done; \
	rm -rf $(CONTAINERD24); mv $(CONTAINERD24).part $(CONTAINERD24)

.PHONY: image
image: packages-image build ## Make an OCI image of everything as an archive, $(IMAGE), without a registry (root; buildah)
	@tools/image/build.sh $(BIN) $(IMAGE)

.PHONY: packages-demo packages-test packages-runtimes packages-image
packages-demo packages-test packages-runtimes packages-image: packages-%:
	@tools/setup/packages.sh $*

.PHONY: lint
lint: $(LINT) ## Run golangci-lint
	@$(LINT) run ./...

.PHONY: fmt
fmt: $(LINT) ## Format the code
	@$(LINT) fmt ./...

.PHONY: verify
verify: ## Check that formatting, go.mod and the generated code are up to date and that builds are reproducible
	@test -z "$$(gofmt -l $$(git ls-files '*.go'))" || { echo "gofmt would change:"; gofmt -l $$(git ls-files '*.go'); exit 1; }
	@go mod tidy -diff
	@if command -v protoc >/dev/null && command -v protoc-gen-go >/dev/null && command -v protoc-gen-go-grpc >/dev/null; then \
	  out=$$(mktemp -d); trap 'rm -rf "$$out"' EXIT; protoc -I pkg/ipamapi --go_out=$$out --go_opt=paths=source_relative \
	  --go-grpc_out=$$out --go-grpc_opt=paths=source_relative ipam.proto && diff -r -x '*.proto' -x doc.go $$out pkg/ipamapi; fi
	@out=$$(mktemp -d); trap 'rm -rf "$$out"' EXIT; cp -r go.mod go.sum pkg plugins $$out/; \
	for p in vpc-veth vpc-ipam vpc-snat vpc-sgpp; do $(BUILD) -o $$out/a ./plugins/$$p; (cd $$out && $(BUILD) -o $$out/b ./plugins/$$p); \
	cmp $$out/a $$out/b || { echo "$$p differs between directories"; exit 1; }; done

.PHONY: generate
generate: ## Generate pkg/ipamapi from ipam.proto (needs protoc, protoc-gen-go, protoc-gen-go-grpc)
	protoc -I pkg/ipamapi --go_out=pkg/ipamapi --go_opt=paths=source_relative \
	  --go-grpc_out=pkg/ipamapi --go-grpc_opt=paths=source_relative ipam.proto

.PHONY: manifests
manifests: $(HELM) ## Render deploy/vpcchain.yaml from the chart
	@go test -count=1 -tags grpcnotrace -run TestChartKnowsTheSettings ./daemon/internal/config -args -update >/dev/null
	@tools/helm/render.sh $(HELM) >deploy/vpcchain.yaml.new && mv deploy/vpcchain.yaml.new deploy/vpcchain.yaml

.PHONY: docs
docs: ## Write docs/configuration.md from the tables of settings
	@go test -count=1 -tags grpcnotrace -run TestDocument ./daemon/internal/reference -args -update >/dev/null

.PHONY: soak
soak: ## Run 2,000 schedules of faults against the daemon, in virtual time (SCHEDULES=n SEED=s for others)
	@GOFLAGS='-tags=grpcnotrace' go test -count=1 -timeout 2h -v -run TestSchedules ./daemon/internal/soak \
	  -args -schedules $${SCHEDULES:-2000} -seed $${SEED:-1} | grep -vE '^(===|  *--- PASS)'

.PHONY: fuzz
fuzz: ## Fuzz every target for FUZZTIME (default 20s)
	@for p in $$(go list ./...); do for f in $$(go test -list '^Fuzz' $$p | grep '^Fuzz' || true); do \
	  echo "$$p $$f"; go test -run '^$$' -fuzz "^$$f$$" -fuzztime $${FUZZTIME:-20s} $$p | tail -1; done; done

.PHONY: bench
bench: build ## Measure the chain, the way of packets, the daemon, the programs, on simulated nodes, into docs/performance.md (root; BENCH=chain,path for parts of it)
	@bin/bench -only "$(BENCH)" -commit "$$(git rev-parse --short HEAD 2>/dev/null || echo unknown)"

.PHONY: picture
picture: packages-test build ## Write docs/picture.png from headless Chromium on a simulated node (root)
	@VPCCHAIN_REQUIRE=root go test -count=1 -tags grpcnotrace -run TestUsedNode ./integration/picture -args -update

.PHONY: clean
clean: ## Remove what was built
	@rm -rf $(BIN)
