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
    static Words by_channel(Words a) { return a; }
    static Floats sigmoid(Floats z) { return 1.0f / (1.0f + exponential_of_minus<5>(z)); }
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
        alignas(64) static const uint16_t from[32] = {0, 16, 1, 17, 2,  18, 3,  19, 4,  20, 5,  21, 6,  22, 7,  23,
                                                      8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31};
        __m512i apart = (__m512i)_mm512_cvtne2ps_pbh(c[1], c[0]);
        return (Words)_mm512_permutexvar_epi16(_mm512_load_si512(from), apart);
    }
    static void unpack(Words a, Floats* c) {
        c[0] = (Floats)(a << 16);
        c[1] = (Floats)(a & 0xffff0000u);
    }
    // From two channels of each image to two images of a channel: those of the first channel, then of the second.
    static Words by_channel(Words a) {
        alignas(64) static const uint16_t from[32] = {0, 2,  4,  6,  8,  10, 12, 14, 16, 18, 20, 22, 24, 26, 28, 30,
                                                      1, 3,  5,  7,  9,  11, 13, 15, 17, 19, 21, 23, 25, 27, 29, 31};
        return (Words)_mm512_permutexvar_epi16(_mm512_load_si512(from), (__m512i)a);
    }
    // To 2⁻¹³, for a word that keeps 8 bits.
    static Floats sigmoid(Floats z) { return _mm512_rcp14_ps(1.0f + exponential_of_minus<3>(z)); }
};
#endif
