/** Long lists, for people. Pure. */

/** All are looked at; so many are told of by name. */
const TOLD = 32;

/** The first of them, and how many more there are. */
export function listed(words: readonly string[], separator: string): string {
  const more = words.length - TOLD;
  const told = words.slice(0, TOLD).join(separator);
  return more > 0 ? `${told}${separator}and ${more} more` : told;
}
