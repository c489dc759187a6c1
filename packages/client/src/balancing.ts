/**
 * The methods for load balancing: policies, their passes and moves.
 */
import { answer, asking, type CallOptions, done, type Http, type Needs } from './calls.ts';
import type {
  BalancingMove,
  BalancingMoveState,
  BalancingPass,
  BalancingPolicy,
  BalancingPolicyInput,
  BalancingPolicySettings,
  BalancingRun,
} from './types.ts';

export interface BalancingClient {
  listBalancingPolicies(options?: CallOptions & Needs): Promise<BalancingPolicy[]>;
  getBalancingPolicy(id: string, options?: CallOptions): Promise<BalancingPolicy>;
  createBalancingPolicy(input: BalancingPolicyInput, options?: CallOptions): Promise<BalancingPolicy>;
  /** All settings anew; `ifMatch` names the version that it replaces (default: whatever is there). */
  replaceBalancingPolicy(
    id: string,
    settings: BalancingPolicySettings,
    options?: CallOptions & { ifMatch?: string },
  ): Promise<BalancingPolicy>;
  deleteBalancingPolicy(id: string, options?: CallOptions): Promise<void>;
  pauseBalancingPolicy(id: string, options?: CallOptions): Promise<BalancingPolicy>;
  resumeBalancingPolicy(id: string, options?: CallOptions): Promise<BalancingPolicy>;
  /** A pass now; in mode `automatic` its moves are submitted after the answer. */
  runBalancingPolicy(id: string, options?: CallOptions): Promise<BalancingPass>;
  /** A pass that a schedule ordered. */
  getBalancingRun(id: string, options?: CallOptions): Promise<BalancingRun>;
  /** Newest first. */
  listBalancingPasses(id: string, query?: { limit?: number }, options?: CallOptions): Promise<BalancingPass[]>;
  /** Newest first. */
  listBalancingMoves(
    id: string,
    query?: { state?: BalancingMoveState },
    options?: CallOptions,
  ): Promise<BalancingMove[]>;
  approveBalancingMove(id: string, move: string, options?: CallOptions): Promise<BalancingMove>;
  rejectBalancingMove(id: string, move: string, options?: CallOptions): Promise<BalancingMove>;
}

const heed = (signal: AbortSignal | undefined) => (signal === undefined ? {} : { signal });

export function balancingMethods(http: Http, base: string): BalancingClient {
  const at = (id: string, signal: AbortSignal | undefined) => ({ params: { path: { id } }, ...heed(signal) });
  const policies = '/v1/balancing-policies';
  const one = '/v1/balancing-policies/{id}';
  return {
    listBalancingPolicies: async ({ signal, needs } = {}) =>
      (await answer(base, signal, http.GET(policies, { ...asking(needs), ...heed(signal) }))).items,
    getBalancingPolicy: (id, { signal } = {}) => answer(base, signal, http.GET(one, at(id, signal))),
    createBalancingPolicy: (body, { signal } = {}) =>
      answer(base, signal, http.POST(policies, { body, ...heed(signal) })),
    replaceBalancingPolicy: (id, body, { signal, ifMatch = '*' } = {}) =>
      answer(base, signal, http.PUT(one, { body, headers: { 'if-match': ifMatch }, ...at(id, signal) })),
    deleteBalancingPolicy: (id, { signal } = {}) => done(base, signal, http.DELETE(one, at(id, signal))),
    pauseBalancingPolicy: (id, { signal } = {}) => answer(base, signal, http.POST(`${one}/pause`, at(id, signal))),
    resumeBalancingPolicy: (id, { signal } = {}) => answer(base, signal, http.POST(`${one}/resume`, at(id, signal))),
    runBalancingPolicy: (id, { signal } = {}) => answer(base, signal, http.POST(`${one}/run`, at(id, signal))),
    getBalancingRun: (id, { signal } = {}) => answer(base, signal, http.GET('/v1/balancing-runs/{id}', at(id, signal))),
    listBalancingPasses: async (id, query = {}, { signal } = {}) => {
      const params = { path: { id }, query };
      return (await answer(base, signal, http.GET(`${one}/passes`, { params, ...heed(signal) }))).items;
    },
    listBalancingMoves: async (id, query = {}, { signal } = {}) => {
      const params = { path: { id }, query };
      return (await answer(base, signal, http.GET(`${one}/moves`, { params, ...heed(signal) }))).items;
    },
    approveBalancingMove: (id, move, { signal } = {}) => {
      const params = { path: { id, move } };
      return answer(base, signal, http.POST(`${one}/moves/{move}/approve`, { params, ...heed(signal) }));
    },
    rejectBalancingMove: (id, move, { signal } = {}) => {
      const params = { path: { id, move } };
      return answer(base, signal, http.POST(`${one}/moves/{move}/reject`, { params, ...heed(signal) }));
    },
  };
}
