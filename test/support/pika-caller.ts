import { execFile } from 'node:child_process';
import { join } from 'node:path';
import { promisify } from 'node:util';

const run = promisify(execFile);

const INSTALL_TIMEOUT_MS = 60_000;
const CALL_TIMEOUT_MS = 15_000;

/** The whole of a client in Python: one envelope, direct reply-to. Arguments: URL, exchange, envelope. */
const PROGRAM = `
import json, sys, pika
url, exchange, text = sys.argv[1:]
request = json.loads(text)
connection = pika.BlockingConnection(pika.URLParameters(url))
channel = connection.channel()
def answered(channel, method, properties, body):
    print(properties.correlation_id, body.decode("utf-8"))
    channel.stop_consuming()
channel.basic_consume("amq.rabbitmq.reply-to", answered, auto_ack=True)
channel.basic_publish(exchange, request["domain"] + "." + request["op"], text.encode("utf-8"),
    pika.BasicProperties(reply_to="amq.rabbitmq.reply-to", correlation_id=request["id"]))
connection.call_later(10, channel.stop_consuming)
channel.start_consuming()
connection.close()
`;

/** Puts pika into `directory`, or gives the reason why that cannot be. A virtual environment would take ten times as long. */
export async function installPika(directory: string): Promise<{ packages: string } | { whyNot: string }> {
  const packages = join(directory, 'packages');
  const args = ['-m', 'pip', 'install', '--quiet', '--disable-pip-version-check', '--target', packages, 'pika'];
  try {
    await run('python3', args, { timeout: INSTALL_TIMEOUT_MS });
    return { packages };
  } catch (error) {
    const { stderr, message } = error as Error & { stderr?: string };
    return { whyNot: `Python with pika cannot be had here: ${(stderr ?? message).trim().split('\n').at(-1) ?? ''}` };
  }
}

export interface PikaCall {
  readonly url: string;
  readonly exchange: string;
  readonly request: object;
}

/** Asks with pika; resolves to the correlation id and the parsed reply. */
export async function askWithPika(
  packages: string,
  call: PikaCall,
): Promise<{ correlationId: string; reply: unknown }> {
  const args = ['-c', PROGRAM, call.url, call.exchange, JSON.stringify(call.request)];
  const { stdout } = await run('python3', args, {
    timeout: CALL_TIMEOUT_MS,
    env: { ...process.env, PYTHONPATH: packages },
  });
  const end = stdout.indexOf(' ');
  return { correlationId: stdout.slice(0, end), reply: JSON.parse(stdout.slice(end)) };
}
