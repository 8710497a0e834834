# The front door: `make demo` and `make test` set up what they need.

PYTHON  ?= python3
VENV    := .venv
BIN     := $(VENV)/bin
# Programs the tests need beyond Python packages, and the Debian packages that hold them.
PROGRAMS := clang:clang qemu-aarch64:qemu-user qemu-system-arm:qemu-system-arm qemu-system-riscv32:qemu-system-misc arm-none-eabi-gcc:gcc-arm-none-eabi riscv64-unknown-elf-gcc:gcc-riscv64-unknown-elf avr-gcc:gcc-avr cppcheck:cppcheck node:nodejs npm:npm
# Compilers for other processors under Linux, and what Debian calls these: with a C library each.
CROSS    := aarch64-linux-gnu:arm64 arm-linux-gnueabi:armel
# The same of libraries: MuJoCo draws with OSMesa where there is no screen. What ends in .so comes with
# its headers: the emulator of AVRs is compiled.
LIBRARIES := libOSMesa:libosmesa6 libsimavr.so$$:libsimavr-dev libelf.so$$:libelf-dev
# The emulator of the RP2040 comes from npm; this is the last file that npm writes.
RP2040JS := host/rp2040js/node_modules/.package-lock.json
# clang alone has no libFuzzer.
FUZZER_LINKS = echo 'int LLVMFuzzerTestOneInput(void) { return 0; }' | \
	  clang -fsanitize=fuzzer,address -xc - -o /dev/null 2>/dev/null
# A compiler without the C library's headers is none.
COMPILER_WORKS = for cc in $$CC cc gcc clang; do \
	  echo '\#include <stdio.h>' | $$cc -E -xc - >/dev/null 2>&1 && break; done
# The slowest emulators first: two that come last would keep one core waiting for the other.
BOARDS  := mega2560 uno pico virtual mps2-an385 mps2-an386 mps2-an500 mps2-an505 microbit \
	   netduinoplus2 stm32vldiscovery lm3s6965evb hifive1 riscv32-virt riscv32-virt-zbb
SECONDS ?= 60
# Three tests at a time on two cores: they wait a third of their time, for a device or a line. Those of
# a device, or of a file, one after another, so that what they set up is set up once; in the order of
# collection: xdist would begin with the files that hold most tests, not the slowest.
WORKERS  = $(shell $(PYTHON) -c 'import os; print((3 * os.cpu_count() + 1) // 2)')
TOGETHER = -n $(WORKERS) --dist loadfile --no-loadscope-reorder --quiet

.PHONY: help setup demo demo-evolve test hil fuzz lint bench bench-boards bench-evolve bench-link bench-pareto bench-tasks bench-train costs sizes wheel clean programs packages

help:
	@echo 'make demo    train CartPole, build firmware, run it in the loop; about a minute'
	@echo 'make demo-evolve  a trained policy, a changed plant, an emulated Cortex-M4 that learns it; minutes'
	@echo 'make test    everything that can be tested, emulated boards included'
	@echo 'make hil     hil_tests alone; PORT=/dev/ttyACM0 tests a real board'
	@echo 'make fuzz    libFuzzer on the core: hostile bytes and images; SECONDS=60 for each of two'
	@echo 'make bench   speed of the engine, as ratios measured in one run'
	@echo 'make bench-boards instructions, flash, RAM and stack on every board, with each kernel'
	@echo 'make bench-evolve what evolution costs: instructions, bytes, seconds; and through faults'
	@echo 'make bench-link   uploads and steps over the link, against the line itself'
	@echo 'make costs   count again what steps cost on the boards: firmware/costs.csv'
	@echo 'make sizes   measure the firmware again: firmware/sizes.csv'
	@echo 'make bench-pareto the smallest networks that keep the return, and what they cost'
	@echo 'make bench-tasks  what the defaults learn, every native task on five seeds'
	@echo 'make bench-train  speed of training against its physics, every MuJoCo task'
	@echo 'make lint    ruff and cppcheck'
	@echo 'make wheel   wheel and sdist into dist/'
	@echo 'make clean   remove all that was made'

