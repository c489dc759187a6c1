/** What a link is said to carry, and its limits. */
import { type Link, versionOf } from '@lmas/client';
import { useState } from 'preact/hooks';
import { Confirmation } from '../../parts/dialog.tsx';
import { BandwidthField, CountField } from '../../parts/limit-fields.tsx';
import { useAction } from '../../parts/use-action.ts';
import { client } from '../../session/session.ts';

export function LinkLimits({ link, onClose }: { link: Link; onClose: () => void }) {
  const [maxMigrations, setMax] = useState(link.limits.maxMigrations);
  const [bandwidthBytesPerSec, setBandwidth] = useState(link.limits.bandwidthBytesPerSec);
  const [rateBytesPerSec, setRate] = useState(link.rateBitsPerSec === null ? null : link.rateBitsPerSec / 8);
  const [ifMatch] = useState(versionOf(link) ?? '*');
  const action = useAction(async () => {
    const rateBitsPerSec = rateBytesPerSec === null ? null : Math.round(rateBytesPerSec * 8);
    const limits = { maxMigrations, bandwidthBytesPerSec };
    await client().updateLink(link.id, { rateBitsPerSec, limits }, { ifMatch });
  });
  return (
    <Confirmation title={`The link ${link.sites.join(' – ')}`} verb="Set" {...{ action, onClose }}>
      <BandwidthField
        label="It is said to carry"
        empty="not set: as it is measured"
        value={rateBytesPerSec}
        onChange={setRate}
      />
      <CountField label="Concurrent migrations, at most" value={maxMigrations} onChange={setMax} />
      <BandwidthField label="All of them together at most" value={bandwidthBytesPerSec} onChange={setBandwidth} />
    </Confirmation>
  );
}
