import { admissionErrors, type AdmissionCode } from '../errors/admission.js';
import type { Finding } from './contract.js';

/** A finding with the catalogue's advice; `message` replaces the catalogue's sentence with a more exact one. */
export function makeFinding(code: AdmissionCode, message?: string, hint?: string): Finding {
  const spec = admissionErrors.specs[code];
  return { code, message: message ?? spec.message, hint: hint ?? spec.action };
}
