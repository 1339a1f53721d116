// What each byte of a file is for, as `shoestring inspect` tells it.

/**
 * Whole numbers that add up to `total`, in proportion to `weights`, by the largest remainder.
 * @param {number} total
 * @param {number[]} weights 0 or more each
 * @returns {number[]}
 */
export function shares(total, weights) {
  const sum = weights.reduce((all, one) => all + one, 0);
  const exact = weights.map((one) => (sum ? (total * one) / sum : total / weights.length));
  const found = exact.map(Math.floor);
  const order = [...exact.keys()].sort((a, b) => exact[b] - found[b] - (exact[a] - found[a]));
  const left = total - found.reduce((all, one) => all + one, 0);
  for (const i of order.slice(0, Math.max(0, left))) found[i]++;
  return found;
}

/**
 * A line for each tensor, then for the graph, the names, the table of blocks and the frame. Their bytes add up to the file's.
 * @param {object} file what `decode` in shoe.js gave
 * @param {number} size bytes of the file
 * @returns {{what: string, bytes: number, tensor: ?number}[]} `tensor`: its place in the list, or null
 */
export function bill({ tensors, names, sections, signature }, size) {
  const codes = shares(sections.stream, tensors.map(({ stored }) => Math.max(0, stored.bits)));
  const described = shares(sections.list, tensors.map(({ stored }) => stored.described));
  const lines = tensors.map(({ stored }, i) => ({
    what: names[i] || `tensor ${i}`,
    bytes: stored.bytes + codes[i] + described[i],
    tensor: i,
  }));
  const rest = [
    ["graph", sections.graph],
    ["names and notes", sections.names],
    ["table of blocks", sections.table],
    ["signature", signature ? signature.bytes.length : 0],
  ];
  for (const [what, bytes] of rest) if (bytes) lines.push({ what, bytes, tensor: null });
  const used = lines.reduce((sum, line) => sum + line.bytes, 0);
  return [...lines, { what: "frame", bytes: size - used, tensor: null }];
}
