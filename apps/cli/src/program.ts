/** The command tree, and `run`: one command line in, one exit code out, every failure in words. */
import { type Command, CommanderError, Option } from 'commander';
import { commonOptions, type Outcome, type Registry, WholeCommand } from './command.ts';
import { addApiKey } from './commands/api-key.ts';
import { addAudit } from './commands/audit.ts';
import { addCancel } from './commands/cancel.ts';
import { addCompletion } from './commands/completion.ts';
import { addContext } from './commands/context.ts';
import { addCredential } from './commands/credential.ts';
import { addDoctor } from './commands/doctor.ts';
import { addDone } from './commands/done.ts';
import { addDrill } from './commands/drill.ts';
import { addEndpoint } from './commands/endpoint.ts';
import { addEvacuate } from './commands/evacuate.ts';
import { addEvents } from './commands/events.ts';
import { addGet } from './commands/get.ts';
import { addGiveUp } from './commands/give-up.ts';
import { addHelp } from './commands/help.ts';
import { addHostKey } from './commands/host-key.ts';
import { addLink } from './commands/link.ts';
import { addList } from './commands/list.ts';
import { addLog } from './commands/log.ts';
import { addMasterKey } from './commands/master-key.ts';
import { addCheck, addMigrate } from './commands/migrate.ts';
import { addHost, addStorage } from './commands/places.ts';
import { addPlan } from './commands/plan.ts';
import { addPlugin } from './commands/plugin.ts';
import { addPolicy } from './commands/policy.ts';
import { addProject } from './commands/project.ts';
import { addGateway, addQueue } from './commands/queue.ts';
import { addSchedule } from './commands/schedule.ts';
import { addRetry, addSet } from './commands/set.ts';
import { addSite } from './commands/site.ts';
import { addSupportBundle } from './commands/support-bundle.ts';
import { addVersion } from './commands/version.ts';
import { addVm } from './commands/vm.ts';
import { addWebhook } from './commands/webhook.ts';
import { failureOf, formatFailure } from './errors.ts';
import { EXIT, EXIT_CODE_HELP, type ExitCode } from './exit-codes.ts';
import { type Terminal, widthOf } from './terminal.ts';
import { CLI_VERSION } from './version.ts';

const DESCRIPTION = `Moves running virtual machines between data centres through an encrypted tunnel of parallel TCP connections.

A migration is a request to the orchestrator: it goes on when this command ends.`;

/** The end of `lmas --help`, and of its manual page. */
export const FIRST_STEPS_AND_ENVIRONMENT = `First steps:
  lmas host-key scan gw-a.example.org
  lmas credential add ops --username root --private-key-file ~/.ssh/id_ed25519
  lmas site add a --gateway gw-a.example.org --gateway-credential ops --gateway-host-key SHA256:…
  lmas endpoint add host-a --site a --plugin kvm --credential ops --config …
  lmas link test a b
  lmas check web-1 --from host-a --to host-b
  lmas migrate web-1 --from host-a --to host-b --watch

Environment:
  LMAS_URL            where the orchestrator is
  LMAS_API_KEY_FILE   file that holds the API key
  LMAS_API_KEY        the API key itself
  LMAS_CONTEXT        name of a context: see lmas context --help
  LMAS_CONTEXTS_FILE  where contexts are kept (default: ~/.config/lmas/contexts.json)
  LMAS_TIMEOUT        how long one request may take, e.g. 10s (default: 40s, more where a far end is waited for)

${EXIT_CODE_HELP}`;

export function buildProgram(terminal: Terminal, outcome: Outcome, { json = false } = {}): Command {
  const program = new WholeCommand('lmas');
  program
    .description(DESCRIPTION)
    .version(CLI_VERSION, '-V, --version', 'print the version of this command')
    .helpOption('-h, --help', 'print help')
    .exitOverride()
    .showSuggestionAfterError()
    .configureHelp({
      showGlobalOptions: false,
      sortSubcommands: false,
      subcommandDescription: (command) => command.summary() || firstSentence(command.description()),
    })
    .configureOutput({
      writeOut: (text) => terminal.stdout.write(text),
      writeErr: (text) => terminal.stderr.write(text),
      outputError: (text, write) => write(usageError(text, json)),
      getOutHelpWidth: () => Math.min(widthOf(terminal.stdout, terminal.env), 100),
      getErrHelpWidth: () => Math.min(widthOf(terminal.stderr, terminal.env), 100),
    })
    .addHelpText('after', `\n${FIRST_STEPS_AND_ENVIRONMENT}`);
  // Before the command as well as after it: `lmas --json list`.
  for (const { flags, description } of commonOptions()) program.addOption(new Option(flags, description).hideHelp());
  const registry: Registry = { program, terminal, outcome };
  program.commandsGroup('Migrations:');
  for (const add of [
    ...[addMigrate, addCheck, addDrill, addGet, addLog, addList],
    ...[addSet, addCancel, addRetry, addGiveUp, addDone, addQueue, addEvents],
  ])
    add(registry);
  program.commandsGroup('Many at once, and at their time:');
  for (const add of [addPlan, addEvacuate, addSchedule]) add(registry);
  program.commandsGroup('Sites and what is there:');
  for (const add of [
    addSite,
    addEndpoint,
    addCredential,
    addHostKey,
    addVm,
    addHost,
    addStorage,
    addLink,
    addGateway,
    addPlugin,
    addPolicy,
    addWebhook,
  ])
    add(registry);
  program.commandsGroup('Who may do what:');
  for (const add of [addApiKey, addProject, addAudit, addMasterKey]) add(registry);
  program.commandsGroup('Other:');
  for (const add of [addContext, addDoctor, addSupportBundle, addCompletion, addVersion]) add(registry);
  addHelp(program);
  if (!json) nameHelp(program);
  return program;
}

/** After wrong usage each command says how its own help is had. */
function nameHelp(command: Command, parents: readonly string[] = []): void {
  const names = [...parents, command.name()];
  command.showHelpAfterError(`${names.join(' ')} --help says what it takes.`);
  for (const one of command.commands) nameHelp(one, names);
}

const firstSentence = (text: string): string => text.split(/(?<=\.) /)[0] ?? '';

/** Runs one command line (without `node` and the script) and answers with its exit code; never throws. */
export async function run(argv: readonly string[], terminal: Terminal): Promise<ExitCode> {
  const outcome: Outcome = { exitCode: EXIT.ok };
  const json = argv.includes('--json');
  try {
    await buildProgram(terminal, outcome, { json }).parseAsync(argv, { from: 'user' });
    return outcome.exitCode;
  } catch (error) {
    if (error instanceof CommanderError) return error.exitCode === 0 ? EXIT.ok : EXIT.usage;
    const failure = failureOf(error);
    if (json) terminal.stderr.write(`${JSON.stringify({ error: failure })}\n`);
    else if (failure.exitCode !== EXIT.interrupted) terminal.stderr.write(formatFailure(failure));
    return failure.exitCode;
  }
}

/** What commander found wrong with the command line, in the form that the caller asked for. */
function usageError(text: string, json: boolean): string {
  const message = text.replace(/^error: /, '').trimEnd();
  if (!json) return `lmas: ${message}\n`;
  return `${JSON.stringify({ error: { exitCode: EXIT.usage, code: 'USAGE', message, errors: [] } })}\n`;
}
