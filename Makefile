# GNU make; no configure step.
#
#   make                 librill.a, librill.so and the examples, in build/
#   make test            everything that must pass before a change is kept
#   make check           the rules of the sources: layers, symbols, format, header, README
#   make man             the manual pages, in build/man/
#   make help            the other targets and the variables

PREFIX ?= /usr/local
bindir ?= $(PREFIX)/bin
libdir ?= $(PREFIX)/lib
includedir ?= $(PREFIX)/include
pkgconfigdir ?= $(libdir)/pkgconfig
cmakedir ?= $(libdir)/cmake/rill
datadir ?= $(PREFIX)/share
mandir ?= $(datadir)/man
bashdir ?= $(datadir)/bash-completion/completions
zshdir ?= $(datadir)/zsh/site-functions

ifeq ($(origin CC),default)
CC := $(CROSS)gcc
endif
ifeq ($(origin CXX),default)
CXX := $(CROSS)g++
endif
ifeq ($(origin AR),default)
AR := $(CROSS)ar
endif
NM ?= $(CROSS)nm
PKG_CONFIG ?= pkg-config
CLANG_FORMAT ?= clang-format

# Compilers and sanitizers build apart, so that their objects never mix.
comma := ,
variant := $(filter-out gcc,$(subst /,-,$(subst $() ,-,$(CC))))
variant := $(subst $() ,-,$(strip $(variant) $(subst $(comma),-,$(SAN)) $(if $(WITHOUT),without $(WITHOUT))))
B ?= build$(if $(variant),/$(variant))

OPT ?= -O2 -g
warnings := -Wall -Wextra -Wpedantic -Wshadow -Wstrict-prototypes -Wmissing-prototypes \
    -Wold-style-definition -Wpointer-arith -Wcast-align -Wvla -Wundef \
    -Wwrite-strings -Wformat=2 -Wimplicit-fallthrough -Wredundant-decls
harden := -fstack-protector-strong
ifneq ($(SAN),)
sanitize := -fsanitize=$(SAN) -fno-sanitize-recover=all -fno-omit-frame-pointer
else
harden += $(if $(filter -O0,$(OPT)),,-U_FORTIFY_SOURCE -D_FORTIFY_SOURCE=2)
so_link := -Wl,-z,defs
endif

ccflags := -std=c11 -D_GNU_SOURCE $(OPT) $(warnings) $(if $(filter 1,$(WERROR)),-Werror) \
    -fvisibility=hidden -fPIC -pthread $(harden) $(sanitize)
so_link += -shared -Wl,-z,relro,-z,now -Wl,--version-script=lib/rill.map
lib_include := -Ilib -Iinclude

# A cross build finds its libraries where the compiler looks, not by pkg-config.
pkg = $(or $(if $(CROSS),,$(shell $(PKG_CONFIG) $(1) 2>/dev/null)),$(2))
# Those that rill does without where they are not, or where WITHOUT names them.
has = $(if $(CROSS),$(shell echo '\#include <$(1).h>' | $(CC) -E - >/dev/null 2>&1 && echo $(1)),\
    $(shell $(PKG_CONFIG) --exists lib$(1) 2>/dev/null && echo $(1)))
codecs := $(strip $(foreach c,$(filter-out $(WITHOUT),lz4 zstd),$(call has,$(c))))
codec_cflags := $(if $(filter lz4,$(codecs)),-DRILL_HAVE_LZ4) \
    $(if $(filter zstd,$(codecs)),-DRILL_HAVE_ZSTD)
lib_cflags := $(strip $(call pkg,--cflags lmdb libxxhash $(codecs:%=lib%),) $(codec_cflags))
LIBS ?= $(call pkg,--libs lmdb libxxhash $(codecs:%=lib%),-llmdb -lxxhash $(codecs:%=-l%)) -lpthread
cmocka_libs := $(call pkg,--libs cmocka,-lcmocka)
# Without it tests that need a device in user space say so and are skipped.
fuse := $(if $(CROSS),,$(shell $(PKG_CONFIG) --exists fuse3 2>/dev/null && echo fuse3))
fuse_cflags := $(if $(fuse),-DHAVE_FUSE3 $(call pkg,--cflags fuse3,))
fuse_libs := $(if $(fuse),$(call pkg,--libs fuse3,))

