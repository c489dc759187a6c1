/**
 * What each thing that a cache has to do costs: processor seconds per GB of pages, on pages of a recording. The least of several rounds, taken in
 * turn: other work on the machine makes a round slower, never faster.
 */
import { PAGE_BYTES } from '../stream/ram-stream.ts';
import { ChunkCacheSender } from './chunks.ts';
import { type FrameOptions, Frames } from './frames.ts';
import { LongDistanceSender } from './long-distance.ts';
import { PageHash } from './page-cache.ts';
import { PageStore } from './page-store.ts';
import { type Source, visit } from './senders.ts';

const SAMPLE_PAGES = 16_384;
const ROUNDS = 5;
const CACHE_BYTES = 256 << 20;

interface Sample {
  readonly pages: readonly Buffer[];
  /** The same, one after the other. */
  readonly bytes: Buffer;
  /** Where all of them are known. */
  readonly known: PageStore;
}

const STEPS = {
  'keyed hash of 128 bits': ({ pages }: Sample) => {
    const hash = new PageHash();
    for (const page of pages) hash.of(page);
    hash.free();
  },
  'look up, compare, keep': ({ pages, known }: Sample) => {
    for (const [i, page] of pages.entries()) {
      known.compare(i, page);
      known.keep(i, page);
    }
  },
  'zstd of the gateway': ({ pages }: Sample) => pack('gateway', pages),
  'zstd, level 1': ({ pages }: Sample) => pack(1, pages),
  'cut chunks, hash, look up': ({ pages }: Sample) =>
    throughFrames('no', (frames) => {
      const sender = new ChunkCacheSender(CACHE_BYTES, frames);
      for (const page of pages) sender.push(page);
      sender.end();
    }),
  'zstd with memory, 256 MiB': ({ bytes }: Sample) => {
    const sender = new LongDistanceSender(CACHE_BYTES, 0);
    sender.push(bytes);
    sender.free();
  },
} satisfies Record<string, (sample: Sample) => void>;

export type Costs = Readonly<Record<keyof typeof STEPS, number>>;

function pack(compress: FrameOptions['compress'], pages: readonly Buffer[]): void {
  throughFrames(compress, (frames) => {
    for (const page of pages) frames.put(page);
  });
}

function throughFrames(compress: FrameOptions['compress'], put: (frames: Frames) => void): void {
  const frames = new Frames({ compress, againFrom: 0 });
  put(frames);
  frames.flush();
  frames.free();
}

export async function costsOf(source: Source, signal: AbortSignal): Promise<Costs> {
  const pages = await latestPages(source, signal);
  const known = new PageStore(CACHE_BYTES);
  for (const [i, page] of pages.entries()) known.keep(i, page);
  const sample: Sample = { pages, bytes: Buffer.concat(pages), known };
  const least: Record<string, number> = {};
  for (let round = 0; round < ROUNDS; round++) {
    for (const [name, step] of Object.entries(STEPS)) {
      signal.throwIfAborted();
      const before = process.cpuUsage();
      step(sample);
      const { user, system } = process.cpuUsage(before);
      const secondsPerGB = ((user + system) * 1_000) / (pages.length * PAGE_BYTES);
      least[name] = Math.min(least[name] ?? Number.POSITIVE_INFINITY, secondsPerGB);
    }
  }
  return least as Costs;
}

/** The newest ones: what comes again is what a cache is for. */
async function latestPages(source: Source, signal: AbortSignal): Promise<Buffer[]> {
  const pages: Buffer[] = [];
  let count = 0;
  const content = (_: number, bytes: Buffer): void => {
    pages[count % SAMPLE_PAGES] = Buffer.from(bytes);
    count += 1;
  };
  await visit(source, { other: () => {}, content }, signal);
  return pages;
}
