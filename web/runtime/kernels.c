// Kernels in WebAssembly SIMD. build.mjs compiles them; kernels_plain.js has the same functions in JavaScript.
//
// Weights come in panels of four outputs: weights[panel][k][4], where a panel that is not full has zeros. Pointers are bytes in
// the memory; images are N×C×H×W and are already padded. Every product ends in clamp(sum + bias, low, high).

#include <wasm_simd128.h>

typedef float *restrict Out;
typedef const float *In;
typedef v128_t V;

#define KERNEL(name) __attribute__((export_name(#name))) void name
#define LOAD(p) wasm_v128_load(p)
#define STORE(p, v) wasm_v128_store(p, v)
#define SPLAT(p) wasm_v128_load32_splat(p)
#define UNROLLED _Pragma("clang loop unroll(full)")
#define MAC(sum, a, b) sum = wasm_f32x4_add(sum, wasm_f32x4_mul(a, b))
#define CLAMP(v) wasm_f32x4_pmin(wasm_f32x4_pmax(v, low4), high4) // keeps NaN

// sum[8], of four pixels or rows and then of the same with four more outputs: an input of each, times the weights u and v.
#define ADD_FOUR(p0, p1, p2, p3, u, v)                                             \
  do {                                                                             \
    V one = SPLAT(p0);                                                             \
    MAC(sum[0], one, u), MAC(sum[4], one, v);                                      \
    one = SPLAT(p1);                                                               \
    MAC(sum[1], one, u), MAC(sum[5], one, v);                                      \
    one = SPLAT(p2);                                                               \
    MAC(sum[2], one, u), MAC(sum[6], one, v);                                      \
    one = SPLAT(p3);                                                               \
    MAC(sum[3], one, u), MAC(sum[7], one, v);                                      \
  } while (0)

static inline float clamped(float v, float low, float high) {
  v = v < low ? low : v;
  return high < v ? high : v;
}

// Four vectors of four outputs each, one for each pixel, as four vectors of four pixels each.
static __attribute__((always_inline)) void transpose(V *v) {
  V a = wasm_i32x4_shuffle(v[0], v[1], 0, 4, 1, 5), b = wasm_i32x4_shuffle(v[2], v[3], 0, 4, 1, 5);
  V c = wasm_i32x4_shuffle(v[0], v[1], 2, 6, 3, 7), d = wasm_i32x4_shuffle(v[2], v[3], 2, 6, 3, 7);
  v[0] = wasm_i64x2_shuffle(a, b, 0, 2);
  v[1] = wasm_i64x2_shuffle(a, b, 1, 3);
  v[2] = wasm_i64x2_shuffle(c, d, 0, 2);
  v[3] = wasm_i64x2_shuffle(c, d, 1, 3);
}

// Rows of eight pixels or more, stride 1, TAPS taps in a row: eight pixels of four outputs at once, each input loaded once.
#define ROWS(name, TAPS)                                                                                               \
  static void name(In x, In w, In bias, Out y, int channels, int height, int width, int outputs, int rows, int columns, \
                   int taps, int dilation, float low, float high) {                                                    \
    const V low4 = wasm_f32x4_splat(low), high4 = wasm_f32x4_splat(high);                                              \
    const int panel = channels * taps * TAPS * 4, area = rows * columns;                                               \
    for (int o = 0; o < outputs; o += 4, w += panel) {                                                                 \
      const V start = LOAD(bias + o);                                                                                  \
      const int whole = outputs - o < 4 ? outputs - o : 4;                                                             \
      for (int r = 0; r < rows; r++) {                                                                                 \
        for (int c = 0; c < columns; c += 8) {                                                                         \
          if (c > columns - 8) c = columns - 8;                                                                        \
          V sum[8] = {start, start, start, start, start, start, start, start};                                        \
          In at = w;                                                                                                   \
          for (int i = 0; i < channels; i++) {                                                                         \
            In row = x + (i * height + r) * width + c;                                                                 \
            for (int t = 0; t < taps; t++, row += dilation * width, at += 4 * TAPS) {                                  \
              V tap[TAPS];                                                                                             \
              UNROLLED for (int k = 0; k < TAPS; k++) tap[k] = LOAD(at + 4 * k);                                                \
              UNROLLED for (int j = 0; j < 7 + TAPS; j++) {                                  \
                const V pixel = SPLAT(row + j);                                                                        \
                UNROLLED for (int k = 0; k < TAPS; k++)                                      \
                  if (j - k >= 0 && j - k < 8) MAC(sum[j - k], pixel, tap[k]);                                         \
              }                                                                                                        \
            }                                                                                                          \
          }                                                                                                            \
          UNROLLED for (int h = 0; h < 8; h += 4) {                                                                             \
            transpose(sum + h);                                                                                        \
            for (int k = 0; k < whole; k++) STORE(y + (o + k) * area + r * columns + c + h, CLAMP(sum[h + k]));        \
          }                                                                                                            \
        }                                                                                                              \
      }                                                                                                                \
    }                                                                                                                  \
  }
