// Work shared by threads that have all ended when the call returns, whatever fails in them.
#pragma once

#include <atomic>
#include <exception>
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

// Call work(next) on up to n_threads threads, this one among them; next() deals out 0 … n_items − 1, then −1.
// Where the system gives fewer threads, those do it all. The first exception of a thread is thrown again here.
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
    {
        Joined others;
        int n_others = std::min(n_threads, n_items) - 1;
        others.threads.reserve((size_t)std::max(n_others, 0));
        try {
            for (int i = 0; i < n_others; i++) others.threads.emplace_back(run);
        } catch (const std::system_error&) {  // no more threads to be had
        }
        run();
    }
    if (failure) std::rethrow_exception(failure);
}
