/**
 * Parameters and results of the calls that are served, by the published data model. Too few or too many parameters are answered
 * with MESSAGE_PARAMETER_COUNT_MISMATCH and a wrong type with FIELD_TYPE_ERROR, as XAPI does; so a client cannot get used to
 * what no pool accepts. An answer of another shape than the published one is an error of the endpoint itself: nobody gets it.
 *
 * Source: xapi-project/xen-api, ocaml/idl/datamodel_vm.ml, datamodel_host.ml, datamodel.ml (task, event, session).
 */
import { Fault } from './fault.ts';
import { assertShape, CLASS_SHAPES, type Shape } from './shapes.ts';

interface Signature {
  /** After the session. */
  readonly types: readonly Shape[];
  /** Trailing ones that came with later releases, and may be left out: since when. */
  readonly later?: readonly ('api-2.8' | 'xapi-26.15')[];
  readonly result: Shape;
}

/** What a pool is, for what came over the years: the version of its API, and of its xapi; the major one in thousands. */
export interface Release {
  readonly api: number;
  readonly xapi: number;
}

const SEND_TYPES = ['ref', 'string-map', 'bool', 'ref-map', 'ref-map', 'string-map', 'ref-map', 'string-map'] as const;
const DATA_SOURCES: Shape = {
  setOf: {
    ...{ name_label: 'string', name_description: 'string', enabled: 'bool', standard: 'bool', units: 'string' },
    ...{ min: 'float', max: 'float', value: 'float' },
  },
};
const EVENTS: Shape = {
  events: { setOf: { eventOf: CLASS_SHAPES } },
  token: 'string',
  valid_ref_counts: { mapOf: 'int' },
};

export const SIGNATURES: Readonly<Record<string, Signature>> = {
  'VM.get_by_uuid': { types: ['string'], result: 'ref' },
  'VM.get_by_name_label': { types: ['string'], result: { setOf: 'ref' } },
  'VM.set_name_label': { types: ['ref', 'string'], result: 'void' },
  'VM.add_to_other_config': { types: ['ref', 'string', 'string'], result: 'void' },
  'VM.remove_from_other_config': { types: ['ref', 'string'], result: 'void' },
  'VM.assert_can_migrate': { types: SEND_TYPES.slice(0, 7), later: ['api-2.8'], result: 'void' },
  'VM.assert_can_boot_here': { types: ['ref', 'ref'], result: 'void' },
  'VM.migrate_send': { types: SEND_TYPES, later: ['api-2.8', 'xapi-26.15'], result: 'ref' },
  'VM.destroy': { types: ['ref'], result: 'void' },
  'VM.pool_migrate_complete': { types: ['ref', 'ref'], result: 'void' },
  'VM.set_ha_always_run': { types: ['ref', 'bool'], result: 'void' },
  'VM.pool_migrate': { types: ['ref', 'ref', 'string-map'], result: 'void' },
  'VM.get_data_sources': { types: ['ref'], result: DATA_SOURCES },
  'VM.query_data_source': { types: ['ref', 'string'], result: 'float' },
  'host.migrate_receive': { types: ['ref', 'ref', 'string-map'], result: 'string-map' },
  'host.compute_free_memory': { types: ['ref'], result: 'int' },
  'host.get_servertime': { types: ['ref'], result: 'datetime' },
  'host.get_data_sources': { types: ['ref'], result: DATA_SOURCES },
  'host.query_data_source': { types: ['ref', 'string'], result: 'float' },
  'task.cancel': { types: ['ref'], result: 'void' },
  'task.destroy': { types: ['ref'], result: 'void' },
  'task.add_to_other_config': { types: ['ref', 'string', 'string'], result: 'void' },
  'event.from': { types: [{ setOf: 'string' }, 'string', 'float'], result: EVENTS },
  'event.inject': { types: ['string', 'ref'], result: 'string' },
  'session.get_this_host': { types: ['ref'], result: 'ref' },
  'session.get_uuid': { types: ['ref'], result: 'string' },
  'session.get_by_uuid': { types: ['string'], result: 'ref' },
  'session.logout': { types: [], result: 'void' },
};

/** @throws Fault MESSAGE_METHOD_UNKNOWN, MESSAGE_PARAMETER_COUNT_MISMATCH, FIELD_TYPE_ERROR */
export function assertFits(method: string, params: readonly unknown[], release: Release): void {
  const signature = signatureOf(method);
  if (signature === undefined) throw new Fault('MESSAGE_METHOD_UNKNOWN', method);
  const later = signature.later ?? [];
  const least = signature.types.length - later.length;
  const most =
    least + later.filter((since) => (since === 'api-2.8' ? release.api >= 2_008 : release.xapi >= 26_015)).length;
  if (params.length < least || params.length > most) {
    throw new Fault('MESSAGE_PARAMETER_COUNT_MISMATCH', method, String(least + 1), String(params.length + 1));
  }
  params.forEach((value, i) => {
    try {
      assertShape(signature.types[i] ?? 'string', value, `${method}, parameter ${i + 2}`);
    } catch (error) {
      throw new Fault('FIELD_TYPE_ERROR', error instanceof Error ? error.message : String(error));
    }
  });
}

/** @throws Error for an answer that no pool gives */
export function assertAnswers(method: string, result: unknown): void {
  const asynchronous = method.startsWith('Async.');
  assertShape(asynchronous ? 'ref' : (signatureOf(method)?.result ?? 'void'), result, method);
}

/** Every class has these. */
function signatureOf(method: string): Signature | undefined {
  const [, kind = '', name = ''] = /^([A-Za-z_]+)\.(get_all|get_all_records|get_record)$/.exec(method) ?? [];
  const record = CLASS_SHAPES[kind];
  if (record === undefined) return SIGNATURES[method];
  if (name === 'get_all') return { types: [], result: { setOf: 'ref' } };
  return name === 'get_record' ? { types: ['ref'], result: record } : { types: [], result: { mapOf: record } };
}
