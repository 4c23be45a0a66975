/* What:      values in (TUG_ARGS) and values out (TUG_OUT), the same for SQL and for Redis.
 * Ownership: arguments are borrowed for the call only (copied or encoded before it returns). What an
 *            output gets is a copy, except const char * and struct tug_bytes: borrowed from the result.
 * Context:   any thread.
 * Callbacks: none.
 * Errors:    decided by the call that takes them: TUG_ETYPE, TUG_ERANGE, TUG_ENULL, TUG_ELIMIT. */
#ifndef TUG_VALUE_H
#define TUG_VALUE_H

#include <tug/base.h>

#ifdef __cplusplus
extern "C" {
#endif

enum {
    TUG_VALUE_NULL,
    TUG_VALUE_INT,
    TUG_VALUE_UINT,
    TUG_VALUE_BOOL,
    TUG_VALUE_DOUBLE,
    TUG_VALUE_TEXT, /* u.bytes.size counts the characters */
    TUG_VALUE_BYTES,
    TUG_VALUE_TIMESTAMP /* u.i: microseconds since 1970-01-01 UTC */
};

/* One value on its way to a server. Make it with the constructors below. */
typedef struct tug_value {
    int type;
    union {
        int64_t i;
        uint64_t u;
        double d;
        bool b;
        struct tug_bytes bytes;
    } u;
} tug_value;

/* The arguments of one call. TUG_ARGS makes it; longer lists are made by hand. */
typedef struct tug_args {
    const tug_value *values;
    size_t n;
} tug_args;

/* An instant of the calendar: microseconds since 1970-01-01 00:00 UTC. INT64_MAX and INT64_MIN are
 * PostgreSQL's infinity and -infinity. */
struct tug_timestamp {
    int64_t us;
};

enum {
    TUG_SLOT_BOOL,
    TUG_SLOT_INT,    /* signed, size says how wide */
    TUG_SLOT_UINT,   /* unsigned, size says how wide */
    TUG_SLOT_FLOAT,  /* size says float or double */
    TUG_SLOT_TEXT,   /* const char *, borrowed, ends with 0 */
    TUG_SLOT_BYTES,  /* struct tug_bytes, borrowed */
    TUG_SLOT_COPY,   /* char array of size bytes, ended with 0: TUG_ELIMIT if it does not fit */
    TUG_SLOT_DUP,    /* char *, from malloc, ended with 0, yours */
    TUG_SLOT_BUFFER, /* tug_buffer *, yours */
    TUG_SLOT_TIMESTAMP
};

/* One place for a value from a server. */
typedef struct tug_slot {
    int type;
    void *to;
    size_t size;
    bool *is_null; /* NULL: a NULL from the server is TUG_ENULL */
} tug_slot;

typedef struct tug_out {
    const tug_slot *slots;
    size_t n;
} tug_out;

/* The longest C string that is taken for a value: strnlen stops here. Longer data is given as bytes. */
#define TUG_TEXT_MAX ((size_t)1 << 30)

TUG_EXPORT size_t tug__text_size(const char *text);

static inline tug_value tug_null(void)
{
    tug_value v;
    v.type = TUG_VALUE_NULL;
    v.u.i = 0;
    return v;
}
static inline tug_value tug_int64(int64_t x)
{
    tug_value v;
    v.type = TUG_VALUE_INT;
    v.u.i = x;
    return v;
}
static inline tug_value tug_uint64(uint64_t x)
{
    tug_value v;
    v.type = TUG_VALUE_UINT;
    v.u.u = x;
    return v;
}
static inline tug_value tug_bool(bool x)
{
    tug_value v;
    v.type = TUG_VALUE_BOOL;
    v.u.b = x;
    return v;
}
static inline tug_value tug_double(double x)
{
    tug_value v;
    v.type = TUG_VALUE_DOUBLE;
    v.u.d = x;
    return v;
}
/* A C string. NULL is SQL NULL; Redis refuses it (TUG_EINVAL). */
static inline tug_value tug_text(const char *x)
{
    tug_value v;
    v.type = x != NULL ? TUG_VALUE_TEXT : TUG_VALUE_NULL;
    v.u.bytes.data = x;
    v.u.bytes.size = x != NULL ? tug__text_size(x) : 0;
    return v;
}
/* Text of a known size, which need not end with 0. */
static inline tug_value tug_text_n(const char *x, size_t size)
{
    tug_value v;
    v.type = TUG_VALUE_TEXT;
    v.u.bytes.data = x;
    v.u.bytes.size = size;
    return v;
}
static inline tug_value tug_blob(struct tug_bytes x)
{
    tug_value v;
    v.type = TUG_VALUE_BYTES;
    v.u.bytes = x;
    return v;
}
static inline tug_value tug_timestamp_value(struct tug_timestamp x)
{
    tug_value v;
    v.type = TUG_VALUE_TIMESTAMP;
    v.u.i = x.us;
    return v;
}
static inline tug_value tug__value_self(tug_value x)
{
    return x;
}

static inline tug_slot tug__slot(int type, void *to, size_t size)
{
    tug_slot s;
    s.type = type;
    s.to = to;
    s.size = size;
    s.is_null = NULL;
    return s;
}
#define TUG__SLOT_FN(name, ctype, kind)                                                            \
    static inline tug_slot tug_slot_##name(ctype *p)                                               \
    {                                                                                              \
        return tug__slot(kind, (void *)p, sizeof *p);                                              \
    }
TUG__SLOT_FN(bool, bool, TUG_SLOT_BOOL)
TUG__SLOT_FN(schar, signed char, TUG_SLOT_INT)
TUG__SLOT_FN(short, short, TUG_SLOT_INT)
TUG__SLOT_FN(int, int, TUG_SLOT_INT)
TUG__SLOT_FN(long, long, TUG_SLOT_INT)
TUG__SLOT_FN(llong, long long, TUG_SLOT_INT)
TUG__SLOT_FN(uchar, unsigned char, TUG_SLOT_UINT)
TUG__SLOT_FN(ushort, unsigned short, TUG_SLOT_UINT)
TUG__SLOT_FN(uint, unsigned, TUG_SLOT_UINT)
TUG__SLOT_FN(ulong, unsigned long, TUG_SLOT_UINT)
TUG__SLOT_FN(ullong, unsigned long long, TUG_SLOT_UINT)
TUG__SLOT_FN(float, float, TUG_SLOT_FLOAT)
TUG__SLOT_FN(double, double, TUG_SLOT_FLOAT)
TUG__SLOT_FN(text, const char *, TUG_SLOT_TEXT)
TUG__SLOT_FN(bytes, struct tug_bytes, TUG_SLOT_BYTES)
TUG__SLOT_FN(dup, char *, TUG_SLOT_DUP)
TUG__SLOT_FN(buffer, tug_buffer *, TUG_SLOT_BUFFER)
TUG__SLOT_FN(timestamp, struct tug_timestamp, TUG_SLOT_TIMESTAMP)
#undef TUG__SLOT_FN
static inline tug_slot tug_slot_copy(void *p, size_t size)
{
    return tug__slot(TUG_SLOT_COPY, p, size);
}
static inline tug_slot tug_slot_nullable(tug_slot s, bool *is_null)
{
    s.is_null = is_null;
    return s;
}
static inline tug_slot tug__slot_self(tug_slot s)
{
    return s;
}

#ifdef __cplusplus
}
#endif

