/**
 * XAPI's own judgements before the call that moves. `VM.assert_can_migrate` is made by the source's coordinator (message_forwarding.ml), wherever the
 * guest runs, and connects from there at port 443 as the migration will: to the API of the destination's coordinator and, between two pools, to
 * the receiving host, where it has the guest's description imported. It proves these two ways. It proves nothing of storage and memory, of port
 * 80, and of the sending host, where that is another member: that one asks the API once if the guest has a virtual GPU, else nobody. The move
 * shows the rest. `VM.assert_can_boot_here` is what the data model names for `VM.pool_migrate`, and connects nowhere.
 */
import { type MigrationRequest, PluginError } from '@lmas/plugin-api';
import type { XapiClient } from '../client.ts';
import type { XenOptions } from '../config.ts';
import { isFault, toPluginError, withoutSecret, type XapiFault } from '../errors.ts';
import { nothingSchema } from '../records.ts';

/** A dry run imports the guest's description at the destination. */
const DRY_RUN_TIMEOUT_MS = 180_000;

interface Options {
  readonly signal: AbortSignal;
}

/** @throws XapiFault with the verdict: those of the other pool, which this one passes on, are final. No secret is in it */
export async function askCanSend(
  client: XapiClient,
  params: readonly unknown[],
  secret: string | undefined,
  { signal }: Options,
): Promise<void> {
  try {
    const options = { signal, timeoutMs: DRY_RUN_TIMEOUT_MS, passesOn: true };
    await client.call('VM.assert_can_migrate', params, nothingSchema, options);
  } catch (thrown) {
    throw withoutSecret(thrown, secret);
  }
}

/**
 * @param coordinator of the source's pool, by name: the host that connects
 * @throws XapiFault, or PluginError STREAM_FAILED when the way there is the trouble
 */
export async function assertCanSend(
  client: XapiClient,
  params: readonly unknown[],
  secret: string | undefined,
  { coordinator, ...options }: Options & { readonly coordinator: string },
): Promise<void> {
  try {
    await askCanSend(client, params, secret, options);
  } catch (error) {
    if (isFault(error)) throw inContext(error, coordinator);
    throw error;
  }
}

function inContext(error: XapiFault, coordinator: string): Error {
  const said = toPluginError(error, 'the dry run over the route');
  const { native } = said;
  const extra = { cause: error, ...(native === undefined ? {} : { native }) };
  if (isFault(error, 'SESSION_INVALID', 'HOST_IS_SLAVE')) {
    return new PluginError(
      'STREAM_FAILED',
      `${said.message}: so says the destination of what it had answered before.`,
      {
        ...extra,
        remedy: 'Its tool stack was restarted, or another member is its coordinator now. Submit the migration again.',
      },
    );
  }
  if (said.code !== 'STREAM_FAILED') return error;
  return new PluginError('STREAM_FAILED', said.message, {
    ...extra,
    remedy: `${coordinator}, the source pool’s coordinator, which makes the dry run, cannot reach the destination this way. See that it may connect to port 443 of the gateway, and of the destination’s coordinator where that is not led through the tunnel, and the far gateway to port 443 of the destination host.`,
  });
}

/** For a move by `VM.pool_migrate`. @throws XapiFault with the verdict */
export async function assertCanRunThere(
  client: XapiClient,
  vm: string,
  host: string,
  { options: { force } }: Pick<MigrationRequest<XenOptions>, 'options'>,
  options: Options,
): Promise<void> {
  try {
    await client.call('VM.assert_can_boot_here', [vm, host], nothingSchema, options);
  } catch (error) {
    // It compares processors always; `force` says that they shall not be.
    if (!force || !isFault(error, 'VM_INCOMPATIBLE_WITH_THIS_HOST')) throw error;
  }
}
