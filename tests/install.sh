#!/bin/sh
# SPDX-License-Identifier: MIT-0
# `make install` as a packager and as a user see it: into DESTDIR nothing leaks out of PREFIX, and a program
# elsewhere builds and runs against it by pkg-config and by CMake, with one and the same version everywhere.
set -u
BUILD=${BUILD:-build}
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
log=$dir/log

say() { # name, status of what was run
    if [ "$2" -eq 0 ]; then
        echo "ok   install.$1"
    else
        tail -15 "$log"
        echo "FAIL install.$1"
    fi
}

# Staged: only what belongs there, and no trace of the stage in it.
make -s install BUILD="$BUILD" DESTDIR="$dir/stage" PREFIX=/opt/s >"$log" 2>&1
say staged $?
(cd "$dir/stage" && find . -type f | LC_ALL=C sort) >"$dir/files"
cat >"$dir/expected" <<'END'
./opt/s/bin/sse_relay
./opt/s/bin/stream_tune
./opt/s/bin/stream_wrap
./opt/s/bin/tmux_bridge
./opt/s/include/stream.h
./opt/s/include/stream_json.h
./opt/s/include/stream_pool.h
./opt/s/share/cmake/stream_h/stream_hConfig.cmake
./opt/s/share/cmake/stream_h/stream_hConfigVersion.cmake
./opt/s/share/pkgconfig/stream_h.pc
END
diff "$dir/expected" "$dir/files" >"$log" 2>&1
say files $?
! grep -rl -e "$dir" -e '@[A-Z]*@' "$dir/stage/opt/s/share" >"$log" 2>&1
say no-stage-inside $?

# In place, with a consumer outside.
make -s install BUILD="$BUILD" PREFIX="$dir/prefix" >"$log" 2>&1
say prefix $?
mkdir "$dir/user"
cat >"$dir/user/main.c" <<'END'
#define STREAM_IMPLEMENTATION
#include <stream.h>
#define STREAM_JSON_IMPLEMENTATION
#include <stream_json.h>
#define STREAM_POOL_IMPLEMENTATION
#include <stream_pool.h>
#include <stdio.h>
int main(void) {
    char numbers[32];
    stream_channel ch;
    snprintf(numbers, sizeof numbers, "%d.%d.%d", STREAM_VERSION_MAJOR, STREAM_VERSION_MINOR, STREAM_VERSION_PATCH);
    if (strcmp(numbers, STREAM_VERSION) || strcmp(stream_version(), STREAM_VERSION)) return 1;
    if (strcmp(stream_json_version(), STREAM_VERSION) || strcmp(stream_pool_version(), STREAM_VERSION)) return 2;
    if (stream_channel_init(&ch, NULL) != STREAM_OK) return 3; /* with threads: linked with what they need */
    stream_channel_free(&ch);
    return puts(STREAM_VERSION) < 0;
}
END
if command -v pkg-config >/dev/null; then
    PKG_CONFIG_PATH=$dir/prefix/share/pkgconfig
    export PKG_CONFIG_PATH
    (cd "$dir/user" && ${CC:-cc} -O1 $(pkg-config --cflags stream_h) main.c -o main $(pkg-config --libs stream_h) &&
        [ "$(./main)" = "$(pkg-config --modversion stream_h)" ]) >"$log" 2>&1
    say pkg-config $?
    [ "$("$dir/prefix/bin/stream_wrap" --version)" = "stream_wrap $(pkg-config --modversion stream_h)" ]
    say one-version $?
else
    echo "skip install.pkg-config: no pkg-config here"
fi
if command -v cmake >/dev/null; then
    version=$("$dir/prefix/bin/stream_wrap" --version | cut -d ' ' -f 2)
    cat >"$dir/user/CMakeLists.txt" <<END
cmake_minimum_required(VERSION 3.13)
project(user C)
find_package(stream_h $version EXACT REQUIRED)
find_package(stream_h $version REQUIRED)
add_executable(user main.c)
target_link_libraries(user PRIVATE stream_h::stream_h)
END
    (cd "$dir/user" && cmake -S . -B out -DCMAKE_PREFIX_PATH="$dir/prefix" && cmake --build out && [ "$(out/user)" = "$version" ]) \
        >"$log" 2>&1
    say cmake $?
    sed -i.old 's/^find_package.*REQUIRED/find_package(stream_h 99.0 REQUIRED/' "$dir/user/CMakeLists.txt"
    ! (cd "$dir/user" && cmake -S . -B later -DCMAKE_PREFIX_PATH="$dir/prefix") >"$log" 2>&1
    say cmake-refuses-another-version $?
else
    echo "skip install.cmake: no cmake here"
fi
