// Fixed-point types that count: the interface of ap_fixed, ap_int and hls::stream as hls4ml's C++ uses it. Every value
// knows whether it depends on the network's inputs; every operation on such values is noted with the widths of its
// operands. Comparisons of such values can be held at true or false, so that both sides of a branch are seen.
#ifndef QAP_COUNTING_H
#define QAP_COUNTING_H
#include <algorithm>
#include <cmath>
#include <complex>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <deque>
#include <iostream>
#include <limits>
#include <map>
#include <set>
#include <sstream>
#include <string>
#include <tuple>
#include <type_traits>
#include <vector>

#define AP_MAX(a, b) ((a) > (b) ? (a) : (b))
#define AP_MIN(a, b) ((a) > (b) ? (b) : (a))
#ifndef AP_INT_MAX_W
#define AP_INT_MAX_W 4096
#endif
enum ap_q_mode { AP_RND, AP_RND_ZERO, AP_RND_MIN_INF, AP_RND_INF, AP_RND_CONV, AP_TRN, AP_TRN_ZERO };
enum ap_o_mode { AP_SAT, AP_SAT_ZERO, AP_SAT_SYM, AP_WRAP, AP_WRAP_SM };

namespace tally {
typedef __int128 wide;
struct Note { // one operation, at its place in the sequence of operations of an event
    char kind;
    bool a_constant, b_constant;
    uint16_t layer, a, b, rounded, saturated;
    uint8_t a_sign, b_sign;
    int64_t a_value, b_value;
};
inline std::vector<Note> notes;
inline size_t position = 0;
inline bool counting = false, first = true;
inline bool taken = true; // what comparisons of values of the network give
inline int layer = 0;
inline bool looked_up = false; // the layer has made indices of values of the network
const size_t MOST = 16000000;
inline std::map<std::tuple<int, bool, int, int>, long> wires; // casts that only choose bits: layer, constant, from, to

inline void enter(int number) { layer = number, looked_up = false; }
// Behind an index made of the network's values, what is neither a weight nor a literal has come out of a table.
inline bool is_constant(bool depends, bool given) { return !depends && (given || !looked_up); }

inline void note(const Note &now) {
    if (!counting) return;
    if (first) {
        if (notes.size() == MOST) std::exit(3);
        notes.push_back(now);
    } else {
        if (position >= notes.size()) std::exit(4);
        Note &then = notes[position];
        if (then.kind != now.kind || then.a != now.a || then.b != now.b || then.layer != now.layer) std::exit(4);
        then.a_constant &= now.a_constant && then.a_value == now.a_value;
        then.b_constant &= now.b_constant && then.b_value == now.b_value;
    }
    ++position;
}

inline void wire(bool constant, int from, int to) {
    if (counting && first) ++wires[std::make_tuple(layer, constant, from, to)];
}

template <int W> inline wide wrap(wide v, bool is_signed) {
    static_assert(W <= 126, "values of more than 126 bits are not counted");
    const unsigned __int128 mask = ((unsigned __int128)1 << W) - 1;
    unsigned __int128 low = (unsigned __int128)v & mask;
    if (is_signed && ((low >> (W - 1)) & 1)) low |= ~mask;
    return (wide)low;
}

// value · 2^-from to value · 2^-to, rounded as the type says; from and to differ by any amount
inline wide rescale(wide v, int from, int to, ap_q_mode q) {
    int shift = from - to;
    if (shift <= 0) return -shift > 126 ? 0 : (wide)((unsigned __int128)v << -shift);
    if (shift > 126) { v = v < 0 ? -1 : (v > 0 ? 1 : 0); shift = 2; }
    wide floor = v >> shift, rest = v - (floor << shift), half = (wide)1 << (shift - 1);
    bool up = false;
    switch (q) {
    case AP_TRN: break;
    case AP_TRN_ZERO: up = v < 0 && rest != 0; break;
    case AP_RND: up = rest >= half; break;
    case AP_RND_ZERO: up = rest > half || (rest == half && v < 0); break;
    case AP_RND_MIN_INF: up = rest > half; break;
    case AP_RND_INF: up = rest > half || (rest == half && v >= 0); break;
    case AP_RND_CONV: up = rest > half || (rest == half && (floor & 1)); break;
    }
    return floor + up;
}

template <int W, bool S, ap_q_mode Q, ap_o_mode O> inline wide hold(wide v, int from, int to) {
    const wide one = 1, high = S ? (one << (W - 1)) - 1 : (one << W) - 1, low = S ? -(one << (W - 1)) : 0;
    if (O == AP_WRAP || O == AP_WRAP_SM) return wrap<W>(rescale(v, from, to, Q), S);
    bool over, under;
    if (to - from > 0) {
        int shift = std::min(to - from, 126);
        over = v > (high >> shift), under = v < (low >> shift);
    } else {
        wide r = rescale(v, from, to, Q);
        over = r > high, under = r < low;
    }
    if ((over || under) && O == AP_SAT_ZERO) return 0;
    if (over) return high;
    if (under) return S && O == AP_SAT_SYM ? low + 1 : low;
    wide r = rescale(v, from, to, Q);
    return S && O == AP_SAT_SYM && r == low ? low + 1 : r;
}
} // namespace tally

