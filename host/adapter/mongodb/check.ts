import type { ObjectManifest } from '@beds/sdk';
import { checkUse } from '../check-use.js';
import type { NamedObject, ObjectFinding } from '../contract.js';
import { nativeOf } from './catalogue.js';
import { CATALOGUE } from './collection-name.js';

/** What is wrong with the catalogue entry itself and with its grants, else what the template gets wrong about it. */
export function checkObject(use: ObjectManifest, found: NamedObject | undefined): readonly ObjectFinding[] {
  if (found === undefined) return checkUse(use, found);
  const { problems, missingGrants } = nativeOf(found);
  if (problems.length > 0) {
    return problems.map((text) => ({
      code: 'BEDS_PREFLIGHT_NOT_SUPPORTED',
      object: use.name,
      message: `The entry ${use.name} of ${CATALOGUE} is wrong at ${text}.`,
      hint: `Correct the entry ${use.name}; the template activates itself then.`,
    }));
  }
  const denied = missingGrants.map((grant): ObjectFinding => {
    const [action, ...collection] = grant.split(' ');
    return {
      code: 'BEDS_PREFLIGHT_GRANT_MISSING',
      object: use.name,
      message: `${use.name} needs the action ${action} on ${collection.join(' ')}, which the runtime account does not have.`,
      hint: `Grant ${action} on ${collection.join(' ')} to the role of the runtime account.`,
    };
  });
  return [...denied, ...checkUse(use, found)];
}
