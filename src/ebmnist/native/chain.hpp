// Chains, many steps at a time. Each evaluation of the gradient moves them by numbers that are given with it:
// x ← clamp(x − drift·g + lead·(k − m) + σ ξ), m ← k, with g = clip(∇E(x)), k = x − keep·g, and m an image remembered.
#pragma once

#include "tiles.hpp"

inline bool any(Floats x) {
    for (int i = 0; i < LANES; i++)
        if (x[i] != 0) return true;
    return false;
}

struct Numbers {  // of one evaluation, for each image of a tile: as `langevin_chain` in engine.h has them
    Floats drift, sigma, clamp_margin, lead, keep;
};

template <class W>
struct Chains {  // of one tile
    const Langevin& k;
    Pass<W> pass;
    const std::vector<int32_t>& place;
    int pixels;
    std::vector<Floats> x, before, grad, noise, memory, next_grad;  // the last two are empty where nothing needs them

    Chains(const Network<W>& net, const Langevin& kernel, bool remembers, OpenLoop& loop)
        : k(kernel), pass(net, loop), place(net.place), pixels(net.pixels()), x((size_t)pixels), before(x), grad(x), noise(x),
          memory(remembers ? x.size() : 0), next_grad(kernel.evaluations > 1 ? x.size() : 0) {}

    // Noise by the pixel's place in the image, not in the first layer's input: that is a matter of layout.
    void draw(int step, Words chains) {
        Normals normals(k.seed, k.stream, k.first_step + (uint32_t)step, 0, chains);
        normals.fill(0, pixels, place.data(), noise.data());
    }

    // One evaluation of a step. seen: energy, ‖∇E‖₂ and share of clipped components of the step's first evaluation,
    // ‖x_after − x_before‖₂ of all so far, of each image of the tile.
    void move(const Numbers& by, bool first, Floats (&seen)[4]) {
        Floats low = k.low - by.clamp_margin, high = k.high + by.clamp_margin, energy{};
        const bool noise_first = first && k.noise_first, remembers = !memory.empty();
        std::vector<Floats>& g = first ? grad : next_grad;
        if (first) before = x;
        if (noise_first)
            for (int i = 0; i < pixels; i++) x[i] = bounded(x[i] + by.sigma * noise[i], low, high);
        if (first || any(by.drift) || any(by.keep)) {
            energy = pass.forward(x.data());
            pass.backward(x.data(), g.data());
        } else std::fill(g.begin(), g.end(), Floats{});  // nothing would multiply it
        Floats squares{}, kept{}, moved{};
        Ints clipped{};
        for (int i = 0; i < pixels; i++) {
            Floats within = bounded(g[i], -k.clip, k.clip);
            squares += g[i] * g[i];
            kept += within * within;
            clipped -= within != g[i];
        }
        Floats norm = square_root(kept), most = Floats{} + k.clip_norm;
        Floats shrink = norm > most ? most / norm : Floats{} + 1.0f;
        for (int i = 0; i < pixels; i++) {
            Floats within = bounded(g[i], -k.clip, k.clip) * shrink, y = x[i] - by.drift * within;
            if (remembers) {
                Floats now = x[i] - by.keep * within;
                y += by.lead * (now - memory[i]);
                memory[i] = now;
            }
            if (!noise_first) y += by.sigma * noise[i];
            x[i] = bounded(y, low, high);
            moved += (x[i] - before[i]) * (x[i] - before[i]);
        }
        seen[3] = square_root(moved);
        if (!first) return;
        seen[0] = energy;
        seen[1] = square_root(squares);
        seen[2] = (norm > most) ? Floats{} + 1.0f : __builtin_convertvector(clipped, Floats) / (float)pixels;
    }
};

struct Buffers {  // as `langevin_chain` in engine.h has them
    float* images;
    const int64_t* chains;
    const float *drifts, *sigmas, *clamp_margins, *leads, *keeps, *noise;
    float *memory, *before, *grad, *trace;
};

template <class W>
void run_chains(const Network<W>& net, const Langevin& kernel, int n_images, const Buffers& b, int n_threads) {
    size_t n = (size_t)n_images, n_steps = (size_t)kernel.n_steps, evaluations = (size_t)kernel.evaluations;
    share(tiles_of(n_images), n_threads, [&](auto next, OpenLoop& loop) {
        Chains<W> tile_chains(net, kernel, b.memory, loop);
        for (int tile; (tile = next()) >= 0;) {
            Words chains{};
            if (b.chains) load(b.chains, n_images, tile, chains);
            load(b.images, n_images, net.place, tile, tile_chains.x.data());
            if (b.memory) load(b.memory, n_images, net.place, tile, tile_chains.memory.data());
            for (size_t i = 0; i < n_steps; i++) {
                Floats seen[4];
                bool drawn = b.noise;
                if (drawn) load(b.noise + i * n * (size_t)net.pixels(), n_images, net.place, tile, tile_chains.noise.data());
                for (size_t row = i * evaluations; row < (i + 1) * evaluations; row++) {
                    Numbers by{};
                    load(b.drifts + row * n, n_images, tile, by.drift);
                    load(b.sigmas + row * n, n_images, tile, by.sigma);
                    load(b.clamp_margins + row * n, n_images, tile, by.clamp_margin);
                    if (b.memory) {
                        load(b.leads + row * n, n_images, tile, by.lead);
                        load(b.keeps + row * n, n_images, tile, by.keep);
                    }
                    if (!drawn && any(by.sigma)) tile_chains.draw((int)i, chains), drawn = true;
                    tile_chains.move(by, row == i * evaluations, seen);
                }
                for (size_t j = 0; j < 4; j++) store(seen[j], n_images, tile, b.trace + (j * n_steps + i) * n);
            }
            store(tile_chains.x.data(), n_images, net.place, tile, b.images);
            if (b.memory) store(tile_chains.memory.data(), n_images, net.place, tile, b.memory);
            store(tile_chains.before.data(), n_images, net.place, tile, b.before);
            store(tile_chains.grad.data(), n_images, net.place, tile, b.grad);
        }
    });
}
