# rules.mk - of the Makefile: the GPU module, by nvcc where there is one; and as an emulated device
# runs it, for tests.

GPU_SRC := $(sort $(wildcard gpu/*.cu))
GPU_HDR := $(sort $(wildcard gpu/*.cuh)) lib/accel/accel.h
GPU_ARCH := -gencode arch=compute_80,code=sm_80 -gencode arch=compute_90,code=sm_90 \
  -gencode arch=compute_90,code=compute_90
NVCC ?= $(or $(shell command -v nvcc),$(wildcard /usr/local/cuda/bin/nvcc))
EMULATED := build/gpu-emulated/libvecdb_gpu.so
GPU_ON_DEVICE := build/check/tests/gpu/test_gpu build/check/tests/gpu/test_lists

.PHONY: gpu gpu-test
gpu: ## the GPU module, build/libvecdb_gpu.so, if nvcc is there
	$(if $(NVCC),$(SUB) build/libvecdb_gpu.so,@echo 'gpu: skipped: there is no nvcc (CUDA Toolkit)')

build/gpu/%.o: gpu/%.cu $(GPU_HDR)
	@mkdir -p $(@D)
	$(call say,NVCC,$@)
	$(Q)$(NVCC) -std=c++17 -O3 -Ilib -Igpu $(GPU_ARCH) -Xcompiler -fPIC,-fvisibility=hidden -c -o $@ $<
build/libvecdb_gpu.so: $(GPU_SRC:%.cu=build/%.o)
	$(call say,LINK,$@)
	$(Q)$(NVCC) -shared -cudart static -o $@ $^

build/gpu-emulated/%.o: gpu/%.cu $(GPU_HDR) $(wildcard tests/gpu/emu/*.h)
	@mkdir -p $(@D)
	$(call say,CXX,$@)
	$(Q)$(CXX) -x c++ -std=c++17 -O2 -g1 -fPIC -fvisibility=hidden -Wall -Wextra -Werror -Itests/gpu/emu \
	  -Ilib -Igpu -c -o $@ $<
build/gpu-emulated/emu.o: tests/gpu/emu/emu.cc $(wildcard tests/gpu/emu/*.h)
	@mkdir -p $(@D)
	$(call say,CXX,$@)
	$(Q)$(CXX) -std=c++17 -O2 -g1 -fPIC -fvisibility=hidden -Wall -Wextra -Werror -Itests/gpu/emu -c -o $@ $<
$(EMULATED): $(GPU_SRC:gpu/%.cu=build/gpu-emulated/%.o) build/gpu-emulated/emu.o
	$(call say,LINK,$@)
	$(Q)$(CXX) -shared -pthread -o $@ $^

gpu-test: ## its tests on a device; the others of tests/gpu run on an emulated one
	$(if $(NVCC),$(SUB) build/libvecdb_gpu.so $(GPU_ON_DEVICE),@echo 'gpu-test: skipped: there is no nvcc')
	$(if $(NVCC),@for t in $(GPU_ON_DEVICE); do VECDB_GPU_MODULE=build/libvecdb_gpu.so $$t || exit 1; done)
