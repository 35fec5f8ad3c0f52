// Vectors of one number per chain: every operation below does the same thing to LANES chains at once.
// GCC's and Clang's vector extensions, so the same source runs on any processor; -march picks the instructions.
#pragma once

#include <cmath>
#include <cstdint>
#include <utility>

#if defined(__x86_64__)
#include <immintrin.h>
#endif

// Before a loop over sums that are to stay in registers. GCC unrolls others too late, and then keeps the sums in memory
// until the loop begins and after it ends.
#define UNROLLED _Pragma("GCC unroll 12")

// A tile is as many chains as a vector has lanes: they run together, on one thread.
#if defined(__AVX512F__)
constexpr int LANES = 16;
#elif defined(__AVX__)
constexpr int LANES = 8;
#else
constexpr int LANES = 4;
#endif
#if defined(__AVX512F__) || defined(__aarch64__)
constexpr int REGISTERS = 32;  // for vectors
#else
constexpr int REGISTERS = 16;
#endif

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

// A NaN passes through: comparisons with it are false, and x86 then returns the second of two.
inline Floats bounded(Floats x, Floats low, Floats high) {
#if defined(__AVX512F__)
    return _mm512_min_ps(high, _mm512_max_ps(low, x));
#elif defined(__AVX__)
    return _mm256_min_ps(high, _mm256_max_ps(low, x));
#else
    x = x < low ? low : x;
    return x > high ? high : x;
#endif
}
inline Floats bounded(Floats x, float low, float high) { return bounded(x, Floats{} + low, Floats{} + high); }

// A polynomial by Horner's rule, the highest coefficient last.
template <size_t N>
inline Floats polynomial(Floats x, const float (&c)[N]) {
    Floats p = x * c[N - 1] + c[N - 2];
    for (size_t i = N - 2; i > 0; i--) p = p * x + c[i - 1];
    return p;
}

// exp(−x) = 2ⁿ 2ᶠ, the second factor by the polynomial of the least largest relative error (Remez), on 0 ≤ f ≤ 1 or on
// |f| ≤ ½. The error is below 1e-4 with degree 3, and below 3e-7 + 8e-8 |x| with degree 5.
template <int DEGREE>
inline Floats exponential_of_minus(Floats x) {
    static_assert(DEGREE == 3 || DEGREE == 5);
    constexpr float factor = -1.44269504f;
#ifdef __AVX512DQ__
    constexpr float third[] = {0.999925196f, 0.695833564f, 0.226067156f, 0.0780245215f};
    constexpr float fifth[] = {0.99999994f, 0.693153083f, 0.240153611f, 0.0558263175f, 0.00898933969f, 0.00187757669f};
    Floats y = x * factor, f = _mm512_reduce_ps(y, _MM_FROUND_TO_NEG_INF);
    return _mm512_scalef_ps(DEGREE == 3 ? polynomial(f, third) : polynomial(f, fifth), y);
#else
    constexpr float third[] = {0.999928057f, 0.693260968f, 0.242611125f, 0.0551716685f};
    constexpr float fifth[] = {1.0f, 0.693146944f, 0.240221202f, 0.0555071309f, 0.00967554096f, 0.00132764725f};
    constexpr float rounder = 12582912.0f;  // 1.5 · 2²³: adding it leaves the nearest integer in the low bits
    x = bounded(x, -87.0f, 87.0f);  // a NaN becomes any number
    Floats shifted = x * factor + rounder, f = x * factor - (shifted - rounder);
    Floats p = DEGREE == 3 ? polynomial(f, third) : polynomial(f, fifth);
    return (Floats)((Words)p + ((Words)shifted << 23));
#endif
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

// The first halves of a and b, or the second ones, one by one in turn.
template <int FROM, int... I>
inline Floats dealt(Floats a, Floats b, std::integer_sequence<int, I...>) {
#ifdef __clang__
    return __builtin_shufflevector(a, b, (FROM + I / 2 + I % 2 * LANES)...);
#else
    return __builtin_shuffle(a, b, Ints{(FROM + I / 2 + I % 2 * LANES)...});
#endif
}

// Rows become columns, in log₂ LANES rounds of dealing.
inline void transpose(Floats (&rows)[LANES]) {
    constexpr auto lanes = std::make_integer_sequence<int, LANES>();
    for (int round = 1; round < LANES; round *= 2) {
        Floats next[LANES];
        for (int i = 0; i < LANES / 2; i++) {
            next[2 * i] = dealt<0>(rows[i], rows[i + LANES / 2], lanes);
            next[2 * i + 1] = dealt<LANES / 2>(rows[i], rows[i + LANES / 2], lanes);
        }
        for (int i = 0; i < LANES; i++) rows[i] = next[i];
    }
}
