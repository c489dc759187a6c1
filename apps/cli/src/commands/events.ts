/** `lmas events`: everything that happens, as it happens. */
import type { Notice } from '@lmas/client';
import { formatTime } from '@lmas/format';
import { type Invocation, leaf, type Registry } from '../command.ts';
import { EXIT, type ExitCode } from '../exit-codes.ts';
import { printable } from '../output/text.ts';

interface EventsFlags {
  readonly after?: string;
}

export function addEvents(registry: Registry): void {
  const command = registry.program
    .command('events')
    .summary('follow everything that happens')
    .description(
      'Tells what happens, from now on, until Ctrl-C: of migrations, runs of plans, schedules and balancing policies, as far as the key sees them. A lost connection is waited for, and nothing is missed by it. One kind or one thing alone: lmas list --watch, lmas get ID --watch, lmas plan status RUN --watch, lmas policy history ID --watch.',
    )
    .option('--after <event>', 'begin after this one: its `id` with --json');
  leaf<EventsFlags>(registry, command, {
    examples: ['lmas events', 'lmas events --json | jq -c \'select(.type == "plan-run")\''],
    action: follow,
  });
}

async function follow(invocation: Invocation<EventsFlags>): Promise<ExitCode> {
  const { flags, signal, terminal } = invocation;
  const say = (text: string) => terminal.stderr.write(`lmas: ${printable(text)}\n`);
  let isLost = false;
  const notices = (await invocation.client()).watchNotices({
    signal,
    ...(flags.after === undefined ? {} : { lastEventId: flags.after }),
    onConnectionLost: ({ message }) => {
      if (!isLost) say(`no connection to the orchestrator, trying again: ${message}`);
      isLost = true;
    },
    onConnected: () => {
      if (isLost) say('connected again');
      isLost = false;
    },
    onMissed: (missed) =>
      say(`${missed === null ? 'some events are' : `${missed} events are`} missing here: they are not kept any more.`),
  });
  try {
    for await (const { id, event } of notices) {
      if (flags.json === true) terminal.stdout.write(`${JSON.stringify({ id, ...event })}\n`);
      else terminal.stdout.write(`${formatTime(event.at)}  ${subjectOf(event)}  ${printable(event.message)}\n`);
    }
  } catch (error) {
    if (!signal.aborted) throw error;
    return EXIT.interrupted;
  }
  return EXIT.ok;
}

/** What it is about. A newer orchestrator may tell of things that are not known here. */
function subjectOf(notice: Notice): string {
  if ('migration' in notice) return `${notice.migration.id} ${printable(notice.migration.vm.name)}`;
  switch (notice.type) {
    case 'plan-run':
      return notice.planRun.id;
    case 'schedule':
      return `schedule ${notice.schedule.id}`;
    case 'balancing':
      return `policy ${notice.balancing.policy}`;
    default:
      return (notice as { readonly type: string }).type;
  }
}
