/**
 * The methods for what stands around migrations: links, queue, gateways, webhooks, and changes of what is registered.
 */
import { answer, asking, type CallOptions, done, type Http, type Needs } from './calls.ts';
import type {
  Diagnosis,
  Endpoint,
  EndpointTest,
  Gateway,
  GatewayTest,
  Link,
  LinkChange,
  MigrationList,
  NewWebhook,
  ProcessLogLine,
  Queue,
  QueueChange,
  Setting,
  Timetable,
  TimetableInput,
  Webhook,
  WebhookChange,
  WebhookDelivery,
  WebhookDeliveryList,
  WebhookInput,
} from './types.ts';

/** The version that a change is a change of; default: whatever is there (`*`). */
interface ChangeOptions extends CallOptions {
  ifMatch?: string;
}
interface PageOptions {
  limit?: number;
  cursor?: string;
}

export interface ResourceClient {
  testEndpoint(id: string, options?: CallOptions): Promise<EndpointTest>;
  /** Whether it takes VMs from now on. */
  setCordon(id: string, isCordoned: boolean, options?: CallOptions): Promise<Endpoint>;
  listLinks(options?: CallOptions): Promise<Link[]>;
  /** The two sites with a tilde between, in either order. */
  getLink(id: string, options?: CallOptions): Promise<Link>;
  updateLink(id: string, change: LinkChange, options?: ChangeOptions): Promise<Link>;
  getQueue(options?: CallOptions): Promise<Queue>;
  updateQueue(change: QueueChange, options?: ChangeOptions): Promise<Queue>;
  /** What waits, the first to be started first. */
  listQueuedMigrations(query?: PageOptions, options?: CallOptions): Promise<MigrationList>;
  /** Bandwidth by the time of day, of a link or (null) of the whole. */
  getTimetable(link: string | null, options?: CallOptions): Promise<Timetable>;
  /** `ifMatch: null`: there is to be none yet; where there is one by now, that is refused with PRECONDITION_REQUIRED. */
  setTimetable(
    link: string | null,
    timetable: TimetableInput,
    options?: CallOptions & { ifMatch?: string | null },
  ): Promise<Timetable>;
  deleteTimetable(link: string | null, options?: CallOptions): Promise<void>;
  listGateways(options?: CallOptions): Promise<Gateway[]>;
  /** What the orchestrator says of itself; asks no far end. */
  getDiagnosis(options?: CallOptions): Promise<Diagnosis>;
  testGateway(site: string, options?: CallOptions): Promise<GatewayTest>;
  /** Of the process that answers. */
  getSettings(options?: CallOptions): Promise<Setting[]>;
  /** Of the process that answers, the oldest first. */
  getProcessLog(options?: CallOptions): Promise<ProcessLogLine[]>;
  /** In the text format of Prometheus. */
  getMetrics(options?: CallOptions): Promise<string>;
  listWebhooks(options?: CallOptions & Needs): Promise<Webhook[]>;
  getWebhook(id: string, options?: CallOptions): Promise<Webhook>;
  /** The answer holds the secret, and no later one does. */
  createWebhook(input: WebhookInput, options?: CallOptions): Promise<NewWebhook>;
  updateWebhook(id: string, change: WebhookChange, options?: ChangeOptions): Promise<Webhook>;
  rotateWebhookSecret(id: string, options?: CallOptions): Promise<NewWebhook>;
  deleteWebhook(id: string, options?: CallOptions): Promise<void>;
  testWebhook(id: string, options?: CallOptions): Promise<WebhookDelivery>;
  listWebhookDeliveries(id: string, query?: PageOptions, options?: CallOptions): Promise<WebhookDeliveryList>;
  redeliverWebhook(id: string, delivery: string, options?: CallOptions): Promise<WebhookDelivery>;
}

const heed = (signal: AbortSignal | undefined) => (signal === undefined ? {} : { signal });

