/**
 * How a server parts with its callers when it is about to end: what it has begun to answer it answers, within a time, and each answer from
 * then on is the last on its connection, so that the next call goes where somebody is. What comes new is refused by the routes, and
 * streams of events end by themselves (server.ts, routes/events.ts). Whose caller was cut off may still have something to take away at a far
 * end, and to write down: that is waited for as well (WorkOfCalls). It owns its lists of calls and connections, not the
 * server.
 */
import type { Server, ServerResponse } from 'node:http';
import type { Socket } from 'node:net';
import { setTimeout as sleep, setImmediate as turn } from 'node:timers/promises';
import type { FastifyInstance } from 'fastify';

/** Longer than a caller waits for anything but a far end; shorter than whoever ends the process waits before it kills it. */
const ANSWERED_WITHIN_MS = 5_000;

/** For what is still to be done for those that were cut off: a little longer than a session takes to end at a far end that is silent. */
const CLEARED_WITHIN_MS = 5_500;

export interface CallsUnderWay {
  /** Resolves when all are answered, or when their time is up, which begins with `stopping`. */
  answered(): Promise<void>;
  /**
   * Ends every connection, and those that still come. Also where a TLS handshake is not finished: `closeAllConnections` knows nothing of
   * those, and a server is not closed before they are.
   */
  hangUp(): void;
}

/** @param stopping aborts when the process begins to end */
export function followCalls(
  server: Pick<Server, 'prependListener'>,
  stopping: AbortSignal,
  { limitMs = ANSWERED_WITHIN_MS } = {},
): CallsUnderWay {
  const open = new Map<ServerResponse, Promise<void>>();
  const connections = new Set<Socket>();
  let stoppedAt = 0;
  let hungUp = false;
  server.prependListener('connection', (socket: Socket) => {
    if (hungUp) socket.destroy();
    connections.add(socket);
    socket.once('close', () => connections.delete(socket));
  });
  server.prependListener('request', (_request, response: ServerResponse) => {
    const closed = new Promise<void>((resolve) => response.once('close', resolve));
    open.set(
      response,
      closed.then(() => void open.delete(response)),
    );
    if (stopping.aborted) bidFarewell(response);
  });
  const onStop = () => {
    stoppedAt = performance.now();
    for (const response of open.keys()) bidFarewell(response);
  };
  if (stopping.aborted) onStop();
  else stopping.addEventListener('abort', onStop, { once: true });
  return {
    async answered() {
      let late = false;
      const limit = sleep(Math.max(0, stoppedAt + limitMs - performance.now()), undefined, { ref: false }).then(() => {
        late = true;
      });
      // Whoever asks meanwhile is answered as well, if only that nothing new is begun.
      while (open.size > 0 && !late) await Promise.race([Promise.all(open.values()), limit]);
    },
    hangUp() {
      hungUp = true;
      for (const socket of connections) socket.destroy();
    },
  };
}

function bidFarewell(response: ServerResponse): void {
  if (!response.headersSent) response.setHeader('connection', 'close');
  // A reader who takes nothing never comes to the end of a stream.
  else if (response.getHeader('content-type') === 'text/event-stream' && response.writableNeedDrain) response.destroy();
}

/** What is done for calls, which goes on when nobody waits for an answer any more: a session that is closed, an entry of the audit log. */
export class WorkOfCalls {
  readonly #open = new Set<Promise<unknown>>();

  follow<T>(work: Promise<T>): Promise<T> {
    const over = work.then(
      () => void this.#open.delete(over),
      () => void this.#open.delete(over), // who asked for it is told
    );
    this.#open.add(over);
    return work;
  }

  /** From now on what the routes of `app` do is followed. */
  followRoutes(app: { addHook: FastifyInstance['addHook'] }): void {
    const follow = (work: Promise<unknown>) => void this.follow(work);
    app.addHook('onRoute', (route) => {
      const { handler } = route;
      route.handler = function (request, reply) {
        const work: unknown = handler.call(this, request, reply);
        if (work instanceof Promise) follow(work);
        return work;
      };
    });
  }

  /** Resolves when nothing is under way, or when its time is up. Nothing new may come. */
  async ended({ limitMs = CLEARED_WITHIN_MS } = {}): Promise<void> {
    let late = false;
    const limit = sleep(limitMs, undefined, { ref: false }).then(() => {
      late = true;
    });
    do {
      await Promise.race([Promise.all(this.#open), limit]);
      await turn(); // from its handler an answer goes on to the audit log
    } while (this.#open.size > 0 && !late);
  }
}
