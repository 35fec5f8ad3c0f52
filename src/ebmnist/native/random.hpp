// Philox4x32-10 (Salmon, Moraes, Dror & Shaw 2011): random words as a function of a counter and a key, one counter a lane.
#pragma once

#include "lanes.hpp"

// The low halves of a, times m.
inline Wides product(Wides a, uint32_t m) {
#if defined(__AVX512F__)
    return (Wides)_mm512_mul_epu32((__m512i)a, _mm512_set1_epi64(m));
#elif defined(__AVX2__)
    return (Wides)_mm256_mul_epu32((__m256i)a, _mm256_set1_epi64x(m));
#else
    return (a & 0xffffffffu) * (uint64_t)m;
#endif
}

// Four words of every second lane, in the low halves; what the high halves hold is of no account.
inline void philox_rounds(Wides (&c)[4], uint64_t key) {
    uint32_t k0 = (uint32_t)key, k1 = (uint32_t)(key >> 32);
    for (int round = 0; round < 10; round++, k0 += 0x9e3779b9u, k1 += 0xbb67ae85u) {
        Wides p = product(c[0], 0xd2511f53u), q = product(c[2], 0xcd9e8d57u);
        c[0] = (q >> 32) ^ c[1] ^ (uint64_t)k0;
        c[1] = q;
        c[2] = (p >> 32) ^ c[3] ^ (uint64_t)k1;
        c[3] = p;
    }
}

// Each lane's counter becomes its four random words. Even and odd lanes go apart: products need the room.
inline void philox_words(Words (&c)[4], uint64_t key) {
    Wides even[4], odd[4];
    for (int i = 0; i < 4; i++) even[i] = (Wides)c[i], odd[i] = (Wides)c[i] >> 32;
    philox_rounds(even, key);
    philox_rounds(odd, key);
    for (int i = 0; i < 4; i++) c[i] = (Words)((even[i] & 0xffffffffu) | (odd[i] << 32));
}

// Standard normals of one step: a function of (key, stream, step, draw, chain, index of the value), whatever else is drawn.
struct Normals {
    uint64_t key;
    Words chain, step, stream;
    uint32_t draw;

    Normals(uint64_t seed, uint32_t purpose_and_call, uint32_t step_index, uint32_t draw_index, Words chains)
        : key(seed), chain(chains), step(Words{} + step_index), stream(Words{} + purpose_and_call), draw(draw_index << 28) {}

    // Value first + i of each chain into out[place[i]], for i < n; first is a multiple of 4. Never inlined: the
    // compiler would round differently where it is, and a chain would not draw what `normals` returns.
    __attribute__((noinline)) void fill(int first, int n, const int32_t* place, Floats* out) const {
        for (int i = 0; i < n; i += 4) {
            Floats drawn[4];
            block((uint32_t)(first + i) / 4, drawn);
            for (int j = 0; j < 4 && i + j < n; j++) out[place[i + j]] = drawn[j];
        }
    }

    // Values 4·index … 4·index + 3 of each chain.
    void block(uint32_t index, Floats (&out)[4]) const {
        Words c[4] = {Words{} + (index | draw), step, chain, stream};
        philox_words(c, key);
        pair(c[0], c[1], out[0], out[1]);
        pair(c[2], c[3], out[2], out[3]);
    }

    static Floats unit(Words w) { return __builtin_convertvector((Ints)(w >> 8), Floats); }  // times 2²⁴

    // Box & Muller (1958).
    static void pair(Words of_radius, Words of_angle, Floats& first, Floats& second) {
        Floats radius = square_root(-2.0f * logarithm((unit(of_radius) + 1.0f) * 0x1p-24f));
        // The angle 2πu as a quarter turn and a rest within ±π/4.
        Floats turns = unit(of_angle) * 0x1p-22f;  // u in quarter turns, 0 to 4
        Ints quarter = __builtin_convertvector(turns + 0.5f, Ints);
        Floats a = (turns - __builtin_convertvector(quarter, Floats)) * 1.57079633f, b = a * a;
        Floats sine = a + a * b * (-1.0f / 6 + b * (1.0f / 120 - b * (1.0f / 5040)));
        Floats cosine = 1.0f + b * (-0.5f + b * (1.0f / 24 + b * (-1.0f / 720 + b * (1.0f / 40320))));
        Words turn = (Words)quarter, flip_cos = ((turn + 1u) & 2u) << 30, flip_sin = (turn & 2u) << 30;
        Ints odd = -(quarter & 1);
        Floats c = odd ? sine : cosine, s = odd ? cosine : sine;
        first = radius * (Floats)((Words)c ^ flip_cos);
        second = radius * (Floats)((Words)s ^ flip_sin);
    }
};
