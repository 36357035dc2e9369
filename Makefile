#
# engbld: Triton's origin images, and the makefiles and tools that components build
# with. This file is for the images and for working on engbld itself; components
# include what is in tools/mk.
#
#: Images
#:   make FLAVOR-buildimage      build an image; the result is in bits/FLAVOR
#:   make all-buildimage         build all of them; with -j, several at a time
#:   make FLAVOR-"GOAL GOAL"     any goals of the image's Makefile:
#:                               buildimage bits-upload print-STAMP ...
#:   make FLAVOR-plan, -lock, -verify, -audit
#:                               what a build would do; pin its inputs; build it
#:                               again and compare; judge its vulnerabilities
#:   make FLAVOR-diff, -sbom, -provenance, -report
#:                               of the newest build: what it changes, documents
#:                               beside it, a page about it
#:   make flavors                list the flavors
#:
#: Without network, from made-up packages: ENGBLD_SANDBOX=true make ...
#:
#: Working on engbld
#:   make test                   run the tests
#:   make soak                   random file systems against real ZFS, 500 rounds,
#:                               and builds that are killed, starved, repeated
#:   make fuzz                   made-up inputs for every parser, ten minutes of
#:                               CPU time each; FUZZ=3s: a short look
#:   make check                  format, vet, generated files
#:   make cross                  compile for every system engbld runs on
#:   make gen                    write what is generated from images/*/flavor.toml
#:   make bench                  measure against other tools; BENCH=quick: small
#:                               inputs, BENCH=long: also what takes long
#:   make dist                   programs for machines without Go, in build/dist
#:   make clean, make distclean  remove what was made; distclean: the images, too
#

.PHONY: help
help:
	@sed -n -e 's/^#: //p' -e 's/^#:$$//p' Makefile
	@printf '\nFLAVOR is one of these, or all:\n'; printf '  %s\n' $(ENGBLD_FLAVORS)

NAME =			engbld
MAKE_STAMPS_DIR =	make_stamps

# Nothing here is compiled for the machine it is built on.
export ENGBLD_SKIP_VALIDATE_BUILDENV := true
ENGBLD_CHECK_COPYRIGHT_DISABLE = true

include deps/eng/tools/mk/Makefile.defs

CLEAN_FILES +=		images/*/make_stamps
DISTCLEAN_FILES +=	images/*/flavor.sandbox.lock

# Before those of Makefile.targ, which say that all is well.
check:: check-go check-sh check-gen

include images/flavors.mk
include deps/eng/tools/mk/Makefile.targ

_ENGBLD_GO =		$(if $(ENGBLD_GO),$(ENGBLD_GO),go)
_ENGBLD_GO_DIRS =	images targets tools magefile.go
# Tests run make themselves: they start as from a shell.
_ENGBLD_TEST_ENV =	unset MAKEFLAGS MFLAGS MAKELEVEL MAKEOVERRIDES ENGBLD_TIMESTAMP ENGBLD_FACTS ENGBLD_FACTS_OF ENGBLD_SKIP_VALIDATE_BUILDENV;

all: all-buildimage

.PHONY: flavors
flavors:
	@printf '%s\n' $(ENGBLD_FLAVORS)

.PHONY: test
# A busy machine may need more than the usual ten minutes for one package.
test:
	@$(_ENGBLD_TEST_ENV) $(_ENGBLD_GO) test -timeout 60m ./...

.PHONY: soak
soak:
	@$(_ENGBLD_TEST_ENV) ENGBLD_SOAK=500 $(_ENGBLD_GO) test -run Soak -timeout 120m ./tools/dataset
	@$(_ENGBLD_TEST_ENV) ENGBLD_STRESS=1 $(_ENGBLD_GO) test -v -timeout 60m \
	    -run 'Killed|TwoAtOnce|Cache|Few|Clock|Times|Soak|InputOutput' ./tools/e2e

.PHONY: fuzz
fuzz:
	@$(_ENGBLD_TEST_ENV) $(_ENGBLD_GO) run ./tools/fuzz $(FUZZ_ARGS)

.PHONY: bench
bench:
	@$(_ENGBLD_TEST_ENV) $(_ENGBLD_GO) run ./tools/bench $(BENCH_ARGS)

.PHONY: check-go
check-go:
	@root=`$(_ENGBLD_GO) env GOROOT` && bad=`"$$root/bin/gofmt" -l $(_ENGBLD_GO_DIRS)` && \
	    if [ -n "$$bad" ]; then echo "error: gofmt -w would change: $$bad" >&2; exit 1; fi
	@$(_ENGBLD_GO) vet ./...
	@$(_ENGBLD_GO) vet -tags mage .

# Every system engbld runs on; the compiler looks, nothing is kept.
_ENGBLD_SYSTEMS =	illumos/amd64 linux/amd64 linux/arm64 darwin/arm64

.PHONY: cross
cross:
	@for s in $(_ENGBLD_SYSTEMS); do echo "$$s"; GOOS=$${s%/*} GOARCH=$${s#*/} CGO_ENABLED=0 \
	    $(_ENGBLD_GO) build ./... || exit 1; done

.PHONY: check-gen
check-gen:
	@$(_ENGBLD) flavor check

.PHONY: check-sh
check-sh:
	@for f in tools/*.sh tools/mk/*.sh tools/buildimage/bin/buildimage; do sh -n "$$f" || exit 1; done

.PHONY: gen
gen:
	@$(_ENGBLD) flavor generate

# Static, and the same bytes wherever they are made. A release tag has their
# SHA256SUMS as tools/SHA256SUMS, which tools/engbld.sh goes by.
.PHONY: dist
dist:
	@mkdir -p $(BUILD)/dist
	@for system in $(_ENGBLD_SYSTEMS); do \
	    out=$(BUILD)/dist/engbld-$${system%/*}-$${system#*/}; echo "$$out"; \
	    GOOS=$${system%/*} GOARCH=$${system#*/} GOFLAGS= GOWORK=off CGO_ENABLED=0 $(_ENGBLD_GO) build \
	        -mod=readonly -trimpath -buildvcs=false -o "$$out.new" ./tools/engbld && mv "$$out.new" "$$out" || exit 1; \
	done
	@cd $(BUILD)/dist && sha256sum $(foreach s,$(_ENGBLD_SYSTEMS),engbld-$(subst /,-,$(s))) > SHA256SUMS && cat SHA256SUMS