/* TUG_NO_ARGS: no arguments. TUG_ARGS(a, b, ...): up to 32 of any basic type, struct tug_bytes,
 * struct tug_timestamp, tug_value; as a call argument only. TUG_OUT(&a, &b, ...): up to 32 places. */
/* clang-format off */
#if defined(__cplusplus)
namespace tug {
inline tug_value value(bool x) { return tug_bool(x); }
inline tug_value value(char x) { return tug_int64(x); }
inline tug_value value(signed char x) { return tug_int64(x); }
inline tug_value value(unsigned char x) { return tug_int64(x); }
inline tug_value value(short x) { return tug_int64(x); }
inline tug_value value(unsigned short x) { return tug_int64(x); }
inline tug_value value(int x) { return tug_int64(x); }
inline tug_value value(unsigned x) { return tug_int64(x); }
inline tug_value value(long x) { return tug_int64(x); }
inline tug_value value(unsigned long x) { return tug_uint64(x); }
inline tug_value value(long long x) { return tug_int64(x); }
inline tug_value value(unsigned long long x) { return tug_uint64(x); }
inline tug_value value(float x) { return tug_double(static_cast<double>(x)); }
inline tug_value value(double x) { return tug_double(x); }
inline tug_value value(const char *x) { return tug_text(x); }
inline tug_value value(struct tug_bytes x) { return tug_blob(x); }
inline tug_value value(struct tug_timestamp x) { return tug_timestamp_value(x); }
inline tug_value value(const tug_value &x) { return x; }
inline tug_slot slot(bool *p) { return tug_slot_bool(p); }
inline tug_slot slot(signed char *p) { return tug_slot_schar(p); }
inline tug_slot slot(short *p) { return tug_slot_short(p); }
inline tug_slot slot(int *p) { return tug_slot_int(p); }
inline tug_slot slot(long *p) { return tug_slot_long(p); }
inline tug_slot slot(long long *p) { return tug_slot_llong(p); }
inline tug_slot slot(unsigned char *p) { return tug_slot_uchar(p); }
inline tug_slot slot(unsigned short *p) { return tug_slot_ushort(p); }
inline tug_slot slot(unsigned *p) { return tug_slot_uint(p); }
inline tug_slot slot(unsigned long *p) { return tug_slot_ulong(p); }
inline tug_slot slot(unsigned long long *p) { return tug_slot_ullong(p); }
inline tug_slot slot(float *p) { return tug_slot_float(p); }
inline tug_slot slot(double *p) { return tug_slot_double(p); }
inline tug_slot slot(const char **p) { return tug_slot_text(p); }
inline tug_slot slot(struct tug_bytes *p) { return tug_slot_bytes(p); }
inline tug_slot slot(struct tug_timestamp *p) { return tug_slot_timestamp(p); }
inline tug_slot slot(tug_buffer **p) { return tug_slot_buffer(p); }
inline tug_slot slot(const tug_slot &s) { return s; }
template <size_t N> struct args_held {
    tug_value a[N];
    operator tug_args() const { return tug_args{a, N}; }
};
template <size_t N> struct out_held {
    tug_slot a[N];
    operator tug_out() const { return tug_out{a, N}; }
};
template <class... A> args_held<sizeof...(A)> args(const A &...a) { return {{value(a)...}}; }
template <class... A> out_held<sizeof...(A)> out(const A &...a) { return {{slot(a)...}}; }
} // namespace tug
#define TUG_VALUE(x) (::tug::value(x))
#define TUG_SLOT(p) (::tug::slot(p))
#define TUG_ARGS(...) (::tug::args(__VA_ARGS__))
#define TUG_OUT(...) (::tug::out(__VA_ARGS__))
#define TUG_NO_ARGS (::tug_args{NULL, 0})
#define TUG_NULLABLE(p, is_null) tug_slot_nullable(::tug::slot(p), is_null)
#else
/* clang-format on */
#define TUG_NO_ARGS ((tug_args){NULL, 0})
#if defined(__STDC_VERSION__) && __STDC_VERSION__ >= 201112L
/* clang-format off */
#define TUG_VALUE(x) _Generic((x), bool: tug_bool, char: tug_int64, signed char: tug_int64, \
    unsigned char: tug_int64, short: tug_int64, unsigned short: tug_int64, int: tug_int64, \
    unsigned: tug_int64, long: tug_int64, long long: tug_int64, unsigned long: tug_uint64, \
    unsigned long long: tug_uint64, float: tug_double, double: tug_double, char *: tug_text, \
    const char *: tug_text, struct tug_bytes: tug_blob, struct tug_timestamp: tug_timestamp_value, \
    tug_value: tug__value_self)(x)