ROWS(rows3, 3)
ROWS(rows5, 5)

// Any convolution: four pixels of eight outputs at once.
static void pixels(In x, In w, In bias, Out y, int channels, int height, int width, int outputs, int rows, int columns,
                   int tall, int wide, int down, int across, int dilated_down, int dilated_across, float low, float high) {
  const V low4 = wasm_f32x4_splat(low), high4 = wasm_f32x4_splat(high);
  const int panel = channels * tall * wide * 4, area = rows * columns;
  for (int o = 0; o < outputs; o += 8) {
    const int two = outputs - o > 4, whole = outputs - o < 8 ? outputs - o : 8;
    In w0 = w + o / 4 * panel, w1 = two ? w0 + panel : w0;
    const V start0 = LOAD(bias + o), start1 = two ? LOAD(bias + o + 4) : start0;
    for (int q = 0; q < area; q += 4) {
      if (q > area - 4 && area >= 4) q = area - 4;
      int place[4];
      UNROLLED for (int i = 0; i < 4; i++) {
        const int p = q + i < area ? q + i : area - 1;
        place[i] = p / columns * down * width + p % columns * across;
      }
      In p0 = x + place[0], p1 = x + place[1], p2 = x + place[2], p3 = x + place[3];
      V sum[8] = {start0, start0, start0, start0, start1, start1, start1, start1};
      In at0 = w0, at1 = w1;
      for (int i = 0; i < channels; i++) {
        for (int t = 0; t < tall; t++) {
          int offset = (i * height + t * dilated_down) * width;
          for (int k = 0; k < wide; k++, offset += dilated_across, at0 += 4, at1 += 4) {
            const V a = LOAD(at0), b = LOAD(at1);
            ADD_FOUR(p0 + offset, p1 + offset, p2 + offset, p3 + offset, a, b);
          }
        }
      }
      transpose(sum), transpose(sum + 4);
      for (int k = 0; k < whole; k++) {
        const V v = CLAMP(sum[k]);
        float *to = y + (o + k) * area + q;
        if (area >= 4) {
          STORE(to, v);
        } else {
          float four[4];
          STORE(four, v);
          for (int i = 0; i < area; i++) to[i] = four[i];
        }
      }
    }
  }
}

static __attribute__((always_inline)) void put(float *y, V v, int left) {
  if (left >= 4) {
    STORE(y, v);
    return;
  }
  float four[4];
  STORE(four, v);
  for (int i = 0; i < left; i++) y[i] = four[i];
}

