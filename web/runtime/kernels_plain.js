// The kernels of kernels.c in plain JavaScript, for browsers without WebAssembly SIMD and for pages whose policy forbids it.
// Weights have the same panels, and pointers are bytes, as there.

import { erf, nearest, sigmoid } from "./functions.js";

const floats = (kernels) => kernels.floats;

/** y[n] = max(low, min(high, y[n])), keeping NaN. */
function clamp(f, at, n, low, high) {
  if (low === -Infinity && high === Infinity) return;
  for (let i = at; i < at + n; i++) f[i] = f[i] < low ? low : f[i] > high ? high : f[i];
}

function binary(of) {
  return function (a, b, y, n, stepA, stepB, low, high) {
    const f = floats(this);
    of(f, a >> 2, b >> 2, y >> 2, n, stepA ? 1 : 0, stepB ? 1 : 0);
    clamp(f, y >> 2, n, low, high);
  };
}

function each(of) {
  return function (x, y, n) {
    const f = floats(this);
    of(f, x >> 2, y >> 2, n);
  };
}

/** Kernels and their memory, all in JavaScript. */
export class PlainKernels {
  constructor() {
    this.name = "javascript";
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
    const f = floats(this);
    const inner = channels * tall * wide;
    const area = rows * columns;
    for (let o = 0; o < outputs; o++) {
      const to = (y >> 2) + o * area;
      f.fill(f[(bias >> 2) + o], to, to + area);
      let at = (w >> 2) + (o >> 2) * inner * 4 + (o & 3);
      for (let c = 0; c < channels; c++) {
        for (let t = 0; t < tall; t++) {
          for (let k = 0; k < wide; k++, at += 4) {
            const weight = f[at];
            if (weight === 0) continue;
            let from = (x >> 2) + (c * height + t * dilatedDown) * width + k * dilatedAcross;
            for (let r = 0, i = to; r < rows; r++, from += down * width) {
              for (let j = 0, p = from; j < columns; j++, i++, p += across) f[i] += weight * f[p];
            }
          }
        }
      }
      clamp(f, to, area, low, high);
    }
  }

  depthwise(x, w, bias, y, planes, height, width, rows, columns, tall, wide, down, across, dilatedDown, dilatedAcross, low, high) {
    const f = floats(this);
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
    const f = floats(this);
    for (let r = 0; r < m; r++) {
      const from = (a >> 2) + r * inner;
      const to = (y >> 2) + r * n;
      for (let o = 0; o < n; o += 4) {
        const [b0, b1, b2, b3] = f.subarray((bias >> 2) + o, (bias >> 2) + o + 4);
        let [s0, s1, s2, s3] = [b0, b1, b2, b3];
        for (let k = 0, at = (w >> 2) + o * inner; k < inner; k++, at += 4) {
          const v = f[from + k];
          s0 += v * f[at];
          s1 += v * f[at + 1];
          s2 += v * f[at + 2];
          s3 += v * f[at + 3];
        }
        const sums = [s0, s1, s2, s3];
        for (let i = 0; i < Math.min(4, n - o); i++) f[to + o + i] = sums[i];
      }
      clamp(f, to, n, low, high);
    }
  }

  panels(b, w, inner, n, stepK, stepN) {
    const f = floats(this);
    let to = w >> 2;
    for (let o = 0; o < n; o += 4) {
      for (let k = 0; k < inner; k++) {
        for (let i = 0; i < 4; i++) f[to++] = o + i < n ? f[(b >> 2) + k * stepK + (o + i) * stepN] : 0;
      }
    }
  }

  pad(x, y, planes, height, width, top, left, tall, wide, value) {
    const f = floats(this);
    for (let p = 0, from = x >> 2, to = y >> 2; p < planes; p++, to += tall * wide) {
      f.fill(value, to, to + tall * wide);
      for (let r = 0; r < height; r++, from += width) {
        for (let c = 0, at = to + (r + top) * wide + left; c < width; c++) f[at + c] = f[from + c];
      }
    }
  }

  lstm(input, state, h, c, n, size) {
    const f = floats(this);
    let [a, b, to, cells] = [input >> 2, state >> 2, h >> 2, c >> 2];
    for (let r = 0; r < n; r++, a += 3 * size, b += 3 * size) {
      for (let i = 0; i < size; i++, a++, b++, to++, cells++) {
        const cell = sigmoid(f[a + 2 * size] + f[b + 2 * size]) * f[cells] + sigmoid(f[a] + f[b]) * Math.tanh(f[a + 3 * size] + f[b + 3 * size]);
        f[cells] = cell;
        f[to] = sigmoid(f[a + size] + f[b + size]) * Math.tanh(cell);
      }
    }
  }

  softmax(x, y, rows, n) {
    const f = floats(this);
    for (let r = 0, from = x >> 2, to = y >> 2; r < rows; r++, from += n, to += n) {
      let [most, sum] = [f[from], 0];
      for (let i = 1; i < n; i++) if (f[from + i] > most) most = f[from + i];
      for (let i = 0; i < n; i++) sum += f[to + i] = Math.exp(f[from + i] - most);
      for (let i = 0; i < n; i++) f[to + i] /= sum;
    }
  }

  normalise(x, scale, bias, y, rows, n, epsilon) {
    const f = floats(this);
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
    const f = floats(this);
    for (let i = 0, from = x >> 2, to = y >> 2; i < n; i++) {
      const v = nearest(Math.fround(f[from + i] / scale)) + zero;
      f[to + i] = ((v < least ? least : v > most ? most : v) - zero) * scale;
    }
  }

  pool(x, y, planes, height, width, rows, columns) {
    const f = floats(this);
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
