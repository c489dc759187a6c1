/** Versions of the vSphere API, as numbers with dots: what the server offers, and what we know. Pure. */

/** Of the Web Services API: nothing that is called here has changed up to it. */
export const NEWEST = '9.0.0.0';
/** The oldest that has routes for each TCP/IP stack and encrypted vMotion. */
export const OLDEST = '6.5';

/** Releases of the VI/JSON description, newest first; a vCenter answers to its own and to those before. */
export const JSON_RELEASES = ['9.0.0.0', '8.0.3.0', '8.0.2.0', '8.0.1.0'] as const;

export function compareVersions(one: string, other: string): number {
  const [a, b] = [one, other].map((version) => version.split('.').map(Number));
  for (let i = 0; i < Math.max(a?.length ?? 0, b?.length ?? 0); i += 1) {
    const difference = (a?.[i] ?? 0) - (b?.[i] ?? 0);
    if (difference !== 0) return difference;
  }
  return 0;
}

/** The newest of `offered` that is not newer than what we know. A server that does not say is taken for the oldest. */
export function chooseVersion(offered: readonly string[]): string {
  const known = offered.filter((version) => compareVersions(version, NEWEST) <= 0);
  return known.toSorted(compareVersions).at(-1) ?? OLDEST;
}

/** The newest release of the description that a server of this version can have; `undefined`: it has none. */
export const jsonReleaseFor = (apiVersion: string): string | undefined =>
  JSON_RELEASES.find((release) => compareVersions(release, apiVersion) <= 0);
