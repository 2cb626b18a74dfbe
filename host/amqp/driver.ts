import { joinWrites } from '@beds/sdk/client';
import type { ChannelModel } from 'amqplib';
import { requireGuarded } from './header-guard.js';

const amqplib = requireGuarded();

/** amqplib's promise API, with the header guard in front of its decoder and the frames of a turn written together. */
export async function connect(...target: Parameters<typeof amqplib.connect>): Promise<ChannelModel> {
  const model = await amqplib.connect(...target);
  joinWrites(model);
  return model;
}
