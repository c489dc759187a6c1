/**
 * What the tunnel's compression gains where memory compresses, and what it costs where it does not: one stream over the same link with
 * compression left to the gateway and without it, one after the other.
 */
import type { Lab } from '../../lab/src/index.ts';
import type { Contender } from '../contenders/contender.ts';
import { lmas, lmasCompressing } from '../contenders/lmas.ts';
import type { Pattern } from '../load/load.ts';
import type { Sample } from '../report/sample.ts';
import { megabits, type Part, percent } from './part.ts';
import { measure } from './throughput/measure.ts';
import type { Cell, Measurement } from './throughput/measurement.ts';
import { describeCell } from './throughput/report.ts';

const at = (rttMs: number): Cell => ({ rateMbit: 1_000, rttMs, lossPct: 0 });
/** The first one is what a quick run has time for. */
const CELLS: readonly Cell[] = [at(100), at(0)];
const CONTENTS: Readonly<Record<Pattern, string>> = {
  half: 'pages that are half noise, half sparse',
  random: 'noise',
};

export const compression: Part = {
  name: 'compression',
  title: 'Compression, where it pays and where it does not',
  method:
    'One stream through a pair with compression `auto`, and through one without, right after each other, in turns which of them first. Share is of what the link carries of payload that is sent as it is. CPU is of both ends, per GB of what the host sent.',
  columns: {
    goodputBitsPerSec: { title: 'Mbit/s', text: megabits },
    linkShare: { title: 'share of the link', text: percent },
    ofUncompressed: { title: 'of that without', text: percent },
    cpuSecPerGB: { title: 'CPU s/GB', text: (seconds) => seconds.toFixed(2) },
    uncompressedCpuSecPerGB: { title: 'without, CPU s/GB', text: (seconds) => seconds.toFixed(2) },
  },
  async *measure(lab, { quick, cells, signal }) {
    let turn = 0;
    for (const cell of cells ?? (quick ? CELLS.slice(0, 1) : CELLS)) {
      await lab.setLink(cell);
      for (const pattern of ['half', 'random'] as const) {
        signal.throwIfAborted();
        yield await measureOne(lab, { cell, pattern, seconds: quick ? 6 : 20, plainFirst: turn++ % 2 === 0, signal });
      }
    }
  },
};

interface Question {
  readonly cell: Cell;
  readonly pattern: Pattern;
  readonly seconds: number;
  readonly plainFirst: boolean;
  readonly signal: AbortSignal;
}

async function measureOne(lab: Lab, { cell, pattern, seconds, plainFirst, signal }: Question): Promise<Sample> {
  const through = async (contender: Contender): Promise<Measurement> => {
    signal.throwIfAborted();
    return await measure(lab, cell, contender, { seconds, pattern, pass: '' });
  };
  const [first, second] = plainFirst ? [lmas, lmasCompressing] : [lmasCompressing, lmas];
  const one = await through(first);
  const other = await through(second);
  const [plain, compressed] = plainFirst ? [one, other] : [other, one];
  return {
    labels: { link: describeCell(cell), 'what is sent': CONTENTS[pattern] },
    values: {
      goodputBitsPerSec: compressed.goodputBitsPerSec,
      linkShare: compressed.linkShare,
      ofUncompressed: compressed.goodputBitsPerSec / plain.goodputBitsPerSec,
      cpuSecPerGB: compressed.cpuSecPerGB,
      uncompressedCpuSecPerGB: plain.cpuSecPerGB,
    },
    disturbed: [...new Set([...plain.disturbed, ...compressed.disturbed])],
  };
}
