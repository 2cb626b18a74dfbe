import { CONTRACT_VERSION, isBedsError, splitSourceMap, type Manifest } from '@beds/sdk';
import type { AdmissionCode } from '../../errors/admission.js';
import { contractMessage } from '../../template/check-contract.js';
import type { Finding } from '../../template/contract.js';
import { convertBundle, type ConvertedBundle } from '../../template/convert.js';
import { makeFinding } from '../../template/make-finding.js';
import { checkHashes } from '../sources/read-drop.js';
import { scanAndConvert, scanImports } from './scan-imports.js';
import type { BundleBytes } from './stage.js';

export type Verification =
  | { readonly ok: true; readonly converted: ConvertedBundle }
  | { readonly ok: false; readonly findings: readonly Finding[] };

/** Judges the bytes without running any of them, and reports everything that is wrong at once. */
export async function verifyBundle(bundle: BundleBytes): Promise<Verification> {
  const { manifest, files } = bundle;
  const hashes = checkHashes(manifest, files);
  if (hashes.length > 0) return { ok: false, findings: hashes };
  const { code, sourceMap } = splitSourceMap(files.get(manifest.entry)?.toString('utf8') ?? '');
  const entryMap = files.get(`${manifest.entry}.map`)?.toString('utf8') ?? sourceMap;
  const scanned = await scanAndConvert(code, entryMap);
  if (scanned !== undefined) {
    const { converted } = scanned;
    const found = [...checkContract(manifest), ...scanned.findings];
    return found.length === 0 ? { ok: true, converted } : { ok: false, findings: found };
  }
  return explain(manifest, code, entryMap);
}

/** Everything that is wrong with code that esbuild refuses to scan or to convert. */
async function explain(manifest: Manifest, code: string, entryMap: string): Promise<Verification> {
  const [imports, conversion] = await Promise.all([scanImports(code), convert(code, entryMap)]);
  const findings = [...checkContract(manifest), ...imports];
  if (conversion.ok && findings.length === 0) return { ok: true, converted: conversion.converted };
  // n.b. a syntax error stops both; the scan names all of them, so it is not said again.
  const isKnown = imports.some((finding) => !conversion.ok && finding.code === conversion.finding.code);
  return { ok: false, findings: conversion.ok || isKnown ? findings : [...findings, conversion.finding] };
}

type Conversion =
  { readonly ok: true; readonly converted: ConvertedBundle } | { readonly ok: false; readonly finding: Finding };

async function convert(code: string, entryMap: string): Promise<Conversion> {
  try {
    return { ok: true, converted: await convertBundle(code, entryMap === '' ? undefined : entryMap) };
  } catch (error) {
    if (!isBedsError(error)) throw error;
    return { ok: false, finding: makeFinding(error.code as AdmissionCode, error.message) };
  }
}

function checkContract({ contract, entry }: Manifest): Finding[] {
  const findings: Finding[] = [];
  if (contract !== CONTRACT_VERSION) {
    findings.push(makeFinding('BEDS_ADMISSION_CONTRACT_UNSUPPORTED', contractMessage(contract)));
  }
  if (!entry.endsWith('.mjs')) {
    findings.push(makeFinding('BEDS_ADMISSION_MANIFEST_INVALID', 'Manifest: entry must be an .mjs file.'));
  }
  return findings;
}
