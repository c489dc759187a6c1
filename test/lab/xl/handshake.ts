/**
 * The words that xl's two halves exchange, byte for byte, and pipes that are read in exact pieces. With the NUL where C sends
 * `sizeof` of the string, without it where it sends one less. Source: tools/xl/xl.h, xl_migrate.c, xl_saverestore.c of Xen.
 */
import { createCipheriv, createHash } from 'node:crypto';
import type { Readable, Writable } from 'node:stream';

export const BANNER = Buffer.from('xl migration receiver ready, send binary domain data.\n');
export const READY = Buffer.from('domain received, ready to unpause\0');
export const GO = Buffer.from('domain is yours, you are cleared to unpause\0');
export const REPORT = Buffer.from('my copy unpause results are as follows\0');

const MAGIC = Buffer.from('Xen saved domain, xl format\n \0 \r', 'latin1');
/** XL_MANDATORY_FLAG_JSON and XL_MANDATORY_FLAG_STREAMv2. */
const MANDATORY_FLAGS = 3;
const BYTE_ORDER = 0x01020304;
const HEADER_BYTES = MAGIC.length + 4 * 4;

/** The configuration with its header, as `xl save` and `xl migrate` begin. */
export function encodeHeader(config: object): Buffer {
  const json = Buffer.from(`${JSON.stringify(config)}\0`);
  // Optional data: its length, then the configuration.
  const optional = Buffer.alloc(4 + json.length);
  optional.writeUInt32LE(json.length);
  json.copy(optional, 4);
  const header = Buffer.alloc(HEADER_BYTES);
  MAGIC.copy(header);
  for (const [i, value] of [BYTE_ORDER, MANDATORY_FLAGS, 0, optional.length].entries()) {
    header.writeUInt32LE(value, MAGIC.length + i * 4);
  }
  return Buffer.concat([header, optional]);
}

export async function readHeader(input: Input): Promise<unknown> {
  const header = await input.read(HEADER_BYTES);
  if (!header.subarray(0, MAGIC.length).equals(MAGIC)) throw new Error('not the magic of a saved domain');
  const [order, mandatory] = [0, 4].map((offset) => header.readUInt32LE(MAGIC.length + offset));
  if (order !== BYTE_ORDER || mandatory !== MANDATORY_FLAGS) throw new Error('not the flags of a saved domain');
  const optional = await input.read(header.readUInt32LE(MAGIC.length + 12));
  const json = optional.subarray(4, 4 + optional.readUInt32LE());
  return JSON.parse(json.toString('utf8').replace(/\0$/, ''));
}

/** Bytes in exact numbers; an end in the middle is an error, as it is for libxl_read_exactly. */
export class Input {
  readonly #chunks: AsyncIterator<Buffer>;
  #held: Buffer = Buffer.alloc(0);

  constructor(stream: Readable) {
    this.#chunks = stream[Symbol.asyncIterator]() as AsyncIterator<Buffer>;
  }

  async read(bytes: number): Promise<Buffer> {
    while (this.#held.length < bytes) {
      const { value, done } = await this.#chunks.next();
      if (done === true) throw new Error('the stream ended');
      this.#held = Buffer.concat([this.#held, value]);
    }
    const taken = this.#held.subarray(0, bytes);
    this.#held = this.#held.subarray(bytes);
    return taken;
  }

  async expect(message: Buffer): Promise<void> {
    const said = await this.read(message.length);
    if (!said.equals(message)) throw new Error(`got ${JSON.stringify(said.toString('latin1'))} instead of a message`);
  }
}

/** Resolves when the bytes are in the pipe. */
export function write(stream: Writable, bytes: Buffer): Promise<void> {
  return new Promise((resolve, reject) => stream.write(bytes, (error) => (error ? reject(error) : resolve())));
}

const PIECE_BYTES = 64 * 1024;
const DIGEST_BYTES = 32;

/** What stands for libxl's stream: incompressible pieces with their lengths, a zero, and the checksum of it all. */
export async function* memoryStream(seed: string, bytes: number): AsyncGenerator<Buffer> {
  const key = createHash('sha256').update(seed).digest();
  const cipher = createCipheriv('aes-256-ctr', key, Buffer.alloc(16));
  const hash = createHash('sha256');
  for (let left = bytes; left > 0; left -= PIECE_BYTES) {
    const piece = cipher.update(Buffer.alloc(Math.min(left, PIECE_BYTES)));
    hash.update(piece);
    yield withLength(piece);
  }
  yield Buffer.concat([withLength(Buffer.alloc(0)), hash.digest()]);
}

function withLength(piece: Buffer): Buffer {
  const length = Buffer.alloc(4);
  length.writeUInt32LE(piece.length);
  return Buffer.concat([length, piece]);
}

/** @throws when it ends early, or was changed on the way */
export async function receiveMemory(input: Input): Promise<void> {
  const hash = createHash('sha256');
  for (;;) {
    const length = (await input.read(4)).readUInt32LE();
    if (length === 0) break;
    if (length > PIECE_BYTES) throw new Error('a piece that nobody sends');
    hash.update(await input.read(length));
  }
  if (!(await input.read(DIGEST_BYTES)).equals(hash.digest())) throw new Error('other memory than was sent');
}
