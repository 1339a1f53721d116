// Where the network's bytes come from: here a file beside the page. build.mjs puts one in this module's place that has them
// in the page itself.

/** @returns {Promise<Uint8Array>} the bytes of the network's file */
export async function modelBytes() {
  const answer = await fetch(new URL("../../benchmarks/results/files/complete.shoe", import.meta.url));
  if (!answer.ok) throw new Error(`its file could not be fetched (${answer.status})`);
  return new Uint8Array(await answer.arrayBuffer());
}

/** @returns {?number} the bytes of the page; null where it consists of several files */
export function pageBytes() {
  return null;
}
