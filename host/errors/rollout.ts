import { defineErrors } from '#sdk/template';

/** Why a version that was admitted does not serve, or no longer; and what an operator may ask in vain. */
export const rolloutErrors = defineErrors({
  BEDS_ROLLOUT_BREAKING: {
    message: 'The version breaks the contract of the live version.',
    status: 'conflict',
    action:
      'Keep what callers use, or tell them first and deploy with `beds deploy --allow-breaking`. ' +
      'While nobody calls yet, set rollout.breaking = "allow".',
  },
  BEDS_ROLLOUT_GUARD_ERRORS: {
    message: 'The canary failed more requests than the live version.',
    status: 'fault',
    action: 'Read the faults in the log of that time, fix the template and deploy it under a new version.',
  },
  BEDS_ROLLOUT_GUARD_REFUSALS: {
    message: 'The canary refused more requests than the live version.',
    status: 'conflict',
    action:
      'Check whether it refuses valid requests, or whether its callers send invalid ones. ' +
      'The same bytes may be deployed again.',
  },
  BEDS_ROLLOUT_GUARD_LATENCY: {
    message: 'The canary answered more slowly than the live version.',
    status: 'fault',
    action: 'Compare the database calls of both versions. rollout.guardP95Ratio is the bound.',
  },
  BEDS_ROLLOUT_SHADOW_DIFFERENT: {
    message: 'The new version answered copies of reads differently.',
    status: 'conflict',
    action: 'Compare the two shapes. If the difference is intended, do nothing.',
  },
  BEDS_ROLLOUT_GUARD_THREAD: {
    message: 'The canary ended a broker thread.',
    status: 'fault',
    action: 'Fix the loop, the memory use or the exit that the log names, and deploy under a new version.',
  },
  BEDS_ROLLOUT_QUARANTINED: {
    message: 'These bytes are quarantined: they did harm while they were live.',
    status: 'conflict',
    action:
      'Fix the template and drop a new version. `beds quarantine` says why; `beds quarantine lift` allows it again.',
  },
  BEDS_ROLLOUT_STRIKES: {
    message: 'The version repeatedly ended broker threads or caused faults outside of requests.',
    status: 'fault',
    action: 'Fix the reasons that are named and deploy under a new version.',
  },
  BEDS_ROLLOUT_ENDED_PROCESS: {
    message: 'The version ended the process it ran in.',
    status: 'fault',
    action:
      'Fix what crashes the process or takes all its memory, and deploy under a new version. ' +
      'If something else killed the process, `beds quarantine lift` allows it again.',
  },
  BEDS_ROLLOUT_ROLLED_BACK: {
    message: 'An operator rolled back. The previous version is live.',
    status: 'conflict',
    action: 'Deploy it again when the reason is fixed.',
  },
  BEDS_ROLLOUT_DOWNGRADE: {
    message: 'The version number is lower than that of the version it replaced.',
    status: 'conflict',
    action: 'If this was not intended, `beds rollback <domain>` goes back to the higher version.',
  },
  BEDS_ROLLOUT_SAME_VERSION: {
    message: 'Different bytes were live under the same version number before.',
    status: 'conflict',
    action: 'Give each build its own version number: people, logs and replies tell versions apart by it.',
  },
  BEDS_ROLLOUT_RETIRED: {
    message: 'An operator undeployed the domain.',
    status: 'conflict',
    action: '`beds rollback <domain>` or a new bundle brings it back.',
  },
  BEDS_ROLLOUT_REMOVED: {
    message: 'The last bundle of the domain was removed from the plugin directory.',
    status: 'conflict',
    action: '`beds rollback <domain>` or a new bundle in the directory brings it back.',
  },
  BEDS_ROLLOUT_TOGETHER: {
    message: 'Another domain of the same rollout was refused.',
    status: 'conflict',
    action: 'Fix the other bundle and deploy all of them again.',
  },
  BEDS_ROLLOUT_PAUSED: {
    message: 'An operator paused the rollouts of this domain.',
    status: 'unavailable',
    action: '`beds promote <domain>` makes the waiting version live, `beds rollback <domain>` discards it.',
  },
  BEDS_ROLLOUT_UNKNOWN_VERSION: {
    message: 'There is no such version.',
    status: 'not-found',
    action: '`beds versions <domain>` lists the versions that are kept.',
  },
  BEDS_ROLLOUT_UNKNOWN_DOMAIN: {
    message: 'This host does not serve the domain, and no version of it is being deployed.',
    status: 'not-found',
    action: '`beds status` lists the domains.',
  },
  BEDS_ROLLOUT_NOTHING_PENDING: {
    message: 'The domain has no canary and no waiting version.',
    status: 'conflict',
    action: '`beds status` shows what is live and what is being deployed.',
  },
  BEDS_ROLLOUT_BUNDLE_INVALID: {
    message: 'The deployed file or folder is not a complete bundle.',
    status: 'invalid',
    action: 'Build it with `beds build` and deploy what the build wrote.',
  },
  BEDS_ROLLOUT_NOT_SERVED: {
    message: 'A node of this role does not serve the domain.',
    status: 'conflict',
    action: 'Deploy to a node that does: [roles.<role>] domains lists the domains of a role.',
  },
  BEDS_ROLLOUT_CHECK_FAILED: {
    message: 'The bundle would not serve.',
    status: 'invalid',
    action: 'Correct every finding and check it again.',
  },
  BEDS_ROLLOUT_STATE_UNREADABLE: {
    message: 'The saved state of the host is damaged or cannot be read.',
    status: 'fault',
    action:
      'Give the host read permission. If the file was damaged, the copy that was set aside shows what was live and quarantined.',
  },
  BEDS_ROLLOUT_STATE_UNWRITABLE: {
    message: 'The host could not save its state.',
    status: 'fault',
    action: 'Give the host write permission and disk space in state.directory.',
  },
  BEDS_ROLLOUT_CALLERS_FULL: {
    message: 'Caller tracking is full: new operations are not counted.',
    status: 'overloaded',
    action: 'Find the caller that invents operation names. Entries older than rollout.callerDays are removed.',
  },
});

export type RolloutCode = keyof typeof rolloutErrors.specs;