# One line per file; V=1 shows the commands.
Q := $(if $(V),,@)
compile = $(CC) $(ccflags) $(lib_cflags) $(CPPFLAGS) $(CFLAGS)
depend = -MMD -MP -MF $@.d

version := $(shell awk '$$2 ~ /^RILL_VERSION_(MAJOR|MINOR|PATCH)$$/ \
    { v = v dot $$3; dot = "." } END { print v }' include/rill.h 2>/dev/null)
# Before 1.0 a new minor version may change the interface.
soname := librill.so.$(patsubst 0,0.$(word 2,$(subst ., ,$(version))),$(firstword $(subst ., ,$(version))))

# lib/LAYERS names the folders, lowest first.
folders := $(shell sed -n 's/^\([a-z][a-z0-9]*\)!\{0,1\} *:.*/\1/p' lib/LAYERS)
lib_src := $(foreach f,$(folders),$(sort $(wildcard lib/$(f)/*.c)))
lib_obj := $(lib_src:%.c=$(B)/obj/%.o)
test_obj := $(lib_src:%.c=$(B)/obj-test/%.o)

support_obj := $(patsubst %.c,$(B)/obj-test/%.o,$(wildcard tests/lib/*.c))
support := $(B)/libtesting.a
unit := $(patsubst %.c,$(B)/%,$(sort $(wildcard tests/unit/*.c tests/unit/*/*.c)))
api := $(patsubst %.c,$(B)/%,$(sort $(wildcard tests/api/*.c)))
proofs := $(patsubst %.c,$(B)/%,$(sort $(wildcard tests/proof/*.c)))
fuzz_targets := batch segment index control values names calls dump
fuzz := $(addprefix $(B)/tests/fuzz/,$(fuzz_targets))
proof_scripts := $(sort $(wildcard tests/proof/*.sh))
system_programs := $(patsubst %.c,$(B)/%,$(sort $(wildcard tests/system/*.c)))
system_scripts := $(sort $(wildcard tests/system/*.sh))

# An example is a file, or a folder whose files make one program.
example_files := $(patsubst %.c,$(B)/%,$(sort $(wildcard examples/*.c)))
example_folders := $(patsubst %/,%,$(sort $(dir $(wildcard examples/*/*.c))))
example_folder_programs := $(addprefix $(B)/,$(example_folders))
examples := $(example_files) $(example_folder_programs)

# The benchmark has those peers in it whose libraries are here; nng has no file for pkg-config.
bench_peers :=
bench_peer = $(if $(CROSS),,$(if $(2),$(eval bench_peers += $(1)) $(2)))
bench_libs := $(call bench_peer,sqlite,$(call pkg,--libs sqlite3,)) \
    $(call bench_peer,rocksdb,$(call pkg,--libs rocksdb,)) \
    $(call bench_peer,redis,$(call pkg,--libs hiredis,)) \
    $(call bench_peer,nats,$(call pkg,--libs libnats,)) \
    $(call bench_peer,zeromq,$(call pkg,--libs libzmq,)) \
    $(call bench_peer,nng,$(if $(wildcard /usr/include/nng/nng.h),-lnng))
