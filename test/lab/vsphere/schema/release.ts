/** Releases of the API, as numbers with dots. Pure. */
export function isAtLeast(version: string, least: string): boolean {
  const [mine, theirs] = [version, least].map((text) => text.split('.').map(Number)) as [number[], number[]];
  const index = theirs.findIndex((part, i) => part !== (mine[i] ?? 0));
  return index < 0 || (mine[index] ?? 0) > (theirs[index] ?? 0);
}
