import { defineBroker } from '../define.js';

export const definition = defineBroker({
  summary:
    'The door of operators: takes their orders and questions, knows who asks and what his role may, writes the audit, and gives orders to the nodes with a signature.',
  consumes: 'The queue `admin.in`. Of several admin nodes each message reaches one.',
  keeps:
    'Records that the domain `audit` has not taken, in `state.directory`. What was ordered is in that domain, in the store `admin`.',
  settings: {},
  metrics: {
    beds_admin_orders_total: 'Orders that were given to the nodes.',
    beds_admin_refused_total: 'Orders and questions that were refused before a node heard of them.',
    beds_admin_unwritten: 'Records of the audit that wait for its store.',
  },
  place: 'supervisor',
  ownQueues: () => [{ name: 'admin.in', keepsDead: false }],
});