bench_src := $(sort $(wildcard bench/*.c)) \
    $(patsubst %,bench/peers/%.c,peers rill file lmdb $(bench_peers))
bench_program := $(B)/bench/bench
amalgamation := $(B)/amalgamation
manual := $(B)/man

.PHONY: proof $(addprefix proof-,$(sort $(notdir $(basename $(wildcard tests/proof/*.c tests/proof/*.sh))))) \
    all lib examples golden test fuzz-programs coverage run-tests test-programs check layers symbols format-check header \
    readme format bench bench-quick bench-report bench-callgrind bench-deps demo install uninstall amalgamation man deps clean help
.DELETE_ON_ERROR:
.SECONDARY:

all: lib examples
lib: $(B)/librill.a $(B)/librill.so
examples: $(examples)

help:
	@echo 'Targets:   all lib examples test check format demo install uninstall'
	@echo '           bench bench-quick bench-report bench-callgrind bench-deps amalgamation man deps clean coverage proof proof-NAME (SEED=n BUDGET=n)'
	@echo 'Variables: WITHOUT="lz4 zstd"  CC=clang  WERROR=1  SAN=address,undefined|thread  CROSS=prefix-  OPT="-O2 -g"'
	@echo '           TESTS="unit api proof system examples readme packaging"  RUNNER="valgrind -q"'
	@echo '           PREFIX DESTDIR libdir includedir mandir  INPUT (demo)  ARGS (bench)  RESULTS (bench-report)  UPDATE=1 (bench-callgrind)'

# ---- Objects: rebuilt when the flags change, too ---------------------------

flags_now := $(compile) $(fuse)
$(B)/flags: FORCE
	@mkdir -p $(@D)
	@printf '%s\n' '$(flags_now)' | cmp -s - $@ || printf '%s\n' '$(flags_now)' >$@
.PHONY: FORCE

$(B)/obj/lib/%.o: lib/%.c $(B)/flags
	@mkdir -p $(@D)
	@echo '  CC   $@'
	$(Q)$(compile) $(lib_include) $(depend) -c -o $@ $<

$(B)/obj-test/%.o: %.c $(B)/flags
	@mkdir -p $(@D)
	@echo '  CC   $@'
	$(Q)$(compile) -DRILL_TEST=1 $(lib_include) -Itests -Itests/lib \
	    $(if $(filter tests/lib/blockdev,$*),$(fuse_cflags)) $(depend) -c -o $@ $<

$(B)/obj/examples/%.o: examples/%.c $(B)/flags
	@mkdir -p $(@D)
	@echo '  CC   $@'
	$(Q)$(compile) -Iinclude $(depend) -c -o $@ $<

$(B)/obj/bench/%.o: bench/%.c $(B)/flags
	@mkdir -p $(@D)
	@echo '  CC   $@'
	$(Q)$(compile) $(lib_include) -Ibench $(depend) -c -o $@ $<

# ---- The library ------------------------------------------------------------

# Made anew: ar would keep the members of sources that are gone.
$(B)/librill.a: $(lib_obj) lib/LAYERS
	@echo '  AR   $@'
	@rm -f $@
	$(Q)$(AR) rcs $@ $(lib_obj)

$(B)/librill-test.a: $(test_obj) lib/LAYERS
	@echo '  AR   $@'
	@rm -f $@
	$(Q)$(AR) rcs $@ $(test_obj)

$(B)/librill.so.$(version): $(lib_obj) lib/rill.map
	@echo '  LINK $@'
	$(Q)$(compile) $(so_link) -Wl,-soname,$(soname) -o $@ $(lib_obj) $(LDFLAGS) $(LIBS)

$(B)/librill.so: $(B)/librill.so.$(version)
	@ln -sf librill.so.$(version) $(B)/$(soname)
	@ln -sf $(soname) $@

# What tests share; each takes from it only what it names.
$(support): $(support_obj)
	@echo '  AR   $@'
	@rm -f $@
	$(Q)$(AR) rcs $@ $(support_obj)

# ---- Programs ---------------------------------------------------------------

test_program = $(compile) -DRILL_TEST=1 $(lib_include) -Itests -Itests/lib $(depend) -o $@ $< \
    $(support) $(B)/librill-test.a $(LDFLAGS) $(cmocka_libs) $(LIBS)

$(unit): $(B)/tests/unit/%: tests/unit/%.c $(support) $(B)/librill-test.a
	@mkdir -p $(@D)
	@echo '  LINK $@'
	$(Q)$(test_program) $(if $(filter meta/lmdb,$*),-ldl)

$(api): $(B)/tests/api/%: tests/api/%.c $(support) $(B)/librill-test.a
	@mkdir -p $(@D)
	@echo '  LINK $@'
	$(Q)$(test_program) $(if $(filter meanwhile group_faults txn_odd,$*),-ldl)

$(proofs): $(B)/tests/proof/%: tests/proof/%.c $(support) $(B)/librill-test.a
	@mkdir -p $(@D)
	@echo '  LINK $@'
	$(Q)$(test_program) $(if $(filter realfs,$*),$(fuse_libs))

# libFuzzer has a main of its own.
fuzz_shared := $(addprefix $(B)/obj-test/tests/fuzz/,fuzz.o partition.o \
    $(if $(findstring fuzzer,$(SAN)),,driver.o))
$(fuzz): $(B)/tests/fuzz/%: $(B)/obj-test/tests/fuzz/%.o $(fuzz_shared) $(support) \
    $(B)/librill-test.a
	@mkdir -p $(@D)
	@echo '  LINK $@'
	$(Q)$(compile) $(if $(findstring fuzzer,$(SAN)),-fsanitize=fuzzer) -o $@ $< $(fuzz_shared) \
	    $(support) $(B)/librill-test.a $(LDFLAGS) $(cmocka_libs) $(LIBS)

fuzz-programs: $(fuzz)

$(system_programs): $(B)/tests/system/%: tests/system/%.c $(B)/librill.a $(B)/flags
	@mkdir -p $(@D)
	@echo '  LINK $@'
	$(Q)$(compile) $(lib_include) $(depend) -o $@ $< $(B)/librill.a $(LDFLAGS) $(cmocka_libs) $(LIBS)

$(example_files): $(B)/examples/%: $(B)/obj/examples/%.o $(B)/librill.a
	@mkdir -p $(@D)
	@echo '  LINK $@'
	$(Q)$(compile) -o $@ $< $(B)/librill.a $(LDFLAGS) $(LIBS)

define folder_program
$(B)/$(1): $(patsubst %.c,$(B)/obj/%.o,$(sort $(wildcard $(1)/*.c))) $(B)/librill.a
	@mkdir -p $$(@D)
	@echo '  LINK $$@'
	$$(Q)$$(compile) -o $$@ $$(filter %.o,$$^) $(B)/librill.a $$(LDFLAGS) $$(LIBS)
endef
$(foreach f,$(example_folders),$(eval $(call folder_program,$(f))))

$(bench_program): $(bench_src:%.c=$(B)/obj/%.o) $(B)/librill.a $(B)/bench-peers
	@mkdir -p $(@D)
	@echo '  LINK $@'
	$(Q)$(compile) -o $@ $(filter %.o,$^) $(B)/librill.a $(LDFLAGS) $(LIBS) $(bench_libs)

$(B)/bench-peers: FORCE
	@mkdir -p $(@D)
	@echo '$(bench_peers)' | cmp -s - $@ || echo '$(bench_peers)' >$@

# All of it, and less of it. The second make sees what the first one installed.
results = $(B)/$@.tsv
bench bench-quick: SHELL := /bin/bash
bench bench-quick: bench-deps
	@$(MAKE) --no-print-directory $(bench_program)
	@set -o pipefail; $(if $(filter bench-quick,$@),BENCH_QUICK=1) $(bench_program) $(ARGS) | tee $(results)

# Instructions per record against the baseline; UPDATE=1 makes a new one.
$(B)/bench/count: $(B)/obj/bench/instructions/count.o $(B)/obj/bench/support.o $(B)/librill.a
	@mkdir -p $(@D)
	@echo '  LINK $@'
	$(Q)$(compile) -o $@ $(filter %.o,$^) $(B)/librill.a $(LDFLAGS) $(LIBS)

bench-callgrind: $(B)/bench/count
	@CC='$(CC)' bench/instructions/compare.sh $< $(if $(UPDATE),update)

# Of what `make bench` printed last, or of RESULTS.
RESULTS ?= $(B)/bench.tsv
bench-report:
	@bench/report.py $(RESULTS) $(B)/report

# What it compares with; where that cannot be had, it is skipped.
bench-deps: deps
	@WITHOUT='$(WITHOUT)' tests/deps.sh bench

# Without INPUT it makes a sample of its own.
demo: deps
	@$(MAKE) --no-print-directory $(B)/examples/demo
	$(B)/examples/demo $(INPUT)

# ---- Tests ------------------------------------------------------------------

# Sanitizers watch our own code; packages and snippets are built without them.
TESTS ?= unit api proof system examples$(if $(SAN)$(CROSS)$(RUNNER),, readme packaging)
RUNNER ?=

all_unit = $(unit)
all_api = $(api)
all_proof = $(proofs) $(proof_scripts)
all_system = $(system_programs) $(system_scripts)
all_examples = $(patsubst $(B)/examples/%,tests/examples.sh:%,$(examples))
all_readme = tests/readme.sh
all_packaging = $(sort $(wildcard tests/packaging/*.sh))

build_unit = $(unit)
build_api = $(api)
build_proof = $(proofs) $(fuzz) lib
build_system = $(system_programs) lib examples $(bench_program)
build_examples = lib examples
build_readme = lib
build_packaging = lib examples

# What tests and their scripts may read from the environment.
test_env = RILL_ROOT='$(CURDIR)' RILL_BUILD='$(abspath $(B))' CC='$(CC)' CXX='$(CXX)' \
    NM='$(NM)' RILL_LIBS='$(LIBS)' RILL_CFLAGS='$(lib_cflags) $(sanitize) -pthread' \
    WITHOUT='$(WITHOUT)' PROOF_SHARE=1 RILL_RUNNER='$(RUNNER)' $(if $(SAN)$(CROSS)$(RUNNER),RILL_TEST_SLOW=1) \
    $(if $(findstring qemu,$(RUNNER)),RILL_TEST_EMULATED=1)

# The tools first; a second make then sees what the first one installed.
test: deps
	@$(MAKE) --no-print-directory test-programs
	@$(MAKE) --no-print-directory run-tests

test-programs: $(foreach t,$(TESTS),$(build_$(t)))

run-tests:
	@$(test_env) tests/run.sh $(foreach t,$(TESTS),$(all_$(t)))

# The proofs in full; each takes minutes. SEED and BUDGET (cases) from the command line.
proof_names := $(sort $(notdir $(basename $(wildcard tests/proof/*.c tests/proof/*.sh))))
proof_env = $(test_env) $(if $(SEED),SEED='$(SEED)') $(if $(BUDGET),BUDGET='$(BUDGET)')

proof: $(addprefix proof-,$(proof_names))

$(addprefix proof-,$(proof_names)): proof-%: deps
	@$(MAKE) --no-print-directory $(build_proof)
	@mkdir -p $(B)/proof && \
	    env -u PROOF_SHARE $(subst PROOF_SHARE=1,,$(proof_env)) TMPDIR='$(abspath $(B)/proof)' \
	    $(if $(wildcard tests/proof/$*.sh),tests/proof/$*.sh,$(B)/tests/proof/$*)

# The golden stores of a version that is released: kept for ever, opened by every later one.
golden: lib
	@test -n '$(VERSION)' || { echo 'golden: say which: make golden VERSION=x.y' >&2; exit 2; }
	@mkdir -p $(B)/golden && rm -rf $(B)/golden/*
	$(Q)$(compile) $(lib_include) -o $(B)/golden/make tests/golden/make.c $(B)/librill.a $(LDFLAGS) $(LIBS)
	@cd $(B)/golden && ./make $(VERSION)-closed && ./make $(VERSION)-killed kill && \
	    tar --sort=name --owner=0 --group=0 -c $(VERSION)-closed $(VERSION)-killed | gzip -9n \
	    >'$(CURDIR)/tests/golden/$(VERSION).tar.gz'

# Lines and branches that the tests run; COVERAGE_SHOW=1 lists the others.
coverage: deps
	@find build/coverage -name '*.gcda' -delete 2>/dev/null || true
	@$(MAKE) --no-print-directory B=build/coverage TESTS='unit api proof' \
	    OPT='-O0 -g --coverage -include tests/lib/coverage.h' test
	@mkdir -p build/coverage/tests/tmp
	@for proof in nth nthadmin; do \
	    RILL_ROOT='$(CURDIR)' TMPDIR='$(CURDIR)/build/coverage/tests/tmp' SEED=1 \
	        build/coverage/tests/proof/$$proof || exit 1; \
	done
	@tests/coverage.sh build/coverage/obj-test

deps:
	@WITHOUT='$(WITHOUT)' tests/deps.sh

# ---- Rules ------------------------------------------------------------------

check: layers symbols format-check header amalgamation readme $(manual)/rill.7
	@echo 'check: passed'

layers:
	@awk -f tests/layers.awk lib/LAYERS $(sort $(wildcard lib/*/*.[ch]))

