/* SPDX-License-Identifier: MIT-0
   Of MSVC's header what clang, which knows the meaning in this mode, asks a declaration for. */
#ifndef TEST_MSVC_INTRIN_H
#define TEST_MSVC_INTRIN_H
#undef _ReadWriteBarrier /* a macro of mingw's */
#ifdef __cplusplus
extern "C"
#endif
void _ReadWriteBarrier(void);
#endif