# A stamp is made last, so that whatever was interrupted is done again.
$(VENV)/base: pyproject.toml setup.py
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
	  || { echo 'ecedge needs Python 3.11 or newer; name it: make PYTHON=python3.12'; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null \
	  || { echo "Python's venv is missing. Install it: apt-get install python3-venv"; exit 1; }
	@$(BIN)/python -m pip --version >/dev/null 2>&1 || $(PYTHON) -m venv --clear $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check 'setuptools>=68' wheel 'cffi>=1.16'
	@$(COMPILER_WORKS) \
	  || { echo 'No C compiler here: installing the one in the package ziglang.'; \
	       $(BIN)/python -m pip install --quiet --disable-pip-version-check ziglang; }
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-build-isolation -e .
	@touch $@

$(VENV)/dev: $(VENV)/base
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-build-isolation -e '.[dev,cross]'
	@touch $@

setup: $(VENV)/base
	@$(BIN)/python host/native.py

demo: setup
	$(BIN)/ecedge demo

# Without the emulator or a compiler for it, it says so and goes on with the virtual device.
demo-evolve: setup
	@$(BIN)/python bench/story.py

test: $(VENV)/dev setup programs
	$(BIN)/python -m pytest hil_tests tests $(BOARDS:%=--board %) --long $(TOGETHER) $(PYTEST)

hil: $(VENV)/dev setup
	$(BIN)/python -m pytest hil_tests $(if $(PORT),--port $(PORT),$(BOARDS:%=--board %)) $(TOGETHER) $(PYTEST)

fuzz: $(VENV)/dev setup
	$(BIN)/python tests/fuzzing.py --seconds $(SECONDS)

bench: $(VENV)/dev setup
	$(BIN)/python bench/engine.py

# Instructions on the chip; bytes and times of a fleet; and what it learns through faults, ten minutes.
bench-evolve: $(VENV)/dev setup
	@$(BIN)/python bench/evolve.py
	@$(BIN)/python bench/fleet.py
	@$(BIN)/python bench/evolve_faults.py

# BOARD="a b" does these for some boards alone.
bench-boards: $(VENV)/dev setup
	@$(BIN)/python bench/boards.py $(BOARD:%=--board %)

bench-link: $(VENV)/dev setup
	@$(BIN)/python bench/link.py

costs: $(VENV)/dev setup
	@$(BIN)/python bench/boards.py --costs $(BOARD:%=--board %)

sizes: $(VENV)/dev setup
	@$(BIN)/python bench/sizes.py $(BOARD:%=--board %)

lint: $(VENV)/dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	cppcheck --quiet --std=c99 --enable=warning,portability --error-exitcode=1 \
	  --inline-suppr -Ifirmware/core -Ifirmware/app firmware/core

bench-tasks: setup
	$(BIN)/python bench/tasks.py

bench-pareto: $(VENV)/dev setup
	@$(BIN)/python bench/pareto.py

bench-train: $(VENV)/dev setup
	$(BIN)/python bench/train.py

wheel: $(VENV)/dev
	$(BIN)/python -m build --quiet

clean:
	rm -rf build dist $(VENV) *.egg-info host/rp2040js/node_modules ecedge/engine/_ecedge.so ecedge/engine/_bindings.py

programs: packages $(RP2040JS)

$(RP2040JS): host/rp2040js/package-lock.json | packages
	npm ci --loglevel=error --prefix $(dir $<)
	@touch $@

# Installs what is missing where it may, and says what to install where it may not.
packages:
	@missing=; $(COMPILER_WORKS) || missing=' gcc libc6-dev'; \
	$(FUZZER_LINKS) || missing="$$missing libclang-rt-dev"; \
	for entry in $(PROGRAMS); do \
	  command -v $${entry%%:*} >/dev/null || missing="$$missing $${entry##*:}"; \
	done; \
	for entry in $(CROSS); do \
	  echo '#include <stdio.h>' | $${entry%%:*}-gcc -E -xc - >/dev/null 2>&1 \
	    || missing="$$missing gcc-$${entry%%:*} libc6-dev-$${entry##*:}-cross"; \
	done; \
	for entry in $(LIBRARIES); do \
	  [ ! -x /sbin/ldconfig ] || /sbin/ldconfig -p | grep -q $${entry%%:*} || missing="$$missing $${entry##*:}"; \
	done; \
	[ -z "$$missing" ] && exit 0; \
	if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
	  echo "Installing$$missing"; \
	  apt-get -qq update && DEBIAN_FRONTEND=noninteractive apt-get -qq install -y --no-install-recommends $$missing >/dev/null; \
	else \
	  echo "The tests need more packages. Install them: sudo apt-get install$$missing"; exit 1; \
	fi
