/**
 * XAPI's own judgements before the call that moves. `VM.assert_can_migrate` connects from the source to the destination, over the very
 * connections of the migration; `VM.assert_can_boot_here` is what its data model names for `VM.pool_migrate`, and connects nowhere.
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

/** @throws XapiFault, or PluginError STREAM_FAILED when the way there is the trouble */
export async function assertCanSend(
  client: XapiClient,
  params: readonly unknown[],
  secret: string | undefined,
  options: Options,
): Promise<void> {
  try {
    await askCanSend(client, params, secret, options);
  } catch (error) {
    if (isFault(error)) throw inContext(error);
    throw error;
  }
}

function inContext(error: XapiFault): Error {
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
    remedy:
      'The source host cannot reach the destination this way. See that it may connect to the gateway’s ports 443 and 80, and the far gateway to the destination host’s.',
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
