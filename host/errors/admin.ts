import { defineErrors } from '#sdk/template';

/** What can go wrong between an administrator and the nodes. */
export const adminErrors = defineErrors({
  BEDS_ADMIN_INVALID: {
    message: 'The node cannot read the message.',
    status: 'invalid',
    action: 'Correct the fields that the message names; host/PROTOCOL.md lists the fields of every command and query.',
  },
  BEDS_ADMIN_UNKNOWN_COMMAND: {
    message: 'The node knows no such command or query.',
    status: 'invalid',
    action: 'Use the `beds` of the same release as the node; host/PROTOCOL.md lists the commands and queries.',
  },
  BEDS_ADMIN_UNSUPPORTED_VERSION: {
    message: 'The node does not speak this version of the protocol.',
    status: 'invalid',
    action: 'Use the `beds` of the same release as the node.',
  },
  BEDS_ADMIN_TOO_LARGE: {
    message: 'The message is larger than the node reads.',
    status: 'invalid',
    action: 'Deploy fewer bundles at once; plugins.maxBundleBytes bounds each of them.',
  },
  BEDS_ADMIN_BUSY: {
    message: 'Too many commands or queries wait for this node.',
    status: 'overloaded',
    retryable: true,
    action: 'Ask again in a moment.',
  },
  BEDS_ADMIN_TIMEOUT: {
    message: 'The node began with the command and did not finish in time. It goes on.',
    status: 'timeout',
    action: 'Look at `beds status` and `beds history` before you repeat the command.',
  },
  BEDS_ADMIN_NOT_BEGUN: {
    message: 'The node did not begin with the command in time. Nothing was done.',
    status: 'overloaded',
    retryable: true,
    action: 'Repeat the command when the one before it has ended; `beds history` shows what that one does.',
  },
  BEDS_ADMIN_QUERY_TIMEOUT: {
    message: 'The node did not answer the query in time.',
    status: 'timeout',
    retryable: true,
    action: 'Ask again, with a longer --timeout. The log of the node says whether RabbitMQ or a store is away.',
  },
  BEDS_ADMIN_NOT_READY: {
    message: 'The node is starting or stopping and takes no commands.',
    status: 'unavailable',
    retryable: true,
    action: 'Wait until `beds status` shows its threads ready.',
  },
  BEDS_ADMIN_FAULT: {
    message: 'The node failed unexpectedly.',
    status: 'fault',
    action: 'The log of the node has the error and its stack.',
  },
  BEDS_ADMIN_NO_NODES: {
    message: 'No node answered.',
    status: 'unavailable',
    action: 'Start a host with `npm start` or `beds start`. --timeout gives it more time to answer.',
  },
  BEDS_ADMIN_NODE_UNKNOWN: {
    message: 'No node of this name answered.',
    status: 'not-found',
    action: '`beds status` lists the nodes.',
  },
  BEDS_ADMIN_ANSWER_INVALID: {
    message: 'A node answered in a way that cannot be read.',
    status: 'fault',
    action: 'Use the `beds` of the same release as the node.',
  },
  BEDS_ADMIN_FORBIDDEN: {
    message: 'RabbitMQ denies this to the account.',
    status: 'forbidden',
    action: 'Queries need write permission on the exchange `<prefix>.admin`, commands also on `<prefix>.operate`.',
  },
  BEDS_ADMIN_LETTER_UNKNOWN: {
    message: 'There is no dead letter with this id.',
    status: 'not-found',
    action: '`beds dead` lists the letters. It may have been sent again or dropped since.',
  },
  BEDS_ADMIN_LETTERS_BUSY: {
    message:
      'Somebody else looks at the dead letters now: another operator, another node, or a program that consumes their queue.',
    status: 'overloaded',
    retryable: true,
    action: 'Ask again in a moment. Where it stays so, end the program that consumes the queue `<prefix>.dead`.',
  },
  BEDS_ADMIN_LETTERS_UNAVAILABLE: {
    message: 'The node could not look at the dead letters in time.',
    status: 'unavailable',
    retryable: true,
    action:
      'See that RabbitMQ is up, and that the account of the host may read the queue `<prefix>.dead`. After an order, list the letters before you repeat it.',
  },
  BEDS_ADMIN_NOT_SIGNED: {
    message: 'The node takes orders of an admin node only, and this one did not come through one.',
    status: 'forbidden',
    action: 'Sign in with `beds login`: orders go through the admin node then.',
  },
  BEDS_ADMIN_FORGED: {
    message: 'The order has a signature that is none of an admin node of this installation.',
    status: 'forbidden',
    action:
      'Compare security.orderKeys of the node with the key in the log of the admin node. Where they are the same, somebody forges orders.',
  },
  BEDS_ADMIN_LATE: {
    message: 'The order came too late. Nothing was done.',
    status: 'timeout',
    action: 'Give it again. Where it comes at once all the same, compare the clocks of the machines.',
  },
  BEDS_ADMIN_REPLAYED: {
    message: 'The order was taken before. Nothing was done.',
    status: 'conflict',
    action:
      '`beds audit` says who gave it first, and when. Somebody repeats what he has overheard, unless a program of yours sends one id twice.',
  },
  BEDS_ADMIN_STALE: {
    message: 'A later order for this domain was taken before. Nothing was done.',
    status: 'conflict',
    action: '`beds audit` says who gave it. Look at `beds status` before you give yours again.',
  },
  BEDS_ADMIN_INTERRUPTED: {
    message: 'The admin node that had begun with the order ended. The nodes may have carried it out.',
    status: 'indeterminate',
    action: 'Look at `beds status` and `beds history` before you repeat it.',
  },
  BEDS_ADMIN_SIGN_IN: {
    message: 'Nobody is signed in, or the session has ended.',
    status: 'forbidden',
    action: 'Sign in with `beds login`.',
  },
  BEDS_ADMIN_ROLE: {
    message: 'The role of the user does not allow this.',
    status: 'forbidden',
    action:
      'A viewer asks, an operator rolls out as well, a dba does all. Somebody with the role operator changes roles: users.setRoles.',
  },
  BEDS_ADMIN_NO_AUDIT: {
    message: 'The audit cannot be written, so nothing was done.',
    status: 'unavailable',
    retryable: true,
    action:
      '`beds status` says whether the domain audit serves and its store is up. What cannot wait: host/OPERATIONS.md, "When no order comes through".',
  },
  BEDS_ADMIN_NO_DESK: {
    message: 'The admin node does not answer.',
    status: 'unavailable',
    retryable: true,
    action:
      'Look whether a node with the role admin runs. Unless nothing was done, look at `beds history` before you repeat an order. What cannot wait: host/OPERATIONS.md, "When no order comes through".',
  },
  BEDS_ADMIN_DESIGNS_OFF: {
    message: 'Nobody may design domains here.',
    status: 'unavailable',
    action:
      'Set dashboard.designs to a folder on an admin node that serves the dashboard, and start it again: host/OPERATIONS.md, "Designing domains". `beds design` needs neither.',
  },
  BEDS_ADMIN_DESIGN_UNKNOWN: {
    message: 'There is no design with this name here.',
    status: 'not-found',
    action: 'Look at the list of designs; what `beds design` makes on another machine is not in it.',
  },
  BEDS_ADMIN_DESIGN_EXISTS: {
    message: 'There is a domain with this name already.',
    status: 'conflict',
    action: 'Take another name. What there is gets its next version by a change of it.',
  },
  BEDS_ADMIN_DESIGN_BUSY: {
    message: 'It is being worked on.',
    status: 'conflict',
    retryable: true,
    action: 'Wait until that has ended, or stop it.',
  },
  BEDS_ADMIN_DESIGN_OVERTAKEN: {
    message: 'The design is not any more what you saw. Nothing was done.',
    status: 'conflict',
    action: 'Look at what it is now, and decide again.',
  },
  BEDS_ADMIN_DESIGN_STEP: {
    message: 'This step is not the next one.',
    status: 'conflict',
    action: 'A design is described, reviewed, proved, planned and applied, in this order.',
  },
  BEDS_ADMIN_DESIGN_FAILED: {
    message: 'The command of this step ended without saying why.',
    status: 'fault',
    action: 'Run the same step by `beds` on the admin node; the log of the host has what it printed last.',
  },
  BEDS_ADMIN_DESIGN_STOPPED: {
    message: 'The step was stopped.',
    status: 'indeterminate',
    action: 'Give the same order again: it goes on where it stopped.',
  },
  BEDS_ADMIN_KEY_INVALID: {
    message: 'The key that orders are signed with cannot be read.',
    status: 'fault',
    action:
      'Put back the file order-secret in state.directory, or remove it: then another key is made, and the other nodes have to be told its public half.',
  },
  BEDS_ADMIN_BROKER_BLOCKED: {
    message: 'RabbitMQ takes no messages now: it is short of memory or disk space.',
    status: 'unavailable',
    retryable: true,
    action:
      'Run `rabbitmqctl status` and end what causes its alarms. After a command, look at `beds history` before you repeat it.',
  },
});
