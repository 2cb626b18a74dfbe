import type { NamedObject } from '../../../stores/contract.js';
import type { Finding, GenerationSource } from '../../../template/contract.js';
import type { Log } from '../../../observe/log.js';
import type { StoreLookup } from '../../admit/preflight.js';
import type { SchemaCondition } from './condition.js';
import { SchemaWatch } from './schema-watch.js';

export interface HostSchemaOptions {
  /** Milliseconds: `rollout.schemaCheckMs`. */
  readonly intervalMs: number;
  readonly live: () => readonly GenerationSource[];
  readonly stores: StoreLookup;
  readonly log: Log;
  /** What an operator sees beside the version that serves; empty when it is sound again. */
  readonly onDegraded: (domain: string, findings: readonly Finding[]) => void;
  /** Prepares the version that serves anew, with its objects as they are now. */
  readonly adopt: (source: GenerationSource, objects: Readonly<Record<string, NamedObject>>) => void;
}

/** The started watch of a host: what it finds is a log line, `<domain> <version> degraded | changed | sound`, and more. */
export function openSchemaWatch(options: HostSchemaOptions): SchemaWatch {
  const watch = new SchemaWatch({
    ...options,
    onChange: (domain, hash, condition) => {
      const source = options.live().find(({ manifest }) => manifest.domain === domain);
      if (source?.hash === hash) tell(options, source, condition);
    },
  });
  watch.start();
  return watch;
}

function tell(
  { log, onDegraded, adopt }: HostSchemaOptions,
  source: GenerationSource,
  condition: SchemaCondition,
): void {
  const { domain, version } = source.manifest;
  const findings = condition.state === 'sound' ? [] : condition.findings;
  const fields = { domain, version, hash: source.hash, ...(findings.length === 0 ? {} : { findings }) };
  log[condition.state === 'degraded' ? 'warn' : 'info'](fields, `${domain} ${version} ${condition.state}`);
  onDegraded(domain, condition.state === 'degraded' ? findings : []);
  if (condition.state === 'changed') adopt(source, condition.objects);
}
