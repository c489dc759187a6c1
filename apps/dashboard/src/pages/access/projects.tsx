/** Tenants: who is bound to one sees what is its own, and the endpoints that it was given, and takes no more than its limits. */
import { type Project, versionOf } from '@lmas/client';
import { formatProjectLimits } from '@lmas/format';
import { useState } from 'preact/hooks';
import { useResource } from '../../live/resource.ts';
import { Confirmation } from '../../parts/dialog.tsx';
import { Empty } from '../../parts/empty.tsx';
import { CheckField, ManyField, NAME, TextField } from '../../parts/form-fields.tsx';
import { CountField } from '../../parts/limit-fields.tsx';
import { Loaded } from '../../parts/loaded.tsx';
import { Removal } from '../../parts/removal.tsx';
import { type Column, Table } from '../../parts/table.tsx';
import { useAction } from '../../parts/use-action.ts';
import { client, mayForAll } from '../../session/session.ts';

interface ProjectsProps {
  readonly projects: readonly Project[];
  readonly onChanged: () => void;
}

export function Projects({ projects, onChanged }: ProjectsProps) {
  const [editing, edit] = useState<Project | 'new' | null>(null);
  const isMine = mayForAll('admin');
  return (
    <>
      {projects.length === 0 ? (
        <Empty>
          <p>No project: everybody sees everything.</p>
        </Empty>
      ) : (
        <Table
          caption="Projects"
          rows={projects}
          keyOf={({ id }) => id}
          columns={[...COLUMNS, ...(isMine ? [actionsFor(edit, onChanged)] : [])]}
        />
      )}
      {isMine ? (
        <p>
          <button type="button" onClick={() => edit('new')}>
            Add a project …
          </button>
        </p>
      ) : null}
      {editing === null ? null : (
        <Edit
          project={editing === 'new' ? undefined : editing}
          onClose={() => {
            edit(null);
            onChanged();
          }}
        />
      )}
    </>
  );
}

const COLUMNS: readonly Column<Project>[] = [
  { title: 'Project', cell: ({ id }) => id, sortBy: ({ id }) => id },
  { title: 'Description', cell: ({ description }) => description },
  {
    title: 'Endpoints',
    cell: ({ endpoints }) => (endpoints === null ? 'all' : endpoints.length === 0 ? 'none' : endpoints.join(', ')),
  },
  { title: 'Limits', cell: ({ limits }) => formatProjectLimits(limits) },
];

const actionsFor = (edit: (project: Project) => void, onRemoved: () => void): Column<Project> => ({
  title: 'Actions',
  isUntitled: true,
  cell: (project) => (
    <span class="actions">
      <button type="button" onClick={() => edit(project)}>
        Change<span class="unseen"> {project.id}</span> …
      </button>
      <Removal
        name={project.id}
        words="Its name is never given away again. It is refused while something of it is left."
        remove={async () => await client().deleteProject(project.id)}
        {...{ onRemoved }}
      />
    </span>
  ),
});

/** As it is now, and not as the list has it: the list bears no version. @param project undefined: a new one */
function Edit({ project, onClose }: { project: Project | undefined; onClose: () => void }) {
  const found = useResource(
    async (options) => ({ now: project === undefined ? undefined : await client().getProject(project.id, options) }),
    [],
  );
  return <Loaded of={found}>{({ now }) => <EditForm project={now} onClose={onClose} />}</Loaded>;
}

const UNLIMITED: Project['limits'] = { maxMigrations: null, maxWaiting: null, maxPriority: null };

/** It is looked at again whenever its reader comes back to the page; what is being typed belongs to the version that it began with. */
function EditForm({ project: found, onClose }: { project: Project | undefined; onClose: () => void }) {
  const [project] = useState(found);
  const known = useResource((options) => client().listEndpoints(options), []);
  const [id, setId] = useState(project?.id ?? '');
  const [description, setDescription] = useState(project?.description ?? '');
  const [endpoints, setEndpoints] = useState<readonly string[] | null>(project === undefined ? [] : project.endpoints);
  const [limits, setLimits] = useState(project?.limits ?? UNLIMITED);
  const action = useAction(async () => {
    const settings = { description, endpoints: endpoints === null ? null : [...endpoints], limits };
    if (project === undefined) await client().createProject({ id, ...settings });
    else await client().updateProject(project.id, settings, { ifMatch: versionOf(project) ?? '*' });
  });
  return (
    <Confirmation
      title={project === undefined ? 'A new project' : `Change ${project.id}`}
      verb={project === undefined ? 'Add' : 'Change'}
      {...{ action, onClose }}
    >
      {project === undefined ? (
        <TextField label="Name" pattern={NAME} placeholder="payments" value={id} onChange={setId} />
      ) : null}
      <TextField label="Description" isOptional value={description} onChange={setDescription} />
      <CheckField
        label="It may use all endpoints there are and will be"
        value={endpoints === null}
        onChange={(all) => setEndpoints(all ? null : [])}
      />
      {endpoints === null ? null : (
        <Loaded of={known}>
          {(items) => (
            <ManyField
              legend="It may use"
              choices={items.map((one) => [one.id, `${one.id} (site ${one.site})`] as const)}
              value={endpoints}
              onChange={setEndpoints}
            />
          )}
        </Loaded>
      )}
      <CountField
        label="Migrations under way at once, at most"
        value={limits.maxMigrations}
        onChange={(maxMigrations) => setLimits({ ...limits, maxMigrations })}
      />
      <CountField
        label="Migrations that wait, at most"
        value={limits.maxWaiting}
        onChange={(maxWaiting) => setLimits({ ...limits, maxWaiting })}
      />
      <CountField
        label="Highest priority that it may ask for"
        value={limits.maxPriority}
        onChange={(maxPriority) => setLimits({ ...limits, maxPriority })}
      />
    </Confirmation>
  );
}
