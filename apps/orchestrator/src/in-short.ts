/**
 * Names in a sentence, of which there may be thousands: the first ones, and how many more there are.
 */
const MOST = 10;

export function inShort(names: readonly string[]): string {
  const shown = names.length > MOST ? [...names.slice(0, MOST), `${names.length - MOST} more`] : names;
  return shown.join(', ');
}