template <int W, int I, bool S, ap_q_mode Q, ap_o_mode O, int N, bool INT> struct ap_fixed_base;
template <int W, int I, ap_q_mode Q = AP_TRN, ap_o_mode O = AP_WRAP, int N = 0> struct ap_fixed;
template <int W, int I, ap_q_mode Q = AP_TRN, ap_o_mode O = AP_WRAP, int N = 0> struct ap_ufixed;
template <int W> struct ap_int;
template <int W> struct ap_uint;

namespace tally {
template <int W, int I, bool S, bool INT> struct Result;
template <int W, int I> struct Result<W, I, true, false> { typedef ap_fixed<W, I> type; };
template <int W, int I> struct Result<W, I, false, false> { typedef ap_ufixed<W, I> type; };
template <int W, int I> struct Result<W, I, true, true> { typedef ap_int<W> type; };
template <int W, int I> struct Result<W, I, false, true> { typedef ap_uint<W> type; };
template <class T> struct Native { // the fixed-point type of a C integer
    typedef typename Result<std::is_same<T, bool>::value ? 1 : 8 * sizeof(T), std::is_same<T, bool>::value ? 1 : 8 * sizeof(T),
                            std::is_signed<T>::value, true>::type type;
};
} // namespace tally

template <class B> struct ap_range { // x(high, low), x.range(high, low)
    B &x;
    int high, low;
    tally::wide get() const {
        return (tally::wide)(((unsigned __int128)x.V >> low) & ((((unsigned __int128)1 << (high - low + 1)) - 1)));
    }
    void set(tally::wide v, bool depends) {
        const unsigned __int128 mask = (((unsigned __int128)1 << (high - low + 1)) - 1) << low;
        x.V = tally::wrap<B::width>((tally::wide)(((unsigned __int128)x.V & ~mask) | (((unsigned __int128)v << low) & mask)), B::sign);
        x.depends |= depends;
    }
    operator unsigned long long() const { tally::looked_up |= x.depends; return (unsigned long long)get(); }
    unsigned to_uint() const { return (unsigned)(unsigned long long)*this; }
    int to_int() const { return (int)to_uint(); }
    int length() const { return high - low + 1; }
    ap_range &operator=(const ap_range &o) { set(o.get(), o.x.depends); return *this; }
    template <class C> ap_range &operator=(const ap_range<C> &o) { set(o.get(), o.x.depends); return *this; }
    template <class T> typename std::enable_if<std::is_arithmetic<T>::value, ap_range &>::type operator=(T v) {
        set((tally::wide)v, false);
        return *this;
    }
    template <int W, int I, bool S, ap_q_mode Q, ap_o_mode O, int N, bool INT>
    ap_range &operator=(const ap_fixed_base<W, I, S, Q, O, N, INT> &o) { set(o.V, o.depends); return *this; }
};

