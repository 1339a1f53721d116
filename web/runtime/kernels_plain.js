// The kernels of kernels.c in plain JavaScript, for browsers without WebAssembly SIMD and for pages whose policy forbids it.
// Weights have the same panels, and pointers are bytes, as there.

import { clamp, erf, nearest, sigmoid } from "./functions.js";

/** One pixel of up to four outputs of a convolution: those of one panel. */
function addPixel(f, x, w, bias, channels, plane, tall, wide, stepDown, stepAcross, y, area, left) {
  let s0 = f[bias];
  let s1 = f[bias + 1];
  let s2 = f[bias + 2];
  let s3 = f[bias + 3];
  for (let c = 0; c < channels; c++, x += plane) {
    for (let t = 0, row = x; t < tall; t++, row += stepDown) {
      for (let k = 0, at = row; k < wide; k++, at += stepAcross, w += 4) {
        const v = f[at];
        s0 += v * f[w];
        s1 += v * f[w + 1];
        s2 += v * f[w + 2];
        s3 += v * f[w + 3];
      }
    }
  }
  f[y] = s0;
  if (left > 1) f[y + area] = s1;
  if (left > 2) f[y + 2 * area] = s2;
  if (left > 3) f[y + 3 * area] = s3;
}

/** Up to four numbers of a product: those of one panel. */
function addPanel(f, a, w, bias, y, inner, left) {
  let s0 = f[bias];
  let s1 = f[bias + 1];
  let s2 = f[bias + 2];
  let s3 = f[bias + 3];
  for (let k = 0; k < inner; k++, w += 4) {
    const v = f[a + k];
    s0 += v * f[w];
    s1 += v * f[w + 1];
    s2 += v * f[w + 2];
    s3 += v * f[w + 3];
  }
  f[y] = s0;
  if (left > 1) f[y + 1] = s1;
  if (left > 2) f[y + 2] = s2;
  if (left > 3) f[y + 3] = s3;
}

function binary(of) {
  return function (a, b, y, n, stepA, stepB, low, high) {
    const f = this.floats;
    of(f, a >> 2, b >> 2, y >> 2, n, stepA ? 1 : 0, stepB ? 1 : 0);
    clamp(f, y >> 2, n, low, high);
  };
}

function each(of) {
  return function (x, y, n) {
    const f = this.floats;
    of(f, x >> 2, y >> 2, n);
  };
}

/** Kernels and their memory, all in JavaScript. */
export class PlainKernels {
  constructor() {
    this.name = "javascript";
    this.price = 4; // nanoseconds of a multiplication and an addition, by the account
    this.memory = { buffer: new ArrayBuffer(2 ** 16) };
    this.floats = new Float32Array(this.memory.buffer);
  }

  grow(bytes) {
    const old = this.memory.buffer;
    if (bytes <= old.byteLength) return;
    const buffer = new ArrayBuffer(Math.ceil((bytes * 1.2) / 65536) * 65536);
    new Uint8Array(buffer).set(new Uint8Array(old));
    this.memory = { buffer };
    this.floats = new Float32Array(buffer);
  }

  conv(x, w, bias, y, channels, height, width, outputs, rows, columns, tall, wide, down, across, dilatedDown, dilatedAcross, low, high) {
    const f = this.floats;
    const inner = channels * tall * wide;
    const area = rows * columns;
    for (let o = 0; o < outputs; o += 4) {
      const [panel, start] = [(w >> 2) + o * inner, (bias >> 2) + o];
      for (let r = 0, to = (y >> 2) + o * area; r < rows; r++) {
        for (let c = 0, from = (x >> 2) + r * down * width; c < columns; c++, from += across, to++) {
          addPixel(f, from, panel, start, channels, height * width, tall, wide, dilatedDown * width, dilatedAcross, to, area, outputs - o);
        }
      }
    }
    clamp(f, y >> 2, outputs * area, low, high);
  }

  depthwise(x, w, bias, y, planes, height, width, rows, columns, tall, wide, down, across, dilatedDown, dilatedAcross, low, high) {
    const f = this.floats;
    for (let p = 0; p < planes; p++) {
      const from = (x >> 2) + p * height * width;
      let to = (y >> 2) + p * rows * columns;
      for (let r = 0; r < rows; r++) {
        for (let c = 0; c < columns; c++) {
          let sum = f[(bias >> 2) + p];
          let at = (w >> 2) + p * tall * wide;
          for (let t = 0; t < tall; t++) {
            let place = from + (r * down + t * dilatedDown) * width + c * across;
            for (let k = 0; k < wide; k++, place += dilatedAcross) sum += f[place] * f[at++];
          }
          f[to++] = sum < low ? low : sum > high ? high : sum;
        }
      }
    }
  }

  product(a, w, bias, y, m, inner, n, low, high) {
    const f = this.floats;
    for (let r = 0; r < m; r++) {
      const from = (a >> 2) + r * inner;
      const to = (y >> 2) + r * n;
      for (let o = 0; o < n; o += 4) {
        addPanel(f, from, (w >> 2) + o * inner, (bias >> 2) + o, to + o, inner, n - o);
      }
      clamp(f, to, n, low, high);
    }
  }

  panels(b, w, inner, n, stepK, stepN) {
    const f = this.floats;
    let to = w >> 2;
    for (let o = 0; o < n; o += 4) {
      for (let k = 0; k < inner; k++) {
        for (let i = 0; i < 4; i++) f[to++] = o + i < n ? f[(b >> 2) + k * stepK + (o + i) * stepN] : 0;
      }
    }
  }

