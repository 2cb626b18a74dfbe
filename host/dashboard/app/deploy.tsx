import type { VNode } from 'preact';
import { useEffect, useState } from 'preact/hooks';
import type { DomainPart, OrderOutcome, Problem } from '../contract.js';
import { api, problemOf } from './api.js';
import { Dialog, Refusals, useOrder } from './dialog.js';
import { Findings, Hash, ProblemBox } from './parts.js';

/** The files of one bundle, by name, in base64. */
export type Bundle = Readonly<Record<string, string>>;

/** One `*.mjs` is a bundle; with a manifest.json all files together are one. */
async function bundlesOf(files: readonly File[]): Promise<readonly Bundle[]> {
  const read = await Promise.all(files.map(async (file) => [file.name, await base64(file)] as const));
  if (files.some(({ name }) => name === 'manifest.json')) return [Object.fromEntries(read)];
  return read.map((entry) => Object.fromEntries([entry]));
}

async function base64(file: File): Promise<string> {
  const bytes = new Uint8Array(await file.arrayBuffer());
  const chunks: string[] = [];
  for (let at = 0; at < bytes.length; at += 8_190) {
    chunks.push(btoa(String.fromCharCode(...bytes.subarray(at, at + 8_190))));
  }
  return chunks.join('');
}

/** What was dropped: files, or folders with files. */
export async function filesOf(transfer: DataTransfer): Promise<readonly File[]> {
  // n.b. the list is empty as soon as the event is over: everything is taken from it first.
  const entries = [...transfer.items].map((item) => item.webkitGetAsEntry());
  const files = [...transfer.files];
  const folders = entries.filter((entry) => entry?.isDirectory === true) as FileSystemDirectoryEntry[];
  if (folders.length === 0) return files;
  const inside = await Promise.all(folders.map(filesIn));
  return inside.flat();
}

async function filesIn(folder: FileSystemDirectoryEntry): Promise<readonly File[]> {
  const reader = folder.createReader();
  const entries: FileSystemEntry[] = [];
  for (;;) {
    const more = await new Promise<FileSystemEntry[]>((resolve, reject) => reader.readEntries(resolve, reject));
    if (more.length === 0) break;
    entries.push(...more);
  }
  const files = entries.filter((entry) => entry.isFile) as FileSystemFileEntry[];
  return Promise.all(files.map((entry) => new Promise<File>((resolve, reject) => entry.file(resolve, reject))));
}

/** A place to drop a bundle on, or to choose it by keyboard. */
export function DropPlace({ onFiles }: { readonly onFiles: (files: readonly File[]) => void }): VNode {
  return (
    <label class="drop">
      <span>
        <strong>Deploy:</strong> drop what <code>beds build</code> wrote anywhere on this page, or choose it
      </span>
      <input
        type="file"
        multiple
        accept=".mjs,.json,.map"
        onChange={(event) => {
          const { files } = event.currentTarget;
          if (files !== null && files.length > 0) onFiles([...files]);
          event.currentTarget.value = '';
        }}
      />
    </label>
  );
}

const PARTS = /\.(?:mjs|js|json|map)$/;

/** Why the files are no bundle, as far as it can be seen without reading them. */
function unfitOf(files: readonly File[], maxBytes: number): Problem | undefined {
  const other = files.find(({ name }) => !PARTS.test(name));
  const hint = 'Drop the *.mjs that `beds build --file` wrote, or the folder that `beds build` wrote.';
  if (other !== undefined) return { code: '', message: `${other.name} is no part of a bundle.`, hint };
  const bytes = files.reduce((sum, { size }) => sum + size, 0);
  if (bytes <= maxBytes) return undefined;
  const [has, most] = [bytes, maxBytes].map((each) => (each / 1_048_576).toFixed(1));
  return { code: '', message: `That is ${has ?? ''} MB, and a bundle may have ${most ?? ''} MB at most.`, hint };
}

interface DeployProps {
  readonly files: readonly File[];
  readonly maxBundleBytes: number;
  readonly domains: readonly DomainPart[];
  readonly onClose: () => void;
  readonly onGiven: (outcome: OrderOutcome) => void;
}

interface Checked {
  readonly bundles: readonly Bundle[];
  readonly outcome: OrderOutcome;
}