template <int W, int I, bool S, ap_q_mode Q, ap_o_mode O, int N, bool INT> struct ap_fixed_base {
    static constexpr int width = W, iwidth = I;
    static constexpr bool sign = S;
    static constexpr ap_q_mode qmode = Q;
    static constexpr ap_o_mode omode = O;
    typedef ap_fixed_base Base;
    tally::wide V;
    bool depends; // on the network's inputs
    bool given;   // a weight, a literal, or computed from such

    ap_fixed_base() : V(0), depends(false), given(false) {}
    ap_fixed_base(const ap_fixed_base &) = default;
    ap_fixed_base &operator=(const ap_fixed_base &) = default;
    template <int W2, int I2, bool S2, ap_q_mode Q2, ap_o_mode O2, int N2, bool INT2>
    ap_fixed_base(const ap_fixed_base<W2, I2, S2, Q2, O2, N2, INT2> &o)
        : V(tally::hold<W, S, Q, O>(o.V, W2 - I2, W - I)), depends(o.depends), given(o.given) {
        const int lost = (W2 - I2) - (W - I), top = (I2 - S2) - (I - S);
        const bool down = S2 && !S; // negative values do not fit
        const int rounded = Q != AP_TRN && lost > 0 ? lost : 0;
        const bool saturates = O != AP_WRAP && (top > 0 || down || (O == AP_SAT_SYM && S));
        const bool constant = tally::is_constant(o.depends, o.given);
        if (!rounded && !saturates) tally::wire(constant, W2, W);
        else
            tally::note({'=', constant, true, (uint16_t)tally::layer, (uint16_t)W2, (uint16_t)W, (uint16_t)rounded,
                         (uint16_t)(saturates ? AP_MAX(top, 0) + down : 0), S2, S, (int64_t)o.V, 0});
    }
    template <class B> ap_fixed_base(const ap_range<B> &r) : V(tally::hold<W, S, Q, O>(r.get(), 0, W - I)), depends(r.x.depends), given(r.x.given) {}
    template <class T, class = typename std::enable_if<std::is_arithmetic<T>::value>::type> ap_fixed_base(T v) : depends(false), given(tally::counting) {
        if (std::is_integral<T>::value) {
            V = tally::hold<W, S, Q, O>((tally::wide)v, 0, W - I);
        } else {
            int exponent = 0;
            double d = (double)v, m = std::isfinite(d) ? std::frexp(d, &exponent) : 0;
            V = tally::hold<W, S, Q, O>((tally::wide)std::ldexp(m, 53), 53 - exponent, W - I);
        }
    }
    ap_fixed_base(const char *s) : ap_fixed_base(std::strtod(s, nullptr)) {}

    double to_double() const { return std::ldexp((double)V, I - W); }
    float to_float() const { return (float)to_double(); }
    tally::wide whole() const { return W > I ? V / ((tally::wide)1 << AP_MAX(W - I, 0)) : V << AP_MAX(I - W, 0); }
    long long index() const { // behind a branch that is held the wrong way an index must still be none below 0
        tally::wide w = whole();
        tally::looked_up |= depends;
        return depends && w < 0 ? (long long)std::min<tally::wide>(-w, 1 << 20) : (long long)w;
    }
    unsigned long long bits() const { tally::looked_up |= depends; return (unsigned long long)whole(); }
    int to_int() const { return (int)index(); }
    unsigned to_uint() const { return (unsigned)bits(); }
    long long to_int64() const { return index(); }
    unsigned long long to_uint64() const { return bits(); }
    long to_long() const { return (long)index(); }
    unsigned long to_ulong() const { return (unsigned long)bits(); }
    bool to_bool() const { return V != 0; }
    operator double() const { return to_double(); }
    operator float() const { return to_float(); }
    operator bool() const { return V != 0; }
    operator char() const { return (char)index(); }
    operator signed char() const { return (signed char)index(); }
    operator unsigned char() const { return (unsigned char)bits(); }
    operator short() const { return (short)index(); }
    operator unsigned short() const { return (unsigned short)bits(); }
    operator int() const { return (int)index(); }
    operator unsigned() const { return (unsigned)bits(); }
    operator long() const { return (long)index(); }
    operator unsigned long() const { return (unsigned long)bits(); }
    operator long long() const { return index(); }
    operator unsigned long long() const { return bits(); }
    std::string to_string(int = 10) const { std::ostringstream s; s << to_double(); return s.str(); }
    static int length() { return W; }
    static int wl() { return W; }
    static int iwl() { return I; }
    bool is_neg() const { return V < 0; }
    bool is_zero() const { return V == 0; }
    bool operator!() const { return V == 0; }

    ap_range<ap_fixed_base> operator()(int high, int low) { return {*this, high, low}; }
    ap_range<const ap_fixed_base> operator()(int high, int low) const { return {*this, high, low}; }
    ap_range<ap_fixed_base> range(int high, int low) { return {*this, high, low}; }
    ap_range<const ap_fixed_base> range(int high, int low) const { return {*this, high, low}; }
    ap_range<ap_fixed_base> range() { return {*this, W - 1, 0}; }
    ap_range<ap_fixed_base> operator[](int i) { return {*this, i, i}; }
    bool operator[](int i) const { return (V >> i) & 1; }
    bool get_bit(int i) const { return (V >> i) & 1; }
    bool test(int i) const { return (V >> i) & 1; }
    void set_bit(int i, bool v) { (*this)[i] = v; }

    typename tally::Result<W + 1, I + 1, true, INT>::type operator-() const {
        tally::note({'-', true, tally::is_constant(depends, given), (uint16_t)tally::layer, 1, (uint16_t)W, 0, 0, 0, S, 0, (int64_t)V});
        typename tally::Result<W + 1, I + 1, true, INT>::type r;
        r.V = -V, r.depends = depends, r.given = given;
        return r;
    }
    ap_fixed_base operator+() const { return *this; }
    ap_fixed_base operator~() const { ap_fixed_base r; r.V = tally::wrap<W>(~V, S); r.depends = depends; r.given = given; return r; }
    template <class T> ap_fixed_base &operator+=(const T &o) { return *this = ap_fixed_base(*this + o); }
    template <class T> ap_fixed_base &operator-=(const T &o) { return *this = ap_fixed_base(*this - o); }
    template <class T> ap_fixed_base &operator*=(const T &o) { return *this = ap_fixed_base(*this * o); }
    template <class T> ap_fixed_base &operator/=(const T &o) { return *this = ap_fixed_base(*this / o); }
    template <class T> ap_fixed_base &operator|=(const T &o) { return *this = ap_fixed_base(*this | o); }
    template <class T> ap_fixed_base &operator&=(const T &o) { return *this = ap_fixed_base(*this & o); }
    template <class T> ap_fixed_base &operator^=(const T &o) { return *this = ap_fixed_base(*this ^ o); }
    ap_fixed_base &operator<<=(int n) { return *this = *this << n; }
    ap_fixed_base &operator>>=(int n) { return *this = *this >> n; }
    ap_fixed_base operator<<(int n) const {
        ap_fixed_base r(*this);
        r.V = n < 0 ? V >> std::min(-n, 126) : tally::wrap<W>((tally::wide)((unsigned __int128)V << std::min(n, 126)), S);
        return r;
    }
    ap_fixed_base operator>>(int n) const { return *this << -n; }
    ap_fixed_base &operator++() { return *this += 1; }
    ap_fixed_base &operator--() { return *this -= 1; }
    ap_fixed_base operator++(int) { ap_fixed_base r(*this); *this += 1; return r; }
    ap_fixed_base operator--(int) { ap_fixed_base r(*this); *this -= 1; return r; }
};

