// Images between rows of floats, as Python has them, and tiles of vectors, one image a lane.
#pragma once

#include <algorithm>

#include "gradient.hpp"
#include "random.hpp"
#include "threads.hpp"

inline int tiles_of(int n_images) { return (n_images - 1) / TILE + 1; }
inline int images_in(int tile, int n_images) { return std::min(TILE, n_images - tile * TILE); }

// In a tile, pixel p is VECTORS vectors, and comes from order[p] of its row. The last tile's spare lanes are zero.
inline void load(const float* images, int n_images, const std::vector<int32_t>& order, int tile, Floats* x) {
    int pixels = (int)order.size();
    std::fill(x, x + (size_t)pixels * VECTORS, Floats{});
    for (int i = 0; i < images_in(tile, n_images); i++)
        for (int p = 0; p < pixels; p++)
            x[p * VECTORS + i / LANES][i % LANES] = images[(size_t)(tile * TILE + i) * pixels + order[p]];
}

inline void store(const Floats* x, int n_images, const std::vector<int32_t>& order, int tile, float* images) {
    int pixels = (int)order.size();
    for (int i = 0; i < images_in(tile, n_images); i++)
        for (int p = 0; p < pixels; p++)
            images[(size_t)(tile * TILE + i) * pixels + order[p]] = x[p * VECTORS + i / LANES][i % LANES];
}

// The same for one number an image.
template <class Vector, class Number>
void load(const Number* numbers, int n_images, int tile, Vector (&x)[VECTORS]) {
    for (Vector& v : x) v = Vector{};
    for (int i = 0; i < images_in(tile, n_images); i++) {
        auto number = numbers[tile * TILE + i];
        x[i / LANES][i % LANES] = static_cast<std::remove_reference_t<decltype(x[0][0])>>(number);
    }
}

inline void store(const Floats (&x)[VECTORS], int n_images, int tile, float* numbers) {
    for (int i = 0; i < images_in(tile, n_images); i++) numbers[tile * TILE + i] = x[i / LANES][i % LANES];
}

template <class W>
void evaluate(const Network<W>& net, const float* images, int n_images, float* energy, float* grad, int n_threads) {
    share(tiles_of(n_images), n_threads, [&](auto next) {
        Pass<W> pass(net);
        std::vector<Floats> x((size_t)net.pixels() * VECTORS);
        for (int tile; (tile = next()) >= 0;) {
            Floats e[VECTORS];
            load(images, n_images, net.order, tile, x.data());
            pass.template forward<typename W::Exact>(x.data(), e);
            store(e, n_images, tile, energy);
            if (!grad) continue;
            pass.backward(x.data(), x.data());
            store(x.data(), n_images, net.order, tile, grad);
        }
    });
}

// Tiles are summed in groups, each in order, and the groups in order: the same bits on any number of threads.
template <class W>
Gradient<W> weight_gradient(const Network<W>& net, const float* images, int n_images, const float* coefficients,
                            int n_threads) {
    constexpr int most_groups = 16;
    int n_tiles = tiles_of(n_images), n_groups = std::min(most_groups, n_tiles);
    std::vector<Gradient<W>> sums(n_groups, Gradient<W>(net));
    share(n_groups, n_threads, [&](auto next) {
        Pass<W> pass(net);
        std::vector<Floats> x((size_t)net.pixels() * VECTORS);
        for (int group; (group = next()) >= 0;)
            for (int tile = group; tile < n_tiles; tile += n_groups) {
                Floats c[VECTORS];
                load(images, n_images, net.order, tile, x.data());
                load(coefficients, n_images, tile, c);
                sums[group].add(pass, x.data(), c);
            }
    });
    for (int i = 1; i < n_groups; i++) sums[0] += sums[i];
    return std::move(sums[0]);
}
