// What a convolution multiplies: a word is one channel in float32, or two in bfloat16.
#pragma once

#include <algorithm>
#include <cstring>

#include "lanes.hpp"

struct Single {  // one channel a word, float32
    static constexpr int CHANNELS = 1;
    using Exact = Sum;  // what energies are summed in where they are read as numbers
    static uint32_t word(const float* w) {
        uint32_t bits;
        std::memcpy(&bits, w, 4);
        return bits;
    }
    static Floats dot(Floats sum, Words a, uint32_t w) { return sum + (Floats)a * (Floats)(Words{} + w); }
    static Words pack(const Floats* c) { return (Words)c[0]; }
    static void unpack(Words a, Floats* c) { c[0] = (Floats)a; }
    static void by_channel(const Words* a, Words (*out)[VECTORS]) { std::copy(a, a + VECTORS, out[0]); }
    static Floats dot(Floats sum, Words a, Words b) { return sum + (Floats)a * (Floats)b; }
};

#ifdef __AVX512BF16__
struct Pair {  // two channels a word, bfloat16, summed in float32
    static constexpr int CHANNELS = 2;
    using Exact = Floats;
    static uint32_t word(const float* w) {
        __m128bh half = _mm_cvtneps_pbh(_mm_set_ps(0, 0, w[1], w[0]));
        return (uint32_t)_mm_cvtsi128_si32((__m128i)half);
    }
    static Floats dot(Floats sum, Words a, uint32_t w) {
        return _mm512_dpbf16_ps(sum, (__m512bh)a, (__m512bh)_mm512_set1_epi32((int)w));
    }
    static Words pack(const Floats* c) {
        __m512i low = _mm512_cvtepu16_epi32((__m256i)_mm512_cvtneps_pbh(c[0]));
        __m512i high = _mm512_cvtepu16_epi32((__m256i)_mm512_cvtneps_pbh(c[1]));
        return (Words)_mm512_or_si512(low, _mm512_slli_epi32(high, 16));
    }
    static void unpack(Words a, Floats* c) {
        c[0] = (Floats)(a << 16);
        c[1] = (Floats)(a & 0xffff0000u);
    }
    // From (two channels of an image) to (two images of a channel), so that `dot` sums over images.
    static void by_channel(const Words* a, Words (*out)[VECTORS / 2]) {
        for (int v = 0; v < VECTORS; v += 2) {
            out[0][v / 2] = (a[v] & 0xffffu) | (a[v + 1] << 16);
            out[1][v / 2] = (a[v] >> 16) | (a[v + 1] & 0xffff0000u);
        }
    }
    static Floats dot(Floats sum, Words a, Words b) { return _mm512_dpbf16_ps(sum, (__m512bh)a, (__m512bh)b); }
};
#endif