#define TUG_SLOT(p) _Generic((p), bool *: tug_slot_bool, signed char *: tug_slot_schar, \
    short *: tug_slot_short, int *: tug_slot_int, long *: tug_slot_long, \
    long long *: tug_slot_llong, unsigned char *: tug_slot_uchar, \
    unsigned short *: tug_slot_ushort, unsigned *: tug_slot_uint, unsigned long *: tug_slot_ulong, \
    unsigned long long *: tug_slot_ullong, float *: tug_slot_float, double *: tug_slot_double, \
    const char **: tug_slot_text, struct tug_bytes *: tug_slot_bytes, \
    struct tug_timestamp *: tug_slot_timestamp, tug_buffer **: tug_slot_buffer, \
    tug_slot: tug__slot_self)(p)
#define TUG__N_(a1, a2, a3, a4, a5, a6, a7, a8, a9, a10, a11, a12, a13, a14, a15, a16, a17, a18, a19, a20, a21, a22, a23, a24, a25, a26, a27, a28, a29, a30, a31, a32, n, ...) n
#define TUG__N(...) TUG__N_(__VA_ARGS__, 32, 31, 30, 29, 28, 27, 26, 25, 24, 23, 22, 21, 20, 19, 18, 17, 16, 15, 14, 13, 12, 11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1, 0)
#define TUG__M1(f, a) f(a)
#define TUG__M2(f, a, ...) f(a), TUG__M1(f, __VA_ARGS__)
#define TUG__M3(f, a, ...) f(a), TUG__M2(f, __VA_ARGS__)
#define TUG__M4(f, a, ...) f(a), TUG__M3(f, __VA_ARGS__)
#define TUG__M5(f, a, ...) f(a), TUG__M4(f, __VA_ARGS__)
#define TUG__M6(f, a, ...) f(a), TUG__M5(f, __VA_ARGS__)
#define TUG__M7(f, a, ...) f(a), TUG__M6(f, __VA_ARGS__)
#define TUG__M8(f, a, ...) f(a), TUG__M7(f, __VA_ARGS__)
#define TUG__M9(f, a, ...) f(a), TUG__M8(f, __VA_ARGS__)
#define TUG__M10(f, a, ...) f(a), TUG__M9(f, __VA_ARGS__)
#define TUG__M11(f, a, ...) f(a), TUG__M10(f, __VA_ARGS__)
#define TUG__M12(f, a, ...) f(a), TUG__M11(f, __VA_ARGS__)
#define TUG__M13(f, a, ...) f(a), TUG__M12(f, __VA_ARGS__)
#define TUG__M14(f, a, ...) f(a), TUG__M13(f, __VA_ARGS__)
#define TUG__M15(f, a, ...) f(a), TUG__M14(f, __VA_ARGS__)
#define TUG__M16(f, a, ...) f(a), TUG__M15(f, __VA_ARGS__)
#define TUG__M17(f, a, ...) f(a), TUG__M16(f, __VA_ARGS__)
#define TUG__M18(f, a, ...) f(a), TUG__M17(f, __VA_ARGS__)
#define TUG__M19(f, a, ...) f(a), TUG__M18(f, __VA_ARGS__)
#define TUG__M20(f, a, ...) f(a), TUG__M19(f, __VA_ARGS__)
#define TUG__M21(f, a, ...) f(a), TUG__M20(f, __VA_ARGS__)
#define TUG__M22(f, a, ...) f(a), TUG__M21(f, __VA_ARGS__)
#define TUG__M23(f, a, ...) f(a), TUG__M22(f, __VA_ARGS__)
#define TUG__M24(f, a, ...) f(a), TUG__M23(f, __VA_ARGS__)
#define TUG__M25(f, a, ...) f(a), TUG__M24(f, __VA_ARGS__)
#define TUG__M26(f, a, ...) f(a), TUG__M25(f, __VA_ARGS__)
#define TUG__M27(f, a, ...) f(a), TUG__M26(f, __VA_ARGS__)
#define TUG__M28(f, a, ...) f(a), TUG__M27(f, __VA_ARGS__)
#define TUG__M29(f, a, ...) f(a), TUG__M28(f, __VA_ARGS__)
#define TUG__M30(f, a, ...) f(a), TUG__M29(f, __VA_ARGS__)
#define TUG__M31(f, a, ...) f(a), TUG__M30(f, __VA_ARGS__)
#define TUG__M32(f, a, ...) f(a), TUG__M31(f, __VA_ARGS__)
#define TUG__CAT_(a, b) a##b
#define TUG__CAT(a, b) TUG__CAT_(a, b)
#define TUG__MAP(f, ...) TUG__CAT(TUG__M, TUG__N(__VA_ARGS__))(f, __VA_ARGS__)
#define TUG_ARGS(...) ((tug_args){(const tug_value[]){TUG__MAP(TUG_VALUE, __VA_ARGS__)}, TUG__N(__VA_ARGS__)})
#define TUG_OUT(...) ((tug_out){(const tug_slot[]){TUG__MAP(TUG_SLOT, __VA_ARGS__)}, TUG__N(__VA_ARGS__)})
/* clang-format on */
#define TUG_NULLABLE(p, is_null) tug_slot_nullable(TUG_SLOT(p), is_null)
#endif
#endif
/* TUG_COPY(array): a char array, ended with 0. TUG_DUP(&p): a char * of your own, from malloc. */
#define TUG_COPY(array) tug_slot_copy((array), sizeof(array))
#define TUG_DUP(p) tug_slot_dup(p)

#endif
