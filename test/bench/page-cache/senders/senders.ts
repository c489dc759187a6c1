/** The ways in which a stream could go over the link, and what each of them costs: the rows of the table. */
import { createReadStream } from 'node:fs';
import { RamStream, type StreamVisitor } from '../stream/ram-stream.ts';
import { ChunkCacheSender } from './chunks.ts';
import { type FrameOptions, Frames } from './frames.ts';
import { LongDistanceSender } from './long-distance.ts';
import { PageCacheSender } from './page-cache.ts';
import { XbzrleSender } from './xbzrle.ts';

/** Reads the stream from wherever it is, in pieces. */
export type Source = () => AsyncIterable<Buffer>;

export const recording =
  (file: string): Source =>
  () =>
    createReadStream(file, { highWaterMark: 1 << 20 });

export interface Sent {
  readonly firstBytes: number;
  readonly againBytes: number;
}

export interface Sender {
  readonly name: string;
  readonly what: string;
  /** Whether it keeps something, so that how much matters. */
  readonly hasCache: boolean;
  send(source: Source, cacheBytes: number, againFrom: number, signal: AbortSignal): Promise<Sent>;
}

export const SENDERS: readonly Sender[] = [
  {
    name: 'zstd',
    what: "the gateway's compression, which exists",
    hasCache: false,
    send: (source, _, againFrom, signal) =>
      throughFrames({ compress: 'gateway', againFrom }, (frames) => feed(source, (bytes) => frames.put(bytes), signal)),
  },
  {
    name: 'zstd, level 1',
    what: 'the same, but the processor tries harder; no cache',
    hasCache: false,
    send: (source, _, againFrom, signal) =>
      throughFrames({ compress: 1, againFrom }, (frames) => feed(source, (bytes) => frames.put(bytes), signal)),
  },
  pages(
    'references + zstd',
    'a page that is as it was sent before goes as a reference; knows the format',
    (bytes, frames) => {
      return new PageCacheSender(bytes, frames, false);
    },
  ),
  pages(
    'deltas + zstd',
    'and one that is similar goes as its difference: the most that a cache can find',
    (bytes, frames) => {
      return new PageCacheSender(bytes, frames, true);
    },
  ),
  {
    name: 'chunks + zstd',
    what: 'pieces cut where the content says so go as references; knows no format',
    hasCache: true,
    send: (source, cacheBytes, againFrom, signal) =>
      throughFrames({ compress: 'gateway', againFrom }, async (frames) => {
        const sender = new ChunkCacheSender(cacheBytes, frames);
        await feed(source, (bytes) => sender.push(bytes), signal);
        sender.end();
      }),
  },
  {
    name: 'zstd with memory',
    what: 'long-distance matches within a window as large as the cache; knows no format',
    hasCache: true,
    async send(source, cacheBytes, againFrom, signal) {
      const sender = new LongDistanceSender(cacheBytes, againFrom);
      try {
        await feed(source, (bytes) => sender.push(bytes), signal);
        return { firstBytes: sender.firstBytes, againBytes: sender.againBytes };
      } finally {
        sender.free();
      }
    },
  },
  pages("QEMU's xbzrle", "QEMU's own cache (libvirt's `compressed`) and no compression", xbzrle, 'no'),
  pages('xbzrle + zstd', "QEMU's own cache, and the gateway's compression behind it", xbzrle),
];

function xbzrle(cacheBytes: number, frames: Frames): StreamVisitor {
  return new XbzrleSender(cacheBytes, frames);
}

/** A sender that takes QEMU's stream apart. */
function pages(
  name: string,
  what: string,
  make: (cacheBytes: number, frames: Frames) => StreamVisitor & { free?(): void },
  compress: FrameOptions['compress'] = 'gateway',
): Sender {
  return {
    name,
    what,
    hasCache: true,
    send: (source, cacheBytes, againFrom, signal) =>
      throughFrames({ compress, againFrom }, async (frames) => {
        const visitor = make(cacheBytes, frames);
        try {
          await visit(source, visitor, signal);
        } finally {
          visitor.free?.();
        }
      }),
  };
}

async function throughFrames(options: FrameOptions, send: (frames: Frames) => Promise<void>): Promise<Sent> {
  const frames = new Frames(options);
  try {
    await send(frames);
    frames.flush();
    return { firstBytes: frames.firstBytes, againBytes: frames.againBytes };
  } finally {
    frames.free();
  }
}

/** Takes a whole stream apart. @throws StreamError */
export async function visit(source: Source, visitor: StreamVisitor, signal: AbortSignal): Promise<void> {
  const stream = new RamStream(visitor);
  await feed(source, (bytes) => stream.push(bytes), signal);
  stream.end();
}

/** The same with a border between two pieces at `place`, so that what is counted apart can be told apart. */
export const cutAt = (source: Source, place: number): Source =>
  async function* () {
    let at = 0;
    for await (const bytes of source()) {
      const before = Math.min(bytes.length, Math.max(0, place - at));
      if (before > 0) yield bytes.subarray(0, before);
      if (before < bytes.length) yield bytes.subarray(before);
      at += bytes.length;
    }
  };

async function feed(source: Source, take: (bytes: Buffer) => void, signal: AbortSignal): Promise<void> {
  for await (const bytes of source()) {
    signal.throwIfAborted();
    take(bytes);
  }
}
