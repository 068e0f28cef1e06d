// Streams, shift registers and functions of the hls library for the types of counting.h, and marks on the network's values.
#ifndef QAP_COUNTING_HLS_H
#define QAP_COUNTING_HLS_H
namespace tally {
// Values of the network, between its layers, depend on the inputs whatever a branch has made of them.
template <class T, class = void> struct Mark { static void set(T &) {} };
template <class T> struct Mark<T, typename std::enable_if<std::is_integral<decltype(T::width)>::value && sizeof(typename T::Base)>::type> {
    static void set(T &x) { x.depends = true; }
};
template <class T, size_t SIZE> struct Mark<T[SIZE], void> {
    static void set(T (&x)[SIZE]) { for (size_t i = 0; i < SIZE; ++i) Mark<T>::set(x[i]); }
};
template <class T> struct Mark<T, typename std::enable_if<sizeof(typename T::value_type) && std::is_integral<decltype(T::size)>::value>::type> {
    static void set(T &x) { for (size_t i = 0; i < T::size; ++i) Mark<typename T::value_type>::set(x[i]); }
};
template <class T> inline void mark(T &x) { Mark<T>::set(x); }

} // namespace tally

namespace hls {
template <class T, int DEPTH = 0> class stream {
  public:
    stream() {}
    stream(const char *) {}
    stream(const std::string &) {}
    std::deque<T> queue;
    T read() {
        if (queue.empty()) return T();
        T x = queue.front();
        queue.pop_front();
        return x;
    }
    void read(T &x) { x = read(); }
    bool read_nb(T &x) { bool there = !queue.empty(); if (there) x = read(); return there; }
    void write(const T &x) { queue.push_back(x); }
    bool write_nb(const T &x) { write(x); return true; }
    void operator>>(T &x) { x = read(); }
    void operator<<(const T &x) { write(x); }
    bool empty() const { return queue.empty(); }
    bool full() const { return false; }
    size_t size() const { return queue.size(); }
    void set_name(const char *) {}
};
template <class T, class = void> struct numeric_limits {
    static T max() { return std::numeric_limits<T>::max(); }
    static T min() { return std::numeric_limits<T>::min(); }
    static T epsilon() { return std::numeric_limits<T>::epsilon(); }
};
template <class T> struct numeric_limits<T, typename std::enable_if<sizeof(typename T::Base)>::type> {
    static T max() { T x; x.V = ((tally::wide)1 << (T::width - T::sign)) - 1; return x; }
    static T min() { T x; x.V = T::sign ? -((tally::wide)1 << (T::width - 1)) : 0; return x; }
    static T epsilon() { T x; x.V = 1; return x; }
};
#define QAP_FUNCTION(NAME)                                                                                               \
    template <class T> T NAME(T x) {                                                                                     \
        T r(std::NAME((double)x));                                                                                       \
        return r;                                                                                                        \
    }
QAP_FUNCTION(exp) QAP_FUNCTION(log) QAP_FUNCTION(sqrt) QAP_FUNCTION(sin) QAP_FUNCTION(cos) QAP_FUNCTION(tan) QAP_FUNCTION(asin)
QAP_FUNCTION(acos) QAP_FUNCTION(atan) QAP_FUNCTION(tanh) QAP_FUNCTION(abs) QAP_FUNCTION(floor) QAP_FUNCTION(ceil) QAP_FUNCTION(log2)
template <class T, class U> T pow(T x, U y) { return T(std::pow((double)x, (double)y)); }
template <class T> T atan2(T y, T x) { return T(std::atan2((double)y, (double)x)); }
} // namespace hls

namespace tally {
template <class T, int DEPTH> struct Mark<hls::stream<T, DEPTH>, void> {
    static void set(hls::stream<T, DEPTH> &x) { for (auto &one : x.queue) Mark<T>::set(one); }
};
} // namespace tally

template <class T, unsigned DEPTH = 32> class ap_shift_reg {
    T array[DEPTH];

  public:
    T shift(T in, unsigned address = DEPTH - 1, bool enable = true) {
        T out = array[address];
        if (enable) {
            for (unsigned i = DEPTH - 1; i > 0; --i) array[i] = array[i - 1];
            array[0] = in;
        }
        return out;
    }
    T read(unsigned address = DEPTH - 1) const { return array[address]; }
};
#endif