symbols: lib
	@$(test_env) tests/symbols.sh

c_files = $(shell find include lib tests examples bench -name '*.[ch]' 2>/dev/null | LC_ALL=C sort)

format-check:
	@$(CLANG_FORMAT) --dry-run -Werror $(c_files)

format:
	@$(CLANG_FORMAT) -i $(c_files)

header:
	@$(CC) -std=c11 -Wall -Wextra -Wpedantic -Werror -fsyntax-only -x c -include rill.h \
	    -Iinclude /dev/null
	@$(CXX) -std=c++11 -Wall -Wextra -Wpedantic -Werror -fsyntax-only -x c++ -include rill.h \
	    -Iinclude /dev/null

readme: lib
	@$(test_env) tests/readme.sh || [ $$? = 77 ]

# ---- Manual pages ------------------------------------------------------------

# A page per function, made from the header; what rill(1) says about commands, rill knows.
# For another machine that takes a RUNNER; without one there is no rill.1.
rill_program := $(filter $(B)/examples/rill,$(examples))
rill_runs := $(if $(CROSS),$(if $(RUNNER),$(rill_program)),$(rill_program))

man: $(manual)/rill.7 $(if $(rill_runs),$(manual)/rill.1)

$(manual)/rill.7: include/rill.h lib/rill.7.in lib/man.awk
	@mkdir -p $(@D)
	@rm -f $(@D)/*.3
	@awk -v out=$(@D) -v version=$(version) -f lib/man.awk include/rill.h lib/rill.7.in

$(manual)/rill.1: examples/rill/rill.1.in $(rill_program)
	@mkdir -p $(@D)
	@$(RUNNER) $(rill_program) help --manual >$@.commands
	@sed -e '/^@commands@$$/{r $@.commands' -e 'd}' -e 's/@version@/$(version)/' $< >$@
	@rm $@.commands

# ---- Packages ---------------------------------------------------------------

amalgamation: $(amalgamation)/rill.c $(amalgamation)/rill.h

$(amalgamation)/rill.c: $(lib_src) $(wildcard lib/*/*.h) lib/amalgamate.awk lib/LAYERS
	@mkdir -p $(@D)
	@awk -v version=$(version) -f lib/amalgamate.awk $(lib_src) >$@