// One tap, stride 1: eight pixels, which lie side by side, of four outputs at once.
static void points(In x, In w, In bias, Out y, int channels, int plane, int outputs, int area, float low, float high) {
  const V low4 = wasm_f32x4_splat(low), high4 = wasm_f32x4_splat(high);
  for (int o = 0; o < outputs; o += 4, w += 4 * channels) {
    const int whole = outputs - o < 4 ? outputs - o : 4;
    for (int q = 0; q < area; q += 8) {
      if (q > area - 8) q = area - 8;
      V sum[8];
      UNROLLED for (int k = 0; k < 4; k++) sum[k] = sum[k + 4] = SPLAT(bias + o + k);
      In from = x + q, at = w;
      for (int i = 0; i < channels; i++, from += plane, at += 4) {
        const V u = LOAD(from), v = LOAD(from + 4);
        UNROLLED for (int k = 0; k < 4; k++) {
          const V weight = SPLAT(at + k);
          MAC(sum[k], u, weight), MAC(sum[k + 4], v, weight);
        }
      }
      for (int k = 0; k < whole; k++) {
        float *to = y + (o + k) * area + q;
        STORE(to, CLAMP(sum[k])), STORE(to + 4, CLAMP(sum[k + 4]));
      }
    }
  }
}

KERNEL(conv)(In x, In w, In bias, Out y, int channels, int height, int width, int outputs, int rows, int columns, int tall,
             int wide, int down, int across, int dilated_down, int dilated_across, float low, float high) {
  if (tall == 1 && wide == 1 && rows == 1 && down == 1 && across == 1 && columns >= 8) {
    points(x, w, bias, y, channels, height * width, outputs, columns, low, high);
  } else if (down == 1 && across == 1 && dilated_across == 1 && columns >= 8 && (wide == 3 || wide == 5)) {
    (wide == 3 ? rows3 : rows5)(x, w, bias, y, channels, height, width, outputs, rows, columns, tall, dilated_down, low, high);
  } else {
    pixels(x, w, bias, y, channels, height, width, outputs, rows, columns, tall, wide, down, across, dilated_down, dilated_across,
           low, high);
  }
}

// A filter for each plane: weights[plane][tall][wide].
KERNEL(depthwise)(In x, In w, In bias, Out y, int planes, int height, int width, int rows, int columns, int tall, int wide,
                  int down, int across, int dilated_down, int dilated_across, float low, float high) {
  const V low4 = wasm_f32x4_splat(low), high4 = wasm_f32x4_splat(high);
  for (int p = 0; p < planes; p++, x += height * width, w += tall * wide) {
    for (int r = 0; r < rows; r++, y += columns) {
      In row = x + r * down * width;
      int c = 0;
      if (across <= 2 && columns >= 4) {
        for (; c < columns; c += 4) {
          if (c > columns - 4) c = columns - 4;
          V sum = wasm_f32x4_splat(bias[p]);
          for (int t = 0; t < tall; t++) {
            In from = row + t * dilated_down * width + c * across;
            for (int k = 0; k < wide; k++, from += dilated_across) {
              V v = LOAD(from);
              if (across == 2) v = wasm_i32x4_shuffle(v, LOAD(from + 4), 0, 2, 4, 6);
              MAC(sum, v, SPLAT(w + t * wide + k));
            }
          }
          STORE(y + c, CLAMP(sum));
        }
      }
      for (; c < columns; c++) {
        float sum = bias[p];
        for (int t = 0; t < tall; t++)
          for (int k = 0; k < wide; k++)
            sum += row[t * dilated_down * width + c * across + k * dilated_across] * w[t * wide + k];
        y[c] = clamped(sum, low, high);
      }
    }
  }
}

