/**
 * HTTP as XAPI speaks it: a head, and then either a body of known length or, after a PUT, a raw two-way stream that is HTTP
 * no more. Node's own server cannot hand over such a stream, so the head is read here.
 */
import { createServer as createPlainServer, type Server, type Socket } from 'node:net';
import { createServer as createTlsServer } from 'node:tls';

const MAX_HEAD_BYTES = 16_384;
const HEAD_END = Buffer.from('\r\n\r\n');

/** A socket read in exact amounts, with back-pressure both ways. */
export class Wire {
  readonly socket: Socket;
  readonly #chunks: Buffer[] = [];
  #size = 0;
  #ended = false;
  #wake: (() => void) | undefined;

  constructor(socket: Socket) {
    this.socket = socket;
    const wake = (): void => this.#wake?.();
    socket.on('data', (chunk: Buffer) => {
      this.#chunks.push(chunk);
      this.#size += chunk.length;
      if (this.#size > 4 * 1024 * 1024) socket.pause();
      wake();
    });
    const end = (): void => {
      this.#ended = true;
      wake();
    };
    socket.on('end', end);
    socket.on('close', end);
    socket.on('error', end);
  }

  /** Exactly `bytes`. @throws when the peer ends before */
  async read(bytes: number): Promise<Buffer> {
    while (this.#size < bytes) {
      if (this.#ended) throw new Error('the peer hung up');
      await this.#more();
    }
    return this.#take(bytes);
  }

  /** What there is, at least one byte; `undefined` at the end. */
  async readSome(): Promise<Buffer | undefined> {
    while (this.#size === 0) {
      if (this.#ended) return undefined;
      await this.#more();
    }
    return this.#take(this.#chunks[0]?.length ?? 0);
  }

  /** Head of a message: everything before the empty line. `undefined` when the peer hangs up before it begins. */
  async readHead(): Promise<string | undefined> {
    for (;;) {
      const all = Buffer.concat(this.#chunks);
      const at = all.indexOf(HEAD_END);
      if (at >= 0)
        return this.#take(at + HEAD_END.length)
          .toString('latin1')
          .slice(0, at);
      if (all.length > MAX_HEAD_BYTES) throw new Error('a head without an end');
      if (this.#ended) return undefined;
      await this.#more();
    }
  }

  async write(data: Buffer | string): Promise<void> {
    if (this.socket.destroyed) throw new Error('the connection is gone');
    if (this.socket.write(data)) return;
    await new Promise<void>((resolve) => {
      const done = (): void => {
        this.socket.off('drain', done);
        this.socket.off('close', done);
        resolve();
      };
      this.socket.on('drain', done);
      this.socket.on('close', done);
    });
  }

  close(): void {
    this.socket.end();
    setTimeout(() => this.socket.destroy(), 1_000).unref();
  }

  #take(bytes: number): Buffer {
    const all = this.#chunks.length === 1 && this.#chunks[0] ? this.#chunks[0] : Buffer.concat(this.#chunks);
    this.#chunks.splice(0, this.#chunks.length, ...(all.length > bytes ? [all.subarray(bytes)] : []));
    this.#size = all.length - bytes;
    this.socket.resume();
    return all.subarray(0, bytes);
  }

  async #more(): Promise<void> {
    await new Promise<void>((resolve) => {
      this.#wake = resolve;
    });
    this.#wake = undefined;
  }
}

export interface Request {
  readonly method: string;
  readonly url: URL;
  readonly headers: ReadonlyMap<string, string>;
  /** Empty for a PUT: what follows is the stream. */
  readonly body: string;
  readonly wire: Wire;
  readonly secure: boolean;
}

export type Handler = (request: Request) => Promise<{ status: number; type: string; body: string } | 'taken'>;

export interface Certificate {
  readonly cert: string;
  readonly key: string;
}

/** Listens on one address: 443 with TLS and 80 without, as every XenServer does. */
export async function listen(address: string, certificate: Certificate, handler: Handler): Promise<Server[]> {
  const serve = (secure: boolean) => (socket: Socket) => {
    converse(new Wire(socket), secure, handler).catch(() => socket.destroy());
  };
  const secure = createTlsServer({ ...certificate, minVersion: 'TLSv1.2' }, serve(true));
  const plain = createPlainServer(serve(false));
  secure.on('tlsClientError', () => undefined);
  const opened = await Promise.allSettled([listening(secure, address, 443), listening(plain, address, 80)]);
  const refusal = opened.find((each) => each.status === 'rejected');
  if (refusal === undefined) return [secure, plain];
  for (const server of [secure, plain]) server.close();
  throw refusal.reason;
}

function listening(server: Server, host: string, port: number): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once('error', reject);
    server.listen({ host, port }, () => resolve());
  });
}

async function converse(wire: Wire, secure: boolean, handler: Handler): Promise<void> {
  for (;;) {
    const head = await wire.readHead();
    if (head === undefined) return wire.close();
    const { method, url, headers } = parseHead(head);
    const length = Number(headers.get('content-length') ?? 0);
    const body = method === 'PUT' ? '' : (await wire.read(length)).toString('utf8');
    const answer = await handler({ method, url, headers, body, wire, secure });
    if (answer === 'taken') return;
    await wire.write(
      `HTTP/1.1 ${answer.status} ${answer.status === 200 ? 'OK' : 'Error'}\r\ncontent-type: ${answer.type}\r\ncontent-length: ${Buffer.byteLength(answer.body)}\r\nconnection: keep-alive\r\n\r\n${answer.body}`,
    );
    if (method === 'PUT') return wire.close(); // what follows its head is no request
  }
}

export function parseHead(head: string): { method: string; url: URL; headers: Map<string, string> } {
  const [first = '', ...lines] = head.split('\r\n');
  const [method = '', path = '/'] = first.split(' ');
  const headers = new Map(
    lines.map((line) => {
      const at = line.indexOf(':');
      return [line.slice(0, at).toLowerCase(), line.slice(at + 1).trim()] as const;
    }),
  );
  return { method, url: new URL(path, 'http://host'), headers };
}
