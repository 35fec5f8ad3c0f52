// What may come through the entries: shapes that follow each other and whose products fit an int.
#pragma once

#include <cmath>
#include <vector>

#include "engine.h"
#include "layers.hpp"

struct BadArgument {};

inline void require(bool good) {
    if (!good) throw BadArgument{};
}

// a·b·c·… of non-negative numbers, or BadArgument where that is more than half an int holds.
template <class... Numbers>
void require_fits(Numbers... numbers) {
    int64_t product = 1;
    for (int64_t number : {(int64_t)numbers...})
        require(!__builtin_mul_overflow(product, number, &product) && product <= INT32_MAX / 2);
}

inline void check_side(int in, int out, const Shape& s) {
    require(in <= INT32_MAX / 4 && s.pad <= INT32_MAX / 4);
    int room = in + 2 * s.pad - s.kernel;
    require(room >= 0 && out == room / s.stride + 1);
}

inline void check_shape(const Shape& s) {
    for (int32_t size : {s.c_in, s.h_in, s.w_in, s.c_out, s.h_out, s.w_out, s.kernel, s.stride}) require(size >= 1);
    require((s.channels_last == 0 || s.channels_last == 1) && s.pad >= 0 && s.c_in <= INT32_MAX / 4 && s.c_out <= INT32_MAX / 4);
    check_side(s.h_in, s.h_out, s);
    check_side(s.w_in, s.w_out, s);
    require_fits(s.h_in, s.w_in, padded(s.c_in), LANES);
    require_fits(s.h_out, s.w_out, padded(s.c_out), LANES);
    require_fits(padded(s.c_in), padded(s.c_out), s.kernel, s.kernel);
}

inline void check_shapes(const Shape* shapes, int n_layers) {
    require(shapes && n_layers >= 1);
    for (int l = 0; l < n_layers; l++) {
        const Shape& s = shapes[l];
        check_shape(s);
        if (l == 0) continue;
        const Shape& last = shapes[l - 1];
        require(s.c_in == last.c_out && s.h_in == last.h_out && s.w_in == last.w_out);
    }
}

// The other way round of a permutation.
inline std::vector<int32_t> inverse(const int32_t* order, size_t n) {
    std::vector<int32_t> place(n, -1);
    for (size_t p = 0; p < n; p++) {
        require(order[p] >= 0 && (size_t)order[p] < n && place[(size_t)order[p]] < 0);
        place[(size_t)order[p]] = (int32_t)p;
    }
    return place;
}

inline void check_batch(int n_images, int n_threads) {
    require(n_images >= 1 && n_images <= INT32_MAX - LANES && n_threads >= 1);
}

inline void check_chains(const int64_t* chains, int n) {
    require(chains);
    for (int i = 0; i < n; i++) require(chains[i] >= 0 && chains[i] <= (int64_t)UINT32_MAX);
}
