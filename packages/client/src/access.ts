/**
 * Who may do what: API keys, projects, the audit log, the master key, and which host keys are pinned.
 */
import { answer, type CallOptions, done, type Http, only } from './calls.ts';
import type {
  ApiKey,
  ApiKeyInput,
  AuditList,
  AuditQuery,
  Caller,
  Endpoint,
  HostKeyPins,
  MasterKey,
  MasterKeyRotation,
  NewApiKey,
  Project,
  ProjectInput,
  ProjectUpdate,
  Site,
} from './types.ts';

export interface AccessClient {
  /** Who the caller is to the orchestrator, and what it may. */
  getCaller(options?: CallOptions): Promise<Caller>;

  listApiKeys(options?: CallOptions): Promise<ApiKey[]>;
  /** The key is in this answer and nowhere else. */
  createApiKey(input: ApiKeyInput, options?: CallOptions): Promise<NewApiKey>;
  /** A new key under the same id; the former one is accepted for `graceMs` more. */
  rotateApiKey(id: string, options?: CallOptions & { graceMs?: number | undefined }): Promise<NewApiKey>;
  revokeApiKey(id: string, options?: CallOptions): Promise<void>;

  listProjects(options?: CallOptions): Promise<Project[]>;
  createProject(input: ProjectInput, options?: CallOptions): Promise<Project>;
  /** `ifMatch` names the version that it changes (default: whatever is there). */
  updateProject(id: string, changes: ProjectUpdate, options?: CallOptions & { ifMatch?: string }): Promise<Project>;
  deleteProject(id: string, options?: CallOptions): Promise<void>;

  /** One page, newest first. */
  listAudit(query?: AuditQuery, options?: CallOptions): Promise<AuditList>;

  getMasterKey(options?: CallOptions): Promise<MasterKey>;
  rotateMasterKey(options?: CallOptions): Promise<MasterKeyRotation>;

  pinSiteHostKeys(id: string, pins: HostKeyPins, options?: CallOptions): Promise<Site>;
  pinEndpointHostKeys(id: string, pins: HostKeyPins, options?: CallOptions): Promise<Endpoint>;
}

export function accessMethods(http: Http, base: string): AccessClient {
  const at = (id: string, signal: AbortSignal | undefined) => ({ params: { path: { id } }, ...only({ signal }) });
  return {
    getCaller: ({ signal } = {}) => answer(base, signal, http.GET('/v1/caller', only({ signal }))),

    listApiKeys: async ({ signal } = {}) =>
      (await answer(base, signal, http.GET('/v1/api-keys', only({ signal })))).items,
    createApiKey: (body, { signal } = {}) =>
      answer(base, signal, http.POST('/v1/api-keys', { body, ...only({ signal }) })),
    rotateApiKey: (id, { signal, graceMs } = {}) =>
      answer(base, signal, http.POST('/v1/api-keys/{id}/rotate', { body: only({ graceMs }), ...at(id, signal) })),
    revokeApiKey: (id, { signal } = {}) => done(base, signal, http.DELETE('/v1/api-keys/{id}', at(id, signal))),

    listProjects: async ({ signal } = {}) =>
      (await answer(base, signal, http.GET('/v1/projects', only({ signal })))).items,
    createProject: (body, { signal } = {}) =>
      answer(base, signal, http.POST('/v1/projects', { body, ...only({ signal }) })),
    updateProject: (id, body, { signal, ifMatch = '*' } = {}) =>
      answer(
        base,
        signal,
        http.PATCH('/v1/projects/{id}', { body, headers: { 'if-match': ifMatch }, ...at(id, signal) }),
      ),
    deleteProject: (id, { signal } = {}) => done(base, signal, http.DELETE('/v1/projects/{id}', at(id, signal))),

    listAudit: (query = {}, { signal } = {}) =>
      answer(base, signal, http.GET('/v1/audit', { params: { query }, ...only({ signal }) })),

    getMasterKey: ({ signal } = {}) => answer(base, signal, http.GET('/v1/master-key', only({ signal }))),
    rotateMasterKey: ({ signal } = {}) => answer(base, signal, http.POST('/v1/master-key/rotate', only({ signal }))),

    pinSiteHostKeys: (id, body, { signal } = {}) =>
      answer(base, signal, http.PUT('/v1/sites/{id}/host-keys', { body, ...at(id, signal) })),
    pinEndpointHostKeys: (id, body, { signal } = {}) =>
      answer(base, signal, http.PUT('/v1/endpoints/{id}/host-keys', { body, ...at(id, signal) })),
  };
}