// One row of a: sixteen outputs at once, which keeps the additions apart.
static void row_product(In a, In w, In bias, Out y, int inner, int n, float low, float high) {
  const V low4 = wasm_f32x4_splat(low), high4 = wasm_f32x4_splat(high);
  int o = 0;
  for (; o < n; o += 16) {
    In at[4];
    V sum[8];
    UNROLLED for (int i = 0; i < 4; i++) {
      const int from = o + 4 * i < n ? o + 4 * i : o;
      at[i] = w + from * inner;
      sum[i] = LOAD(bias + from), sum[i + 4] = wasm_f32x4_const_splat(0);
    }
    int k = 0;
    for (; k + 1 < inner; k += 2) {
      const V u = SPLAT(a + k), v = SPLAT(a + k + 1);
      UNROLLED for (int i = 0; i < 4; i++) {
        MAC(sum[i], u, LOAD(at[i] + 4 * k));
        MAC(sum[i + 4], v, LOAD(at[i] + 4 * k + 4));
      }
    }
    if (k < inner)
      UNROLLED for (int i = 0; i < 4; i++) MAC(sum[i], SPLAT(a + k), LOAD(at[i] + 4 * k));
    UNROLLED for (int i = 0; i < 4; i++) {
      const V v = wasm_f32x4_add(sum[i], sum[i + 4]);
      if (o + 4 * i < n) put(y + o + 4 * i, CLAMP(v), n - o - 4 * i);
    }
  }
}

// y[m][n] = a[m][inner] · weights + bias.
__attribute__((noinline)) KERNEL(product)(In a, In w, In bias, Out y, int m, int inner, int n, float low, float high) {
  const V low4 = wasm_f32x4_splat(low), high4 = wasm_f32x4_splat(high);
  int r = 0;
  for (; r + 3 < m; r += 4) {
    In a0 = a + r * inner, a1 = a0 + inner, a2 = a1 + inner, a3 = a2 + inner;
    for (int o = 0; o < n; o += 8) {
      const int two = n - o > 4;
      In w0 = w + o * inner, w1 = two ? w0 + 4 * inner : w0;
      const V start0 = LOAD(bias + o), start1 = two ? LOAD(bias + o + 4) : start0;
      V sum[8] = {start0, start0, start0, start0, start1, start1, start1, start1};
      for (int k = 0; k < inner; k++) {
        const V p = LOAD(w0 + 4 * k), q = LOAD(w1 + 4 * k);
        ADD_FOUR(a0 + k, a1 + k, a2 + k, a3 + k, p, q);
      }
      UNROLLED for (int i = 0; i < 4; i++) {
        put(y + (r + i) * n + o, CLAMP(sum[i]), n - o);
        if (two) put(y + (r + i) * n + o + 4, CLAMP(sum[i + 4]), n - o - 4);
      }
    }
  }
  for (; r < m; r++) row_product(a + r * inner, w, bias, y + r * n, inner, n, low, high);
}

// Panels of a matrix b[k][n] with any strides.
KERNEL(panels)(In b, Out w, int inner, int n, int step_k, int step_n) {
  for (int o = 0; o < n; o += 4)
    for (int k = 0; k < inner; k++, w += 4)
      for (int i = 0; i < 4; i++) w[i] = o + i < n ? b[k * step_k + (o + i) * step_n] : 0;
}

KERNEL(pad)(In x, Out y, int planes, int height, int width, int top, int left, int tall, int wide, float value) {
  const V fill = wasm_f32x4_splat(value);
  for (int p = 0; p < planes; p++, y += tall * wide) {
    int i = 0;
    for (; i + 3 < tall * wide; i += 4) STORE(y + i, fill);
    for (; i < tall * wide; i++) y[i] = value;
    for (int r = 0; r < height; r++, x += width) {
      float *to = y + (r + top) * wide + left;
      int c = 0;
      for (; c + 3 < width; c += 4) STORE(to + c, LOAD(x + c));
      for (; c < width; c++) to[c] = x[c];
    }
  }
}

// y = clamp(a OP b), where a step of 0 repeats the first element.
#define BINARY(name, SIMD, OP)                                                                                        \
  KERNEL(name)(In a, In b, Out y, int n, int step_a, int step_b, float low, float high) {                             \
    const V low4 = wasm_f32x4_splat(low), high4 = wasm_f32x4_splat(high);                                             \
    int i = 0;                                                                                                        \
    for (; i + 3 < n; i += 4) {                                                                                       \
      const V u = step_a ? LOAD(a + i) : SPLAT(a), v = step_b ? LOAD(b + i) : SPLAT(b);                               \
      STORE(y + i, CLAMP(SIMD(u, v)));                                                                                \
    }                                                                                                                 \
    for (; i < n; i++) y[i] = clamped(a[step_a ? i : 0] OP b[step_b ? i : 0], low, high);                             \
  }
