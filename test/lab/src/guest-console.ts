// Asking the guest over its serial line. The line ends in a Unix socket of the QEMU that runs it, reached through the host's PID 1, so an
// answer also says where the guest runs. One request at a time a connection; numbers come back in hex.

import { connect, type Socket } from 'node:net';
import { LabError } from './errors.ts';

export interface GuestAnswer {
  /** Ticks of the guest's timer since it started; only grows. */
  counter: number;
  /** Pages rewritten since it started; only grows. */
  writes: number;
  sectorWrites: number;
  /** 32 hex digits; zeros in a guest that was given none since it started. */
  nonce: string;
}

export interface GuestVerdict extends GuestAnswer {
  pages: number;
  badPages: number;
  firstBadPage?: number;
  sectors: number;
  badSectors: number;
  firstBadSector?: number;
  diskErrors: number;
}

export interface GuestStatus extends GuestAnswer {
  pages: number;
  sectors: number;
  rate: number;
}

let lastId = 0;

/** Sends one request and waits for its answer. LAB_GUEST_SILENT after `timeoutMs`. */
export async function askGuest(
  socketPath: string,
  request: string,
  options: { timeoutMs?: number; signal?: AbortSignal } = {},
): Promise<Map<string, string>> {
  const id = `q${process.pid}.${++lastId}`;
  const socket = connect(socketPath);
  const stop = () => socket.destroy(new LabError('LAB_GUEST_SILENT', `${request}: given up`));
  options.signal?.addEventListener('abort', stop, { once: true });
  const timer = setTimeout(
    () => socket.destroy(new LabError('LAB_GUEST_SILENT', `${request}: no answer`)),
    options.timeoutMs ?? 15_000,
  );
  try {
    return parseAnswer(request, await exchange(socket, id, request));
  } finally {
    clearTimeout(timer);
    options.signal?.removeEventListener('abort', stop);
    socket.destroy();
  }
}

function exchange(socket: Socket, id: string, request: string): Promise<string> {
  return new Promise((resolve, reject) => {
    let text = '';
    // The empty line first ends whatever a broken connection left half said.
    socket.on('connect', () => socket.write(`\n${id} ${request}\n`));
    socket.on('error', (cause) =>
      reject(
        cause instanceof LabError ? cause : new LabError('LAB_GUEST_SILENT', `${request}: ${cause.message}`, { cause }),
      ),
    );
    socket.on('close', () => reject(new LabError('LAB_GUEST_SILENT', `${request}: the line was closed`)));
    socket.on('data', (chunk: Buffer) => {
      text += chunk.toString('latin1');
      const line = text
        .split('\n')
        .slice(0, -1)
        .find((candidate) => candidate.startsWith(`${id} `));
      if (line !== undefined) resolve(line.slice(id.length + 1).trim());
    });
  });
}

function parseAnswer(request: string, answer: string): Map<string, string> {
  const [word, ...fields] = answer.split(' ');
  if (word !== 'ok') throw new LabError('LAB_GUEST_REFUSED', `${request}: ${answer}`);
  return new Map(fields.map((field) => field.split('=', 2) as [string, string]));
}

const number = (fields: Map<string, string>, name: string): number => Number.parseInt(fields.get(name) ?? '0', 16);

function lifeOf(fields: Map<string, string>): GuestAnswer {
  return {
    counter: number(fields, 'counter'),
    writes: number(fields, 'writes'),
    sectorWrites: number(fields, 'sectorWrites'),
    nonce: fields.get('nonce') ?? '',
  };
}

export function statusOf(fields: Map<string, string>): GuestStatus {
  return {
    ...lifeOf(fields),
    pages: number(fields, 'pages'),
    sectors: number(fields, 'sectors'),
    rate: number(fields, 'rate'),
  };
}

export function verdictOf(fields: Map<string, string>): GuestVerdict {
  return {
    ...lifeOf(fields),
    pages: number(fields, 'pages'),
    badPages: number(fields, 'badPages'),
    ...(fields.has('firstBadPage') ? { firstBadPage: number(fields, 'firstBadPage') } : {}),
    sectors: number(fields, 'sectors'),
    badSectors: number(fields, 'badSectors'),
    ...(fields.has('firstBadSector') ? { firstBadSector: number(fields, 'firstBadSector') } : {}),
    diskErrors: number(fields, 'diskErrors'),
  };
}
