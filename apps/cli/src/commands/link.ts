/** `lmas link test`: is the way between two sites open, and what can it carry? */
import type { Link, LinkTest } from '@lmas/client';
import { formatBitRate, formatTime } from '@lmas/format';
import { leaf, numberOption, type Registry } from '../command.ts';
import { EXIT } from '../exit-codes.ts';
import { findingLines } from '../output/migration-text.ts';
import { type Column, renderFields } from '../output/table.ts';
import { widthOf } from '../terminal.ts';
import { BANDWIDTH_HELP, parseBandwidth, parseInteger } from '../units.ts';
import { type LimitFlags, limitsFrom, limitsInWords } from './queue.ts';
import { addTimetable } from './timetable.ts';

export function addLink(registry: Registry): void {
  const link = registry.program
    .command('link')
    .summary('the ways between two sites: test, limits')
    .description('Links: the ways between two sites.');
  addListAndSet(registry, link);
  const test = link
    .command('test')
    .summary('Measures the way between two sites.')
    .description(
      'Puts a gateway pair in place between two sites and measures: which site can listen and on which port, MTU, round-trip time, rate, loss, and how far the clocks are apart. Takes everything down again. It loads the link for the seconds it measures. Exit code 1 when no tunnel is possible.',
    )
    .argument('<source>', 'site where the data would start')
    .argument('<destination>', 'site where it would go')
    .addOption(numberOption('--seconds <n>', 'how long the rate is measured, 0 to 30; 0 does not load the link', 5));
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
  const get = link
    .command('get')
    .description('Shows one link: what was measured, its limits, and what runs over it.')
    .argument('<site>', 'one site')
    .argument('<other>', 'the other one');
  leaf(registry, get, {
    examples: ['lmas link get a b'],
    action: async (invocation) => {
      const { args, flags, signal, terminal } = invocation;
      const shown = await (await invocation.client()).getLink(args.join('~'), { signal });
      const fields = [
        ['Link', shown.id],
        ['Measured', shown.measurements.map((one) => `${inWords(one)}, ${formatTime(one.measuredAt)}`).join('\n')],
        ['Rate', rateInWords(shown)],
        ['Limits', limitsInWords(shown.limits)],
        ['Running', String(shown.running)],
      ] as const;
      if (flags.json === true) invocation.printJson(shown);
      else invocation.print(renderFields(fields, widthOf(terminal.stdout, terminal.env)));
      return EXIT.ok;
    },
  });
  addRate(registry, link.command('rate'));
  const timetable = link.command('timetable').argument('<site>', 'one site').argument('<other>', 'the other one');
  addTimetable(registry, timetable, {
    linkOf: (args) => args.join('~'),
    examples: [
      'lmas link timetable a b --at "mon-fri 08:00-19:00=100Mbit" --time-zone Europe/Lisbon',
      'lmas link timetable a b',
    ],
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
      const limits = limitsFrom(flags, limit);
      const changed = await (await invocation.client()).updateLink(args.join('~'), { limits }, { signal });
      if (flags.json === true) invocation.printJson(changed);
      else invocation.print(`Link ${changed.id}: ${limitsInWords(changed.limits)}.`);
      return EXIT.ok;
    },
  });
}

function addRate(registry: Registry, command: Registry['program']): void {
  command
    .description('Says what a link carries, for predictions of migrations before anything was measured over it.')
    .argument('<site>', 'one site')
    .argument('<other>', 'the other one')
    .argument('<rate>', BANDWIDTH_HELP.replace('"unlimited"', '"unknown"'));
  leaf(registry, command, {
    examples: ['lmas link rate a b 1Gbit', 'lmas link rate a b unknown'],
    action: async (invocation) => {
      const { args, flags, signal } = invocation;
      const [site = '', other = '', rate = ''] = args;
      const bytesPerSec = rate === 'unknown' ? null : parseBandwidth(rate);
      const change = { rateBitsPerSec: bytesPerSec === null ? null : bytesPerSec * 8 };
      const changed = await (await invocation.client()).updateLink(`${site}~${other}`, change, { signal });
      if (flags.json === true) invocation.printJson(changed);
      else invocation.print(`Link ${changed.id}: ${rateInWords(changed)}.`);
      return EXIT.ok;
    },
  });
}

const rateInWords = ({ rateBitsPerSec }: Link): string =>
  rateBitsPerSec === null ? 'its rate is not known' : `said to carry ${formatBitRate(rateBitsPerSec)}`;

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
