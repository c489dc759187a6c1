/** `lmas link test`: is the way between two sites open, and what can it carry? */
import type { LinkTest } from '@lmas/client';
import { leaf, type Registry } from '../command.ts';
import { EXIT } from '../exit-codes.ts';
import { formatBitRate } from '../output/format.ts';
import { findingLines } from '../output/migration-text.ts';
import { renderFields } from '../output/table.ts';
import { widthOf } from '../terminal.ts';
import { parseInteger } from '../units.ts';

export function addLink(registry: Registry): void {
  const link = registry.program
    .command('link')
    .summary('test the way between two sites')
    .description('Links: the ways between two sites.');
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
