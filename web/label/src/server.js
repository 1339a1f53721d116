// Requests to the server that sent this page.

const TOKEN = new URLSearchParams(location.search).get("token") ?? "";
const LONGEST = 10_000; // milliseconds
const AGAIN = 500; // milliseconds
const SILENT = "the server does not answer: is `shoestring label` still running?";

/** What the server says in place of an answer. `status`: 0 where it said nothing. */
export class Refusal extends Error {
  constructor(sentence, status) {
    super(sentence);
    this.status = status;
  }
}

/** Ask for something, with a body or without; the answer is JSON. Raises Refusal. */
export async function ask(path, body, more = {}) {
  const answer = await reached(path, {
    method: body === undefined ? "GET" : "POST",
    headers: { "X-Shoestring-Token": TOKEN, ...(body === undefined ? {} : { "Content-Type": "application/json" }) },
    body: body === undefined ? undefined : JSON.stringify(body),
    ...more,
  });
  return answer.json();
}

/**
 * The picture of an example, decoded: an image element. Where the server does not answer it is asked
 * for again until it does. Raises Refusal where the picture does not open.
 */
export async function picture(index) {
  for (;;) {
    try {
      return await opened(index);
    } catch (error) {
      if (error.status !== 0) throw error;
      await new Promise((done) => setTimeout(done, AGAIN));
    }
  }
}

async function opened(index) {
  const answer = await reached(`/api/picture/${index}`, { headers: { "X-Shoestring-Token": TOKEN } });
  const image = new Image();
  image.src = URL.createObjectURL(await whole(answer));
  image.draggable = false;
  try {
    await image.decode();
  } catch {
    URL.revokeObjectURL(image.src);
    throw new Refusal("this picture is damaged: the browser cannot open it", 422);
  }
  return image;
}

/** The body of an answer. Raises Refusal where the server ends in the middle of it. */
async function whole(answer) {
  try {
    return await answer.blob();
  } catch {
    throw new Refusal(SILENT, 0);
  }
}

async function reached(path, options) {
  let answer;
  try {
    answer = await fetch(path, { cache: "no-store", signal: AbortSignal.timeout(LONGEST), ...options });
  } catch {
    throw new Refusal(SILENT, 0);
  }
  if (answer.ok) return answer;
  const text = await answer.text();
  let sentence = text;
  try {
    sentence = JSON.parse(text).error ?? text;
  } catch {
    // a sentence as it is
  }
  throw new Refusal(sentence.trim() || `the server said ${answer.status}`, answer.status);
}

/** An id that no other page makes. */
export function drawn() {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  return [...bytes].map((byte) => byte.toString(16).padStart(2, "0")).join("");
}
