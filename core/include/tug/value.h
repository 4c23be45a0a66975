/* What:      values in (TUG_ARGS) and values out (TUG_OUT), the same for SQL and for Redis.
 * Ownership: arguments are borrowed for the call only (copied or encoded before it returns). What an
 *            output gets is a copy, except const char * and struct tug_bytes: borrowed from the result.
 * Context:   any thread.
 * Callbacks: none.
 * Errors:    decided by the call that takes them: TUG_ETYPE, TUG_ERANGE, TUG_ENULL, TUG_ELIMIT. */
#ifndef TUG_VALUE_H
#define TUG_VALUE_H

#include <tug/types.h>

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
    TUG_VALUE_TIMESTAMP,   /* u.i: microseconds since 1970-01-01 UTC */
    TUG_VALUE_DATE,        /* u.i: days since 1970-01-01 */
    TUG_VALUE_TIME_OF_DAY, /* u.i: microseconds since midnight */
    TUG_VALUE_TIME_TZ,
    TUG_VALUE_INTERVAL,
    TUG_VALUE_DECIMAL,
    TUG_VALUE_UUID,
    TUG_VALUE_INET, /* u.uuid: the address; more: family << 8 | bits */
    TUG_VALUE_MACADDR,
    TUG_VALUE_ARRAY,
    TUG_VALUE_ANY /* only as the type of a tug_array's elements: they are tug_values */
};

/* One value on its way to a server. Make it with the constructors below. */
typedef struct tug_value {
    int type;
    int more; /* what an address has beyond 16 bytes; else 0 */
    union {
        int64_t i;
        uint64_t u;
        double d;
        bool b;
        struct tug_bytes bytes;
        struct tug_time_tz time_tz;
        struct tug_interval interval;
        struct tug_decimal decimal;
        struct tug_uuid uuid;
        struct tug_macaddr macaddr;
        const struct tug_array *array;
    } u;
} tug_value;

/* The arguments of one call. TUG_ARGS makes it; longer lists are made by hand. */
typedef struct tug_args {
    const tug_value *values;
    size_t n;
} tug_args;

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
    TUG_SLOT_TIMESTAMP,
    TUG_SLOT_DATE, /* from here on: the struct of that name */
    TUG_SLOT_TIME_OF_DAY,
    TUG_SLOT_TIME_TZ,
    TUG_SLOT_INTERVAL,
    TUG_SLOT_DECIMAL,
    TUG_SLOT_UUID,
    TUG_SLOT_INET,
    TUG_SLOT_MACADDR
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

static inline tug_value tug__value(int type)
{
    tug_value v;
    v.type = type;
    v.more = 0;
    v.u.i = 0;
    return v;
}
static inline tug_value tug_null(void)
{
    return tug__value(TUG_VALUE_NULL);
}
#define TUG__VALUE_FN(name, ctype, kind, member, x_member)                                         \
    static inline tug_value name(ctype x)                                                          \
    {                                                                                              \
        tug_value v;                                                                               \
        v.type = kind;                                                                             \
        v.more = 0;                                                                                \
        v.u.member = x_member;                                                                     \
        return v;                                                                                  \
    }
