/**
 * One thing of those that are registered, and changes of it. A change that depends on what is there reads it first, and is made
 * anew when somebody else was quicker.
 */
import { answer, type CallOptions, type FetchResult, type Http, only, settled } from './calls.ts';
import { apiErrorOf, LmasApiError } from './errors.ts';
import type {
  ApiKey,
  BalancingPolicy,
  BalancingPolicySettings,
  Credential,
  Endpoint,
  EndpointChange,
  PlaceLimits,
  Project,
  Schedule,
  ScheduleChange,
  Site,
  SiteChange,
  WebhookDelivery,
} from './types.ts';

export interface RegisteredClient {
  getApiKey(id: string, options?: CallOptions): Promise<ApiKey>;
  getProject(id: string, options?: CallOptions): Promise<Project>;
  getCredential(id: string, options?: CallOptions): Promise<Credential>;
  getWebhookDelivery(id: string, delivery: string, options?: CallOptions): Promise<WebhookDelivery>;

  /** `apply` is told what is there now, and may be asked again. What its change does not name stays. */
  changeSite(id: string, apply: (site: Site) => SiteChange, options?: CallOptions): Promise<Site>;
  changeEndpoint(id: string, apply: (endpoint: Endpoint) => EndpointChange, options?: CallOptions): Promise<Endpoint>;
  /** As `changeSite`; but an action is whole: what it does not name gets its default. */
  changeSchedule(id: string, apply: (schedule: Schedule) => ScheduleChange, options?: CallOptions): Promise<Schedule>;
  /** Here the settings are whole: what they do not name gets its default. */
  changeBalancingPolicy(
    id: string,
    apply: (policy: BalancingPolicy) => BalancingPolicySettings,
    options?: CallOptions,
  ): Promise<BalancingPolicy>;

  getSiteLimits(id: string, options?: CallOptions): Promise<PlaceLimits>;
  setSiteLimits(id: string, limits: PlaceLimits, options?: CallOptions): Promise<PlaceLimits>;
  getEndpointLimits(id: string, options?: CallOptions): Promise<PlaceLimits>;
  setEndpointLimits(id: string, limits: PlaceLimits, options?: CallOptions): Promise<PlaceLimits>;
}

const PRECONDITION_FAILED = 412;

export function registeredMethods(http: Http, base: string): RegisteredClient {
  const path = (id: string) => ({ path: { id } });
  const at = (id: string, signal: AbortSignal | undefined) => ({ params: path(id), ...only({ signal }) });

  const whateverIsThere = { headers: { 'if-match': '*' } };

  /** Reads, and writes if nobody else was quicker; otherwise once more. */
  async function change<T>(
    signal: AbortSignal | undefined,
    read: () => Promise<FetchResult<T, unknown>>,
    write: (current: T, headers: { 'if-match': string }) => Promise<FetchResult<T, unknown>>,
  ): Promise<T> {
    for (;;) {
      const { data, error, response } = await settled(base, signal, read());
      if (data === undefined) throw apiErrorOf(response, error);
      const etag = response.headers.get('etag') ?? '*';
      try {
        return await answer(base, signal, write(data, { 'if-match': etag }));
      } catch (error) {
        if (!(error instanceof LmasApiError && error.status === PRECONDITION_FAILED)) throw error;
      }
    }
  }

  return {
    getApiKey: (id, { signal } = {}) => answer(base, signal, http.GET('/v1/api-keys/{id}', at(id, signal))),
    getProject: (id, { signal } = {}) => answer(base, signal, http.GET('/v1/projects/{id}', at(id, signal))),
    getCredential: (id, { signal } = {}) => answer(base, signal, http.GET('/v1/credentials/{id}', at(id, signal))),
    getWebhookDelivery: (id, delivery, { signal } = {}) => {
      const params = { path: { id, delivery } };
      return answer(base, signal, http.GET('/v1/webhooks/{id}/deliveries/{delivery}', { params, ...only({ signal }) }));
    },

    changeSite: (id, apply, { signal } = {}) =>
      change<Site>(
        signal,
        () => http.GET('/v1/sites/{id}', at(id, signal)),
        (site, headers) => http.PATCH('/v1/sites/{id}', { body: apply(site), headers, ...at(id, signal) }),
      ),
    changeEndpoint: (id, apply, { signal } = {}) =>
      change<Endpoint>(
        signal,
        () => http.GET('/v1/endpoints/{id}', at(id, signal)),
        (endpoint, headers) => http.PATCH('/v1/endpoints/{id}', { body: apply(endpoint), headers, ...at(id, signal) }),
      ),
    changeSchedule: (id, apply, { signal } = {}) =>
      change<Schedule>(
        signal,
        () => http.GET('/v1/schedules/{id}', at(id, signal)),
        (schedule, headers) => http.PATCH('/v1/schedules/{id}', { body: apply(schedule), headers, ...at(id, signal) }),
      ),
    changeBalancingPolicy: (id, apply, { signal } = {}) =>
      change<BalancingPolicy>(
        signal,
        () => http.GET('/v1/balancing-policies/{id}', at(id, signal)),
        (policy, headers) =>
          http.PUT('/v1/balancing-policies/{id}', { body: apply(policy), headers, ...at(id, signal) }),
      ),

    getSiteLimits: (id, { signal } = {}) => answer(base, signal, http.GET('/v1/sites/{id}/limits', at(id, signal))),
    setSiteLimits: (id, body, { signal } = {}) =>
      answer(base, signal, http.PUT('/v1/sites/{id}/limits', { body, ...whateverIsThere, ...at(id, signal) })),
    getEndpointLimits: (id, { signal } = {}) =>
      answer(base, signal, http.GET('/v1/endpoints/{id}/limits', at(id, signal))),
    setEndpointLimits: (id, body, { signal } = {}) =>
      answer(base, signal, http.PUT('/v1/endpoints/{id}/limits', { body, ...whateverIsThere, ...at(id, signal) })),
  };
}
