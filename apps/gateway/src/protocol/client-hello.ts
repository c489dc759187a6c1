/**
 * What a TLS client says first, as far as it has to be known before TLS is begun: whether it wants to resume a session. Pure. Bytes that
 * are no whole ClientHello offer nothing; TLS itself refuses them.
 */

export const TLS_RECORD_HEADER_BYTES = 5;
/** RFC 8446 section 5.1. */
export const MAX_TLS_RECORD_BYTES = 2 ** 14;
const HANDSHAKE = 22;
const CLIENT_HELLO = 1;
/** RFC 8446 section 4.2.11: the tickets of sessions that the client would like to go on with. */
const PRE_SHARED_KEY = 41;
/** Header of the record and of the message, legacy_version, random. */
const SESSION_ID_AT = TLS_RECORD_HEADER_BYTES + 4 + 2 + 32;

/** How many bytes follow the header of a record of the handshake; 0: it is none, or larger than one may be. */
export function handshakeRecordLength(header: Buffer): number {
  const length = header.readUInt16BE(3);
  return header[0] === HANDSHAKE && length <= MAX_TLS_RECORD_BYTES ? length : 0;
}

/** @param record the first one of a connection, with its header */
export function offersSession(record: Buffer): boolean {
  if (record[0] !== HANDSHAKE || record[TLS_RECORD_HEADER_BYTES] !== CLIENT_HELLO) return false;
  // What lies past the end reads as 0, and ends the search.
  const u8 = (at: number) => record[at] ?? 0;
  const u16 = (at: number) => (u8(at) << 8) | u8(at + 1);
  let at = SESSION_ID_AT;
  at += 1 + u8(at);
  at += 2 + u16(at); // cipher_suites
  at += 1 + u8(at); // legacy_compression_methods
  const end = at + 2 + u16(at);
  for (at += 2; at < end && at < record.length; at += 4 + u16(at + 2)) if (u16(at) === PRE_SHARED_KEY) return true;
  return false;
}