TUG__VALUE_FN(tug_int64, int64_t, TUG_VALUE_INT, i, x)
TUG__VALUE_FN(tug_uint64, uint64_t, TUG_VALUE_UINT, u, x)
TUG__VALUE_FN(tug_bool, bool, TUG_VALUE_BOOL, b, x)
TUG__VALUE_FN(tug_double, double, TUG_VALUE_DOUBLE, d, x)
TUG__VALUE_FN(tug_blob, struct tug_bytes, TUG_VALUE_BYTES, bytes, x)
TUG__VALUE_FN(tug_timestamp_value, struct tug_timestamp, TUG_VALUE_TIMESTAMP, i, x.us)
TUG__VALUE_FN(tug_date_value, struct tug_date, TUG_VALUE_DATE, i, x.days)
TUG__VALUE_FN(tug_time_of_day_value, struct tug_time_of_day, TUG_VALUE_TIME_OF_DAY, i, x.us)
TUG__VALUE_FN(tug_time_tz_value, struct tug_time_tz, TUG_VALUE_TIME_TZ, time_tz, x)
TUG__VALUE_FN(tug_interval_value, struct tug_interval, TUG_VALUE_INTERVAL, interval, x)
TUG__VALUE_FN(tug_decimal_value, struct tug_decimal, TUG_VALUE_DECIMAL, decimal, x)
TUG__VALUE_FN(tug_uuid_value, struct tug_uuid, TUG_VALUE_UUID, uuid, x)
TUG__VALUE_FN(tug_macaddr_value, struct tug_macaddr, TUG_VALUE_MACADDR, macaddr, x)
#undef TUG__VALUE_FN
static inline tug_value tug_inet_value(struct tug_inet x)
{
    tug_value v = tug__value(TUG_VALUE_INET);
    v.more = x.family << 8 | x.bits;
    for (int i = 0; i < 16; i++) {
        v.u.uuid.bytes[i] = x.address[i];
    }
    return v;
}
/* Text of a known size, which need not end with 0. */
static inline tug_value tug_text_n(const char *x, size_t size)
{
    tug_value v = tug__value(TUG_VALUE_TEXT);
    v.u.bytes.data = x;
    v.u.bytes.size = size;
    return v;
}
/* A C string. NULL is SQL NULL; Redis refuses it (TUG_EINVAL). */
static inline tug_value tug_text(const char *x)
{
    return x != NULL ? tug_text_n(x, tug__text_size(x)) : tug_null();
}
/* Borrows *x until the call that takes the value returns. NULL is SQL NULL. */
static inline tug_value tug_array_value(const struct tug_array *x)
{
    tug_value v = tug__value(x != NULL ? TUG_VALUE_ARRAY : TUG_VALUE_NULL);
    v.u.array = x;
    return v;
}
static inline struct tug_array tug__array(int type, size_t size, const void *data, size_t n,
                                          const bool *is_null)
{
    struct tug_array a;
    a.type = type;
    a.size = size;
    a.data = data;
    a.n = n;
    a.is_null = is_null;
    a.dimensions = 0;
    a.sizes = NULL;
    a.lower = NULL;
    return a;
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
TUG__SLOT_FN(date, struct tug_date, TUG_SLOT_DATE)
TUG__SLOT_FN(time_of_day, struct tug_time_of_day, TUG_SLOT_TIME_OF_DAY)
TUG__SLOT_FN(time_tz, struct tug_time_tz, TUG_SLOT_TIME_TZ)
TUG__SLOT_FN(interval, struct tug_interval, TUG_SLOT_INTERVAL)
TUG__SLOT_FN(decimal, struct tug_decimal, TUG_SLOT_DECIMAL)
TUG__SLOT_FN(uuid, struct tug_uuid, TUG_SLOT_UUID)
TUG__SLOT_FN(inet, struct tug_inet, TUG_SLOT_INET)
TUG__SLOT_FN(macaddr, struct tug_macaddr, TUG_SLOT_MACADDR)
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

/* Whether char has a sign is the machine's choice. */
#define TUG__VALUE_CHAR ((int)(char)-1 < 0 ? TUG_VALUE_INT : TUG_VALUE_UINT)

/* TUG_NO_ARGS: no arguments. TUG_ARGS(a, b, ...): up to 32 of any basic type, struct tug_bytes, the
 * structs of <tug/types.h>, tug_value; as a call argument only. TUG_OUT(&a, &b, ...): up to 32
 * places.
 * TUG_ARRAY(p, n): n elements at p as one argument, of any of these types; TUG_ARRAY_NULLS(p, n,
 * is_null) with a flag for each. In C they live to the end of the block, in C++ to that of the
 * statement. */
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
inline tug_value value(struct tug_date x) { return tug_date_value(x); }
inline tug_value value(struct tug_time_of_day x) { return tug_time_of_day_value(x); }
inline tug_value value(struct tug_time_tz x) { return tug_time_tz_value(x); }
inline tug_value value(struct tug_interval x) { return tug_interval_value(x); }
inline tug_value value(struct tug_decimal x) { return tug_decimal_value(x); }
inline tug_value value(struct tug_uuid x) { return tug_uuid_value(x); }
inline tug_value value(struct tug_inet x) { return tug_inet_value(x); }
inline tug_value value(struct tug_macaddr x) { return tug_macaddr_value(x); }
inline tug_value value(const struct tug_array *x) { return tug_array_value(x); }
inline tug_value value(const struct tug_array &x) { return tug_array_value(&x); }
inline tug_value value(const tug_value &x) { return x; }
template <class T> int element(const T &x) { return value(x).type; }
inline int element(tug_value) { return TUG_VALUE_ANY; }
inline int element(const char *) { return TUG_VALUE_TEXT; }
inline int element(char *) { return TUG_VALUE_TEXT; }
inline int element(char) { return TUG__VALUE_CHAR; }
inline int element(unsigned char) { return TUG_VALUE_UINT; }
inline int element(unsigned short) { return TUG_VALUE_UINT; }
inline int element(unsigned) { return TUG_VALUE_UINT; }
template <class T> struct tug_array array(const T *p, size_t n, const bool *is_null = NULL) {
    return tug__array(element(T()), sizeof(T), p, n, is_null);
}
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
inline tug_slot slot(struct tug_date *p) { return tug_slot_date(p); }
inline tug_slot slot(struct tug_time_of_day *p) { return tug_slot_time_of_day(p); }
inline tug_slot slot(struct tug_time_tz *p) { return tug_slot_time_tz(p); }
inline tug_slot slot(struct tug_interval *p) { return tug_slot_interval(p); }
inline tug_slot slot(struct tug_decimal *p) { return tug_slot_decimal(p); }
inline tug_slot slot(struct tug_uuid *p) { return tug_slot_uuid(p); }
inline tug_slot slot(struct tug_inet *p) { return tug_slot_inet(p); }
inline tug_slot slot(struct tug_macaddr *p) { return tug_slot_macaddr(p); }
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
#define TUG_ARRAY(p, n) (::tug::array((p), (n)))
#define TUG_ARRAY_NULLS(p, n, is_null) (::tug::array((p), (n), (is_null)))
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
    struct tug_date: tug_date_value, \
    struct tug_time_of_day: tug_time_of_day_value, \
    struct tug_time_tz: tug_time_tz_value, \
    struct tug_interval: tug_interval_value, \
    struct tug_decimal: tug_decimal_value, \
    struct tug_uuid: tug_uuid_value, \
    struct tug_inet: tug_inet_value, \
    struct tug_macaddr: tug_macaddr_value, \
    struct tug_array *: tug_array_value, const struct tug_array *: tug_array_value, \
    tug_value: tug__value_self)(x)