#define QAP_TYPE(NAME, PARAMETERS, ARGUMENTS, BASE)                                                                      \
    template <PARAMETERS> struct NAME : BASE {                                                                           \
        typedef BASE Base;                                                                                               \
        NAME() {}                                                                                                        \
        NAME(const NAME &) = default;                                                                                    \
        NAME(const Base &o) : Base(o) {}                                                                                 \
        template <class T> NAME(const T &o) : Base(o) {}                                                                 \
        NAME &operator=(const NAME &) = default;                                                                         \
        template <class T> NAME &operator=(const T &o) { static_cast<Base &>(*this) = Base(o); return *this; }           \
    };
#define QAP_COMMA ,
QAP_TYPE(ap_fixed, int W QAP_COMMA int I QAP_COMMA ap_q_mode Q QAP_COMMA ap_o_mode O QAP_COMMA int N, ,
         ap_fixed_base<W QAP_COMMA I QAP_COMMA true QAP_COMMA Q QAP_COMMA O QAP_COMMA N QAP_COMMA false>)
QAP_TYPE(ap_ufixed, int W QAP_COMMA int I QAP_COMMA ap_q_mode Q QAP_COMMA ap_o_mode O QAP_COMMA int N, ,
         ap_fixed_base<W QAP_COMMA I QAP_COMMA false QAP_COMMA Q QAP_COMMA O QAP_COMMA N QAP_COMMA false>)
