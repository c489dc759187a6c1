/**
 * What a request names has to be there and to fit together: two endpoints of one kind, options that their plugin takes,
 * and, for a tunnel, sites that can have one.
 */
import { describeError, LmasError } from '../errors.ts';
import type { PluginRegistry } from '../plugins/registry.ts';
import { type Endpoint, type Inventory, requireGateways, type SiteStore } from '../sites/sites.ts';
import type { MigrationInput } from './record.ts';

export interface Referred {
  /** Sites. */
  readonly source: string;
  readonly destination: string;
  readonly plugin: string;
}

const SAME_ENDPOINT_REMEDY =
  'A move inside one site needs no tunnel: let the hypervisor do it (virsh migrate, Migrate of vCenter, xe vm-migrate). Where one pool or ' +
  'vCenter has hosts at both sites, register it once for each site, with the hosts of that site in `hosts`, and move between these two.';

/** @throws LmasError UNKNOWN_REFERENCE, SAME_ENDPOINT, ENDPOINT_CORDONED, DIFFERENT_PLUGINS, INVALID_OPTIONS, DRILL_NOT_SUPPORTED, RELOCATION_NOT_SUPPORTED, NO_GATEWAY, NO_LISTENER */
export async function checkReferences(
  input: MigrationInput,
  { endpoints, sites }: Inventory,
  plugins: PluginRegistry,
): Promise<Referred> {
  const found = await Promise.allSettled([input.source, input.destination].map((id) => endpoints.get(id)));
  refuseUnknown(found);
  const [source, destination] = found.map((each) => (each.status === 'fulfilled' ? each.value : undefined));
  if (source === undefined || destination === undefined) throw new LmasError('UNKNOWN_REFERENCE');
  if (source.id === destination.id) requireDisksAlone(input, source.plugin, plugins);
  else if (!input.allowCordoned) requireOpen(destination);
  if (source.plugin !== destination.plugin) {
    throw new LmasError(
      'DIFFERENT_PLUGINS',
      `${source.id} is ${source.plugin}, ${destination.id} ${destination.plugin}.`,
    );
  }
  checkOptions(input, source, plugins);
  if (input.drill !== null) requireDrills(source.plugin, plugins);
  if (input.powerState === 'off') requireRelocations(input, source.plugin, plugins);
  if (input.transport === 'tunnel') await checkGateways(source.site, destination.site, sites);
  return { source: source.site, destination: destination.site, plugin: source.plugin };
}

/** Nothing leaves the endpoint but disks, and these cross no link. @throws LmasError SAME_ENDPOINT */
function requireDisksAlone(
  { transport, drill, powerState }: MigrationInput,
  name: string,
  plugins: PluginRegistry,
): void {
  const can = plugins.get(name).capabilities.movesDisksAlone === true;
  if (!can || drill !== null || powerState === 'off')
    throw new LmasError('SAME_ENDPOINT', undefined, { remedy: SAME_ENDPOINT_REMEDY });
  if (transport === 'direct') return;
  throw new LmasError('SAME_ENDPOINT', 'Between source and destination, which are one endpoint, there is no tunnel.', {
    remedy: `To move the VM's disks alone, ask for transport \`direct\`. ${SAME_ENDPOINT_REMEDY}`,
  });
}

/** @throws LmasError ENDPOINT_CORDONED */
function requireOpen({ id, cordonedAt }: Endpoint): void {
  if (cordonedAt === null) return;
  throw new LmasError('ENDPOINT_CORDONED', `${id} takes no VMs: it is cordoned since ${cordonedAt}.`, {
    remedy: `Let it take some again (lmas endpoint uncordon ${id}), or say allowCordoned in the request.`,
  });
}

/** @throws LmasError DRILL_NOT_SUPPORTED */
function requireDrills(name: string, plugins: PluginRegistry): void {
  if (plugins.get(name).drill !== undefined) return;
  throw new LmasError('DRILL_NOT_SUPPORTED', `Plugin ${name} cannot start a copy of a VM and undo it.`, {
    remedy: 'Its checks (lmas check, or a plan in mode validate) touch nothing and predict the times.',
  });
}

/** @throws LmasError RELOCATION_NOT_SUPPORTED, DRILL_NOT_SUPPORTED */
function requireRelocations({ drill }: MigrationInput, name: string, plugins: PluginRegistry): void {
  if (drill !== null) throw new LmasError('DRILL_NOT_SUPPORTED', 'A drill copies a VM that runs.');
  if (plugins.get(name).relocation !== undefined) return;
  throw new LmasError('RELOCATION_NOT_SUPPORTED', `Plugin ${name} moves running VMs only.`, {
    remedy: "Start the VM, or move it by the hypervisor's own means.",
  });
}

function checkOptions(input: MigrationInput, { plugin }: Endpoint, plugins: PluginRegistry): void {
  const options = plugins.get(plugin).optionsSchema.safeParse(input.options);
  if (options.success) return;
  const issues = options.error.issues.map(({ path, message }) => ({ path: ['options', ...path].join('.'), message }));
  throw new LmasError('INVALID_OPTIONS', undefined, { issues });
}

/** @throws LmasError NO_GATEWAY, NO_LISTENER */
async function checkGateways(source: string, destination: string, store: SiteStore): Promise<void> {
  const sites = await Promise.all([store.get(source), store.get(destination)]);
  const remedy = 'Register one for each site, or ask for transport `direct`.';
  if (!requireGateways(sites, { remedy }).some(({ gateway }) => gateway.listens)) throw new LmasError('NO_LISTENER');
}

/** @throws LmasError UNKNOWN_REFERENCE that names every endpoint that is not there */
function refuseUnknown(found: readonly PromiseSettledResult<unknown>[]): void {
  const reasons: unknown[] = found.flatMap((each) => (each.status === 'rejected' ? [each.reason] : []));
  if (reasons.length === 0) return;
  const missing = reasons.filter((reason) => reason instanceof LmasError && reason.code === 'ENDPOINT_NOT_FOUND');
  if (missing.length < reasons.length) throw reasons.find((reason) => !missing.includes(reason));
  throw new LmasError('UNKNOWN_REFERENCE', missing.map((reason) => describeError(reason).message).join(' '));
}
