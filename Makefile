# lwc: see README.md. `make help` lists the targets.
SHELL := /bin/bash
GO ?= go
BIN := bin
VERSION ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo dev)
STATICCHECK := honnef.co/go/tools/cmd/staticcheck@v0.8.2
# What serves the tests stands in testdata, where ./... does not look.
PKGS := ./... $(addsuffix ...,$(addprefix ./,$(sort $(dir $(wildcard testdata/*/*.go)))))
export CGO_ENABLED ?= 0
export LWC_BIN := $(CURDIR)/$(BIN)
FUZZTIME ?= 1m

# What the tests use beside Go: real peers, and the programs that judge.
TEST_DEPS := openssh-server openssh-client mosquitto chromium python3-junos-eznc nftables netbase iproute2 dnsmasq-base tinyproxy-bin squid chrony erofs-utils sbsigntool mtools dosfstools e2fsprogs

# What running tests under other kernels needs besides, and whose kernels: Debian 12
# has 6.1, without tables that outlive their owner; Debian 13 has the appliance's.
KERNEL_DEPS := qemu-system-x86 xz-utils nftables netbase iproute2 dnsmasq-base
KERNELS ?= bookworm trixie
KERNEL_PKGS ?= ./netguard/...

.PHONY: help build build-chaos test-chaos demo test deps lint unit test-vlan test-kernels fuzz screenshot fleet-faults test-volatile bench bench-fleet bench-scan bench-collect bench-netguard bench-uplink cli image image-test image-test-boot image-test-volatile image-test-update image-test-secureboot image-test-tpm image-test-broken-root image-test-hardware image-repro image-archive image-scan clean

help: ## list the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*##/\t/' | expand -t 18

build: ## build all programs into bin/
	$(GO) build -trimpath -ldflags '-s -w -X main.version=$(VERSION)' -o $(BIN)/ ./cmd/...

# What engineers have on their desks: the same program, of which they use the commands
# alone.
CLI_FOR := linux/amd64 linux/arm64 windows/amd64 darwin/amd64 darwin/arm64

cli: ## lwc-cloud for the computers of engineers (Linux, Windows, macOS) into dist/
	@mkdir -p dist
	@for p in $(CLI_FOR); do os=$${p%/*}; out=dist/lwc-cloud_$(VERSION)_$${os}_$${p#*/}; [ $$os != windows ] || out=$$out.exe; \
	  GOOS=$$os GOARCH=$${p#*/} $(GO) build -trimpath -ldflags '-s -w -X main.version=$(VERSION)' -o $$out ./cmd/lwc-cloud && echo "$$out" || exit 1; done

demo: build ## a whole site on this machine; ONCE=1 ends after the summary, PORTAL=127.0.0.1:0 moves the portal
	$(BIN)/lwc-demo $(if $(ONCE),--once) $(if $(PORTAL),--portal $(PORTAL))

test: deps lint build-chaos unit test-vlan ## everything that must pass before a change lands

deps: ## install what the tests need, by package name
	@.ci/deps $(TEST_DEPS) $(KERNEL_DEPS)

lint: ## gofmt, go vet and staticcheck
	@bad=$$(gofmt -l .); if [ -n "$$bad" ]; then echo "gofmt -w these:"; echo "$$bad"; exit 1; fi
	$(GO) vet $(PKGS)
	$(GO) run $(STATICCHECK) $(PKGS)

unit:
	@[ -d ../shared/corpus ] || echo "NOTE: ../shared/corpus is not here; the tests over replies of real devices do not run"
	LWC_TEST_STRICT=1 LWC_TEST_KERNEL_WITHOUT=8021q $(GO) test -count=1 -timeout 20m $(PKGS)

# Not every kernel has 802.1Q, so these run in an emulated machine under one that has.
test-vlan: ## the ports as VLANs of one card, under the appliance's kernel in QEMU
	$(GO) run ./testdata/kernels -release trixie -run VLAN ./netguard ./netguard/lease

test-kernels: ## netguard's tests under Debian's kernels in QEMU; KERNELS="bookworm trixie", RUN=regexp, V=1 shows all
	@.ci/deps $(KERNEL_DEPS)
	@for k in $(KERNELS); do $(GO) run ./testdata/kernels -release $$k $(if $(V),-v) $(if $(RUN),-run '$(RUN)') $(KERNEL_PKGS) || exit 1; done

fuzz: ## run every fuzz target for FUZZTIME (1m each)
	@for p in $$($(GO) list ./...); do \
	  for f in $$($(GO) test -list '^Fuzz' $$p | grep ^Fuzz); do \
	    echo "== $$p $$f"; $(GO) test -run '^$$' -fuzz "^$$f\$$" -fuzztime $(FUZZTIME) -fuzzminimizetime 64x $$p || exit 1; done; done

fleet-faults: build ## 1,000 simulated devices, a fifth with faults, through the whole chain: 10 minutes
	LWC_FLEET_FAULTS=1000 $(GO) test -count=1 -timeout 45m -v -run FleetWithFaults ./cmd/lwc-demo/site

# The programs of test-chaos: both ends with clocks of their own, and a line that goes bad.
build-chaos: build
	$(GO) build -o $(BIN)/badline ./testdata/badline/run
	$(GO) run ./testdata/stepclock/prepare $(BIN)/.stepclock
	$(GO) build -overlay $(BIN)/.stepclock/overlay.json -modfile $(BIN)/.stepclock/go.mod -trimpath -o $(BIN)/stepped/ ./cmd/lwcd ./cmd/lwc-cloud

test-chaos: build-chaos ## cut, kill, fill and set the clock for DURATION (10m), and judge; SEED=, BROKER=mosquitto, LINE=wss-proxy, KEEP=folder
	@.ci/deps mosquitto tinyproxy-bin
	LWC_CHAOS=$(or $(DURATION),10m) LWC_CHAOS_SEED=$(SEED) LWC_CHAOS_BROKER=$(BROKER) LWC_CHAOS_LINE=$(LINE) LWC_CHAOS_KEEP=$(KEEP) \
	  $(GO) test -count=1 -timeout 90m -v -run '$(or $(RUN),Chaos|UplinkDown|HugeReply|SecondBoot)' ./cmd/lwc-demo/site

test-volatile: build ## facts and credentials in no file, environment, core or swap, and none left in memory: 3 minutes
	@.ci/deps gdb
	LWC_VOLATILE=1 LWC_TEST_STRICT=1 $(GO) test -count=1 -timeout 15m -v -run 'ReplacedCredential|NothingIsKept' ./cmd/lwc-demo/site

screenshot: build ## take the README's picture of the portal from a running site
	@.ci/deps chromium
	LWC_SCREENSHOT=$(CURDIR)/docs/images/portal.png $(GO) test -count=1 -run PortalShowsInventory ./cmd/lwc-demo/site

bench: bench-fleet bench-scan bench-collect bench-netguard bench-uplink ## run the benchmarks

bench-fleet: ## memory of 1,000 simulated devices, each with a session, clients included
	$(GO) test -run '^$$' -bench Fleet1000 -benchtime 1x ./junos/junostest | .ci/goal junosim-1000-devices-mb BenchmarkFleet1000 MB 1024

bench-scan: ## speed of the scan that every reply goes through
	$(GO) test -run '^$$' -bench Scan -benchmem -count 5 ./junos | .ci/goal scan-and-mask-ms-per-mb BenchmarkScanMask ms/MB 2.5

bench-collect: build ## what collecting costs beside a raw SSH client and PyEZ; PARTS=cpu,huge measures these only
	@.ci/deps openssh-server python3-junos-eznc
	$(BIN)/lwc-bench collect $(if $(PARTS),--only $(PARTS))

bench-netguard: build ## what guarding the ports costs and how fast it acts: 4 minutes; PARTS=fix,dial measures these only
	$(BIN)/lwc-bench netguard $(if $(PARTS),--only $(PARTS))

bench-uplink: build ## what delivery costs from memory to the receipt, and the whole cycle on 10,000 devices; PARTS=speed,unchanged measures these only
	$(BIN)/lwc-bench uplink $(if $(PARTS),--only $(PARTS))

# The version of an image is three numbers, because releases are ordered by them.
IMAGE_VERSION ?= $(if $(filter command line environment,$(origin VERSION)),$(VERSION),0.1.0)
IMAGE_DEPS := mmdebstrap python3 util-linux erofs-utils mtools

image: ## build the appliance image into dist/; VERSION=1.2.3, RELEASE_KEYS=FILE, ONLY=1 makes the raw image alone, PACKAGES=FILE takes an archive's packages
	@.ci/deps $(IMAGE_DEPS)
	$(GO) run ./image/build -version $(IMAGE_VERSION) $(if $(RELEASE_KEYS),-release-keys $(RELEASE_KEYS)) $(if $(ONLY),-image-only) $(if $(PACKAGES),-packages $(PACKAGES))
	$(GO) run ./image/scan dist/lwc_$(IMAGE_VERSION).img

image-scan: ## what can be executed in the image, and why
	$(GO) run ./image/scan -all $(or $(IMG),dist/lwc_$(IMAGE_VERSION).img)

# What booting an image needs: a machine, its firmware, a TPM, and what makes sticks.
IMAGE_TEST_DEPS := qemu-system-x86 ovmf swtpm mtools dosfstools sbsigntool e2fsprogs
IMG ?= $(CURDIR)/dist/lwc_$(IMAGE_VERSION).img
IMAGE_TEST = LWC_IMAGE_TEST=$(abspath $(IMG)) LWC_TEST_STRICT=1 $(GO) test -count=1 -v -timeout 60m

IMAGE_TEST_PARTS := image-test-tpm image-test-secureboot image-test-boot image-test-volatile image-test-update
IMAGE_TEST_MINUTES := 40
# Not in image-test, which has its minutes.
IMAGE_TEST_OTHERS := image-test-broken-root image-test-hardware

image-test: ## boot the image and judge it, emulated: 40 minutes; IMG=FILE is another image
	@began=$$(date +%s); failed=; \
	$(if $(filter command line environment,$(origin IMG)),,$(MAKE) image || exit 1;) \
	for part in $(IMAGE_TEST_PARTS); do $(MAKE) $$part || failed="$$failed $$part"; done; \
	minutes=$$(( ($$(date +%s) - began + 59) / 60 )); \
	word=ok; [ $$minutes -le $(IMAGE_TEST_MINUTES) ] || word=short; \
	echo "goal image-test-minutes $$minutes $(IMAGE_TEST_MINUTES) $$word"; \
	[ -z "$$failed" ] || { echo "failed:$$failed"; exit 1; }

# A part in which no test ran has shown nothing.
$(IMAGE_TEST_PARTS) $(IMAGE_TEST_OTHERS): build
	@.ci/deps $(IMAGE_TEST_DEPS)
	@[ -e "$(IMG)" ] || $(MAKE) image
	@set -o pipefail; $(IMAGE_TEST) -run '$(strip $(IMAGE_TESTS))' $(IMAGE_TEST_PKGS) | \
	  awk '{ print } /^--- PASS: TestImage/ { n++ } END { if (!n) { print "no test of the image passed"; exit 1 } }'

IMAGE_TEST_PKGS := ./cmd/lwc-update ./cmd/lwc-demo/site ./image/boottest ./image/build ./image/seal ./image/provision
image-test-boot: IMAGE_TESTS := ^Test(Machine|VolumeKeeps|ExposureOfUnits|State|ImageBoot|ImageProvision) ## first boot, thirty bad lwc.toml, READY, a run of 50 devices, scans: 8 minutes
image-test-volatile: IMAGE_TESTS := ^TestImagePowerCut ## power cut in a run, the whole disk searched: 4 minutes
image-test-update: IMAGE_TESTS := ^Test(ImageUpdate|Install|InstallWithoutRestart|RollBack|CutOff|DiskThatForgets|RestartAt)$$ ## bad bundles, 1 to 2 with ten power cuts, a broken 3: 16 minutes
image-test-secureboot: IMAGE_TESTS := ^TestImage(SecureBoot|TamperedRoot) ## own keys enrol, unsigned is refused, a tampered root panics: 3 minutes
image-test-tpm: IMAGE_TESTS := ^TestImageTPM ## the identity stays on its machine: 4 minutes
image-test-broken-root: IMAGE_TESTS := ^TestImageBroken(Root|Hashes) ## a release whose root was spoilt on the disk goes back by itself: 8 minutes; not in image-test
image-test-hardware: IMAGE_TESTS := ^TestImage(Hardware|Hang) ## every sort of disk, two cards each, and the watchdog firing: 8 minutes; not in image-test

# Two newer releases, which only the tests see; the second cannot work. IMAGE_KEYS holds
# the private half of what all images here believe.
IMAGE_KEYS ?= $(or $(XDG_CACHE_HOME),$(HOME)/.cache)/lwc-image/keys
image-test-update image-test-broken-root: export LWC_IMAGE_KEYS = $(IMAGE_KEYS)
image-test-boot image-test-update: export LWC_IMAGE_TOOLS = $(or $(XDG_CACHE_HOME),$(HOME)/.cache)/lwc-image/tools
image-test-update image-test-broken-root: export LWC_IMAGE_NEXT = $(CURDIR)/dist/test/lwc_9999.0.1.img
image-test-update: export LWC_IMAGE_BROKEN = $(CURDIR)/dist/test/lwc_9999.0.2.img
image-test-update: image-test-releases
image-test-broken-root: image-test-next

.PHONY: image-test-next image-test-releases
image-test-next:
	@.ci/deps $(IMAGE_DEPS)
	@mkdir -p dist/test
	$(GO) run ./image/build -image-only -dist dist/test -version 9999.0.1 $(if $(RELEASE_KEYS),-release-keys $(RELEASE_KEYS))

image-test-releases: image-test-next
	$(GO) build -trimpath -ldflags '-s -w' -o dist/test/broken ./cmd/lwc-demo/site/testdata/broken
	$(GO) run ./image/build -image-only -dist dist/test -version 9999.0.2 $(if $(RELEASE_KEYS),-release-keys $(RELEASE_KEYS)) -lwcd dist/test/broken

image-repro: ## build the image twice, once from nothing but packages and without a network, and compare
	@.ci/deps $(IMAGE_DEPS)
	$(GO) run ./image/build -version $(IMAGE_VERSION) $(if $(RELEASE_KEYS),-release-keys $(RELEASE_KEYS))
	$(GO) run ./image/build -version $(IMAGE_VERSION) $(if $(RELEASE_KEYS),-release-keys $(RELEASE_KEYS)) -clean -offline -scratch $$(mktemp -d) -dist dist/again
	@cmp dist/lwc_$(IMAGE_VERSION).img dist/again/lwc_$(IMAGE_VERSION).img
	@cd dist/again && sha256sum --quiet -c ../lwc_$(IMAGE_VERSION).SHA256SUMS && echo "image-repro: every file is the same, byte for byte"

image-archive: ## keep the packages and tools that the image in dist/ was built from, for PACKAGES= in years
	$(GO) run ./image/build -version $(IMAGE_VERSION) -archive

clean: ## remove what the targets made
	rm -rf $(BIN) dist
