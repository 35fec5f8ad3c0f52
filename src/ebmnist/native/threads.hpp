// Work shared by threads that are all done with it when the call returns, whatever fails in them.
#pragma once

#include <algorithm>
#include <atomic>
#include <exception>
#include <functional>
#include <mutex>
#include <system_error>
#include <thread>
#include <vector>

struct Joined {
    std::vector<std::thread> threads;
    ~Joined() {
        for (auto& thread : threads) thread.join();
    }
};

// OpenMP's entry for a parallel region, as GCC calls it. PyTorch's threads spin for milliseconds after each of its
// operations, and new threads would have to wait for their processors. So its own are used where Python has found them.
using Parallel = void (*)(void (*work)(void*), void* argument, unsigned n_threads, unsigned flags);
inline std::atomic<Parallel> openmp{nullptr};

// Call run() on up to n_threads threads, this one among them; on fewer where there is less to do, or the system gives fewer.
template <class Run>
void on_threads(int n_items, int n_threads, Run& run) {
    if (n_items == 1 || n_threads == 1) return run();
    // As many as PyTorch has, even if some find nothing to do: OpenMP ends those that a region leaves out.
    if (Parallel parallel = openmp)
        return parallel([](void* argument) { (*(Run*)argument)(); }, &run, (unsigned)n_threads, 0);
    Joined others;
    int n_others = std::min(n_items, n_threads) - 1;
    others.threads.reserve((size_t)n_others);
    try {
        for (int i = 0; i < n_others; i++) others.threads.emplace_back(std::ref(run));
    } catch (const std::system_error&) {  // no more threads to be had
    }
    run();
}

// Call work(next) on up to n_threads threads, this one among them; next() deals out 0 … n_items − 1, then −1.
// The first exception of a thread is thrown again here.
template <class Work>
void share(int n_items, int n_threads, Work work) {
    std::atomic<int> dealt{0};
    std::exception_ptr failure;
    std::mutex failing;
    auto next = [&] {
        int item = dealt.load();
        while (item < n_items && !dealt.compare_exchange_weak(item, item + 1)) {}
        return item < n_items ? item : -1;
    };
    auto run = [&]() noexcept {
        try {
            work(next);
        } catch (...) {
            dealt = n_items;  // what the others would still do is lost anyway
            std::lock_guard<std::mutex> lock(failing);
            if (!failure) failure = std::current_exception();
        }
    };
    on_threads(n_items, n_threads, run);
    if (failure) std::rethrow_exception(failure);
}
