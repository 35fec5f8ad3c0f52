// Chains of Langevin's form, many steps at a time: x ← clamp(x − drift·clip(∇E(x)) + σ ξ); drift and σ of each step are given.
#pragma once

#include "tiles.hpp"

template <class W>
struct Chains {  // of one tile
    const Langevin& k;
    Pass<W> pass;
    const std::vector<int32_t>& place;
    int pixels;
    std::vector<Floats> x, before, grad, noise;

    Chains(const Network<W>& net, const Langevin& kernel, OpenLoop& loop)
        : k(kernel), pass(net, loop), place(net.place), pixels(net.pixels()), x((size_t)pixels), before(x), grad(x), noise(x) {}

    // Noise by the pixel's place in the image, not in the first layer's input: that is a matter of layout.
    void draw(int step, Words chains) {
        Normals normals(k.seed, k.stream, k.first_step + (uint32_t)step, 0, chains);
        normals.fill(0, pixels, place.data(), noise.data());
    }

    // seen: energy, ‖∇E‖₂, share of clipped components, ‖x_after − x_before‖₂, of each image of the tile.
    // For each image of the tile, drift: what the gradient is multiplied by; sigma: the noise's standard deviation;
    // clamp_margin: how far beyond the clamp it may go.
    void step(Floats drift, Floats sigma, Floats clamp_margin, Floats (&seen)[4]) {
        Floats low = k.low - clamp_margin, high = k.high + clamp_margin;
        before = x;
        if (k.noise_first)
            for (int i = 0; i < pixels; i++) x[i] = bounded(x[i] + sigma * noise[i], low, high);
        seen[0] = pass.forward(x.data());
        pass.backward(x.data(), grad.data());
        Floats squares{}, kept{}, moved{};
        Ints clipped{};
        for (int i = 0; i < pixels; i++) {
            Floats g = bounded(grad[i], -k.clip, k.clip);
            squares += grad[i] * grad[i];
            kept += g * g;
            clipped -= g != grad[i];
        }
        Floats norm = square_root(kept), most = Floats{} + k.clip_norm;
        Floats shrink = norm > most ? most / norm : Floats{} + 1.0f;
        for (int i = 0; i < pixels; i++) {
            Floats y = x[i] - drift * (bounded(grad[i], -k.clip, k.clip) * shrink);
            if (!k.noise_first) y += sigma * noise[i];
            x[i] = bounded(y, low, high);
            moved += (x[i] - before[i]) * (x[i] - before[i]);
        }
        seen[1] = square_root(squares);
        seen[2] = (norm > most) ? Floats{} + 1.0f : __builtin_convertvector(clipped, Floats) / (float)pixels;
        seen[3] = square_root(moved);
    }
};

inline bool any(Floats x) {
    for (int i = 0; i < LANES; i++)
        if (x[i] != 0) return true;
    return false;
}

struct Buffers {  // as `langevin_chain` in engine.h has them
    float* images;
    const int64_t* chains;
    const float *drifts, *sigmas, *clamp_margins, *noise;
    float *before, *grad, *trace;
};

template <class W>
void run_chains(const Network<W>& net, const Langevin& kernel, int n_images, const Buffers& b, int n_threads) {
    size_t n = (size_t)n_images, n_steps = (size_t)kernel.n_steps;
    share(tiles_of(n_images), n_threads, [&](auto next, OpenLoop& loop) {
        Chains<W> tile_chains(net, kernel, loop);
        for (int tile; (tile = next()) >= 0;) {
            Words chains{};
            if (b.chains) load(b.chains, n_images, tile, chains);
            load(b.images, n_images, net.place, tile, tile_chains.x.data());
            for (size_t i = 0; i < n_steps; i++) {
                Floats drift, sigma, clamp_margin, seen[4];
                load(b.drifts + i * n, n_images, tile, drift);
                load(b.sigmas + i * n, n_images, tile, sigma);
                load(b.clamp_margins + i * n, n_images, tile, clamp_margin);
                if (b.noise)
                    load(b.noise + i * n * (size_t)net.pixels(), n_images, net.place, tile, tile_chains.noise.data());
                else if (any(sigma)) tile_chains.draw((int)i, chains);
                tile_chains.step(drift, sigma, clamp_margin, seen);
                for (size_t j = 0; j < 4; j++) store(seen[j], n_images, tile, b.trace + (j * n_steps + i) * n);
            }
            store(tile_chains.x.data(), n_images, net.place, tile, b.images);
            store(tile_chains.before.data(), n_images, net.place, tile, b.before);
            store(tile_chains.grad.data(), n_images, net.place, tile, b.grad);
        }
    });
}
