/** How the steps of the verification are told. Pure. */

/** All are looked at; so many are told of by name. */
const TOLD = 32;

/** The first of them, and how many more there are. */
export function listed(words: readonly string[], separator: string): string {
  const more = words.length - TOLD;
  const told = words.slice(0, TOLD).join(separator);
  return more > 0 ? `${told}${separator}and ${more} more` : told;
}

/** @param networks each of one host */
export const namesOf = (
  networks: readonly { readonly host: { readonly record: { readonly name: string } } }[],
): string[] => networks.map(({ host }) => host.record.name);

export const failed = (seen: string, remedy: string) => ({ outcome: 'failed', seen, remedy }) as const;
