// Run the events and print what was noted: one line per layer, kind of operation and widths.
#ifndef QAP_COUNT_MAIN_H
#define QAP_COUNT_MAIN_H
#include "counting.h"
#include <cstring>
#include <fstream>

namespace tally {
template <class T, class = void> struct Fill { // of a native type: as it comes
    static void one(T &x, const double *&v) { x = (T)*v++; }
    static const size_t size = 1;
};
template <class T> struct Fill<T, typename std::enable_if<sizeof(typename T::Base)>::type> {
    static void one(T &x, const double *&v) { x = T(*v++); x.depends = true; }
    static const size_t size = 1;
};
template <class T> struct Fill<T, typename std::enable_if<sizeof(typename T::value_type) && std::is_integral<decltype(T::size)>::value>::type> {
    static void one(T &x, const double *&v) { for (size_t i = 0; i < T::size; ++i) Fill<typename T::value_type>::one(x[i], v); }
    static const size_t size = T::size;
};
template <class T> void fill(T *x, size_t elements, const double *&v) { for (size_t i = 0; i < elements; ++i) Fill<T>::one(x[i], v); }
template <class T, int D> void fill(hls::stream<T, D> &x, size_t elements, const double *&v) {
    x.queue.clear();
    for (size_t i = 0; i < elements / Fill<T>::size; ++i) { T word; Fill<T>::one(word, v); x.write(word); }
}
template <class T, int D> void clear(hls::stream<T, D> &x) { x.queue.clear(); }
template <class T> void clear(T &) {}
template <class T> auto weight(T &x, int) -> decltype(x.given, void()) { x.given = true; }
template <class T> void weight(T &, long) {}
template <class T, class U> void load(T *to, size_t elements, const U *from) {
    for (size_t i = 0; i < elements; ++i) to[i] = T(from[i]), weight(to[i], 0);
}

inline std::vector<double> read(const char *name) {
    std::ifstream file(name, std::ios::binary | std::ios::ate);
    std::vector<double> values((size_t)file.tellg() / sizeof(double));
    file.seekg(0);
    file.read((char *)values.data(), values.size() * sizeof(double));
    return values;
}
template <class T> void constants(T &array, const char *name) { // an array of constants of any number of axes
    typedef typename std::remove_all_extents<T>::type Element;
    std::vector<double> values = read(name);
    if (values.size() != sizeof(T) / sizeof(Element)) { std::fprintf(stderr, "%s: another size\n", name); std::exit(5); }
    load(reinterpret_cast<Element *>(&array), values.size(), values.data());
}

struct Sum { long count = 0; double ebops = 0, bops = 0; };
inline int digits(int64_t v) {
    uint64_t m = v < 0 ? -(uint64_t)v : (uint64_t)v;
    if (!m) return 0;
    while (!(m & 1)) m >>= 1;
    int n = 0;
    for (; m; m >>= 1) ++n;
    return n;
}
inline void report() {
    std::map<std::string, Sum> sums;
    std::map<int, std::set<int64_t>> distinct;
    for (Note n : notes) {
        const char *what = n.a_constant && n.b_constant ? "folded" : n.a_constant || n.b_constant ? "constant" : "variable";
        const int64_t value = n.a_constant ? n.a_value : n.b_value;
        Sum add;
        add.count = 1;
        if (n.kind == '<' && n.a_constant != n.b_constant) (n.a_constant ? n.a : n.b) = 0; // a literal has the width of an int
        if (n.kind == '=') what = n.a_constant ? "folded" : "variable";
        if ((n.kind == '+' || n.kind == '-') && !std::strcmp(what, "constant") && value == 0 && !(n.kind == '-' && n.a_constant)) what = "zero";
        if (n.kind == '*' || n.kind == '/') {
            const int a = std::max(n.a - n.a_sign, 1), b = std::max(n.b - n.b_sign, 1), d = digits(value);
            if (!std::strcmp(what, "constant")) {
                add.ebops = (double)d * (n.a_constant ? b : a);
                what = d == 0 ? "zero" : d == 1 ? "power_of_two" : "general";
                if (d > 1) distinct[n.layer].insert(value);
            } else if (!std::strcmp(what, "variable")) add.ebops = (double)a * b;
            add.bops = (double)n.a * n.b;
        }
        char key[160];
        std::snprintf(key, sizeof key, "%d %c %s %d %d %d %d", n.layer, n.kind, what, n.a, n.b, n.rounded, n.saturated);
        Sum &sum = sums[key];
        sum.count += 1, sum.ebops += add.ebops, sum.bops += add.bops;
    }
    for (const auto &one : sums)
        std::printf("%s %ld %.17g %.17g\n", one.first.c_str(), one.second.count, one.second.ebops, one.second.bops);
    for (const auto &one : wires)
        std::printf("%d = %s %d %d 0 0 %ld 0 0\n", std::get<0>(one.first), std::get<1>(one.first) ? "folded" : "variable",
                    std::get<2>(one.first), std::get<3>(one.first), one.second);
    for (const auto &one : distinct) std::printf("%d d general 0 0 0 0 %zu 0 0\n", one.first, one.second.size());
}
// event(values) runs the top function once
template <class EVENT> int run(int argc, char **argv, size_t width, EVENT event) {
    if (argc != 3) return 2;
    taken = !std::strcmp(argv[1], "taken");
    const std::vector<double> values = read(argv[2]);
    const size_t events = values.size() / width;
    event(values.data()); // tables are filled at the first call, this is not counted
    for (size_t i = 0; i < events; ++i) {
        position = 0, counting = true;
        event(values.data() + i * width);
        counting = false;
        if (!first && position != notes.size()) return 4;
        first = false;
    }
    report();
    return 0;
}
} // namespace tally
#endif
