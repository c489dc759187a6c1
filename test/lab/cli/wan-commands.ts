/** `wan …`: the line between the sites, set, cut, counted and checked against theory. */
import { checkLink, printCheck } from '../src/check.ts';
import { LabError } from '../src/errors.ts';
import { type Direction, type Lab, openLab } from '../src/index.ts';
import { type CommandLine, numberOf } from './command-line.ts';
import { lineText } from './site-commands.ts';

export async function wan(line: CommandLine): Promise<void> {
  const verb = line.word(1, 'what to do with the WAN');
  const command = COMMANDS[verb];
  if (!command) throw new LabError('LAB_ARGUMENT', `wan ${verb}: there is no such command; see --help`);
  if (verb === 'set' && Object.keys(line.linkOptions()).length === 0)
    throw new LabError(
      'LAB_ARGUMENT',
      'wan set: nothing to set; give one of --rate, --rtt, --loss, --queue, --jitter; see --help',
    );
  await command(line, await openLab(line.values.name));
}

const COMMANDS: Readonly<Record<string, (line: CommandLine, lab: Lab) => Promise<void>>> = {
  async set(line, lab) {
    const link = await lab.setLink(line.linkOptions());
    line.print(link, lineText(link));
  },

  async stats(line, lab) {
    const stats = await lab.linkStats();
    const head = `${lineText(stats.settings)} (${stats.kind}, ${(stats.cpuUs / 1e6).toFixed(2)} s of processor)`;
    line.print(stats, [head, directionLine('a→b', stats.ab), directionLine('b→a', stats.ba)].join('\n'));
  },

  async outage(line, lab) {
    const how = line.word(2, 'MS, on or off');
    const direction = line.choice<Direction>('direction', ['ab', 'ba', 'both'], 'both');
    await lab.outage(how === 'on' || how === 'off' ? how : numberOf('MS', how), direction);
    const said = how === 'off' ? 'whole again' : how === 'on' ? 'cut until "wan outage off"' : `cut for ${how} ms`;
    line.print({ outage: how, direction }, `Line: ${said}`);
  },

  async check(line, lab) {
    const result = await checkLink(lab, { seconds: line.number('seconds') ?? 8 });
    line.print(result, printCheck(result));
    if (!result.passed) process.exitCode = 1;
  },
};

type DirectionStats = Awaited<ReturnType<Lab['linkStats']>>['ab'];

function directionLine(name: string, stats: DirectionStats): string {
  const amount = (packets: number, bytes: number) => `${packets} packets, ${(bytes / 1e6).toFixed(1)} MB`;
  const other = stats.droppedMemory + stats.droppedOther;
  return [
    `${name}  offered ${amount(stats.packets, stats.bytes)}`,
    `delivered ${amount(stats.deliveredPackets, stats.deliveredBytes)}`,
    `dropped: queue ${stats.droppedQueue}, loss ${stats.droppedLoss}, outage ${stats.droppedOutage}, other ${other}`,
    `late ${stats.late} of ${stats.deliveries}${stats.outage ? '; CUT' : ''}`,
  ].join('; ');
}
