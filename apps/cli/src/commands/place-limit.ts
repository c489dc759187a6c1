/** `lmas site limit` and `lmas endpoint limit`: how many migrations may run there at once. */
import { leaf, type Registry } from '../command.ts';
import { EXIT } from '../exit-codes.ts';
import { parseInteger } from '../units.ts';

const MOST = { min: 0, max: 100_000 };

export function addPlaceLimit(registry: Registry, command: Registry['program'], kind: 'site' | 'endpoint'): void {
  command
    .description(
      `Limits how many migrations may run at once from or to ${kind === 'site' ? 'a site' : 'an endpoint'}; without flags it shows what is set. What runs is never stopped for it.`,
    )
    .argument('<id>', `name of the ${kind}`)
    .option('--migrations <n>', 'how many, or "unlimited"; 0 lets none begin');
  leaf<{ migrations?: string }>(registry, command, {
    examples: [`lmas ${kind} limit ${kind === 'site' ? 'a' : 'host-a'} --migrations 4`],
    action: async (invocation) => {
      const { args, flags, signal } = invocation;
      const id = args[0] ?? '';
      const { migrations } = flags;
      const limits =
        migrations === undefined
          ? undefined
          : { maxMigrations: migrations === 'unlimited' ? null : parseInteger(migrations, MOST) };
      const client = await invocation.client();
      const ofSite = kind === 'site';
      const { maxMigrations } = await (limits === undefined
        ? client[ofSite ? 'getSiteLimits' : 'getEndpointLimits'](id, { signal })
        : client[ofSite ? 'setSiteLimits' : 'setEndpointLimits'](id, limits, { signal }));
      if (flags.json === true) invocation.printJson({ maxMigrations });
      else invocation.print(`${id}: ${maxMigrations === null ? 'any number' : maxMigrations} at once.`);
      return EXIT.ok;
    },
  });
}
