# long.mk - of the Makefile: tests that run for as long as they are told, and fuzzing.

# Tests that take a size from VDB_N: tests/*/test_crash*.c and so on.
long = $(foreach p,$(PROGRAMS.check),$(if $(filter test_$(1)%,$(notdir $(p))),$(p)))
LONG = $(if $(1),$(foreach p,$(1),$(if $(N),VDB_N=$(N)) $(p) &&) true,echo 'no such test'; false)
crash: $(call long,crash) ## crash states on a simulated disk: N=1000000
	@$(call LONG,$^)
sigkill: $(call long,sigkill) ## N cycles of killing a writing process
	@$(call LONG,$^)
router-sim: build/check/tests/cluster/test_router ## a router in a simulated cluster: SEEDS=3000, FROM= the first
	@VDB_N=$(or $(SEEDS),3000) VDB_FROM=$(or $(FROM),1) $<
sim: build/check/tests/cluster/test_sim ## the simulated cluster: SEEDS=50000, FROM= the first
	@VDB_N=$(or $(SEEDS),5000) VDB_FROM=$(or $(FROM),1) VDB_JOBS=$$(nproc) $<
split-sim: build/check/tests/cluster/test_sim_story ## a shard is split, simulated: SEEDS=20000, FROM= the first
	@VDB_SPLITS=$(or $(SEEDS),20000) VDB_FROM=$(or $(FROM),1) $<
chaos: build/check/tests/cluster/test_chaos ## real nodes and etcd under N faults of 17 kinds: N=100
	@VDB_N=$(or $(N),20) $<
planted: build/check/tests/cluster/test_planted ## planted protocol mistakes: seeds until each is caught
	@VDB_N=all VDB_JOBS=$$(nproc) $<
follow: $(call long,follow) ## N kills of readers and writers, and N databases with a reader beside
	@$(call LONG,$^)
model: $(call long,model) ## N random operations against a naive model
	@$(call LONG,$^)
crypt: $(CRYPT_LONG) ## the long tests on encrypted databases: N states, cycles or operations each
	@$(foreach p,$^,VDB_ENCRYPT=1 $(if $(N),VDB_N=$(N)) $(p) &&) true

# libFuzzer keeps what it finds in build/corpus; fuzz-keep moves what is new to the kept corpora.
build/fuzz/%: build/fuzz/tests/fuzz/%.o build/fuzz/libtlib.a build/fuzz/libvecdb.a
	$(call say,LINK,$@)
	$(Q)$(CLANG) $(FLAGS.fuzz) -fsanitize=fuzzer -pthread $(LDFLAGS) -o $@ $(GROUP) $(LIBS)
# RapidJSON's stack begins as a null pointer and counts on from there, which clang's check ends at.
build/fuzz/cluster/server/json_write.o: private FLAGS.fuzz += -fno-sanitize=pointer-overflow
fuzz: ## each fuzz target for N seconds with libFuzzer (needs clang)
	@command -v $(CLANG) >/dev/null || { echo 'fuzz: needs clang and libclang-rt-14-dev'; exit 1; }
	$(SUB) $(FUZZERS:%=build/fuzz/%)
	@$(foreach f,$(FUZZERS),mkdir -p build/corpus/$(f) tests/fuzz/corpus/$(f:fuzz_%=%) && \
	  echo 'fuzz: $(f)' && build/fuzz/$(f) -max_total_time=$(or $(N),60) -timeout=10 -verbosity=0 \
	  -print_final_stats=1 -artifact_prefix=build/corpus/$(f)- build/corpus/$(f) \
	  tests/fuzz/corpus/$(f:fuzz_%=%) &&) true
fuzz-keep: $(FUZZERS:%=build/fuzz/%) ## adds what fuzzing found to tests/fuzz/corpus
	@$(foreach f,$(FUZZERS),build/fuzz/$(f) -merge=1 tests/fuzz/corpus/$(f:fuzz_%=%) \
	  build/corpus/$(f) &&) true
