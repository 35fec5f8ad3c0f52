// What Python calls. Every function works tile by tile; a tile's result does not depend on the number of threads.
#include <atomic>
#include <thread>

#include "gradient.hpp"

namespace {

struct Handle {
    Network<Single>* single = nullptr;
#ifdef __AVX512BF16__
    Network<Pair>* pair = nullptr;
#endif
};

template <class W>
Network<W>* packed(int n_layers, const Shape* shapes, const float* const* weights, const float* const* biases,
                   const float* head, float head_bias, float scale, float shift, float bowl, const int32_t* order) {
    auto* net = new Network<W>{{}, {}, head_bias, scale, shift, bowl, {}};
    for (int l = 0; l < n_layers; l++) net->layers.emplace_back(shapes[l], weights[l], biases[l]);
    // The head sees (channel, position) flattened; here it is [position][channel], padded.
    const Shape& s = shapes[n_layers - 1];
    net->order.assign(order, order + net->pixels());
    int positions = s.h_out * s.w_out, width = padded(s.c_out);
    net->head.assign((size_t)positions * width, 0.0f);
    for (int c = 0; c < s.c_out; c++)
        for (int p = 0; p < positions; p++) net->head[(size_t)p * width + c] = head[c * positions + p];
    return net;
}

template <class Work>
void over_tiles(int n_images, int n_threads, Work work) {
    int n_tiles = (n_images + TILE - 1) / TILE;
    std::atomic<int> next{0};
    auto run = [&] { work([&] { int t = next++; return t < n_tiles ? t : -1; }); };
    std::vector<std::thread> others;
    for (int i = 1; i < std::min(n_threads, n_tiles); i++) others.emplace_back(run);
    run();
    for (auto& thread : others) thread.join();
}

// Images are rows of floats; in a tile, pixel p is VECTORS vectors, and comes from order[p] of its row.
// The last tile's spare lanes are zero.
using Order = std::vector<int32_t>;
const Order SCALAR{0};  // for one number an image

void load(const float* images, int n_images, const Order& order, int tile, Floats* x) {
    int lanes = std::min(TILE, n_images - tile * TILE), pixels = (int)order.size();
    std::fill(x, x + (size_t)pixels * VECTORS, Floats{});
    for (int i = 0; i < lanes; i++)
        for (int p = 0; p < pixels; p++)
            x[p * VECTORS + i / LANES][i % LANES] = images[(size_t)(tile * TILE + i) * pixels + order[p]];
}

void store(const Floats* x, int n_images, const Order& order, int tile, float* images) {
    int lanes = std::min(TILE, n_images - tile * TILE), pixels = (int)order.size();
    for (int i = 0; i < lanes; i++)
        for (int p = 0; p < pixels; p++)
            images[(size_t)(tile * TILE + i) * pixels + order[p]] = x[p * VECTORS + i / LANES][i % LANES];
}

template <class W>
void evaluate(const Network<W>& net, const float* images, int n_images, float* energy, float* grad, int n_threads) {
    int pixels = net.pixels();
    over_tiles(n_images, n_threads, [&](auto next) {
        Pass<W> pass(net);
        std::vector<Floats> x((size_t)pixels * VECTORS);
        for (int tile; (tile = next()) >= 0;) {
            Floats e[VECTORS];
            load(images, n_images, net.order, tile, x.data());
            pass.forward(x.data(), e);
            store(e, n_images, SCALAR, tile, energy);
            if (!grad) continue;
            pass.backward(x.data(), x.data());
            store(x.data(), n_images, net.order, tile, grad);
        }
    });
}

// Each thread sums its own tiles, dealt out in turn, and the sums are added in order: same threads, same bits.
template <class W>
void weight_gradient(const Network<W>& net, const float* images, int n_images, const float* coefficients,
                     float* const* weights, float* const* biases, float* head, int n_threads) {
    int pixels = net.pixels(), n_tiles = (n_images + TILE - 1) / TILE;
    n_threads = std::min(n_threads, n_tiles);
    std::vector<Gradient<W>> sums(n_threads, Gradient<W>(net));
    auto run = [&](int thread) {
        Pass<W> pass(net);
        std::vector<Floats> x((size_t)pixels * VECTORS);
        for (int tile = thread; tile < n_tiles; tile += n_threads) {
            Floats c[VECTORS];
            load(images, n_images, net.order, tile, x.data());
            load(coefficients, n_images, SCALAR, tile, c);
            sums[thread].add(pass, x.data(), c);
        }
    };
    std::vector<std::thread> others;
    for (int i = 1; i < n_threads; i++) others.emplace_back(run, i);
    run(0);
    for (auto& thread : others) thread.join();
    for (int i = 1; i < n_threads; i++) sums[0] += sums[i];
    for (size_t l = 0; l < net.layers.size(); l++) {
        std::copy(sums[0].weight[l].begin(), sums[0].weight[l].end(), weights[l]);
        std::copy(sums[0].bias[l].begin(), sums[0].bias[l].end(), biases[l]);
    }
    const Shape& s = net.layers.back().s;
    int positions = s.h_out * s.w_out;
    for (int c = 0; c < s.c_out; c++)
        for (int p = 0; p < positions; p++) head[c * positions + p] = sums[0].head[(size_t)p * padded(s.c_out) + c];
}

struct Langevin {
    int32_t n_steps, noise_first;
    float drift;             // ε²/2
    float clip, clip_norm;   // infinite for none
    float low, high;         // infinite for none
};

// x ← clamp(x − (ε²/2) clip(∇E(x)) + σ ξ), the step of sampling/langevin.py, for a whole chain.
template <class W>
struct Walker {
    const Langevin& k;
    Pass<W> pass;
    int pixels;
    std::vector<Floats> x, before, grad, noise;

