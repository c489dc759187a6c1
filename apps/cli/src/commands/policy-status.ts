/** `lmas policy status`: a pass that a schedule ordered, to the end of what it moved. */
import type { BalancingRun } from '@lmas/client';
import { formatTime } from '@lmas/format';
import { leaf, type Registry } from '../command.ts';
import { EXIT, type ExitCode } from '../exit-codes.ts';
import { renderFields } from '../output/table.ts';
import { printable } from '../output/text.ts';
import { widthOf } from '../terminal.ts';
import { watchList } from '../watch-list.ts';

const outcomeOf = ({ phase }: BalancingRun): ExitCode | undefined => {
  if (phase === 'waiting' || phase === 'moving') return undefined;
  return phase === 'succeeded' ? EXIT.ok : EXIT.failed;
};

export function addPolicyStatus(registry: Registry, policy: Registry['program']): void {
  const command = policy
    .command('status')
    .description(
      'Shows a run: a pass that a schedule ordered, to the end of what it moved. With --watch it stays until then. Exit code 1 when it ended as failed or cancelled.',
    )
    .argument('<run>', 'id of the run, b_…: see lmas schedule history')
    .option('--watch', 'look again and again, until it has ended');
  leaf<{ watch?: boolean }>(registry, command, {
    examples: ['lmas policy status b_0198c9d4-5a1f-7c55-b1d2-5d3c7c1f9a10 --watch'],
    action: async (invocation) => {
      const { args, flags, signal, terminal } = invocation;
      const client = await invocation.client();
      const look = () => client.getBalancingRun(args[0] ?? '', { signal });
      if (flags.watch === true) {
        return await watchList<BalancingRun>(invocation, {
          look: async () => [await look()],
          id: ({ id }) => id,
          line: ({ id, phase, message }) => `${id}  ${phase}: ${message}`,
          screen: (runs, width) => runs.map((run) => inFields(run, width)).join(''),
          outcome: ([run]) => run && outcomeOf(run),
        });
      }
      const run = await look();
      if (flags.json === true) invocation.printJson(run);
      else invocation.print(inFields(run, widthOf(terminal.stdout, terminal.env)));
      return outcomeOf(run) ?? EXIT.ok;
    },
  });
}

function inFields(run: BalancingRun, width: number): string {
  const { id, policy, phase, pass, moves, createdAt, endedAt, message, code } = run;
  return renderFields(
    [
      ['Run', id],
      ['Policy', policy],
      ['State', phase],
      ['Message', printable(code === null ? message : `${message} (${code})`)],
      ['Pass', pass === null ? '' : String(pass)],
      ['Moves', moves.join('\n')],
      ['Created', formatTime(createdAt)],
      ['Ended', endedAt === null ? '' : formatTime(endedAt)],
    ],
    width,
  );
}
