// Vectors of one number per chain: every operation below does the same thing to LANES chains at once.
// GCC's and Clang's vector extensions, so the same source runs on any processor; -march picks the instructions.
#pragma once

#include <cmath>
#include <cstdint>

#if defined(__x86_64__)
#include <immintrin.h>
#endif

#ifdef __AVX512F__
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
typedef uint64_t Wides __attribute__((vector_size(4 * LANES)));    // of every second chain
typedef double Doubles __attribute__((vector_size(8 * LANES)));

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
    return p * (Floats)(((Words)shifted << 23) + 0x3f800000u);
}

// log(x) for normal x > 0 by 2 artanh((m − 1)/(m + 1)), m within [√½, √2]; relative error below 3e-7.
inline Floats logarithm(Floats x) {
    Ints bits = (Ints)x;
    Ints exponent = (bits - 0x3f3504f3) >> 23;
    Floats m = (Floats)((Words)bits - ((Words)exponent << 23));
    Floats t = (m - 1.0f) / (m + 1.0f), s = t * t;
    Floats p = s * (2.0f / 9) + 2.0f / 7;
    p = p * s + 2.0f / 5;
    p = p * s + 2.0f / 3;
    p = p * s * t + 2.0f * t;
    return p + __builtin_convertvector(exponent, Floats) * 0.69314718f;
}

// A sum with its rounding errors kept beside it (Knuth's two-sum): Σ to twice the precision of a float.
struct Sum {
    Floats high{}, low{};

    void operator+=(Floats x) {
        Floats next = high + x, taken = next - high;
        low += (high - (next - taken)) + (x - taken);
        high = next;
    }
    Doubles value() const {
        // ∞ has no rounding error: ∞ − ∞ above made a NaN of it.
        Floats error = low == low ? low : Floats{};
        return __builtin_convertvector(high, Doubles) + __builtin_convertvector(error, Doubles);
    }
};
