/** `lmas version`: this command, the orchestrator, and whether that is ready to work. */
import { leaf, type Registry } from '../command.ts';
import { EXIT } from '../exit-codes.ts';
import { printable } from '../output/text.ts';
import { CLI_VERSION } from '../version.ts';

export function addVersion(registry: Registry): void {
  const command = registry.program
    .command('version')
    .summary('print versions, and whether the orchestrator is ready')
    .description(
      'Prints the version of this command and of the orchestrator, and whether the orchestrator is ready. Exit code 3 when it cannot be reached or is not ready. For the version of this command alone: lmas --version.',
    );
  leaf(registry, command, {
    examples: ['lmas version', 'lmas version --url https://lmas.example.org --json'],
    action: async (invocation) => {
      const { signal, flags } = invocation;
      if (flags.json !== true) invocation.print(`lmas ${CLI_VERSION}`);
      const client = await invocation.client();
      const [orchestrator, readiness] = await Promise.all([
        client.getVersion({ signal }),
        client.getReadiness({ signal }),
      ]);
      if (flags.json === true) {
        invocation.printJson({ cli: CLI_VERSION, url: client.baseUrl, orchestrator, readiness });
      } else {
        invocation.print(
          `orchestrator ${orchestrator.version} (API ${orchestrator.apiVersion}) at ${client.baseUrl}: ${readiness.ready ? 'ready' : 'NOT READY'}`,
        );
        for (const { name, detail } of readiness.checks.filter(({ ok }) => !ok)) {
          invocation.print(`  ${printable(name)}: ${printable(detail)}`);
        }
      }
      return readiness.ready ? EXIT.ok : EXIT.unreachable;
    },
  });
}