#define TUG_SLOT(p) _Generic((p), bool *: tug_slot_bool, signed char *: tug_slot_schar, \
    short *: tug_slot_short, int *: tug_slot_int, long *: tug_slot_long, \
    long long *: tug_slot_llong, unsigned char *: tug_slot_uchar, \
    unsigned short *: tug_slot_ushort, unsigned *: tug_slot_uint, unsigned long *: tug_slot_ulong, \
    unsigned long long *: tug_slot_ullong, float *: tug_slot_float, double *: tug_slot_double, \
    const char **: tug_slot_text, struct tug_bytes *: tug_slot_bytes, \
    struct tug_timestamp *: tug_slot_timestamp, \
    struct tug_date *: tug_slot_date, \
    struct tug_time_of_day *: tug_slot_time_of_day, \
    struct tug_time_tz *: tug_slot_time_tz, \
    struct tug_interval *: tug_slot_interval, \
    struct tug_decimal *: tug_slot_decimal, \
    struct tug_uuid *: tug_slot_uuid, \
    struct tug_inet *: tug_slot_inet, \
    struct tug_macaddr *: tug_slot_macaddr, \
    tug_buffer **: tug_slot_buffer, \
    tug_slot: tug__slot_self)(p)
#define TUG__ELEMENT(x) _Generic((x), bool: TUG_VALUE_BOOL, char: TUG__VALUE_CHAR, \
    signed char: TUG_VALUE_INT, short: TUG_VALUE_INT, int: TUG_VALUE_INT, long: TUG_VALUE_INT, \
    long long: TUG_VALUE_INT, unsigned char: TUG_VALUE_UINT, unsigned short: TUG_VALUE_UINT, \
    unsigned: TUG_VALUE_UINT, unsigned long: TUG_VALUE_UINT, unsigned long long: TUG_VALUE_UINT, \
    float: TUG_VALUE_DOUBLE, double: TUG_VALUE_DOUBLE, char *: TUG_VALUE_TEXT, \
    const char *: TUG_VALUE_TEXT, struct tug_bytes: TUG_VALUE_BYTES, \
    struct tug_timestamp: TUG_VALUE_TIMESTAMP, struct tug_date: TUG_VALUE_DATE, \
    struct tug_time_of_day: TUG_VALUE_TIME_OF_DAY, struct tug_time_tz: TUG_VALUE_TIME_TZ, \
    struct tug_interval: TUG_VALUE_INTERVAL, struct tug_decimal: TUG_VALUE_DECIMAL, \
    struct tug_uuid: TUG_VALUE_UUID, struct tug_inet: TUG_VALUE_INET, \
    struct tug_macaddr: TUG_VALUE_MACADDR, tug_value: TUG_VALUE_ANY)
#define TUG_ARRAY_NULLS(p, n, is_null) ((const struct tug_array *)&(const struct tug_array){ \
    TUG__ELEMENT(*(p)), sizeof *(p), (p), (n), (is_null), 0, NULL, NULL})
#define TUG_ARRAY(p, n) TUG_ARRAY_NULLS(p, n, NULL)
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