BINARY(add, wasm_f32x4_add, +)
BINARY(sub, wasm_f32x4_sub, -)
BINARY(mul, wasm_f32x4_mul, *)
BINARY(div, wasm_f32x4_div, /)

// To the nearest number of a grid, as quantising and back does: least and most are integers, and NaN becomes the least.
KERNEL(grid)(In x, Out y, int n, float scale, float zero, float least, float most) {
  const V by = wasm_f32x4_splat(scale), zero4 = wasm_f32x4_splat(zero);
  const V low4 = wasm_f32x4_splat(least), high4 = wasm_f32x4_splat(most);
  for (int i = 0; i < n; i += 4) {
    const V v = wasm_f32x4_add(wasm_f32x4_nearest(wasm_f32x4_div(LOAD(x + i), by)), zero4);
    put(y + i, wasm_f32x4_mul(wasm_f32x4_sub(wasm_f32x4_pmin(wasm_f32x4_pmax(low4, v), high4), zero4), by), n - i);
  }
}

// The largest of two by two, with stride 2.
KERNEL(pool)(In x, Out y, int planes, int height, int width, int rows, int columns) {
  for (int p = 0; p < planes; p++, x += height * width) {
    for (int r = 0; r < rows; r++, y += columns) {
      In a = x + 2 * r * width, b = a + width;
      int c = 0;
      for (; c + 3 < columns; c += 4) {
        const V u = wasm_f32x4_max(LOAD(a + 2 * c), LOAD(b + 2 * c)), v = wasm_f32x4_max(LOAD(a + 2 * c + 4), LOAD(b + 2 * c + 4));
        STORE(y + c, wasm_f32x4_max(wasm_i32x4_shuffle(u, v, 0, 2, 4, 6), wasm_i32x4_shuffle(u, v, 1, 3, 5, 7)));
      }
      for (; c < columns; c++) {
        const float u = __builtin_wasm_max_f32(a[2 * c], a[2 * c + 1]), v = __builtin_wasm_max_f32(b[2 * c], b[2 * c + 1]);
        y[c] = __builtin_wasm_max_f32(u, v);
      }
    }
  }
}

// e to the power of x: Cephes' polynomial, for x from -87 to 88; 0 below.
static __attribute__((noinline)) V power(V x) {
  const V most = wasm_f32x4_const_splat(88.37f), least = wasm_f32x4_const_splat(-87.33f);
  const V v = wasm_f32x4_pmin(wasm_f32x4_pmax(x, least), most);
  const V n = wasm_f32x4_nearest(wasm_f32x4_mul(v, wasm_f32x4_const_splat(1.44269504f)));
  V r = wasm_f32x4_sub(v, wasm_f32x4_mul(n, wasm_f32x4_const_splat(0.693359375f)));
  r = wasm_f32x4_sub(r, wasm_f32x4_mul(n, wasm_f32x4_const_splat(-2.12194440e-4f)));
  static const float by[] = {1.3981999507e-3f, 8.3334519073e-3f, 4.1665795894e-2f, 1.6666665459e-1f, 5.0000001201e-1f};
  V sum = wasm_f32x4_const_splat(1.9875691500e-4f);
  UNROLLED for (int i = 0; i < 5; i++) sum = wasm_f32x4_add(wasm_f32x4_mul(sum, r), SPLAT(by + i));
  sum = wasm_f32x4_add(wasm_f32x4_mul(wasm_f32x4_mul(r, r), sum), wasm_f32x4_add(r, wasm_f32x4_const_splat(1)));
  const V two = wasm_i32x4_shl(wasm_i32x4_add(wasm_i32x4_trunc_sat_f32x4(n), wasm_i32x4_const_splat(127)), 23);
  return wasm_v128_andnot(wasm_f32x4_mul(sum, two), wasm_f32x4_lt(x, least));
}

