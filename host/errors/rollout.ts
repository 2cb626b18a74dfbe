import { defineErrors } from '@beds/sdk';

/** Why a version that was admitted does not serve, or no longer; and what an operator may ask in vain. */
export const rolloutErrors = defineErrors({
  BEDS_ROLLOUT_BREAKING: {
    message: 'The version breaks the contract of the one that serves.',
    status: 'conflict',
    action:
      'Keep what callers use, or tell them first and deploy it with `beds deploy --allow-breaking`; ' +
      'where nobody calls yet, rollout.breaking = "allow" lets every drop do so.',
  },
  BEDS_ROLLOUT_GUARD_ERRORS: {
    message: 'The canary failed more requests than the version that serves.',
    status: 'fault',
    action: 'Read the faults in the log of the same time, mend the template and deploy it under a new version.',
  },
  BEDS_ROLLOUT_GUARD_REFUSALS: {
    message: 'The canary refused more requests than the version that serves.',
    status: 'conflict',
    action:
      'Look whether it refuses what it should take, or whether callers on its side ask for what is not there; ' +
      'the same bytes may be deployed again.',
  },
  BEDS_ROLLOUT_GUARD_LATENCY: {
    message: 'The canary answered more slowly than the version that serves.',
    status: 'fault',
    action: 'Compare what both ask of the database; `rollout.guardP95Ratio` is the bound.',
  },
  BEDS_ROLLOUT_SHADOW_DIFFERENT: {
    message: 'Copies of reads were answered otherwise than by the version before.',
    status: 'conflict',
    action: 'Compare the two shapes; where the difference is meant, nothing need be done.',
  },
  BEDS_ROLLOUT_GUARD_THREAD: {
    message: 'The canary ended a broker thread.',
    status: 'fault',
    action: 'Find the loop, the memory or the exit that the log names, mend it and deploy it under a new version.',
  },
  BEDS_ROLLOUT_QUARANTINED: {
    message: 'These bytes did harm while they served; they are refused.',
    status: 'conflict',
    action:
      'Mend the template and drop a new version; `beds quarantine` says why, `beds quarantine lift` allows it again.',
  },
  BEDS_ROLLOUT_STRIKES: {
    message: 'The version ended broker threads, or left faults that no request ended with, again and again.',
    status: 'fault',
    action: 'Read the reasons named, mend the template and deploy it under a new version.',
  },
  BEDS_ROLLOUT_ENDED_PROCESS: {
    message: 'The version ended the process that it ran in.',
    status: 'fault',
    action:
      'Find what crashes the process or takes all its memory, mend the template and deploy it under a new version; ' +
      'if somebody else killed the process, `beds quarantine lift` allows it again.',
  },
  BEDS_ROLLOUT_ROLLED_BACK: {
    message: 'An operator ended the rollout; the version before serves.',
    status: 'conflict',
    action: 'Deploy it again when what spoke against it is mended.',
  },
  BEDS_ROLLOUT_DOWNGRADE: {
    message: 'The version is lower than the one whose place it took.',
    status: 'conflict',
    action: '`beds rollback <domain>` goes back to the higher one where this was not meant.',
  },
  BEDS_ROLLOUT_SAME_VERSION: {
    message: 'Other bytes served under the same version number before.',
    status: 'conflict',
    action: 'Give each build a version of its own: people, logs and replies tell versions apart by it.',
  },
  BEDS_ROLLOUT_RETIRED: {
    message: 'An operator retired the domain.',
    status: 'conflict',
    action: '`beds rollback <domain>` or another bundle brings it back.',
  },
  BEDS_ROLLOUT_REMOVED: {
    message: 'The last bundle of the domain was removed from the plugin directory.',
    status: 'conflict',
    action: '`beds rollback <domain>` brings it back from the stage; so does another bundle in the directory.',
  },
  BEDS_ROLLOUT_TOGETHER: {
    message: 'Another domain of the same rollout was refused.',
    status: 'conflict',
    action: 'Mend the other bundle and deploy all of them again.',
  },
  BEDS_ROLLOUT_PAUSED: {
    message: 'An operator paused the rollouts of this domain.',
    status: 'unavailable',
    action: '`beds promote <domain>` lets the version that waits take over, `beds rollback <domain>` abandons it.',
  },
  BEDS_ROLLOUT_UNKNOWN_VERSION: {
    message: 'There is no such version to go to.',
    status: 'not-found',
    action: '`beds versions <domain>` lists the versions that are kept.',
  },
  BEDS_ROLLOUT_UNKNOWN_DOMAIN: {
    message: 'This host serves no such domain and none is on its way.',
    status: 'not-found',
    action: '`beds status` lists the domains.',
  },
  BEDS_ROLLOUT_NOTHING_PENDING: {
    message: 'No version of this domain is under observation or waits.',
    status: 'conflict',
    action: '`beds status` shows what serves and what is on its way.',
  },
  BEDS_ROLLOUT_BUNDLE_INVALID: {
    message: 'What was deployed is not a complete bundle.',
    status: 'invalid',
    action: 'Build it with `beds build` and deploy the file or folder that the build wrote.',
  },
  BEDS_ROLLOUT_NOT_SERVED: {
    message: 'A node of this role does not serve that domain.',
    status: 'conflict',
    action: 'Other nodes may; [roles.<role>] domains says which.',
  },
  BEDS_ROLLOUT_STATE_UNREADABLE: {
    message: 'What the host remembers of the run before is damaged or may not be read.',
    status: 'fault',
    action:
      'Give the account of the host the right to read it; look at what was set aside for what served and was quarantined.',
  },
  BEDS_ROLLOUT_STATE_UNWRITABLE: {
    message: 'What the host must remember over a restart could not be written.',
    status: 'fault',
    action: 'Give the account of the host write permission on state.directory, and space.',
  },
  BEDS_ROLLOUT_CALLERS_FULL: {
    message: 'So many operations are called that it is no longer counted who calls further ones.',
    status: 'overloaded',
    action: 'Find the caller that makes up names of operations; days that go out of rollout.callerDays make room.',
  },
});

export type RolloutCode = keyof typeof rolloutErrors.specs;
