// Images between rows of floats, as Python has them, and tiles of vectors, one image a lane.
#pragma once

#include <algorithm>

#include "gradient.hpp"
#include "random.hpp"

inline int tiles_of(int n_images) { return (n_images - 1) / LANES + 1; }
inline int images_in(int tile, int n_images) { return std::min(LANES, n_images - tile * LANES); }

// Some floats: nearly always all that a vector holds, which is then one move.
inline void copy(const void* from, size_t some, void* to) {
    if (some == LANES) std::memcpy(to, from, sizeof(Floats));
    else std::memcpy(to, from, some * sizeof(float));
}

// In a tile, pixel i of each row is the vector x[place[i]]. The last tile's spare lanes are zero.
inline void load(const float* images, int n_images, const std::vector<int32_t>& place, int tile, Floats* x) {
    const size_t pixels = place.size(), n = (size_t)images_in(tile, n_images);
    const float* from = images + (size_t)(tile * LANES) * pixels;
    for (size_t first = 0, some; first < pixels; first += some) {
        some = std::min((size_t)LANES, pixels - first);
        Floats rows[LANES] = {};
        for (size_t i = 0; i < n; i++) copy(from + i * pixels + first, some, &rows[i]);
        transpose(rows);
        for (size_t p = 0; p < some; p++) x[place[first + p]] = rows[p];
    }
}

inline void store(const Floats* x, int n_images, const std::vector<int32_t>& place, int tile, float* images) {
    const size_t pixels = place.size(), n = (size_t)images_in(tile, n_images);
    float* to = images + (size_t)(tile * LANES) * pixels;
    for (size_t first = 0, some; first < pixels; first += some) {
        some = std::min((size_t)LANES, pixels - first);
        Floats rows[LANES] = {};
        for (size_t p = 0; p < some; p++) rows[p] = x[place[first + p]];
        transpose(rows);
        for (size_t i = 0; i < n; i++) copy(&rows[i], some, to + i * pixels + first);
    }
}

// The same for one number an image.
template <class Vector, class Number>
void load(const Number* numbers, int n_images, int tile, Vector& x) {
    x = Vector{};
    for (int i = 0; i < images_in(tile, n_images); i++)
        x[i] = static_cast<std::remove_reference_t<decltype(x[0])>>(numbers[tile * LANES + i]);
}

inline void store(Floats x, int n_images, int tile, float* numbers) {
    for (int i = 0; i < images_in(tile, n_images); i++) numbers[tile * LANES + i] = x[i];
}

template <class W>
void evaluate(const Network<W>& net, const float* images, int n_images, float* energy, float* grad, int n_threads) {
    share(tiles_of(n_images), n_threads, [&](auto next, OpenLoop& loop) {
        Pass<W> pass(net, loop);
        std::vector<Floats> x((size_t)net.pixels());
        for (int tile; (tile = next()) >= 0;) {
            load(images, n_images, net.place, tile, x.data());
            store(pass.template forward<typename W::Exact>(x.data()), n_images, tile, energy);
            if (!grad) continue;
            pass.backward(x.data(), x.data());
            store(x.data(), n_images, net.place, tile, grad);
        }
    });
}

// E(x), and each tile's factors, one tile after the other.
template <class W>
void record_tiles(const Network<W>& net, const float* images, int n_images, float* energy, Words* factors,
                  int n_threads) {
    const Factors<W> places(net);
    share(tiles_of(n_images), n_threads, [&](auto next, OpenLoop& loop) {
        Pass<W> pass(net, loop);
        std::vector<Floats> x((size_t)net.pixels());
        for (int tile; (tile = next()) >= 0;) {
            load(images, n_images, net.place, tile, x.data());
            store(pass.forward(x.data()), n_images, tile, energy);
            pass.backward_hidden();
            places.store(pass, factors + (size_t)tile * places.size);
        }
    });
}

// What `record` has left, times coefficients, summed into weights, biases and head, the latter as Network::head.
template <class W>
struct WeightGradient {
    const Network<W>& net;
    const Words* factors;
    int n_images;
    const float* coefficients;
    const Factors<W> places;

    WeightGradient(const Network<W>& network, const Words* recorded, int n, const float* c)
        : net(network), factors(recorded), n_images(n), coefficients(c), places(network) {}

    // Each thread has channels to itself and goes through all tiles: no sum depends on the number of threads.
    void run(float* const* weights, float* const* biases, float* head, int n_threads) const {
        struct Item {
            size_t layer;
            int first, last;
        };
        std::vector<Item> items;
        for (size_t l = 0; l < net.layers.size(); l++) {
            int n = (net.layers[l].s.c_out - 1) / WeightSums<W>::CHANNELS + 1, parts = std::min(n, n_threads);
            for (int i = 0; i < parts; i++) items.push_back({l, n * i / parts, n * (i + 1) / parts});
        }
        share((int)items.size(), n_threads, [&](auto next) {
            for (int item; (item = next()) >= 0;) {
                auto [l, first, last] = items[(size_t)item];
                sum(l, first, last, weights[l], biases[l]);
            }
        });
        sum_head(head);
    }

    // Several at a time, so that a tile comes from memory once.
    void sum(size_t l, int first, int last, float* weights, float* biases) const {
        std::vector<WeightSums<W>> sums;
        sums.reserve((size_t)(last - first));
        for (int i = first; i < last; i++) sums.emplace_back(net.layers[l], i * WeightSums<W>::CHANNELS);
        const int at_once = sums.back().tiles;
        const size_t layer_size = (l + 1 < places.input.size() ? places.input[l + 1] : places.output) - places.input[l];
        std::vector<Floats> c((size_t)at_once);
        for (int tile = 0; tile < tiles_of(n_images); tile += at_once) {
            int n = std::min(at_once, tiles_of(n_images) - tile);
            for (int i = 0; i < n; i++) load(coefficients, n_images, tile + i, c[(size_t)i]);
            const Words* from = factors + (size_t)tile * places.size;
            int n_next = std::max(0, std::min(at_once, tiles_of(n_images) - tile - at_once));
            Ahead ahead(from + (size_t)at_once * places.size + places.input[l], layer_size * sizeof(Words),
                        places.size * sizeof(Words), n_next, sums.back().times());
            Stack stack{from + places.input[l], from + places.delta[l], n, places.size, c.data()};
            for (auto& some : sums) some.add(stack, ahead);
        }
        for (const auto& some : sums) some.store(weights, biases);
    }

    void sum_head(float* head) const {
        std::vector<Floats> sums(net.head.size());
        for (int tile = 0; tile < tiles_of(n_images); tile++) {
            Floats c;
            load(coefficients, n_images, tile, c);
            const Words* output = factors + (size_t)tile * places.size + places.output;
            for (size_t i = 0; i < sums.size(); i += W::CHANNELS) {
                Floats a[2] = {};
                W::unpack(output[i / W::CHANNELS], a);
                for (size_t k = 0; k < W::CHANNELS; k++) sums[i + k] += c * a[k];
            }
        }
        for (size_t i = 0; i < sums.size(); i++) head[i] = total(sums[i]);
    }
};
