/** A name that nobody else has. What would make one for us, `crypto.randomUUID`, is there over HTTPS only; this is everywhere. */
export const uniqueId = (): string =>
  Array.from(crypto.getRandomValues(new Uint8Array(16)), (byte) => byte.toString(16).padStart(2, '0')).join('');