$(amalgamation)/rill.h: include/rill.h
	@mkdir -p $(@D)
	@cp $< $@

fill = sed -e 's|@codec_libs@|$(codecs:%= -l%)|g' -e 's|@codec_targets@|$(subst $() ,,$(codecs:%=;%))|g' \
    -e 's|@version@|$(version)|g' -e 's|@soname@|$(soname)|g' -e 's|@prefix@|$(PREFIX)|g' \
    -e 's|@libdir@|$(libdir)|g' -e 's|@includedir@|$(includedir)|g' \
    -e "s|@lib_from_cmake@|$$(realpath -ms --relative-to='$(cmakedir)' '$(libdir)')|g" \
    -e "s|@include_from_cmake@|$$(realpath -ms --relative-to='$(cmakedir)' '$(includedir)')|g"

install: lib man $(rill_program)
	install -d '$(DESTDIR)$(includedir)' '$(DESTDIR)$(libdir)' '$(DESTDIR)$(pkgconfigdir)' \
	    '$(DESTDIR)$(cmakedir)'
	install -m 644 include/rill.h '$(DESTDIR)$(includedir)/rill.h'
	install -m 644 $(B)/librill.a '$(DESTDIR)$(libdir)/librill.a'
	install -m 755 $(B)/librill.so.$(version) '$(DESTDIR)$(libdir)/librill.so.$(version)'
	ln -sf librill.so.$(version) '$(DESTDIR)$(libdir)/$(soname)'
	ln -sf $(soname) '$(DESTDIR)$(libdir)/librill.so'
	$(fill) lib/rill.pc.in >'$(DESTDIR)$(pkgconfigdir)/rill.pc'
	$(fill) lib/rill-config.cmake.in >'$(DESTDIR)$(cmakedir)/rill-config.cmake'
	$(fill) lib/rill-config-version.cmake.in >'$(DESTDIR)$(cmakedir)/rill-config-version.cmake'
	install -d '$(DESTDIR)$(bindir)' '$(DESTDIR)$(bashdir)' '$(DESTDIR)$(zshdir)' \
	    $(patsubst %,'$(DESTDIR)$(mandir)/man%',1 3 7)
	install -m 755 $(rill_program) '$(DESTDIR)$(bindir)/rill'
	install -m 644 examples/rill/completion/rill.bash '$(DESTDIR)$(bashdir)/rill'
	install -m 644 examples/rill/completion/_rill '$(DESTDIR)$(zshdir)/_rill'
	install -m 644 $(manual)/*.3 '$(DESTDIR)$(mandir)/man3'
	install -m 644 $(manual)/rill.7 '$(DESTDIR)$(mandir)/man7/rill.7'
	$(if $(rill_runs),install -m 644 $(manual)/rill.1 '$(DESTDIR)$(mandir)/man1/rill.1')

uninstall:
	rm -f '$(DESTDIR)$(includedir)/rill.h' '$(DESTDIR)$(libdir)/librill.a' \
	    '$(DESTDIR)$(libdir)/librill.so' '$(DESTDIR)$(libdir)/$(soname)' \
	    '$(DESTDIR)$(libdir)/librill.so.$(version)' '$(DESTDIR)$(pkgconfigdir)/rill.pc' \
	    '$(DESTDIR)$(cmakedir)/rill-config.cmake' \
	    '$(DESTDIR)$(cmakedir)/rill-config-version.cmake' '$(DESTDIR)$(bindir)/rill' \
	    '$(DESTDIR)$(bashdir)/rill' '$(DESTDIR)$(zshdir)/_rill' \
	    '$(DESTDIR)$(mandir)/man1/rill.1' '$(DESTDIR)$(mandir)/man7/rill.7'
	sed -n 's/^RILL_API .*[ *]\(rill_[a-z_]*\)(.*/\1/p' include/rill.h | \
	    while read -r name; do rm -f "$(DESTDIR)$(mandir)/man3/$$name.3"; done
	-rmdir '$(DESTDIR)$(cmakedir)' 2>/dev/null

clean:
	rm -rf build

-include $(shell find $(B) -name '*.d' 2>/dev/null)