  pad(x, y, planes, height, width, top, left, tall, wide, value) {
    const f = this.floats;
    for (let p = 0, from = x >> 2, to = y >> 2; p < planes; p++, to += tall * wide) {
      f.fill(value, to, to + tall * wide);
      for (let r = 0; r < height; r++, from += width) {
        for (let c = 0, at = to + (r + top) * wide + left; c < width; c++) f[at + c] = f[from + c];
      }
    }
  }

  lstm(inputs, w, zeros, gates, h, c, y, times, n, size, step, backwards) {
    const f = this.floats;
    for (let t = 0; t < times; t++) {
      const time = backwards ? times - 1 - t : t;
      this.product(h, w, zeros, gates, n, size, 4 * size, -Infinity, Infinity);
      for (let r = 0; r < n; r++) {
        let [a, b] = [(inputs >> 2) + (time * n + r) * 4 * size, (gates >> 2) + r * 4 * size];
        let [to, cells, out] = [(h >> 2) + r * size, (c >> 2) + r * size, (y >> 2) + time * step + r * size];
        for (let i = 0; i < size; i++, a++, b++) {
          const old = sigmoid(f[a + 2 * size] + f[b + 2 * size]) * f[cells];
          const cell = old + sigmoid(f[a] + f[b]) * Math.tanh(f[a + 3 * size] + f[b + 3 * size]);
          f[cells++] = cell;
          f[out++] = f[to++] = sigmoid(f[a + size] + f[b + size]) * Math.tanh(cell);
        }
      }
    }
  }

  affine(x, factors, shifts, y, channels, inner, low, high) {
    const f = this.floats;
    for (let s = 0, from = x >> 2, to = y >> 2; s < channels; s++) {
      const [by, more] = [f[(factors >> 2) + s], f[(shifts >> 2) + s]];
      for (let i = 0; i < inner; i++) f[to++] = f[from++] * by + more;
    }
    clamp(f, y >> 2, channels * inner, low, high);
  }

  crop(x, y, planes, plane, rows, columns, wide) {
    const f = this.floats;
    for (let p = 0, to = y >> 2; p < planes; p++) {
      for (let r = 0, from = (x >> 2) + p * plane; r < rows; r++, from += wide) {
        for (let c = 0; c < columns; c++) f[to++] = f[from + c];
      }
    }
  }

  softmax(x, y, rows, n) {
    const f = this.floats;
    for (let r = 0, from = x >> 2, to = y >> 2; r < rows; r++, from += n, to += n) {
      let [most, sum] = [f[from], 0];
      for (let i = 1; i < n; i++) if (f[from + i] > most) most = f[from + i];
      for (let i = 0; i < n; i++) sum += f[to + i] = Math.exp(f[from + i] - most);
      for (let i = 0; i < n; i++) f[to + i] /= sum;
    }
  }

  normalise(x, scale, bias, y, rows, n, epsilon) {
    const f = this.floats;
    for (let r = 0, from = x >> 2, to = y >> 2; r < rows; r++, from += n, to += n) {
      let [mean, variance] = [0, 0];
      for (let i = 0; i < n; i++) mean += f[from + i];
      mean /= n;
      for (let i = 0; i < n; i++) variance += (f[from + i] - mean) ** 2;
      const by = 1 / Math.sqrt(variance / n + epsilon);
      for (let i = 0; i < n; i++) f[to + i] = (f[from + i] - mean) * by * f[(scale >> 2) + i] + f[(bias >> 2) + i];
    }
  }

  grid(x, y, n, scale, zero, least, most) {
    const f = this.floats;
    for (let i = 0, from = x >> 2, to = y >> 2; i < n; i++) {
      const v = nearest(Math.fround(f[from + i] / scale)) + zero;
      f[to + i] = ((v > most ? most : v > least ? v : least) - zero) * scale;
    }
  }

  pool(x, y, planes, height, width, rows, columns) {
    const f = this.floats;
    for (let p = 0, to = y >> 2; p < planes; p++) {
      for (let r = 0; r < rows; r++) {
        for (let c = 0, at = (x >> 2) + (p * height + 2 * r) * width; c < columns; c++, at += 2) {
          f[to++] = Math.max(f[at], f[at + 1], f[at + width], f[at + width + 1]);
        }
      }
    }
  }
}

Object.assign(PlainKernels.prototype, {
  add: binary((f, a, b, y, n, s, t) => {
    for (let i = 0; i < n; i++, a += s, b += t) f[y + i] = f[a] + f[b];
  }),
  sub: binary((f, a, b, y, n, s, t) => {
    for (let i = 0; i < n; i++, a += s, b += t) f[y + i] = f[a] - f[b];
  }),
  mul: binary((f, a, b, y, n, s, t) => {
    for (let i = 0; i < n; i++, a += s, b += t) f[y + i] = f[a] * f[b];
  }),
  div: binary((f, a, b, y, n, s, t) => {
    for (let i = 0; i < n; i++, a += s, b += t) f[y + i] = f[a] / f[b];
  }),
  sigmoids: each((f, x, y, n) => {
    for (let i = 0; i < n; i++) f[y + i] = sigmoid(f[x + i]);
  }),
  tanhs: each((f, x, y, n) => {
    for (let i = 0; i < n; i++) f[y + i] = Math.tanh(f[x + i]);
  }),
  erfs: each((f, x, y, n) => {
    for (let i = 0; i < n; i++) f[y + i] = erf(f[x + i]);
  }),
  gelus: each((f, x, y, n) => {
    for (let i = 0; i < n; i++) f[y + i] = 0.5 * f[x + i] * (1 + erf(f[x + i] * Math.SQRT1_2));
  }),
});
