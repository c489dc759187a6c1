/** Which page stands at which address. */
import type { JSX } from 'preact';
import { href } from './navigation.ts';
import { AccessPage } from './pages/access/access-page.tsx';
import { AuditPage } from './pages/audit-page.tsx';
import { BalancingPage } from './pages/balancing/balancing-page.tsx';
import { PolicyForm } from './pages/balancing/policy-form.tsx';
import { PolicyPage } from './pages/balancing/policy-page.tsx';
import { CredentialsPage } from './pages/credentials-page.tsx';
import { LinkPage } from './pages/links/link-page.tsx';
import { TimetableForm } from './pages/links/timetable-form.tsx';
import { MigrationPage } from './pages/migration/migration-page.tsx';
import { MigrationsPage } from './pages/migrations-page.tsx';
import { NewMigrationPage } from './pages/new-migration/new-migration-page.tsx';
import { OverviewPage } from './pages/overview/overview-page.tsx';
import { EvacuationPage } from './pages/plans/evacuation-page.tsx';
import { PlanEditor } from './pages/plans/plan-editor.tsx';
import { PlanPage } from './pages/plans/plan-page.tsx';
import { PlansPage } from './pages/plans/plans-page.tsx';
import { PlanRunPage } from './pages/plans/run-page.tsx';
import { QueuePage } from './pages/queue-page.tsx';
import { ScheduleForm } from './pages/schedules/schedule-form.tsx';
import { SchedulePage } from './pages/schedules/schedule-page.tsx';
import { SchedulesPage } from './pages/schedules/schedules-page.tsx';
import { EndpointForm } from './pages/sites/endpoint-form.tsx';
import { EndpointPage } from './pages/sites/endpoint-page.tsx';
import { SiteForm } from './pages/sites/site-form.tsx';
import { SitesPage } from './pages/sites/sites-page.tsx';
import { SystemPage } from './pages/system-page.tsx';
import { WebhookPage } from './pages/webhooks/webhook-page.tsx';
import { WebhooksPage } from './pages/webhooks/webhooks-page.tsx';
import { PageHeading } from './parts/page-heading.tsx';
import { match, PATTERNS, type Pattern } from './patterns.ts';

type Page = (values: Readonly<Record<string, string>>) => JSX.Element;

const PAGES: Readonly<Record<Pattern, Page>> = {
  '/': () => <OverviewPage />,
  '/migrations': () => <MigrationsPage />,
  '/migrations/new': () => <NewMigrationPage />,
  '/migrations/:id': ({ id = '' }) => <MigrationPage key={id} id={id} />,
  '/queue': () => <QueuePage />,
  '/queue/timetable': () => <TimetableForm key="queue" link={null} of="Queue" back="/queue" />,
  '/plans': () => <PlansPage />,
  '/new/plan': () => <PlanEditor />,
  '/evacuate': () => <EvacuationPage />,
  '/plans/:id': ({ id = '' }) => <PlanPage key={id} id={id} />,
  '/plans/:id/change': ({ id = '' }) => <PlanEditor key={id} id={id} />,
  '/plan-runs/:id': ({ id = '' }) => <PlanRunPage key={id} id={id} />,
  '/schedules': () => <SchedulesPage />,
  '/new/schedule': () => <ScheduleForm />,
  '/schedules/:id': ({ id = '' }) => <SchedulePage key={id} id={id} />,
  '/schedules/:id/change': ({ id = '' }) => <ScheduleForm key={id} id={id} />,
  '/balancing': () => <BalancingPage />,
  '/new/policy': () => <PolicyForm />,
  '/balancing/:id': ({ id = '' }) => <PolicyPage key={id} id={id} />,
  '/balancing/:id/change': ({ id = '' }) => <PolicyForm key={id} id={id} />,
  '/sites': () => <SitesPage />,
  '/new/site': () => <SiteForm />,
  '/sites/:id/change': ({ id = '' }) => <SiteForm key={id} id={id} />,
  '/links/:id': ({ id = '' }) => <LinkPage key={id} id={id} />,
  '/links/:id/timetable': ({ id = '' }) => (
    <TimetableForm key={id} link={id} of={id.replace('~', ' – ')} back={`/links/${id}`} />
  ),
  '/new/endpoint': () => <EndpointForm />,
  '/endpoints/:id': ({ id = '' }) => <EndpointPage key={id} id={id} />,
  '/endpoints/:id/change': ({ id = '' }) => <EndpointForm key={id} id={id} />,
  '/credentials': () => <CredentialsPage />,
  '/webhooks': () => <WebhooksPage />,
  '/webhooks/:id': ({ id = '' }) => <WebhookPage key={id} id={id} />,
  '/access': () => <AccessPage />,
  '/audit': () => <AuditPage />,
  '/system': () => <SystemPage />,
};

/** What stands at a path. */
export function pageAt(path: string): JSX.Element {
  for (const pattern of PATTERNS) {
    const values = match(pattern, path);
    if (values !== null) return PAGES[pattern](values);
  }
  return (
    <>
      <PageHeading title="There is no such page" />
      <p>
        <a href={href('/')}>Go to the overview</a>
      </p>
    </>
  );
}
