<?php

declare(strict_types=1);

use PhpAmqpLib\Channel\AMQPChannel;
use PhpAmqpLib\Connection\AbstractConnection;
use PhpAmqpLib\Connection\AMQPConnectionConfig;
use PhpAmqpLib\Connection\AMQPConnectionFactory;
use PhpAmqpLib\Exception\AMQPExceptionInterface;
use PhpAmqpLib\Exception\AMQPTimeoutException;
use PhpAmqpLib\Message\AMQPMessage;

/** `errorCode` is one of ERRORS.md; `retryable`: the same request may be sent again, after a pause, and does no harm. */
final class BedsException extends RuntimeException
{
    public function __construct(
        public readonly string $errorCode,
        string $message,
        public readonly bool $retryable = false,
        public readonly ?string $field = null,
        public readonly array $problems = [],
    ) {
        parent::__construct("$errorCode: $message");
    }
}

/**
 * A client of BEDS in one file, to be copied. It needs php-amqplib/php-amqplib 3.
 *
 *     $beds = new Beds('localhost', 5672, 'guest', 'guest', client: 'shop');
 *     $beds->call('cities', 'count', ['country' => 'CH']);
 *     foreach ($beds->fetchAll('cities', ['where' => ['country' => 'CH']]) as $city) { … }
 */
final class Beds
{
    private ?AbstractConnection $connection = null;
    private AMQPChannel $channel;
    /** @var array<string, array> replies by correlation id */
    private array $replies = [];
    /** @var array<string, true> operations that may be sent again, as their domains say */
    private array $repeatable = [];

    public function __construct(
        private readonly string $host,
        private readonly int $port,
        private readonly string $user,
        private readonly string $password,
        private readonly string $client,
        private readonly string $vhost = '/',
        private readonly string $exchange = 'beds.request',
        private readonly int $deadlineMs = 10_000,
    ) {
    }

    public function call(string $domain, string $operation, array $payload = []): mixed
    {
        return $this->request($domain, $operation, payload: $payload)['data'];
    }

    /** Every record, page after page. */
    public function fetchAll(string $domain, array $query = []): Generator
    {
        do {
            $reply = $this->request($domain, 'fetch', query: $query);
            yield from $reply['data'];
            $query['cursor'] = $reply['page']['cursor'] ?? null;
        } while ($query['cursor'] !== null);
    }

    /** The whole reply of a request that was carried out. What is null is left out. */
    public function request(
        string $domain,
        string $op,
        ?array $payload = null,
        ?array $query = null,
        string|int|float|bool|null $key = null,
        ?int $deadlineMs = null,
        ?string $session = null,
    ): array {
        $deadlineMs ??= $this->deadlineMs;
        $given = static fn (array $members): array => array_filter($members, static fn ($value) => $value !== null);
        // An empty array of PHP is [] in JSON; a record and a query are {}.
        $object = static fn (?array $members): ?object => $members === null ? null : (object) $members;
        if (isset($query['where'])) {
            $query['where'] = (object) $query['where'];
        }
        $envelope = $given([
            'v' => 1,
            'id' => bin2hex(random_bytes(16)),
            'domain' => $domain,
            'op' => $op,
            'payload' => $object($payload),
            'query' => $object($query === null ? null : $given($query)),
            'key' => $key,
            'meta' => $given([
                'client' => $this->client,
                'session' => $session,
                'deadlineMs' => $deadlineMs,
                'sentAt' => (int) (microtime(true) * 1000),
            ]),
        ]);
        $body = json_encode($envelope, JSON_THROW_ON_ERROR | JSON_PRESERVE_ZERO_FRACTION | JSON_UNESCAPED_UNICODE);
        $until = microtime(true) + $deadlineMs / 1000;
        while (true) {
            $wasSent = false;
            try {
                $this->connect();
                $wasSent = true;
                $reply = $this->ask($envelope['id'], "$domain.$op", $body, $until);
                break;
            } catch (AMQPExceptionInterface | ErrorException $error) {
                $this->connection = null;
                if ($wasSent && $op !== 'fetch' && !isset($this->repeatable["$domain.$op"])) {
                    throw new BedsException('CLIENT_INDETERMINATE', 'The connection was lost; read before you repeat.');
                }
                if (microtime(true) >= $until) {
                    throw new BedsException('CLIENT_UNAVAILABLE', 'RabbitMQ cannot be reached.', retryable: true);
                }
                usleep(200_000);
            }
        }
        if (in_array($reply['by']['mode'] ?? 'write', ['read', 'idempotent'], true)) {
            $this->repeatable["$domain.$op"] = true;
        }
        if ($reply['ok'] !== true) {
            $error = $reply['error'];
            throw new BedsException(
                $error['code'],
                $error['message'],
                $error['retryable'],
                $error['field'] ?? null,
                $error['problems'] ?? [],
            );
        }
        return $reply;
    }

    private function ask(string $id, string $routingKey, string $body, float $until): array
    {
        $message = new AMQPMessage($body, [
            'content_type' => 'application/json',
            'reply_to' => 'amq.rabbitmq.reply-to',
            'correlation_id' => $id,
            'delivery_mode' => 2,
            'expiration' => (string) max(1, (int) (($until - microtime(true)) * 1000)),
        ]);
        $this->replies = [];
        $this->channel->basic_publish($message, $this->exchange, $routingKey, mandatory: true);
        while (!isset($this->replies[$id])) {
            // A timer of its own, always; a little later than the deadline, to hear why it was late.
            $left = $until + 0.25 - microtime(true);
            try {
                if ($left <= 0) {
                    throw new AMQPTimeoutException();
                }
                $this->channel->wait(timeout: $left);
            } catch (AMQPTimeoutException) {
                throw new BedsException('CLIENT_TIMEOUT', 'No reply came; whether it was carried out is not known.');
            }
        }
        if ($this->replies[$id] === []) {
            throw new BedsException('CLIENT_UNROUTABLE', 'RabbitMQ has no queue for this domain.');
        }
        return $this->replies[$id];
    }

    private function connect(): void
    {
        if ($this->connection?->isConnected() === true) {
            return;
        }
        $config = new AMQPConnectionConfig();
        $config->setHost($this->host);
        $config->setPort($this->port);
        $config->setUser($this->user);
        $config->setPassword($this->password);
        $config->setVhost($this->vhost);
        $this->connection = AMQPConnectionFactory::create($config);
        $this->channel = $this->connection->channel();
        $this->channel->exchange_declare($this->exchange, 'topic', passive: true);
        // Direct reply-to: consumed first, without acknowledgements, on the channel that publishes. Big numbers stay exact, as text.
        $take = fn (AMQPMessage $message) => $this->replies[$message->get('correlation_id')] =
            json_decode($message->getBody(), true, 512, JSON_THROW_ON_ERROR | JSON_BIGINT_AS_STRING);
        $this->channel->basic_consume('amq.rabbitmq.reply-to', no_ack: true, callback: $take);
        $this->channel->set_return_listener(
            fn ($code, $text, $exchange, $key, AMQPMessage $message) => $this->replies[$message->get('correlation_id')] = [],
        );
    }

    public function close(): void
    {
        $this->connection?->close();
    }
}
