<?php
// The steps with php-amqplib.
//
// usage: php php_amqplib_client.php URL STEP QUEUE
require_once 'PhpAmqpLib/autoload.php';

use PhpAmqpLib\Channel\AMQPChannel;
use PhpAmqpLib\Connection\AMQPStreamConnection;
use PhpAmqpLib\Exception\AMQPConnectionClosedException;
use PhpAmqpLib\Exception\AMQPIOException;
use PhpAmqpLib\Exception\AMQPRuntimeException;
use PhpAmqpLib\Message\AMQPMessage;
use PhpAmqpLib\Wire\AMQPTable;

[, $url, $step, $queue] = $argv;

function say(...$words): void
{
    echo implode(' ', $words), "\n";
}

function connect(): AMQPStreamConnection
{
    global $url;
    $parts = parse_url($url);
    for ($attempt = 1; ; $attempt++) {
        try {
            return new AMQPStreamConnection(
                $parts['host'], $parts['port'], $parts['user'], $parts['pass'],
                urldecode(substr($parts['path'], 1)), connection_timeout: 20, read_write_timeout: 20);
        } catch (AMQPIOException | AMQPRuntimeException $error) {
            if ($attempt == 200) {
                throw $error;
            }
            usleep(100_000);
        }
    }
}

function confirming(AMQPStreamConnection $connection): AMQPChannel
{
    $channel = $connection->channel();
    $channel->confirm_select();
    $channel->set_nack_handler(fn (AMQPMessage $m) => throw new RuntimeException('nacked: ' . $m->body));
    return $channel;
}

function send(AMQPChannel $channel, string $key, string $body, array $properties = [], bool $mandatory = false): void
{
    $properties += ['delivery_mode' => AMQPMessage::DELIVERY_MODE_PERSISTENT];
    $channel->basic_publish(new AMQPMessage($body, $properties), '', $key, $mandatory);
    $mandatory ? $channel->wait_for_pending_acks_returns(20) : $channel->wait_for_pending_acks(20);
}

function freshness(AMQPMessage $message): string
{
    return $message->isRedelivered() ? 'again' : 'new';
}

// Calls the handler with each delivery until it returns true.
function takeEach(AMQPChannel $channel, string $from, callable $handle, bool $noAck = false): void
{
    $done = false;
    $channel->basic_qos(0, 1, false);
    $tag = $channel->basic_consume($from, no_ack: $noAck, callback: function (AMQPMessage $message) use (&$done, $handle) {
        $done = $handle($message) === true;
    });
    while (!$done) {
        $channel->wait(null, false, 20);
    }
    $channel->basic_cancel($tag);
}

function publish(): void
{
    global $queue;
    $connection = connect();
    $channel = confirming($connection);
    $channel->queue_declare($queue, durable: true, auto_delete: false);
    foreach (['message 1', 'message 2', 'message 3'] as $body) {
        send($channel, $queue, $body);
        say('confirmed', $body);
    }
    $channel->set_return_listener(fn ($code, $text) => say('returned', $text));
    send($channel, "$queue.nobody", 'stray', mandatory: true);
    $connection->close();
}

function consume(): void
{
    global $queue;
    $connection = connect();
    takeEach($connection->channel(), $queue, function (AMQPMessage $message) {
        say('got', $message->body, freshness($message));
        $message->ack();
        return $message->body == 'message 3';
    });
    $connection->close();
}

function requeue(): void
{
    global $queue;
    $connection = connect();
    takeEach($connection->channel(), $queue, function (AMQPMessage $message) {
        say('got', $message->body, freshness($message));
        if ($message->isRedelivered()) {
            $message->ack();
            return true;
        }
        $message->nack(true);
    });
    $connection->close();
}

function deadletter(): void
{
    global $queue;
    $connection = connect();
    $channel = confirming($connection);
    $channel->queue_declare("$queue.dead", durable: true, auto_delete: false);
    $channel->queue_declare($queue, durable: true, auto_delete: false, arguments: new AMQPTable([
        'x-dead-letter-exchange' => '', 'x-dead-letter-routing-key' => "$queue.dead"]));
    send($channel, $queue, 'spoiled');
    $channel->basic_get($queue)->reject(false);
    takeEach($channel, "$queue.dead", function (AMQPMessage $message) use ($channel, $queue) {
        $death = $message->get('application_headers')->getNativeData()['x-death'][0];
        say('dead', $message->body, $death['reason'], 'from', $death['queue'], 'count', $death['count'],
            'keys', ...$death['routing-keys'], ...['expiration', $death['original-expiration'] ?? 'none']);
        if ($message->body == 'late') {
            return true;
        }
        send($channel, $queue, 'late', ['expiration' => '20']);
    }, noAck: true);
    $connection->close();
}

function rpc(): void
{
    global $queue;
    [$serving, $asking] = [connect(), connect()];
    [$server, $client] = [$serving->channel(), $asking->channel()];
    $server->queue_declare($queue, auto_delete: true);
    $server->basic_consume($queue, callback: function (AMQPMessage $request) use ($server) {
        $reply = new AMQPMessage(strtoupper($request->body), ['correlation_id' => $request->get('correlation_id')]);
        $server->basic_publish($reply, '', $request->get('reply_to'));
        $request->ack();
    });
    $client->basic_consume('amq.rabbitmq.reply-to', no_ack: true, callback: function (AMQPMessage $reply) {
        say('answer', $reply->get('correlation_id'), $reply->body);
    });
    foreach (['one', 'two', 'three'] as $word) {
        $request = new AMQPMessage($word, ['reply_to' => 'amq.rabbitmq.reply-to', 'correlation_id' => $word]);
        $client->basic_publish($request, '', $queue);
        $server->wait(null, false, 20);
        $client->wait(null, false, 20);
    }
    $asking->close();
    $serving->close();
}

function reconnect(): void
{
    global $queue;
    $channel = confirming(connect());
    $channel->queue_declare($queue, durable: true, auto_delete: false);
    foreach (['message 1', 'message 2', 'message 3'] as $body) {
        send($channel, $queue, $body);
    }
    say('confirmed');
    try {
        takeEach($channel, $queue, fn (AMQPMessage $message) => say('holding', $message->body));
    } catch (AMQPConnectionClosedException) {
        say('lost');
    }
    $connection = connect();
    $publisher = confirming($connection);
    takeEach($connection->channel(), $queue, function (AMQPMessage $message) use ($publisher, $queue) {
        say('got', $message->body, freshness($message));
        $message->ack();
        if ($message->body == 'message 3') {
            send($publisher, $queue, 'message 4');
            say('confirmed message 4');
        }
        return $message->body == 'message 4';
    });
    $connection->close();
}

$step();