    Walker(const Network<W>& net, const Langevin& kernel)
        : k(kernel), pass(net), pixels(net.pixels()), x((size_t)pixels * VECTORS), before(x), grad(x), noise(x) {}

    void draw(uint64_t key, int tile) {
        for (int v = 0; v < VECTORS; v++) {
            Normals normals(key, (uint32_t)(tile * TILE + v * LANES));
            Floats spare;
            for (int p = 0; p < pixels; p += 2)
                normals.pair(noise[p * VECTORS + v], p + 1 < pixels ? noise[(p + 1) * VECTORS + v] : spare);
        }
    }

    // seen: energy, ‖∇E‖₂, share of clipped components, ‖x_after − x_before‖₂, of each image of the tile.
    // For each image of the tile, sigma: the noise's standard deviation; slack: how far beyond the clamp it may go.
    void step(const Floats (&sigma)[VECTORS], const Floats (&slack)[VECTORS], Floats (&seen)[4][VECTORS]) {
        before = x;
        if (k.noise_first)
            for (int i = 0; i < pixels * VECTORS; i++) {
                int v = i % VECTORS;
                x[i] = bounded(x[i] + sigma[v] * noise[i], k.low - slack[v], k.high + slack[v]);
            }
        pass.forward(x.data(), seen[0]);
        pass.backward(x.data(), grad.data());
        for (int v = 0; v < VECTORS; v++) {
            Floats squares{}, kept{}, moved{};
            Ints clipped{};
            for (int i = v; i < pixels * VECTORS; i += VECTORS) {
                Floats g = bounded(grad[i], -k.clip, k.clip);
                squares += grad[i] * grad[i];
                kept += g * g;
                clipped -= g != grad[i];
            }
            Floats norm = square_root(kept), most = Floats{} + k.clip_norm;
            Floats shrink = norm > most ? most / norm : Floats{} + 1.0f;
            for (int i = v; i < pixels * VECTORS; i += VECTORS) {
                Floats y = x[i] - k.drift * (bounded(grad[i], -k.clip, k.clip) * shrink);
                if (!k.noise_first) y += sigma[v] * noise[i];
                x[i] = bounded(y, k.low - slack[v], k.high + slack[v]);
                moved += (x[i] - before[i]) * (x[i] - before[i]);
            }
            seen[1][v] = square_root(squares);
            seen[2][v] = (norm > most) ? Floats{} + 1.0f : __builtin_convertvector(clipped, Floats) / (float)pixels;
            seen[3][v] = square_root(moved);
        }
    }
};

template <class W>
void langevin(const Network<W>& net, const Langevin& kernel, float* images, int n_images, const uint64_t* keys,
              const float* sigmas, const float* slacks, const float* noise, float* before, float* grad, float* trace,
              int n_threads) {
    over_tiles(n_images, n_threads, [&](auto next) {
        Walker<W> walker(net, kernel);
        for (int tile; (tile = next()) >= 0;) {
            load(images, n_images, net.order, tile, walker.x.data());
            for (int i = 0; i < kernel.n_steps; i++) {
                Floats sigma[VECTORS], slack[VECTORS], seen[4][VECTORS];
                load(sigmas + (size_t)i * n_images, n_images, SCALAR, tile, sigma);
                load(slacks + (size_t)i * n_images, n_images, SCALAR, tile, slack);
                if (noise) load(noise + (size_t)i * n_images * net.pixels(), n_images, net.order, tile, walker.noise.data());
                else if (total(sigma[0] + sigma[1]) > 0) walker.draw(keys[i], tile);
                walker.step(sigma, slack, seen);
                for (int j = 0; j < 4; j++)
                    store(seen[j], n_images, SCALAR, tile, trace + (size_t)(j * kernel.n_steps + i) * n_images);
            }
            store(walker.x.data(), n_images, net.order, tile, images);
            store(walker.before.data(), n_images, net.order, tile, before);
            store(walker.grad.data(), n_images, net.order, tile, grad);
        }
    });
}

template <class Use>
void with(const Handle* handle, Use use) {
#ifdef __AVX512BF16__
    if (handle->pair) return use(*handle->pair);
#endif
    use(*handle->single);
}

}  // namespace