/** First every node tries it out, and nothing changes; then it is said what would, and it is done. */
export function Deploy(props: DeployProps): VNode {
  const { files, maxBundleBytes, onClose } = props;
  const [checked, setChecked] = useState<Checked>();
  const [problem, setProblem] = useState<Problem>();
  useEffect(() => {
    const unfit = unfitOf(files, maxBundleBytes);
    if (unfit !== undefined) {
      setProblem(unfit);
      return;
    }
    const check = async (): Promise<void> => {
      const bundles = await bundlesOf(files);
      setChecked({ bundles, outcome: await api.order('check', { bundles }) });
    };
    check().catch((error: unknown) => setProblem(problemOf(error)));
  }, [files]);
  const isRefused = checked !== undefined && checked.outcome.refused.length > 0;
  if (checked !== undefined && !isRefused && checked.outcome.accepted.length > 0) {
    return <Ready {...props} checked={checked} />;
  }
  const names = files.map(({ name }) => name).join(', ');
  return (
    <Dialog
      title={isRefused || problem !== undefined ? `${names} would be refused` : `Trying out ${names} …`}
      onClose={onClose}
    >
      {checked === undefined && problem === undefined && (
        <p role="status">Every node reads it, runs it apart and asks its databases. Nothing changes by that.</p>
      )}
      {problem !== undefined && <ProblemBox problem={problem} />}
      {checked !== undefined && <Refusals outcome={checked.outcome} />}
      <div class="buttons">
        <button type="button" onClick={onClose}>
          Close
        </button>
      </div>
    </Dialog>
  );
}

function Ready({ domains, onClose, onGiven, checked }: DeployProps & { readonly checked: Checked }): VNode {
  const [percent, setPercent] = useState('');
  const [minutes, setMinutes] = useState('1');
  const { accepted } = checked.outcome;
  const receipts = accepted[0]?.receipts ?? [];
  const what = receipts.map(({ domain, version }) => `${domain} ${version}`).join(' and ');
  const seen = Object.fromEntries(
    domains
      .filter(({ domain }) => receipts.length === 1 && receipts[0]?.domain === domain)
      .flatMap(({ nodes }) =>
        nodes.flatMap(({ node, live }) => (live === undefined ? [] : [[node, live.hash] as const])),
      ),
  );
  const { isBusy, problem, outcome, give } = useOrder(() => {
    const canary =
      percent === '' ? {} : { canaryPercent: Number(percent), forMs: Math.round(Number(minutes) * 60_000) };
    return api.order('deploy', { bundles: checked.bundles, ...canary }, seen);
  }, onGiven);
  return (
    <Dialog title={`Deploy ${what}?`} onClose={onClose}>
      <ul class="effects">
        {receipts.map(({ domain, version, hash, notices }) => (
          <li key={domain}>
            {effectOf(domains, { domain, version })} <Hash hash={hash} />
            <Findings findings={notices} />
          </li>
        ))}
        <li>
          {accepted.length === 1
            ? `It was tried out on ${accepted[0]?.node ?? ''}`
            : `It was tried out on ${String(accepted.length)} nodes`}
          , and nothing was found that keeps it from serving.
        </li>
        <li>If more of its requests fail than of the version that serves, it goes back by itself.</li>
      </ul>
      <CanaryFields {...{ percent, setPercent, minutes, setMinutes }} />
      {problem !== undefined && <ProblemBox problem={problem} />}
      {outcome !== undefined && <Refusals outcome={outcome} />}
      <div class="buttons">
        <button type="button" onClick={onClose}>
          {outcome === undefined ? 'Leave it as it is' : 'Close'}
        </button>
        {outcome === undefined && (
          <button class="primary" disabled={isBusy} onClick={give}>
            {isBusy ? 'Giving the order …' : `Deploy ${what}`}
          </button>
        )}
      </div>
    </Dialog>
  );
}

function effectOf(
  domains: readonly DomainPart[],
  { domain, version }: { readonly domain: string; readonly version: string },
): string {
  const known = domains.find((part) => part.domain === domain);
  const live = [...new Set(known?.nodes.flatMap((on) => on.live?.version ?? []) ?? [])];
  if (live.length === 0) return `${domain} ${version} begins to serve; nothing serves ${domain} now.`;
  return `${domain} ${version} takes over from ${live.join(' and ')}, which finishes its requests and is kept.`;
}

interface CanaryFieldsProps {
  readonly percent: string;
  readonly setPercent: (text: string) => void;
  readonly minutes: string;
  readonly setMinutes: (text: string) => void;
}

function CanaryFields({ percent, setPercent, minutes, setMinutes }: CanaryFieldsProps): VNode {
  return (
    <fieldset>
      <legend>At first</legend>
      <label class="row">
        answer
        <select value={percent} onChange={(event) => setPercent(event.currentTarget.value)}>
          <option value="">as many callers as is configured</option>
          <option value="1">1 % of the callers</option>
          <option value="5">5 % of the callers</option>
          <option value="20">20 % of the callers</option>
          <option value="50">50 % of the callers</option>
        </select>
      </label>
      {percent !== '' && (
        <label class="row">
          for
          <select value={minutes} onChange={(event) => setMinutes(event.currentTarget.value)}>
            <option value="0.25">15 seconds</option>
            <option value="1">1 minute</option>
            <option value="5">5 minutes</option>
            <option value="30">30 minutes</option>
          </select>
          , then all of them
        </label>
      )}
    </fieldset>
  );
}
