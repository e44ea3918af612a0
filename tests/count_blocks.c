/* SPDX-License-Identifier: MIT-0
   What -fsanitize-coverage=trace-pc calls at every basic block of the code it was given to. Compiled without it,
   or it would call itself. */
unsigned long long count_blocks;

void __sanitizer_cov_trace_pc(void);
void __sanitizer_cov_trace_pc(void) { count_blocks++; }
