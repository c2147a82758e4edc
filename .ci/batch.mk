# batch.mk - of the Makefile: how files are compiled under the sanitizers: eight at a time, as one, and
# tests without optimising.
#
# Under the sanitizers a file of the library is compiled in a third of a second, a quarter of which goes
# into headers that its neighbours read, too. As lib/all.c shows, files of a folder can be one; in
# cluster/ they can but for those below, whose static functions have names that others have. What a
# file alone would not compile for, the other variants show.

BATCHED := asan tsan
SLICES := 1.8 9.16 17.24 25.32 33.40 41.48 49.56 57.64 65.72 73.80 81.88 89.96 97.104 105.112 113.120

# What is compiled with flags of its own, or replaced by a program's own, or asks for what some programs
# do not have; or has such names.
ALONE := lib/kern/linear% lib/os/crypt% lib/os/vfs_uring% cluster/ctl/lag% cluster/ctl/step% \
  cluster/meta/model% cluster/sim/split_client% \
  $(addprefix cluster/server/,milvus_filter% milvus_re% milvus_ro% milvus_search% qdrant_search% \
  qdrant_write% tls.c)

# The $(1)th files of folder $(2) among files $(3).
slice = $(wordlist $(basename $(1)),$(subst .,,$(suffix $(1))),$(filter $(2)%,$(filter-out $(ALONE),$(3))))
name_of = $(2)$(notdir $(2:/=))$(basename $(1))
# Of files $(1): the names of those that are compiled alone, and of the batches of the others.
batches = $(patsubst %.c,%,$(filter $(ALONE),$(1))) $(foreach d,$(sort $(dir $(filter-out $(ALONE),$(1)))),\
  $(foreach s,$(SLICES),$(if $(call slice,$(s),$(d),$(1)),batch/$(call name_of,$(s),$(d)))))
# Their objects in variant $(1), which may have no batches.
objects = $(if $(filter $(1),$(BATCHED)),$(patsubst %,build/$(1)/%.o,$(call batches,$(2))),$(2:%.c=build/$(1)/%.o))

# The $(1)th files of folder $(2) as one; and that in variant $(1), with $(2), planted/, also as one in
# which mistakes can be planted.
define BATCH
build/batch/$(call name_of,$(1),$(2)).c: FORCE
	@mkdir -p $$(@D); printf '#include "%s"\n' $(call slice,$(1),$(2),$(BATCH_SRC)) | cmp -s - $$@ || \
	  printf '#include "%s"\n' $(call slice,$(1),$(2),$(BATCH_SRC)) >$$@
endef
define BATCH_IN
build/$(1)/$(2)batch/%.o: build/batch/%.c build/$(1)/flags
	@mkdir -p $$(@D)
	$$(call say,CC,$$@)
	$$(Q)$$(CC.$(1)) $$(BASE) $(if $(2),-DREP_PLANT) $$(FLAGS.$(1)) $$(CPPFLAGS) $$(CFLAGS) -MMD -MP -c \
	  -o $$@ $$<
-include $$(wildcard build/$(1)/$(2)batch/*/*/*.d)
endef
$(foreach d,$(sort $(dir $(BATCH_SRC))),$(foreach s,$(SLICES),\
  $(if $(call slice,$(s),$(d),$(BATCH_SRC)),$(eval $(call BATCH,$(s),$(d))))))

# What learns centroids is a third of the time of many tests. Tests themselves are compiled soon: what takes
# long in one is in tlib, or IX_PLAIN.
build/asan/lib/kern/linear%.o: private FLAGS.asan := $(FLAGS.asan:-Og=-O2)
build/asan/tests/%.o: private FLAGS.asan := $(FLAGS.asan:-Og=-O0)
build/asan/tests/tlib/%.o: private FLAGS.asan := $(FLAGS.asan)
build/tsan/tests/%.o: private FLAGS.tsan := $(FLAGS.tsan:-Og=-O0)
build/tsan/tests/tlib/%.o: private FLAGS.tsan := $(FLAGS.tsan)
