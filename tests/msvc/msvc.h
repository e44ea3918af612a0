/* SPDX-License-Identifier: MIT-0
   Lets clang read the headers as MSVC would: every system header first, as they need this compiler's own
   names, and then those names are taken away and MSVC's put in their place. What is GNU's alone is then
   out of reach of a feature test; words like __forceinline clang understands by -fms-extensions. */
#if !defined(TEST_PLAIN) /* a file that knows nothing of Windows is not to meet its names */
#include <winsock2.h>

#include <ws2tcpip.h>

#include <mswsock.h>

#include <windows.h>
#endif

#include <errno.h>
#include <fcntl.h>
#include <float.h>
#include <immintrin.h>
#include <io.h>
#include <limits.h>
#include <malloc.h>
#include <process.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <time.h>

#undef __BYTE_ORDER__
#undef __GNUC_MINOR__
#undef __GNUC__
#undef __MINGW32__
#undef __MINGW64__
#undef __SIZEOF_INT128__
#undef __clang__
#undef __forceinline /* a macro here, a word of the language there */
#undef __x86_64__
#define _M_X64 100
#define _M_AMD64 100
#define _MSC_VER 1929

#define small char /* as rpcndr.h has it, which windows.h includes there */
