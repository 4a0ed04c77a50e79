// Waiting with an end: nothing in a case may hang the run.

/** @param {number} ms */
export const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

/**
 * `promise`, or an error that names `what` once `timeoutMs` have passed.
 * @template T
 * @param {Promise<T>} promise
 * @param {number} timeoutMs
 * @param {string} what
 * @returns {Promise<T>}
 */
export function within(promise, timeoutMs, what) {
  let timer;
  const late = new Promise((_, reject) => {
    timer = setTimeout(() => reject(new Error(`${what}: not within ${timeoutMs} ms`)), timeoutMs);
  });
  return Promise.race([promise, late]).finally(() => clearTimeout(timer));
}

/**
 * Asks `probe` again and again until it gives something true, which is returned.
 * What the probe last gave, or threw, is in the error.
 * @param {string} what
 * @param {() => any} probe
 */
export async function until(what, probe, { timeoutMs = 15_000, everyMs = 100 } = {}) {
  const deadline = Date.now() + timeoutMs;
  let last;
  do {
    const leftMs = Math.max(deadline - Date.now(), 1);
    try {
      last = await within(Promise.resolve(probe()), leftMs, 'one look');
      if (last) return last;
    } catch (error) {
      // A look cut short by the deadline tells less than the whole one before it.
      if (last === undefined || Date.now() < deadline) last = error;
    }
    await sleep(Math.min(everyMs, Math.max(deadline - Date.now(), 0)));
  } while (Date.now() < deadline);
  throw new Error(`not within ${timeoutMs} ms: ${what} (last seen: ${show(last)})`);
}

/** A value on one short line, for messages. */
export function show(value) {
  if (value instanceof Error) return value.message;
  const text = typeof value === 'string' ? value : JSON.stringify(value);
  return text !== undefined && text.length > 400 ? `${text.slice(0, 400)}…` : String(text);
}
