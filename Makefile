# stream.h: three headers, three tools. `make help` is the menu.

CC ?= cc
CFLAGS ?= -O2 -g
PREFIX ?= /usr/local
BUILD := build

WARN := -Wall -Wextra -Wpedantic -Wconversion -Wshadow
COMPILE = $(CC) $(WARN) -I. $(CPPFLAGS) $(CFLAGS)
HEADERS := stream.h stream_json.h stream_pool.h
COMMON := $(wildcard examples/common/*.c examples/common/*.h)
WRAP := $(wildcard examples/stream_wrap/*.c examples/stream_wrap/*.h)
BRIDGE := $(wildcard examples/tmux_bridge/*.c examples/tmux_bridge/*.h)
PAGE := $(addprefix examples/tmux_bridge/,page.html page.css page.js)
RELAY_PAGE := $(addprefix examples/sse_relay/,page.html page.css page.js)
RELAY := $(wildcard examples/sse_relay/*.c examples/sse_relay/*.h)
# For Windows, with mingw-w64: what of examples/common is the system's stands in a folder of its own.
WINDOWS_CC ?= x86_64-w64-mingw32-gcc
WINDOWS_LIBS := -lws2_32 -lsynchronization
WINDOWS := $(wildcard examples/common/windows/*.c examples/common/windows/*.h)
WINDOWS_SHARED := $(addprefix examples/common/,implementation.c text.c)
TOOLS := $(BUILD)/stream_wrap $(BUILD)/sse_relay $(BUILD)/tmux_bridge $(BUILD)/stream_tune
DEST = $(DESTDIR)$(PREFIX)
# The version stands in stream.h and nowhere else.
VERSION = $(shell awk '/define STREAM_VERSION_(MAJOR|MINOR|PATCH) / { v = v s $$3; s = "." } END { print v }' stream.h)
FILL = sed -e 's|@PREFIX@|$(PREFIX)|' -e 's|@VERSION@|$(VERSION)|'
EXAMPLES := $(patsubst examples/%.c,$(BUILD)/%,$(wildcard examples/*.c))

.PHONY: $(shell sed -n 's/^\([a-z-]*\):.*\#\# .*/\1/p' Makefile)

all: $(TOOLS) $(EXAMPLES) ## the tools and the examples, into build/

help: ## this menu
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-13s %s\n", $$1, $$2 }' Makefile
	@echo '  honoured: CC CFLAGS CPPFLAGS LDFLAGS PREFIX DESTDIR'

run: $(BUILD)/stream_wrap $(BUILD)/fake_llm ## the main job: wrap a (bundled) LLM CLI, show its text, its progress and a summary
	$(BUILD)/stream_wrap --output text --summary -- $(BUILD)/fake_llm --rate 200

run-bridge: $(BUILD)/tmux_bridge ## a terminal in the browser: open one of the addresses it prints
	$(BUILD)/tmux_bridge --exec '$(or $(COMMAND),sh)' --write-token auto

run-relay: all ## ... the other tool: a clock fanned out to http://127.0.0.1:8080/events
	(while date '+data: %T%n'; do sleep 1; done) | $(BUILD)/sse_relay --fanout -

test: all ## everything that can be tested on this machine; names what it had to skip
	@CC='$(CC)' BUILD=$(BUILD) sh tests/run.sh

coverage: ## which lines and branches of the headers the tests reach (gcc), some minutes
	@BUILD=$(BUILD) sh tests/coverage.sh

analyze: $(BUILD)/bridge/page.h $(BUILD)/relay/page.h ## static analysis: clang-tidy, clang, gcc, cppcheck; some minutes
	@BUILD=$(BUILD) sh tests/analyze.sh

deps: ## install what the skipped tests and the benchmark need (Debian, as root)
	@BUILD=$(BUILD) sh tests/deps.sh

bench: all $(BUILD)/relay_load ## measure against the rivals found on this machine, all of it: build/bench/report.md and plots
	@CC='$(CC)' BUILD=$(BUILD) sh bench/run.sh

bench-save: all $(BUILD)/relay_load ## ... and keep the report
	@CC='$(CC)' BUILD=$(BUILD) sh bench/run.sh save

bench-compare: all $(BUILD)/relay_load ## ... and judge by the one kept: ratios to rivals, counts of instructions
	@CC='$(CC)' BUILD=$(BUILD) sh bench/run.sh compare

bench-basics: ## ... only what the idea is worth: streaming beside accumulating, and the small costs
	@mkdir -p $(BUILD)/bench
	@$(CC) -O2 -I. -D_GNU_SOURCE bench/basics.c -o $(BUILD)/bench/basics -pthread
	@$(BUILD)/bench/basics

bench-wrap: all ## ... only stream_wrap beside other programs
	@BUILD=$(BUILD) sh bench/wrap.sh

bench-bridge: $(BUILD)/tmux_bridge ## ... only tmux_bridge beside websocketd with tmux attach
	node bench/bridge.mjs $(BUILD)/tmux_bridge $(BUILD)/npm

bench-relay: $(BUILD)/sse_relay $(BUILD)/relay_load ## ... only sse_relay beside nginx, nchan and node
	node bench/relay.mjs $(BUILD)/sse_relay $(BUILD)/relay_load

bench-json: ## ... only stream_json.h beside simdjson and yajl
	@CC='$(CC)' BUILD=$(BUILD) sh bench/json.sh

bench-rings: ## ... only the rings, queues and channels of stream.h beside ck, moodycamel, boost, pipes
	@CC='$(CC)' BUILD=$(BUILD) sh bench/rings.sh

soak-rings: ## the long proofs of rings and channels; SOAK percent (100) of them, some minutes
	@mkdir -p $(BUILD)/tests
	@$(COMPILE) -D_GNU_SOURCE -pthread tests/soak_rings.c -o $(BUILD)/tests/soak_rings $(LDFLAGS)
	@$(BUILD)/tests/soak_rings

soak-wrap: all ## a day's output through stream_wrap: SOAK percent (100) of it; then PACE seconds (600)
	@BUILD=$(BUILD) sh tests/soak_wrap.sh

soak-relay: $(BUILD)/sse_relay ## the long proofs of sse_relay: 10,000 subscribers, a million events
	$(CC) -shared -fPIC -O1 tests/count_malloc.c -o $(BUILD)/count_malloc.so
	SOAK=100 TEST_COUNT_MALLOC=$(abspath $(BUILD)/count_malloc.so) \
	    node tests/test_relay.mjs $(BUILD)/sse_relay $(BUILD)/npm soak

soak-bridge: $(BUILD)/tmux_bridge ## a browser through FLOOD_SECONDS (60) of flood: memory, and Ctrl-C
	FLOOD_SECONDS=$(or $(FLOOD_SECONDS),60) node tests/bridge_page.mjs $(BUILD)/tmux_bridge $(BUILD)/npm \
	    $(BUILD)/tests/bridge a_flood_leaves_the_browser_alive

bench-pool: ## ... only stream_pool.h beside malloc, mimalloc and jemalloc
	@CC='$(CC)' BUILD=$(BUILD) sh bench/pool.sh

bench-io: ## ... only stream_io beside libuv and libevent, and stream_splice beside cat and pv
	@CC='$(CC)' BUILD=$(BUILD) sh bench/io.sh

faults: all ## every call and request of memory of the tools failing in turn; FAULTS_JOBS (4); about ten minutes
	@mkdir -p $(BUILD)/tests
	@$(CC) -shared -fPIC -O1 tests/faults_inject.c -o $(BUILD)/tests/faults_inject.so
	@$(COMPILE) -std=c11 -D_GNU_SOURCE tests/faults.c -o $(BUILD)/tests/faults
	@BUILD=$(BUILD) sh tests/faults.sh

fuzz: ## one libFuzzer target after the other, FUZZ_SECONDS (30) each
	@BUILD=$(BUILD) sh tests/fuzz.sh

fuzz-afl: ## ... and under AFL++, AFL_SECONDS (30) each
	@BUILD=$(BUILD) sh tests/fuzz.sh afl

sizes: ## what each object takes of RAM, each header of flash and stack on a Cortex-M0 and M4
	@sh bench/sizes.sh

install: all ## headers, tools, and files for pkg-config and CMake below DESTDIR/PREFIX
	install -d $(DEST)/include $(DEST)/bin $(DEST)/share/pkgconfig $(DEST)/share/cmake/stream_h
	install -m 644 $(HEADERS) $(DEST)/include
	install -m 755 $(TOOLS) $(DEST)/bin
	$(FILL) packaging/stream_h.pc.in >$(DEST)/share/pkgconfig/stream_h.pc
	$(FILL) packaging/stream_hConfig.cmake.in >$(DEST)/share/cmake/stream_h/stream_hConfig.cmake
	$(FILL) packaging/stream_hConfigVersion.cmake.in >$(DEST)/share/cmake/stream_h/stream_hConfigVersion.cmake

windows: $(BUILD)/stream_wrap.exe $(BUILD)/fake_llm.exe ## what there is for Windows, with mingw-w64 (WINDOWS_CC)

clean: ## remove build/
	rm -rf $(BUILD)

blocks: ## copy the shared blocks of stream.h into the other two headers
	awk -f tests/blocks.awk stream.h stream_json.h stream_pool.h

$(BUILD)/stream_wrap: $(WRAP) $(COMMON) $(HEADERS) | $(BUILD)
	$(COMPILE) $(filter %.c,$(WRAP) $(COMMON)) -o $@ $(LDFLAGS)

$(BUILD)/stream_wrap.exe: $(WRAP) $(WINDOWS) $(COMMON) $(HEADERS) | $(BUILD)
	$(WINDOWS_CC) $(WARN) -I. -D__USE_MINGW_ANSI_STDIO=1 $(CPPFLAGS) $(CFLAGS) $(filter %.c,$(WRAP) $(WINDOWS)) \
	    $(WINDOWS_SHARED) -o $@ $(WINDOWS_LIBS)

$(BUILD)/fake_llm.exe: examples/fake_llm.c | $(BUILD)
	$(WINDOWS_CC) $(WARN) -D__USE_MINGW_ANSI_STDIO=1 $(CPPFLAGS) $(CFLAGS) $< -o $@

$(BUILD)/tmux_bridge: $(BRIDGE) $(COMMON) $(HEADERS) $(BUILD)/bridge/page.h
	$(COMPILE) -Iexamples/common -I$(BUILD)/bridge $(filter %.c,$(BRIDGE) $(COMMON)) -o $@ $(LDFLAGS)

$(BUILD)/bridge/page.h: $(PAGE) examples/tmux_bridge/embed.sh
	@mkdir -p $(@D)
	sh examples/tmux_bridge/embed.sh $(PAGE) >$@

$(BUILD)/relay/page.h: $(RELAY_PAGE) examples/tmux_bridge/embed.sh
	@mkdir -p $(@D)
	sh examples/tmux_bridge/embed.sh $(RELAY_PAGE) >$@

$(BUILD)/relay_load: bench/relay_load.c | $(BUILD)
	$(COMPILE) $< -o $@ $(LDFLAGS)

$(BUILD)/sse_relay: $(RELAY) $(COMMON) $(HEADERS) $(BUILD)/relay/page.h
	$(COMPILE) -I$(BUILD)/relay $(filter %.c,$(RELAY) $(COMMON)) -o $@ $(LDFLAGS)

$(BUILD)/stream_tune: examples/stream_tune/main.c $(HEADERS) | $(BUILD)
	$(COMPILE) -pthread $< -o $@ $(LDFLAGS)

$(EXAMPLES): $(BUILD)/%: examples/%.c $(HEADERS) | $(BUILD)
	$(COMPILE) -pthread $< -o $@ $(LDFLAGS)

$(BUILD):
	mkdir -p $@
