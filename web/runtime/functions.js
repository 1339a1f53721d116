// Functions of one number that several operators compute.

/** The error function, to 1.2e-7 relative: Numerical Recipes' erfc, a Chebyshev fit. */
export function erf(x) {
  const z = Math.abs(x);
  if (z < 0.5) {
    const s = x * x; // the series, which keeps small numbers exact
    return (2 / Math.sqrt(Math.PI)) * x * (1 + s * (-1 / 3 + s * (1 / 10 + s * (-1 / 42 + s * (1 / 216 + s * (-1 / 1320 + s / 9360))))));
  }
  const t = 1 / (1 + 0.5 * z);
  const polynomial =
    -1.26551223 + t * (1.00002368 + t * (0.37409196 + t * (0.09678418 + t * (-0.18628806 + t * (0.27886807 + t * (-1.13520398 + t * (1.48851587 + t * (-0.82215223 + t * 0.17087277))))))));
  const rest = t * Math.exp(-z * z + polynomial);
  return x < 0 ? rest - 1 : 1 - rest;
}

export const sigmoid = (x) => 1 / (1 + Math.exp(-x));

/** `n` numbers from place `at` on, brought between low and high; NaN stays. */
export function clamp(numbers, at, n, low, high) {
  if (low === -Infinity && high === Infinity) return;
  for (let i = at; i < at + n; i++) numbers[i] = numbers[i] < low ? low : numbers[i] > high ? high : numbers[i];
}

/** To the nearest, halves to even. */
export function nearest(x) {
  const low = Math.floor(x);
  const rest = x - low;
  if (rest !== 0.5) return rest < 0.5 ? low : low + 1;
  return low % 2 === 0 ? low : low + 1;
}
