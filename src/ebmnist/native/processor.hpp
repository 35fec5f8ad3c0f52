// What the processor and the system at hand execute, asked of the processor itself: compilers' own answers differ, and
// zig's is always no.
#pragma once

#include <initializer_list>

#include "engine.h"

#if defined(__x86_64__)
#include <cpuid.h>

struct Registers {
    unsigned a = 0, b = 0, c = 0, d = 0;
};

// The answer to one question; zeros where the processor does not know the question.
inline Registers asked(unsigned leaf, unsigned part = 0) {
    Registers r;
    __get_cpuid_count(leaf, part, &r.a, &r.b, &r.c, &r.d);
    return r;
}

inline bool has_all(unsigned word, std::initializer_list<int> bits) {
    for (int bit : bits)
        if (!(word >> bit & 1)) return false;
    return true;
}

// Which registers the system saves when it changes threads, XCR0; none where it does not say.
inline unsigned saved_registers() {
    if (!has_all(asked(1).c, {27})) return 0;  // OSXSAVE
    unsigned low, high;
    __asm__ volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
    return low;
}

inline uint32_t processor_bits() {
    uint32_t found = 0;
    const Registers basic = asked(1), seven = asked(7), more = asked(7, 1), vendor = asked(0);
    const unsigned saved = saved_registers();
    // fma, movbe, avx, f16c; bmi1, avx2, bmi2; lzcnt; and ymm registers.
    if (has_all(basic.c, {12, 22, 28, 29}) && has_all(seven.b, {3, 5, 8}) && has_all(asked(0x80000001).c, {5}) &&
        has_all(saved, {1, 2}))
        found |= HAS_V3;
    // avx512 f, dq, cd, bw, vl; and masks and zmm registers.
    if (found & HAS_V3 && has_all(seven.b, {16, 17, 28, 30, 31}) && has_all(saved, {5, 6, 7})) found |= HAS_V4;
    if (found & HAS_V4 && seven.a >= 1 && has_all(more.a, {5})) found |= HAS_BF16;
    if (vendor.b == signature_AMD_ebx && vendor.c == signature_AMD_ecx && vendor.d == signature_AMD_edx) found |= IS_AMD;
    return found;
}
#else
inline uint32_t processor_bits() { return 0; }
#endif
