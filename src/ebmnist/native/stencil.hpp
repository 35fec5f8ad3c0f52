// Which inputs the sum of each output of a convolution takes, and with which weights.
#pragma once

#include <algorithm>
#include <vector>

#include "engine.h"

// Outputs whose taps lie alike make a group: the inside is one, and borders and corners are others. No loop over sums
// then asks where it is, and several outputs of a group are summed at once.
struct Stencil {
    struct Run {  // of taps that follow each other both in the weights and in the input
        int tap, input, length;
        bool operator==(const Run& o) const { return tap == o.tap && input == o.input && length == o.length; }
    };
    struct Site {
        int output, input;  // positions; a run's input counts from the latter
    };
    struct Group {
        std::vector<Run> runs;
        std::vector<Site> sites;
    };
    struct Part {  // of a group's sites: what one thread sums
        int group, first, last;
    };
    std::vector<Group> groups;
    std::vector<Part> parts;

    // each_tap(output, add) calls add(tap, input position) for every term, in the order of summation.
    template <class EachTap>
    Stencil(int n_outputs, EachTap each_tap) {
        std::vector<Run> runs;
        for (int output = 0; output < n_outputs; output++) {
            runs.clear();
            int first = 0;
            each_tap(output, [&](int tap, int input) {
                if (runs.empty()) first = input;
                input -= first;
                bool follows = !runs.empty() && runs.back().tap + runs.back().length == tap &&
                               runs.back().input + runs.back().length == input;
                if (follows) runs.back().length++;
                else runs.push_back({tap, input, 1});
            });
            auto same = [&](const Group& group) { return group.runs == runs; };
            auto group = std::find_if(groups.begin(), groups.end(), same);  // there are few
            if (group == groups.end()) group = groups.insert(group, {runs, {}});
            group->sites.push_back({output, first});
        }
        for (int group = 0; group < (int)groups.size(); group++)
            for (int first = 0, last, n = (int)groups[(size_t)group].sites.size(); first < n; first = last) {
                last = n - first > 15 ? first + 12 : n;  // twelve divide by one, two and three
                parts.push_back({group, first, last});
            }
    }
};

inline Stencil forward_stencil(const Shape& s) {
    return Stencil(s.h_out * s.w_out, [&](int output, auto add) {
        int top = output / s.w_out * s.stride - s.pad, left = output % s.w_out * s.stride - s.pad;
        for (int ky = std::max(0, -top); ky < std::min(s.kernel, s.h_in - top); ky++)
            for (int kx = std::max(0, -left); kx < std::min(s.kernel, s.w_in - left); kx++)
                add(ky * s.kernel + kx, (top + ky) * s.w_in + left + kx);
    });
}

// Of the transposed convolution, which carries a gradient from the output back to the input.
inline Stencil backward_stencil(const Shape& s) {
    return Stencil(s.h_in * s.w_in, [&](int input, auto add) {
        int y = input / s.w_in + s.pad, x = input % s.w_in + s.pad;
        for (int ky = y % s.stride; ky < s.kernel && ky <= y; ky += s.stride)
            for (int kx = x % s.stride; kx < s.kernel && kx <= x; kx += s.stride) {
                int oy = (y - ky) / s.stride, ox = (x - kx) / s.stride;
                if (oy < s.h_out && ox < s.w_out) add(ky * s.kernel + kx, oy * s.w_out + ox);
            }
    });
}
