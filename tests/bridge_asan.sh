#!/bin/sh
# SPDX-License-Identifier: MIT-0
# tmux_bridge once more, on a build with AddressSanitizer and UBSan: the cases in which most comes and goes.
set -e
out=$BUILD/tests
flags="-O1 -g -fsanitize=address,undefined -fno-sanitize-recover=all -I. -Iexamples/common -I$BUILD/bridge"
if ! echo 'int main(void){return 0;}' | $CC $flags -x c - -o "$out/probe.bridge" 2>/dev/null; then
    echo "skip bridge.asan: $CC has no AddressSanitizer here"
    exit 0
fi
$CC $flags examples/tmux_bridge/*.c examples/common/*.c -o "$out/tmux_bridge.asan"
node tests/bridge.mjs "$out/tmux_bridge.asan" "$BUILD/npm" "$out/bridge" \
    names_are_never_commands read_only_viewers_cannot_write_by_any_frame snapshots_equal_the_live_screen \
    fifty_viewers_converge sessions_and_servers_come_and_go every_session_is_listed an_owner_may_set_the_size \
    one_writer_at_a_time input_comes_whole_and_in_order_however_fast a_viewer_over_its_cap_gets_one_snapshot \
    any_bytes_at_all_leave_everything_in_step the_largest_screens_come_in_small_messages \
    pings_find_who_has_gone a_recording_plays_back_to_the_same_screen exec_has_a_server_of_its_own \
    every_option_of_help_is_known_and_tested websocket_errors_have_their_codes
