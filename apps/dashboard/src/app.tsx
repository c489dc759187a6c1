/** The frame of every page: who is logged in, where one can go, whether what is shown is live. */
import type { ComponentChildren } from 'preact';
import { useEffect, useState } from 'preact/hooks';
import { connected, followNotices } from './live/feed.ts';
import { begun, href, place } from './navigation.ts';
import { Boundary } from './parts/boundary.tsx';
import { pageAt } from './routes.tsx';
import { LoginAgain, LoginPage } from './session/login-page.tsx';
import { isRefused, logOut, may, mayForAll, type Session, session } from './session/session.ts';

type Entry = readonly [path: string, label: string];

/** What is in the menu; a page that the caller could not read anything on is left out. */
const menu = (): readonly { readonly group: string; readonly entries: readonly Entry[] }[] =>
  [
    {
      group: 'Move',
      entries: [
        ['/', 'Overview'],
        ['/migrations', 'Migrations'],
        ...(mayForAll('viewer') ? ([['/queue', 'Queue']] as const) : []),
      ] as const,
    },
    {
      group: 'Automate',
      entries: [
        ['/plans', 'Plans'],
        ['/schedules', 'Schedules'],
        ...(mayForAll('viewer') ? ([['/balancing', 'Balancing']] as const) : []),
      ] as const,
    },
    {
      group: 'Set up',
      entries: [
        ['/sites', 'Sites'],
        ['/credentials', 'Credentials'],
        ['/webhooks', 'Webhooks'],
        ...(may('admin') ? ([['/access', 'Access']] as const) : []),
      ] as const,
    },
    {
      group: 'Look after',
      entries: [...(may('admin') ? ([['/audit', 'Audit']] as const) : []), ['/system', 'System']] as const,
    },
  ] as const;

export function App() {
  if (session.value === undefined) return <p class="waiting-for-session">Connecting …</p>;
  if (session.value === null) return <LoginPage />;
  return (
    <>
      {/* Of somebody else nothing stays. */}
      <Frame key={whoIs(session.value)} session={session.value}>
        {pageAt(place.value.path)}
      </Frame>
      {isRefused.value ? <LoginAgain /> : null}
    </>
  );
}

const whoIs = ({ caller: { kind, id, project } }: Session): string => JSON.stringify([kind, id, project]);

function Frame({ session, children }: { session: Session; children: ComponentChildren }) {
  const { client, caller } = session;
  useEffect(() => {
    const ending = new AbortController();
    void followNotices(client, { signal: ending.signal });
    return () => ending.abort();
  }, [client]);
  const path = place.value.path;
  const [isMenuOpen, openMenu] = useState(false);
  useEffect(() => {
    openMenu(false);
    document.getElementById('content')?.focus({ preventScroll: true });
  }, [path]);
  return (
    <div class="frame">
      <button type="button" class="skip" onClick={skipToContent}>
        Skip to the content
      </button>
      <header class="bar">
        <a class="brand" href={href('/')}>
          LMAS
        </a>
        <Live />
        <button
          type="button"
          class="menu-button"
          aria-expanded={isMenuOpen}
          aria-controls="menu"
          onClick={() => openMenu(!isMenuOpen)}
        >
          Menu
        </button>
        <div id="menu" class={isMenuOpen ? 'menu open' : 'menu'}>
          <Menu path={path} />
          <div class="caller">
            <span>
              <b>{caller.name}</b>
              <span class="hint">
                {caller.role}
                {caller.project === null ? '' : ` of ${caller.project}`}
              </span>
            </span>
            <button type="button" class="quiet" onClick={() => logOut()}>
              Log out
            </button>
          </div>
        </div>
      </header>
      <main id="content" tabIndex={-1}>
        <Boundary key={`${path} ${begun.value}`}>{children}</Boundary>
      </main>
    </div>
  );
}

/** Nothing to see while all is well. */
function Live() {
  return (
    <output>
      {connected.value ? null : (
        <span class="badge warning" title="What is shown may be old; it is tried again all the time.">
          not live
        </span>
      )}
    </output>
  );
}

function Menu({ path }: { path: string }) {
  return (
    <nav aria-label="Pages">
      {menu().map(({ group, entries }) => (
        <div key={group} class="group">
          <h2 id={`menu-${group}`}>{group}</h2>
          <ul aria-labelledby={`menu-${group}`}>
            {entries.map(([target, label]) => (
              <li key={target}>
                <a href={href(target)} aria-current={isWithin(path, target) ? 'page' : undefined}>
                  {label}
                </a>
              </li>
            ))}
          </ul>
        </div>
      ))}
    </nav>
  );
}

/** No link to an anchor: what is behind `#` says which page this is. */
function skipToContent(): void {
  document.getElementById('content')?.focus();
}

/** Pages that are reached from another one of the menu. */
const BELONGS: Readonly<Record<string, string>> = {
  '/endpoints/': '/sites',
  '/plan-runs/': '/plans',
  '/evacuate': '/plans',
  '/new/plan': '/plans',
  '/new/schedule': '/schedules',
  '/new/policy': '/balancing',
  '/new/site': '/sites',
  '/new/endpoint': '/sites',
};

function isWithin(path: string, target: string): boolean {
  if (target === '/') return path === '/';
  if (path === target || path.startsWith(`${target}/`)) return true;
  return Object.entries(BELONGS).some(([prefix, owner]) => owner === target && path.startsWith(prefix));
}