QAP_TYPE(ap_int, int W, , ap_fixed_base<W QAP_COMMA W QAP_COMMA true QAP_COMMA AP_TRN QAP_COMMA AP_WRAP QAP_COMMA 0 QAP_COMMA true>)
QAP_TYPE(ap_uint, int W, , ap_fixed_base<W QAP_COMMA W QAP_COMMA false QAP_COMMA AP_TRN QAP_COMMA AP_WRAP QAP_COMMA 0 QAP_COMMA true>)

#define QAP_TWO                                                                                                          \
    template <int W, int I, bool S, ap_q_mode Q, ap_o_mode O, int N, bool INT, int W2, int I2, bool S2, ap_q_mode Q2,    \
              ap_o_mode O2, int N2, bool INT2>
#define QAP_A const ap_fixed_base<W, I, S, Q, O, N, INT> &a
#define QAP_B const ap_fixed_base<W2, I2, S2, Q2, O2, N2, INT2> &b
#define QAP_NOTE(KIND)                                                                                                   \
    tally::note({KIND, tally::is_constant(a.depends, a.given), tally::is_constant(b.depends, b.given), (uint16_t)tally::layer, (uint16_t)W, (uint16_t)W2, 0, 0, S, S2, (int64_t)a.V, (int64_t)b.V});
// a C integer as the other operand
#define QAP_NATIVE(TYPE, OPERATOR)                                                                                       \
    template <int W, int I, bool S, ap_q_mode Q, ap_o_mode O, int N, bool INT, class T,                                  \
              class = typename std::enable_if<std::is_integral<T>::value>::type>                                         \
    inline auto operator OPERATOR(QAP_A, T b)->TYPE(a OPERATOR typename tally::Native<T>::type(b)) {                       \
        return a OPERATOR typename tally::Native<T>::type(b);                                                              \
    }                                                                                                                    \
    template <class T, int W, int I, bool S, ap_q_mode Q, ap_o_mode O, int N, bool INT,                                  \
              class = typename std::enable_if<std::is_integral<T>::value>::type>                                         \
    inline auto operator OPERATOR(T b, QAP_A)->TYPE(typename tally::Native<T>::type(b) OPERATOR a) {                       \
        return typename tally::Native<T>::type(b) OPERATOR a;                                                              \
    }

QAP_TWO inline typename tally::Result<W + W2, I + I2, S || S2, INT && INT2>::type operator*(QAP_A, QAP_B) {
    QAP_NOTE('*')
    typename tally::Result<W + W2, I + I2, S || S2, INT && INT2>::type r;
    r.V = tally::wrap<W + W2>(a.V * b.V, S || S2);
    r.depends = (a.depends && (b.depends || b.V != 0)) || (b.depends && (a.depends || a.V != 0)); // 0 · x is a constant
    r.given = (a.given && b.given) || (a.given && !a.depends && a.V == 0) || (b.given && !b.depends && b.V == 0);
    return r;
}
#define QAP_SUM_I (AP_MAX(I + (S2 && !S), I2 + (S && !S2)) + 1)
#define QAP_SUM_W (QAP_SUM_I + AP_MAX(W - I, W2 - I2))
#define QAP_SUM(OPERATOR, KIND, SIGNED)                                                                                  \
    QAP_TWO inline typename tally::Result<QAP_SUM_W, QAP_SUM_I, SIGNED, INT && INT2>::type operator OPERATOR(QAP_A, QAP_B) { \
        QAP_NOTE(KIND)                                                                                                   \
        const int F = AP_MAX(W - I, W2 - I2);                                                                            \
        typename tally::Result<QAP_SUM_W, QAP_SUM_I, SIGNED, INT && INT2>::type r;                                         \
        r.V = (a.V << (F - (W - I))) OPERATOR (b.V << (F - (W2 - I2)));                                                  \
        r.depends = a.depends || b.depends, r.given = a.given && b.given;                                                \
        return r;                                                                                                        \
    }
