/** How the steps of the verification are told. Pure. */

/** @param networks each of one host */
export const namesOf = (
  networks: readonly { readonly host: { readonly record: { readonly name: string } } }[],
): string[] => networks.map(({ host }) => host.record.name);

export const failed = (seen: string, remedy: string) => ({ outcome: 'failed', seen, remedy }) as const;