extern "C" {

int has_bf16() {
#ifdef __AVX512BF16__
    return 1;
#else
    return 0;
#endif
}

void* pack(int bf16, int n_layers, const Shape* shapes, const float* const* weights, const float* const* biases,
           const float* head, float head_bias, float scale, float shift, float bowl, const int32_t* order) {
    auto* handle = new Handle;
#ifdef __AVX512BF16__
    if (bf16) {
        handle->pair = packed<Pair>(n_layers, shapes, weights, biases, head, head_bias, scale, shift, bowl, order);
        return handle;
    }
#endif
    (void)bf16;
    handle->single = packed<Single>(n_layers, shapes, weights, biases, head, head_bias, scale, shift, bowl, order);
    return handle;
}

void release(Handle* handle) {
#ifdef __AVX512BF16__
    delete handle->pair;
#endif
    delete handle->single;
    delete handle;
}

void energy_and_grad(const Handle* h, const float* images, int n, float* energy, float* grad, int n_threads) {
    with(h, [&](const auto& net) { evaluate(net, images, n, energy, grad, n_threads); });
}

void weight_grad(const Handle* h, const float* images, int n, const float* coefficients, float* const* weights,
                 float* const* biases, float* head, int n_threads) {
    with(h, [&](const auto& net) { weight_gradient(net, images, n, coefficients, weights, biases, head, n_threads); });
}

void langevin_chain(const Handle* h, const Langevin* kernel, float* images, int n, const uint64_t* keys,
                    const float* sigmas, const float* slacks, const float* noise, float* before, float* grad, float* trace,
              int n_threads) {
    with(h, [&](const auto& net) {
        langevin(net, *kernel, images, n, keys, sigmas, slacks, noise, before, grad, trace, n_threads);
    });
}
}
