/** `lmas link test`: is the way between two sites open, and what can it carry? */
import type { Link, LinkTest } from '@lmas/client';
import { leaf, type Registry } from '../command.ts';
import { EXIT } from '../exit-codes.ts';
import { formatBitRate } from '../output/format.ts';
import { findingLines } from '../output/migration-text.ts';
import { type Column, renderFields } from '../output/table.ts';
import { widthOf } from '../terminal.ts';
import { BANDWIDTH_HELP, parseInteger } from '../units.ts';
import { type LimitFlags, limitsFrom, limitsInWords } from './queue.ts';

export function addLink(registry: Registry): void {
  const link = registry.program
    .command('link')
    .summary('the ways between two sites: test, limits')
    .description('Links: the ways between two sites.');
  addListAndSet(registry, link);
  const test = link
    .command('test')
    .description(
      'Puts a gateway pair in place between two sites and measures: which site can listen and on which port, MTU, round-trip time, rate, loss, and how far the clocks are apart. Takes everything down again. It loads the link for the seconds it measures. Exit code 1 when no tunnel is possible.',
    )
    .argument('<source>', 'site where the data would start')
    .argument('<destination>', 'site where it would go')
    .option('--seconds <n>', 'how long the rate is measured, 0 to 30; 0 does not load the link', '5');
  leaf<{ seconds: string }>(registry, test, {
    examples: ['lmas link test a b', 'lmas link test a b --seconds 0 --json'],
    action: async (invocation) => {
      const [source = '', destination = ''] = invocation.args;
      const durationMs = parseInteger(invocation.flags.seconds, { min: 0, max: 30 }) * 1_000;
      const client = await invocation.client();
      if (invocation.terminal.stderr.isTTY === true) invocation.note(`Testing ${source} → ${destination} …`);
      const result = await client.testLink({ source, destination, durationMs }, { signal: invocation.signal });
      if (invocation.flags.json === true) invocation.printJson(result);
      else invocation.print(describeLink(result, widthOf(invocation.terminal.stdout, invocation.terminal.env)));
      return result.findings.some(({ severity }) => severity === 'blocker') ? EXIT.failed : EXIT.ok;
    },
  });
}

const COLUMNS: readonly Column<Link>[] = [
  { title: 'LINK', value: ({ id }) => id },
  { title: 'MEASURED', value: ({ measurements }) => measurements.map(inWords).join('; '), minWidth: 12 },
  { title: 'LIMITS', value: ({ limits }) => limitsInWords(limits), minWidth: 12 },
  { title: 'RUN', value: ({ running }) => String(running), align: 'right', dropOrder: 1 },
];

function inWords({ source, goodputBitsPerSec, rttMedianMs }: Link['measurements'][number]): string {
  const rate = goodputBitsPerSec === null ? '' : `${formatBitRate(goodputBitsPerSec)}, `;
  return `from ${source} ${rate}${rttMedianMs.toFixed(1)} ms`;
}

function addListAndSet(registry: Registry, link: Registry['program']): void {
  leaf(registry, link.command('list').description('Lists all links, with what was measured and the limits.'), {
    examples: ['lmas link list'],
    action: async (invocation) => {
      const items = await (await invocation.client()).listLinks({ signal: invocation.signal });
      if (invocation.flags.json === true) invocation.printJson({ items });
      else invocation.printTable(COLUMNS, items, 'No links: there are not two sites.');
      return EXIT.ok;
    },
  });
  const limit = link
    .command('limit')
    .description('Sets the limits of a link; what is not named stays. What runs is never stopped for one.')
    .argument('<site>', 'one site')
    .argument('<other>', 'the other one')
    .option('--migrations <n>', 'how many may run at once, or "unlimited"')
    .option('--bandwidth <rate>', `for all of them together; ${BANDWIDTH_HELP}`);
  leaf<LimitFlags>(registry, limit, {
    examples: ['lmas link limit a b --migrations 2 --bandwidth 500Mbit'],
    action: async (invocation) => {
      const { args, flags, signal } = invocation;
      const changed = await (await invocation.client()).updateLink(
        args.join('~'),
        { limits: limitsFrom(flags) },
        { signal },
      );
      if (flags.json === true) invocation.printJson(changed);
      else invocation.print(`Link ${changed.id}: ${limitsInWords(changed.limits)}.`);
      return EXIT.ok;
    },
  });
}

export function describeLink(link: LinkTest, width: number): string {
  const { rttMinMs, rttMedianMs, goodputBitsPerSec, mtuBytes, lossPct, clockOffsetMs } = link;
  const ahead = clockOffsetMs > 0 ? link.destination : link.source;
  return renderFields(
    [
      ['Link', `${link.source} → ${link.destination}`],
      ['Port', `${link.port}, open at ${link.listener}`],
      ['Round trip', `${rttMedianMs.toFixed(1)} ms (least ${rttMinMs.toFixed(1)} ms)`],
      ['Rate', goodputBitsPerSec === null ? 'not measured' : formatBitRate(goodputBitsPerSec)],
      ['Loss', lossPct === null ? 'not known' : `${lossPct.toFixed(3)} %`],
      ['MTU', mtuBytes === null ? 'not known' : `${mtuBytes} bytes`],
      [
        'Clocks',
        Math.abs(clockOffsetMs) < 1
          ? 'agree within 1 ms'
          : `${Math.abs(clockOffsetMs).toFixed(0)} ms apart, ${ahead} is ahead`,
      ],
      ['Findings', findingLines(link.findings).join('\n')],
    ],
    width,
  );
}
