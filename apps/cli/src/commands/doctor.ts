/** `lmas doctor`: looks at the whole installation, says what was seen and what to do. */
import { type Invocation, leaf, type Registry } from '../command.ts';
import { whereIs } from '../connection.ts';
import { examineInstallation } from '../doctor/examine.ts';
import { type Check, countOf, describeCheck, describeVerdict, type Report } from '../doctor/report.ts';
import { EXIT } from '../exit-codes.ts';
import { LiveLine } from '../output/live-line.ts';
import { isLive } from '../terminal.ts';
import { CLI_VERSION } from '../version.ts';

export function addDoctor(registry: Registry): void {
  const command = registry.program
    .command('doctor')
    .summary('examine the whole installation')
    .description(
      `Examines the whole installation, from this command's settings to every gateway machine and endpoint, and says of each what was seen and what to do. Nothing is changed. What asks a far end needs the role operator, what shows keys the role admin; without it they are left out.

Exit codes: 0 nothing failed (warnings may be there), 1 something failed, 2 no usable API key or URL, 3 the orchestrator cannot be reached or is not ready, 4 it refused the login.`,
    );
  leaf(registry, command, {
    examples: [
      'lmas doctor',
      'lmas doctor --url https://lmas.example.org --json | jq -r \'.checks[] | select(.status == "failed") | .found\'',
    ],
    action: async (invocation) => {
      const report = await examineAloud(invocation);
      if (invocation.flags.json === true) {
        const { exitCode: _, ...found } = report;
        invocation.printJson({ ...found, cli: CLI_VERSION, summary: countOf(report.checks) });
      } else if (report.exitCode !== EXIT.interrupted) invocation.print(`\n${describeVerdict(report.checks)}`);
      return report.exitCode;
    },
  });
}

/** Prints each check as it ends, and at a terminal how far it has come. */
async function examineAloud(invocation: Invocation<object>): Promise<Report> {
  const { terminal, flags, signal } = invocation;
  const { stdout, stderr, env } = terminal;
  const live = flags.json !== true && isLive(stderr, env) && isLive(stdout, env) ? new LiveLine(stderr) : undefined;
  let seen = 0;
  const onCheck = (check: Check): void => {
    seen += 1;
    if (flags.json === true) return;
    live?.clear();
    invocation.print(describeCheck(check));
    live?.show(`looked at ${seen} …`);
  };
  try {
    live?.show('looking …');
    return await examineInstallation({
      ...{ url: await whereIs(flags, env), signal, onCheck },
      client: () => invocation.silentClient(),
    });
  } finally {
    live?.clear();
  }
}
