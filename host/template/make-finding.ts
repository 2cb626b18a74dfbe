import { admissionErrors, type AdmissionCode } from '../errors/admission.js';
import { rolloutErrors, type RolloutCode } from '../errors/rollout.js';
import type { Finding } from './contract.js';

const specs = { ...admissionErrors.specs, ...rolloutErrors.specs };

/** A finding with the catalogue's advice; `message` replaces the catalogue's sentence with a more exact one. */
export function makeFinding(code: AdmissionCode | RolloutCode, message?: string, hint?: string): Finding {
  const spec = specs[code];
  return { code, message: message ?? spec.message, hint: hint ?? spec.action };
}
