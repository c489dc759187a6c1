/**
 * libvirt's typed parameters: a list of named values, each with its type on the wire. Job statistics and migration
 * parameters travel so. A name may repeat (`migrate_disks`).
 */
import { array, type Codec, double, hyper, int, string, uhyper, uint, XdrError } from './xdr.ts';

export type TypedParam =
  | { readonly field: string; readonly type: 'int' | 'uint' | 'double'; readonly value: number }
  | { readonly field: string; readonly type: 'llong' | 'ullong'; readonly value: bigint }
  | { readonly field: string; readonly type: 'boolean'; readonly value: boolean }
  | { readonly field: string; readonly type: 'string'; readonly value: string };

/** VIR_TYPED_PARAM_*. */
const TYPES = ['int', 'uint', 'llong', 'ullong', 'double', 'boolean', 'string'] as const;

const text = string(4_194_304);

function readValue(field: string, type: (typeof TYPES)[number], from: Parameters<typeof text.read>[0]): TypedParam {
  switch (type) {
    case 'int':
      return { field, type, value: int.read(from) };
    case 'uint':
      return { field, type, value: uint.read(from) };
    case 'llong':
      return { field, type, value: hyper.read(from) };
    case 'ullong':
      return { field, type, value: uhyper.read(from) };
    case 'double':
      return { field, type, value: double.read(from) };
    case 'boolean':
      return { field, type, value: int.read(from) !== 0 };
    case 'string':
      return { field, type, value: text.read(from) };
  }
}

function writeValue(to: Parameters<typeof text.write>[0], param: TypedParam): void {
  switch (param.type) {
    case 'int':
      int.write(to, param.value);
      break;
    case 'uint':
      uint.write(to, param.value);
      break;
    case 'llong':
      hyper.write(to, param.value);
      break;
    case 'ullong':
      uhyper.write(to, param.value);
      break;
    case 'double':
      double.write(to, param.value);
      break;
    case 'boolean':
      int.write(to, param.value ? 1 : 0);
      break;
    case 'string':
      text.write(to, param.value);
      break;
  }
}

const typedParam: Codec<TypedParam> = {
  write(to, param) {
    text.write(to, param.field);
    int.write(to, TYPES.indexOf(param.type) + 1);
    writeValue(to, param);
  },
  read(from) {
    const field = text.read(from);
    const number = int.read(from);
    const type = TYPES[number - 1];
    if (type === undefined) throw new XdrError(`typed parameter ${field} has the unknown type ${number}`);
    return readValue(field, type, from);
  },
};

/** REMOTE_DOMAIN_MIGRATE_PARAM_LIST_MAX and REMOTE_DOMAIN_JOB_STATS_MAX are both 64. */
export const typedParams = array(typedParam, 64);
/** REMOTE_CONNECT_GET_ALL_DOMAIN_STATS_MAX; a guest with many disks has many. */
export const statsParams = array(typedParam, 262_144);

/** The numeric value of `field`, bytes and milliseconds alike fit a double; `undefined` when it is not there. */
export function numberOf(params: readonly TypedParam[], field: string): number | undefined {
  const param = params.find((candidate) => candidate.field === field);
  if (param === undefined || param.type === 'string' || param.type === 'boolean') return undefined;
  return Number(param.value);
}

export function stringOf(params: readonly TypedParam[], field: string): string | undefined {
  const param = params.find((candidate) => candidate.field === field);
  return param?.type === 'string' ? param.value : undefined;
}
