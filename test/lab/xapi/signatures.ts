/**
 * Parameters of the calls that are served, after the session, by the published data model. Too few or too many are answered
 * with MESSAGE_PARAMETER_COUNT_MISMATCH and a wrong type with FIELD_TYPE_ERROR, as XAPI does; so a client cannot get used to
 * what no pool accepts. `optional` counts trailing parameters that came with later releases.
 *
 * Source: xapi-project/xen-api, ocaml/idl/datamodel_vm.ml, datamodel_host.ml, datamodel_task.ml, datamodel.ml (event).
 */
import { Fault } from './fault.ts';

type Type = 'ref' | 'string' | 'bool' | 'int' | 'float' | 'string-set' | 'string-map' | 'ref-map';

interface Signature {
  readonly types: readonly Type[];
  readonly optional?: number;
}

const SEND: Signature = {
  types: ['ref', 'string-map', 'bool', 'ref-map', 'ref-map', 'string-map', 'ref-map', 'string-map'],
  optional: 2,
};

export const SIGNATURES: Readonly<Record<string, Signature>> = {
  'VM.get_by_uuid': { types: ['string'] },
  'VM.get_by_name_label': { types: ['string'] },
  'VM.add_to_other_config': { types: ['ref', 'string', 'string'] },
  'VM.remove_from_other_config': { types: ['ref', 'string'] },
  'VM.assert_can_migrate': { ...SEND, types: SEND.types.slice(0, 7), optional: 1 },
  'VM.migrate_send': SEND,
  'VM.destroy': { types: ['ref'] },
  'VM.pool_migrate_complete': { types: ['ref', 'ref'] },
  'VM.pool_migrate': { types: ['ref', 'ref', 'string-map'] },
  'host.migrate_receive': { types: ['ref', 'ref', 'string-map'] },
  'host.compute_free_memory': { types: ['ref'] },
  'task.cancel': { types: ['ref'] },
  'task.destroy': { types: ['ref'] },
  'event.from': { types: ['string-set', 'string', 'float'] },
  'event.inject': { types: ['string', 'ref'] },
  'session.get_this_host': { types: ['ref'] },
  'session.logout': { types: [] },
};

const isText = (value: unknown): value is string => typeof value === 'string';
const isMap = (value: unknown, entry: (item: unknown) => boolean): boolean =>
  typeof value === 'object' && value !== null && !Array.isArray(value) && Object.values(value).every(entry);

const IS: Readonly<Record<Type, (value: unknown) => boolean>> = {
  ref: (value) => isText(value) && value.startsWith('OpaqueRef:'),
  string: isText,
  bool: (value) => typeof value === 'boolean',
  int: (value) => Number.isSafeInteger(value),
  float: (value) => typeof value === 'number',
  'string-set': (value) => Array.isArray(value) && value.every(isText),
  'string-map': (value) => isMap(value, isText),
  'ref-map': (value) => isMap(value, (item) => isText(item) && item.startsWith('OpaqueRef:')),
};

/** @throws Fault MESSAGE_METHOD_UNKNOWN, MESSAGE_PARAMETER_COUNT_MISMATCH, FIELD_TYPE_ERROR */
export function assertFits(method: string, params: readonly unknown[], optional: boolean): void {
  const signature = signatureOf(method);
  if (signature === undefined) throw new Fault('MESSAGE_METHOD_UNKNOWN', method);
  const most = signature.types.length - (optional ? 0 : (signature.optional ?? 0));
  const least = signature.types.length - (signature.optional ?? 0);
  if (params.length < least || params.length > most) {
    throw new Fault('MESSAGE_PARAMETER_COUNT_MISMATCH', method, String(least + 1), String(params.length + 1));
  }
  params.forEach((value, i) => {
    const type = signature.types[i] ?? 'string';
    if (!IS[type](value)) throw new Fault('FIELD_TYPE_ERROR', `${method}, parameter ${i + 2}: ${type}`);
  });
}

/** Every class has these. */
function signatureOf(method: string): Signature | undefined {
  if (/^[A-Za-z_]+\.get_all(_records)?$/.test(method)) return { types: [] };
  if (/^[A-Za-z_]+\.get_record$/.test(method)) return { types: ['ref'] };
  return SIGNATURES[method];
}
