/**
 * What is wrong is often said again each second, in the same words: it is passed on at once, and then once a minute.
 */

/** How soon the same is said again. */
export const SAY_AGAIN_MS = 60_000;

/** @param now a monotonic clock, in milliseconds */
export function onceAMinute(say: (words: string) => void, now = () => performance.now()): (words: string) => void {
  let [said, saidAt] = ['', Number.NEGATIVE_INFINITY];
  return (words) => {
    if (words === said && now() - saidAt < SAY_AGAIN_MS) return;
    [said, saidAt] = [words, now()];
    say(words);
  };
}
