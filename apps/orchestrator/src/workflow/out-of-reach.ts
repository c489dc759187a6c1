/**
 * Whether something could not be taken down because its end cannot be reached at all, as if it were gone for good: nobody
 * answers there, or it is not registered any more. Whoever answers and refuses, is busy or slow may do it another time.
 */
import { pluginErrorCode } from '@lmas/plugin-api';
import { sshErrorCode } from '@lmas/ssh';
import { errorCode } from '../errors.ts';

const NOT_REGISTERED: ReadonlySet<unknown> = new Set([
  'SITE_NOT_FOUND',
  'NO_GATEWAY',
  'ENDPOINT_NOT_FOUND',
  'CREDENTIAL_NOT_FOUND',
]);
/** Or both ends answer that what it belonged to is there no more. */
const NOBODY_ANSWERS: ReadonlySet<unknown> = new Set(['UNREACHABLE', 'CONNECTION_LOST', 'VM_NOT_FOUND']);
/** What SSH says of a gateway machine that does answer has the same code of ours (see gateways/ssh-pool.ts). */
const NOBODY_ANSWERS_SSH: ReadonlySet<unknown> = new Set([undefined, 'UNREACHABLE', 'CONNECTION_LOST', 'TIMEOUT']);

export function isOutOfReach(error: unknown): boolean {
  if (NOT_REGISTERED.has(errorCode(error)) || NOBODY_ANSWERS.has(pluginErrorCode(error))) return true;
  if (errorCode(error) !== 'GATEWAY_UNREACHABLE' || !(error instanceof Error)) return false;
  return NOBODY_ANSWERS_SSH.has(sshErrorCode(error.cause));
}