static inline V sigmoid(V x) {
  const V one = wasm_f32x4_const_splat(1);
  return wasm_f32x4_div(one, wasm_f32x4_add(one, power(wasm_f32x4_neg(x))));
}

static inline V with_sign(V size, V x) {
  return wasm_v128_or(size, wasm_v128_and(x, wasm_i32x4_const_splat(1 << 31)));
}

static inline V tanh4(V x) {
  const V one = wasm_f32x4_const_splat(1), z = wasm_f32x4_abs(x);
  const V e = power(wasm_f32x4_add(z, z));
  return with_sign(wasm_f32x4_sub(one, wasm_f32x4_div(wasm_f32x4_const_splat(2), wasm_f32x4_add(e, one))), x);
}

// Numerical Recipes' Chebyshev fit, to 1.2e-7.
static inline V erf4(V x) {
  const V one = wasm_f32x4_const_splat(1), z = wasm_f32x4_abs(x);
  const V t = wasm_f32x4_div(one, wasm_f32x4_add(one, wasm_f32x4_mul(z, wasm_f32x4_const_splat(0.5f))));
  static const float by[] = {-0.82215223f, 1.48851587f, -1.13520398f, 0.27886807f, -0.18628806f,
                             0.09678418f,  0.37409196f, 1.00002368f,  -1.26551223f};
  V sum = wasm_f32x4_const_splat(0.17087277f);
  for (int i = 0; i < 9; i++) sum = wasm_f32x4_add(wasm_f32x4_mul(sum, t), SPLAT(by + i));
  const V rest = wasm_f32x4_mul(t, power(wasm_f32x4_sub(sum, wasm_f32x4_mul(z, z))));
  return with_sign(wasm_f32x4_sub(one, rest), x);
}

// y = of(x): x and y have room for a whole vector at their ends.
#define EACH(name, of)                                           \
  KERNEL(name)(In x, Out y, int n) {                             \
    for (int i = 0; i < n; i += 4) {                             \
      const V v = LOAD(x + i);                                   \
      put(y + i, of, n - i);                                     \
    }                                                            \
  }
EACH(sigmoids, sigmoid(v))
EACH(tanhs, tanh4(v))
EACH(erfs, erf4(v))
EACH(gelus, wasm_f32x4_mul(wasm_f32x4_mul(v, wasm_f32x4_const_splat(0.5f)),
                           wasm_f32x4_add(wasm_f32x4_const_splat(1), erf4(wasm_f32x4_mul(v, wasm_f32x4_const_splat(0.70710678f))))))

// An LSTM over `times` steps for n states of `size`: the gates of the inputs [times][n][4 × size] are in the order of ONNX
// (input, output, forget, cell); `gates` is room for those of the states. h and c end as the last states.
KERNEL(lstm)(In inputs, In w, In zeros, float *gates, float *h, float *c, Out y, int times, int n, int size, int step, int backwards) {
  const int wide = 4 * size;
  for (int t = 0; t < times; t++) {
    const int time = backwards ? times - 1 - t : t;
    product(h, w, zeros, gates, n, size, wide, -__builtin_inff(), __builtin_inff());
    for (int r = 0; r < n; r++) {
      In input = inputs + (time * n + r) * wide, state = gates + r * wide;
      for (int i = 0; i < size; i += 4) {
        V gate[4];
        UNROLLED for (int k = 0; k < 4; k++) gate[k] = wasm_f32x4_add(LOAD(input + k * size + i), LOAD(state + k * size + i));
        const V old = wasm_f32x4_mul(sigmoid(gate[2]), LOAD(c + r * size + i));
        const V cell = wasm_f32x4_add(old, wasm_f32x4_mul(sigmoid(gate[0]), tanh4(gate[3])));
        const V out = wasm_f32x4_mul(sigmoid(gate[1]), tanh4(cell));
        put(c + r * size + i, cell, size - i);
        put(h + r * size + i, out, size - i);
        put(y + time * step + r * size + i, out, size - i);
      }
    }
  }
}

