import { defineBroker } from '../define.js';

export const definition = defineBroker({
  summary:
    'Keeps what all nodes shall run, with the bytes: hears what each of them runs, tells it what it shall, and gives it the bundles that it lacks.',
  consumes: 'The queue `admin.out`. Of several admin nodes each message reaches one.',
  keeps: 'Nothing: revisions, reports and bundles are in the domain `fleet`, in the store `admin`.',
  settings: {},
  metrics: {
    beds_fleet_revision: 'The revision of what all nodes shall run.',
    beds_fleet_reports_total: 'Reports of nodes.',
  },
  place: 'supervisor',
  ownQueues: () => [{ name: 'admin.out', keepsDead: false }],
});
