// Vectors of one number per chain: every operation below does the same thing to LANES chains at once.
// GCC's and Clang's vector extensions, so the same source runs on any processor; -march=native picks the instructions.
#pragma once

#include <cmath>
#include <cstdint>

#ifdef __AVX512F__
#include <immintrin.h>
constexpr int LANES = 16;
constexpr int BLOCK = 8;  // channels computed together: BLOCK × VECTORS sums must fit the registers
#else
constexpr int LANES = 8;
constexpr int BLOCK = 4;
#endif
constexpr int VECTORS = 2;
constexpr int TILE = LANES * VECTORS;  // chains that walk together, on one thread

typedef float Floats __attribute__((vector_size(4 * LANES)));
typedef int32_t Ints __attribute__((vector_size(4 * LANES)));
typedef uint32_t Words __attribute__((vector_size(4 * LANES)));

inline Floats square_root(Floats x) {
#ifdef __AVX512F__
    return _mm512_sqrt_ps(x);
#else
    Floats y;
    for (int i = 0; i < LANES; i++) y[i] = std::sqrt(x[i]);
    return y;
#endif
}

inline float total(Floats x) {
#ifdef __AVX512F__
    return _mm512_reduce_add_ps(x);
#else
    float sum = 0;
    for (int i = 0; i < LANES; i++) sum += x[i];
    return sum;
#endif
}

// Comparisons with NaN are false, so a NaN passes through.
inline Floats bounded(Floats x, Floats low, Floats high) {
    x = x < low ? low : x;
    return x > high ? high : x;
}
inline Floats bounded(Floats x, float low, float high) { return bounded(x, Floats{} + low, Floats{} + high); }

// exp(x) = 2ⁿ exp(r), |r| ≤ ln 2 / 2, the second factor by its Taylor series; relative error below 3e-7.
inline Floats exponential(Floats x) {
    x = bounded(x, -87.0f, 88.0f);
    constexpr float rounder = 12582912.0f;  // 1.5 · 2²³: adding it leaves the nearest integer in the low bits
    Floats shifted = x * 1.44269504f + rounder;
    Floats n = shifted - rounder;
    Floats r = x - n * 0.693359375f + n * 2.12194440e-4f;
    Floats p = r * (1.0f / 5040) + 1.0f / 720;
    p = p * r + 1.0f / 120;
    p = p * r + 1.0f / 24;
    p = p * r + 1.0f / 6;
    p = p * r + 0.5f;
    p = p * r * r + r + 1.0f;
    return p * (Floats)(((Ints)shifted << 23) + 0x3f800000);
}

// log(x) for normal x > 0 by 2 artanh((m − 1)/(m + 1)), m within [√½, √2]; relative error below 3e-7.
inline Floats logarithm(Floats x) {
    Ints bits = (Ints)x;
    Ints exponent = (bits - 0x3f3504f3) >> 23;
    Floats m = (Floats)(bits - (exponent << 23));
    Floats t = (m - 1.0f) / (m + 1.0f), s = t * t;
    Floats p = s * (2.0f / 9) + 2.0f / 7;
    p = p * s + 2.0f / 5;
    p = p * s + 2.0f / 3;
    p = p * s * t + 2.0f * t;
    return p + __builtin_convertvector(exponent, Floats) * 0.69314718f;
}

// One stream of standard normals per chain: xoshiro128++ (Blackman & Vigna 2021), Box–Muller (1958).
struct Normals {
    Words s[4];

    Normals(uint64_t key, uint32_t first_chain) {
        Words chain;
        for (int i = 0; i < LANES; i++) chain[i] = first_chain + i;
        for (uint32_t j = 0; j < 4; j++)
            s[j] = mixed(mixed(chain + (uint32_t)key) + (uint32_t)(key >> 32) + 0x9e3779b9u * (j + 1));
    }

    // The finaliser of MurmurHash3: every bit of the seed reaches every bit of the state.
    static Words mixed(Words h) {
        h = (h ^ (h >> 16)) * 0x85ebca6bu;
        h = (h ^ (h >> 13)) * 0xc2b2ae35u;
        return h ^ (h >> 16);
    }

    Words next() {
        auto turned = [](Words x, int k) { return (x << k) | (x >> (32 - k)); };
        Words sum = s[0] + s[3], result = turned(sum, 7) + s[0], t = s[1] << 9;
        s[2] ^= s[0];
        s[3] ^= s[1];
        s[1] ^= s[2];
        s[0] ^= s[3];
        s[2] ^= t;
        s[3] = turned(s[3], 11);
        return result;
    }

    static Floats unit(Words w) { return __builtin_convertvector((Ints)(w >> 8), Floats); }  // times 2²⁴

    void pair(Floats& first, Floats& second) {
        Floats radius = square_root(-2.0f * logarithm((unit(next()) + 1.0f) * 0x1p-24f));
        // The angle 2πu as a quarter turn and a rest within ±π/4.
        Floats turns = unit(next()) * 0x1p-22f;  // u in quarter turns, 0 to 4
        Ints quarter = __builtin_convertvector(turns + 0.5f, Ints);
        Floats a = (turns - __builtin_convertvector(quarter, Floats)) * 1.57079633f, b = a * a;
        Floats sine = a + a * b * (-1.0f / 6 + b * (1.0f / 120 - b * (1.0f / 5040)));
        Floats cosine = 1.0f + b * (-0.5f + b * (1.0f / 24 + b * (-1.0f / 720 + b * (1.0f / 40320))));
        Ints odd = -(quarter & 1), flip_cos = ((quarter + 1) & 2) << 30, flip_sin = (quarter & 2) << 30;
        Floats c = odd ? sine : cosine, s_ = odd ? cosine : sine;
        first = radius * (Floats)((Ints)c ^ flip_cos);
        second = radius * (Floats)((Ints)s_ ^ flip_sin);
    }
};