export function resourceMethods(http: Http, base: string): ResourceClient {
  const at = (id: string, signal: AbortSignal | undefined) => ({ params: { path: { id } }, ...heed(signal) });
  const change = ({ ifMatch = '*' }: ChangeOptions) => ({ headers: { 'if-match': ifMatch } });
  return {
    setCordon: (id, isCordoned, { signal } = {}) =>
      answer(
        base,
        signal,
        isCordoned
          ? http.POST('/v1/endpoints/{id}/cordon', at(id, signal))
          : http.POST('/v1/endpoints/{id}/uncordon', at(id, signal)),
      ),
    testEndpoint: (id, { signal } = {}) => answer(base, signal, http.POST('/v1/endpoints/{id}/test', at(id, signal))),
    listLinks: async ({ signal } = {}) => (await answer(base, signal, http.GET('/v1/links', heed(signal)))).items,
    getLink: (id, { signal } = {}) => answer(base, signal, http.GET('/v1/links/{id}', at(id, signal))),
    updateLink: (id, body, options = {}) =>
      answer(
        base,
        options.signal,
        http.PATCH('/v1/links/{id}', { body, ...change(options), ...at(id, options.signal) }),
      ),
    getQueue: ({ signal } = {}) => answer(base, signal, http.GET('/v1/queue', heed(signal))),
    updateQueue: (body, options = {}) =>
      answer(base, options.signal, http.PATCH('/v1/queue', { body, ...change(options), ...heed(options.signal) })),
    listQueuedMigrations: (query = {}, { signal } = {}) =>
      answer(base, signal, http.GET('/v1/queue/migrations', { params: { query }, ...heed(signal) })),
    ...timetableMethods(http, base),
    listGateways: async ({ signal } = {}) => (await answer(base, signal, http.GET('/v1/gateways', heed(signal)))).items,
    getDiagnosis: ({ signal } = {}) => answer(base, signal, http.GET('/v1/diagnosis', heed(signal))),
    testGateway: (id, { signal } = {}) =>
      answer(base, signal, http.POST('/v1/sites/{id}/gateway-test', at(id, signal))),
    getSettings: async ({ signal } = {}) => (await answer(base, signal, http.GET('/v1/settings', heed(signal)))).items,
    getProcessLog: async ({ signal } = {}) =>
      (await answer(base, signal, http.GET('/v1/process-log', heed(signal)))).items,
    getMetrics: ({ signal } = {}) => answer(base, signal, http.GET('/metrics', { parseAs: 'text', ...heed(signal) })),
    listWebhooks: async ({ signal, needs } = {}) =>
      (await answer(base, signal, http.GET('/v1/webhooks', { ...asking(needs), ...heed(signal) }))).items,
    getWebhook: (id, { signal } = {}) => answer(base, signal, http.GET('/v1/webhooks/{id}', at(id, signal))),
    createWebhook: (body, { signal } = {}) =>
      answer(base, signal, http.POST('/v1/webhooks', { body, ...heed(signal) })),
    updateWebhook: (id, body, options = {}) =>
      answer(
        base,
        options.signal,
        http.PATCH('/v1/webhooks/{id}', { body, ...change(options), ...at(id, options.signal) }),
      ),
    rotateWebhookSecret: (id, { signal } = {}) =>
      answer(base, signal, http.POST('/v1/webhooks/{id}/rotate-secret', at(id, signal))),
    deleteWebhook: (id, { signal } = {}) => done(base, signal, http.DELETE('/v1/webhooks/{id}', at(id, signal))),
    testWebhook: (id, { signal } = {}) => answer(base, signal, http.POST('/v1/webhooks/{id}/test', at(id, signal))),
    listWebhookDeliveries: (id, query = {}, { signal } = {}) =>
      answer(
        base,
        signal,
        http.GET('/v1/webhooks/{id}/deliveries', { params: { path: { id }, query }, ...heed(signal) }),
      ),
    redeliverWebhook: (id, delivery, { signal } = {}) => {
      const params = { path: { id, delivery } };
      return answer(
        base,
        signal,
        http.POST('/v1/webhooks/{id}/deliveries/{delivery}/redeliver', { params, ...heed(signal) }),
      );
    },
  };
}

function timetableMethods(
  http: Http,
  base: string,
): Pick<ResourceClient, 'getTimetable' | 'setTimetable' | 'deleteTimetable'> {
  const ofLink = '/v1/links/{id}/bandwidth-timetable';
  const ofAll = '/v1/queue/bandwidth-timetable';
  const at = (id: string, signal: AbortSignal | undefined) => ({ params: { path: { id } }, ...heed(signal) });
  return {
    getTimetable: (link, { signal } = {}) =>
      answer(base, signal, link === null ? http.GET(ofAll, heed(signal)) : http.GET(ofLink, at(link, signal))),
    setTimetable: (link, body, { ifMatch = '*', signal } = {}) => {
      const change = { body, headers: ifMatch === null ? {} : { 'if-match': ifMatch } };
      const isSet =
        link === null
          ? http.PUT(ofAll, { ...change, ...heed(signal) })
          : http.PUT(ofLink, { ...change, ...at(link, signal) });
      return answer(base, signal, isSet);
    },
    deleteTimetable: (link, { signal } = {}) =>
      done(base, signal, link === null ? http.DELETE(ofAll, heed(signal)) : http.DELETE(ofLink, at(link, signal))),
  };
}
