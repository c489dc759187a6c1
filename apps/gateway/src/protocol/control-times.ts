/** The 16-byte bodies of PING, PONG and PROBE_REPORT: two IEEE 754 doubles, big-endian. */
export { ControlType } from './handshake.ts';

export function writeTimes(first: number, second: number): Buffer {
  const out = Buffer.alloc(16);
  out.writeDoubleBE(first, 0);
  out.writeDoubleBE(second, 8);
  return out;
}

/** NaN for a body of the wrong length. */
export function readTimes(body: Buffer): { first: number; second: number } {
  if (body.length !== 16) return { first: Number.NaN, second: Number.NaN };
  return { first: body.readDoubleBE(0), second: body.readDoubleBE(8) };
}
