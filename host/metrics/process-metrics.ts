import { monitorEventLoopDelay } from 'node:perf_hooks';
import { Counter, Gauge, type Registry } from 'prom-client';
import type { LogState } from '../observe/log-output.js';

const NANOSECONDS = 1e9;
const MICROSECONDS = 1e6;
const RESOLUTION_MS = 20;

/** What Prometheus' own clients say of a process, under their names. The library's collectors cannot be stopped. */
export class ProcessMetrics {
  readonly #delay = monitorEventLoopDelay({ resolution: RESOLUTION_MS });
  readonly #cpu: Counter<'mode'>;
  readonly #resident: Gauge;
  readonly #heap: Gauge;
  readonly #lag: Gauge<'quantile'>;
  readonly #droppedLines: Counter;
  #counted = { user: 0, system: 0, droppedLines: 0 };

  constructor(registry: Registry) {
    const registers = [registry];
    this.#cpu = new Counter({
      ...{ name: 'process_cpu_seconds_total', help: 'CPU time of the whole process.', registers, labelNames: ['mode'] },
    });
    this.#resident = new Gauge({ name: 'process_resident_memory_bytes', help: 'Resident memory.', registers });
    this.#heap = new Gauge({
      ...{ name: 'beds_supervisor_heap_bytes', help: 'JavaScript heap in use by the control plane.', registers },
    });
    this.#lag = new Gauge({
      name: 'beds_supervisor_loop_delay_seconds',
      help: 'Delay of the event loop of the control plane since the metrics were asked for last.',
      ...{ labelNames: ['quantile'], registers },
    });
    this.#droppedLines = new Counter({
      ...{ name: 'beds_log_lines_dropped_total', help: 'Lines that the output of the log did not take.', registers },
    });
    const start = new Gauge({
      ...{ name: 'process_start_time_seconds', help: 'When the process started, seconds since 1970.', registers },
    });
    start.set(Math.round(Date.now() / 1_000 - process.uptime()));
    this.#delay.enable();
  }

  collect({ droppedLines }: LogState): void {
    const { user, system } = process.cpuUsage();
    this.#cpu.inc({ mode: 'user' }, Math.max(0, user - this.#counted.user) / MICROSECONDS);
    this.#cpu.inc({ mode: 'system' }, Math.max(0, system - this.#counted.system) / MICROSECONDS);
    this.#droppedLines.inc(droppedLines - this.#counted.droppedLines);
    this.#counted = { user, system, droppedLines };
    const { rss, heapUsed } = process.memoryUsage();
    this.#resident.set(rss);
    this.#heap.set(heapUsed);
    for (const quantile of [0.5, 0.99]) {
      // n.b. what is measured is the interval of a timer: the time that it waits anyway is no delay.
      const measured = this.#delay.percentile(quantile * 100) / NANOSECONDS - RESOLUTION_MS / 1_000;
      this.#lag.set({ quantile: String(quantile) }, Math.max(0, measured));
    }
    this.#delay.reset();
  }

  close(): void {
    this.#delay.disable();
  }
}