// y = clamp(x * factor + shift) with a factor and a shift for each of `channels` slices of `inner` numbers.
KERNEL(affine)(In x, In factors, In shifts, Out y, int channels, int inner, float low, float high) {
  const V low4 = wasm_f32x4_splat(low), high4 = wasm_f32x4_splat(high);
  const int each = inner == 1; // then four channels at once
  const int slices = each ? 1 : channels, n = each ? channels : inner;
  for (int s = 0; s < slices; s++, x += n, y += n) {
    for (int i = 0; i < n; i += 4) {
      const V by = each ? LOAD(factors + i) : SPLAT(factors + s), more = each ? LOAD(shifts + i) : SPLAT(shifts + s);
      put(y + i, CLAMP(wasm_f32x4_add(wasm_f32x4_mul(LOAD(x + i), by), more)), n - i);
    }
  }
}

// The first `columns` of each row of `wide`.
KERNEL(crop)(In x, Out y, int planes, int plane, int rows, int columns, int wide) {
  for (int p = 0; p < planes; p++, x += plane)
    for (int r = 0; r < rows; r++, y += columns)
      for (int c = 0; c < columns; c++) y[c] = x[r * wide + c];
}

static inline float sum_of(V v) {
  return wasm_f32x4_extract_lane(v, 0) + wasm_f32x4_extract_lane(v, 1) + wasm_f32x4_extract_lane(v, 2) + wasm_f32x4_extract_lane(v, 3);
}

// Rows of n numbers: e to their power, over the sum of these.
KERNEL(softmax)(In x, Out y, int rows, int n) {
  for (int r = 0; r < rows; r++, x += n, y += n) {
    float most = x[0], sum = 0;
    for (int i = 1; i < n; i++) most = x[i] > most ? x[i] : most;
    const V most4 = wasm_f32x4_splat(most);
    for (int i = 0; i < n; i += 4) put(y + i, power(wasm_f32x4_sub(LOAD(x + i), most4)), n - i);
    for (int i = 0; i < n; i++) sum += y[i];
    for (int i = 0; i < n; i++) y[i] /= sum;
  }
}

// Rows of n numbers to mean 0 and variance 1, then times a scale, plus a bias.
KERNEL(normalise)(In x, In scale, In bias, Out y, int rows, int n, float epsilon) {
  const int even = n & ~3;
  for (int r = 0; r < rows; r++, x += n, y += n) {
    V sum = wasm_f32x4_const_splat(0);
    for (int i = 0; i < even; i += 4) sum = wasm_f32x4_add(sum, LOAD(x + i));
    float mean = sum_of(sum);
    for (int i = even; i < n; i++) mean += x[i];
    mean /= n;
    const V mean4 = wasm_f32x4_splat(mean);
    sum = wasm_f32x4_const_splat(0);
    for (int i = 0; i < even; i += 4) {
      const V v = wasm_f32x4_sub(LOAD(x + i), mean4);
      MAC(sum, v, v);
    }
    float variance = sum_of(sum);
    for (int i = even; i < n; i++) variance += (x[i] - mean) * (x[i] - mean);
    const float by = 1 / __builtin_sqrtf(variance / n + epsilon);
    const V by4 = wasm_f32x4_splat(by);
    for (int i = 0; i < even; i += 4) {
      const V v = wasm_f32x4_mul(wasm_f32x4_sub(LOAD(x + i), mean4), by4);
      STORE(y + i, wasm_f32x4_add(wasm_f32x4_mul(v, LOAD(scale + i)), LOAD(bias + i)));
    }
    for (int i = even; i < n; i++) y[i] = (x[i] - mean) * by * scale[i] + bias[i];
  }
}