QAP_SUM(+, '+', (S || S2))
QAP_SUM(-, '-', true)
#define QAP_LOGIC(OPERATOR)                                                                                              \
    QAP_TWO inline typename tally::Result<QAP_SUM_W - 1, QAP_SUM_I - 1, (S || S2), INT && INT2>::type operator OPERATOR(QAP_A, QAP_B) { \
        const int F = AP_MAX(W - I, W2 - I2);                                                                            \
        typename tally::Result<QAP_SUM_W - 1, QAP_SUM_I - 1, (S || S2), INT && INT2>::type r;                              \
        r.V = (a.V << (F - (W - I))) OPERATOR (b.V << (F - (W2 - I2)));                                                  \
        r.depends = a.depends || b.depends, r.given = a.given && b.given;                                                \
        return r;                                                                                                        \
    }
QAP_LOGIC(&)
QAP_LOGIC(|)
QAP_LOGIC(^)
// I and the sign of the quotient as ap_fixed has them; a division by zero gives zero
QAP_TWO inline typename tally::Result<INT && INT2 ? W + S2 : W + S2 + AP_MAX(W2 - I2, 0), INT && INT2 ? W + S2 : S2 + I + (W2 - I2),
                                    S || S2, INT && INT2>::type operator/(QAP_A, QAP_B) {
    QAP_NOTE('/')
    typename tally::Result<INT && INT2 ? W + S2 : W + S2 + AP_MAX(W2 - I2, 0), INT && INT2 ? W + S2 : S2 + I + (W2 - I2), S || S2,
                         INT && INT2>::type r;
    r.V = b.V == 0 ? 0 : tally::wrap<r.width>(((tally::wide)((unsigned __int128)a.V << AP_MAX(W2 - I2, 0))) / b.V, r.sign);
    r.depends = a.depends || b.depends, r.given = a.given && b.given;
    return r;
}
QAP_TWO inline ap_fixed_base<W, I, S, Q, O, N, INT> operator%(QAP_A, QAP_B) {
    ap_fixed_base<W, I, S, Q, O, N, INT> r;
    r.V = b.V == 0 ? 0 : a.V % b.V, r.depends = a.depends || b.depends, r.given = a.given && b.given;
    return r;
}
#define QAP_COMPARE(OPERATOR)                                                                                            \
    QAP_TWO inline bool operator OPERATOR(QAP_A, QAP_B) {                                                                \
        QAP_NOTE('<')                                                                                                    \
        if (a.depends || b.depends) return tally::taken;               \
        const int F = AP_MAX(W - I, W2 - I2);                                                                            \
        return (a.V << (F - (W - I))) OPERATOR (b.V << (F - (W2 - I2)));                                                 \
    }                                                                                                                    \
    template <int W, int I, bool S, ap_q_mode Q, ap_o_mode O, int N, bool INT>                                           \
    inline bool operator OPERATOR(QAP_A, double b) { return a OPERATOR ap_fixed<W + 20, I + 2>(b); }                     \
    template <int W, int I, bool S, ap_q_mode Q, ap_o_mode O, int N, bool INT>                                           \
    inline bool operator OPERATOR(double b, QAP_A) { return ap_fixed<W + 20, I + 2>(b) OPERATOR a; }
QAP_COMPARE(==)
QAP_COMPARE(!=)
QAP_COMPARE(<)
QAP_COMPARE(<=)
QAP_COMPARE(>)
QAP_COMPARE(>=)
QAP_NATIVE(decltype, +) QAP_NATIVE(decltype, -) QAP_NATIVE(decltype, *) QAP_NATIVE(decltype, /) QAP_NATIVE(decltype, %)
QAP_NATIVE(decltype, &) QAP_NATIVE(decltype, |) QAP_NATIVE(decltype, ^)
QAP_NATIVE(decltype, ==) QAP_NATIVE(decltype, !=) QAP_NATIVE(decltype, <) QAP_NATIVE(decltype, <=) QAP_NATIVE(decltype, >)
QAP_NATIVE(decltype, >=)

template <int W, int I, bool S, ap_q_mode Q, ap_o_mode O, int N, bool INT>
std::ostream &operator<<(std::ostream &out, QAP_A) { return out << a.to_double(); }
template <int W, int I, bool S, ap_q_mode Q, ap_o_mode O, int N, bool INT>
std::istream &operator>>(std::istream &in, ap_fixed_base<W, I, S, Q, O, N, INT> &a) {
    double d;
    in >> d;
    a = ap_fixed_base<W, I, S, Q, O, N, INT>(d);
    return in;
}

#include "counting_hls.h"
#endif
