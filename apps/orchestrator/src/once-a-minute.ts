/**
 * What is wrong is often said again each second, in the same words or in a few by turns: each is passed on at once, and then
 * once a minute.
 */

/** How soon the same is said again. */
export const SAY_AGAIN_MS = 60_000;
/** So many texts are remembered; of more, the one that was said longest ago is forgotten. */
const REMEMBERED = 16;

/** @param now a monotonic clock, in milliseconds */
export function onceAMinute(say: (words: string) => void, now = () => performance.now()): (words: string) => void {
  const saidAt = new Map<string, number>();
  return (words) => {
    if (now() - (saidAt.get(words) ?? Number.NEGATIVE_INFINITY) < SAY_AGAIN_MS) return;
    saidAt.delete(words); // so that it comes last, as the newest
    saidAt.set(words, now());
    const [oldest] = saidAt.keys();
    if (saidAt.size > REMEMBERED && oldest !== undefined) saidAt.delete(oldest);
    say(words);
  };
}
