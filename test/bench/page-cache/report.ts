/** What the benchmark has found, as tables. Pure. */
import type { Table } from '../report/table.ts';
import type { Costs } from './senders/costs.ts';
import type { Contents } from './stream/contents.ts';

export interface SenderRow {
  readonly sender: string;
  /** null: keeps nothing. */
  readonly cacheBytes: number | null;
  /** On the link, until pages come again, and from there on. */
  readonly firstBytes: number;
  readonly againBytes: number;
}

export interface LoadResult {
  readonly load: string;
  readonly passes: number;
  readonly seconds: number;
  readonly converged: boolean;
  readonly contents: Contents;
  /** The same guest once more, sent with QEMU's own cache on. */
  readonly xbzrle: Pick<LoadResult, 'passes' | 'seconds' | 'converged'> & { readonly streamBytes: number };
  readonly rows: readonly SenderRow[];
  /** What is done with a page → processor seconds per GB of such pages. */
  readonly costs: Costs;
}

export const METHOD = {
  streams:
    'QEMU sends a guest at work over one connection at a limited rate, with a downtime of 30 ms until the time is over',
  xbzrle: 'recorded once more, with the cache of QEMU on and 256 MiB large',
  bytes:
    'frames of 256 KiB, each compressed alone with zstd at its fastest level or sent as it is, as the gateway does',
  again: 'from the first page on that is sent for the second time',
  same: 'pages whose content was sent before and has not changed since',
  similar: 'pages whose XOR with what was sent before compresses to at most half of what the page compresses to',
  costs: 'user and system time for the last 64 MiB of pages that were sent, least of five rounds, interleaved; one end',
};

const megabytes = (bytes: number): string => (bytes / 1e6).toFixed(0);
const share = (part: number, whole: number): string => (whole === 0 ? '—' : `${((part / whole) * 100).toFixed(1)} %`);

/** One that had to be ended had not come to its end by itself. */
const passesOf = ({ passes, converged }: Pick<LoadResult, 'passes' | 'converged'>): string =>
  `${passes}${converged ? '' : ' (ended)'}`;

/** One row for each recording: what is in it, and what came of the same guest with QEMU's own cache on. */
export function streamsTable(results: readonly LoadResult[]): Table {
  return {
    head: [
      'guest',
      'passes',
      's',
      'MB',
      'zero pages',
      'pages',
      'sent again',
      'same',
      'similar',
      'packed alone, MB',
      'as difference, MB',
      'xbzrle: passes',
      's',
      'MB',
    ],
    names: 1,
    rows: results.map(({ load, passes, seconds, converged, contents, xbzrle }) => [
      ...[load, passesOf({ passes, converged }), seconds.toFixed(0), megabytes(contents.streamBytes)],
      ...[contents.zeroPages, contents.pages, contents.againPages].map(String),
      share(contents.samePages, contents.againPages),
      share(contents.similarPages, contents.againPages),
      ...[megabytes(contents.aloneBytes), megabytes(contents.differenceBytes)],
      ...[passesOf(xbzrle), xbzrle.seconds.toFixed(0), megabytes(xbzrle.streamBytes)],
    ]),
  };
}

/** One row for each way to send a recording: what it leaves on the link, beside the gateway's compression. */
export function ratesTable(results: readonly LoadResult[]): Table {
  return {
    head: [
      'guest',
      'sent',
      'cache, MiB',
      'first, MB',
      'again, MB',
      'of the stream',
      'beside zstd',
      'again beside zstd',
    ],
    names: 2,
    rows: results.flatMap(({ load, contents, rows }) => {
      const plain = rows[0];
      return rows.map((row) => [
        ...[load, row.sender, row.cacheBytes === null ? '' : String(row.cacheBytes / 2 ** 20)],
        ...[megabytes(row.firstBytes), megabytes(row.againBytes)],
        share(row.firstBytes + row.againBytes, contents.streamBytes),
        share(row.firstBytes + row.againBytes, plain === undefined ? 0 : plain.firstBytes + plain.againBytes),
        share(row.againBytes, plain?.againBytes ?? 0),
      ]);
    }),
  };
}

/** One row for each thing that is done with a page, one column for each recording: seconds of a processor per GB. */
export function costsTable(results: readonly LoadResult[]): Table {
  return {
    head: ['processor, s per GB', ...results.map(({ load }) => load)],
    names: 1,
    rows: Object.keys(results[0]?.costs ?? {}).map((name) => [
      name,
      ...results.map(({ costs }) => (costs[name as keyof Costs] ?? 0).toFixed(2)),
    ]),
  };
}
